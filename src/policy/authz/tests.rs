use std::collections::BTreeSet;
use std::str::FromStr;

use cedar_policy::{Entities, EntityUid};

use super::*;
use crate::id::{JobId, ModuleDigest, OrgId, ReleaseId};
use crate::policy::resource::{
    Account, Agreement, Application, Authorisation, Budget, Dataset, Freeze, Issuer, Job, LogEntry, Module, Plan, Platform, PolicyScope,
    Release, ReviewerKey, SigningKey, Verification,
};
use crate::policy::{Role, actions as a};

fn org(name: &str) -> OrgId {
    name.parse().unwrap()
}

/// A situation in which an action is asked for.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// The thing is of the caller's organisation (for a provider: its data is touched).
    own: bool,
    public: bool,
    approved: bool,
}

fn cases() -> impl Iterator<Item = Case> {
    (0..8).map(|i| Case { own: i & 1 != 0, public: i & 2 != 0, approved: i & 4 != 0 })
}

/// Things of the situation, for this caller.
struct Things {
    caller: Caller,
    case: Case,
}

impl Things {
    fn org(&self) -> OrgId {
        if self.case.own { self.caller.principal().org.clone() } else { org("other") }
    }
    fn providers(&self) -> BTreeSet<OrgId> {
        let own = self.case.own && self.caller.principal().role == Role::Provider;
        BTreeSet::from([org("third"), if own { self.org() } else { org("fourth") }])
    }
    /// What a provider has a part in belongs to an operator.
    fn operator(&self) -> OrgId {
        if self.caller.principal().role == Role::Provider { org("other") } else { self.org() }
    }
    fn dataset(&self) -> Dataset {
        Dataset { id: "d".parse().unwrap(), org: self.org(), public: self.case.public }
    }
    fn application(&self) -> Application {
        Application { id: "a".parse().unwrap(), org: self.operator(), providers: self.providers() }
    }
    fn agreement(&self) -> Agreement {
        Agreement { id: "a".parse().unwrap(), org: self.operator(), providers: self.providers() }
    }
    fn authorisation(&self) -> Authorisation {
        Authorisation { id: "a".parse().unwrap(), org: self.org() }
    }
    fn plan(&self) -> Plan {
        Plan { id: "p".parse().unwrap(), org: self.operator(), providers: self.providers() }
    }
    fn module(&self) -> Module {
        Module { id: ModuleDigest::of(b""), org: self.operator() }
    }
    fn job(&self) -> Job {
        Job { id: JobId::random().unwrap(), org: self.operator(), providers: self.providers(), approved: self.case.approved }
    }
    fn release(&self) -> Release {
        Release { id: ReleaseId::random().unwrap(), org: self.operator(), providers: self.providers() }
    }
    fn account(&self) -> Account {
        Account { name: "someone".parse().unwrap(), org: self.org(), role: Role::Operator }
    }
    fn key(&self) -> SigningKey {
        SigningKey { id: "k".parse().unwrap(), org: self.org() }
    }
    fn reviewer_key(&self) -> ReviewerKey {
        ReviewerKey { id: "k".parse().unwrap(), name: "li".parse().unwrap(), org: self.org() }
    }
    fn freeze(&self) -> Freeze {
        Freeze { org: Some(self.org()), set_by: Some(self.org()) }
    }
    fn entry(&self) -> LogEntry {
        LogEntry { id: 7, parties: BTreeSet::from([org("third"), self.org()]) }
    }
    fn budget(&self) -> Budget {
        Budget { namespace: "person".parse().unwrap() }
    }
    fn scope(&self) -> PolicyScope {
        PolicyScope { org: Some(self.org()) }
    }
}

type Ask = fn(&Authz, &Things) -> bool;

/// One row of clauses §3. Cells: `●` may, `○` own only, `-` never, `n` own and non-public, `a` own and approved, `x` not own.
/// In the order of [`Role::ALL`]: authority, provider, operator, researcher, checker, system, security, auditor.
struct Row(&'static str, [&'static str; 8], &'static [Ask]);

