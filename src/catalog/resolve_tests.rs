use super::*;
use crate::catalog::entry::tests::{BANK, TAX};
use protocol::plan::{DateBucket, Literal};

pub(in crate::catalog) const PLAN: &str = r#"
id = "credit"
title = "违约率"
unit = "tax.uscc"
namespace = "firm"

[[members]]
alias = "tax"
dataset = "tax_grades"
filters = [{ column = "year", op = "ge", value = 2024 }, { column = "grade", op = "in", values = ["A", "B"] }]

[[members]]
alias = "bank"
dataset = "loans"

[[joins]]
member = "bank"
kind = "inner"
on = [["tax.uscc", "uscc"]]

[[outputs]]
name = "firm"
from = "tax.uscc"
transform = "pseudonym"

[[outputs]]
name = "vat_band"
from = "tax.vat_paid"
transform = { bands = { cuts = ["0", "1000.50"], labels = ["refund", "small", "large"] } }

[[outputs]]
name = "default_12m"
from = "bank.default_12m"
transform = "keep"

[[outputs]]
name = "district"
from = "bank.branch"
transform = { prefix = 6 }

[[outputs]]
name = "month"
from = "bank.at"
transform = { bucket = "month" }
"#;

pub(in crate::catalog) fn entries() -> (CatalogueEntry, CatalogueEntry) {
    (CatalogueEntry::parse(TAX).unwrap(), CatalogueEntry::parse(BANK).unwrap())
}

fn validate(plan: &str, tax: &CatalogueEntry, bank: &CatalogueEntry) -> Result<ResolvedPlan, Refused> {
    FusionPlan::parse(plan)?.validate(&BTreeMap::from([(tax.id.clone(), tax), (bank.id.clone(), bank)]))
}

#[test]
fn a_plan_is_resolved_to_indexes_and_stored_integers() {
    let (tax, bank) = entries();
    let plan = FusionPlan::parse(PLAN).unwrap();
    assert_eq!(FusionPlan::parse(&plan.to_toml()).unwrap(), plan);
    let pinned = |version, rows, consent_version| Some(PinnedVersion { version, rows, consent_version });
    let mut inputs = BTreeMap::from([
        (tax.id.clone(), MemberInput { entry: &tax, version: pinned(3, 900, None) }),
        (bank.id.clone(), MemberInput { entry: &bank, version: pinned(1, 500, Some(7)) }),
    ]);
    let operator: OrgId = "bank".parse().unwrap();
    let run = RunContext { operator: &operator, purpose: "credit_rating", today: Date::from_days(20_000), threads: 2 };
    let r = plan.resolve(&inputs, &run).unwrap();
    let [a, b] = r.fuse.members.as_slice() else { panic!() };
    let names = |m: &PlanMember| m.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    // `penalty` is asked for by nobody and not loaded.
    assert_eq!(names(a), ["uscc", "year", "grade", "vat_paid"]);
    assert_eq!(names(b), ["uscc", "default_12m", "branch", "at"]);
    assert_eq!((a.operator_owned, b.operator_owned, a.consent_unit, b.consent_unit), (false, true, None, Some(0)));
    assert_eq!(a.filters[0], RowFilter { column: 1, op: FilterOp::Ge, values: vec![Literal::Int(2024)] });
    assert_eq!(a.filters[1].values, [Literal::Text("A".into()), Literal::Text("B".into())]);
    assert_eq!(r.fuse.unit, ColumnRef { member: 0, column: 0 });
    assert_eq!(r.fuse.joins, [PlanJoin { kind: JoinKind::Inner, on: vec![(ColumnRef { member: 0, column: 0 }, 0)] }]);
    assert_eq!(
        r.fuse.outputs[1].transform,
        Transform::Bands { cuts: vec![0, 100_050], labels: vec!["refund".into(), "small".into(), "large".into()] }
    );
    assert_eq!(r.fuse.outputs[4].transform, Transform::Bucket(DateBucket::Month));
    assert_eq!((r.fuse.today, r.fuse.threads, r.fuse.purpose.as_str()), (20_000, 2, "credit_rating"));
    assert_eq!((r.level, r.personal_information, r.namespace.as_str()), (SecurityLevel::Important, true, "firm"));
    assert_eq!(r.owners().values().map(OrgId::as_str).collect::<Vec<_>>(), ["bank", "tax-bureau"]);
    assert_eq!(r.columns()[&tax.id].iter().map(String::as_str).collect::<Vec<_>>(), ["grade", "uscc", "vat_paid", "year"]);
    assert_eq!(r.provenance[3], Provenance { output: "district".into(), dataset: bank.id.clone(), column: "branch".into() });

    let rule = |inputs: &BTreeMap<_, _>| plan.resolve(inputs, &run).unwrap_err().rule().id;
    inputs.get_mut(&bank.id).unwrap().version = pinned(1, 500, None);
    assert_eq!(rule(&inputs), "dataset.no_consent");
    inputs.get_mut(&bank.id).unwrap().version = None;
    assert_eq!(rule(&inputs), "dataset.no_version");
    inputs.remove(&bank.id);
    assert_eq!(rule(&inputs), "request.not_found");
}

