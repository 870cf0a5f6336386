//! The papers of the examples are valid, and fit each other and the modules.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code, on the developer's own files"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fusebox::agreement::{AgreementDocument, ApplicationDocument, AuthorisationDocument};
use fusebox::catalog::{CatalogueEntry, FusionPlan};
use fusebox::policy::release::ReleasePolicy;
use protocol::schema::ColumnType;

fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example)
}

fn text(example: &str, file: &str) -> String {
    std::fs::read_to_string(folder(example).join(file)).unwrap()
}

fn entries(example: &str) -> BTreeMap<fusebox::id::DatasetId, CatalogueEntry> {
    let mut entries = BTreeMap::new();
    for file in std::fs::read_dir(folder(example).join("entries")).unwrap() {
        let path = file.unwrap().path();
        let entry = CatalogueEntry::parse(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        entries.insert(entry.id.clone(), entry);
    }
    entries
}

#[test]
fn papers_of_each_example_fit_each_other() {
    for (example, own) in [("adult", None), ("credit", Some("bank_loans")), ("flights", None), ("tenancy", Some("rental_applications"))] {
        let entries = entries(example);
        let plan = FusionPlan::parse(&text(example, "plan.toml")).unwrap_or_else(|e| panic!("{example}: {e}"));
        let resolved = plan.validate(&entries.iter().map(|(id, e)| (id.clone(), e)).collect()).unwrap_or_else(|e| panic!("{example}: {e}"));
        let authorisation = AuthorisationDocument::parse(&text(example, "authorisation.toml")).unwrap();
        let application = ApplicationDocument::parse(&text(example, "application.toml")).unwrap();
        let agreement = AgreementDocument::parse(&text(example, "agreement.toml")).unwrap();
        agreement.within(&application).unwrap();
        assert_eq!((&agreement.plan, &agreement.operator), (&plan.id, &authorisation.operator));
        assert_eq!((&agreement.authorisation, &agreement.application), (&authorisation.id, &application.id));
        // Every dataset but the operator's own is authorised, every column that the plan reads is agreed.
        for member in &resolved.members {
            let id = &member.dataset;
            assert_eq!(authorisation.datasets.contains(id), own != Some(id.as_str()), "{id}");
            let names = member.columns.iter().map(|c| &entries[id].columns[usize::from(*c)].schema.name);
            let agreed = &agreement.columns[id];
            let read: std::collections::BTreeSet<_> = names.cloned().collect();
            assert_eq!(&read, agreed, "{id}: exactly the columns that the plan reads");
        }
    }
}

#[test]
fn policies_are_valid() {
    for example in ["adult", "credit", "tenancy"] {
        ReleasePolicy::parse(&text(example, "policy.toml")).unwrap();
    }
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/examples")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            ReleasePolicy::parse(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// A label's number is its place in the catalogue, in the modules, and in what applies a released model outside.
#[test]
fn labels_of_the_income_study_have_one_order() {
    let entries = entries("adult");
    let census = &entries["census_persons"];
    for (name, labels) in adult_converter::CATEGORIES {
        let (_, column) = census.column(name).unwrap();
        let ColumnType::Category { domain } = &column.schema.ty else { panic!("{name}: {:?}", column.schema.ty) };
        assert_eq!(domain, labels, "{name}");
    }
}