const MATRIX: &[Row] = &[
    Row(
        "register / grade a dataset",
        ["-", "○", "n", "-", "-", "-", "-", "-"],
        &[
            |z, t| z.allows::<a::DatasetRegister>(&t.caller, &t.dataset()),
            |z, t| z.allows::<a::DatasetGrade>(&t.caller, &t.dataset()),
            |z, t| z.allows::<a::DatasetImport>(&t.caller, &t.dataset()),
            |z, t| z.allows::<a::ConsentImport>(&t.caller, &t.dataset()),
        ],
    ),
    Row(
        "apply, draft an agreement",
        ["-", "-", "○", "-", "-", "-", "-", "-"],
        &[
            |z, t| z.allows::<a::PlanSubmit>(&t.caller, &t.plan()),
            |z, t| z.allows::<a::ApplicationSubmit>(&t.caller, &t.application()),
            |z, t| z.allows::<a::AgreementDraft>(&t.caller, &t.agreement()),
        ],
    ),
    Row(
        "decide, counter-sign",
        ["-", "○", "-", "-", "-", "-", "-", "-"],
        &[
            |z, t| z.allows::<a::ApplicationDecide>(&t.caller, &t.application()),
            |z, t| z.allows::<a::AgreementCountersign>(&t.caller, &t.agreement()),
        ],
    ),
    Row(
        "authorise / revoke an operator",
        ["●", "-", "-", "-", "-", "-", "-", "-"],
        &[
            |z, t| z.allows::<a::AuthorisationGrant>(&t.caller, &t.authorisation()),
            |z, t| z.allows::<a::AuthorisationRevoke>(&t.caller, &t.authorisation()),
        ],
    ),
    Row("upload a module", ["-", "-", "○", "○", "-", "-", "-", "-"], &[|z, t| z.allows::<a::ModuleUpload>(&t.caller, &t.module())]),
    Row("approve a module", ["-", "-", "-", "-", "x", "-", "-", "-"], &[|z, t| z.allows::<a::ModuleReview>(&t.caller, &t.module())]),
    Row(
        "run on synthetic data",
        ["-", "-", "○", "○", "-", "-", "-", "-"],
        &[|z, t| z.allows::<a::JobSubmitSynthetic>(&t.caller, &t.job())],
    ),
    Row("run on real data", ["-", "-", "○", "a", "-", "-", "-", "-"], &[|z, t| z.allows::<a::JobSubmit>(&t.caller, &t.job())]),
    Row("approve a release", ["-", "-", "-", "-", "x", "-", "-", "-"], &[|z, t| z.allows::<a::ReleaseReview>(&t.caller, &t.release())]),
    Row(
        "veto a release",
        ["-", "○", "-", "-", "-", "-", "-", "-"],
        &[|z, t| z.allows::<a::ReleaseVeto>(&t.caller, &t.release()), |z, t| z.allows::<a::ReleaseWaive>(&t.caller, &t.release())],
    ),
    Row(
        "file a release request, appeal",
        ["-", "-", "○", "-", "-", "-", "-", "-"],
        &[|z, t| z.allows::<a::ReleaseRequestFile>(&t.caller, &t.release()), |z, t| z.allows::<a::ReleaseAppeal>(&t.caller, &t.release())],
    ),
    Row(
        "give a review more time, decide an appeal",
        ["●", "-", "-", "-", "-", "-", "-", "-"],
        &[|z, t| z.allows::<a::ReleaseExtend>(&t.caller, &t.release()), |z, t| z.allows::<a::ReleaseAppealDecide>(&t.caller, &t.release())],
    ),
    // By account, not by organisation: everyone here is someone else.
    Row(
        "enrol a reviewer's key",
        ["-", "-", "-", "-", "-", "-", "-", "-"],
        &[|z, t| z.allows::<a::ReviewerKeyEnrol>(&t.caller, &t.reviewer_key())],
    ),
    Row(
        "confirm a reviewer's key",
        ["-", "-", "-", "-", "-", "-", "●", "-"],
        &[
            |z, t| z.allows::<a::ReviewerKeyConfirm>(&t.caller, &t.reviewer_key()),
            |z, t| z.allows::<a::ReviewerKeyRevoke>(&t.caller, &t.reviewer_key()),
        ],
    ),
    Row(
        "set policy: floor",
        ["●", "-", "-", "-", "-", "-", "-", "-"],
        &[|z, t| z.allows::<a::PolicyFloorSet>(&t.caller, &PolicyScope { org: None })],
    ),
    Row("set policy: tighten", ["-", "○", "-", "-", "-", "-", "-", "-"], &[|z, t| z.allows::<a::PolicyTighten>(&t.caller, &t.scope())]),
    Row(
        "set policy: accounts, keys",
        ["-", "-", "-", "-", "-", "-", "●", "-"],
        &[
            |z, t| z.allows::<a::PrincipalCreate>(&t.caller, &t.account()),
            |z, t| z.allows::<a::PrincipalDeactivate>(&t.caller, &t.account()),
            |z, t| z.allows::<a::TokenIssue>(&t.caller, &t.account()),
            |z, t| z.allows::<a::TokenRevoke>(&t.caller, &t.account()),
            |z, t| z.allows::<a::KeyRegister>(&t.caller, &t.key()),
            |z, t| z.allows::<a::KeyRevoke>(&t.caller, &t.key()),
        ],
    ),
    Row("set a privacy budget", ["●", "-", "-", "-", "-", "-", "-", "-"], &[|z, t| z.allows::<a::BudgetSet>(&t.caller, &t.budget())]),
    Row("see a privacy budget", ["●", "●", "●", "●", "●", "-", "-", "●"], &[|z, t| z.allows::<a::BudgetRead>(&t.caller, &t.budget())]),
    Row("freeze releases", ["●", "○", "-", "-", "-", "-", "●", "-"], &[|z, t| z.allows::<a::FreezeSet>(&t.caller, &t.freeze())]),
    Row(
        "see a finding about the log",
        ["●", "-", "-", "-", "-", "●", "●", "●"],
        &[|z, t| z.allows::<a::RecoveryRead>(&t.caller, &Platform {})],
    ),
    Row("sign a recovery", ["●", "-", "-", "-", "-", "-", "-", "-"], &[|z, t| z.allows::<a::RecoverySign>(&t.caller, &Platform {})]),
    Row("read the log: bodies", ["●", "○", "○", "○", "○", "-", "-", "●"], &[|z, t| z.allows::<a::LogBodyRead>(&t.caller, &t.entry())]),
    Row("read the log: headers", ["●", "●", "●", "●", "●", "-", "-", "●"], &[|z, t| z.allows::<a::LogRead>(&t.caller, &Platform {})]),
];

