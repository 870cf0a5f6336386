//! The tenancy check of the examples: yes or no about one applicant at a time.

use ring::signature::KeyPair;
use serde_json::json;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::scenario::{Member, Scenario, signing_key};
use crate::support::{Server, example};
use crate::world::{issuer_document, nonce, sign};

/// A resident ID number with its check character (GB 11643-1999).
fn resident(sequence: u32) -> String {
    let body = format!("11010519900101{sequence:03}");
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(b, w)| u32::from(b - b'0') * w).sum();
    format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// Months of an applicant: of the year from `from` on, `paid` of them, or `no` where it did not pay.
fn months(who: &str, paid: &[bool]) -> String {
    let line = |(i, paid): (usize, &bool)| {
        let (year, month) = (2024 + (i + 5) / 12, (i + 5) % 12 + 1);
        format!("{who},{year}-{month:02}-01,{}\n", if *paid { "yes" } else { "no" })
    };
    paid.iter().enumerate().map(line).collect()
}

#[test]
fn applicants_are_told_by_the_predicate_and_nobody_else_is() {
    let [good, gap, owner, withdrawn, unknown] = [1, 2, 3, 4, 5].map(resident);
    let gap_months: Vec<bool> = (0..20).map(|i| i != 11).collect();
    let insured = |who: &str| months(who, &[true; 12]);
    let insurance = format!("person,month,paid\n{}{}{}{}", insured(&good), months(&gap, &gap_months), insured(&owner), insured(&withdrawn));
    let applications = format!("person\n{good}\n{gap}\n{owner}\n{withdrawn}\n");
    let property = format!("person,owns\n{good},no\n{gap},no\n{owner},yes\n");
    let consents =
        [&good, &gap, &owner].iter().fold("unit,purpose,expiry\n".to_owned(), |t, who| t + &format!("{who},tenancy_check,2035-12-31\n"));
    let server = Server::start();
    let operator = ("platform-zhao", "rental-platform");
    let members = [
        ("application", "rental_applications", ("platform-zhao", "rental-platform", "operator"), &applications),
        ("insurance", "social_insurance", ("insurance-wang", "insurance-bureau", "provider"), &insurance),
        ("property", "home_register", ("housing-sun", "housing-bureau", "provider"), &property),
    ];
    let members = members.map(|(entry, id, owner, csv)| Member { entry, id, owner, csv, consents: Some(&consents) });
    let agreement = example("tenancy/agreement.toml");
    let policy = example("tenancy/policy.toml");
    let scenario = Scenario::set_up_as(&server, "tenancy", operator, "tenancy_check", &members, &policy, &agreement);
    let module = scenario.approved("tenancy-check");
    let (issuer, _) = signing_key();
    let public_key = STANDARD.encode(issuer.public_key().as_ref());
    scenario.authority.post("/v1/issuers", &issuer_document("citizen-app", "citizen-services", &public_key)).good();
    let ask = |who: &str| {
        let token = json!({
            "issuer": "citizen-app", "namespace": "person", "subject": who, "operator": "rental-platform", "agreement": "tenancy-2026",
            "purpose": "tenancy_check", "module": module, "expires_at": "2035-01-01T00:00:00Z", "nonce": nonce(),
        });
        let body = json!({
            "agreement": "tenancy-2026", "plan": "tenancy", "module": module, "purpose": "tenancy_check", "token": sign(&issuer, &token),
        });
        scenario.operator.post("/v1/verifications", &body).good()["answer"].as_str().unwrap().to_owned()
    };
    let told: Vec<String> = [&good, &gap, &owner, &withdrawn, &unknown].iter().map(|who| ask(who)).collect();
    assert_eq!(told, ["yes", "no", "no", "no", "no"]);
    // Four bits a person: the fifth question is refused, yes or no.
    for _ in 0..3 {
        assert_eq!(ask(&good), "yes");
    }
}
