//! The jail seen from outside: what the kernel says of workers that wait, and what their memory holds.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use fusebox::workers::{Jail, spawn};
use protocol::jail::{Ending, Layer, Waived};
use protocol::message::WorkerRole;

use super::said::{Attempt, Outcome, TEXT};
use super::taken::{STAGES, Seen, Taken, child_of, start, worker};

fn status(pid: u32) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    text.lines().filter_map(|l| l.split_once(':')).map(|(k, v)| (k.to_owned(), v.trim().to_owned())).collect()
}

fn namespace(pid: u32, name: &str) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string()
}

/// What shows, from outside, that each layer is in force; the layers that do not show.
fn not_in_force(pid: u32, role: WorkerRole) -> Vec<&'static str> {
    let (status, own) = (status(pid), std::process::id());
    let is = |key: &str, value: &str| status.get(key).is_some_and(|v| v == value);
    let other = |name: &str| namespace(pid, name) != namespace(own, name);
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str, value: u64| {
        limits.lines().any(|l| l.starts_with(name) && l[name.len()..].split_whitespace().take(2).all(|v| v == value.to_string()))
    };
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let bytes = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let given = start(role);
    let shown = [
        (Layer::ClosedDescriptors, descriptors == 4),
        (Layer::ScrubbedArguments, bytes("cmdline").iter().chain(&bytes("environ")).all(|b| *b == 0)),
        (Layer::NoNewPrivileges, is("NoNewPrivs", "1") && is("CapEff", "0000000000000000") && is("CapPrm", "0000000000000000")),
        (Layer::UserNamespace, other("user")),
        (Layer::PidNamespace, other("pid") && status["NSpid"].ends_with("\t1")),
        // The files of a non-dumpable process belong to root (proc_pid(5)).
        (Layer::NonDumpable, std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(format!("/proc/{pid}/fd")).unwrap()) == 0),
        (Layer::MountNamespace, other("mnt") && std::fs::read_dir(format!("/proc/{pid}/root")).unwrap().count() == 0),
        (Layer::NetworkNamespace, other("net")),
        (Layer::IpcNamespace, other("ipc")),
        (Layer::UtsNamespace, other("uts")),
        (
            Layer::ResourceLimits,
            limit("Max data size", given.memory_bytes_max)
                && limit("Max cpu time", given.cpu_seconds_max)
                && limit("Max core file size", 0),
        ),
        // Landlock shows nowhere but in its effect, which the worker's own report tells.
        (Layer::Landlock, Jail::probe(&worker(), &Waived::NONE).is_ok()),
        (Layer::Seccomp, is("Seccomp", "2")),
    ];
    assert_eq!(shown.map(|(layer, _)| layer), Layer::ALL, "a layer without a look at it");
    shown.into_iter().filter(|(_, seen)| !seen).map(|(layer, _)| layer.word()).collect()
}