#[test]
fn the_permission_matrix_holds() {
    let authz = Authz::new().unwrap();
    for Row(what, cells, asks) in MATRIX {
        for (role, cell) in Role::ALL.iter().zip(cells) {
            for case in cases() {
                let things = Things { caller: Caller::for_tests("someone-else", "mine", *role), case };
                let may = match *cell {
                    "●" => true,
                    "○" => case.own,
                    "-" => false,
                    "n" => case.own && !case.public,
                    "a" => case.own && case.approved,
                    "x" => !case.own,
                    other => panic!("{other}"),
                };
                for ask in *asks {
                    assert_eq!(ask(&authz, &things), may, "{what}: {role} {case:?}");
                }
            }
        }
    }
}

/// Raw rows and the log's past: nobody may, because there is no such action.
#[test]
fn there_is_no_action_to_see_rows_or_to_edit_the_log() {
    for action in Action::ALL {
        let name = action.as_str();
        assert!(!name.contains("Row") && (!name.starts_with("Log") || name.ends_with("Read")), "{name}");
    }
}

#[test]
fn what_else_is_denied() {
    let authz = Authz::new().unwrap();
    let case = Case { own: true, public: false, approved: false };
    let things = |role| Things { caller: Caller::for_tests("someone-else", "mine", role), case };
    let t = things(Role::Provider);
    // A provider neither freezes everything, nor sets the floor, nor lifts a freeze, be it its own.
    assert!(!authz.allows::<a::FreezeSet>(&t.caller, &Freeze { org: None, set_by: None }));
    assert!(!authz.allows::<a::FreezeLift>(&t.caller, &Freeze { org: Some(org("mine")), set_by: Some(org("city")) }));
    assert!(!authz.allows::<a::FreezeLift>(&t.caller, &t.freeze()));
    assert!(!authz.allows::<a::PolicyTighten>(&t.caller, &PolicyScope { org: None }));
    // Not even the authority sets a floor for one organisation only, nor reads what a checker alone sees.
    let t = things(Role::Authority);
    assert!(!authz.allows::<a::PolicyFloorSet>(&t.caller, &t.scope()));
    assert!(!authz.allows::<a::JobEvidenceRead>(&t.caller, &t.job()));
    // Own evidence, exact match figures, replays: not for who runs the job.
    for role in [Role::Operator, Role::Researcher] {
        let t = things(role);
        assert!(!authz.allows::<a::ReleaseEvidenceRead>(&t.caller, &t.release()));
        assert!(!authz.allows::<a::JobEvidenceRead>(&t.caller, &t.job()));
        assert!(!authz.allows::<a::JobReplay>(&t.caller, &t.job()));
        assert!(!authz.allows::<a::MatchReportRead>(&t.caller, &t.plan()));
        assert!(authz.allows::<a::MatchBandRead>(&t.caller, &t.plan()));
    }
    let caller = Caller::for_tests("li", "mine", Role::OutputChecker);
    let t = Things { caller, case };
    assert!(
        authz.allows::<a::ReviewerKeyEnrol>(&t.caller, &t.reviewer_key())
            && !authz.allows::<a::ReviewerKeyConfirm>(&t.caller, &t.reviewer_key())
    );
    // One's own account only, by name and not by organisation.
    let caller = Caller::for_tests("op", "mine", Role::Operator);
    let account = |name: &str| Account { name: name.parse().unwrap(), org: org("mine"), role: Role::Operator };
    assert!(authz.allows::<a::TokenRotate>(&caller, &account("op")) && !authz.allows::<a::TokenRotate>(&caller, &account("op2")));
}

