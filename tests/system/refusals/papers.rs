//! Authorisations, agreements, and jobs that go beyond them.

use serde_json::{Value, json};

use super::Told;
use crate::support::scenario::signing_key;
use crate::support::{module, policy};
use crate::world::{Papers, changed};

pub(super) fn authorisations(told: &mut Told) {
    let expired = told.world.carry(&Papers::new("auth-expired").authorisation("2098-12-31", "2020-12-31"));
    told.job(&expired, "authorisation.expired");
    let early = told.world.carry(&Papers::new("auth-early").authorisation("2020-01-01", "2098-01-01"));
    told.job(&early, "authorisation.expired");
    let narrow = told.world.carry(&Papers::new("auth-narrow").authorisation(r#", "power_bills""#, ""));
    let error = told.job(&narrow, "authorisation.scope");
    assert_eq!(error["subject"], "power_bills");
    let revoked = told.world.carry(&Papers::new("auth-revoked"));
    told.world.authority().post("/v1/authorisations/auth-revoked/revoke", &json!({ "reason": "整改" })).good();
    told.job(&revoked, "authorisation.revoked");
    let own = told.world.operator().post_toml("/v1/authorisations", &Papers::new("own").authorisation);
    told.no(&own, "auth.role");
}

pub(super) fn agreements(told: &mut Told) {
    let expired = told.world.carry(&Papers::new("agr-expired").agreement("2098-12-31", "2020-12-31"));
    let error = told.job(&expired, "agreement.expired");
    assert!(error["threshold"].as_str().is_some_and(|t| t.contains("2020-12-31")), "{error}");
    let early = told.world.carry(&Papers::new("agr-early").agreement("2020-01-01", "2098-01-01"));
    told.job(&early, "agreement.not_begun");
    let terminated = told.world.carry(&Papers::new("agr-terminated"));
    told.world.bureau().post("/v1/agreements/agr-terminated/terminate", &json!({ "reason": "违约" })).good();
    told.job(&terminated, "agreement.terminated");
    let half = told.world.carry(&Papers { unsigned: vec!["power-company"], ..Papers::new("agr-half") });
    let error = told.job(&half, "agreement.countersignature");
    assert_eq!(error["subject"], "power-company");
    let waiting = told.world.carry(&Papers { undecided: vec!["tax-bureau"], ..Papers::new("agr-waiting") });
    let error = told.job(&waiting, "application.undecided");
    assert_eq!(error["subject"], "tax-bureau");
    let no = told.world.bureau().post("/v1/applications/agr-waiting/decide", &json!({ "approve": false, "reason": "", "basis": "X26" }));
    told.no(&no, "application.reason");
    told.world
        .bureau()
        .post("/v1/applications/agr-waiting/decide", &json!({ "approve": false, "reason": "超出范围", "basis": "X26" }))
        .good();
    told.job(&waiting, "application.refused");
    let spent = told.world.carry(&Papers::new("agr-spent").agreement("jobs_max = 100000", "jobs_max = 0"));
    told.job(&spent, "agreement.budget");
    let narrow = told.world.carry(&Papers::new("agr-narrow").agreement(r#", "kwh""#, ""));
    let error = told.job(&narrow, "agreement.column");
    assert_eq!(error["subject"], "power_bills.kwh");
    told.job("agr-nowhere", "agreement.missing");
    // What goes beyond the application is not even drafted; nor is half a paper.
    let papers = Papers::new("agr-beyond");
    told.world.operator().post_toml("/v1/applications", &papers.application).good();
    told.world.authority().post_toml("/v1/authorisations", &papers.authorisation).good();
    for (from, to, rule) in [
        (r#""kwh""#, r#""kwh", "meter""#, "agreement.column"),
        (r#"purposes = ["credit_risk"]"#, r#"purposes = ["credit_risk", "marketing"]"#, "agreement.purpose"),
        (r#"safeguards = "沙箱""#, "", "agreement.incomplete"),
        (r#"application = "agr-beyond""#, r#"application = "none""#, "application.incomplete"),
        (r#"authorisation = "agr-beyond""#, r#"authorisation = "none""#, "authorisation.missing"),
    ] {
        let answer = told.world.operator().post_toml("/v1/agreements", &changed(&papers.agreement, from, to));
        told.no(&answer, rule);
    }
    let hasty = changed(&Papers::new("hasty").application, "secure = true", "secure = false");
    let answer = told.world.operator().post_toml("/v1/applications", &hasty);
    told.no(&answer, "application.commitments");
}

pub(super) fn jobs(told: &mut Told) {
    told.job_with("purpose", json!("marketing"), "agreement.purpose");
    told.job_with("recipient", json!("rival-bank"), "agreement.recipient");
    told.job_with("agreement", Value::Null, "agreement.missing");
    let error = told.job_with("module", json!(format!("sha256:{}", "0".repeat(64))), "request.not_found");
    assert_eq!(error["subject"], "module");
    // A provider may be stricter than the floor, never laxer; one job was submitted today.
    let bureau = told.world.bureau();
    let strict = changed(&policy::small(), "jobs_per_day_max = 100000", "jobs_per_day_max = 1");
    bureau.put_toml("/v1/policies/orgs/tax-bureau", &strict).good();
    let mut job = told.world.job("main", &told.table);
    job["purpose"] = json!("credit_risk");
    let answer = told.world.operator().post("/v1/jobs", &job);
    let error = told.no(&answer, "request.busy");
    assert_eq!((answer.status, &error["threshold"]), (429, &json!("1 jobs a day")));
    let answer = bureau.put_toml("/v1/policies/orgs/tax-bureau", &changed(&policy::small(), "min_frequency = 10", "min_frequency = 3"));
    told.no(&answer, "policy.weaker");
    bureau.put_toml("/v1/policies/orgs/tax-bureau", &policy::small()).good();
    // A module that nobody has read, by role; then one that was denied.
    let unread = told.world.upload("credit-scorecard");
    told.job_with("module", json!(unread), "module.unreviewed");
    let by_researcher = told.world.researcher().post("/v1/jobs", &told.world.job("main", &unread));
    told.no(&by_researcher, "module.unreviewed");
    let review = format!("/v1/modules/{unread}/review");
    let own = told.world.own_checker().post(&review, &json!({ "approve": true, "reason": "ours" }));
    told.no(&own, "auth.own_review");
    let operator = told.world.operator().post(&review, &json!({ "approve": true, "reason": "mine" }));
    told.no(&operator, "auth.role");
    let silent = told.world.checker().post(&review, &json!({ "approve": false, "reason": " " }));
    told.no(&silent, "review.reason");
    let denied = told.world.upload("misbehaves");
    told.world.checker().post(&format!("/v1/modules/{denied}/review"), &json!({ "approve": false, "reason": "读取过多字段" })).good();
    told.job_with("module", json!(denied), "module.denied");
    // An agreement is its operator's alone.
    let rival = told.world.rival();
    let (key, public_key) = signing_key();
    told.world.server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": "rival-bank" })).good();
    let uploaded = rival.upload_module(&key, &module("spins")).good();
    let module = uploaded["digest"].as_str().unwrap();
    told.world.checker().post(&format!("/v1/modules/{module}/review"), &json!({ "approve": true, "reason": "read" })).good();
    rival.post_toml("/v1/plans", &tax_only("rival")).good();
    let mut job = told.world.job("main", module);
    job["plan"] = json!("rival");
    let answer = rival.post("/v1/jobs", &job);
    told.no(&answer, "agreement.operator");
    // Another's plan and module look like none.
    let answer = rival.post("/v1/jobs", &told.world.job("main", &told.table));
    told.no(&answer, "request.not_found");
}

/// A plan over the tax bureau's rows alone.
pub(super) fn tax_only(id: &str) -> String {
    format!(
        r#"id = "{id}"
title = "credit"
unit = "tax.uscc"
namespace = "firm"
[[members]]
alias = "tax"
dataset = "tax_grades"
[[outputs]]
name = "tax_grade"
from = "tax.grade"
transform = "keep"
"#
    )
}
