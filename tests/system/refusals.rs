//! Every refusal through the interface: rule, clause, threshold, remedy, both languages, no value; and its leaf.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::scenario::signing_key;
use crate::support::{Answer, Client, module, policy, until};
use crate::world::{FIRMS, PLAN, Papers, World, changed, firm, uscc};

/// Stands in bodies that are refused, and must not come back.
const CANARY: &str = "CANARY110101199003074578";

/// The world, and the rules that refused so far, in order.
struct Told {
    world: World,
    rules: Vec<String>,
    /// Digest of an approved module that asks for a table.
    table: String,
}

impl Told {
    /// Checks form and silence of a refusal; its `error`.
    #[track_caller]
    fn no(&mut self, answer: &Answer, rule: &str) -> Value {
        let error = answer.refused(rule);
        silent(&answer.bytes);
        self.rules.push(rule.to_owned());
        error
    }

    /// Submits under papers that must not do.
    #[track_caller]
    fn job(&mut self, agreement: &str, rule: &str) -> Value {
        let job = self.world.job(agreement, &self.table);
        let answer = self.world.operator().post("/v1/jobs", &job);
        self.no(&answer, rule)
    }

    /// Submits the usual job with one field changed.
    #[track_caller]
    fn job_with(&mut self, field: &str, value: Value, rule: &str) -> Value {
        let mut job = self.world.job("main", &self.table);
        job[field] = value;
        let answer = self.world.operator().post("/v1/jobs", &job);
        self.no(&answer, rule)
    }
}

/// Neither a planted value nor a word of the machinery.
#[track_caller]
fn silent(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for word in (0..FIRMS).map(uscc).chain([CANARY, "/tmp/", "src/", "panicked", "sqlite"].map(str::to_owned)) {
        assert!(!text.contains(&word), "`{word}` in {text}");
    }
}

/// The rule of a refusal that a job or an output carries.
#[track_caller]
fn carried(thing: &Value, rule: &str) {
    let refusal = &thing["refusal"];
    assert_eq!(refusal["rule"], rule, "{thing}");
    for part in ["en", "zh", "remedy_en", "remedy_zh"] {
        assert!(refusal[part].as_str().is_some_and(|t| !t.is_empty()), "{part}: {refusal}");
    }
    assert!(refusal["clauses"].as_array().is_some_and(|c| !c.is_empty()), "{refusal}");
    silent(thing.to_string().as_bytes());
}

#[test]
fn every_refusal_names_rule_clause_and_remedy() {
    let world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let table = world.approved("credit-default-rate");
    let before = world.checkpoint().0 as usize;
    let mut told = Told { world, rules: Vec::new(), table };
    let job = told.world.submit(&told.world.job("main", &told.table));
    modules(&mut told);
    authorisations(&mut told);
    agreements(&mut told);
    jobs(&mut told);
    catalogue(&mut told);
    plans(&mut told);
    bodies(&mut told);
    doors_and_reviews(&mut told);
    tables(&mut told);
    suppressed(&told, &job);
    // Each was a leaf before it was an answer, in this order; nothing else was denied.
    let leaves = told.world.leaves();
    let denied = leaves[before..].iter().filter(|(kind, _)| *kind == fusebox::tlog::LeafKind::Denial);
    let denied: Vec<&str> = denied.map(|(_, body)| body["about"]["rule"].as_str().unwrap()).collect();
    assert_eq!(denied, told.rules);
    for (_, body) in &leaves {
        silent(body.to_string().as_bytes());
    }
    eprintln!("{} refusals, {} leaves", denied.len(), leaves.len());
}

