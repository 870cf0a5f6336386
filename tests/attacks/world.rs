//! A bureau with a table of visits, two operators with a table each of their own, and rooms: a room is a namespace with its datasets, so
//! that what is released in one tells nothing of another, and each attack begins with a clean audit.

use std::collections::{BTreeMap, BTreeSet};

use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::modules::Script;
use crate::support::papers::Terms;
use crate::support::policy::standard;
use crate::support::scenario::signing_key;
use crate::support::{Client, Server, TempDir, until};

/// Least number of people behind a figure.
pub const K: usize = 10;
/// People of a room.
pub const PEOPLE: u64 = 2000;
pub const DISTRICTS: [&str; 6] = ["d0", "d1", "d2", "d3", "d4", "d5"];
/// Lower ends of the age bands but the first.
const AGE_CUTS: [u64; 5] = [30, 42, 54, 66, 78];
pub const SEXES: [&str; 2] = ["f", "m"];

/// A visit: what the test knows and the operators do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    pub person: u64,
    pub district: usize,
    pub week: u64,
    pub age: u64,
    pub sex: usize,
    pub amount: u64,
    pub ill: u64,
}

/// A generator whose seed is printed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The visits of a room. Districts are unequal, the last is small; one person in 200 has a very large amount.
pub fn visits(seed: u64) -> Vec<Visit> {
    let mut random = Random(seed);
    let mut all = Vec::new();
    for person in 0..PEOPLE {
        let district = [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5][random.below(20) as usize];
        let (age, sex) = (18 + random.below(72), random.below(2) as usize);
        let large = random.below(200) == 0;
        // In the last district all women are ill.
        let ill = if district == 5 && sex == 0 { 1 } else { random.below(3) / 2 };
        let first = random.below(12);
        for visit in 0..1 + random.below(2) {
            let amount = if large { 5000 + random.below(4000) } else { 20 + random.below(200) };
            all.push(Visit { person, district, week: (first + visit * 5) % 12, age, sex, amount, ill });
        }
    }
    all
}

pub fn age_band(age: u64) -> usize {
    AGE_CUTS.iter().filter(|cut| age >= **cut).count()
}

/// Distinct people of some visits.
pub fn people<'a>(visits: impl IntoIterator<Item = &'a Visit>) -> usize {
    visits.into_iter().map(|v| v.person).collect::<BTreeSet<_>>().len()
}

/// The operators; for the last one's jobs counts are rounded at random (its own policy says so).
pub const OPERATORS: [&str; 3] = ["opco", "rival", "rounded"];

pub struct World {
    pub server: Server,
    pub authority: Client,
    pub bureau: Client,
    pub checker: Client,
    keys: Vec<Ed25519KeyPair>,
    _dir: TempDir,
}

/// A room and its visits.
pub struct Room {
    pub name: String,
    pub visits: Vec<Visit>,
}

/// A job under way, and the operator who asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked(usize);

/// What an operator could download of a table.
#[derive(Clone, Debug)]
pub enum Got {
    /// Shown cells by their labels; suppressed ones are there without figures.
    Table(BTreeMap<Vec<String>, Option<BTreeMap<String, f64>>>),
    /// The state, and the rule that refused.
    Nothing(String),
}

impl Got {
    /// A cell's figure, where it is shown.
    pub fn figure(&self, labels: &[&str], measure: &str) -> Option<f64> {
        let Got::Table(cells) = self else { return None };
        let labels: Vec<String> = labels.iter().map(|l| (*l).to_owned()).collect();
        cells.get(&labels)?.as_ref()?.get(measure).copied()
    }
    pub fn cells(&self) -> impl Iterator<Item = (&Vec<String>, Option<&BTreeMap<String, f64>>)> {
        let cells = if let Got::Table(cells) = self { Some(cells) } else { None };
        cells.into_iter().flatten().map(|(keys, cell)| (keys, cell.as_ref()))
    }
    pub fn released(&self) -> bool {
        matches!(self, Got::Table(_))
    }
}

/// Jobs of any number of rooms, submitted one after another, and awaited together.
#[derive(Default)]
pub struct Batch {
    jobs: Vec<(usize, String)>,
}

