//! A planted value a column, and a search for each of them in everything that a server writes or says.

use std::path::Path;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Value, json};

use crate::support::{Answer, TempDir, fusebox};
use crate::world::{Papers, World, is_final, uscc};

pub const TAX: &str = r#"
id = "canary_tax"
title = "纳税"
provider = "tax-bureau"
origin = "public"
public_kind = "government"
source = "金税"
update_frequency = "yearly"
security_level = "general"
personal_information = false
declared_rows = 60
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
name = "person"
title = "法定代表人"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "resident_id"
nullable = false
[[columns]]
name = "plate"
title = "车牌"
role = "direct_identifier"
type = "text"
bytes_max = 16
linkage = "plate"
nullable = false
[[columns]]
name = "meter"
title = "表号"
role = "direct_identifier"
type = "text"
bytes_max = 30
linkage = "opaque"
namespace = "meter"
nullable = false
[[columns]]
name = "contact"
title = "联系人"
role = "sensitive"
type = "text"
bytes_max = 30
nullable = false
[[columns]]
name = "vat"
title = "增值税"
role = "measure"
type = "number"
resolution = "0.01"
min = "0"
max = "9999999.99"
nullable = false
[[columns]]
name = "since"
title = "成立日期"
role = "quasi_identifier"
type = "date"
nullable = false
[[columns]]
name = "grade"
title = "等级"
role = "category"
type = "category"
domain = ["A", "B"]
nullable = false
"#;

pub const LOANS: &str = r#"
id = "canary_loans"
title = "贷款"
provider = "harbour-bank"
origin = "non_public"
owner = "harbour-bank"
source = "核心系统"
update_frequency = "monthly"
security_level = "important"
personal_information = true
consent_unit = "uscc"
declared_rows = 60
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
name = "officer"
title = "客户经理"
role = "quasi_identifier"
type = "text"
bytes_max = 40
nullable = false
[[columns]]
name = "amount"
title = "金额"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "999999999"
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

/// `MARK` stands for what tells the plans apart.
pub const PLAN: &str = r#"
id = "PLAN"
title = "信用"
unit = "loans.uscc"
namespace = "firm"
[[members]]
alias = "loans"
dataset = "canary_loans"
[[members]]
alias = "tax"
dataset = "canary_tax"
[[joins]]
member = "tax"
kind = "inner"
on = [["loans.uscc", "uscc"]]
[[outputs]]
name = "firm"
from = "loans.uscc"
transform = "pseudonym"
[[outputs]]
name = "person"
from = "tax.person"
transform = "pseudonym"
[[outputs]]
name = "meter"
from = "tax.meter"
transform = "pseudonym"
[[outputs]]
name = "plate"
from = "tax.plate"
transform = "mask"
[[outputs]]
name = "contact"
from = "tax.contact"
transform = "keep"
[[outputs]]
name = "vat"
from = "tax.vat"
transform = "keep"
[[outputs]]
name = "since"
from = "tax.since"
transform = "keep"
[[outputs]]
name = "officer"
from = "loans.officer"
transform = "keep"
[[outputs]]
name = "amount"
from = "loans.amount"
transform = "keep"
[[outputs]]
name = "default_12m"
from = "loans.default_12m"
transform = "keep"
[[outputs]]
name = "tax_grade"
from = "tax.grade"
transform = "keep"
[[outputs]]
name = "MARK"
from = "tax.vat"
transform = { bands = { cuts = [1000], labels = ["short", "long"] } }
"#;

pub const COLUMNS: &str = r#"
canary_loans = ["uscc", "officer", "amount", "default_12m"]
canary_tax = ["uscc", "person", "plate", "meter", "contact", "vat", "since", "grade"]
"#;

const ROWS: u64 = 60;
/// The row that is searched for.
const CANARY: u64 = 77_001;

