//! A worker that someone took over: this test's own binary, started by a script in the place of the worker, says what the case wants.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use fusebox::workers::{KillSwitch, Patience, WorkerSettings, Workers};
use protocol::column::Parts;
use protocol::frame::Channel;
use protocol::limits::Limits;
use protocol::manifest::Manifest;
use protocol::memfd::sealed;
use protocol::message::{CompileReply, CompileRequest, GuestFailure, GuestOpening, GuestReply, ModuleRefusal};
use protocol::model::{Feature, LinearModel, Link, Model};
use protocol::table::{Margins, MeasureOp, MeasureRequest, TableRequest};
use rustix::fs::{MemfdFlags, SealFlags};

use crate::cases::{Case, Escape};
use crate::{modules, run};

/// Says to this binary which role it plays. The script sets it: a worker's environment is empty.
const ROLE: &str = "FUSEBOX_HOSTILE_ROLE";
const ESCAPE: &str = "FUSEBOX_HOSTILE_ESCAPE";
const NAME: &str = "escaped::a_worker_that_someone_took_over";

/// Whether a case is about the compiler's process.
fn is_compiler(escape: Escape) -> bool {
    matches!(escape, Escape::CodeHuge | Escape::CodeUnsealed | Escape::CodeMissing | Escape::ManifestInvalid | Escape::CompilerFailed)
}

/// Starts workers of a taken-over binary and judges what the server's side makes of them.
pub fn check(escape: Escape, case: &Case) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("fusebox-hostile-{}-{escape:?}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let script = folder.join("worker");
    let own = std::env::current_exe().unwrap();
    let text = format!("#!/bin/sh\n{ESCAPE}={escape:?} {ROLE}=\"$1\" exec '{}' --ignored --exact {NAME}\n", own.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let workers = Workers::new(WorkerSettings::alone(script, 1, 0));
    let judged = if is_compiler(escape) {
        let compiled = workers.compile(&modules::good(modules::MANIFEST), Patience::Job, &KillSwitch::default());
        run::judge(case, compiled.err(), None)
    } else {
        let manifest: Manifest = serde_json::from_str(modules::MANIFEST).unwrap();
        run::judge(case, None, Some(run::run(&workers, b"code", &manifest, case.rows, 0, run::patience(case))))
    };
    std::fs::remove_dir_all(&folder).unwrap();
    judged
}

#[test]
#[ignore = "plays a worker for the other tests"]
fn a_worker_that_someone_took_over() {
    let (Ok(role), Ok(escape)) = (std::env::var(ROLE), std::env::var(ESCAPE)) else { return };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let raw = UnixStream::from(socket.try_clone().unwrap());
    let mut channel = Channel::new(UnixStream::from(socket));
    // What the server makes of it is judged there.
    let _ = if role == "compile" { compiler(&escape, &mut channel) } else { guest(&escape, &mut channel, raw) };
}

type Said = Result<(), Box<dyn std::error::Error>>;

fn compiler(escape: &str, channel: &mut Channel) -> Said {
    channel.receive::<CompileRequest>()?;
    let good: Manifest = serde_json::from_str(modules::MANIFEST)?;
    let manifest = if escape == "ManifestInvalid" { Manifest { name: "../up".to_owned(), ..good } } else { good };
    let compiled = CompileReply::Compiled { manifest, imports: Vec::new(), engine: [0; 32] };
    match escape {
        "CodeHuge" => channel.send(&compiled, &[huge(Limits::STANDARD.code_bytes_max + 1)?.as_fd()])?,
        "CodeUnsealed" => channel.send(&compiled, &[open()?.as_fd()])?,
        "CodeMissing" => channel.send(&compiled, &[])?,
        "CompilerFailed" => channel.send(&CompileReply::Refused(ModuleRefusal::Compiler), &[])?,
        _ => channel.send(&compiled, &[sealed("t", b"code")?.as_fd()])?,
    }
    Ok(())
}

/// Sealed memory of zeroes that takes none.
fn huge(bytes: u64) -> std::io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, bytes)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(fd)
}

fn open() -> std::io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?)
}

fn table(name: &str, measures: Vec<MeasureRequest>) -> GuestReply {
    GuestReply::Table(TableRequest { name: name.to_owned(), keys: Vec::new(), measures, margins: Margins::None })
}

fn model(name: &str, coefficient: f64) -> GuestReply {
    let (features, coefficients) = (vec![Feature { column: "amount".to_owned(), level: None }], vec![coefficient]);
    GuestReply::Model(Model::Linear(LinearModel { name: name.to_owned(), link: Link::Identity, features, coefficients, intercept: 0.0 }))
}

fn guest(escape: &str, channel: &mut Channel, mut raw: UnixStream) -> Said {
    channel.receive::<GuestOpening>()?;
    let count = || vec![MeasureRequest { name: "n".to_owned(), op: MeasureOp::Count, column: None }];
    let column = run::sealed_column(Parts::Code(&[0; 1000], &[0, 3, 7], b"lowhigh"), None);
    let column: BorrowedFd<'_> = column.fd().as_fd();
    let derived = |index| GuestReply::Derived { index };
    match escape {
        "Garbage" => raw.write_all(&[0xA5; 4096])?,
        "Silence" => std::thread::sleep(std::time::Duration::from_secs(600)),
        "EarlyEnd" => return Ok(()),
        "HugeFrame" => raw.write_all(&[1, 0, 16, 0, 0, 0, 0, 0])?,
        "ManyDescriptors" => raw.write_all(&[1, 0, 0, 0, 201, 0, 0, 0])?,
        "ManyFrames" => loop {
            channel.send(&GuestReply::Log(String::new()), &[])?;
        },
        "DerivedUndeclared" => channel.send(&derived(2), &[column])?,
        "DerivedTwice" => (0..2).try_for_each(|_| channel.send(&derived(0), &[column]))?,
        "DerivedWithoutMemory" => channel.send(&derived(0), &[])?,
        "DerivedUnsealed" => channel.send(&derived(0), &[open()?.as_fd()])?,
        "DerivedHuge" => channel.send(&derived(0), &[huge(Limits::STANDARD.column_bytes_max + 1)?.as_fd()])?,
        "DerivedWithTwoDescriptors" => channel.send(&derived(0), &[column, column])?,
        "TableBeyondLimit" => ('e'..='u').try_for_each(|name| channel.send(&table(&name.to_string(), count()), &[]))?,
        "TableNotDeclared" => channel.send(&table("a_value", count()), &[])?,
        "TableTwice" => (0..2).try_for_each(|_| channel.send(&table("t", count()), &[]))?,
        "TableWithoutMeasure" => channel.send(&table("t", Vec::new()), &[])?,
        "ModelNotFinite" => channel.send(&model("m", f64::INFINITY), &[])?,
        "ModelsBeyondLimit" => ["t", "u", "v", "w", "x"].into_iter().try_for_each(|n| channel.send(&model(n, 1.0), &[]))?,
        "ModelNotDeclared" => channel.send(&model("a_value", 1.0), &[])?,
        "LogBeyondLimit" => channel.send(&GuestReply::Log("l".repeat(Limits::STANDARD.log_bytes_max as usize + 1)), &[])?,
        "LogOnRealRows" => channel.send(&GuestReply::Log("a value".to_owned()), &[])?,
        "LogWithDescriptor" => channel.send(&GuestReply::Log(String::new()), &[column])?,
        "FailedInternally" => channel.send(&GuestReply::Failed(GuestFailure::Internal), &[])?,
        other => assert_eq!(other, "FinishedAtOnce"),
    }
    channel.send(&GuestReply::Finished, &[])?;
    Ok(())
}
