//! Arguments and environment, overwritten where the kernel put them.

use std::ffi::CStr;
use std::io;

use protocol::jail::Start;
use protocol::message::WorkerRole;
use rustix::fs::{Mode, OFlags};

/// Reads a small file of `/proc` whole.
pub fn read_proc(path: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::io::read(&file, buffer)?)
}

/// The one variable of a role's environment: how many threads its library starts.
fn threads_variable(role: WorkerRole) -> Option<&'static str> {
    match role {
        WorkerRole::Engine => Some("POLARS_MAX_THREADS"),
        WorkerRole::Compile => Some("RAYON_NUM_THREADS"),
        WorkerRole::Ingest | WorkerRole::Guest => None,
    }
}

/// Overwrites the strings of arguments and environment with zeros; sets the role's one variable.
pub fn scrub(start: &Start) -> io::Result<()> {
    if let Some(name) = threads_variable(start.role) {
        // SAFETY: the process has one thread, so nobody reads the environment meanwhile. The value is copied to the heap.
        unsafe { std::env::set_var(name, start.threads.to_string()) };
    }
    let mut buffer = [0u8; 2048];
    let read = read_proc(c"/proc/self/stat", &mut buffer)?;
    let text = buffer.get(..read).and_then(|b| std::str::from_utf8(b).ok()).ok_or(io::ErrorKind::InvalidData)?;
    // proc_pid_stat(5): the name in brackets may hold anything; fields 48 to 51 are arg_start, arg_end, env_start, env_end.
    let after_name = text.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?.1;
    let field = |number: usize| -> io::Result<usize> {
        after_name.split_ascii_whitespace().nth(number - 3).and_then(|f| f.parse().ok()).ok_or(io::ErrorKind::InvalidData.into())
    };
    for (first, end) in [(field(48)?, field(49)?), (field(50)?, field(51)?)] {
        if first == 0 || end < first || end - first > 1 << 20 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: the kernel says that this range of this process's own stack holds the argument (environment) strings; nothing
        // else lies in it, it is writable, and no reference into it is held: `std::env::args` copies. The process has one thread.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(first).write_bytes(0, end - first) };
    }
    Ok(())
}