fn modules(told: &mut Told) {
    for (package, import) in
        [("undeclared-import", "network"), ("wasi-import", "wasi_snapshot_preview1"), ("lookalike-import", "identifiers")]
    {
        let answer = told.world.upload_bytes(&module(package));
        let error = told.no(&answer, "module.import");
        assert!(error["subject"].as_str().is_some_and(|s| s.contains(import)), "{package}: {error}");
    }
    for package in ["bare", "no-manifest"] {
        let answer = told.world.upload_bytes(&module(package));
        told.no(&answer, "module.invalid");
    }
    let answer = told.world.upload_bytes(b"\0asm\x01\0\0\0");
    told.no(&answer, "module.invalid");
    let bytes = module("spins");
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let named = format!("sha256:{}", digest.as_ref().iter().fold(String::new(), |t, b| t + &format!("{b:02x}")));
    let signature = told.world.sign(digest.as_ref());
    let upload = |told: &Told, bytes: &[u8], signature: &str, digest: Option<&str>| {
        let mut headers = vec![("content-type", "application/wasm")];
        headers.extend((!signature.is_empty()).then_some(("x-fusebox-signature", signature)));
        headers.extend(digest.map(|d| ("x-fusebox-digest", d)));
        told.world.operator().call("POST", "/v1/modules", &headers, bytes)
    };
    let mut altered = bytes.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let answer = upload(told, &altered, &signature, Some(&named));
    told.no(&answer, "module.digest");
    // Another's key, no context, other bytes, nothing, nonsense, half of it.
    let (other, _) = signing_key();
    let context = [crate::world::SIGNATURE_CONTEXT, digest.as_ref()].concat();
    let others = STANDARD.encode(other.sign(&context).as_ref());
    let half = STANDARD.encode(&STANDARD.decode(&signature).unwrap()[..32]);
    for (bytes, signature) in
        [(&bytes, &others), (&altered, &signature), (&bytes, &String::new()), (&bytes, &"AAAA".into()), (&bytes, &half)]
    {
        let answer = upload(told, bytes, signature, None);
        told.no(&answer, "module.signature");
    }
    let rival = told.world.rival().call("POST", "/v1/modules", &[("x-fusebox-signature", &signature)], &bytes);
    told.no(&rival, "module.signature");
    // A megabyte more than a module may have.
    let head = format!("x-fusebox-signature: {signature}\r\ncontent-length: {}\r\n", 65u64 << 20);
    let answer = raw(&told.world.operator(), "/v1/modules", &head, 65 << 20);
    told.no(&answer, "request.too_large");
}

