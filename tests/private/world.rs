//! A bureau with a table of people, an operator with a table of its own, and the papers for the private door. People are numbered; a
//! cohort is a dataset, so that two that differ by one person stand beside each other.

use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::support::papers::Terms;
use crate::support::policy::{SMALL, standard};
use crate::support::scenario::signing_key;
use crate::support::{Answer, Client, Server, TempDir, module, until};

/// The policy of every cohort: the private door is open, and a job may cost all there is.
pub fn policy() -> String {
    let doors = [("private = false", "private = true"), ("epsilon_per_job_max = \"1\"", "epsilon_per_job_max = \"1000\"")];
    standard(&[SMALL, &doors].concat())
}

/// Everyone, and a server.
pub struct World {
    pub server: Server,
    pub authority: Client,
    pub bureau: Client,
    pub operator: Client,
    key: Ed25519KeyPair,
    _dir: TempDir,
}

/// People as `(number, value 0 to 100)`.
pub type People = Vec<(u64, u64)>;

/// People 0 to `n`, values spread evenly.
pub fn people(n: u64) -> People {
    (0..n).map(|i| (i, i * 37 % 101)).collect()
}

/// A configuration that lets an operator have many jobs open: all of them end on the same quantum.
pub fn many_jobs() -> (String, TempDir) {
    let dir = TempDir::new();
    let path = dir.path().join("fusebox.toml");
    std::fs::write(&path, "jobs_open_per_org_max = 10000\n").unwrap();
    (path.to_str().unwrap().to_owned(), dir)
}

impl World {
    /// A server with the door open and a budget of `epsilon` for people.
    pub fn start(epsilon: &str) -> Self {
        let (config, dir) = many_jobs();
        let server = Server::start_with(&["--config", &config]);
        let authority = server.person("authority-chen", "data-authority", "authority");
        authority.put_toml("/v1/policies/floor", &policy()).good();
        let bureau = server.person("bureau-wang", "bureau", "provider");
        let operator = server.person("operator-zhao", "opco", "operator");
        let (key, public_key) = signing_key();
        server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": "opco" })).good();
        let world = Self { server, authority, bureau, operator, key, _dir: dir };
        world.set_budget(epsilon).good();
        world
    }

    /// Everyone, at the address that the server has after a start.
    pub fn again(&mut self) {
        for who in [&mut self.authority, &mut self.bureau, &mut self.operator] {
            who.url.clone_from(&self.server.url);
        }
    }

