//! A small world: a bank that operates, a tax bureau and a power company that provide, everyone who decides about them, and 180
//! firms. Papers are texts that a test may change before they are carried through.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use crate::support::papers::Terms;
use crate::support::scenario::signing_key;
use crate::support::{Answer, Client, MODULE_CONTEXT, Server, TempDir, module, policy, until};

pub const FIRMS: u64 = 180;

const TAX: &str = r#"
id = "tax_grades"
title = "纳税信用"
provider = "tax-bureau"
origin = "public"
public_kind = "government"
source = "金税"
update_frequency = "yearly"
security_level = "general"
personal_information = false
declared_rows = 180
unique = ["uscc"]
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
name = "grade"
title = "纳税等级"
role = "category"
type = "category"
domain = ["A", "B", "M", "C", "D"]
nullable = false
[[columns]]
name = "penalties_24m"
title = "行政处罚"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "1000"
nullable = false
[[columns]]
name = "vat"
title = "增值税"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "999999999"
nullable = false
[[columns]]
name = "contact"
title = "联系人"
role = "sensitive"
type = "text"
bytes_max = 60
nullable = false
"#;

pub const POWER: &str = r#"
id = "power_bills"
title = "用电"
provider = "power-company"
origin = "public"
public_kind = "public_service"
source = "营销系统"
update_frequency = "monthly"
security_level = "general"
personal_information = false
declared_rows = 180
unique = ["uscc"]
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
name = "kwh"
title = "用电量"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "999999999"
nullable = false
[[columns]]
name = "arrears_days"
title = "欠费天数"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "3650"
nullable = false
"#;

const LOANS: &str = r#"
id = "loans"
title = "贷款"
provider = "harbour-bank"
origin = "non_public"
owner = "harbour-bank"
source = "核心系统"
update_frequency = "monthly"
security_level = "important"
personal_information = true
consent_unit = "uscc"
declared_rows = 180
unique = ["uscc"]
sharing = { class = "conditional" }
opening = { class = "none", legal_basis = "商业秘密" }
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
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "1"
nullable = false
"#;

/// The plan over all three; its columns are those that the modules of `examples/credit` ask for.
pub const PLAN: &str = r#"
id = "credit"
title = "信用"
unit = "loans.uscc"
namespace = "firm"
[[members]]
alias = "loans"
dataset = "loans"
[[members]]
alias = "tax"
dataset = "tax_grades"
[[members]]
alias = "power"
dataset = "power_bills"
[[joins]]
member = "tax"
kind = "inner"
on = [["loans.uscc", "uscc"]]
[[joins]]
member = "power"
kind = "inner"
on = [["loans.uscc", "uscc"]]
[[outputs]]
name = "firm"
from = "loans.uscc"
transform = "pseudonym"
[[outputs]]
name = "default_12m"
from = "loans.default_12m"
transform = "keep"
[[outputs]]
name = "tax_grade"
from = "tax.grade"
transform = "keep"
[[outputs]]
name = "penalties_24m"
from = "tax.penalties_24m"
transform = { clamp = { min = 0, max = 10 } }
[[outputs]]
name = "arrears_days"
from = "power.arrears_days"
transform = { clamp = { min = 0, max = 120 } }
[[outputs]]
name = "arrears_band"
from = "power.arrears_days"
transform = { bands = { cuts = [1, 31], labels = ["none", "short", "long"] } }
[[outputs]]
name = "kwh"
from = "power.kwh"
transform = { clamp = { min = 0, max = 60000 } }
"#;

const COLUMNS: &str = r#"loans = ["uscc", "default_12m"]
tax_grades = ["uscc", "grade", "penalties_24m"]
power_bills = ["uscc", "kwh", "arrears_days"]
"#;

/// A USCC with right check characters.
pub fn uscc(number: u64) -> String {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let body = format!("91350299{:09}", (number * 7_919 + 310_000_007) % 1_000_000_000);
    let place = |c: u8| ALPHABET.iter().position(|a| *a == c).unwrap() as u64;
    let (mut sum, mut weight) = (0, 1);
    for c in body.bytes() {
        sum = (sum + place(c) * weight) % 31;
        weight = weight * 3 % 31;
    }
    format!("{body}{}", char::from(ALPHABET[((31 - sum) % 31) as usize]))
}

