use super::*;
use crate::agreement::{AgreementDocument, Term};
use crate::clock::CHINA_UTC_OFFSET_S;

pub(crate) const AUTHORISATION: &str = r#"
id = "credit-2026"
operator = "bank"
scope = "credit of small firms"
datasets = ["tax", "power"]
term = { from = "2026-01-01", until = "2026-12-31" }
"#;
pub(crate) const APPLICATION: &str = r#"
id = "credit-1"
operator = "bank"
purposes = ["credit"]
legal_basis = "苏州市数据条例第二十四条"
scope = "small firms of the city"
method = "fusion in the sandbox"
use_case = "credit for small firms"
commitments = { true = true, compliant = true, secure = true }
[columns]
tax = ["uscc", "grade"]
power = ["uscc", "arrears_days"]
loans = ["uscc", "default_12m"]
"#;
pub(crate) const AGREEMENT: &str = r#"
id = "credit-a"
operator = "bank"
authorisation = "credit-2026"
application = "credit-1"
plan = "credit"
purposes = ["credit"]
recipients = ["bank"]
doors = ["table"]
term = { from = "2026-02-01", until = "2026-06-30" }
budgets = { jobs_max = 3 }
safeguards = "two persons, locked room"
disposal = "keys destroyed"
[columns]
tax = ["uscc", "grade"]
power = ["uscc", "arrears_days"]
loans = ["uscc", "default_12m"]
"#;

fn set<T: std::str::FromStr + Ord>(items: &[&str]) -> BTreeSet<T> {
    items.iter().map(|i| i.parse().ok().unwrap()).collect()
}

fn columns(items: &[(&str, &[&str])]) -> Columns {
    items.iter().map(|(d, c)| (d.parse().unwrap(), c.iter().map(|n| (*n).to_owned()).collect())).collect()
}

/// Papers and a job that are in order; each test spoils one thing.
struct Desk {
    authorisation: Authorisation,
    application: Application,
    agreement: Agreement,
    operator: OrgId,
    purpose: Name,
    recipient: OrgId,
    doors: BTreeSet<Door>,
    owners: BTreeMap<DatasetId, OrgId>,
    columns: Columns,
    plan: PlanId,
    plan_digest: Digest,
    jobs_before: u32,
    now: Timestamp,
}

