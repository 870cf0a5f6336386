//! The OpenAPI document: served, and the committed one.

use crate::server::Server;

const GOLDEN: &str = include_str!("../openapi.json");

#[test]
fn the_description_is_the_committed_one() {
    let made = serde_json::to_string_pretty(&fusebox::api::document()).unwrap() + "\n";
    if std::env::var_os("FUSEBOX_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi.json"), &made).unwrap();
        return;
    }
    assert!(
        made == GOLDEN,
        "the interface differs from tests/openapi.json; if that is meant, run the tests named `description` with FUSEBOX_GOLDEN=1 and commit the file"
    );
}

#[test]
fn the_description_is_served_without_a_token_and_every_signed_route_asks_for_one() {
    let server = Server::bare();
    let answer = server.raw("GET", "/openapi.json", None, None, &[]);
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(document, serde_json::to_value(fusebox::api::document()).unwrap());
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 10);
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let signed = path.starts_with("/v1/");
            assert_eq!(operation["security"].is_array(), signed, "{method} {path}");
            assert!(operation["tags"][0].is_string() && operation["summary"].is_string(), "{method} {path} says nothing");
            let filled = path.replace("{*path}", "0/000.p/1");
            let filled = filled.split('/').map(|s| if s.starts_with('{') { "x1" } else { s }).collect::<Vec<_>>().join("/");
            let answer = server.raw(&method.to_uppercase(), &filled, None, None, &[]);
            assert_eq!(answer.status == 401, signed, "{method} {path}: {}", answer.status);
        }
    }
}
