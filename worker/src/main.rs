//! `fusebox-worker ROLE`: the conversation is on standard input, a Unix socket. Started by `fusebox`, never by hand.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use fusebox_worker::{compile, engine, guest, ingest, jail};
use protocol::frame::{Channel, FrameError};

/// Prints the digest of the engine that modules are compiled for.
fn digest() -> ExitCode {
    let Ok(engine) = compile::engine() else { return ExitCode::from(3) };
    let hex: String = compile::engine_digest(&engine).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{hex}");
    ExitCode::SUCCESS
}

/// Ends the process once the server is gone, whatever it does then: a module that never returns would outlive its server, with the
/// rows that it was handed. A thread, begun after the jail so that it is in it; the kernel's death signal is no way, for it is sent
/// at the end of the server's thread that started the worker.
fn end_with_the_server() -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR | PollFlags::NVAL;
    let watch = move || {
        let stdin = std::io::stdin();
        loop {
            let mut watched = [PollFd::new(&stdin, PollFlags::RDHUP)];
            match poll(&mut watched, None) {
                Ok(_) if watched.iter().any(|w| w.revents().intersects(gone)) => std::process::exit(0),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => std::process::exit(1),
            }
        }
    };
    std::thread::Builder::new().name("end-with-server".into()).stack_size(64 << 10).spawn(watch).map(drop)
}

fn main() -> ExitCode {
    // A panic message can quote data; a worker says nothing but through its channel.
    std::panic::set_hook(Box::new(|_| {}));
    let role = std::env::args().nth(1);
    if role.as_deref() == Some("digest") {
        return digest();
    }
    let Ok(jailed) = jail::enter() else { return ExitCode::from(3) };
    if end_with_the_server().is_err() {
        return ExitCode::from(3);
    }
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::from(3) };
    let mut channel = Channel::new(UnixStream::from(socket));
    let served = match role.as_deref() {
        Some("ingest") => ingest::serve(&mut channel, &jailed),
        Some("compile") => compile::serve(&mut channel, &jailed),
        Some("engine") => engine::serve(&mut channel, &jailed),
        Some("guest") => guest::serve(&mut channel, &jailed),
        _ => return ExitCode::from(2),
    };
    match served {
        // The server hangs up when it has what it wants, or never had work for a worker that waited.
        Ok(()) | Err(FrameError::Closed) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(1),
    }
}
