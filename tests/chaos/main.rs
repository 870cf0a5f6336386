//! Children of the server killed, stopped and answering garbage at random while jobs, imports and compilations go on. At the end the
//! server answers, every job is in a truthful final state, and nothing is left behind: no descriptor, no memory, no process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "test code, on the developer's own files"
)]

mod account;
mod admission;
mod load;
mod processes;
#[path = "../system/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "the world of tests/system, of which this test uses its part")]
#[path = "../system/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use account::{Residue, settled};
use load::{Load, Told};
use processes::Hunt;
use random::Random;
use support::{TempDir, worker};
use world::{Papers, World};

/// Time of a step of a worker: what a stopped or silent child costs.
const WALL_MS: u64 = 3000;
const SETTINGS: &str = "workers_waiting = 2
jobs_running_max = 10
jobs_running_per_org_max = 10
workers_memory_bytes_max = 25769803776
";
/// Of a thousand children that are started, so many answer garbage.
const GARBAGE_PERMILLE: u64 = 400;

/// The worker that cannot be relied on, with what it looks for beside it.
struct Unreliable(TempDir);

impl Unreliable {
    fn new() -> Self {
        let dir = TempDir::new();
        let garbage = worker().with_file_name("examples/garbage");
        assert!(garbage.exists(), "no {}; remedy: `cargo build --workspace --all-targets`", garbage.display());
        std::fs::copy(garbage, dir.path().join("worker")).unwrap();
        std::os::unix::fs::symlink(std::fs::canonicalize(worker()).unwrap(), dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("config.toml"), format!("{SETTINGS}worker_wall_ms = {WALL_MS}\n")).unwrap();
        Self(dir)
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn odds(&self, permille: u64, seed: u64) {
        // Renamed into place: a child reads the one or the other.
        std::fs::write(self.path("new"), format!("{permille} {seed}\n")).unwrap();
        std::fs::rename(self.path("new"), self.path("odds")).unwrap();
    }
    /// What garbage was told so far.
    fn told(&self) -> Vec<String> {
        std::fs::read_to_string(self.path("told")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Harms `victims` children and accounts for everything.
fn chaos(victims: u64) {
    let started = Instant::now();
    let mut random = Random::seeded("chaos");
    let unreliable = Unreliable::new();
    let (config, binary) = (unreliable.path("config.toml"), unreliable.path("worker"));
    let mut world = World::start(&["--config", text(&config), "--worker", text(&binary)]);
    world.carry(&Papers::new("main"));
    let load = Load::new(&world, random.next());

    // Everything once and at once without harm: what the server keeps for good it has then.
    let quiet = AtomicBool::new(false);
    let mut told = Told::default();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(&quiet));
        std::thread::sleep(Duration::from_secs(12));
        quiet.store(true, Ordering::SeqCst);
        told.add(running.join().unwrap());
    });
    settled(&world, &told);
    load.refresh();
    let before = Residue::of(&world);
    eprintln!("quiet: {told}; {before}; {:.0} s", started.elapsed().as_secs_f64());

    unreliable.odds(GARBAGE_PERMILLE, random.next());
    let over = AtomicBool::new(false);
    let mut hunt = Hunt::new(world.server.pid(), random.next());
    std::thread::scope(|scope| {
        let running = scope.spawn(|| load.run(&over));
        while hunt.harmed() + (unreliable.told().len() as u64) < victims {
            hunt.strike();
            assert!(world.server.anonymous().get("/health").good()["status"] == "ok");
        }
        over.store(true, Ordering::SeqCst);
        told.add(running.join().unwrap());
    });
    let garbage = unreliable.told();
    unreliable.odds(0, 0);
    eprintln!("harm: {hunt}, {} garbage; {told}; {:.0} s", garbage.len(), started.elapsed().as_secs_f64());
    account::kinds(&garbage);

    settled(&world, &told);
    // Children that wait may be stopped, or hold garbage: the jobs that take them fail, and then there are none.
    told.add(load.until_sound());
    settled(&world, &told);
    load.refresh();
    hunt.no_one_left();
    account::residue(&world, &before);
    account::jobs(&mut world, &told);
    eprintln!("{} children harmed, accounted for after {:.0} s", hunt.harmed() + garbage.len() as u64, started.elapsed().as_secs_f64());
}

#[test]
fn a_thousand_children_harmed_at_random_leave_no_trace() {
    chaos(1_000);
}

#[test]
#[ignore = "long: `cargo xtask nightly`"]
fn ten_thousand_children_harmed_at_random_leave_no_trace() {
    chaos(10_000);
}
