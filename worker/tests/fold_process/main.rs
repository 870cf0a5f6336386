//! A fold in a real worker, behind its whole jail: whatever a module does there is no system call that the last stage forbids, and
//! nothing of one block reaches another.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

mod cases;

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use protocol::fold::{BlockBatch, Contribution, Floats, FoldStart, Integers, MapReply, MapRequest, Octets, UpdateReply, UpdateRequest};
use protocol::frame::Channel;
use protocol::jail::{Ending, Layer, Start, Waived};
use protocol::memfd::sealed;
use protocol::message::{GuestOpening, ModuleRefusal, WorkerRole};

fn guest(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("FUSEBOX_GUESTS").map(std::path::PathBuf::from);
    let path = folder.expect("FUSEBOX_GUESTS; remedy: cargo xtask test").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; remedy: cargo xtask guests", path.display()))
}

/// A worker and the server's end of its conversation.
struct Worker {
    process: Child,
    server: Channel,
}

fn worker() -> Worker {
    let waivable: Vec<&str> = Layer::ALL.into_iter().filter(|l| l.is_waivable()).map(Layer::word).collect();
    let start = Start {
        role: WorkerRole::Guest,
        threads: 1,
        memory_bytes_max: 1 << 30,
        cpu_seconds_max: 300,
        waived: Waived::parse(&waivable.join(",")).unwrap(),
    };
    let (ours, theirs) = UnixStream::pair().unwrap();
    let binary = std::env::var_os("FUSEBOX_WORKER").unwrap_or_else(|| env!("CARGO_BIN_EXE_fusebox-worker").into());
    let process = Command::new(binary)
        .args(start.arguments())
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut server = Channel::new(ours);
    server.set_deadline(Some(Instant::now() + Duration::from_secs(300)));
    Worker { process, server }
}

fn compiled() -> (FoldStart, OwnedFd) {
    let compiled = fusebox_worker::compile::compile(&guest("fold-misbehaves")).unwrap();
    let start = FoldStart { manifest: compiled.manifest.fold.unwrap(), fuel: 20_000_000, memory_bytes_max: 16 << 20 };
    (start, sealed("code", &compiled.code).unwrap())
}

/// A mapper for this code, and the engine's end of its socket.
fn mapper(start: FoldStart, code: &OwnedFd) -> (Worker, Channel) {
    let mut worker = worker();
    let (ours, theirs) = UnixStream::pair().unwrap();
    worker.server.send(&GuestOpening::Map(start), &[code.as_fd(), theirs.as_fd()]).unwrap();
    let mut engine = Channel::plain(ours);
    engine.set_deadline(Some(Instant::now() + Duration::from_secs(300)));
    (worker, engine)
}

fn people(values: &[i64]) -> BlockBatch {
    let ones = vec![1; values.len()];
    BlockBatch { blocks: ones.clone(), units: ones, values: Integers(values.to_vec()), missing: Octets(Vec::new()) }
}

#[test]
fn every_deed_is_contained_in_the_jail() {
    let (start, code) = compiled();
    let (mut worker, mut engine) = mapper(start, &code);
    let good = |who: i64| Contribution::Dense(Floats(vec![1.0, who as f64, 0.0, 0.0]));
    let mut nothing = 0;
    for deed in (0..=17).chain(20..=21) {
        engine.send(&MapRequest::State(Floats(vec![f64::from(deed), 5.0, 0.0, 0.0])), &[]).unwrap();
        engine.send(&MapRequest::Blocks(people(&[4, 5, 6])), &[]).unwrap();
        let answers = engine.receive::<MapReply>().unwrap().0.0;
        assert_eq!(answers.len(), 3);
        match deed {
            // Found nothing, in three blocks one after another.
            20 => assert_eq!(answers, vec![Contribution::Dense(Floats(vec![1.0, 0.0, 0.0, 0.0])); 3]),
            21 => assert_eq!(answers[2], Contribution::Dense(Floats(vec![6.0, 0.0, 0.0, 0.0]))),
            _ => assert_eq!((&answers[0], &answers[2]), (&good(4), &good(6)), "deed {deed}"),
        }
        nothing += usize::from(answers[1] == Contribution::Nothing);
    }
    assert_eq!(nothing, 15, "all deeds but those that are numbers");
    // A descriptor that somebody sends is not received.
    let socket = UnixStream::from(engine.as_fd().try_clone_to_owned().unwrap());
    Channel::new(socket).send(&MapRequest::Blocks(people(&[1])), &[code.as_fd()]).unwrap();
    assert!(engine.receive::<MapReply>().is_err(), "the guest ends its conversation");
    assert_eq!(Ending::of(worker.process.wait().unwrap().code()), Ending::Broken);
}

#[test]
fn updates_run_in_the_jail_and_end_with_the_conversation() {
    let (start, code) = compiled();
    let mut worker = worker();
    worker.server.send(&GuestOpening::Update(start), &[code.as_fd()]).unwrap();
    for (deed, expected) in [(0, Some(vec![0.0, 0.0, 7.0, 2.5])), (30, None), (31, None), (32, None), (33, None), (34, Some(vec![0.0; 4]))]
    {
        let state = Floats(vec![f64::from(deed), 0.0, 0.0, 0.0]);
        worker.server.send(&UpdateRequest { round: 7, state, noised: Floats(vec![2.5; 4]) }, &[]).unwrap();
        assert_eq!(worker.server.receive::<UpdateReply>().unwrap().0.0.map(|f| f.0), expected, "deed {deed}");
    }
    // A server that hangs up ends the worker: by itself, or by its keeper, whoever sees it first.
    drop(worker.server);
    let ending = Ending::of(worker.process.wait().unwrap().code());
    assert!(matches!(ending, Ending::Done | Ending::Killed), "{ending}");
}

#[test]
fn modules_by_hand_are_contained_too() {
    let mut wrong = Vec::new();
    for case in cases::CASES {
        let came = match fusebox_worker::compile::compile(&cases::module(case)) {
            Err(ModuleRefusal::Limit(limit)) => format!("Limit({:?})", limit.name),
            Err(refusal) => format!("Refused({:?})", format!("{refusal:?}").split(['(', ' ']).next().unwrap()),
            Ok(compiled) => mapped(compiled),
        };
        println!("{:40} {came}", case.name);
        if came != format!("{:?}", case.expect) {
            wrong.push(format!("{}: expected {:?}, came {came}", case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What three blocks contribute, if it is one thing.
fn mapped(compiled: fusebox_worker::compile::Compiled) -> String {
    let start = FoldStart { manifest: compiled.manifest.fold.unwrap(), fuel: 1_000_000, memory_bytes_max: 4 << 20 };
    let (mut worker, mut engine) = mapper(start, &sealed("code", &compiled.code).unwrap());
    engine.send(&MapRequest::State(Floats(vec![0.0])), &[]).unwrap();
    engine.send(&MapRequest::Blocks(people(&[1, 2, 3])), &[]).unwrap();
    let answers = engine.receive::<MapReply>().unwrap().0.0;
    drop(engine);
    assert!(matches!(Ending::of(worker.process.wait().unwrap().code()), Ending::Done));
    match answers.as_slice() {
        [Contribution::Nothing, Contribution::Nothing, Contribution::Nothing] => "Nothing".to_owned(),
        [Contribution::Dense(a), b, c] if Contribution::Dense(a.clone()) == *b && b == c => format!("Same({:?})", a.0[0]),
        other => format!("{other:?}"),
    }
}