/// A POST that may be answered before all of its body was sent.
fn raw(client: &Client, path: &str, head: &str, bytes: usize) -> Answer {
    let mut stream = std::net::TcpStream::connect(client.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
    let lines = format!("POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nconnection: close\r\n{head}\r\n", client.token);
    stream.write_all(lines.as_bytes()).unwrap();
    let chunk = vec![0u8; 1 << 20];
    for _ in 0..bytes / chunk.len() {
        if stream.write_all(&chunk).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    Answer { status, retry_after_s: None, bytes: body.as_bytes().to_vec() }
}

fn authorisations(told: &mut Told) {
    let expired = told.world.carry(&Papers::new("auth-expired").authorisation("2098-12-31", "2020-12-31"));
    told.job(&expired, "authorisation.expired");
    let early = told.world.carry(&Papers::new("auth-early").authorisation("2020-01-01", "2098-01-01"));
    told.job(&early, "authorisation.expired");
    let narrow = told.world.carry(&Papers::new("auth-narrow").authorisation(r#", "power_bills""#, ""));
    let error = told.job(&narrow, "authorisation.scope");
    assert_eq!(error["subject"], "power_bills");
    let revoked = told.world.carry(&Papers::new("auth-revoked"));
    told.world.authority().post("/v1/authorisations/auth-revoked/revoke", &json!({ "reason": "整改" })).good();
    told.job(&revoked, "authorisation.revoked");
    let own = told.world.operator().post_toml("/v1/authorisations", &Papers::new("own").authorisation);
    told.no(&own, "auth.role");
}

fn agreements(told: &mut Told) {
    let expired = told.world.carry(&Papers::new("agr-expired").agreement("2098-12-31", "2020-12-31"));
    let error = told.job(&expired, "agreement.expired");
    assert!(error["threshold"].as_str().is_some_and(|t| t.contains("2020-12-31")), "{error}");
    let early = told.world.carry(&Papers::new("agr-early").agreement("2020-01-01", "2098-01-01"));
    told.job(&early, "agreement.not_begun");
    let terminated = told.world.carry(&Papers::new("agr-terminated"));
    told.world.bureau().post("/v1/agreements/agr-terminated/terminate", &json!({ "reason": "违约" })).good();
    told.job(&terminated, "agreement.terminated");
    let half = told.world.carry(&Papers { unsigned: vec!["power-company"], ..Papers::new("agr-half") });
    let error = told.job(&half, "agreement.countersignature");
    assert_eq!(error["subject"], "power-company");
    let waiting = told.world.carry(&Papers { undecided: vec!["tax-bureau"], ..Papers::new("agr-waiting") });
    let error = told.job(&waiting, "application.undecided");
    assert_eq!(error["subject"], "tax-bureau");
    let no = told.world.bureau().post("/v1/applications/agr-waiting/decide", &json!({ "approve": false, "reason": "", "basis": "X26" }));
    told.no(&no, "application.reason");
    told.world
        .bureau()
        .post("/v1/applications/agr-waiting/decide", &json!({ "approve": false, "reason": "超出范围", "basis": "X26" }))
        .good();
    told.job(&waiting, "application.refused");
    let spent = told.world.carry(&Papers::new("agr-spent").agreement("jobs_max = 100000", "jobs_max = 0"));
    told.job(&spent, "agreement.budget");
    let narrow = told.world.carry(&Papers::new("agr-narrow").agreement(r#", "kwh""#, ""));
    let error = told.job(&narrow, "agreement.column");
    assert_eq!(error["subject"], "power_bills.kwh");
    told.job("agr-nowhere", "agreement.missing");
    // What goes beyond the application is not even drafted; nor is half a paper.
    let papers = Papers::new("agr-beyond");
    told.world.operator().post_toml("/v1/applications", &papers.application).good();
    told.world.authority().post_toml("/v1/authorisations", &papers.authorisation).good();
    for (from, to, rule) in [
        (r#""kwh""#, r#""kwh", "meter""#, "agreement.column"),
        (r#"purposes = ["credit_risk"]"#, r#"purposes = ["credit_risk", "marketing"]"#, "agreement.purpose"),
        (r#"safeguards = "沙箱""#, "", "agreement.incomplete"),
        (r#"application = "agr-beyond""#, r#"application = "none""#, "application.incomplete"),
        (r#"authorisation = "agr-beyond""#, r#"authorisation = "none""#, "authorisation.missing"),
    ] {
        let answer = told.world.operator().post_toml("/v1/agreements", &changed(&papers.agreement, from, to));
        told.no(&answer, rule);
    }
    let hasty = changed(&Papers::new("hasty").application, "secure = true", "secure = false");
    let answer = told.world.operator().post_toml("/v1/applications", &hasty);
    told.no(&answer, "application.commitments");
}

fn jobs(told: &mut Told) {
    told.job_with("purpose", json!("marketing"), "agreement.purpose");
    told.job_with("recipient", json!("rival-bank"), "agreement.recipient");
    told.job_with("agreement", Value::Null, "agreement.missing");
    let error = told.job_with("module", json!(format!("sha256:{}", "0".repeat(64))), "request.not_found");
    assert_eq!(error["subject"], "module");
    // A provider may be stricter than the floor, never laxer; one job was submitted today.
    let bureau = told.world.bureau();
    let strict = changed(&policy::small(), "jobs_per_day_max = 100000", "jobs_per_day_max = 1");
    bureau.put_toml("/v1/policies/orgs/tax-bureau", &strict).good();
    let mut job = told.world.job("main", &told.table);
    job["purpose"] = json!("credit_risk");
    let answer = told.world.operator().post("/v1/jobs", &job);
    let error = told.no(&answer, "request.busy");
    assert_eq!((answer.status, &error["threshold"]), (429, &json!("1 jobs a day")));
    let answer = bureau.put_toml("/v1/policies/orgs/tax-bureau", &changed(&policy::small(), "min_frequency = 10", "min_frequency = 3"));
    told.no(&answer, "policy.weaker");
    bureau.put_toml("/v1/policies/orgs/tax-bureau", &policy::small()).good();
    // A module that nobody has read, by role; then one that was denied.
    let unread = told.world.upload("credit-scorecard");
    told.job_with("module", json!(unread), "module.unreviewed");
    let by_researcher = told.world.researcher().post("/v1/jobs", &told.world.job("main", &unread));
    told.no(&by_researcher, "module.unreviewed");
    let review = format!("/v1/modules/{unread}/review");
    let own = told.world.own_checker().post(&review, &json!({ "approve": true, "reason": "ours" }));
    told.no(&own, "auth.own_review");
    let operator = told.world.operator().post(&review, &json!({ "approve": true, "reason": "mine" }));
    told.no(&operator, "auth.role");
    let silent = told.world.checker().post(&review, &json!({ "approve": false, "reason": " " }));
    told.no(&silent, "review.reason");
    let denied = told.world.upload("misbehaves");
    told.world.checker().post(&format!("/v1/modules/{denied}/review"), &json!({ "approve": false, "reason": "读取过多字段" })).good();
    told.job_with("module", json!(denied), "module.denied");
    // An agreement is its operator's alone.
    let rival = told.world.rival();
    let (key, public_key) = signing_key();
    told.world.server.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": "rival-bank" })).good();
    let bytes = module("spins");
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    let signature = STANDARD.encode(key.sign(&[crate::world::SIGNATURE_CONTEXT, digest.as_ref()].concat()).as_ref());
    let uploaded = rival.call("POST", "/v1/modules", &[("x-fusebox-signature", &signature)], &bytes).good();
    let module = uploaded["digest"].as_str().unwrap();
    told.world.checker().post(&format!("/v1/modules/{module}/review"), &json!({ "approve": true, "reason": "read" })).good();
    rival.post_toml("/v1/plans", &tax_only("rival")).good();
    let mut job = told.world.job("main", module);
    job["plan"] = json!("rival");
    let answer = rival.post("/v1/jobs", &job);
    told.no(&answer, "agreement.operator");
    // Another's plan and module look like none.
    let answer = rival.post("/v1/jobs", &told.world.job("main", &told.table));
    told.no(&answer, "request.not_found");
}

/// A plan over the tax bureau's rows alone.
fn tax_only(id: &str) -> String {
    format!(
        r#"id = "{id}"
title = "credit"
unit = "tax.uscc"
namespace = "firm"
[[members]]
alias = "tax"
dataset = "tax_grades"
[[outputs]]
name = "tax_grade"
from = "tax.grade"
transform = "keep"
"#
    )
}

/// A catalogue entry of two columns.
fn entry(id: &str, level: &str, sharing: &str) -> String {
    format!(
        r#"id = "{id}"
title = "名录"
provider = "tax-bureau"
origin = "public"
public_kind = "government"
source = "台账"
update_frequency = "yearly"
security_level = "{level}"
personal_information = false
declared_rows = 10
unique = ["uscc"]
sharing = {sharing}
opening = {{ class = "conditional" }}
[[columns]]
name = "uscc"
title = "统一社会信用代码"
role = "direct_identifier"
type = "text"
bytes_max = 18
linkage = "uscc"
nullable = false
[[columns]]
name = "size"
title = "规模"
role = "measure"
type = "number"
resolution = "1"
min = "0"
max = "9"
nullable = false
"#
    )
}

const SHARED: &str = r#"{ class = "conditional" }"#;

fn catalogue(told: &mut Told) {
    let none = r#"{ class = "none", legal_basis = "税收征收管理法第八条" }"#;
    let bureau = told.world.bureau();
    bureau.post_toml("/v1/datasets", &entry("kept", "general", none)).good();
    bureau.post_toml("/v1/datasets", &entry("deep", "core", SHARED)).good();
    bureau.post_toml("/v1/datasets", &entry("extra", "general", SHARED)).good();
    let over = |id: &str, dataset: &str| tax_only(id).replace("tax_grades", dataset).replace("grade", "size").replace("tax_size", "size");
    for (dataset, rule) in [("kept", "dataset.sharing_none"), ("deep", "dataset.core"), ("nowhere", "request.not_found")] {
        let answer = told.world.operator().post_toml("/v1/plans", &over("bad", dataset));
        let error = told.no(&answer, rule);
        assert_eq!(error["subject"], dataset);
    }
    // Graded up after it was agreed: the next job is refused, whatever was signed.
    told.world.operator().post_toml("/v1/plans", &over("extra", "extra")).good();
    let mut papers = Papers { unsigned: vec!["power-company"], undecided: vec!["power-company"], ..Papers::new("extra") };
    let columns = |text: &str| text.split_once("[columns]").unwrap().0.to_owned() + "[columns]\nextra = [\"uscc\", \"size\"]\n";
    (papers.application, papers.agreement) = (columns(&papers.application), columns(&papers.agreement));
    papers = papers.agreement(r#"plan = "credit""#, r#"plan = "extra""#);
    papers = papers.authorisation(r#"["tax_grades", "power_bills"]"#, r#"["extra"]"#);
    told.world.carry(&papers);
    let mut job = told.world.job("extra", &told.table);
    job["plan"] = json!("extra");
    let answer = told.world.operator().post("/v1/jobs", &job);
    told.no(&answer, "dataset.no_version");
    for (text, rule) in [(entry("extra", "core", SHARED), "dataset.core"), (entry("extra", "general", none), "dataset.sharing_none")] {
        bureau.post_toml("/v1/datasets", &text).good();
        let answer = told.world.operator().post("/v1/jobs", &job);
        told.no(&answer, rule);
    }
    // What an entry must say, and who may say it.
    let whole = entry("half", "general", SHARED);
    for element in ["source", "update_frequency", "security_level", "sharing", "opening"] {
        let line = whole.lines().find(|l| l.starts_with(&format!("{element} ="))).unwrap();
        let answer = bureau.post_toml("/v1/datasets", &changed(&whole, line, ""));
        let error = told.no(&answer, "dataset.incomplete");
        assert_eq!(error["subject"], element);
    }
    let answer = bureau.post_toml("/v1/datasets", &entry("half", "general", r#"{ class = "none" }"#));
    told.no(&answer, "dataset.legal_basis");
    let public = changed(&whole, "tax-bureau", "harbour-bank");
    let answer = told.world.operator().post_toml("/v1/datasets", &public);
    told.no(&answer, "dataset.public_by_operator");
    let answer = told.world.power().post_toml("/v1/datasets", &whole);
    told.no(&answer, "auth.role");
}

fn plans(told: &mut Told) {
    let raw = changed(&tax_only("raw"), r#"from = "tax.grade""#, r#"from = "tax.uscc""#);
    let secret = changed(
        &tax_only("secret"),
        r#"dataset = "tax_grades""#,
        "dataset = \"tax_grades\"\nfilters = [{ column = \"contact\", op = \"eq\", value = \"x\" }]",
    );
    let bands = changed(&tax_only("banded"), r#"transform = "keep""#, r#"transform = { clamp = { min = 0, max = 1 } }"#);
    let unit = changed(&tax_only("unitless"), r#"unit = "tax.uscc""#, r#"unit = "tax.grade""#);
    for (text, rule) in [
        (raw, "plan.direct_identifier"),
        (secret, "plan.sensitive_filter"),
        (bands, "plan.transform"),
        (unit, "plan.unit"),
        (tax_only("loose").replace("alias = \"tax\"", "alias = \"Tax\""), "plan.invalid"),
    ] {
        let answer = told.world.operator().post_toml("/v1/plans", &text);
        told.no(&answer, rule);
    }
    // Agreed for another plan; and a column that the plan only filters by is a column that was not asked for.
    told.world.operator().post_toml("/v1/plans", &changed(PLAN, r#"id = "credit""#, r#"id = "other""#)).good();
    told.job_with("plan", json!("other"), "agreement.plan");
    let filtered =
        changed(PLAN, r#"dataset = "tax_grades""#, "dataset = \"tax_grades\"\nfilters = [{ column = \"vat\", op = \"ge\", value = 0 }]");
    told.world.operator().post_toml("/v1/plans", &changed(&filtered, r#"id = "credit""#, r#"id = "filtered""#)).good();
    told.world.carry(&Papers::new("filtered").agreement(r#"plan = "credit""#, r#"plan = "filtered""#));
    let mut job = told.world.job("filtered", &told.table);
    job["plan"] = json!("filtered");
    let answer = told.world.operator().post("/v1/jobs", &job);
    let error = told.no(&answer, "agreement.column");
    assert_eq!(error["subject"], "tax_grades.vat");
}

fn bodies(told: &mut Told) {
    let operator = told.world.operator();
    let json_type = [("content-type", "application/json")];
    for body in ["{", "", "[]", &format!("{{\"plan\":\"{CANARY}\"}}"), &format!("{{\"{CANARY}\":1}}"), &"[".repeat(100_000)] {
        let answer = operator.call("POST", "/v1/jobs", &json_type, body.as_bytes());
        told.no_unless_named(&answer, body);
    }
    for body in [&b"id = \xff"[..], b"= = =", format!("id = {CANARY}").as_bytes(), b""] {
        let answer = operator.call("POST", "/v1/datasets", &[("content-type", "application/toml")], body);
        let rule = answer.rule();
        assert!(["dataset.invalid", "dataset.incomplete", "request.malformed"].contains(&rule.as_str()), "{rule}");
        told.no(&answer, &rule);
    }
    let answer = operator.call("POST", "/v1/jobs", &[("content-type", "text/plain")], b"{}");
    told.no(&answer, "request.malformed");
    let answer = operator.post_toml("/v1/datasets", &"#".repeat((1 << 20) + 1));
    let error = told.no(&answer, "request.too_large");
    assert_eq!(error["threshold"], "1048576 bytes");
    // An upload that announces more than it may bring is refused before a byte of it came.
    let head = format!("content-type: application/octet-stream\r\ncontent-length: {}\r\n", 5u64 << 30);
    let answer = raw(&operator, "/v1/datasets/loans/versions?format=csv", &head, 0);
    told.no(&answer, "request.too_large");
    // Uploads that are none. What is wrong is told by row and column.
    let path = "/v1/datasets/loans/versions";
    for (format, body) in [
        ("csv", &b"default_12m\n1\n"[..]),
        ("csv", b"uscc,default_12m,more\n"),
        ("csv_gz", b"\x1f\x8b\x08\0nonsense"),
        ("parquet", b"PAR1nonsensePAR1"),
        ("csv", b"\xff\xfe\x00"),
    ] {
        let answer = operator.upload(&format!("{path}?format={format}"), body);
        told.no(&answer, "import.rejected");
    }
    let answer = operator.upload(&format!("{path}?format=xlsx"), b"x");
    told.no(&answer, "request.malformed");
    let rows = format!("uscc,default_12m\n{CANARY},1\n{},7\n{},1\n", uscc(500), uscc(501));
    let made = operator.upload(&format!("{path}?format=csv"), rows.as_bytes());
    silent(&made.bytes);
    assert!(!String::from_utf8_lossy(&made.bytes).contains(&uscc(500)));
    let made = made.good();
    assert_eq!((made["rows"].as_u64(), made["rejected"].as_u64()), (Some(1), Some(2)), "{made}");
    let told_rows: Vec<_> = made["rejected_rows"].as_array().unwrap().iter().map(|r| (r["row"].as_u64(), r["column"].as_str())).collect();
    assert_eq!(told_rows, [(Some(1), Some("uscc")), (Some(2), Some("default_12m"))]);
    // The rows of before, for what follows.
    operator.upload(&format!("{path}?format=csv"), crate::world::loans_csv().as_bytes()).good();
    let answer = told.world.bureau().upload(&format!("{path}?format=csv"), b"x");
    told.no(&answer, "auth.role");
    // Without a token nothing is told; such calls are counted, not listed.
    let answer = told.world.server.anonymous().get("/v1/me");
    answer.refused("auth.unauthenticated");
}

impl Told {
    /// A malformed body: `request.malformed`, whatever it held.
    #[track_caller]
    fn no_unless_named(&mut self, answer: &Answer, body: &str) {
        assert_eq!(answer.status, 422, "{}: {}", &body[..body.len().min(60)], String::from_utf8_lossy(&answer.bytes));
        // An unknown field is named, for it is the caller's own word; a value is not.
        if body.contains(&format!("{{\"{CANARY}\"")) {
            answer.refused("request.malformed");
            self.rules.push("request.malformed".to_owned());
        } else {
            self.no(answer, "request.malformed");
        }
    }
}

fn doors_and_reviews(told: &mut Told) {
    // A model where tables were agreed, then the same where both were: held, and nobody's own.
    let scorecard = told.world.upload("credit-scorecard");
    told.world.checker().post(&format!("/v1/modules/{scorecard}/review"), &json!({ "approve": true, "reason": "read" })).good();
    let tables = told.world.carry(&Papers::new("tables").agreement(r#"["table", "artefact"]"#, r#"["table"]"#));
    let job = told.world.run(&told.world.job(&tables, &scorecard));
    assert_eq!(job["state"], "failed", "{job}");
    carried(&job, "agreement.door");
    assert_eq!(job["releases"], json!([]));
    let job = told.world.run(&told.world.job("main", &scorecard));
    assert_eq!(job["state"], "in_review", "{job}");
    let held = told.world.output(&job);
    assert_eq!((held["kind"].as_str(), held["state"].as_str()), (Some("model"), Some("held")));
    let id = held["id"].as_str().unwrap();
    let vote = format!("/v1/releases/{id}/vote");
    let yes = json!({ "decision": "approve", "reason": "sound", "signature": "" });
    let empty = json!({ "purpose": "", "context": "x" });
    let answer = told.world.operator().post(&format!("/v1/releases/{id}/request"), &empty);
    told.no(&answer, "review.statement");
    let answer = told.world.server.reviewer("reviewer-gao").vote(id, "approve", "sound");
    told.no(&answer, "review.not_filed");
    told.world.operator().files(id);
    for (who, rule) in [
        (told.world.own_checker(), "auth.own_review"),
        (told.world.operator(), "auth.role"),
        (told.world.bureau(), "auth.role"),
        (told.world.authority(), "auth.role"),
        (told.world.checker(), "review.separation"),
        (told.world.server.person("keyless", "academy", "output_checker"), "review.key"),
    ] {
        let answer = who.post(&vote, &yes);
        told.no(&answer, rule);
    }
    for (decision, reason) in [("approve", "looks_good"), ("deny", "sound"), ("approve", "disclosive"), ("return", "")] {
        let answer = told.world.server.reviewer("reviewer-gao").vote(id, decision, reason);
        told.no(&answer, "review.reason");
    }
    let answer = told.world.server.reviewer("reviewer-gao").client.post(&vote, &yes);
    told.no(&answer, "review.signature");
    for path in ["evidence", "artefact"] {
        let answer = told.world.own_checker().get(&format!("/v1/releases/{id}/{path}"));
        let rule = answer.rule();
        assert!(["auth.own_review", "release.held", "request.not_found", "auth.role"].contains(&rule.as_str()), "{path}: {rule}");
        told.no(&answer, &rule);
    }
    let answer = told.world.operator().get(&format!("/v1/releases/{id}/evidence"));
    told.no(&answer, "auth.role");
    // Whose vote is not wanted gets no copy: the checker approved the module.
    let answer = told.world.checker().get(&format!("/v1/releases/{id}/evidence"));
    told.no(&answer, "review.no_duty");
    let copy = told.world.server.reviewer("reviewer-gao").client.get(&format!("/v1/releases/{id}/evidence")).good();
    assert!(copy["artefact"].is_object() && copy["evidence"].is_object(), "{copy}");
    told.world.server.voted(id, "deny", "capacity");
    let again = told.world.server.reviewer("reviewer-gao").vote(id, "approve", "sound");
    told.no(&again, "request.conflict");
    assert_eq!(told.world.seen(job["id"].as_str().unwrap())["state"], "done");
    let answer = told.world.checker().get(&format!("/v1/releases/{id}/artefact"));
    told.no(&answer, "release.denied");
}

/// Tables of which nothing may be shown: too few units behind the whole, too few behind every cell, and too few of each of the
/// operator's own values.
fn tables(told: &mut Told) {
    const OWN: &str = "loans.default_12m";
    for (id, filter, measured, rule) in [
        ("few", r#"{ column = "grade", op = "in", values = ["M", "C", "D"] }"#, "tax.penalties_24m", "table.all_suppressed"),
        ("own", r#"{ column = "grade", op = "in", values = ["M", "C", "D"] }"#, OWN, "table.own_measure"),
        (
            "tiny",
            r#"{ column = "penalties_24m", op = "ge", value = 1 }, { column = "grade", op = "eq", value = "C" }"#,
            OWN,
            "table.minimum_units",
        ),
    ] {
        let plan = PLAN.replace(OWN, measured);
        let plan = changed(&plan, r#"dataset = "tax_grades""#, &format!("dataset = \"tax_grades\"\nfilters = [{filter}]"));
        told.world.operator().post_toml("/v1/plans", &changed(&plan, r#"id = "credit""#, &format!("id = \"{id}\""))).good();
        told.world.carry(&Papers::new(id).agreement(r#"plan = "credit""#, &format!("plan = \"{id}\"")));
        let mut job = told.world.job(id, &told.table);
        job["plan"] = json!(id);
        let job = told.world.run(&job);
        assert_eq!(job["state"], "done", "{job}");
        if id == "own" {
            // Its author learned of it on made-up rows, in the same words.
            let rehearsed = told.world.run(&json!({ "plan": id, "module": told.table, "synthetic": true, "rows": 60 }));
            assert_eq!(rehearsed["result"][0]["refusal"], told.world.output(&job)["refusal"], "{rehearsed}");
        }
        let output = told.world.output(&job);
        assert_eq!(output["state"], "refused", "{output}");
        carried(&output, rule);
        assert_eq!(output["refusal"]["threshold"], "10 units");
        let answer = told.world.checker().get(&format!("/v1/releases/{}/artefact", output["id"].as_str().unwrap()));
        told.no(&answer, "release.denied");
    }
}

/// What the operator sees of a table with hidden cells: that they are, and nothing of why.
fn suppressed(told: &Told, job: &str) {
    let world = &told.world;
    let exact = world.ended(job);
    let id = world.output(&exact)["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/releases/{id}/artefact");
    let operator = world.operator();
    // Not before the time quantum is over.
    until("the end as the operator sees it", || (operator.get(&format!("/v1/jobs/{job}")).good()["state"] == "done").then_some(()));
    let artefact = operator.get(&path).good();
    let table = &artefact["artefact"];
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 15, "five grades by three bands: {table}");
    for row in rows {
        let keys = (row["keys"][0].as_str().unwrap(), row["keys"][1].as_str().unwrap());
        let inside: Vec<u64> =
            (0..FIRMS).filter(|i| firm(*i).0 == keys.0 && (if firm(*i).1 { "long" } else { "none" }) == keys.1).collect();
        if inside.len() < 10 {
            assert_eq!(row["cell"], json!("suppressed"), "{keys:?}");
            continue;
        }
        let shown = row["cell"]["shown"].as_array().unwrap();
        assert_eq!(
            (shown[0].as_str(), shown[1].as_str()),
            (Some(inside.len().to_string().as_str()), Some(inside.len().to_string().as_str())),
            "{keys:?}"
        );
    }
    let hidden = rows.iter().filter(|r| r["cell"] == "suppressed").count();
    assert_eq!((hidden, table["suppressed"].as_u64()), (11, Some(11)));
    let job = operator.get(&format!("/v1/jobs/{job}")).good();
    let release = operator.get(&format!("/v1/releases/{id}")).good();
    for seen in [artefact.to_string(), job.to_string(), release.to_string()] {
        for word in ["minimum_frequency\":", "causes", "\"zero\"", "dominat", "units_counting", "\"fate\"", "evidence"] {
            assert!(!seen.contains(word), "the operator is told `{word}`: {seen}");
        }
        silent(seen.as_bytes());
    }
    assert_eq!((&job["report"], &job["failure"], &job["log"], &job["ended_at"]), (&Value::Null, &Value::Null, &Value::Null, &Value::Null));
    // The manifest names where it comes from.
    let sources = artefact["manifest"]["facts"]["sources"].as_array().unwrap();
    let named: Vec<_> = sources.iter().map(|s| (s["dataset"].as_str().unwrap(), s["owner"].as_str().unwrap())).collect();
    assert_eq!(named, [("loans", "harbour-bank"), ("tax_grades", "tax-bureau"), ("power_bills", "power-company")]);
    // A checker is told the cause.
    let evidence = world.checker().get(&format!("/v1/releases/{id}/evidence")).good();
    assert!(evidence["evidence"]["cells"].as_array().unwrap().iter().any(|c| c["causes"][0]["rule"] == "minimum_frequency"));
}