    /// Sets the budget of the namespace.
    pub fn set_budget(&self, epsilon: &str) -> Answer {
        let body = json!({ "epsilon": epsilon, "reason": "test" });
        self.authority.call("PUT", "/v1/namespaces/member/budget", &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// The budget as it stands.
    pub fn budget(&self) -> Value {
        self.operator.get("/v1/namespaces/member/budget").good()
    }

    /// A cohort: its two tables, the plan over them and its papers, all named by it.
    pub fn cohort(&self, name: &str, people: &People, epsilon: &str) {
        let lines = |header: &str, line: &dyn Fn(&(u64, u64)) -> String| {
            people.iter().fold(format!("{header}\n"), |text, person| text + &line(person) + "\n")
        };
        let register = |who: &Client, entry: &str, id: &str, csv: &str| {
            who.post_toml("/v1/datasets", entry).good();
            who.upload(&format!("/v1/datasets/{id}/versions?format=csv"), csv.as_bytes()).good();
        };
        let group = |i: u64| ["a", "b", "c"][(i % 3) as usize];
        let people_csv = lines("member,grp,value", &|(i, v)| format!("M{i:06},{},{v}", group(*i)));
        register(&self.bureau, &entry(&format!("people_{name}"), "bureau", PUBLIC, PEOPLE_COLUMNS), &format!("people_{name}"), &people_csv);
        let own_csv = lines("member,flag,who", &|(i, _)| format!("M{i:06},{},{i}", i % 2));
        register(&self.operator, &entry(&format!("own_{name}"), "opco", OWN, OWN_COLUMNS), &format!("own_{name}"), &own_csv);
        self.papers(name, epsilon);
    }

    fn papers(&self, name: &str, epsilon: &str) {
        let named = |text: &str| text.replace("NAME", name).replace("EPSILON", epsilon);
        self.operator.post_toml("/v1/plans", &named(PLAN)).good();
        self.authority.post_toml("/v1/authorisations", &named(&TERMS.authorisation())).good();
        self.operator.post_toml("/v1/applications", &named(&TERMS.application())).good();
        let decide = json!({ "approve": true, "reason": "", "basis": "" });
        self.bureau.post(&format!("/v1/applications/app-{name}/decide"), &decide).good();
        self.agreement(name, name, epsilon);
    }

    /// An agreement over a cohort's papers.
    pub fn agreement(&self, name: &str, cohort: &str, epsilon: &str) {
        let own = format!("agr-{name}");
        let terms = Terms { ids: ["auth-NAME", "app-NAME", &own], ..TERMS };
        let text = terms.agreement().replace("NAME", cohort).replace("EPSILON", epsilon);
        self.operator.post_toml("/v1/agreements", &text).good();
        self.bureau.post(&format!("/v1/agreements/agr-{name}/countersign"), &json!({})).good();
    }

    /// Uploads a module that nobody reads; its digest.
    pub fn upload(&self, package: &str) -> String {
        self.operator.upload_module(&self.key, &module(package)).good()["digest"].as_str().unwrap().to_owned()
    }

    /// A job over a cohort.
    pub fn job(&self, cohort: &str, fold: &Value, module: Option<&str>) -> Value {
        let mut job = json!({
            "agreement": format!("agr-{cohort}"), "plan": format!("plan-{cohort}"), "purpose": "research", "private": fold,
        });
        if let Some(module) = module {
            job["module"] = module.into();
        }
        job
    }

    /// Submits a job, waiting while too many are open; its identifier.
    pub fn submit(&self, cohort: &str, fold: &Value, module: Option<&str>) -> String {
        let job = self.job(cohort, fold, module);
        let accepted = until("room for a job", || {
            let answer = self.operator.post("/v1/jobs", &job);
            (answer.rule() != "request.busy").then_some(answer)
        });
        accepted.good()["id"].as_str().unwrap().to_owned()
    }

    /// Runs a job to its end; the only release.
    pub fn run(&self, cohort: &str, fold: &Value, module: Option<&str>) -> Value {
        self.release(&self.submit(cohort, fold, module))
    }

    /// The release of a job, once its end shows.
    pub fn release(&self, job: &str) -> Value {
        let ended = self.operator.ended(job);
        assert_eq!(ended["state"], "done", "{ended}\n{}", self.server.log().lines().rev().take(5).collect::<Vec<_>>().join("\n"));
        let release = ended["releases"][0].as_str().unwrap_or_else(|| panic!("{ended}")).to_owned();
        self.operator.get(&format!("/v1/releases/{release}/artefact")).good()
    }
}

/// A number of an artefact.
pub fn number(value: &Value) -> f64 {
    value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap()
}

fn entry(id: &str, provider: &str, origin: &str, columns: &str) -> String {
    format!(
        r#"id = "{id}"
title = "成员"
provider = "{provider}"
{origin}
source = "登记"
update_frequency = "yearly"
security_level = "general"
personal_information = false
declared_rows = 1000
unique = ["member"]
sharing = {{ class = "conditional" }}
opening = {{ class = "conditional" }}
[[columns]]
name = "member"
title = "编号"
role = "direct_identifier"
type = "text"
bytes_max = 16
linkage = "opaque"
namespace = "member"
nullable = false
{columns}"#
    )
}

const PUBLIC: &str = "origin = \"public\"\npublic_kind = \"government\"";
const OWN: &str = "origin = \"non_public\"\nowner = \"opco\"";

const PEOPLE_COLUMNS: &str = r#"[[columns]]
name = "grp"
title = "组"
role = "category"
type = "category"
domain = ["a", "b", "c"]
nullable = false
[[columns]]
name = "value"
title = "值"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "100"
nullable = false
"#;

const OWN_COLUMNS: &str = r#"[[columns]]
name = "flag"
title = "标志"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "1"
nullable = false
[[columns]]
name = "who"
title = "序号"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "999999"
nullable = false
"#;

const PLAN: &str = r#"
id = "plan-NAME"
title = "成员"
unit = "own.member"
namespace = "member"
[[members]]
alias = "own"
dataset = "own_NAME"
[[members]]
alias = "people"
dataset = "people_NAME"
[[joins]]
member = "people"
kind = "inner"
on = [["own.member", "member"]]
[[outputs]]
name = "value"
from = "people.value"
transform = "keep"
[[outputs]]
name = "grp"
from = "people.grp"
transform = "keep"
[[outputs]]
name = "flag"
from = "own.flag"
transform = "keep"
[[outputs]]
name = "who"
from = "own.who"
transform = "keep"
"#;

const TERMS: Terms<'static> = Terms {
    ids: ["auth-NAME", "app-NAME", "agr-NAME"],
    operator: "opco",
    plan: "plan-NAME",
    datasets: r#"["people_NAME"]"#,
    purposes: r#"["research"]"#,
    doors: r#"["private"]"#,
    budgets: r#"jobs_max = 100000, privacy_epsilon = "EPSILON""#,
    columns: "people_NAME = [\"member\", \"grp\", \"value\"]\nown_NAME = [\"member\", \"flag\", \"who\"]\n",
};
