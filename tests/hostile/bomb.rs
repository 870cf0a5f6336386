//! Compile bombs beside a normal job: what they cost, and what the neighbour feels. Figures are printed; what is asserted is that each
//! bomb ends with a closed reason within the caps and that the neighbour finishes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fusebox::workers::{CompileError, KillSwitch, Patience, WorkerError, WorkerSettings, Workers};
use protocol::jail::Ending;
use protocol::limits::Limits;
use protocol::message::ModuleRefusal;

use crate::cases::Generated;
use crate::{NORMAL, generate, modules, run};

/// What the bomb of 30,000 `if`s over 1,500 locals costs a compiler that nothing bounds: processor seconds, MiB.
const UNBOUNDED: (f64, f64) = (35.0, 1740.0);

/// What a process used: processor seconds, most MiB at once.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    seconds: f64,
    mib: f64,
}

/// All processes below `root`.
fn below(root: i32) -> Vec<i32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Some(stat) = std::fs::read_to_string(entry.path().join("stat")).ok() else { continue };
        let Some(parent) = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok()) else { continue };
        parents.push((pid, parent));
    }
    let mut found = vec![root];
    while let Some(next) = parents.iter().find(|(pid, parent)| found.contains(parent) && !found.contains(pid)) {
        found.push(next.0);
    }
    found.split_off(1)
}

fn used(pid: i32) -> Option<Used> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib: f64 = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()?;
    Some(Used { seconds: ticks / 100.0, mib: kib / 1024.0 })
}

/// Compiles `module`; what came, what the costliest process below used meanwhile, and how long it took.
fn compile(workers: &Workers, module: &[u8]) -> (Result<(), CompileError>, Used, Duration) {
    let (over, most) = (AtomicBool::new(false), Mutex::new(Used::default()));
    let own = i32::try_from(std::process::id()).unwrap();
    let started = Instant::now();
    let came = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                for now in below(own).into_iter().filter_map(used) {
                    let mut most = most.lock().unwrap();
                    *most = Used { seconds: most.seconds.max(now.seconds), mib: most.mib.max(now.mib) };
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let came = workers.compile(module, Patience::Job, &KillSwitch::default()).map(drop);
        over.store(true, Ordering::Relaxed);
        came
    });
    (came, most.into_inner().unwrap(), started.elapsed())
}

/// Seconds of normal jobs one after the other until `over`, at least three: the middle one.
fn neighbour(workers: &Workers, over: &AtomicBool) -> f64 {
    let mut times = Vec::new();
    while times.len() < 3 || !over.load(Ordering::Relaxed) {
        let started = Instant::now();
        run::check(workers, &NORMAL).unwrap();
        times.push(started.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Compiles a bomb beside normal jobs and prints what each took.
fn beside(what: &str, bomb: &[u8]) -> Result<(), CompileError> {
    let workers = Workers::new(WorkerSettings::alone(run::binary(), 1, 1));
    run::check(&workers, &NORMAL).unwrap();
    let alone = neighbour(&workers, &AtomicBool::new(true));
    let over = Arc::new(AtomicBool::new(false));
    let ((came, used, took), meanwhile) = std::thread::scope(|scope| {
        let normal = scope.spawn(|| neighbour(&workers, &over));
        let compiled = compile(&workers, bomb);
        over.store(true, Ordering::Relaxed);
        (compiled, normal.join().unwrap())
    });
    println!(
        "{what}: {} KiB, {:.2} processor seconds and {:.0} MiB at most in {:.2} s; a normal job {:.2} times as long beside it",
        bomb.len() >> 10,
        used.seconds,
        used.mib,
        took.as_secs_f64(),
        meanwhile / alone
    );
    let l = &Limits::STANDARD;
    assert!(used.mib < (l.compile_memory_bytes_max >> 20) as f64 * 1.1, "{what}: {} MiB", used.mib);
    assert!(used.seconds < l.compile_cpu_seconds_max as f64 + 2.0, "{what}: {} s", used.seconds);
    came
}

#[test]
fn the_known_bomb_is_refused_beside_a_normal_job() {
    let bomb = generate::module(Generated::Ifs { ifs: 30_000, locals: 1_500 });
    assert!((400 << 10..500 << 10).contains(&bomb.len()), "{} bytes", bomb.len());
    let came = beside("the known bomb", &bomb);
    println!("the known bomb where nothing bounds the compiler: {:.0} processor seconds, {:.0} MiB", UNBOUNDED.0, UNBOUNDED.1);
    assert!(
        matches!(&came, Err(CompileError::Refused(ModuleRefusal::Limit(l))) if l.name == "function_locals_times_blocks_max"),
        "{came:?}"
    );
}

/// A core module as a part of a good component, where it is compiled.
fn part(core: &[u8]) -> Vec<u8> {
    [modules::beside(""), modules::section(1, core)].concat()
}

#[test]
fn the_costliest_function_that_is_let_through_stays_within_the_caps() {
    let came =
        beside("calls with a thousand results, as many as are let through", &part(&generate::module(Generated::Calls { count: 490 })));
    came.unwrap();
}

#[test]
#[ignore = "long"]
fn the_costliest_module_that_is_let_through_compiles_or_is_ended_by_the_jail() {
    let came = beside("19 functions of 5,000 ifs over 1,000 locals", &part(&generate::module(Generated::Ifful { functions: 19 })));
    assert!(matches!(&came, Ok(()) | Err(CompileError::Worker(WorkerError::Ended(Ending::Memory | Ending::Processor)))), "{came:?}");
}
