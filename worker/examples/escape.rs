//! What a worker could do if a payload took it over: the worker's jail with a payload in place of its work. For tests only; no
//! release has it.
#![allow(unsafe_code, reason = "it plays native code of an attacker")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use fusebox_worker::jail::{self, Jailed, Last, Stage};
use protocol::frame::Channel;
use protocol::jail::Start;
use protocol::memfd::{MemfdWriter, SEALS};

#[path = "../../tests/escape/said.rs"]
mod said;
use said::{Attempt, Executable, Outcome, TEXT};

#[global_allocator]
static ALLOCATOR: jail::Capped = jail::Capped;

fn main() {
    let start = Start::parse(std::env::args().skip(1)).expect("started as a worker is");
    let jailed = jail::enter(&start).expect("a jail");
    let socket = std::io::stdin().as_fd().try_clone_to_owned().expect("a socket");
    let mut channel = Channel::new(UnixStream::from(socket));
    // A worker has received its request and what rides on it before hostile bytes are looked at.
    while let Ok((attempts, fds)) = channel.receive::<Vec<Attempt>>() {
        for attempt in &attempts {
            let outcome = perform(attempt, &jailed, &fds, &mut channel);
            if channel.send(&outcome, &[]).is_err() {
                return;
            }
        }
        // The last stage receives nothing more: it waits to be looked at.
        while attempts.iter().any(|a| matches!(a, Attempt::Confine | Attempt::ConfineFold)) {
            std::thread::park();
        }
    }
}

fn last_error() -> Outcome {
    Outcome::Refused(std::io::Error::last_os_error().raw_os_error().unwrap_or(-1))
}

fn call(number: i64, arguments: [u64; 6]) -> Outcome {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: none; the payload does what an attacker would.
    let got = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if got < 0 { last_error() } else { Outcome::Through(got.to_string()) }
}

fn perform(attempt: &Attempt, jailed: &Jailed, fds: &[OwnedFd], channel: &mut Channel) -> Outcome {
    match attempt {
        Attempt::Confine => match jailed.before_guest_code(Last::View { open: fds.len() + 8, derived: 1, rows: 1000 }) {
            Ok(_) => Outcome::Through(String::new()),
            Err(error) => Outcome::Refused(error.raw_os_error().unwrap_or(-1)),
        },
        Attempt::ConfineFold => {
            // As a fold does: the same socket, without descriptors either way.
            *channel = Channel::plain(UnixStream::from(channel.as_fd().try_clone_to_owned().expect("a socket")));
            match jailed.before_guest_code(Last::Fold) {
                Ok(_) => Outcome::Through(String::new()),
                Err(error) => Outcome::Refused(error.raw_os_error().unwrap_or(-1)),
            }
        }
        Attempt::Call(number) => call(*number, [0; 6]),
        Attempt::X32(number) => call(number | 0x4000_0000, [0; 6]),
        Attempt::With(number, arguments, text) => {
            let text = std::ffi::CString::new(text.as_str()).unwrap();
            call(*number, arguments.map(|a| if a == TEXT { text.as_ptr() as u64 } else { a }))
        }
        Attempt::ThirtyTwoBits => thirty_two_bits(),
        Attempt::Descriptors => {
            // SAFETY: fcntl(2) on a number that may be no descriptor says so.
            Outcome::Open((0..1024).filter(|fd| unsafe { libc::fcntl(*fd as i32, libc::F_GETFD) } >= 0).collect())
        }
        Attempt::Arguments => {
            let arguments: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
            let variables: Vec<String> = std::env::vars_os().map(|(k, v)| format!("{}={}", k.display(), v.display())).collect();
            Outcome::Through(format!("{}|{}", arguments.concat(), variables.join(",")))
        }
        Attempt::WriteThroughMap => map_and_write(&fds[0], libc::PROT_READ | libc::PROT_WRITE, false),
        Attempt::WriteAfterProtect => map_and_write(&fds[0], libc::PROT_READ, true),
        Attempt::WriteFile => call(libc::SYS_write, [fds[0].as_raw_fd() as u64, b"x".as_ptr() as u64, 1, 0, 0, 0]),
        Attempt::KeepMapping => keep_mapping(channel),
        Attempt::ChangeAfterSeal => change_after_seal(channel),
        Attempt::Memory(bytes) => memory(*bytes),
        Attempt::SharedMemory(bytes) => shared_memory(*bytes),
        Attempt::Memfds(count) => memfds(*count),
        Attempt::Spin => loop {
            std::hint::spin_loop();
        },
        Attempt::Execute(how) => execute(*how),
        Attempt::Keep(text) => {
            std::mem::forget(text.clone());
            Outcome::Through(text.len().to_string())
        }
        Attempt::AllowList(confined, fold) => {
            let last = if *fold { Stage::FoldCode } else { Stage::GuestCode };
            let stage = if *confined { last } else { Stage::of(jailed.role()) };
            Outcome::Open(jail::allowed(stage).into_iter().map(|n| n as u32).collect())
        }
        Attempt::Thread => match std::thread::Builder::new().spawn(|| ()) {
            Ok(thread) => Outcome::Through(format!("{:?}", thread.join().is_ok())),
            Err(error) => Outcome::Refused(error.raw_os_error().unwrap_or(-1)),
        },
    }
}

