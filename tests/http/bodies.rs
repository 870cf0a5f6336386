//! Tokens and bodies that are not what they should be.

use std::io::{Read, Write};

use serde_json::json;

use crate::papers;
use crate::server::Server;

#[test]
fn nobody_without_a_valid_token_learns_more_than_that() {
    let server = Server::with_everyone(|_, _| {});
    let token = server.token("operator").to_owned();
    let wrong = format!("fbx_{}", "A".repeat(43));
    for authorization in [None, Some("Bearer"), Some("Bearer "), Some(wrong.as_str()), Some("Basic Og=="), Some(&format!("Bearer {wrong}"))]
    {
        for path in ["/v1/me", "/v1/principals", "/v1/nothing", "/v1/agreements/agr-1"] {
            let answer = server.raw("GET", path, authorization, None, &[]);
            assert_eq!((answer.status, answer.rule().as_str()), (401, "auth.unauthenticated"), "{path} {authorization:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(server.call("GET", "/v1/me", &token, None).json(), json!({ "principal": "operator", "org": "opco", "role": "operator" }));
    // They are counted into the log, together.
    let counted = (0..100).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let counts: u64 =
            server.leaves().iter().filter(|l| l["event"] == "denied.unauthenticated").filter_map(|l| l["count"].as_u64()).sum();
        (counts >= 24).then_some(counts)
    });
    assert_eq!(counted, Some(24));
    // The second before its end, and at its end.
    server.clock.advance_s(30 * 86_400 - 1);
    assert_eq!(server.call("GET", "/v1/me", &token, None).status, 200);
    server.clock.advance_s(1);
    assert_eq!(server.call("GET", "/v1/me", &token, None).rule(), "auth.unauthenticated");
}

#[test]
fn a_token_is_rotated_by_its_holder_and_revoked_by_name() {
    let server = Server::with_everyone(|_, _| {});
    let old = server.token("operator").to_owned();
    let days = json!({ "days": 7 });
    let other = server.call("POST", "/v1/principals/researcher/tokens/rotate", &old, Some(&days));
    assert_eq!((other.status, other.rule().as_str()), (403, "auth.role"));
    let rotated = server.call("POST", "/v1/principals/operator/tokens/rotate", &old, Some(&days));
    assert_eq!(rotated.status, 201);
    let new = rotated.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(server.call("GET", "/v1/me", &old, None).status, 401);
    assert_eq!(server.call("GET", "/v1/me", &new, None).status, 200);
    let id = rotated.json()["token_id"].as_str().unwrap().to_owned();
    assert!(!new.contains(&id[4..]));
    assert_eq!(server.call("DELETE", &format!("/v1/tokens/{id}"), server.token("researcher"), None).status, 403);
    assert_eq!(server.call("DELETE", &format!("/v1/tokens/{id}"), server.token("secadmin"), None).status, 204);
    assert_eq!(server.call("GET", "/v1/me", &new, None).status, 401);
    assert_eq!(server.call("DELETE", &format!("/v1/tokens/{id}"), server.token("secadmin"), None).status, 404);
    for bad in [0, 91] {
        let answer = server.call("POST", "/v1/principals/operator/tokens", &server.root_token, Some(&json!({ "days": bad })));
        assert_eq!((answer.status, answer.rule().as_str()), (422, "request.malformed"));
    }
}

#[test]
fn malformed_bodies_are_refused_without_being_repeated() {
    let server = Server::with_everyone(|_, _| {});
    let auth = format!("Bearer {}", server.token("secadmin"));
    let canary = "CANARY110101199003074578";
    let json = "application/json";
    for (content_type, body) in [
        (json, "{"),
        (json, ""),
        (json, "[]"),
        (json, "{\"id\":7}"),
        (json, &format!("{{\"id\":\"{canary}\",\"org\":\"o\",\"role\":\"auditor\"}}")),
        (json, &format!("{{\"id\":\"x\",\"org\":\"o\",\"role\":\"{canary}\"}}")),
        (json, "{\"id\":\"x\",\"org\":\"o\",\"role\":\"auditor\",\"more\":1}"),
        (json, "\u{feff}{}"),
        ("text/plain", "{\"id\":\"x\",\"org\":\"o\",\"role\":\"auditor\"}"),
        ("application/jsonx", "{\"id\":\"x\",\"org\":\"o\",\"role\":\"auditor\"}"),
    ] {
        let answer = server.raw("POST", "/v1/principals", Some(&auth), Some((content_type, body.as_bytes())), &[]);
        assert_eq!((answer.status, answer.rule().as_str()), (422, "request.malformed"), "{body}");
        assert!(
            !answer.text().contains(canary) && !answer.text().contains("NewPrincipal") && !answer.text().contains("Role"),
            "{}",
            answer.text()
        );
    }
    let deep = "[".repeat(100_000);
    assert_eq!(server.raw("POST", "/v1/principals", Some(&auth), Some((json, deep.as_bytes())), &[]).status, 422);
    let auth = format!("Bearer {}", server.token("operator"));
    for body in [&b"id = "[..], b"\xff\xfe", b"= = =", b""] {
        let answer = server.raw("POST", "/v1/datasets", Some(&auth), Some(("application/toml", body)), &[]);
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(["dataset.invalid", "dataset.incomplete", "request.malformed"].contains(&answer.rule().as_str()), "{}", answer.rule());
    }
}

#[test]
fn oversized_bodies_are_refused() {
    let server = Server::with_everyone(|_, _| {});
    let auth = format!("Bearer {}", server.token("operator"));
    let long = vec![b'#'; (1 << 20) + 1];
    let answer = server.raw("POST", "/v1/datasets", Some(&auth), Some(("application/toml", &long)), &[]);
    assert_eq!((answer.status, answer.rule().as_str()), (413, "request.too_large"));
    assert_eq!(answer.json()["error"]["threshold"], "1048576 bytes");
    // Announced in no header: the limit holds while it arrives.
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    write!(stream, "POST /v1/datasets HTTP/1.1\r\nhost: x\r\nauthorization: {auth}\r\ncontent-type: application/toml\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n").unwrap();
    for _ in 0..20 {
        if write!(stream, "10000\r\n").and_then(|()| stream.write_all(&long[..0x10000])).and_then(|()| write!(stream, "\r\n")).is_err() {
            break;
        }
    }
    let mut told = String::new();
    let _ = stream.read_to_string(&mut told);
    assert!(told.starts_with("HTTP/1.1 413"), "{told}");
}

#[test]
fn unknown_addresses_and_methods_are_refused_and_logged() {
    let server = Server::with_everyone(|_, _| {});
    let token = server.token("operator").to_owned();
    for path in ["/", "/v1", "/v1/nothing", "/v1/datasets/..%2f..%2fetc", "/v1/datasets/UPPER", "/v1/jobs%00"] {
        let answer = server.call("GET", path, &token, None);
        assert_eq!((answer.status, answer.rule().as_str()), (404, "request.not_found"), "{path}");
    }
    assert_eq!(server.call("PATCH", "/v1/datasets", &token, None).status, 405);
    assert_eq!(server.call("DELETE", "/health", &token, None).status, 405);
}

#[test]
fn answers_tell_nothing_of_the_machine() {
    let server = Server::with_everyone(|_, _| {});
    for (method, path, body) in
        [("GET", "/v1/nothing", None), ("POST", "/v1/principals", Some(json!({ "id": "../x" }))), ("GET", "/v1/me", None)]
    {
        let answer = server.call(method, path, server.token("secadmin"), body.as_ref());
        let seen = format!("{:?}{}", answer.headers, answer.text());
        for word in
            ["fusebox::", "src/", "/tmp", "/root", "axum", "hyper", "rusqlite", "sqlite", "serde", "panicked", server.dir.to_str().unwrap()]
        {
            assert!(!seen.contains(word), "`{word}` in {seen}");
        }
        assert_eq!(answer.headers["x-request-id"].len(), 16);
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}

#[test]
fn a_denial_is_a_leaf_before_it_is_an_answer() {
    let server = Server::with_everyone(|_, _| {});
    // Reading past the end was refused, so that is a leaf too.
    let before = server.leaves().len() + 1;
    let denied = server.toml("POST", "/v1/authorisations", server.token("operator"), papers::AUTHORISATION);
    assert_eq!((denied.status, denied.rule().as_str()), (403, "auth.role"));
    assert!(["en", "zh", "remedy_en", "remedy_zh"].iter().all(|k| denied.json()["error"][k].as_str().is_some_and(|t| !t.is_empty())));
    assert!(denied.json()["error"]["clauses"].as_array().is_some_and(|c| !c.is_empty()));
    let leaves = server.leaves();
    let leaf = &leaves[before];
    assert_eq!((leaf["event"].as_str(), leaf["by"].as_str()), (Some("denied"), Some("operator")));
    assert_eq!(leaf["about"]["rule"], "auth.role");
    assert_eq!((leaf["about"]["method"].as_str(), leaf["about"]["route"].as_str()), (Some("POST"), Some("/v1/authorisations")));
    // Its own organisation may read it, another may not.
    assert_eq!(server.call("GET", &format!("/v1/log/leaves/{before}"), server.token("operator"), None).status, 200);
    assert_eq!(server.call("GET", &format!("/v1/log/leaves/{before}"), server.token("other-operator"), None).status, 403);
}

#[test]
fn the_log_is_public_and_verifies() {
    let server = Server::with_everyone(|_, _| {});
    let get = |path: &str| server.raw("GET", path, None, None, &[]);
    let key = get("/log/key").text();
    let verifier = fusebox::tlog::Verifier::parse(key.trim()).unwrap();
    let note = get("/log/checkpoint");
    let checkpoint = fusebox::tlog::Checkpoint::verify(&note.bytes, &verifier).unwrap().checkpoint;
    assert!(checkpoint.size > 20);
    let entries = get(&format!("/log/tile/entries/000.p/{}", checkpoint.size));
    assert_eq!(entries.bytes.len() as u64, checkpoint.size * 58);
    let mut tree = fusebox::tlog::Tree::new();
    for entry in entries.bytes.chunks(58) {
        let _ = tree.append(fusebox::tlog::Leaf::parse(&entry[2..]).unwrap().hash());
    }
    assert_eq!(tree.root(), checkpoint.root);
    let tile = get(&format!("/log/tile/0/000.p/{}", checkpoint.size));
    assert_eq!(tile.bytes.len() as u64, checkpoint.size * 32);
    for path in ["/log/tile/0/000", "/log/tile/9/000", "/log/tile/0/0", "/log/tile/0/../../state", "/log/tile/entries/001"] {
        assert_eq!(get(path).status, 404, "{path}");
    }
}
