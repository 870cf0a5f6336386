//! What has to be true afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fusebox::tlog::LeafKind;
use serde_json::Value;

use crate::load::Told;
use crate::processes;
use crate::support::until;
use crate::world::{World, is_final};

/// Descriptors that may come and go: connections that are kept open.
const DESCRIPTORS_MORE_MAX: i64 = 8;
/// Memory that the server may have more of: freed pieces that the allocator keeps, a log that grew by a leaf a job.
const RSS_MORE_MAX_MIB: i64 = 48;

/// All that a failure of a job on real data may say of a conversation.
const CLOSED: [&str; 20] = [
    "a worker could not be started",
    "the worker closed the conversation",
    "the worker closed inside a frame",
    "the worker did not answer in time",
    "a frame was larger than allowed",
    "the descriptors were not as announced",
    "too many frames",
    "too many bytes in all frames",
    "frames came too fast",
    "a frame was not of the documented form",
    "the socket failed",
    "a descriptor was not sealed shared memory",
    "shared memory was larger than allowed",
    "the worker was killed",
    "the worker's conversation broke",
    "the worker's jail could not be entered",
    "the worker needed more memory than it may use",
    "the worker needed more processor time than it may use",
    "the worker made a system call that its role does not need",
    "the worker died of a fault",
];
/// And how it begins where fixed words or the figures of a limit follow.
const CLOSED_BEFORE_MORE: [&str; 3] = ["a worker answered out of turn: ", "engine: ", "guest: "];

/// What the server holds.
pub struct Residue {
    descriptors: i64,
    rss_mib: i64,
    children: usize,
}

impl Residue {
    /// Once it is at rest: the least that is seen within a few seconds.
    pub fn of(world: &World) -> Self {
        let pid = world.server.pid();
        let mut least: Option<Self> = None;
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(100));
            let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as i64;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
            let rss_mib = rss.trim().trim_end_matches(" kB").parse::<i64>().unwrap() / 1024;
            let now = Self { descriptors, rss_mib, children: processes::count(pid) };
            least = Some(match least {
                None => now,
                Some(l) => {
                    Self { descriptors: l.descriptors.min(now.descriptors), rss_mib: l.rss_mib.min(now.rss_mib), children: now.children }
                }
            });
        }
        least.unwrap()
    }
}

impl std::fmt::Display for Residue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} descriptors, {} MiB, {} children", self.descriptors, self.rss_mib, self.children)
    }
}

/// Waits for the end of all jobs.
pub fn settled(world: &World, told: &Told) {
    let checker = world.checker();
    for job in &told.jobs {
        until("the end of a job", || {
            is_final(checker.get(&format!("/v1/jobs/{}", job.id)).good()["state"].as_str().unwrap()).then_some(())
        });
    }
}

/// Garbage of every kind, and from every role.
pub fn kinds(garbage: &[String]) {
    let mut by_kind = BTreeMap::<&str, BTreeMap<&str, u64>>::new();
    for line in garbage {
        let (kind, role) = line.split_once(' ').unwrap();
        *by_kind.entry(kind).or_default().entry(role).or_default() += 1;
    }
    by_kind.iter().for_each(|(kind, roles)| eprintln!("  {kind}: {roles:?}"));
    let roles: BTreeSet<&str> = by_kind.values().flat_map(|roles| roles.keys().copied()).collect();
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), ["compile", "engine", "guest", "ingest"]);
    assert_eq!(by_kind.len(), 12);
}

/// The server holds no more than before.
pub fn residue(world: &World, before: &Residue) {
    let after = Residue::of(world);
    eprintln!("before: {before}; after: {after}; may be more: {DESCRIPTORS_MORE_MAX} descriptors, {RSS_MORE_MAX_MIB} MiB");
    assert!(after.descriptors <= before.descriptors + DESCRIPTORS_MORE_MAX, "descriptors leak");
    assert!(after.rss_mib <= before.rss_mib + RSS_MORE_MAX_MIB, "memory leaks");
    assert!(after.children <= before.children, "children are left");
}

