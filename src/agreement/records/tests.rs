use super::*;
use crate::agreement::document::Door;
use crate::policy::resource;
use crate::policy::{Authz, Caller, Role};
use crate::store::Db;
use crate::store::testing::TempDir;

use crate::agreement::in_force::tests::{AGREEMENT, APPLICATION, AUTHORISATION};

struct Desk {
    db: Db,
    authz: Authz,
    _temp: TempDir,
    now: Timestamp,
}

fn who(role: Role, org: &str) -> Caller {
    Caller::for_tests(&format!("{org}-one"), org, role)
}

fn providers() -> BTreeSet<OrgId> {
    ["grid", "tax-bureau"].map(|p| p.parse().unwrap()).into()
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
        let db = Db::open(&temp.roots(), MIGRATIONS, 1).unwrap();
        Self { db, authz: Authz::new().unwrap(), _temp: temp, now: "2026-03-01T00:00:00Z".parse().unwrap() }
    }
    fn permit<A: ActionType>(&self, caller: &Caller, thing: A::Resource) -> Permit<A> {
        self.authz.authorize(caller, thing).unwrap()
    }
    fn grant(&self) -> Result<(), PolicyError> {
        let document = AuthorisationDocument::parse(AUTHORISATION).unwrap();
        let thing = resource::Authorisation { id: document.id.clone(), org: document.operator.clone() };
        let (permit, now) = (self.permit(&who(Role::Authority, "city"), thing), self.now);
        self.db.write_blocking(move |tx| grant(tx, permit, &document, now))
    }
    fn submit(&self) -> Result<(), PolicyError> {
        let document = ApplicationDocument::parse(APPLICATION).unwrap();
        let thing = resource::Application { id: document.id.clone(), org: document.operator.clone(), providers: providers() };
        let (permit, now) = (self.permit(&who(Role::Operator, "bank"), thing), self.now);
        self.db.write_blocking(move |tx| submit(tx, permit, &document, now))
    }
    fn decide(&self, provider: &str, granted: bool, reason: &'static str, basis: &'static str) -> Result<(), PolicyError> {
        let thing = resource::Application { id: "credit-1".parse().unwrap(), org: "bank".parse().unwrap(), providers: providers() };
        let (permit, now) = (self.permit(&who(Role::Provider, provider), thing), self.now);
        self.db.write_blocking(move |tx| decide(tx, permit, granted, reason, basis, now))
    }
    fn thing() -> resource::Agreement {
        resource::Agreement { id: "credit-a".parse().unwrap(), org: "bank".parse().unwrap(), providers: providers() }
    }
    fn draft(&self) -> Result<Digest, PolicyError> {
        let document = AgreementDocument::parse(AGREEMENT).unwrap();
        let (permit, now) = (self.permit(&who(Role::Operator, "bank"), Self::thing()), self.now);
        self.db.write_blocking(move |tx| draft(tx, permit, &document, Digest([1; 32]), now))
    }
    fn sign(&self, provider: &str, digest: Digest) -> Result<(), PolicyError> {
        let (permit, now) = (self.permit(&who(Role::Provider, provider), Self::thing()), self.now);
        self.db.write_blocking(move |tx| countersign(tx, permit, digest, now))
    }
    fn check(&self) -> Result<InForce, PolicyError> {
        let document = AgreementDocument::parse(AGREEMENT).unwrap();
        let owners =
            [("tax", "tax-bureau"), ("power", "grid"), ("loans", "bank")].map(|(d, o)| (d.parse().unwrap(), o.parse().unwrap())).into();
        let job = JobFacts {
            operator: &document.operator,
            purpose: &"credit".parse().unwrap(),
            recipient: &document.operator,
            doors: &BTreeSet::from([Door::Table]),
            owners: &owners,
            columns: &document.columns,
            plan: &document.plan,
            plan_digest: Digest([1; 32]),
            jobs_before: 0,
            now: self.now,
        };
        self.db.read_blocking(|c| check(c, &document.id, &job))
    }
}