/// GB 11643-1999, by the standard's table of weights.
fn resident_id(sequence: u64) -> String {
    const WEIGHTS: [u64; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let body = format!("3502991971{:02}{:02}{:03}", 1 + sequence % 12, 1 + sequence % 28, sequence % 1000);
    let sum: u64 = body.bytes().zip(WEIGHTS).map(|(b, w)| u64::from(b - b'0') * w).sum();
    format!("{body}{}", char::from(b"10X98765432"[(sum % 11) as usize]))
}

/// A code with a wrong check character.
fn broken(code: &str) -> String {
    let (body, last) = code.split_at(code.len() - 1);
    format!("{body}{}", if last == "0" { "1" } else { "0" })
}

/// The planted values: those of rows that are taken, then those of rows that are left out.
fn planted() -> Vec<(&'static str, String)> {
    vec![
        ("uscc", uscc(CANARY)),
        ("person", resident_id(CANARY)),
        ("plate", "闽DK7Q9Z".to_owned()),
        ("meter", "METER-CANARY-77001-QX".to_owned()),
        ("contact", "CONTACT-CANARY-77001-QX".to_owned()),
        ("vat", "7700133.77".to_owned()),
        ("vat as stored", "770013377".to_owned()),
        ("since", "1907-11-23".to_owned()),
        ("officer", "OFFICER-CANARY-77001-QX".to_owned()),
        ("amount", "660013391".to_owned()),
        ("purpose of a consent", "canary_purpose_77001".to_owned()),
        ("rejected uscc", broken(&uscc(CANARY + 1))),
        ("rejected person", broken(&resident_id(CANARY + 1))),
        ("rejected plate", "ZZ-CANARY-77002".to_owned()),
        ("rejected number", "NUMBER-CANARY-77002".to_owned()),
        ("rejected bound", "88001337700.11".to_owned()),
        ("rejected date", "DATE-CANARY-77002".to_owned()),
        ("rejected label", "LABEL-CANARY-77002".to_owned()),
        ("rejected text", "LONG-CANARY-77002".repeat(5)),
        ("rejected field", "FIELD-CANARY-77002".to_owned()),
        ("rejected expiry", "EXPIRY-CANARY-77002".to_owned()),
        ("rejected file", "HEADER-CANARY-77003".to_owned()),
    ]
}

fn value(name: &str) -> String {
    planted().into_iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name}")).1
}

pub fn tax_csv() -> String {
    let mut text = "uscc,person,plate,meter,contact,vat,since,grade\n".to_owned();
    let ordinary = |i: u64| {
        [
            uscc(i),
            resident_id(i),
            format!("闽D{i:05}"),
            format!("m{i}"),
            "nobody".into(),
            format!("{}.50", 5 + i % 10),
            "2001-01-01".into(),
            if i.is_multiple_of(2) { "A" } else { "B" }.to_owned(),
        ]
    };
    let mut push = |fields: &[String]| text += &(fields.join(",") + "\n");
    for i in 0..ROWS {
        push(&ordinary(i));
    }
    let canary = ["uscc", "person", "plate", "meter", "contact", "vat", "since"].map(value);
    push(&[&canary[..], &["A".to_owned()]].concat());
    for (at, name) in [(0, "uscc"), (1, "person"), (2, "plate"), (5, "number"), (5, "bound"), (6, "date"), (7, "label"), (4, "text")] {
        let mut fields = ordinary(1000 + at as u64);
        fields[at] = value(&format!("rejected {name}"));
        push(&fields);
    }
    // Twice the same identifier; and a field too many.
    push(&[&canary[..], &["B".to_owned()]].concat());
    push(&[&ordinary(1100)[..], &[value("rejected field")]].concat());
    text
}

pub fn loans_csv() -> String {
    let rows = (0..ROWS).map(|i| format!("{},somebody,{},{}\n", uscc(i), 100 + i, u8::from(i % 3 == 0)));
    let canary = format!("{},{},{},1\n", uscc(CANARY), value("officer"), value("amount"));
    rows.fold("uscc,officer,amount,default_12m\n".to_owned(), |text, row| text + &row) + &canary
}

pub fn consents_csv() -> String {
    let rows = (0..ROWS).chain([CANARY]).map(|i| format!("{},credit_risk,2098-12-31\n", uscc(i)));
    let more =
        format!("{},{},2098-12-31\n{},credit_risk,{}\n", uscc(CANARY), value("purpose of a consent"), uscc(5), value("rejected expiry"));
    rows.fold("unit,purpose,expiry\n".to_owned(), |text, row| text + &row) + &more
}

