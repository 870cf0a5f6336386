//! What happens, in order.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use credit_generator::{BROKEN_ROWS, Data, Options, PURPOSE};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::cast::{Cast, OPERATOR_ORG, key_pair};
use super::{Steps, expect, unexpected};
use crate::cli::Context;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::jobs::{look, watch};
use crate::cli::modules::{sign, upload};
use crate::cli::output::{self, Moving, plain};
use crate::gate::Choice;
use crate::id::ModuleDigest;

/// The papers, as they stand in the repository.
const POLICY: &str = include_str!("../../../examples/credit/policy.toml");
const PLAN: &str = include_str!("../../../examples/credit/plan.toml");
const AUTHORISATION: &str = include_str!("../../../examples/credit/authorisation.toml");
const APPLICATION: &str = include_str!("../../../examples/credit/application.toml");
const AGREEMENT: &str = include_str!("../../../examples/credit/agreement.toml");
const ENTRIES: [(&str, &str); 4] = [
    ("tax_grades", include_str!("../../../examples/credit/entries/tax.toml")),
    ("credit_records", include_str!("../../../examples/credit/entries/credit.toml")),
    ("electricity_bills", include_str!("../../../examples/credit/entries/electricity.toml")),
    ("bank_loans", include_str!("../../../examples/credit/entries/bank.toml")),
];

/// What came of it.
pub struct Told {
    /// The released table, with its manifest.
    pub table: Value,
    /// The model that was held and then approved, with its manifest.
    pub model: Value,
    /// Commitments of the two jobs.
    pub commitments: Vec<Value>,
}

/// A part of an answer as text.
fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(plain).unwrap_or_default()
}

/// Tells the whole story.
pub fn tell(context: &Context, cast: &Cast, modules: &Path, (firms, seed): (u32, u64), steps: &mut Steps) -> Result<Told, CliError> {
    cast.authority.put_toml("/v1/policies/floor", POLICY)?;
    steps.done("the authority set the release policy: at least 10 firms behind a cell");
    bring_data(cast, &Data::generate(Options { firms, seed }), context.json, steps)?;
    sign_papers(cast, steps)?;
    let read = |name: &str| context.files.read(&modules.join(name));
    let (rate, card) = (read("credit-default-rate.wasm")?, read("credit-scorecard.wasm")?);
    let key = register_key(cast)?;
    let (rate, card) = (bring_module(cast, &key, &rate, steps)?, bring_module(cast, &key, &card, steps)?);
    refuse_unreviewed(cast, &rate, steps)?;
    for digest in [&rate, &card] {
        cast.checker.post(&format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "reads granted columns only" }))?;
    }
    steps.done("the checker approved both modules");
    run_jobs(cast, (&rate, &card), context.json, steps)
}

/// Registers and imports the four tables by their owners, and the borrowers' consents.
fn bring_data(cast: &Cast, data: &Data, quiet: bool, steps: &mut Steps) -> Result<(), CliError> {
    let [tax, credit, electricity] = &cast.providers;
    let owners = [tax, credit, electricity, &cast.operator];
    for ((_, entry), owner) in ENTRIES.iter().zip(owners) {
        owner.post_toml("/v1/datasets", entry)?;
    }
    steps.done("4 catalogue entries registered by their owners");
    let tables = [data.tax_csv(), data.credit_csv(), data.electricity_csv(), data.bank_csv()];
    for (((dataset, _), owner), csv) in ENTRIES.iter().zip(owners).zip(&tables) {
        let imported = import(owner, &format!("/v1/datasets/{dataset}/versions"), dataset, csv, quiet)?;
        let rejected = imported.get("rejected").and_then(Value::as_u64).unwrap_or(0);
        let broken = if *dataset == "tax_grades" { BROKEN_ROWS as u64 } else { 0 };
        expect(rejected == broken, "only the rows broken on purpose are rejected", &imported)?;
        let rules: Vec<String> =
            imported.get("rejected_rows").and_then(Value::as_array).into_iter().flatten().map(|row| text(row, "/rule")).collect();
        expect(rules.iter().all(|rule| rule == "linkage_key"), "they are rejected for their check character", &imported)?;
        let note = if rejected > 0 { format!(", {rejected} rejected for a wrong check character") } else { String::new() };
        steps.done(&format!("{dataset}: {} rows imported and sealed{note}", text(&imported, "/rows")));
    }
    let consents = import(&cast.operator, "/v1/datasets/bank_loans/consents", "consents", &data.consents_csv(), quiet)?;
    steps.done(&format!("{} consents of {} borrowers imported", text(&consents, "/rows"), data.bank.len()));
    Ok(())
}

