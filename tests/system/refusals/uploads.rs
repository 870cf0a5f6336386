//! Modules, uploads and bodies.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{CANARY, Told, silent};
use crate::support::scenario::signing_key;
use crate::support::{Answer, Client, MODULE_CONTEXT, module};
use crate::world::uscc;

pub(super) fn modules(told: &mut Told) {
    for (package, import) in
        [("undeclared-import", "network"), ("wasi-import", "wasi_snapshot_preview1"), ("lookalike-import", "identifiers")]
    {
        let answer = told.world.upload_bytes(&module(package));
        let error = told.no(&answer, "module.import");
        assert!(error["subject"].as_str().is_some_and(|s| s.contains(import)), "{package}: {error}");
    }
    for package in ["bare", "no-manifest"] {
        let answer = told.world.upload_bytes(&module(package));
        told.no(&answer, "module.invalid");
    }
    let answer = told.world.upload_bytes(b"\0asm\x01\0\0\0");
    told.no(&answer, "module.invalid");
    let bytes = module("spins");
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let named = format!("sha256:{}", digest.as_ref().iter().fold(String::new(), |t, b| t + &format!("{b:02x}")));
    let signature = told.world.sign(digest.as_ref());
    let upload = |told: &Told, bytes: &[u8], signature: &str, digest: Option<&str>| {
        let mut headers = vec![("content-type", "application/wasm")];
        headers.extend((!signature.is_empty()).then_some(("x-fusebox-signature", signature)));
        headers.extend(digest.map(|d| ("x-fusebox-digest", d)));
        told.world.operator().call("POST", "/v1/modules", &headers, bytes)
    };
    let mut altered = bytes.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let answer = upload(told, &altered, &signature, Some(&named));
    told.no(&answer, "module.digest");
    // Another's key, no context, other bytes, nothing, nonsense, half of it.
    let (other, _) = signing_key();
    let context = [MODULE_CONTEXT, digest.as_ref()].concat();
    let others = STANDARD.encode(other.sign(&context).as_ref());
    let half = STANDARD.encode(&STANDARD.decode(&signature).unwrap()[..32]);
    for (bytes, signature) in
        [(&bytes, &others), (&altered, &signature), (&bytes, &String::new()), (&bytes, &"AAAA".into()), (&bytes, &half)]
    {
        let answer = upload(told, bytes, signature, None);
        told.no(&answer, "module.signature");
    }
    let rival = told.world.rival().call("POST", "/v1/modules", &[("x-fusebox-signature", &signature)], &bytes);
    told.no(&rival, "module.signature");
    // A megabyte more than a module may have.
    let head = format!("x-fusebox-signature: {signature}\r\ncontent-length: {}\r\n", 65u64 << 20);
    let answer = raw(&told.world.operator(), "/v1/modules", &head, 65 << 20);
    told.no(&answer, "request.too_large");
}

pub(super) fn bodies(told: &mut Told) {
    let operator = told.world.operator();
    let json_type = [("content-type", "application/json")];
    for body in ["{", "", "[]", &format!("{{\"plan\":\"{CANARY}\"}}"), &format!("{{\"{CANARY}\":1}}"), &"[".repeat(100_000)] {
        let answer = operator.call("POST", "/v1/jobs", &json_type, body.as_bytes());
        told.no_unless_named(&answer, body);
    }
    for body in [&b"id = \xff"[..], b"= = =", format!("id = {CANARY}").as_bytes(), b""] {
        let answer = operator.call("POST", "/v1/datasets", &[("content-type", "application/toml")], body);
        let rule = answer.rule();
        assert!(["dataset.invalid", "dataset.incomplete", "request.malformed"].contains(&rule.as_str()), "{rule}");
        told.no(&answer, &rule);
    }
    let answer = operator.call("POST", "/v1/jobs", &[("content-type", "text/plain")], b"{}");
    told.no(&answer, "request.malformed");
    let answer = operator.post_toml("/v1/datasets", &"#".repeat((1 << 20) + 1));
    let error = told.no(&answer, "request.too_large");
    assert_eq!(error["threshold"], "1048576 bytes");
    // An upload that announces more than it may bring is refused before a byte of it came.
    let head = format!("content-type: application/octet-stream\r\ncontent-length: {}\r\n", 5u64 << 30);
    let answer = raw(&operator, "/v1/datasets/loans/versions?format=csv", &head, 0);
    told.no(&answer, "request.too_large");
    // Uploads that are none. What is wrong is told by row and column.
    let path = "/v1/datasets/loans/versions";
    for (format, body) in [
        ("csv", &b"default_12m\n1\n"[..]),
        ("csv", b"uscc,default_12m,more\n"),
        ("csv_gz", b"\x1f\x8b\x08\0nonsense"),
        ("parquet", b"PAR1nonsensePAR1"),
        ("csv", b"\xff\xfe\x00"),
    ] {
        let answer = operator.upload(&format!("{path}?format={format}"), body);
        told.no(&answer, "import.rejected");
    }
    let answer = operator.upload(&format!("{path}?format=xlsx"), b"x");
    told.no(&answer, "request.malformed");
    let rows = format!("uscc,default_12m\n{CANARY},1\n{},7\n{},1\n", uscc(500), uscc(501));
    let made = operator.upload(&format!("{path}?format=csv"), rows.as_bytes());
    silent(&made.bytes);
    assert!(!String::from_utf8_lossy(&made.bytes).contains(&uscc(500)));
    let made = made.good();
    assert_eq!((made["rows"].as_u64(), made["rejected"].as_u64()), (Some(1), Some(2)), "{made}");
    let told_rows: Vec<_> = made["rejected_rows"].as_array().unwrap().iter().map(|r| (r["row"].as_u64(), r["column"].as_str())).collect();
    assert_eq!(told_rows, [(Some(1), Some("uscc")), (Some(2), Some("default_12m"))]);
    // The rows of before, for what follows.
    operator.upload(&format!("{path}?format=csv"), crate::world::loans_csv().as_bytes()).good();
    let answer = told.world.bureau().upload(&format!("{path}?format=csv"), b"x");
    told.no(&answer, "auth.role");
    // Without a token nothing is told; such calls are counted, not listed.
    let answer = told.world.server.anonymous().get("/v1/me");
    answer.refused("auth.unauthenticated");
}

impl Told {
    /// A malformed body: `request.malformed`, whatever it held.
    #[track_caller]
    fn no_unless_named(&mut self, answer: &Answer, body: &str) {
        assert_eq!(answer.status, 422, "{}: {}", &body[..body.len().min(60)], String::from_utf8_lossy(&answer.bytes));
        // An unknown field is named, for it is the caller's own word; a value is not.
        if body.contains(&format!("{{\"{CANARY}\"")) {
            answer.refused("request.malformed");
            self.rules.push("request.malformed".to_owned());
        } else {
            self.no(answer, "request.malformed");
        }
    }
}

/// A POST that may be answered before all of its body was sent.
fn raw(client: &Client, path: &str, head: &str, bytes: usize) -> Answer {
    let mut stream = std::net::TcpStream::connect(client.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let lines = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n{head}\r\n", client.token);
    stream.write_all(lines.as_bytes()).unwrap();
    let chunk = vec![0u8; 1 << 20];
    for _ in 0..bytes / chunk.len() {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    Answer { status, retry_after_s: None, bytes: body.as_bytes().to_vec() }
}