/// Every spelling that is searched for.
fn needles() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, text) in planted() {
        // A long one would be cut: its beginning does.
        let text: String = text.chars().take(30).collect();
        let bytes = text.as_bytes();
        let mut add = |how: &str, bytes: Vec<u8>| all.push((format!("{name}, {how}"), bytes));
        add("as it is", bytes.to_vec());
        add("lower case", text.to_lowercase().into_bytes());
        add("without marks", text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().into_bytes());
        add("UTF-16 LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        add("UTF-16 BE", text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        let hex = bytes.iter().fold(String::new(), |t, b| t + &format!("{b:02x}"));
        add("hexadecimal", hex.clone().into_bytes());
        add("HEXADECIMAL", hex.to_uppercase().into_bytes());
        for (how, engine) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
            for shift in 0..3usize {
                // What of the encoding depends on neither neighbour.
                let text = engine.encode([&vec![0; shift][..], bytes].concat());
                let (skip, end) = ([0, 2, 3][shift], (shift + bytes.len()) / 3 * 4);
                add(&format!("{how}, shifted by {shift}"), text.as_bytes()[skip..end].to_vec());
            }
        }
    }
    // GB 18030, of the one that is not ASCII.
    all.push(("plate, GB 18030".to_owned(), [&[0xC3, 0xF6][..], b"DK7Q9Z"].concat()));
    for stored in [770_013_377i64, 660_013_391] {
        all.push((format!("{stored}, stored"), stored.to_le_bytes().to_vec()));
        all.push((format!("{stored}, stored, big-endian"), stored.to_be_bytes().to_vec()));
    }
    all
}

/// Where a needle stands.
pub struct Search {
    by_first: Vec<Vec<usize>>,
    needles: Vec<(String, Vec<u8>)>,
    pub bytes: u64,
    pub files: usize,
}

impl Search {
    pub fn new() -> Self {
        let needles = needles();
        let mut by_first = vec![Vec::new(); 1 << 16];
        for (i, (name, needle)) in needles.iter().enumerate() {
            assert!(needle.len() >= 8, "{name} is too short to be found by accident never");
            by_first[usize::from(u16::from_be_bytes([needle[0], needle[1]]))].push(i);
        }
        Self { by_first, needles, bytes: 0, files: 0 }
    }

    /// Names of the needles in `bytes`.
    pub fn found(&mut self, bytes: &[u8]) -> Vec<&str> {
        self.bytes += bytes.len() as u64;
        let mut found = std::collections::BTreeSet::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            for i in &self.by_first[usize::from(u16::from_be_bytes([pair[0], pair[1]]))] {
                if bytes[at..].starts_with(&self.needles[*i].1) {
                    found.insert(*i);
                }
            }
        }
        found.into_iter().map(|i| self.needles[i].0.as_str()).collect()
    }

    /// Every file below.
    pub fn directory(&mut self, dir: &Path) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.directory(&path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                self.files += 1;
                let found = self.found(&bytes);
                assert!(found.is_empty(), "{found:?} in {}", path.display());
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                assert!(self.found(name.as_bytes()).is_empty(), "{name}");
            }
        }
    }
}

/// What the server answered, all of it.
#[derive(Default)]
struct Tape(Mutex<Vec<u8>>);

impl Tape {
    fn hear(&self, answer: Answer) -> Answer {
        self.0.lock().unwrap().extend_from_slice(&answer.bytes);
        self.0.lock().unwrap().push(b'\n');
        answer
    }
}