fn import(client: &Client, path: &str, what: &str, csv: &str, quiet: bool) -> Result<Value, CliError> {
    let bar = output::bar(csv.len() as u64, what, quiet);
    let answer = client.upload(&format!("{path}?format=csv"), &mut Moving(csv.as_bytes(), bar.clone()), csv.len() as u64);
    bar.finish_and_clear();
    answer
}

/// Plan, authorisation, application with its decisions, agreement with its signatures.
fn sign_papers(cast: &Cast, steps: &mut Steps) -> Result<(), CliError> {
    let plan = cast.operator.post_toml("/v1/plans", PLAN)?;
    steps.done(&format!("the bank submitted the fusion plan ({})", text(&plan, "/digest")));
    cast.authority.post_toml("/v1/authorisations", AUTHORISATION)?;
    steps.done("the authority authorised the bank");
    let application = cast.operator.post_toml("/v1/applications", APPLICATION)?;
    let id = text(&application, "/id");
    for provider in &cast.providers {
        provider.post(&format!("/v1/applications/{id}/decide"), &json!({ "approve": true, "reason": "", "basis": "" }))?;
    }
    steps.done("the bank applied; 3 bureaus granted");
    let agreement = cast.operator.post_toml("/v1/agreements", AGREEMENT)?;
    let id = text(&agreement, "/id");
    for provider in &cast.providers {
        provider.post(&format!("/v1/agreements/{id}/countersign"), &json!({}))?;
    }
    steps.done("agreement drafted and counter-signed by 3 bureaus");
    Ok(())
}

/// A signing key of the bank, registered by the security administrator.
fn register_key(cast: &Cast) -> Result<Ed25519KeyPair, CliError> {
    let key = key_pair()?;
    let public_key = STANDARD.encode(key.public_key().as_ref());
    cast.admin.post("/v1/keys", &json!({ "public_key": public_key, "org": OPERATOR_ORG }))?;
    Ok(key)
}

/// Signs and uploads; returns the digest.
fn bring_module(cast: &Cast, key: &Ed25519KeyPair, bytes: &[u8], steps: &mut Steps) -> Result<String, CliError> {
    let digest = ModuleDigest::of(bytes);
    let uploaded = upload(&cast.operator, bytes, &digest, &sign(key, &digest))?;
    expect(text(&uploaded, "/digest") == digest.as_str(), "the module is known by its digest", &uploaded)?;
    steps.done(&format!("module {} uploaded, checked and compiled: {} kB", text(&uploaded, "/name"), bytes.len() / 1000));
    Ok(digest.to_string())
}

fn job(module: &str) -> Value {
    json!({ "agreement": "credit-2026", "plan": "credit", "module": module, "purpose": PURPOSE, "recipient": OPERATOR_ORG, "synthetic": false })
}

/// A module that nobody reviewed does not touch real data.
fn refuse_unreviewed(cast: &Cast, module: &str, steps: &mut Steps) -> Result<(), CliError> {
    match cast.operator.post("/v1/jobs", &job(module)) {
        Err(refused) if refused.rule() == Some("module.unreviewed") => {
            steps.done(&format!("as it should be, a job with an unreviewed module was {refused}"));
            Ok(())
        }
        Err(other) => Err(other),
        Ok(accepted) => Err(unexpected("a job with an unreviewed module is refused", &accepted)),
    }
}