#[test]
fn a_denial_tells_the_rule_that_forbids() {
    let authz = Authz::new().unwrap();
    let t = |role, own, public| Things { caller: Caller::for_tests("x", "mine", role), case: Case { own, public, approved: false } };
    let told = |r: Result<(), Refused>| r.unwrap_err().rule().id;
    let checker = t(Role::OutputChecker, true, false);
    assert_eq!(told(authz.authorize::<a::ReleaseReview>(&checker.caller, checker.release()).map(drop)), "auth.own_review");
    let operator = t(Role::Operator, true, true);
    assert_eq!(told(authz.authorize::<a::DatasetRegister>(&operator.caller, operator.dataset()).map(drop)), "dataset.public_by_operator");
    let stranger = t(Role::Operator, false, true);
    assert_eq!(told(authz.authorize::<a::DatasetRegister>(&stranger.caller, stranger.dataset()).map(drop)), "auth.role");
    let researcher = t(Role::Researcher, true, false);
    assert_eq!(told(authz.authorize::<a::JobSubmit>(&researcher.caller, researcher.job()).map(drop)), "module.unreviewed");
    let auditor = t(Role::Auditor, true, false);
    assert_eq!(told(authz.authorize::<a::JobSubmit>(&auditor.caller, auditor.job()).map(drop)), "auth.role");
}

#[test]
fn a_permit_names_who_what_and_on_what() {
    let authz = Authz::new().unwrap();
    let t = Things { caller: Caller::for_tests("op", "mine", Role::Operator), case: Case { own: true, public: false, approved: false } };
    let job = t.job();
    let permit = authz.authorize::<a::JobSubmit>(&t.caller, job.clone()).unwrap();
    assert_eq!((permit.action(), permit.caller(), permit.resource()), (Action::JobSubmit, &t.caller, &job));
}

