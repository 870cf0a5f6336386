//! The credit scenario with a table that left, two models that are held, and everyone who looks.

use credit_generator::{Data, Options, PURPOSE};
use serde_json::{Value, json};

use crate::support::scenario::{Member, Scenario};
use crate::support::{Client, Server, example};

/// Everyone: account, organisation, role.
pub const WHO: [(&str, &str, &str); 10] = [
    ("authority-chen", "data-authority", "authority"),
    ("tax-zhao", "tax-bureau", "provider"),
    ("operator-wang", "harbour-bank", "operator"),
    ("researcher-he", "harbour-bank", "researcher"),
    ("checker-li", "data-exchange-centre", "output_checker"),
    // The other one approved the module, and so does not review what came of it.
    ("reviewer-song", "review-office", "output_checker"),
    ("system-gao", "platform", "system_admin"),
    ("security-ma", "platform", "security_admin"),
    ("auditor-xu", "audit-office", "auditor"),
    ("rival-qian", "rival-bank", "operator"),
];

/// Reviewers beside `reviewer-song`, each of an organisation of its own.
pub const REVIEWERS: [(&str, &str); 3] = [("reviewer-tang", "university"), ("reviewer-lu", "institute"), ("reviewer-xie", "academy")];

pub struct World {
    pub server: Server,
    pub module: String,
    pub table_job: String,
    pub table: String,
    pub models: [String; 2],
}

impl World {
    pub fn start() -> Self {
        let data = Data::generate(Options { firms: 12_000, seed: 42 });
        let mut server = Server::start();
        let (tax, credit, electricity, bank, consents) =
            (data.tax_csv(), data.credit_csv(), data.electricity_csv(), data.bank_csv(), data.consents_csv());
        let provider = |entry, id, owner, csv| Member { entry, id, owner, csv, consents: None };
        let members = [
            provider("tax", "tax_grades", ("tax-zhao", "tax-bureau", "provider"), &tax),
            provider("credit", "credit_records", ("credit-sun", "credit-office", "provider"), &credit),
            provider("electricity", "electricity_bills", ("power-zhou", "utilities-bureau", "provider"), &electricity),
            Member {
                entry: "bank",
                id: "bank_loans",
                owner: ("operator-wang", "harbour-bank", "operator"),
                csv: &bank,
                consents: Some(&consents),
            },
        ];
        // Providers have two working days to object to a model.
        let agreement = example("credit/agreement.toml").replace("budgets =", "veto_working_days = { artefact = 2 }\nbudgets =");
        let policy = example("credit/policy.toml");
        let operator = ("operator-wang", "harbour-bank");
        let scenario = Scenario::set_up_as(&server, "credit", operator, PURPOSE, &members, &policy, &agreement);
        let (rate, card) = (scenario.approved("credit-default-rate"), scenario.approved("credit-scorecard"));
        scenario.upload("leaks");
        let submit = |module: &str| scenario.operator.post("/v1/jobs", &scenario.job(module)).good()["id"].as_str().unwrap().to_owned();
        let (table_job, first, second) = (submit(&rate), submit(&card), submit(&card));
        let release = |job: &str| -> String {
            let ended = scenario.checker.ended(job);
            ended["releases"][0].as_str().unwrap_or_else(|| panic!("{ended}")).to_owned()
        };
        let (table, models) = (release(&table_job), [release(&first), release(&second)]);
        for model in &models {
            let statement = json!({ "purpose": "小微企业信贷评分", "context": "仅用于授信审批" });
            scenario.operator.post(&format!("/v1/releases/{model}/request"), &statement).good();
        }
        for (id, org, role) in WHO {
            server.person(id, org, role);
        }
        for (id, org) in REVIEWERS {
            server.person(id, org, "output_checker");
        }
        server.stop();
        // Everyone sees from here on what came of the jobs: the quantum is another test's.
        let db = rusqlite::Connection::open(server.data().join("state/fusebox.db")).unwrap();
        db.execute("UPDATE job SET visible_at = created_at WHERE visible_at IS NOT NULL", []).unwrap();
        drop(db);
        server.launch();
        Self { server, module: rate, table_job, table, models }
    }

    pub fn client(&self, who: &str) -> Client {
        let reviewers = REVIEWERS.into_iter().map(|(id, org)| (id, org, "output_checker"));
        let (id, org, role) = WHO.into_iter().chain(reviewers).find(|(id, ..)| *id == who).unwrap();
        self.server.person(id, org, role)
    }

    /// An owner of the scenario's data.
    pub fn provider(&self, who: &str) -> Client {
        let owners = [("tax-zhao", "tax-bureau"), ("credit-sun", "credit-office"), ("power-zhou", "utilities-bureau")];
        let (id, org) = owners.into_iter().find(|(id, _)| *id == who).unwrap();
        self.server.person(id, org, "provider")
    }

    /// The bodies of the newest leaves, as the auditor reads them.
    pub fn leaves_of(&self, rule: &str) -> usize {
        let auditor = self.client("auditor-xu");
        let leaves = (0..).map(|n| auditor.get(&format!("/v1/log/leaves/{n}"))).take_while(|answer| answer.status == 200);
        leaves.filter(|leaf| leaf.json()["body"].as_str().is_some_and(|body| body.contains(rule))).count()
    }

    /// 500 outputs more, as copies of those there are under other names: the list holds no more.
    pub fn fill(&mut self) {
        self.server.stop();
        let db = rusqlite::Connection::open(self.server.data().join("state/fusebox.db")).unwrap();
        let columns = "job, org, author_org, providers, name, kind, reason, checks, facts, commitment, decision_leaf, created_at";
        for n in 0..500 {
            let state = ["released", "refused", "denied", "held"][n % 4];
            let refusal = (state == "refused").then(|| {
                let refused = fusebox::refusal::Refused::new(&fusebox::refusal::TABLE_MINIMUM_UNITS).threshold("10 units");
                serde_json::to_string(&refused).unwrap()
            });
            let sql = format!(
                "INSERT INTO release (id, {columns}, state, refusal, decided_at)
                 SELECT ?1, {}, ?2, ?3, created_at FROM release WHERE id = ?4",
                columns.replace("created_at", "created_at - ?5")
            );
            // An identifier's sixteen letters are of a to z and 2 to 7.
            let letters: String = (0..4).rev().map(|place| char::from(b'a' + (n >> (4 * place) & 15) as u8)).collect();
            let id = format!("rel_fillfillfill{letters}");
            let from = if n % 3 == 0 { &self.models[0] } else { &self.table };
            db.execute(&sql, (id, state, refusal, from, (n * 2_400) as i64)).unwrap();
        }
        drop(db);
        self.server.launch();
    }
}

/// The text at a pointer.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
