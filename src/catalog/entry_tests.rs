use super::*;

pub(in crate::catalog) const TAX: &str = r#"
id = "tax_grades"
title = "企业纳税信用"
provider = "tax-bureau"
origin = "public"
public_kind = "government"
source = "金税系统"
update_frequency = "yearly"
security_level = "general"
personal_information = false
declared_rows = 1000
unique = ["uscc", "year"]
sharing = { class = "conditional" }
opening = { class = "none", legal_basis = "税收征收管理法第八条" }

[[columns]]
name = "uscc"
title = "统一社会信用代码"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "uscc"
nullable = false

[[columns]]
name = "year"
title = "年度"
role = "quasi_identifier"
type = "number"
resolution = "1"
min = "2000"
max = "2100"
nullable = false

[[columns]]
name = "grade"
title = "等级"
role = "category"
type = "category"
domain = ["A", "B", "M", "C", "D"]
nullable = false

[[columns]]
name = "vat_paid"
title = "增值税"
role = "measure"
type = "number"
resolution = "0.01"
min = "-1000.5"
max = "100000000"
nullable = true

[[columns]]
name = "penalty"
title = "处罚"
role = "sensitive"
type = "date"
nullable = true
"#;

pub(in crate::catalog) const BANK: &str = r#"
id = "loans"
title = "贷款"
provider = "bank"
origin = "non_public"
owner = "bank"
source = "核心系统"
update_frequency = "monthly"
security_level = "important"
personal_information = true
consent_unit = "uscc"
declared_rows = 500
sharing = { class = "conditional" }
opening = { class = "conditional" }

[[columns]]
name = "uscc"
title = "统一社会信用代码"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "uscc"
nullable = false

[[columns]]
name = "default_12m"
title = "违约"
role = "category"
type = "category"
domain = ["no", "yes"]
nullable = false

[[columns]]
name = "branch"
title = "支行"
role = "quasi_identifier"
type = "text"
bytes_max = 12
linkage = "geocode"
nullable = true

[[columns]]
name = "at"
title = "时间"
role = "quasi_identifier"
type = "hour"
linkage = "opaque"
nullable = false
"#;

fn refused(toml: &str) -> (&'static str, String) {
    let r = CatalogueEntry::parse(toml).unwrap_err();
    (r.rule().id, r.subject_text().unwrap_or("").to_owned())
}

fn without(toml: &str, line: &str) -> String {
    let kept: Vec<_> = toml.lines().filter(|l| !l.starts_with(line)).collect();
    assert!(kept.len() < toml.lines().count(), "{line}");
    kept.join("\n")
}

#[test]
fn an_entry_goes_there_and_back() {
    for text in [TAX, BANK] {
        let entry = CatalogueEntry::parse(text).unwrap();
        assert_eq!(CatalogueEntry::parse(&entry.to_toml()).unwrap(), entry);
        let json = serde_json::to_value(&entry).unwrap();
        assert_eq!(CatalogueEntry::validate(serde_json::from_value(json).unwrap()).unwrap(), entry);
    }
    let tax = CatalogueEntry::parse(TAX).unwrap();
    assert_eq!(tax.columns[3].schema.ty, ColumnType::Number { scale: 2, min: -100_050, max: 10_000_000_000 });
    assert_eq!((tax.unique.as_slice(), tax.owner().as_str()), (&[0, 1][..], "tax-bureau"));
    assert_eq!(tax.columns[0].namespace.as_ref().unwrap().as_str(), "firm");
    assert!(tax.consent_schema().is_none());
    let bank = CatalogueEntry::parse(BANK).unwrap();
    let consent = bank.consent_schema().unwrap();
    assert_eq!(consent.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["unit", "purpose", "expiry"]);
    assert_eq!(consent[0].linkage, Some(LinkageKey::Uscc));
    assert!(SecurityLevel::General < SecurityLevel::Important && SecurityLevel::Important < SecurityLevel::Core);
}

#[test]
fn every_missing_element_is_named_at_once() {
    let (rule, subject) = refused("");
    assert_eq!(rule, "dataset.incomplete");
    let all = "id, title, provider, origin, source, update_frequency, security_level, personal_information, declared_rows, sharing, opening, columns";
    assert_eq!(subject, all);
    assert_eq!(refused("origin = \"public\"").1, all.replace("origin", "public_kind"));
    for element in [
        "title",
        "provider",
        "origin",
        "public_kind",
        "source",
        "update_frequency",
        "security_level",
        "personal_information",
        "declared_rows",
        "sharing",
        "opening",
    ] {
        // The columns have titles too: only the entry's own elements go.
        let (head, tail) = TAX.split_once("[[columns]]").unwrap();
        assert_eq!(refused(&format!("{}\n[[columns]]{tail}", without(head, element))), ("dataset.incomplete", element.to_owned()));
    }
    assert_eq!(refused(&without(BANK, "consent_unit")).1, "consent_unit");
    assert_eq!(refused(&without(BANK, "owner")).1, "owner");
    let (rule, subject) = refused(&without(&without(TAX, "nullable"), "resolution"));
    assert_eq!(rule, "dataset.incomplete");
    for part in ["columns.uscc.nullable", "columns.year.nullable", "columns.year.resolution", "columns.vat_paid.resolution"] {
        assert!(subject.contains(part), "{subject}");
    }
}

