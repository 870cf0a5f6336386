//! `fusebox-worker ROLE …`: the conversation is on standard input, a Unix socket. Started by `fusebox`, never by hand.
//!
//! Besides: `fusebox-worker digest` prints the digest of the engines that modules are compiled for; `fusebox-worker probe ROLE` enters
//! the jail of a role, tolerating whatever may be waived, and prints what is in force (JSON of [`protocol::jail::Report`]).

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use fusebox_worker::jail::{self, Jailed};
use fusebox_worker::{compile, engine, guest, ingest};
use protocol::frame::{Channel, FrameError};
use protocol::jail::{Ending, Layer, Start, Waived};
use protocol::message::WorkerRole;

/// A refused allocation ends the worker with a reason of its own.
#[global_allocator]
static ALLOCATOR: jail::Capped = jail::Capped;

fn main() -> ExitCode {
    // A panic message can quote data; a worker says nothing but through its channel.
    std::panic::set_hook(Box::new(|_| {}));
    ExitCode::from(begin().code())
}

fn begin() -> Ending {
    let mut arguments = std::env::args().skip(1).peekable();
    match arguments.peek().map(String::as_str) {
        Some("digest") => return digest(),
        Some("probe") => return arguments.nth(1).and_then(|word| WorkerRole::of(&word)).map_or(Ending::Usage, probe),
        _ => {}
    }
    let Some(start) = Start::parse(arguments) else { return Ending::Usage };
    let Ok(jailed) = jail::enter(&start) else { return Ending::Jail };
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else { return Ending::Jail };
    match serve(&mut Channel::new(UnixStream::from(socket)), &jailed) {
        // The server hangs up when it has what it wants, or never had work for a worker that waited.
        Ok(()) | Err(FrameError::Closed) => Ending::Done,
        Err(_) => Ending::Broken,
    }
}

fn serve(channel: &mut Channel, jailed: &Jailed) -> Result<(), FrameError> {
    match jailed.role() {
        WorkerRole::Ingest => ingest::serve(channel, jailed),
        WorkerRole::Compile => compile::serve(channel, jailed),
        WorkerRole::Engine => engine::serve(channel, jailed),
        WorkerRole::Guest => guest::serve(channel, jailed),
    }
}

fn digest() -> Ending {
    let Ok(digest) = compile::engine_digest() else { return Ending::Fault };
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{hex}");
    Ending::Done
}

/// The jail's own code on this kernel: no second list of what the kernel offers.
fn probe(role: WorkerRole) -> Ending {
    let waivable: Vec<&str> = Layer::ALL.into_iter().filter(|l| l.is_waivable()).map(Layer::word).collect();
    let Ok(waived) = Waived::parse(&waivable.join(",")) else { return Ending::Fault };
    let Ok(jailed) = jail::enter(&Start { role, threads: 1, memory_bytes_max: 1 << 30, cpu_seconds_max: 60, waived }) else {
        return Ending::Jail;
    };
    let Ok(report) = serde_json::to_vec(jailed.report()) else { return Ending::Fault };
    match std::io::stdout().write_all(&report).and_then(|()| std::io::stdout().flush()) {
        Ok(()) => Ending::Done,
        Err(_) => Ending::Broken,
    }
}
