//! The keeper: the process that the server started. It forks the worker, watches it, and says by its exit status how it ended.
//!
//! It is ours and reads no hostile byte: of the conversation's socket it only learns when the server is gone. It holds
//! - the worker's life: the worker dies with it (`PR_SET_PDEATHSIG`), it dies with the server (hang-up of the socket);
//! - a second net under the memory cap: private resident memory, polled (RLIMIT_DATA is the first);
//! - a pid namespace's outer end: a process cannot enter one itself, only its child is in it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use protocol::jail::{Ending, Start};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, Signal};

use super::Scoped;
use super::filter::{self, Stage};

/// How often resident memory is looked at.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// Shares of a page that `/proc/PID/statm` counts in.
const PAGE_BYTES: u64 = 4096;

/// Divides the process: returns in the worker; the caller itself becomes the keeper and never returns.
///
/// # Errors
/// The kernel's refusal; there is then no worker.
pub fn divide(start: &Start) -> io::Result<()> {
    let (alive, keeper_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the process has one thread, so the child's copy holds no lock of another.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(keeper_end);
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The keeper may have died before that line: then its end of the pipe is closed.
            let mut ends = [PollFd::new(&alive, PollFlags::IN)];
            poll(&mut ends, Some(&Timespec::default()))?;
            if ends.iter().any(|e| e.revents().contains(PollFlags::HUP)) {
                end(Ending::Killed);
            }
            Ok(())
        }
        child => {
            drop(alive);
            let pid = Pid::from_raw(child).ok_or(io::ErrorKind::InvalidData)?;
            let ending = watch(pid, start).unwrap_or(Ending::Jail);
            // On every way out the worker is gone first.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            drop(keeper_end);
            end(ending)
        }
    }
}

fn end(ending: Ending) -> ! {
    // SAFETY: `_exit` takes any number; nothing of this process needs to be dropped.
    unsafe { libc::_exit(i32::from(ending.code())) }
}

fn watch(pid: Pid, start: &Start) -> io::Result<Ending> {
    let worker = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let path = CString::new(format!("/proc/{}/statm", pid.as_raw_nonzero()))?;
    let statm = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // What the keeper itself can do from here on: look, kill, end.
    super::drop_capabilities()?;
    // Without the signal scope: a keeper that may send no signal can neither kill its worker nor take it along when it dies.
    let _ = super::landlock_nothing(Scoped::SocketsOnly);
    filter::apply(Stage::Keeper)?;
    // SAFETY: standard input is open for as long as this process lives: it is the socket it was started with.
    let socket = unsafe { BorrowedFd::borrow_raw(0) };
    loop {
        match look(socket, &worker)? {
            Seen::Nothing if private_bytes(&statm) > start.memory_bytes_max => return Ok(Ending::Memory),
            Seen::Nothing => {}
            Seen::ServerGone => return Ok(Ending::Killed),
            Seen::WorkerEnded => return reap(pid, start),
        }
    }
}

enum Seen {
    Nothing,
    ServerGone,
    WorkerEnded,
}

fn look(socket: BorrowedFd<'_>, worker: &OwnedFd) -> io::Result<Seen> {
    let mut watched = [PollFd::new(worker, PollFlags::IN), PollFd::from_borrowed_fd(socket, PollFlags::RDHUP)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(POLL_EVERY.subsec_nanos()) };
    match poll(&mut watched, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let [worker, socket] = watched;
    if worker.revents().contains(PollFlags::IN) {
        return Ok(Seen::WorkerEnded);
    }
    let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR | PollFlags::NVAL;
    Ok(if socket.revents().intersects(gone) { Seen::ServerGone } else { Seen::Nothing })
}

/// Resident memory that no file and no sealed memory backs; 0 once the worker is gone.
fn private_bytes(statm: &OwnedFd) -> u64 {
    let mut buffer = [0u8; 128];
    let read = rustix::io::pread(statm.as_fd(), &mut buffer, 0).unwrap_or(0);
    // proc_pid_statm(5): size, resident, shared, …
    let mut fields = buffer.get(..read).unwrap_or(&[]).split(|b| *b == b' ').skip(1).map(|field| {
        field.iter().filter(|b| b.is_ascii_digit()).fold(0u64, |sum, b| sum.saturating_mul(10).saturating_add(u64::from(b - b'0')))
    });
    let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    resident.saturating_sub(shared).saturating_mul(PAGE_BYTES)
}

/// How the worker ended.
fn reap(pid: Pid, start: &Start) -> io::Result<Ending> {
    let mut status = 0;
    // SAFETY: both pointers are to live values of this frame, of the types that wait4(2) writes.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let waited = unsafe { libc::wait4(pid.as_raw_nonzero().get(), &mut status, 0, &mut usage) };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    if libc::WIFEXITED(status) {
        return Ok(Ending::of(Some(libc::WEXITSTATUS(status))));
    }
    let seconds = usage.ru_utime.tv_sec.saturating_add(usage.ru_stime.tv_sec).saturating_add(1);
    Ok(match libc::WTERMSIG(status) {
        libc::SIGSYS => Ending::SystemCall,
        libc::SIGXCPU => Ending::Processor,
        // The first process of a pid namespace takes no SIGXCPU: the kernel kills it at the hard limit. It counts that by clock ticks, which
        // may run some per cent ahead of the time told here (116 of 120 s were seen).
        libc::SIGKILL if u64::try_from(seconds).is_ok_and(|s| s >= start.cpu_seconds_max - start.cpu_seconds_max / 20) => Ending::Processor,
        libc::SIGKILL => Ending::Killed,
        _ => Ending::Fault,
    })
}