/// Every job, its releases and its leaves agree, and the log verifies without the server.
pub fn jobs(world: &mut World, told: &Told) {
    let checker = world.checker();
    let mut decided = BTreeMap::<String, u64>::new();
    let mut submitted = BTreeMap::<String, u64>::new();
    for (kind, body) in world.leaves() {
        match kind {
            LeafKind::Submission => *submitted.entry(body["job"].as_str().unwrap().to_owned()).or_default() += 1,
            LeafKind::Decision => *decided.entry(body["release"].as_str().unwrap().to_owned()).or_default() += 1,
            _ => {}
        }
    }
    let mut states = BTreeMap::<String, u64>::new();
    let mut reasons = BTreeMap::<String, u64>::new();
    let (mut commitments, mut releases) = (BTreeSet::new(), 0);
    for job in &told.jobs {
        let seen = checker.get(&format!("/v1/jobs/{}", job.id)).good();
        assert_eq!(submitted.get(&job.id), Some(&1), "{}", job.id);
        let state = seen["state"].as_str().unwrap();
        *states.entry(format!("{state}{}", if job.synthetic { ", synthetic" } else { "" })).or_default() += 1;
        assert_eq!(state == "cancelled", job.cancelled, "{seen}");
        let ids = seen["releases"].as_array().unwrap();
        assert_eq!(ids.len(), usize::from(state == "done" && !job.synthetic), "{seen}");
        for id in ids {
            let id = id.as_str().unwrap();
            let artefact = checker.get(&format!("/v1/releases/{id}/artefact")).good();
            assert_eq!(artefact["artefact"]["suppressed"], 11, "{id}");
            let release = checker.get(&format!("/v1/releases/{id}")).good();
            assert_eq!((&release["state"], decided.get(id)), (&Value::from("released"), Some(&1)), "{release}");
            releases += 1;
        }
        match (state, job.synthetic) {
            ("done", true) => assert!(seen["result"].is_object() || seen["result"].is_array(), "{seen}"),
            ("done", false) => {
                commitments.insert(seen["commitment"].as_str().unwrap().to_owned());
            }
            _ => assert!(seen["result"].is_null() && seen["commitment"].is_null(), "{seen}"),
        }
        if state == "failed" {
            *reasons.entry(closed_reason(&seen, job.synthetic)).or_default() += 1;
        }
    }
    eprintln!("states: {states:?}; {releases} releases; reasons:");
    reasons.iter().for_each(|(reason, times)| eprintln!("  {times} × {reason}"));
    assert_eq!(decided.len(), releases, "a decision that belongs to no job");
    assert!(reasons.len() >= 6 && states.get("done").is_some_and(|n| *n > 20), "the harm was none");
    assert!(!commitments.is_empty());
    verified(world);
}

/// Why a job failed, in words that hold nothing of a worker's own.
fn closed_reason(seen: &Value, synthetic: bool) -> String {
    let reason = seen["failure"].as_str().unwrap_or_else(|| panic!("no reason: {seen}"));
    let closed = CLOSED.contains(&reason) || CLOSED_BEFORE_MORE.iter().any(|start| reason.starts_with(start));
    assert!(closed || synthetic, "{seen}");
    // Its author reads on synthetic data what a module says; there nothing else is at stake.
    assert!(synthetic || !seen.to_string().contains("9135"), "{seen}");
    assert!(["run.failed", "table.request"].contains(&seen["refusal"]["rule"].as_str().unwrap()), "{seen}");
    reason.replace(|c: char| c.is_ascii_digit(), "#")
}

fn verified(world: &mut World) {
    let (size, remembered) = world.checkpoint();
    world.server.stop();
    world.verified_log(&remembered, size);
    let (note, log) = (world.server.data().join("remembered.note"), world.server.data().join("log"));
    std::fs::write(&note, &remembered).unwrap();
    let arguments = ["log", "verify", log.to_str().unwrap(), "--key", &world.server.log_key, "--remembered", note.to_str().unwrap()];
    let (out, err, code) = crate::support::fusebox(&arguments);
    assert_eq!(code, 0, "{out}{err}");
}