impl World {
    pub fn start() -> Self {
        let dir = TempDir::new();
        let path = dir.path().join("fusebox.toml");
        std::fs::write(&path, "jobs_open_per_org_max = 10000\n").unwrap();
        let server = Server::start_with(&["--config", path.to_str().unwrap()]);
        let authority = server.person("authority-chen", "data-authority", "authority");
        authority.put_toml("/v1/policies/floor", &policy()).good();
        let mut keys = Vec::new();
        for org in OPERATORS {
            let (key, public_key) = signing_key();
            server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": org })).good();
            keys.push(key);
        }
        let rounded = policy().replace("rounding_base = 1", "rounding_base = 5").replace("rounding = \"nearest\"", "rounding = \"random\"");
        server.person("rounded-data", OPERATORS[2], "provider").put_toml("/v1/policies/orgs/rounded", &rounded).good();
        let bureau = server.person("bureau-wang", "bureau", "provider");
        let checker = server.person("checker-li", "exchange", "output_checker");
        Self { server, authority, bureau, checker, keys, _dir: dir }
    }

    pub fn operator(&self, operator: usize) -> Client {
        self.server.person(&format!("operator-{operator}"), OPERATORS[operator], "operator")
    }

    /// A room with its visits; `own` are the rows of each operator's own dataset, `person,w` (none: nobody has one).
    pub fn room(&self, name: &str, visits: Vec<Visit>, own: &[Vec<(u64, u64)>]) -> Room {
        let csv = visits.iter().fold("person,district,week,age,sex,amount,ill\n".to_owned(), |text, v| {
            let (district, sex) = (DISTRICTS[v.district], SEXES[v.sex]);
            text + &format!("P{:06},{district},{},{},{sex},{},{}\n", v.person, v.week, v.age, v.amount, v.ill)
        });
        self.bureau.post_toml("/v1/datasets", &entry(&format!("visits_{name}"), name, "bureau", true)).good();
        self.bureau.upload(&format!("/v1/datasets/visits_{name}/versions?format=csv"), csv.as_bytes()).good();
        for (operator, rows) in own.iter().enumerate() {
            self.operator(operator)
                .post_toml("/v1/datasets", &entry(&own_dataset(name, operator), name, OPERATORS[operator], false))
                .good();
            self.import(name, operator, rows);
        }
        Room { name: name.to_owned(), visits }
    }

    /// Another version of an operator's own dataset.
    pub fn import(&self, room: &str, operator: usize, rows: &[(u64, u64)]) {
        let csv = rows.iter().fold("person,w\n".to_owned(), |text, (person, w)| text + &format!("P{person:06},{w}\n"));
        self.operator(operator).upload(&format!("/v1/datasets/{}/versions?format=csv", own_dataset(room, operator)), csv.as_bytes()).good();
    }

