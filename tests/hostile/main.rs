//! Hostile modules and taken-over workers against the real processes: each case of the table must end as it says, and the workers must
//! serve a normal job afterwards. `cargo xtask hostile --list` prints the table, `cargo xtask hostile [NAME]` runs it.
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

mod bomb;
mod cases;
mod coverage;
mod escaped;
mod generate;
mod modules;
mod run;
mod smith;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use cases::{Case, Class, Expect, Rows, Source};
use fusebox::workers::{WorkerSettings, Workers};

/// Cases between two normal jobs.
const CASES_BETWEEN: usize = 10;
/// Cases at a time: most of a case is waiting for a process.
const AT_ONCE: usize = 3;

/// A job that does what it is there for, in the neighbourhood of all the others.
const NORMAL: Case = Case {
    name: "normal",
    class: Class::State,
    covers: &[],
    source: Source::Guest("misbehaves", 33),
    rows: Rows::Synthetic,
    expect: Expect::Harmless("derived band; derived double; log 1000 [\"甲\", \"b\", \"c\"] 1433.9999999999998"),
};

#[test]
fn every_case_ends_as_it_must() {
    let only = std::env::var("FUSEBOX_HOSTILE_CASE").ok();
    let cases: Vec<Case> = cases::all().into_iter().filter(|c| only.as_deref().is_none_or(|name| c.name == name)).collect();
    assert!(!cases.is_empty(), "there is no case of this name; remedy: cargo xtask hostile --list");
    let workers = Workers::new(WorkerSettings::alone(run::binary(), 2, 1));
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let ended: Mutex<BTreeMap<Class, (usize, usize)>> = Mutex::default();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let outcome = run::check(&workers, case);
                    if std::env::var_os("FUSEBOX_HOSTILE_TIMES").is_some() {
                        println!("{:6.2} s  {}", begun.elapsed().as_secs_f64(), case.name);
                    }
                    let mut ended = ended.lock().unwrap();
                    let (tried, contained) = ended.entry(case.class).or_default();
                    *tried += 1;
                    *contained += usize::from(outcome.is_ok());
                    let count: usize = ended.values().map(|(tried, _)| tried).sum();
                    drop(ended);
                    if let Err(came) = outcome {
                        wrong.lock().unwrap().push(format!("{}: expected {}, came {came:.300}", case.name, case.expect));
                    }
                    if count.is_multiple_of(CASES_BETWEEN)
                        && let Err(came) = run::check(&workers, &NORMAL)
                    {
                        wrong.lock().unwrap().push(format!("a normal job after {}: {came:.300}", case.name));
                    }
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    println!("{:<20} {:>5} {:>9}", "class", "tried", "contained");
    for (class, (tried, contained)) in &ended {
        println!("{:<20} {tried:>5} {contained:>9}", format!("{class:?}"));
    }
    let (tried, contained) = ended.values().fold((0, 0), |(t, c), (tried, contained)| (t + tried, c + contained));
    println!("{:<20} {tried:>5} {contained:>9}   {:.1} s", "all", started.elapsed().as_secs_f64());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    run::check(&workers, &NORMAL).unwrap();
}
