//! Descendants of a process: found, killed, stopped, and missed afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::random::Random;
use crate::support::until;

/// A process as /proc tells of it.
#[derive(Clone, Copy)]
struct Seen {
    state: char,
    parent: u32,
    /// When it was started, in clock ticks: with the id a name that is never used twice.
    started: u64,
}

fn seen(pid: u32) -> Option<Seen> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Seen { state: fields.first()?.chars().next()?, parent: fields.get(1)?.parse().ok()?, started: fields.get(19)?.parse().ok()? })
}

/// All descendants of a process.
fn descendants(of: u32) -> Vec<(u32, Seen)> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let all: BTreeMap<u32, Seen> = pids.filter_map(|pid| Some((pid, seen(pid)?))).collect();
    let below = |mut pid: u32| {
        // The depth is bounded: a parent may be gone and its number used again.
        for _ in 0..8 {
            match all.get(&pid) {
                Some(s) if s.parent == of => return true,
                Some(s) => pid = s.parent,
                None => return false,
            }
        }
        false
    };
    all.iter().filter(|(pid, _)| below(**pid)).map(|(pid, s)| (*pid, *s)).collect()
}

/// Harms children of the server at random and remembers every one that it saw.
pub struct Hunt {
    server: u32,
    random: Random,
    known: BTreeMap<(u32, u64), ()>,
    harmed: BTreeMap<(u32, u64), &'static str>,
}

impl Hunt {
    pub fn new(server: u32, seed: u64) -> Self {
        Self { server, random: Random::from(seed), known: BTreeMap::new(), harmed: BTreeMap::new() }
    }

    /// How many different processes were killed or stopped.
    pub fn harmed(&self) -> u64 {
        self.harmed.len() as u64
    }

    fn count(&self, kind: &str) -> usize {
        self.harmed.values().filter(|k| **k == kind).count()
    }

    /// Waits a moment, then harms one child: keeper or worker, waiting or at work.
    pub fn strike(&mut self) {
        std::thread::sleep(Duration::from_millis(20 + self.random.below(60)));
        let found = descendants(self.server);
        self.known.extend(found.iter().map(|(pid, s)| ((*pid, s.started), ())));
        let fresh: Vec<(u32, u64)> = found.iter().map(|(pid, s)| (*pid, s.started)).filter(|k| !self.harmed.contains_key(k)).collect();
        if fresh.is_empty() {
            return;
        }
        let victim = fresh[self.random.below(fresh.len() as u64) as usize];
        let (signal, kind) = match self.random.below(4) {
            0 => (Signal::STOP, "stopped"),
            _ => (Signal::KILL, "killed"),
        };
        let pid = Pid::from_raw(i32::try_from(victim.0).unwrap()).unwrap();
        if kill_process(pid, signal).is_ok() {
            self.harmed.insert(victim, kind);
        }
    }

    /// Of all that were ever seen only those live that are the server's own now, and none of its children is dead and uncollected.
    pub fn no_one_left(&mut self) {
        until("the end of every zombie and orphan", || {
            let own: BTreeMap<u32, Seen> = descendants(self.server).into_iter().collect();
            let zombie = own.values().any(|s| s.state == 'Z');
            let orphan =
                self.known.keys().any(|(pid, started)| seen(*pid).is_some_and(|s| s.started == *started) && !own.contains_key(pid));
            (!zombie && !orphan).then_some(())
        });
    }
}

impl std::fmt::Display for Hunt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} processes seen, {} killed, {} stopped", self.known.len(), self.count("killed"), self.count("stopped"))
    }
}

/// How many descendants a process has.
pub fn count(of: u32) -> usize {
    descendants(of).len()
}