/// Every action stands in the schema under its kind, and every kind's facts are as the schema says: at run time they are not compared.
#[test]
fn actions_and_facts_are_those_of_the_schema() {
    let authz = Authz::new().unwrap();
    let known: BTreeSet<_> = authz.schema.actions().map(|uid| uid.id().unescaped().to_owned()).collect();
    assert_eq!(known, Action::ALL.iter().map(|x| x.as_str().to_owned()).collect());
    for role in Role::ALL {
        let t = Things { caller: Caller::for_tests("x", "mine", *role), case: Case { own: true, public: true, approved: true } };
        check::<a::JobList>(&authz, &t, &Platform {});
        check::<a::TokenIssue>(&authz, &t, &t.account());
        check::<a::KeyRead>(&authz, &t, &t.key());
        check::<a::ReviewerKeyRead>(&authz, &t, &t.reviewer_key());
        check::<a::DatasetRead>(&authz, &t, &t.dataset());
        check::<a::PlanRead>(&authz, &t, &t.plan());
        check::<a::AuthorisationRead>(&authz, &t, &t.authorisation());
        check::<a::ApplicationRead>(&authz, &t, &t.application());
        check::<a::AgreementRead>(&authz, &t, &t.agreement());
        check::<a::ModuleRead>(&authz, &t, &t.module());
        check::<a::JobRead>(&authz, &t, &t.job());
        check::<a::ReleaseRead>(&authz, &t, &t.release());
        let issuer = Issuer { id: "app".parse().unwrap(), org: org("services"), registered_org: org("mine") };
        check::<a::IssuerRegister>(&authz, &t, &issuer);
        let id = crate::id::VerificationId::random().unwrap();
        check::<a::VerificationAsk>(&authz, &t, &Verification { id, org: org("mine"), providers: BTreeSet::from([org("bureau")]) });
        check::<a::LogBodyRead>(&authz, &t, &t.entry());
        check::<a::BudgetSet>(&authz, &t, &t.budget());
        for org in [None, Some(org("mine"))] {
            check::<a::FreezeSet>(&authz, &t, &Freeze { org: org.clone(), set_by: org.clone() });
            check::<a::PolicyTighten>(&authz, &t, &PolicyScope { org });
        }
    }
    for action in Action::ALL {
        assert!(authz.types.contains_key(action.resource_kind()));
    }
}

fn check<A: ActionType>(authz: &Authz, t: &Things, resource: &A::Resource) {
    let (_, entities) = authz.question(&t.caller, A::ACTION, resource).unwrap();
    let strict = Entities::from_entities(entities.iter().cloned(), Some(&authz.schema));
    assert!(strict.is_ok(), "{:?}: {:?}", A::ACTION, strict.err());
    let uid = EntityUid::from_str(&format!("{}::\"\"", A::Resource::KIND)).unwrap();
    assert_eq!(uid.type_name(), authz.types.get(A::Resource::KIND).unwrap());
}

#[test]
fn further_policies_only_forbid_and_must_pass_the_schema() {
    let forbid = "@id(\"no-models\") @clause(\"X31\") forbid (principal, action == Action::\"ModuleUpload\", resource);";
    let authz = Authz::with_forbids(forbid).unwrap();
    let t = Things { caller: Caller::for_tests("op", "mine", Role::Operator), case: Case { own: true, public: false, approved: true } };
    assert!(!authz.allows::<a::ModuleUpload>(&t.caller, &t.module()) && authz.allows::<a::JobSubmit>(&t.caller, &t.job()));
    for bad in [
        "@id(\"x\") @clause(\"X31\") permit (principal, action, resource);",
        "forbid (principal, action, resource);",
        "@id(\"log\") @clause(\"X31\") forbid (principal, action, resource);",
        "@id(\"x\") @clause(\"X31\") @refusal(\"no.such\") forbid (principal, action, resource);",
        "@id(\"x\") @clause(\"X31\") forbid (principal in Role::\"king\", action, resource);",
        "@id(\"x\") @clause(\"X31\") forbid (principal, action == Action::\"Nothing\", resource);",
        "@id(\"x\") @clause(\"X31\") forbid (principal, action == Action::\"JobRead\", resource) when { resource.colour == \"red\" };",
        "not cedar",
    ] {
        assert!(Authz::with_forbids(bad).is_err(), "{bad}");
    }
}
