//! What goes on meanwhile: jobs on real and on synthetic data, imports, compilations, cancellations.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::random::Random;
use crate::support::{Answer, Client, module, until};
use crate::world::{World, power_csv};

/// Threads that each keep a few jobs open.
const SUBMITTERS: u64 = 3;
const OPEN_EACH: usize = 5;

/// A job that was submitted.
#[derive(Clone)]
pub struct Submitted {
    pub id: String,
    pub synthetic: bool,
    pub cancelled: bool,
}

/// What was answered.
#[derive(Default)]
pub struct Told {
    pub jobs: Vec<Submitted>,
    /// Answers to imports and compilations: what, status, rule.
    pub calls: BTreeMap<(&'static str, u16, String), u64>,
}

impl Told {
    pub fn add(&mut self, other: Self) {
        self.jobs.extend(other.jobs);
        for (what, times) in other.calls {
            *self.calls.entry(what).or_default() += times;
        }
    }
    /// An answer that a caller may get, whatever happens to workers.
    fn call(&mut self, what: &'static str, answer: &Answer) {
        let rule = answer.rule();
        let good = match answer.status {
            200 | 201 => true,
            422 => ["import.rejected", "module.limit", "module.invalid"].contains(&rule.as_str()),
            429 => ["request.busy", "request.overloaded"].contains(&rule.as_str()),
            _ => false,
        };
        assert!(good, "{what}: {}: {}", answer.status, String::from_utf8_lossy(&answer.bytes));
        *self.calls.entry((what, answer.status, rule)).or_default() += 1;
    }
}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (synthetic, cancelled) = (self.jobs.iter().filter(|j| j.synthetic).count(), self.jobs.iter().filter(|j| j.cancelled).count());
        write!(f, "{} jobs ({synthetic} synthetic, {cancelled} cancelled)", self.jobs.len())?;
        self.calls.iter().try_for_each(|((what, status, rule), times)| write!(f, ", {what} {status} {rule} ×{times}"))
    }
}

pub struct Load {
    operator: Client,
    provider: Client,
    checker: Client,
    real: Value,
    synthetic: Value,
    wasm: Vec<u8>,
    signature: String,
    seed: u64,
}

impl Load {
    pub fn new(world: &World, seed: u64) -> Self {
        let table = world.approved("credit-default-rate");
        let wasm = module("credit-default-rate");
        let signature = world.sign(ring::digest::digest(&ring::digest::SHA256, &wasm).as_ref());
        Self {
            operator: world.operator(),
            provider: world.power(),
            checker: world.checker(),
            real: world.job("main", &table),
            synthetic: json!({ "plan": "credit", "module": table, "synthetic": true, "rows": 300 }),
            wasm,
            signature,
            seed,
        }
    }

    /// Keeps everything going until told to stop.
    pub fn run(&self, stop: &AtomicBool) -> Told {
        let told = Mutex::new(Told::default());
        std::thread::scope(|scope| {
            for n in 0..SUBMITTERS {
                let told = &told;
                scope.spawn(move || {
                    let jobs = self.submitter(Random::from(self.seed ^ n.wrapping_mul(0x9E37_79B9_7F4A_7C15)), stop);
                    told.lock().unwrap().jobs.extend(jobs);
                });
            }
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let answer = self.import();
                    told.lock().unwrap().call("import", &answer);
                    std::thread::sleep(Duration::from_millis(200));
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let answer = self.compile();
                    told.lock().unwrap().call("compile", &answer);
                    std::thread::sleep(Duration::from_millis(200));
                }
            });
        });
        told.into_inner().unwrap()
    }

    fn submitter(&self, mut random: Random, stop: &AtomicBool) -> Vec<Submitted> {
        let (mut all, mut open): (Vec<Submitted>, Vec<String>) = (Vec::new(), Vec::new());
        while !stop.load(Ordering::SeqCst) {
            open.retain(|id| !self.is_over(id));
            if open.len() >= OPEN_EACH {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let mut job = self.submit(random.below(3) == 0);
            if random.below(12) == 0 {
                std::thread::sleep(Duration::from_millis(random.below(400)));
                let answer = self.operator.post(&format!("/v1/jobs/{}/cancel", job.id), &json!({}));
                assert!(answer.status == 200 || answer.rule() == "request.conflict", "{}", answer.status);
                job.cancelled = answer.status == 200;
            }
            open.push(job.id.clone());
            all.push(job);
        }
        all
    }

    fn is_over(&self, id: &str) -> bool {
        !matches!(self.checker.get(&format!("/v1/jobs/{id}")).good()["state"].as_str(), Some("queued" | "running"))
    }

    fn submit(&self, synthetic: bool) -> Submitted {
        let made = self.operator.post("/v1/jobs", if synthetic { &self.synthetic } else { &self.real }).good();
        Submitted { id: made["id"].as_str().unwrap().to_owned(), synthetic, cancelled: false }
    }

    /// The same rows again: another version, and every view of before is dropped.
    fn import(&self) -> Answer {
        self.provider.upload("/v1/datasets/power_bills/versions?format=csv", power_csv().as_bytes())
    }

    /// The same module again: compiled anew, and then found to be there.
    fn compile(&self) -> Answer {
        let headers = [("content-type", "application/wasm"), ("x-fusebox-signature", self.signature.as_str())];
        self.operator.call("POST", "/v1/modules", &headers, &self.wasm)
    }

    /// Imports once more, so that no view is cached.
    pub fn refresh(&self) {
        until("an import", || (self.import().status == 201).then_some(()));
    }

    /// Runs jobs one after the other until five in a row are done, which must come soon.
    pub fn until_sound(&self) -> Told {
        let mut told = Told::default();
        let mut row = 0;
        while row < 5 {
            assert!(told.jobs.len() < 20, "the server does not come to rest");
            let job = self.submit(told.jobs.len() % 2 == 1);
            until("the end of a job", || self.is_over(&job.id).then_some(()));
            let state = self.checker.get(&format!("/v1/jobs/{}", job.id)).good()["state"].clone();
            row = if state == "done" { row + 1 } else { 0 };
            told.jobs.push(job);
        }
        told
    }
}