#[test]
fn every_layer_is_in_force_in_every_role() {
    let jail = Jail::probe(&worker(), &Waived::NONE).unwrap();
    println!("{:<20} {}", "layer", WorkerRole::ALL.map(|r| format!("{:<9}", r.word())).concat());
    let mut seen = Vec::new();
    for role in WorkerRole::ALL {
        let (mut keeper, channel) = spawn(&worker(), &start(role)).unwrap();
        let pid = child_of(keeper.id()).unwrap();
        // It is in its jail once it sleeps in its first receive under the filter.
        let until = Instant::now() + Duration::from_secs(20);
        while status(pid)["Seccomp"] != "2" || !status(pid)["State"].starts_with('S') {
            assert!(Instant::now() < until, "{} never entered its jail", role.word());
            std::thread::sleep(Duration::from_millis(5));
        }
        seen.push(not_in_force(pid, role));
        drop(channel);
        // The server is gone: so are keeper and worker, without being told.
        let _ = keeper.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        while std::fs::metadata(format!("/proc/{pid}")).is_ok() {
            assert!(Instant::now() < until, "a worker outlived its server");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for layer in Layer::ALL {
        let row = seen.iter().map(|missing| format!("{:<9}", if missing.contains(&layer.word()) { "NO" } else { "yes" }));
        println!("{:<20} {}", layer.word(), row.collect::<String>());
    }
    let calls = jail.roles().iter().map(|r| format!("{:<9}", r.report.system_calls)).collect::<String>();
    println!("{:<20} {calls}", "system calls");
    assert!(seen.iter().all(Vec::is_empty), "{seen:?}");
    let guest = jail.roles().iter().find(|r| r.role == "guest").unwrap();
    assert!(guest.report.system_calls <= 25);
}

const PIECE: usize = 64 << 10;

/// Whether `needle` stands in memory that the process may read.
fn memory_holds(pid: u32, needle: &[u8]) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut looked = 0;
    for line in maps.lines().filter(|l| l.split_whitespace().nth(1).is_some_and(|p| p.starts_with('r')) && !l.contains("[v")) {
        let (first, end) = line.split_whitespace().next().and_then(|range| range.split_once('-')).unwrap();
        let (first, end) = (u64::from_str_radix(first, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        // In pieces: a page that cannot be read hides no other. Each piece begins with the end of the one before.
        let mut held = Vec::new();
        for at in (first..end).step_by(PIECE) {
            let mut bytes = vec![0; PIECE.min(usize::try_from(end - at).unwrap())];
            if memory.read_exact_at(&mut bytes, at).is_err() {
                held.clear();
                continue;
            }
            looked += bytes.len();
            held.extend(bytes);
            if held.windows(needle.len()).any(|w| w == needle) {
                return true;
            }
            held.drain(..held.len().saturating_sub(needle.len()));
        }
    }
    assert!(looked > 1 << 20, "the memory of the worker was not read");
    false
}

/// A secret in this process's memory and environment (it stands for the server) is in no worker; a text that was sent to it is.
#[test]
fn nothing_of_the_servers_memory_is_in_a_worker() {
    let mut random = [0u8; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
    let word: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let (secret, sent) = (format!("canary-secret-{word}"), format!("canary-sent-{word}"));
    let place = std::env::temp_dir().join(format!("fusebox-canary-{word}"));
    std::fs::write(&place, &secret).unwrap();
    for stage in STAGES {
        let mut taken = Taken::new(stage);
        let Seen::Outcome(Outcome::Through(_)) = taken.attempt(Attempt::Keep(sent.clone())) else { panic!("{}", stage.name) };
        let pid = taken.worker_pid();
        assert!(memory_holds(pid, sent.as_bytes()), "{}: the search finds nothing, it would find no secret either", stage.name);
        assert!(!memory_holds(pid, secret.as_bytes()), "the server's secret is in a worker");
        assert!(!memory_holds(taken.keeper.id(), secret.as_bytes()), "the server's secret is in a keeper");
        // Neither by the file's name nor from the server's memory.
        let path = place.to_str().unwrap().to_owned();
        let open = Taken::new(stage).attempt(Attempt::With(257, [(-100i64).cast_unsigned(), TEXT, 0, 0, 0, 0], path));
        let server = u64::from(std::process::id());
        let read = Taken::new(stage).attempt(Attempt::With(310, [server, 0, 0, secret.as_ptr() as u64, 1, 0], String::new()));
        for seen in [open, read] {
            assert!(matches!(seen, Seen::Ended(Ending::SystemCall) | Seen::Outcome(Outcome::Refused(38))), "{}: {seen:?}", stage.name);
        }
    }
    std::fs::remove_file(&place).unwrap();
    assert!(!secret.is_empty());
}

/// A kernel without a layer, played by a program that reports so: no worker runs, unless the layer is waivable and waived.
#[test]
fn a_missing_layer_is_refused_by_name_unless_it_is_waived() {
    let folder = std::env::temp_dir().join(format!("fusebox-probe-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let lacking = |layer: Layer| {
        let rest: Vec<&str> = Layer::ALL.into_iter().filter(|l| *l != layer).map(Layer::word).collect();
        let report = format!(r#"{{"in_force":{rest:?},"missing":[],"system_calls":22,"landlock_abi":7}}"#);
        let path = folder.join(layer.word());
        std::fs::write(&path, format!("#!/bin/sh\necho '{report}'\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        path
    };
    for layer in Layer::ALL {
        let kernel = lacking(layer);
        let refused = Jail::probe(&kernel, &Waived::NONE).unwrap_err().to_string();
        assert!(refused.contains(layer.word()) && refused.contains("remedy"), "{refused}");
        assert_eq!(refused.contains("waive_jail_layers"), layer.is_waivable(), "{refused}");
        match Waived::parse(layer.word()) {
            Ok(waived) => assert!(Jail::probe(&kernel, &waived).is_ok()),
            Err(_) => assert!(!layer.is_waivable()),
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The kinds of a warm start: a worker that waited against one that has to be started. Printed, not judged: timing is noisy.
#[test]
fn waiting_hides_what_the_jail_costs() {
    let once = |waited: bool| {
        let early = waited.then(|| Taken::new(STAGES[3]));
        if waited {
            std::thread::sleep(Duration::from_millis(150));
        }
        let begun = Instant::now();
        let mut taken = early.unwrap_or_else(|| Taken::new(STAGES[3]));
        let seen = taken.attempt(Attempt::Confine);
        let took = begun.elapsed();
        assert_eq!(seen, Seen::Outcome(Outcome::Through(String::new())));
        took
    };
    let median = |waited: bool| {
        let mut times: Vec<Duration> = (0..15).map(|_| once(waited)).collect();
        times.sort();
        times[times.len() / 2]
    };
    let (cold, warm) = (median(false), median(true));
    println!("start, jail and last stage: {cold:?} cold, {warm:?} when the worker waited ({:.2})", warm.as_secs_f64() / cold.as_secs_f64());
}