/// Both jobs: the table is released by rule, the model waits for the checker.
fn run_jobs(cast: &Cast, (rate, card): (&str, &str), quiet: bool, steps: &mut Steps) -> Result<Told, CliError> {
    let submit = |module: &str| cast.operator.post("/v1/jobs", &job(module)).map(|job| text(&job, "/id"));
    let (table, model) = (submit(rate)?, submit(card)?);
    steps.done("2 jobs submitted");
    // The checker sees ends at once, the bank on the policy's time quantum (and so do events).
    let (table_ended, model_ended) = (look(&cast.checker, &table)?, look(&cast.checker, &model)?);
    expect(text(&table_ended, "/state") == "done", "the table's job is done", &table_ended)?;
    expect(text(&model_ended, "/state") == "in_review", "the model's job waits for its review", &model_ended)?;
    steps.done("fused, run, aggregated and decided");
    tell_of_consent(&table_ended, steps)?;
    let held = text(&model_ended, "/releases/0");
    expect(text(&cast.checker.get(&format!("/v1/releases/{held}"))?, "/state") == "held", "the model is held", &model_ended)?;
    review(cast, &held, steps)?;
    let replayed = cast.checker.post(&format!("/v1/jobs/{table}/replay"), &json!({ "threads": 1 }))?;
    expect(replayed.get("same") == Some(&Value::Bool(true)), "a replay gives the same commitment", &replayed)?;
    steps.done("the table's job run again on one thread: the same commitment");
    let (table, model) = (watch(&cast.operator, &table, quiet)?, watch(&cast.operator, &model, quiet)?);
    steps.done("the bank sees the ends on the full minute");
    let fetch = |job: &Value| cast.operator.get(&format!("/v1/releases/{}/artefact", text(job, "/releases/0")));
    let commitments = [&table, &model].map(|job| job.get("commitment").cloned().unwrap_or_default()).to_vec();
    let told = Told { table: fetch(&table)?, model: fetch(&model)?, commitments };
    let cells = told.table.pointer("/artefact/rows").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let suppressed = told.table.pointer("/artefact/suppressed").and_then(Value::as_u64).unwrap_or(0);
    expect(suppressed > 0 && suppressed < cells, "some cells are suppressed and some shown", &told.table)?;
    steps.done(&format!("released to the bank: a table of {cells} cells, {suppressed} of them suppressed, and the approved model"));
    Ok(told)
}

/// The bank says what the held model is for; two reviewers look, and sign.
fn review(cast: &Cast, held: &str, steps: &mut Steps) -> Result<(), CliError> {
    let statement = json!({ "purpose": "scores applicants of small-firm loans", "context": "logistic scorecard over tax grade, arrears and penalties" });
    cast.operator.post(&format!("/v1/releases/{held}/request"), &statement)?;
    steps.done("the bank filed what the held model is for; the reply clock runs");
    for (reviewer, voted) in cast.reviewers.iter().zip(1..) {
        let copy = reviewer.client.get(&format!("/v1/releases/{held}/artefact"))?;
        if voted == 1 {
            steps.show(&format!("The held model, as reviewers see it:\n{}", crate::cli::releases::artefact_text(&copy)));
        }
        let cast = crate::cli::releases::vote(&reviewer.client, held, (Choice::Approve, "sound"), &reviewer.key)?;
        let state = if voted == 1 { "held" } else { "released" };
        expect(text(&cast, "/state") == state, "two signed approvals release, one does not", &cast)?;
    }
    steps.done("2 reviewers looked at the held model, neither knowing the other's vote, and signed");
    Ok(())
}

/// How many rows consent took out: exact figures, for checkers.
fn tell_of_consent(job: &Value, steps: &mut Steps) -> Result<(), CliError> {
    let members = job.pointer("/report/members").and_then(Value::as_array).cloned().unwrap_or_default();
    let bank = members.iter().find(|m| text(m, "/alias") == "bank").cloned().unwrap_or_default();
    let number = |name: &str| bank.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (rows, consented) = (number("rows"), number("rows_consented"));
    expect(consented > 0 && consented < rows, "rows without consent are dropped", job)?;
    steps.done(&format!(
        "{} of {rows} borrowers were left out for want of valid consent; {} rows were fused",
        rows - consented,
        text(job, "/report/rows")
    ));
    Ok(())
}