#[test]
fn planted_values_stand_nowhere_in_clear() {
    let mut search = Search::new();
    control(&mut search);
    let folder = TempDir::new();
    let tmp = folder.path();
    let mut world = World::start_in(&[], &[("TMPDIR", tmp.to_str().unwrap()), ("FUSEBOX_LOG", "trace")]);
    let tape = Tape::default();
    imports(&world, &tape);
    let plans = [("canary-table", "arrears_band"), ("canary-trap", "then_trap"), ("canary-error", "then_error")];
    for (id, mark) in plans {
        let plan = PLAN.replace("\"PLAN\"", &format!("\"{id}\"")).replace("MARK", mark);
        tape.hear(world.operator().post_toml("/v1/plans", &plan)).good();
        let columns = |text: &str| text.split_once("[columns]").unwrap().0.to_owned() + "[columns]" + COLUMNS;
        let mut papers = Papers { undecided: vec!["power-company"], unsigned: vec!["power-company"], ..Papers::new(id) };
        (papers.application, papers.agreement) = (columns(&papers.application), columns(&papers.agreement));
        let papers = papers.agreement(r#"plan = "credit""#, &format!("plan = \"{id}\""));
        world.carry(&papers.authorisation(r#"["tax_grades", "power_bills"]"#, r#"["canary_tax"]"#));
    }
    let (table, leaks) = (world.approved("credit-default-rate"), world.approved("leaks"));
    let run = |plan: &str, module: &str| {
        let mut job = world.job(plan, module);
        job["plan"] = json!(plan);
        let id = tape.hear(world.operator().post("/v1/jobs", &job)).good()["id"].as_str().unwrap().to_owned();
        world.ended(&id)
    };
    let decided = run("canary-table", &table);
    assert_eq!(decided["state"], "done", "{decided}");
    // The module read it all, and had nobody to tell.
    let told = run("canary-table", &leaks);
    assert_eq!(told["state"], "in_review", "{told}");
    assert_eq!((&told["log"], &told["failure"]), (&Value::Null, &Value::Null));
    for plan in ["canary-trap", "canary-error"] {
        let failed = run(plan, &leaks);
        assert_eq!((failed["state"].as_str(), &failed["log"]), (Some("failed"), &Value::Null), "{failed}");
        assert_eq!(failed["refusal"]["rule"], "run.failed", "{failed}");
        assert!(failed["failure"].as_str().is_some_and(|f| f.len() < 200), "a checker is told how it ended: {failed}");
    }
    for threads in [1, 2] {
        let path = format!("/v1/jobs/{}/replay", decided["id"].as_str().unwrap());
        assert_eq!(tape.hear(world.checker().post(&path, &json!({ "threads": threads }))).good()["same"], true);
    }
    held(&world, &tape, &told);
    synthetic(&world, &tape, &leaks);
    everything(&world, &tape);
    // While it runs: what lies in files now might be gone at the end.
    search.directory(&world.server.data());
    search.directory(tmp);
    let (size, remembered) = world.checkpoint();
    world.verified_log(&remembered, size);
    world.server.stop();
    search.directory(world.server.dir.path());
    search.directory(tmp);
    let heard = tape.0.into_inner().unwrap();
    let found = search.found(&heard);
    assert!(found.is_empty(), "{found:?} in an answer");
    assert!(world.server.log().contains("the module trapped"), "the server tells its own log how a run ended");
    eprintln!("{} needles, {} files, {} MB, {} kB of answers", search.needles.len(), search.files, search.bytes >> 20, heard.len() >> 10);
}

/// The search finds what it is to find.
fn control(search: &mut Search) {
    let all = [tax_csv(), loans_csv(), consents_csv(), value("rejected file")].concat();
    for (name, _) in planted().iter().filter(|(name, _)| !name.ends_with("as stored")) {
        assert!(search.found(all.as_bytes()).iter().any(|f| *f == format!("{name}, as it is")), "{name} is not planted");
    }
    let wide: Vec<u8> = all.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(search.found(&wide).iter().any(|f| f.starts_with("person, UTF-16")));
    for shift in 0..3 {
        let encoded = STANDARD.encode([&vec![b'x'; shift][..], all.as_bytes()].concat());
        let found = search.found(encoded.as_bytes()).len();
        assert!(found >= planted().len() - 2, "base64 shifted by {shift}: {found}");
    }
    assert!(search.found(&[&[1][..], &770_013_377i64.to_le_bytes()].concat()).contains(&"770013377, stored"));
}

fn imports(world: &World, tape: &Tape) {
    let (bureau, operator) = (world.bureau(), world.operator());
    tape.hear(bureau.post_toml("/v1/datasets", TAX)).good();
    tape.hear(operator.post_toml("/v1/datasets", LOANS)).good();
    let tax = tax_csv();
    let path = "/v1/datasets/canary_tax/versions";
    // GB 18030 spells the one character outside ASCII in two bytes of its own.
    let mut gb18030 = Vec::new();
    for c in tax.chars() {
        if c == '闽' { gb18030.extend([0xC3, 0xF6]) } else { gb18030.push(u8::try_from(c).unwrap()) }
    }
    for (format, bytes) in [("csv", tax.as_bytes()), ("csv_gb18030", gb18030.as_slice())] {
        let made = tape.hear(bureau.upload(&format!("{path}?format={format}"), bytes)).good();
        assert_eq!((made["rows"].as_u64(), made["rejected"].as_u64()), (Some(ROWS + 1), Some(10)), "{format}: {made}");
        let columns: Vec<_> = made["rejected_rows"].as_array().unwrap().iter().map(|r| r["column"].as_str().unwrap_or("-")).collect();
        assert_eq!(columns, ["uscc", "person", "plate", "vat", "vat", "since", "grade", "contact", "-", "-"], "{made}");
    }
    let made = tape.hear(operator.upload("/v1/datasets/canary_loans/versions?format=csv", loans_csv().as_bytes())).good();
    assert_eq!(made["rows"].as_u64(), Some(ROWS + 1), "{made}");
    let made = tape.hear(operator.upload("/v1/datasets/canary_loans/consents?format=csv", consents_csv().as_bytes())).good();
    assert_eq!(made["rejected"].as_u64(), Some(1), "{made}");
    // Files that are refused as a whole.
    let header = value("rejected file");
    let odd = [
        format!("uscc,{header}\n{},1\n", uscc(CANARY)),
        tax.replace("uscc,person", &format!("{header},person")),
        format!("{header}\n"),
        format!("\"{header}"),
    ];
    for text in &odd {
        for format in ["csv", "csv_gz", "parquet"] {
            tape.hear(bureau.upload(&format!("{path}?format={format}"), text.as_bytes())).refused("import.rejected");
        }
    }
}

/// A model whose coefficient is a value of the data: held, rounded, and looked at by a person.
fn held(world: &World, tape: &Tape, job: &Value) {
    for id in job["releases"].as_array().unwrap() {
        let id = id.as_str().unwrap();
        let release = tape.hear(world.checker().get(&format!("/v1/releases/{id}"))).good();
        if release["state"] == "held" {
            world.operator().files(id);
            for reviewer in world.server.reviewers() {
                tape.hear(reviewer.client.get(&format!("/v1/releases/{id}/evidence"))).good();
                tape.hear(reviewer.vote(id, "approve", "sound")).good();
            }
            let artefact = tape.hear(world.checker().get(&format!("/v1/releases/{id}/artefact"))).good();
            assert_eq!(artefact["manifest"]["state"], "released", "{artefact}");
            assert!(artefact["artefact"].to_string().len() > 20, "{artefact}");
        }
    }
}

/// On made-up rows the text goes to the author: it holds nothing of the real ones.
fn synthetic(world: &World, tape: &Tape, leaks: &str) {
    for (plan, state) in [("canary-table", "done"), ("canary-trap", "failed"), ("canary-error", "failed")] {
        let job = json!({ "plan": plan, "module": leaks, "synthetic": true, "rows": 300 });
        let id = tape.hear(world.operator().post("/v1/jobs", &job)).good()["id"].as_str().unwrap().to_owned();
        let ended = world.operator().ended(&id);
        assert_eq!(ended["state"], state, "{ended}");
        let shown = tape.hear(world.operator().get(&format!("/v1/jobs/{id}"))).good();
        assert!(shown["log"].as_str().is_some_and(|log| log.contains("officer")), "the author sees the module's text: {shown}");
    }
}

/// All that anyone may ask for, asked by everyone.
fn everything(world: &World, tape: &Tape) {
    let ids = |list: &str| -> Vec<String> {
        let all = world.checker().get(list).good();
        all.as_array().unwrap().iter().map(|v| v["id"].as_str().unwrap_or_else(|| v["digest"].as_str().unwrap()).to_owned()).collect()
    };
    let mut paths: Vec<String> = [
        "/health",
        "/openapi.json",
        "/v1/me",
        "/v1/principals",
        "/v1/datasets",
        "/v1/plans",
        "/v1/authorisations",
        "/v1/applications",
        "/v1/agreements",
        "/v1/modules",
        "/v1/jobs",
        "/v1/releases",
        "/v1/policies",
        "/v1/doctor",
        "/log/checkpoint",
    ]
    .map(str::to_owned)
    .to_vec();
    for list in ["/v1/plans", "/v1/agreements", "/v1/modules", "/v1/jobs", "/v1/datasets"] {
        paths.extend(ids(list).into_iter().map(|id| format!("{list}/{id}")));
    }
    for id in ids("/v1/releases") {
        paths.extend(["", "/artefact", "/evidence"].map(|part| format!("/v1/releases/{id}{part}")));
    }
    assert!(ids("/v1/jobs").len() >= 4 && ids("/v1/releases").len() >= 3);
    for who in world.all() {
        for path in &paths {
            let answer = tape.hear(who.get(path));
            assert_ne!(answer.status, 500, "{path}");
        }
    }
    let states: Vec<Value> = world.checker().get("/v1/jobs").good().as_array().unwrap().iter().map(|j| j["state"].clone()).collect();
    // Nothing is at work any more, and nothing waits.
    assert!(states.iter().all(|s| s.as_str().is_some_and(is_final)), "{states:?}");
    for (kind, body) in world.leaves() {
        tape.0.lock().unwrap().extend_from_slice(format!("{kind:?} {body}\n").as_bytes());
    }
    let token = world.server.dir.path().join("checker.token");
    std::fs::write(&token, &world.checker().token).unwrap();
    for command in [&["job", "list"][..], &["release", "list"], &["dataset", "list"]] {
        let (out, err, _) = fusebox(&[&["--server", &world.checker().url, "--token-file", token.to_str().unwrap()], command].concat());
        tape.0.lock().unwrap().extend_from_slice(format!("{out}{err}").as_bytes());
    }
}