    /// A plan with its papers: `filters` are lines of TOML of the visits' member, `join` attaches the operator's own dataset.
    pub fn plan(&self, room: &Room, operator: usize, name: &str, filters: &str, join: bool) -> String {
        let (org, who, id) = (OPERATORS[operator], self.operator(operator), format!("{}-{name}-{operator}", room.name));
        let (visits, own) = (format!("visits_{}", room.name), own_dataset(&room.name, operator));
        let member = if join { format!("[[members]]\nalias = \"own\"\ndataset = \"{own}\"\n") } else { String::new() };
        let joins = if join { "[[joins]]\nmember = \"own\"\nkind = \"inner\"\non = [[\"v.person\", \"person\"]]\n" } else { "" };
        let w = if join { output("w", "own.w", "\"keep\"") } else { String::new() };
        let plan = format!(
            "id = \"{id}\"\ntitle = \"t\"\nunit = \"v.person\"\nnamespace = \"{}\"\n[[members]]\nalias = \"v\"\ndataset = \"{visits}\"\n{filters}{member}{joins}{}{w}",
            room.name,
            OUTPUTS.iter().map(|(name, from, transform)| output(name, from, transform)).collect::<String>()
        );
        let columns = format!(
            "{visits} = [\"person\", \"district\", \"week\", \"age\", \"sex\", \"amount\", \"ill\"]\n{}",
            if join { format!("{own} = [\"person\", \"w\"]\n") } else { String::new() }
        );
        who.post_toml("/v1/plans", &plan).good();
        let datasets = format!("[\"{visits}\"]");
        let (purposes, doors, budgets) = (r#"["research"]"#, r#"["table"]"#, "jobs_max = 100000");
        let terms = Terms { ids: [&id; 3], operator: org, plan: &id, datasets: &datasets, purposes, doors, budgets, columns: &columns };
        self.authority.post_toml("/v1/authorisations", &terms.authorisation()).good();
        who.post_toml("/v1/applications", &terms.application()).good();
        self.bureau.post(&format!("/v1/applications/{id}/decide"), &json!({ "approve": true, "reason": "", "basis": "" })).good();
        who.post_toml("/v1/agreements", &terms.agreement()).good();
        self.bureau.post(&format!("/v1/agreements/{id}/countersign"), &json!({})).good();
        id
    }

    /// Uploads a script's module as the operator and has it approved; its digest.
    pub fn approved(&self, operator: usize, script: &Script) -> String {
        let uploaded = self.operator(operator).upload_module(&self.keys[operator], &script.module()).good();
        let digest = uploaded["digest"].as_str().unwrap().to_owned();
        self.checker.post(&format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "read" })).good();
        digest
    }

    /// Submits a job of `module` over `plan`.
    pub fn ask(&self, batch: &mut Batch, operator: usize, plan: &str, module: &str) -> Asked {
        let job = json!({ "agreement": plan, "plan": plan, "module": module, "purpose": "research" });
        let id = self.operator(operator).post("/v1/jobs", &job).good()["id"].as_str().unwrap().to_owned();
        batch.jobs.push((operator, id));
        Asked(batch.jobs.len() - 1)
    }

    fn decided(&self, id: &str) {
        until("a decision", || {
            let job = self.checker.get(&format!("/v1/jobs/{id}")).good();
            (!matches!(job["state"].as_str(), Some("queued" | "running" | "deciding"))).then_some(())
        });
    }

    /// What the operators could download, by job and name of the table, once every end shows.
    pub fn answers(&self, batch: &Batch) -> Answers {
        let mut answers = Answers::default();
        for (_, id) in &batch.jobs {
            self.decided(id);
        }
        for (asked, (operator, id)) in batch.jobs.iter().enumerate() {
            let who = self.operator(*operator);
            let job = who.ended(id);
            for release in job["releases"].as_array().unwrap_or_else(|| panic!("{job}")) {
                let release = release.as_str().unwrap();
                let shown = who.get(&format!("/v1/releases/{release}")).good();
                let got = if shown["state"] == "released" {
                    table(&who.get(&format!("/v1/releases/{release}/artefact")).good()["artefact"])
                } else {
                    Got::Nothing(format!("{} {}", shown["state"].as_str().unwrap(), shown["refusal"]["rule"].as_str().unwrap_or("")))
                };
                answers.0.insert((Asked(asked), shown["name"].as_str().unwrap().to_owned()), got);
            }
            if job["releases"].as_array().is_some_and(Vec::is_empty) {
                answers.1.push(format!("{id}: {} {}", job["state"], job["refusal"]["rule"]));
            }
        }
        answers
    }
}

/// Tables by job and name; and the jobs that brought none, with why.
#[derive(Default)]
pub struct Answers(pub BTreeMap<(Asked, String), Got>, pub Vec<String>);

impl Answers {
    pub fn of(&self, asked: Asked, name: &str) -> Got {
        self.0.get(&(asked, name.to_owned())).cloned().unwrap_or(Got::Nothing("no output".to_owned()))
    }

    /// How many tables were answered how.
    pub fn told(&self) -> BTreeMap<String, usize> {
        let mut told = BTreeMap::new();
        for got in self.0.values() {
            let word = if let Got::Nothing(why) = got { why.trim().to_owned() } else { "released".to_owned() };
            *told.entry(word).or_default() += 1;
        }
        told
    }
}