impl Desk {
    fn new() -> Self {
        let at = Timestamp::from_unix_s(0);
        let providers = set::<OrgId>(&["tax-bureau", "grid"]);
        let terms = AgreementTerms {
            agreement: AgreementDocument::parse(AGREEMENT).unwrap(),
            plan_digest: Digest([1; 32]),
            providers: providers.clone(),
        };
        let by: PrincipalId = "tao".parse().unwrap();
        let granted = ProviderDecision { granted: true, reason: String::new(), basis: String::new(), by: by.clone(), at };
        let signed = Countersignature { digest: terms.digest(), by, at };
        Self {
            authorisation: Authorisation { document: AuthorisationDocument::parse(AUTHORISATION).unwrap(), granted_at: at, revoked: None },
            application: Application {
                document: ApplicationDocument::parse(APPLICATION).unwrap(),
                decisions: providers.iter().map(|p| (p.clone(), granted.clone())).collect(),
                providers: providers.clone(),
                submitted_at: at,
            },
            agreement: Agreement {
                terms,
                drafted_at: at,
                countersignatures: providers.iter().map(|p| (p.clone(), signed.clone())).collect(),
                terminated: None,
            },
            operator: "bank".parse().unwrap(),
            purpose: "credit".parse().unwrap(),
            recipient: "bank".parse().unwrap(),
            doors: BTreeSet::from([Door::Table]),
            owners: [("tax", "tax-bureau"), ("power", "grid"), ("loans", "bank")]
                .map(|(d, o)| (d.parse().unwrap(), o.parse().unwrap()))
                .into(),
            columns: columns(&[("tax", &["grade"]), ("loans", &["default_12m"])]),
            plan: "credit".parse().unwrap(),
            plan_digest: Digest([1; 32]),
            jobs_before: 2,
            now: "2026-03-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn judge(&self) -> Result<InForce, Refused> {
        let job = JobFacts {
            operator: &self.operator,
            purpose: &self.purpose,
            recipient: &self.recipient,
            doors: &self.doors,
            owners: &self.owners,
            columns: &self.columns,
            plan: &self.plan,
            plan_digest: self.plan_digest,
            jobs_before: self.jobs_before,
            now: self.now,
        };
        in_force(&self.agreement, &self.authorisation, &self.application, &job)
    }

    fn spoilt(spoil: impl FnOnce(&mut Self)) -> (&'static str, Option<String>) {
        let mut desk = Self::new();
        spoil(&mut desk);
        let refused = desk.judge().unwrap_err();
        (refused.rule().id, refused.subject_text().map(str::to_owned))
    }
}

fn ended() -> Option<Ending> {
    Some(Ending { by: "ada".parse().unwrap(), at: Timestamp::from_unix_s(1), reason: "found wanting".into() })
}

#[test]
fn papers_in_order_are_in_force() {
    let desk = Desk::new();
    let in_force = desk.judge().unwrap();
    assert_eq!(in_force.agreement().as_str(), "credit-a");
    assert_eq!(in_force.providers(), &set(&["grid", "tax-bureau"]));
    assert_eq!(in_force.until().to_string(), "2026-06-30T16:00:00Z", "midnight in China");
    assert_eq!((in_force.at(), in_force.terms()), (desk.now, desk.agreement.terms.digest()));
}

#[test]
fn each_cause_has_its_own_rule() {
    let told = |spoil: fn(&mut Desk)| Desk::spoilt(spoil);
    let alone = |rule| (rule, None);
    let about = |rule, subject: &str| (rule, Some(subject.to_owned()));

    assert_eq!(told(|d| d.operator = "other".parse().unwrap()), alone("agreement.operator"));
    assert_eq!(told(|d| d.authorisation.document.operator = "other".parse().unwrap()), alone("agreement.operator"));
    assert_eq!(told(|d| d.application.document.operator = "other".parse().unwrap()), alone("agreement.operator"));
    assert_eq!(told(|d| d.authorisation.document.id = "other".parse().unwrap()), alone("authorisation.missing"));
    assert_eq!(told(|d| d.application.document.id = "other".parse().unwrap()), alone("application.undecided"));

    assert_eq!(told(|d| d.authorisation.revoked = ended()), alone("authorisation.revoked"));
    assert_eq!(told(|d| d.authorisation.document.term.until = "2026-02-28".parse().unwrap()), alone("authorisation.expired"));
    assert_eq!(told(|d| d.authorisation.document.term.from = "2026-03-02".parse().unwrap()), alone("authorisation.expired"));
    assert_eq!(told(|d| d.authorisation.document.datasets = set(&["power"])), about("authorisation.scope", "tax"));

    assert_eq!(told(|d| drop(d.application.decisions.remove("grid"))), about("application.undecided", "grid"));
    assert_eq!(told(|d| d.application.decisions.get_mut("grid").unwrap().granted = false), about("application.refused", "grid"));

    assert_eq!(told(|d| d.agreement.terminated = ended()), alone("agreement.terminated"));
    assert_eq!(told(|d| d.now = "2026-01-31T15:59:59Z".parse().unwrap()), alone("agreement.not_begun"));
    assert_eq!(told(|d| d.now = "2026-06-30T16:00:00Z".parse().unwrap()), alone("agreement.expired"));
    assert_eq!(told(|d| drop(d.agreement.countersignatures.remove("grid"))), about("agreement.countersignature", "grid"));

    assert_eq!(told(|d| d.plan_digest = Digest([2; 32])), about("agreement.plan", "credit"));
    assert_eq!(told(|d| d.plan = "other".parse().unwrap()), about("agreement.plan", "other"));
    assert_eq!(told(|d| d.purpose = "marketing".parse().unwrap()), about("agreement.purpose", "marketing"));
    assert_eq!(told(|d| d.recipient = "broker".parse().unwrap()), about("agreement.recipient", "broker"));
    assert_eq!(told(|d| assert!(d.doors.insert(Door::Artefact))), about("agreement.door", "artefact"));
    assert_eq!(told(|d| d.columns = columns(&[("tax", &["vat_paid"])])), about("agreement.column", "tax.vat_paid"));
    assert_eq!(told(|d| d.columns = columns(&[("dishonest", &["name"])])), about("agreement.column", "dishonest.name"));
    assert_eq!(told(|d| d.jobs_before = 3), alone("agreement.budget"));
}

#[test]
fn a_signature_under_other_terms_is_none() {
    let (rule, subject) = Desk::spoilt(|d| d.agreement.terms.agreement.budgets.jobs_max += 1);
    assert_eq!((rule, subject.is_some()), ("agreement.countersignature", true));
}

#[test]
fn an_owner_that_was_added_since_must_decide_and_sign_too() {
    let water: OrgId = "water".parse().unwrap();
    let add = |d: &mut Desk| {
        d.owners.insert("pipes".parse().unwrap(), water.clone());
        d.authorisation.document.datasets.insert("pipes".parse().unwrap());
    };
    assert_eq!(Desk::spoilt(add), ("application.undecided", Some("water".into())));
    let decided = |d: &mut Desk| {
        add(d);
        let decision = d.application.decisions.values().next().unwrap().clone();
        d.application.decisions.insert(water.clone(), decision);
    };
    assert_eq!(Desk::spoilt(decided), ("agreement.countersignature", Some("water".into())));
}

#[test]
fn terms_run_from_the_first_to_the_last_day_in_china() {
    let term = Term { from: "2026-02-01".parse().unwrap(), until: "2026-02-01".parse().unwrap() };
    let first = term.from.start(CHINA_UTC_OFFSET_S);
    for (at, begun, over) in [(-1, false, false), (0, true, false), (86_399, true, false), (86_400, true, true)] {
        assert_eq!((term.begun(first.plus_s(at)), term.over(first.plus_s(at))), (begun, over), "{at}");
    }
}

#[test]
fn papers_that_lack_an_element_name_it() {
    let told = |r: Result<(), Refused>| r.map_err(|r| (r.rule().id, r.subject_text().unwrap_or_default().to_owned())).unwrap_err();
    let without = |text: &str, element: &str| {
        let kept: Vec<_> = text.lines().filter(|l| !l.starts_with(&format!("{element} ="))).collect();
        assert_ne!(kept.len(), text.lines().count(), "{element}");
        kept.join("\n")
    };
    for element in ["purposes", "legal_basis", "scope", "method", "use_case"] {
        let refused = told(ApplicationDocument::parse(&without(APPLICATION, element)).map(drop));
        assert_eq!(refused, ("application.incomplete", element.to_owned()));
    }
    let bare = told(ApplicationDocument::parse("id = \"a\"\noperator = \"b\"").map(drop));
    assert_eq!(bare.1, "purposes, legal_basis, scope, method, use_case, columns");
    assert_eq!(told(ApplicationDocument::parse(&without(APPLICATION, "commitments")).map(drop)).0, "application.commitments");
    let one = APPLICATION.replace("secure = true", "secure = false");
    assert_eq!(told(ApplicationDocument::parse(&one).map(drop)), ("application.commitments", "secure".to_owned()));
    for (doors, budgets) in [
        ("[\"table\", \"private\"]", "{ jobs_max = 3 }"),
        ("[\"private\"]", "{ jobs_max = 3, privacy_epsilon = \"0\" }"),
        ("[\"table\"]", "{ jobs_max = 3, privacy_epsilon = \"0.5\" }"),
        ("[\"private\"]", "{ jobs_max = 3, privacy_epsilon = \"1000.5\" }"),
    ] {
        let text = AGREEMENT.replace("doors = [\"table\"]", &format!("doors = {doors}")).replace("{ jobs_max = 3 }", budgets);
        assert_eq!(told(AgreementDocument::parse(&text).map(drop)), ("agreement.incomplete", "budgets.privacy_epsilon".to_owned()));
    }
    let open = AGREEMENT
        .replace("doors = [\"table\"]", "doors = [\"private\"]")
        .replace("{ jobs_max = 3 }", "{ jobs_max = 3, privacy_epsilon = \"0.5\" }");
    assert_eq!(AgreementDocument::parse(&open).unwrap().budgets.privacy_epsilon.to_string(), "0.5");
    for element in ["purposes", "recipients", "doors", "term", "budgets", "safeguards", "disposal", "plan"] {
        let refused = told(AgreementDocument::parse(&without(AGREEMENT, element)).map(drop));
        assert!(refused.0 == "agreement.incomplete" && refused.1.contains(element), "{element}: {refused:?}");
    }
    assert!(AgreementDocument::parse(&AGREEMENT.replace("\"table\"", "\"blob\"")).is_err());
    assert!(AgreementDocument::parse(&AGREEMENT.replace("2026-06-30", "2026-01-30")).is_err());
    assert_eq!(told(AuthorisationDocument::parse(&without(AUTHORISATION, "scope")).map(drop)), ("request.malformed", "scope".to_owned()));
}

#[test]
fn an_agreement_stays_within_its_application() {
    let application = ApplicationDocument::parse(APPLICATION).unwrap();
    let told = |edit: fn(&mut AgreementDocument)| {
        let mut agreement = AgreementDocument::parse(AGREEMENT).unwrap();
        edit(&mut agreement);
        agreement.within(&application).map_err(|r| r.rule().id)
    };
    assert_eq!(told(|_| ()), Ok(()));
    assert_eq!(told(|a| a.operator = "other".parse().unwrap()), Err("agreement.operator"));
    assert_eq!(told(|a| assert!(a.purposes.insert("marketing".parse().unwrap()))), Err("agreement.purpose"));
    assert_eq!(told(|a| assert!(a.columns.get_mut("tax").unwrap().insert("vat_paid".into()))), Err("agreement.column"));
}
