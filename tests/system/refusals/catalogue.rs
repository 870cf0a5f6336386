//! Catalogue entries and plans.

use serde_json::json;

use super::Told;
use super::papers::tax_only;
use crate::world::{PLAN, Papers, changed};

pub(super) fn catalogue(told: &mut Told) {
    let none = r#"{ class = "none", legal_basis = "税收征收管理法第八条" }"#;
    let bureau = told.world.bureau();
    bureau.post_toml("/v1/datasets", &entry("kept", "general", none)).good();
    bureau.post_toml("/v1/datasets", &entry("deep", "core", SHARED)).good();
    bureau.post_toml("/v1/datasets", &entry("extra", "general", SHARED)).good();
    let over = |id: &str, dataset: &str| tax_only(id).replace("tax_grades", dataset).replace("grade", "size").replace("tax_size", "size");
    for (dataset, rule) in [("kept", "dataset.sharing_none"), ("deep", "dataset.core"), ("nowhere", "request.not_found")] {
        let answer = told.world.operator().post_toml("/v1/plans", &over("bad", dataset));
        let error = told.no(&answer, rule);
        assert_eq!(error["subject"], dataset);
    }
    // Graded up after it was agreed: the next job is refused, whatever was signed.
    told.world.operator().post_toml("/v1/plans", &over("extra", "extra")).good();
    let mut papers = Papers { unsigned: vec!["power-company"], undecided: vec!["power-company"], ..Papers::new("extra") };
    let columns = |text: &str| text.split_once("[columns]").unwrap().0.to_owned() + "[columns]\nextra = [\"uscc\", \"size\"]\n";
    (papers.application, papers.agreement) = (columns(&papers.application), columns(&papers.agreement));
    papers = papers.agreement(r#"plan = "credit""#, r#"plan = "extra""#);
    papers = papers.authorisation(r#"["tax_grades", "power_bills"]"#, r#"["extra"]"#);
    told.world.carry(&papers);
    let mut job = told.world.job("extra", &told.table);
    job["plan"] = json!("extra");
    let answer = told.world.operator().post("/v1/jobs", &job);
    told.no(&answer, "dataset.no_version");
    for (text, rule) in [(entry("extra", "core", SHARED), "dataset.core"), (entry("extra", "general", none), "dataset.sharing_none")] {
        bureau.post_toml("/v1/datasets", &text).good();
        let answer = told.world.operator().post("/v1/jobs", &job);
        told.no(&answer, rule);
    }
    // What an entry must say, and who may say it.
    let whole = entry("half", "general", SHARED);
    for element in ["source", "update_frequency", "security_level", "sharing", "opening"] {
        let line = whole.lines().find(|l| l.starts_with(&format!("{element} ="))).unwrap();
        let answer = bureau.post_toml("/v1/datasets", &changed(&whole, line, ""));
        let error = told.no(&answer, "dataset.incomplete");
        assert_eq!(error["subject"], element);
    }
    let answer = bureau.post_toml("/v1/datasets", &entry("half", "general", r#"{ class = "none" }"#));
    told.no(&answer, "dataset.legal_basis");
    let public = changed(&whole, "tax-bureau", "harbour-bank");
    let answer = told.world.operator().post_toml("/v1/datasets", &public);
    told.no(&answer, "dataset.public_by_operator");
    let answer = told.world.power().post_toml("/v1/datasets", &whole);
    told.no(&answer, "auth.role");
}

pub(super) fn plans(told: &mut Told) {
    let raw = changed(&tax_only("raw"), r#"from = "tax.grade""#, r#"from = "tax.uscc""#);
    let secret = changed(
        &tax_only("secret"),
        r#"dataset = "tax_grades""#,
        "dataset = \"tax_grades\"\nfilters = [{ column = \"contact\", op = \"eq\", value = \"x\" }]",
    );
    let bands = changed(&tax_only("banded"), r#"transform = "keep""#, r#"transform = { clamp = { min = 0, max = 1 } }"#);
    let unit = changed(&tax_only("unitless"), r#"unit = "tax.uscc""#, r#"unit = "tax.grade""#);
    for (text, rule) in [
        (raw, "plan.direct_identifier"),
        (secret, "plan.sensitive_filter"),
        (bands, "plan.transform"),
        (unit, "plan.unit"),
        (tax_only("loose").replace("alias = \"tax\"", "alias = \"Tax\""), "plan.invalid"),
    ] {
        let answer = told.world.operator().post_toml("/v1/plans", &text);
        told.no(&answer, rule);
    }
    // Agreed for another plan; and a column that the plan only filters by is a column that was not asked for.
    told.world.operator().post_toml("/v1/plans", &changed(PLAN, r#"id = "credit""#, r#"id = "other""#)).good();
    told.job_with("plan", json!("other"), "agreement.plan");
    let filtered =
        changed(PLAN, r#"dataset = "tax_grades""#, "dataset = \"tax_grades\"\nfilters = [{ column = \"vat\", op = \"ge\", value = 0 }]");
    told.world.operator().post_toml("/v1/plans", &changed(&filtered, r#"id = "credit""#, r#"id = "filtered""#)).good();
    told.world.carry(&Papers::new("filtered").agreement(r#"plan = "credit""#, r#"plan = "filtered""#));
    let mut job = told.world.job("filtered", &told.table);
    job["plan"] = json!("filtered");
    let answer = told.world.operator().post("/v1/jobs", &job);
    let error = told.no(&answer, "agreement.column");
    assert_eq!(error["subject"], "tax_grades.vat");
}

const SHARED: &str = r#"{ class = "conditional" }"#;

/// A catalogue entry of two columns.
fn entry(id: &str, level: &str, sharing: &str) -> String {
    format!(
        r#"id = "{id}"
title = "名录"
provider = "tax-bureau"
origin = "public"
public_kind = "government"
source = "台账"
update_frequency = "yearly"
security_level = "{level}"
personal_information = false
declared_rows = 10
unique = ["uscc"]
sharing = {sharing}
opening = {{ class = "conditional" }}
[[columns]]
name = "uscc"
title = "统一社会信用代码"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "uscc"
nullable = false
[[columns]]
name = "size"
title = "规模"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "9"
nullable = false
"#
    )
}