/// The released form, as an operator reads it.
fn table(artefact: &Value) -> Got {
    let measures: Vec<&str> = artefact["measures"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    let mut cells = BTreeMap::new();
    for row in artefact["rows"].as_array().unwrap() {
        let labels = row["keys"].as_array().unwrap().iter().map(|key| key.as_str().map_or_else(|| key.to_string(), str::to_owned));
        let figures = row["cell"]["shown"].as_array().map(|shown| {
            let figure = |(name, value): (&&str, &Value)| Some(((*name).to_owned(), value.as_str()?.parse().unwrap()));
            measures.iter().zip(shown).filter_map(figure).collect()
        });
        cells.insert(labels.collect(), figures);
    }
    Got::Table(cells)
}

fn own_dataset(room: &str, operator: usize) -> String {
    format!("own_{room}_{operator}")
}

const OUTPUTS: [(&str, &str, &str); 8] = [
    ("who", "v.person", "\"pseudonym\""),
    ("district", "v.district", "\"keep\""),
    ("week", "v.week", "\"keep\""),
    ("age", "v.age", "\"keep\""),
    ("band", "v.age", r#"{ bands = { cuts = [30, 42, 54, 66, 78], labels = ["a0", "a1", "a2", "a3", "a4", "a5"] } }"#),
    ("sex", "v.sex", "\"keep\""),
    ("amount", "v.amount", "\"keep\""),
    ("ill", "v.ill", "\"keep\""),
];

fn output(name: &str, from: &str, transform: &str) -> String {
    format!("[[outputs]]\nname = \"{name}\"\nfrom = \"{from}\"\ntransform = {transform}\n")
}

/// A line of a plan's filters.
pub fn filter(column: &str, op: &str, value: u64) -> String {
    format!("[[members.filters]]\ncolumn = \"{column}\"\nop = \"{op}\"\nvalue = {value}\n")
}

fn entry(id: &str, namespace: &str, owner: &str, public: bool) -> String {
    let origin = if public {
        "origin = \"public\"\npublic_kind = \"government\"".to_owned()
    } else {
        format!("origin = \"non_public\"\nowner = \"{owner}\"")
    };
    let number = |name: &str, max: u64| {
        format!(
            "[[columns]]\nname = \"{name}\"\ntitle = \"t\"\nrole = \"measure\"\ntype = \"number\"\nresolution = \"1\"\nmin = \"0\"\nmax = \"{max}\"\nnullable = false\n"
        )
    };
    let category = |name: &str, labels: &[&str]| {
        format!(
            "[[columns]]\nname = \"{name}\"\ntitle = \"t\"\nrole = \"category\"\ntype = \"category\"\ndomain = {labels:?}\nnullable = false\n"
        )
    };
    let columns = if public {
        [
            category("district", &DISTRICTS),
            number("week", 11),
            number("age", 120),
            category("sex", &SEXES),
            number("amount", 10_000),
            number("ill", 1),
        ]
        .concat()
    } else {
        number("w", 1 << 40)
    };
    let unique = if public { r#"["person", "week"]"# } else { r#"["person"]"# };
    format!(
        "id = \"{id}\"\ntitle = \"t\"\nprovider = \"{owner}\"\n{origin}\nsource = \"s\"\nupdate_frequency = \"yearly\"\nsecurity_level = \"general\"\npersonal_information = false\ndeclared_rows = 1000\nunique = {unique}\nsharing = {{ class = \"conditional\" }}\nopening = {{ class = \"conditional\" }}\n[[columns]]\nname = \"person\"\ntitle = \"t\"\nrole = \"direct_identifier\"\ntype = \"text\"\nbytes_max = 16\nlinkage = \"opaque\"\nnamespace = \"{namespace}\"\nnullable = false\n{columns}"
    )
}

/// The standard policy on the shortest quantum, with as many jobs and holds as an attack needs: the count of holds is a second line of
/// defence, and the first is what is tried here.
pub fn policy() -> String {
    standard(&[
        ("time_quantum_seconds = 300", "time_quantum_seconds = 60"),
        ("jobs_per_day_max = 200", "jobs_per_day_max = 100000"),
        ("holds_max = 20", "holds_max = 1000000"),
    ])
}
