//! Whatever a token or a question is not, is refused by name, before any data is looked at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::KeyPair;
use serde_json::{Value, json};

use crate::support::papers::Terms;
use crate::support::scenario::signing_key;
use crate::world::{PLAN, TERMS, World, issuer_document, nonce, policy, sign, subject};

fn with(token: &Value, field: &str, value: Value) -> Value {
    let mut token = token.clone();
    token[field] = value;
    token
}

#[test]
fn tokens_and_issuers_are_refused_by_name() {
    let world = World::start(&[(1, 0, 1), (2, 0, 2)]);
    let token = world.token(1);
    let element = |token: &Value| world.ask_with(token).refused("token.binding")["subject"].as_str().unwrap().to_owned();
    for (field, other) in [("operator", "others"), ("agreement", "agr-2"), ("purpose", "other"), ("namespace", "person")] {
        assert_eq!(element(&with(&token, field, other.into())), field);
    }
    assert_eq!(element(&with(&token, "module", format!("sha256:{}", "0".repeat(64)).into())), "module");
    world.ask_with(&with(&token, "expires_at", "2020-01-01T00:00:00Z".into())).refused("token.expired");
    world.ask_with(&with(&token, "issuer", "nobody".into())).refused("token.issuer");
    for other in [format!("{},{}", subject(1), subject(2)), " M000001".into(), String::new()] {
        // A list of subjects, white space, nothing: an opaque identifier has no commas forbidden, but no one of this name is known.
        let answer = world.ask_with(&with(&with(&token, "subject", other.clone().into()), "nonce", nonce().into()));
        if other.contains(',') {
            assert_eq!(answer.good()["answer"], "none")
        } else {
            answer.refused("request.malformed");
        }
    }
    world.ask_with(&with(&token, "nonce", "1".into())).refused("request.malformed");
    // Tampered bytes, in every field, and a signature of somebody else.
    let signed = sign(&world.issuer, &token);
    for field in ["subject", "nonce", "expires_at"] {
        let mut tampered = signed.clone();
        tampered["token"][field] = match field {
            "subject" => subject(2).into(),
            "nonce" => nonce().into(),
            _ => "2097-01-01T00:00:00Z".into(),
        };
        world.operator.post("/v1/verifications", &world.question(&tampered)).refused("token.signature");
    }
    let (stranger, public_key) = signing_key();
    world.operator.post("/v1/verifications", &world.question(&sign(&stranger, &token))).refused("token.signature");
    // Batches have no form.
    let batch = world.question(&json!([signed, signed]));
    world.operator.post("/v1/verifications", &batch).refused("request.malformed");
    let mut batch = world.question(&signed);
    batch["tokens"] = json!([signed]);
    world.operator.post("/v1/verifications", &batch).refused("request.malformed");
    // None of these was spent: the token is good once, and once only.
    assert_eq!(world.ask_with(&token).good()["answer"], "a");
    world.ask_with(&token).refused("token.replayed");
    // An operator is no issuer, whoever registers it; nor does one register any.
    world.bureau.post("/v1/issuers", &issuer_document("own", "opco", &public_key)).refused("issuer.operator");
    world.authority.post("/v1/issuers", &issuer_document("own", "opco", &public_key)).refused("issuer.operator");
    world.operator.post("/v1/issuers", &issuer_document("own", "x", &public_key)).refused("auth.role");
    // One whose organisation becomes an operator later is none from then on.
    world.authority.post("/v1/issuers", &issuer_document("turncoat", "later-co", &public_key)).good();
    let theirs = with(&world.token(2), "issuer", "turncoat".into());
    world.server.person("operator-late", "later-co", "operator");
    world.operator.post("/v1/verifications", &world.question(&sign(&stranger, &theirs))).refused("issuer.operator");
    // A revoked one is refused by name; the answers of before stay.
    world.bureau.post("/v1/issuers/citizen-app/revoke", &json!({ "reason": "key lost" })).good();
    world.ask(2).refused("token.issuer_revoked");
    assert_eq!(STANDARD.decode(&public_key).unwrap(), stranger.public_key().as_ref());
}

#[test]
fn budgets_papers_freeze_and_consent_hold_on_the_next_call() {
    let world = World::start(&[(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 0, 3)]);
    // Two bits an answer, four a subject: known and unknown count alike.
    for n in [1, 77] {
        for _ in 0..2 {
            world.ask(n).good();
        }
        assert_eq!(world.ask(n).refused("verification.bits")["threshold"], "4 bits");
    }
    // A freeze, and its end.
    let freeze = world.authority.post("/v1/freeze", &json!({ "reason": "test" })).good();
    world.ask(2).refused("release.frozen");
    world.authority.post("/v1/freeze/lift", &json!({ "reason": "test", "id": freeze["id"] })).good();
    let freeze = world.bureau.post("/v1/freeze", &json!({ "reason": "test", "dataset": "people" })).good();
    world.ask(2).refused("release.frozen");
    world.authority.post("/v1/freeze/lift", &json!({ "reason": "test", "id": freeze["id"] })).good();
    assert_eq!(world.label(2), "b");
    // Consent that is withdrawn: the next call finds nobody.
    assert_eq!(world.label(3), "c");
    world.consents(&[1, 2, 4]);
    assert_eq!(world.label(3), "none");
    assert_eq!(world.label(4), "c");
    // What is not shared is for this door alone: no job takes the plan, and no plan for jobs takes the dataset.
    let job = json!({ "agreement": "agr-1", "plan": "plan-1", "module": world.module, "purpose": "check" });
    world.operator.post("/v1/jobs", &job).refused("request.malformed");
    let analysis = world.approved("credit-default-rate");
    let job = json!({ "agreement": "agr-1", "plan": "plan-1", "module": analysis, "purpose": "check" });
    world.operator.post("/v1/jobs", &job).refused("plan.verification");
    let plain = PLAN.replace("verification = true", "").replace("plan-1", "plan-2");
    world.operator.post_toml("/v1/plans", &plain).refused("dataset.sharing_none");
    // Nor does an agreement that opens another door beside.
    let wider = Terms { ids: ["auth-1", "app-1", "agr-2"], doors: r#"["verification", "table"]"#, ..TERMS };
    world.operator.post_toml("/v1/agreements", &wider.agreement()).good();
    world.bureau.post("/v1/agreements/agr-2/countersign", &json!({})).good();
    let mut question = world.question(&sign(&world.issuer, &with(&world.token(4), "agreement", "agr-2".into())));
    question["agreement"] = "agr-2".into();
    world.operator.post("/v1/verifications", &question).refused("dataset.sharing_none");
    // A module nobody read, and one of another world.
    let unread = world.upload("tenancy-check");
    let mut question = world.question(&sign(&world.issuer, &world.token(4)));
    question["module"] = unread.into();
    world.operator.post("/v1/verifications", &question).refused("module.unreviewed");
    question["module"] = analysis.into();
    world.operator.post("/v1/verifications", &question).refused("verification.module");
    // So many a day.
    let asked = world.operator.get("/v1/verifications").good().as_array().unwrap().len() as u32;
    world.authority.put_toml("/v1/policies/floor", &policy(asked + 1)).good();
    world.ask(4).good();
    assert_eq!(world.ask(2).refused("verification.rate")["threshold"], format!("{} answers a day", asked + 1));
    // The end of the agreement ends it.
    world.authority.put_toml("/v1/policies/floor", &policy(1000)).good();
    world.bureau.post("/v1/agreements/agr-1/terminate", &json!({ "reason": "test" })).good();
    world.ask(2).refused("agreement.terminated");
}
