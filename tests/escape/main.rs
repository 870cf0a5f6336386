//! Assume the escape: native code inside each jail tries what an attacker would. It is a build of the worker with a payload in place
//! of its work (`worker/examples/escape.rs`), started as the server starts workers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

mod attacks;
mod outside;
mod said;
mod taken;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use protocol::jail::Ending;
use said::{Attempt, Outcome};
use taken::{FOLD, STAGES, Seen, Stage, Taken};

/// Numbers beyond the newest call of today's kernels are tried as well.
const NUMBER_MAX: i64 = 500;
const ENOSYS: i32 = 38;
const ENXIO: i32 = 6;
/// Calls that the kernel lets past every filter since 6.14 because its own probes make them (`seccomp_uprobe_exception` in
/// kernel/seccomp.c). From anywhere but a probe's trampoline the first ends the caller (SIGILL) and the second is refused.
const URETPROBE: i64 = 335;
const UPROBE: i64 = 336;

/// What one stage allowed, answered as absent, and ended.
#[derive(Default)]
struct Sweep {
    allowed: BTreeSet<i64>,
    absent: BTreeSet<i64>,
    ended: u32,
    wrong: Vec<String>,
}

fn sweep(stage: Stage) -> Sweep {
    let Seen::Outcome(Outcome::Open(allowed)) =
        Taken::new(Stage { fold: false, ..stage }).attempt(Attempt::AllowList(stage.confined, stage.fold))
    else {
        panic!("no list")
    };
    let allowed: BTreeSet<i64> = allowed.into_iter().map(i64::from).collect();
    let (next, swept) = (AtomicI64::new(0), Mutex::new(Sweep { allowed, ..Sweep::default() }));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > NUMBER_MAX {
                        return;
                    }
                    if swept.lock().unwrap().allowed.contains(&number) {
                        continue;
                    }
                    let seen = Taken::new(stage).attempt(Attempt::Call(number));
                    let mut swept = swept.lock().unwrap();
                    match seen {
                        Seen::Ended(Ending::SystemCall) => swept.ended += 1,
                        Seen::Outcome(Outcome::Refused(ENOSYS)) if !stage.confined => assert!(swept.absent.insert(number)),
                        Seen::Ended(Ending::Fault) if number == URETPROBE => swept.ended += 1,
                        Seen::Outcome(Outcome::Refused(ENXIO)) if number == UPROBE => swept.ended += 1,
                        other => swept.wrong.push(format!("{number} in {stage:?}: {other:?}")),
                    }
                }
            });
        }
    });
    swept.into_inner().unwrap()
}

#[test]
fn every_system_call_by_number_is_in_the_table_or_ends_the_worker() {
    println!("{:<16} {:>7} {:>16} {:>7}", "stage", "allowed", "answered absent", "ended");
    for stage in STAGES.into_iter().chain([FOLD]) {
        let swept = sweep(stage);
        println!("{:<16} {:>7} {:>16} {:>7}", stage.name, swept.allowed.len(), swept.absent.len(), swept.ended);
        assert!(swept.wrong.is_empty(), "{:#?}", swept.wrong);
        assert_eq!(swept.allowed.len() + swept.absent.len() + swept.ended as usize, NUMBER_MAX as usize + 1);
        // Few, and none that opens, connects, starts or looks at anything.
        assert!(swept.absent.len() <= 20);
        if stage.confined {
            assert!(swept.allowed.len() <= 25, "guest code may make {} system calls", swept.allowed.len());
            assert!(swept.absent.is_empty());
        }
    }
}

#[test]
fn attacks_are_contained_in_every_jail() {
    let mut classes: Vec<(&str, u32, u32)> = Vec::new();
    let mut escaped = Vec::new();
    for attack in attacks::all() {
        for stage in STAGES.into_iter().filter(|s| (attack.stages)(*s)) {
            let seen = attack.run(stage);
            let contained = attack.is_contained(&seen);
            if !contained {
                escaped.push(format!("{} / {} in {}: {seen:?}", attack.class, attack.name, stage.name));
            }
            match classes.iter_mut().find(|(class, ..)| *class == attack.class) {
                Some((_, tried, kept)) => (*tried, *kept) = (*tried + 1, *kept + u32::from(contained)),
                None => classes.push((attack.class, 1, u32::from(contained))),
            }
        }
    }
    println!("{:<28} {:>6} {:>10}", "attack", "tried", "contained");
    for (class, tried, contained) in &classes {
        println!("{class:<28} {tried:>6} {contained:>10}");
    }
    assert!(escaped.is_empty(), "{escaped:#?}");
}