/// Firm `i`: tax grade, whether it has long arrears, whether it defaulted.
pub fn firm(i: u64) -> (&'static str, bool, bool) {
    let grade = match i % 20 {
        0..7 => "A",
        7..14 => "B",
        14..16 => "M",
        16..18 => "C",
        _ => "D",
    };
    (grade, i % 2 == 1, (i * 7_919 % 13) < 6)
}

fn csv(header: &str, line: impl Fn(u64) -> String) -> String {
    (0..FIRMS).fold(format!("{header}\n"), |text, i| text + &line(i) + "\n")
}

pub fn tax_csv() -> String {
    csv("uscc,grade,penalties_24m,vat,contact", |i| format!("{},{},{},{},nobody", uscc(i), firm(i).0, i % 4, 1000 + i))
}

pub fn power_csv() -> String {
    csv("uscc,kwh,arrears_days", |i| format!("{},{},{}", uscc(i), 1000 + i * 37 % 500, if firm(i).1 { 40 } else { 0 }))
}

pub fn loans_csv() -> String {
    csv("uscc,default_12m", |i| format!("{},{}", uscc(i), u8::from(firm(i).2)))
}

pub fn consents_csv() -> String {
    csv("unit,purpose,expiry", |i| format!("{},credit_risk,2098-12-31", uscc(i)))
}

/// The three papers of one undertaking, named alike, and who does not sign.
#[derive(Clone)]
pub struct Papers {
    pub id: String,
    pub authorisation: String,
    pub application: String,
    pub agreement: String,
    pub undecided: Vec<&'static str>,
    pub unsigned: Vec<&'static str>,
}

