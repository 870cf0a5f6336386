use std::collections::BTreeSet;

use super::*;
use crate::catalog::SecurityLevel;
use crate::catalog::entry::tests::{BANK, TAX};
use crate::catalog::resolve::tests::PLAN;
use crate::policy::{Authz, Caller, Role, resource};
use crate::store::Db;
use crate::store::testing::TempDir;

struct Desk {
    db: Db,
    authz: Authz,
    now: Timestamp,
    _temp: TempDir,
}

fn rule<T: std::fmt::Debug>(result: Result<T, PolicyError>) -> &'static str {
    match result.unwrap_err() {
        PolicyError::Refused(r) => r.rule().id,
        PolicyError::Store(e) => panic!("{}", e.log_text()),
    }
}

impl Desk {
    fn new() -> Self {
        let temp = TempDir::create();
        let db = Db::open(&temp.roots(), &[MIGRATION], 1).unwrap();
        Self { db, authz: Authz::new().unwrap(), now: "2026-03-01T16:00:00Z".parse().unwrap(), _temp: temp }
    }
    fn register_as(&self, permitted: &CatalogueEntry, entry: &CatalogueEntry) -> Result<u32, PolicyError> {
        let org = permitted.owner().as_str();
        let public = org != "bank";
        let caller = Caller::for_tests("one", org, if public { Role::Provider } else { Role::Operator });
        let thing = resource::Dataset { id: permitted.id.clone(), org: permitted.owner().clone(), public };
        let (permit, entry, now) = (self.authz.authorize(&caller, thing).unwrap(), entry.clone(), self.now);
        self.db.write_blocking(move |tx| register(tx, permit, &entry, now))
    }
    fn register(&self, entry: &CatalogueEntry) -> Result<u32, PolicyError> {
        self.register_as(entry, entry)
    }
    fn import(&self, dataset: &DatasetId, kind: VersionKind, version: u32) -> Result<(), PolicyError> {
        let entry_revision = self.db.read_blocking(|c| entry(c, dataset)).unwrap().map_or(0, |e| e.revision);
        let row = VersionRow {
            dataset: dataset.clone(),
            kind,
            version,
            entry_revision,
            rows: 40 + u64::from(version),
            rejected: 1,
            imported_by: "one".parse().unwrap(),
            imported_at: self.now,
        };
        self.db.write_blocking(move |tx| record_version(tx, &row))
    }
}

#[test]
fn entries_are_versioned_and_stay_with_their_owner() {
    let desk = Desk::new();
    let (tax, bank) = (CatalogueEntry::parse(TAX).unwrap(), CatalogueEntry::parse(BANK).unwrap());
    assert_eq!((desk.register(&tax).unwrap(), desk.register(&bank).unwrap()), (1, 1));
    let graded = CatalogueEntry { security_level: SecurityLevel::Important, ..tax.clone() };
    assert_eq!(desk.register(&graded).unwrap(), 2);
    let listed = desk.db.read_blocking(entries).unwrap();
    assert_eq!(listed.iter().map(|r| (r.entry.id.as_str(), r.revision)).collect::<Vec<_>>(), [("loans", 1), ("tax_grades", 2)]);
    let at = |revision| desk.db.read_blocking(|c| entry_at(c, &tax.id, revision)).unwrap().map(|r| r.entry);
    assert_eq!((at(1), at(2), at(3)), (Some(tax.clone()), Some(graded), None));
    let other = CatalogueEntry::parse(&TAX.replace("tax-bureau", "other-bureau")).unwrap();
    assert_eq!(rule(desk.register(&other)), "request.conflict");
    // A permit for one entry is none for another.
    assert_eq!(rule(desk.register_as(&tax, &bank)), "auth.role");
    // Columns change only while nothing was imported.
    let fewer = CatalogueEntry { columns: bank.columns[..2].to_vec(), ..bank.clone() };
    assert_eq!(desk.register(&fewer).unwrap(), 2);
    desk.import(&bank.id, VersionKind::Data, 1).unwrap();
    assert_eq!(rule(desk.register(&bank)), "request.conflict");
}

#[test]
fn versions_of_data_and_consent_are_numbered_apart_and_once() {
    let desk = Desk::new();
    let bank = CatalogueEntry::parse(BANK).unwrap();
    desk.register(&bank).unwrap();
    assert_eq!(rule(desk.import(&bank.id, VersionKind::Data, 2)), "request.conflict");
    for version in 1..=3 {
        desk.import(&bank.id, VersionKind::Data, version).unwrap();
    }
    desk.import(&bank.id, VersionKind::Consent, 1).unwrap();
    assert_eq!(rule(desk.import(&bank.id, VersionKind::Data, 3)), "request.conflict");
    let newest = |kind| desk.db.read_blocking(|c| latest(c, &bank.id, kind)).unwrap().map(|v| (v.version, v.rows, v.rejected));
    assert_eq!((newest(VersionKind::Data), newest(VersionKind::Consent)), (Some((3, 43, 1)), Some((1, 41, 1))));
    assert_ne!(VersionKind::Data.segment("unit"), VersionKind::Consent.segment("unit"));
    let id = bank.id.clone();
    desk.db.write_blocking(move |tx| forget_versions(tx, &id)).unwrap();
    assert_eq!(newest(VersionKind::Data), None);
}

#[test]
fn a_plan_is_kept_once_under_its_identifier() {
    let desk = Desk::new();
    let kept = FusionPlan::parse(PLAN).unwrap();
    let submit = |org: &str, permitted: &FusionPlan, plan: &FusionPlan| {
        let thing = resource::Plan { id: permitted.id.clone(), org: org.parse().unwrap(), providers: BTreeSet::new() };
        let permit = desk.authz.authorize(&Caller::for_tests("one", org, Role::Operator), thing).unwrap();
        let (plan, now) = (plan.clone(), desk.now);
        desk.db.write_blocking(move |tx| submit_plan(tx, permit, &plan, now))
    };
    submit("bank", &kept, &kept).unwrap();
    submit("bank", &kept, &kept).unwrap();
    assert_eq!(rule(submit("rival", &kept, &kept)), "request.conflict");
    let changed = FusionPlan { title: "另一个".into(), ..kept.clone() };
    assert_eq!(rule(submit("bank", &kept, &changed)), "request.conflict");
    let other = FusionPlan { id: "other".parse().unwrap(), ..kept.clone() };
    assert_eq!(rule(submit("bank", &kept, &other)), "auth.role");
    let listed = desk.db.read_blocking(plans).unwrap();
    assert_eq!(listed.iter().map(|r| (r.org.as_str(), &r.plan)).collect::<Vec<_>>(), [("bank", &kept)]);
}
