//! Every refusal through the interface: rule, clause, threshold, remedy, both languages, no value; and its leaf.

mod catalogue;
mod outputs;
mod papers;
mod uploads;

use serde_json::Value;

use crate::support::Answer;
use crate::world::{FIRMS, Papers, World, uscc};

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
    uploads::modules(&mut told);
    papers::authorisations(&mut told);
    papers::agreements(&mut told);
    papers::jobs(&mut told);
    catalogue::catalogue(&mut told);
    catalogue::plans(&mut told);
    uploads::bodies(&mut told);
    outputs::doors_and_reviews(&mut told);
    outputs::tables(&mut told);
    outputs::suppressed(&told, &job);
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