/// `text` with `from` replaced; it must stand there.
#[track_caller]
pub fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` does not stand in it");
    text.replace(from, to)
}

impl Papers {
    pub fn new(id: &str) -> Self {
        let terms = Terms {
            ids: [id; 3],
            operator: "harbour-bank",
            plan: "credit",
            datasets: r#"["tax_grades", "power_bills"]"#,
            purposes: r#"["credit_risk"]"#,
            doors: r#"["table", "artefact"]"#,
            budgets: "jobs_max = 100000",
            columns: COLUMNS,
        };
        let (authorisation, application, agreement) = (terms.authorisation(), terms.application(), terms.agreement());
        Self { id: id.to_owned(), authorisation, application, agreement, undecided: Vec::new(), unsigned: Vec::new() }
    }

    #[track_caller]
    pub fn authorisation(mut self, from: &str, to: &str) -> Self {
        self.authorisation = changed(&self.authorisation, from, to);
        self
    }

    #[track_caller]
    pub fn agreement(mut self, from: &str, to: &str) -> Self {
        self.agreement = changed(&self.agreement, from, to);
        self
    }
}

/// The world. People are asked for by name at each use, for after a restart the server has another address.
pub struct World {
    pub server: Server,
    key: Ed25519KeyPair,
    /// A folder that the server's arguments name.
    pub folder: Option<TempDir>,
}

impl World {
    /// A server with policy, catalogue, rows, plan and the operator's key. `arguments` are further ones of `serve`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// The same, with variables in the server's environment.
    pub fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let server = Server::start_in(arguments, environment);
        let (key, public_key) = signing_key();
        let world = Self { server, key, folder: None };
        world.authority().put_toml("/v1/policies/floor", &policy::small()).good();
        for (owner, entry, id, rows) in [
            (world.bureau(), TAX, "tax_grades", tax_csv()),
            (world.power(), POWER, "power_bills", power_csv()),
            (world.operator(), LOANS, "loans", loans_csv()),
        ] {
            owner.post_toml("/v1/datasets", entry).good();
            let made = owner.upload(&format!("/v1/datasets/{id}/versions?format=csv"), rows.as_bytes()).good();
            assert_eq!((made["rows"].as_u64(), made["rejected"].as_u64()), (Some(FIRMS), Some(0)), "{made}");
        }
        world.operator().upload("/v1/datasets/loans/consents?format=csv", consents_csv().as_bytes()).good();
        world.server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": "harbour-bank" })).good();
        world.operator().post_toml("/v1/plans", PLAN).good();
        world
    }

    pub fn authority(&self) -> Client {
        self.server.person("authority-chen", "city", "authority")
    }
    pub fn bureau(&self) -> Client {
        self.server.person("bureau-wang", "tax-bureau", "provider")
    }
    pub fn power(&self) -> Client {
        self.server.person("power-zhao", "power-company", "provider")
    }
    pub fn operator(&self) -> Client {
        self.server.person("bank-lin", "harbour-bank", "operator")
    }
    pub fn researcher(&self) -> Client {
        self.server.person("bank-he", "harbour-bank", "researcher")
    }
    pub fn checker(&self) -> Client {
        self.server.person("checker-li", "exchange-centre", "output_checker")
    }
    /// A checker of the operator's own organisation.
    pub fn own_checker(&self) -> Client {
        self.server.person("bank-checker", "harbour-bank", "output_checker")
    }
    pub fn rival(&self) -> Client {
        self.server.person("rival-sun", "rival-bank", "operator")
    }
    pub fn stranger(&self) -> Client {
        self.server.person("stranger-xu", "weather-office", "provider")
    }
    pub fn auditor(&self) -> Client {
        self.server.person("auditor-mei", "audit-office", "auditor")
    }
    /// Everyone.
    pub fn all(&self) -> Vec<Client> {
        let mut all = vec![self.authority(), self.bureau(), self.power(), self.operator(), self.researcher(), self.checker()];
        all.extend([self.own_checker(), self.rival(), self.stranger(), self.auditor(), self.server.admin.clone()]);
        all.push(self.server.person("system-wu", "platform", "system_admin"));
        all
    }

    fn provider(&self, org: &str) -> Client {
        match org {
            "tax-bureau" => self.bureau(),
            "power-company" => self.power(),
            other => panic!("no provider {other}"),
        }
    }

    /// Carries papers through; the agreement's id.
    #[track_caller]
    pub fn carry(&self, papers: &Papers) -> String {
        self.authority().post_toml("/v1/authorisations", &papers.authorisation).good();
        self.operator().post_toml("/v1/applications", &papers.application).good();
        self.operator().post_toml("/v1/agreements", &papers.agreement).good();
        for org in ["tax-bureau", "power-company"] {
            if !papers.undecided.contains(&org) {
                let yes = json!({ "approve": true, "reason": "", "basis": "" });
                self.provider(org).post(&format!("/v1/applications/{}/decide", papers.id), &yes).good();
            }
            if !papers.unsigned.contains(&org) {
                self.provider(org).post(&format!("/v1/agreements/{}/countersign", papers.id), &json!({})).good();
            }
        }
        papers.id.clone()
    }

    /// Signature over a digest, base64.
    pub fn sign(&self, digest: &[u8]) -> String {
        STANDARD.encode(self.key.sign(&[MODULE_CONTEXT, digest].concat()).as_ref())
    }

    /// Uploads bytes as a module of the operator.
    pub fn upload_bytes(&self, bytes: &[u8]) -> Answer {
        self.operator().upload_module(&self.key, bytes)
    }

    /// Uploads a module; its digest.
    #[track_caller]
    pub fn upload(&self, package: &str) -> String {
        self.upload_bytes(&module(package)).good()["digest"].as_str().unwrap().to_owned()
    }

    /// Uploads a module and has it approved; its digest.
    #[track_caller]
    pub fn approved(&self, package: &str) -> String {
        let digest = self.upload(package);
        self.checker().post(&format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "read" })).good();
        digest
    }

    /// What a job on real data is submitted with.
    pub fn job(&self, agreement: &str, module: &str) -> Value {
        json!({ "agreement": agreement, "plan": "credit", "module": module, "purpose": "credit_risk", "recipient": "harbour-bank", "synthetic": false })
    }

    /// Submits; the job's id.
    #[track_caller]
    pub fn submit(&self, job: &Value) -> String {
        self.operator().post("/v1/jobs", job).good()["id"].as_str().unwrap().to_owned()
    }

    /// The job as checkers see it, who need not wait for the time quantum.
    pub fn seen(&self, id: &str) -> Value {
        self.checker().get(&format!("/v1/jobs/{id}")).good()
    }

    /// Waits for a state.
    pub fn wait(&self, id: &str, state: &str) -> Value {
        until(&format!("{state} of {id}"), || {
            let job = self.seen(id);
            let now = job["state"].as_str().unwrap().to_owned();
            assert!(now == state || !is_final(&now), "{id} is {now}: {job}");
            (now == state).then_some(job)
        })
    }

    /// The job once it ended or waits for a review.
    pub fn ended(&self, id: &str) -> Value {
        self.checker().ended(id)
    }

    /// Runs a job to its end.
    #[track_caller]
    pub fn run(&self, job: &Value) -> Value {
        let id = self.submit(job);
        self.ended(&id)
    }

    /// The only output of a job, as checkers see it.
    #[track_caller]
    pub fn output(&self, job: &Value) -> Value {
        let ids = job["releases"].as_array().unwrap();
        assert_eq!(ids.len(), 1, "{job}");
        self.checker().get(&format!("/v1/releases/{}", ids[0].as_str().unwrap())).good()
    }

    /// Process ids of the server's workers.
    pub fn workers(&self) -> Vec<u32> {
        children(self.server.pid())
    }

    /// The bodies of all leaves, in order: kind and body.
    pub fn leaves(&self) -> Vec<(fusebox::tlog::LeafKind, Value)> {
        let authority = self.authority();
        let size = self.checkpoint().0;
        (0..size)
            .map(|n| {
                let open = authority.get(&format!("/v1/log/leaves/{n}")).good();
                let leaf = fusebox::tlog::Leaf::parse(&STANDARD.decode(open["leaf"].as_str().unwrap()).unwrap()).unwrap();
                (leaf.kind, serde_json::from_str(open["body"].as_str().unwrap()).unwrap())
            })
            .collect()
    }

    /// Size and text of the newest checkpoint.
    pub fn checkpoint(&self) -> (u64, Vec<u8>) {
        let note = self.server.anonymous().get("/log/checkpoint");
        assert_eq!(note.status, 200);
        let size = String::from_utf8_lossy(&note.bytes).lines().nth(1).unwrap().parse().unwrap();
        (size, note.bytes)
    }

    /// The log directory once it holds everything up to `size` leaves and verifies against `remembered`.
    #[track_caller]
    pub fn verified_log(&self, remembered: &[u8], size: u64) -> fusebox::tlog::Report {
        let key = fusebox::tlog::Verifier::parse(&self.server.log_key).unwrap();
        let mut last = None;
        let mut look = || {
            let dir = cap_std::fs::Dir::open_ambient_dir(self.server.data().join("log"), cap_std::ambient_authority()).unwrap();
            let report = fusebox::tlog::verify(&fusebox::tlog::LogDir::new(dir), &key, Some(remembered));
            let done = report.is_sound() && report.leaves >= size;
            last = Some(report.clone());
            done.then_some(report)
        };
        // The directory is written after the commit, by a thread of its own.
        for _ in 0..500 {
            if let Some(report) = look() {
                return report;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("the log directory does not verify: {last:?}");
    }
}

pub fn is_final(state: &str) -> bool {
    matches!(state, "done" | "failed" | "cancelled")
}

/// State letter, parent and CPU ticks of a process; `None` where it is gone.
fn stat(pid: u32) -> Option<(char, u32, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields[0].chars().next()?, fields[1].parse().ok()?, fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?))
}

/// Children of a process and theirs: of a server the keepers, each with its worker.
pub fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = all.filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
    let mut found = Vec::new();
    let mut next = vec![parent];
    while let Some(at) = next.pop() {
        let below = parents.iter().filter(|(_, p)| *p == at).map(|(pid, _)| *pid);
        next.extend(below.clone());
        found.extend(below);
    }
    found
}

/// CPU ticks of processes that live.
pub fn ticks(pids: &[u32]) -> u64 {
    pids.iter().filter_map(|pid| stat(*pid)).map(|(_, _, ticks)| ticks).sum()
}

/// Whether a process is at work: neither gone nor dead and not yet collected.
pub fn lives(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _, _)| !matches!(state, 'Z' | 'X'))
}
