//! Answers and nonces do not come back with an older copy of the database.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::KeyPair;
use serde_json::json;

use crate::support::scenario::signing_key;
use crate::world::{World, issuer_document, sign};

#[test]
fn bits_and_nonces_that_came_back_count_as_spent() {
    let mut world = World::start(&[(1, 0, 1), (2, 0, 2)]);
    world.server.stop();
    let copy = world.server.database();
    world.server.launch();
    world.again();
    let token = world.token(1);
    world.ask_with(&token).good();
    world.ask_with(&token).refused("token.replayed");
    world.server.stop();
    world.server.put_back(&copy);
    world.server.launch();
    world.again();

    world.ask_with(&token).refused("log.rolled_back");
    world.server.recover(&world.operator).refused("auth.role");
    world.server.recover(&world.authority).good();
    // The nonce is not known any more, but its issuer is revoked.
    world.ask_with(&token).refused("token.issuer_revoked");
    // A new key of a new name; under the agreement everything is answered.
    let (key, public_key) = signing_key();
    assert_eq!(STANDARD.encode(key.public_key().as_ref()), public_key);
    world.bureau.post("/v1/issuers", &issuer_document("citizen-app-2", "citizen-services", &public_key)).good();
    let mut fresh = world.token(2);
    fresh["issuer"] = json!("citizen-app-2");
    world.operator.post("/v1/verifications", &world.question(&sign(&key, &fresh))).refused("verification.bits");
}