fn thirty_two_bits() -> Outcome {
    let result: i64;
    // SAFETY: none. Number 20 of the 32-bit table is getpid.
    unsafe { std::arch::asm!("int 0x80", inlateout("rax") 20i64 => result) };
    if result < 0 { Outcome::Refused(i32::try_from(-result).unwrap_or(-1)) } else { Outcome::Through(result.to_string()) }
}

fn map_and_write(fd: &OwnedFd, protection: i32, protect: bool) -> Outcome {
    // SAFETY: none; a fresh mapping of one page.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0);
        if at == libc::MAP_FAILED || (protect && libc::mprotect(at, 4096, libc::PROT_READ | libc::PROT_WRITE) != 0) {
            return last_error();
        }
        at.cast::<u8>().write_volatile(b'!');
    }
    Outcome::Through("written".into())
}

/// A memfd with eight bytes, not sealed.
fn memfd() -> OwnedFd {
    let fd = rustix::fs::memfd_create("m", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::write(&fd, b"original").unwrap();
    fd
}

fn keep_mapping(channel: &mut Channel) -> Outcome {
    let fd = memfd();
    // SAFETY: none; the mapping stays for as long as the process.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
    if at == libc::MAP_FAILED {
        return last_error();
    }
    let sealed = rustix::fs::fcntl_add_seals(&fd, SEALS);
    channel.send(&Outcome::Through("handed over".into()), &[fd.as_fd()]).unwrap();
    // SAFETY: none.
    unsafe { at.cast::<u8>().write_volatile(b'!') };
    match sealed {
        Ok(()) => Outcome::Through("sealed under a writable mapping".into()),
        Err(errno) => Outcome::Refused(errno.raw_os_error()),
    }
}

fn change_after_seal(channel: &mut Channel) -> Outcome {
    let mut writer = MemfdWriter::create("m").unwrap();
    writer.write_all(b"original").unwrap();
    let fd = writer.seal().unwrap();
    channel.send(&Outcome::Through("handed over".into()), &[fd.as_fd()]).unwrap();
    let written = call(libc::SYS_write, [fd.as_raw_fd() as u64, b"x".as_ptr() as u64, 1, 0, 0, 0]);
    if matches!(written, Outcome::Through(_)) {
        return written;
    }
    map_and_write(&fd, libc::PROT_READ | libc::PROT_WRITE, false)
}

fn memory(bytes: u64) -> Outcome {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: none; a fresh anonymous mapping.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), bytes as usize, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if at == libc::MAP_FAILED {
            return last_error();
        }
        for page in (0..bytes as usize).step_by(4096) {
            at.cast::<u8>().add(page).write_volatile(1);
        }
    }
    Outcome::Through(bytes.to_string())
}

fn shared_memory(bytes: u64) -> Outcome {
    let fd = memfd();
    let piece = vec![1u8; 1 << 20];
    let mut written = 0;
    while written < bytes {
        match rustix::io::write(&fd, &piece) {
            Ok(n) => written += n as u64,
            Err(errno) => return Outcome::Refused(errno.raw_os_error()),
        }
    }
    Outcome::Through(written.to_string())
}

fn memfds(count: u32) -> Outcome {
    let mut kept = Vec::new();
    for _ in 0..count {
        match rustix::fs::memfd_create("m", rustix::fs::MemfdFlags::ALLOW_SEALING) {
            Ok(fd) => kept.push(fd),
            Err(errno) => return Outcome::Refused(errno.raw_os_error()),
        }
    }
    Outcome::Through(kept.len().to_string())
}

fn execute(how: Executable) -> Outcome {
    const RETURN: u8 = 0xc3;
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let first = if how == Executable::Map { all } else { libc::PROT_READ | libc::PROT_WRITE };
    // SAFETY: none; `ret` in a page of its own.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 4096, first, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        if at == libc::MAP_FAILED {
            return last_error();
        }
        at.cast::<u8>().write_volatile(RETURN);
        let page = match how {
            Executable::Stack => {
                let local = 0u8;
                ((&raw const local as usize) & !4095) as *mut libc::c_void
            }
            Executable::Map | Executable::Protect => at,
        };
        if how != Executable::Map && libc::mprotect(page, 4096, all) != 0 {
            return last_error();
        }
        let code: extern "C" fn() = std::mem::transmute(at);
        if how != Executable::Stack {
            code();
        }
    }
    Outcome::Through("executed".into())
}