#[test]
fn three_papers_from_grant_to_termination() {
    let desk = Desk::new();
    assert_eq!(rule(desk.check()), "agreement.missing");
    assert_eq!(rule(desk.draft()), "application.incomplete");
    desk.submit().unwrap();
    assert_eq!(rule(desk.submit()), "request.conflict");
    assert_eq!(rule(desk.draft()), "authorisation.missing");
    desk.grant().unwrap();
    assert_eq!(rule(desk.grant()), "request.conflict");
    let digest = desk.draft().unwrap();
    assert_eq!(rule(desk.check()), "application.undecided");

    for provider in ["grid", "tax-bureau"] {
        assert_eq!(rule(desk.decide(provider, false, "too wide", " ")), "application.reason");
        desk.decide(provider, true, "", "").unwrap();
        assert_eq!(rule(desk.decide(provider, false, "changed my mind", "C16")), "request.conflict");
    }
    assert_eq!(rule(desk.check()), "agreement.countersignature");
    assert_eq!(rule(desk.sign("grid", Digest([9; 32]))), "request.conflict");
    desk.sign("grid", digest).unwrap();
    assert_eq!(rule(desk.check()), "agreement.countersignature");
    desk.sign("tax-bureau", digest).unwrap();
    assert_eq!(desk.check().unwrap().terms(), digest);

    // What is read back is what was written.
    let read = desk.db.read_blocking(|c| agreement(c, &"credit-a".parse().unwrap())).unwrap().unwrap();
    assert_eq!(read.terms.agreement, AgreementDocument::parse(AGREEMENT).unwrap());
    assert_eq!(read.countersignatures.keys().cloned().collect::<BTreeSet<_>>(), providers());
    let over: Timestamp = "2026-06-30T16:00:00Z".parse().unwrap();
    assert_eq!(desk.db.read_blocking(|c| expired(c, over)).unwrap(), ["credit-a".parse().unwrap()]);
    assert_eq!(desk.db.read_blocking(|c| expired(c, over.plus_s(-1))).unwrap(), []);

    for (reason, told) in [(" ", Some("request.malformed")), ("breach", None), ("again", Some("request.conflict"))] {
        let (permit, now) = (desk.permit(&who(Role::Provider, "grid"), Desk::thing()), desk.now);
        let result = desk.db.write_blocking(move |tx| terminate(tx, permit, reason, now));
        assert_eq!(told, result.err().map(|e| rule::<()>(Err(e))));
    }
    assert_eq!(rule(desk.check()), "agreement.terminated");
    assert_eq!(desk.db.read_blocking(|c| expired(c, over)).unwrap(), []);
}

#[test]
fn a_revoked_authorisation_ends_the_agreements_that_rest_on_it() {
    let desk = Desk::new();
    desk.submit().unwrap();
    desk.grant().unwrap();
    let digest = desk.draft().unwrap();
    for provider in ["grid", "tax-bureau"] {
        desk.decide(provider, true, "", "").unwrap();
        desk.sign(provider, digest).unwrap();
    }
    let _ = desk.check().unwrap();
    let thing = resource::Authorisation { id: "credit-2026".parse().unwrap(), org: "bank".parse().unwrap() };
    let (permit, now) = (desk.permit(&who(Role::Authority, "city"), thing), desk.now);
    desk.db.write_blocking(move |tx| revoke(tx, permit, "breach", now)).unwrap();
    assert_eq!(rule(desk.check()), "authorisation.revoked");
}

#[test]
fn a_permit_for_one_paper_does_not_write_another() {
    let desk = Desk::new();
    let document = AuthorisationDocument::parse(AUTHORISATION).unwrap();
    let thing = resource::Authorisation { id: "other".parse().unwrap(), org: document.operator.clone() };
    let (permit, now) = (desk.permit(&who(Role::Authority, "city"), thing), desk.now);
    assert_eq!(rule(desk.db.write_blocking(move |tx| grant(tx, permit, &document, now))), "auth.role");
}
