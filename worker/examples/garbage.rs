//! A worker that cannot be relied on, for tests of the server's supervision: now and then it answers garbage, closes early or stays
//! silent; else it becomes the real worker. No part of the product.
//!
//! The server starts it with an empty environment, so what it is told lies beside it: `real` (the worker), `odds` (permille of garbage,
//! then a seed). What it does it tells in `told`, one line each: kind and role.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::frame::Channel;
use protocol::limits::LimitExceeded;
use protocol::message::{CompileReply, EngineFailure, EngineReply, GuestFailure, GuestReply, IngestFailure, IngestReply, ModuleRefusal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, SealFlags};

/// What an escaped guest would like to tell a person who reads failures.
const SMUGGLED: &str = "firm-91350299310000007-defaulted";

/// The kinds of garbage.
const KINDS: [&str; 12] = [
    "silent",
    "deaf",
    "closes_early",
    "closes_when_asked",
    "random_bytes",
    "truncated_frame",
    "flood_of_frames",
    "flood_of_bytes",
    "trickle",
    "wrong_kind",
    "wrong_descriptors",
    "smuggled_text",
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let beside = PathBuf::from(&arguments[0]).parent().unwrap().to_owned();
    let role = arguments.get(1).cloned().unwrap_or_default();
    let serves = ["ingest", "compile", "engine", "guest"].contains(&role.as_str());
    let odds = std::fs::read_to_string(beside.join("odds")).unwrap_or_default();
    let mut odds = odds.split_whitespace().map(|n| n.parse::<u64>().unwrap());
    let (permille, seed) = (odds.next().unwrap_or(0), odds.next().unwrap_or(0));
    let mut random = Random(seed ^ u64::from(std::process::id()).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    if !serves || random.below(1000) >= permille {
        let error = Command::new(beside.join("real")).args(&arguments[1..]).exec();
        panic!("the real worker: {error}");
    }
    let kind = KINDS[random.below(KINDS.len() as u64) as usize];
    tell(&beside, kind, &role);
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    act(kind, &role, socket, &mut random);
}

fn tell(beside: &Path, kind: &str, role: &str) {
    let mut told = OpenOptions::new().create(true).append(true).open(beside.join("told")).unwrap();
    told.write_all(format!("{kind} {role}\n").as_bytes()).unwrap();
}

/// Does what `kind` says; where that returns, the process stays until the server is done with it.
fn act(kind: &str, role: &str, mut socket: UnixStream, random: &mut Random) {
    match kind {
        // Neither reads nor writes: a request that is larger than the socket's buffer is never taken.
        "silent" => {}
        // Takes all, says nothing.
        "deaf" => while socket.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {},
        "closes_early" => return,
        "closes_when_asked" => {
            asked(&mut socket);
            return;
        }
        "random_bytes" => {
            asked(&mut socket);
            let bytes: Vec<u8> = (0..random.below(100_000)).map(|_| random.below(256) as u8).collect();
            let _ = socket.write_all(&bytes);
        }
        "truncated_frame" => {
            asked(&mut socket);
            let mut frame = framed(&vec![1; 5000]);
            frame.truncate(1 + random.below(4000) as usize);
            let _ = socket.write_all(&frame);
            return;
        }
        "flood_of_frames" => {
            let frame = match role {
                "ingest" => framed(&postcard(&IngestReply::Rejected(protocol::message::RejectedRow {
                    row: 1,
                    column: None,
                    rule: protocol::message::RowRule::Text,
                }))),
                _ => framed(&postcard(&GuestReply::Log(String::new()))),
            };
            while socket.write_all(&frame.repeat(100)).is_ok() {}
        }
        "flood_of_bytes" => while socket.write_all(&[0; 1 << 16]).is_ok() {},
        "trickle" => {
            let mut bytes = framed(&[0; 1 << 16]).into_iter();
            while bytes.next().is_some_and(|byte| socket.write_all(&[byte]).is_ok()) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        "wrong_kind" => {
            asked(&mut socket);
            let mut channel = Channel::new(socket);
            let _ = match role {
                "ingest" => channel.send(&IngestReply::Column { index: 7 }, &[]),
                "engine" => channel.send(&EngineReply::Cells(Vec::new()), &[]),
                "guest" => channel.send(&GuestReply::Derived { index: 900 }, &[]),
                _ => channel.send(&CompileReply::Refused(ModuleRefusal::Invalid), &[]),
            };
            wait();
        }
        "wrong_descriptors" => {
            asked(&mut socket);
            wrong_descriptors(role, &mut Channel::new(socket), random);
            wait();
        }
        "smuggled_text" => {
            asked(&mut socket);
            smuggle(role, &mut Channel::new(socket), random);
            wait();
        }
        other => panic!("no kind {other}"),
    }
    wait();
}

/// Descriptors that are unsealed, too many, or claim more memory than anyone has.
fn wrong_descriptors(role: &str, channel: &mut Channel, random: &mut Random) {
    let huge = || {
        let fd = rustix::fs::memfd_create("huge", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        let _ = rustix::fs::ftruncate(&fd, 7 << 30);
        rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::WRITE | SealFlags::SEAL).unwrap();
        fd
    };
    let unsealed = || rustix::fs::memfd_create("unsealed", MemfdFlags::CLOEXEC).unwrap();
    let fds: Vec<OwnedFd> = match random.below(3) {
        0 => vec![unsealed()],
        1 => vec![huge()],
        _ => (0..150).map(|_| unsealed()).collect(),
    };
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let _ = match role {
        "ingest" => channel.send(&IngestReply::Column { index: 0 }, &fds),
        "guest" => channel.send(&GuestReply::Derived { index: 0 }, &fds),
        "engine" => channel.send(&EngineReply::Done, &fds),
        _ => channel.send(&CompileReply::Refused(ModuleRefusal::Invalid), &fds),
    };
}

/// Failures that carry a text.
fn smuggle(role: &str, channel: &mut Channel, random: &mut Random) {
    let text = || SMUGGLED.to_owned();
    let limit = LimitExceeded { name: text(), limit: 1, current: 2, requested: 3 };
    let _ = match (role, random.below(2)) {
        ("ingest", _) => channel.send(&IngestReply::Failed(IngestFailure::Limit(limit)), &[]),
        ("engine", 0) => channel.send(&EngineReply::Failed(EngineFailure::Limit(limit)), &[]),
        ("engine", _) => channel.send(&EngineReply::Failed(EngineFailure::Derived(text())), &[]),
        ("guest", 0) => channel.send(&GuestReply::Failed(GuestFailure::Error(Some(text()))), &[]),
        ("guest", _) => channel.send(&GuestReply::Failed(GuestFailure::Derived(text())), &[]),
        _ => channel.send(&CompileReply::Refused(ModuleRefusal::Limit(limit)), &[]),
    };
}

fn postcard(message: &impl serde::Serialize) -> Vec<u8> {
    // The payload of a frame, by sending one to ourselves.
    let (mut from, mut to) = Channel::pair().unwrap();
    from.send(message, &[]).unwrap();
    drop(from);
    let mut bytes = Vec::new();
    to.read_to_end(&mut bytes).unwrap();
    bytes.split_off(8)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Waits for the first byte of a request; the rest is left unread.
fn asked(socket: &mut UnixStream) {
    let _ = socket.read(&mut [0]);
}

/// Waits until the server is gone, without a look at what it sends.
fn wait() {
    let stdin = std::io::stdin();
    loop {
        let mut watched = [PollFd::new(&stdin, PollFlags::RDHUP)];
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}