#[test]
fn a_digest_covers_the_whole_plan_and_not_its_layout() {
    let digest = |toml: &str| FusionPlan::parse(toml).unwrap().digest();
    let one = digest(PLAN);
    assert_eq!(digest(&format!("# a remark\n{PLAN}\n\n")), one);
    for (from, to) in
        [("2024", "2025"), ("inner", "left"), ("\"A\", \"B\"", "\"B\", \"A\""), ("prefix = 6", "prefix = 4"), ("1000.50", "1000.51")]
    {
        assert_ne!(digest(&PLAN.replacen(from, to, 1)), one, "{to}");
    }
}

#[test]
fn what_the_catalogue_forbids_is_refused_with_its_rule() {
    let (tax, bank) = entries();
    let change = |from: &str, to: &str| {
        assert!(PLAN.contains(from), "{from}");
        validate(&PLAN.replacen(from, to, 1), &tax, &bank).map_err(|r| r.rule().id)
    };
    for (rule, from, to) in [
        ("plan.direct_identifier", "transform = \"pseudonym\"", "transform = \"keep\""),
        ("plan.direct_identifier", "transform = \"pseudonym\"", "transform = { prefix = 6 }"),
        (
            "plan.sensitive_filter",
            "column = \"year\", op = \"ge\", value = 2024",
            "column = \"penalty\", op = \"eq\", value = \"2024-01-01\"",
        ),
        (
            "plan.sensitive_filter",
            "column = \"year\", op = \"ge\", value = 2024",
            "column = \"uscc\", op = \"eq\", value = \"91350100M000100Y43\"",
        ),
        ("plan.invalid", "value = 2024", "value = \"2024.5\""),
        ("plan.invalid", "value = 2024", "value = 2024.5"),
        ("plan.invalid", "op = \"ge\", value = 2024", "op = \"in\", value = 2024"),
        ("plan.invalid", "op = \"ge\", value = 2024", "op = \"ge\""),
        ("plan.invalid", "values = [\"A\", \"B\"]", "values = [\"A\", \"E\"]"),
        ("plan.invalid", "op = \"in\", values = [\"A\", \"B\"]", "op = \"lt\", value = \"A\""),
        ("plan.invalid", "[[\"tax.uscc\", \"uscc\"]]", "[[\"tax.year\", \"uscc\"]]"),
        ("plan.invalid", "[[\"tax.uscc\", \"uscc\"]]", "[[\"tax.grade\", \"default_12m\"]]"),
        ("plan.invalid", "[[\"tax.uscc\", \"uscc\"]]", "[[\"bank.uscc\", \"uscc\"]]"),
        ("plan.invalid", "[[\"tax.uscc\", \"uscc\"]]", "[]"),
        ("plan.invalid", "member = \"bank\"", "member = \"tax\""),
        ("plan.invalid", "from = \"tax.vat_paid\"", "from = \"tax.nothing\""),
        ("plan.invalid", "name = \"district\"", "name = \"firm\""),
        ("plan.invalid", "alias = \"bank\"", "alias = \"tax\""),
        ("plan.invalid", "dataset = \"loans\"", "dataset = \"tax_grades\""),
        ("plan.invalid", "title = ", "colour = "),
        ("request.not_found", "dataset = \"loans\"", "dataset = \"others\""),
        ("plan.unit", "unit = \"tax.uscc\"", "unit = \"tax.grade\""),
        ("plan.unit", "namespace = \"firm\"", "namespace = \"person\""),
        ("plan.transform", "cuts = [\"0\", \"1000.50\"]", "cuts = [\"0\", \"0\"]"),
        ("plan.transform", "labels = [\"refund\", \"small\", \"large\"]", "labels = [\"refund\", \"small\"]"),
        ("plan.transform", "transform = { prefix = 6 }", "transform = { bucket = \"week\" }"),
        ("plan.transform", "transform = { prefix = 6 }", "transform = { prefix = 0 }"),
        ("plan.transform", "transform = { prefix = 6 }", "transform = { clamp = { min = 0, max = 1 } }"),
        ("plan.transform", "from = \"bank.default_12m\"\ntransform = \"keep\"", "from = \"bank.default_12m\"\ntransform = \"pseudonym\""),
    ] {
        assert_eq!(change(from, to).unwrap_err(), rule, "{to}");
    }
    // A row without a partner would have no unit.
    assert_eq!(change("unit = \"tax.uscc\"", "unit = \"bank.uscc\"").unwrap().fuse.unit.member, 1);
    let left = PLAN.replace("inner", "left").replace("unit = \"tax.uscc\"", "unit = \"bank.uscc\"");
    assert_eq!(validate(&left, &tax, &bank).unwrap_err().rule().id, "plan.unit");

    let rule = |tax: &CatalogueEntry| validate(PLAN, tax, &bank).unwrap_err().rule().id;
    assert_eq!(rule(&CatalogueEntry { security_level: SecurityLevel::Core, ..tax.clone() }), "dataset.core");
    let mut unshared = tax.clone();
    unshared.sharing.class = AccessClass::None;
    assert_eq!(rule(&unshared), "dataset.sharing_none");
    assert_eq!(rule(&CatalogueEntry { emergency: Some("typhoon".parse().unwrap()), ..tax.clone() }), "plan.invalid");
    let served = PLAN.replacen("namespace", "emergency = \"typhoon\"\nnamespace", 1);
    assert!(validate(&served, &CatalogueEntry { emergency: Some("typhoon".parse().unwrap()), ..tax.clone() }, &bank).is_ok());
}