#[test]
fn what_is_not_of_the_form_is_refused_by_name() {
    let change = |from: &str, to: &str| {
        assert!(TAX.contains(from), "{from}");
        refused(&TAX.replacen(from, to, 1))
    };
    assert_eq!(
        change("opening = { class = \"none\", legal_basis = \"税收征收管理法第八条\" }", "opening = { class = \"none\" }"),
        ("dataset.legal_basis", "opening".into())
    );
    for (from, to, element) in [
        ("id = \"tax_grades\"", "id = \"Tax\"", "id"),
        ("declared_rows = 1000", "declared_rows = -1", "line 11"),
        ("unique = [\"uscc\", \"year\"]", "unique = [\"uscc\", \"uscc\"]", "unique"),
        ("unique = [\"uscc\", \"year\"]", "unique = [\"nobody\"]", "unique"),
        ("unique = [\"uscc\", \"year\"]", "uniq = [\"nobody\"]", "line 12: unknown field `uniq`"),
        ("name = \"grade\"", "name = \"uscc\"", "columns.uscc"),
        ("name = \"grade\"", "name = \"Grade\"", "columns.Grade"),
        ("resolution = \"0.01\"", "resolution = \"0.05\"", "columns.vat_paid.resolution"),
        ("min = \"-1000.5\"", "min = \"-1000.555\"", "columns.vat_paid.min"),
        ("max = \"100000000\"", "max = \"-2000\"", "columns.vat_paid.max"),
        ("max = \"100000000\"", "max = \"1e9\"", "columns.vat_paid.max"),
        ("\"C\", \"D\"]", "\"C\", \"C\"]", "columns.grade.domain"),
        ("bytes_max = 18", "bytes_max = 9999", "columns.uscc.bytes_max"),
        ("bytes_max = 18", "bytes_max = 18\ndomain = [\"a\"]", "columns.uscc.domain"),
        ("role = \"direct_identifier\"", "role = \"quasi_identifier\"", "columns.uscc.role"),
        ("linkage = \"uscc\"", "", "columns.uscc.role"),
        ("linkage = \"uscc\"", "linkage = \"uscc\"\nnamespace = \"shop\"", "columns.uscc.namespace"),
        ("linkage = \"uscc\"", "linkage = \"opaque\"\nnamespace = \"firm\"", "columns.uscc.namespace"),
        ("role = \"category\"", "role = \"measure\"", "columns.grade.role"),
        ("title = \"等级\"", "title = \" \"", "columns.grade.title"),
        ("public_kind = \"government\"", "public_kind = \"government\"\nowner = \"x\"", "owner"),
        ("personal_information = false", "personal_information = false\nconsent_unit = \"uscc\"", "consent_unit"),
    ] {
        let (rule, subject) = change(from, to);
        assert_eq!(rule, "dataset.invalid", "{to}");
        assert!(subject.starts_with(element), "{to}: {subject}");
    }
    assert_eq!(change("linkage = \"uscc\"", "linkage = \"opaque\"").1, "columns.uscc.namespace");
    assert_eq!(refused(&"x".repeat(2 << 20)).0, "dataset.invalid");
}

#[test]
fn data_is_stale_when_its_next_update_is_overdue() {
    let date = |t: &str| t.parse::<Date>().unwrap();
    for (frequency, updated, stale) in [
        (UpdateFrequency::Daily, "2026-02-28", "2026-03-02"),
        (UpdateFrequency::Weekly, "2026-01-01", "2026-01-09"),
        (UpdateFrequency::Monthly, "2026-01-31", "2026-03-01"),
        (UpdateFrequency::Monthly, "2026-12-15", "2027-01-16"),
        (UpdateFrequency::Quarterly, "2025-11-30", "2026-03-01"),
        (UpdateFrequency::Yearly, "2024-02-29", "2025-03-01"),
    ] {
        assert_eq!(frequency.stale_on(date(updated)), Some(date(stale)), "{updated}");
    }
    assert_eq!(UpdateFrequency::Once.stale_on(date("2000-01-01")), None);
}
