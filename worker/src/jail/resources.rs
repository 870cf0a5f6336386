//! Resource limits: setrlimit(2). Soft and hard are equal, so a worker cannot raise one.

use std::io;

use protocol::jail::Start;
use protocol::limits::Limits;
use protocol::message::WorkerRole;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Ceiling of the address space. Reservations of guests and guard pages are address space and no memory, so this is wide: 4 GiB for
/// each linear memory of a guest; every column of a view mapped by an engine.
const fn address_space_bytes_max(role: WorkerRole) -> u64 {
    match role {
        WorkerRole::Ingest | WorkerRole::Compile => 64 << 30,
        WorkerRole::Guest => 256 << 30,
        WorkerRole::Engine => 2 << 40,
    }
}

fn set(resource: Resource, value: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

/// Limits of the role.
///
/// `alone`: the process has its own user namespace, in which only its own processes count.
pub fn limit(start: &Start, alone: bool) -> io::Result<()> {
    set(Resource::Core, 0)?;
    set(Resource::Data, start.memory_bytes_max)?;
    set(Resource::As, address_space_bytes_max(start.role))?;
    set(Resource::Cpu, start.cpu_seconds_max)?;
    set(Resource::Fsize, Limits::STANDARD.column_bytes_max)?;
    // Two frames' worth of descriptors: one received, one being made.
    set(Resource::Nofile, 2 * u64::from(Limits::STANDARD.frame_descriptors_max) + 32)?;
    set(Resource::Memlock, 0)?;
    set(Resource::Msgqueue, 0)?;
    set(Resource::Sigpending, 64)?;
    set(Resource::Stack, 8 << 20)?;
    if alone {
        // The keeper, the worker, its threads: a pool of the number it was told and the runtime that polars starts. Without a
        // namespace all processes of the same user would count.
        set(Resource::Nproc, u64::from(start.threads) * 2 + 64)?;
    }
    Ok(())
}

/// Shared memory that a guest can make once its own code runs: one file for each derived column, as large as such a column is.
pub fn limit_shared_memory(open: usize, derived: usize, rows: u64) -> io::Result<()> {
    // Eight bytes and one bit a row; header, labels.
    let column_bytes = rows.saturating_mul(9).saturating_add(1 << 20).min(Limits::STANDARD.column_bytes_max);
    set(Resource::Fsize, column_bytes)?;
    set(Resource::Nofile, (open + derived) as u64 + 16)
}

/// No file grows and no descriptor is made any more.
pub fn no_more_files() -> io::Result<()> {
    set(Resource::Fsize, 0)?;
    set(Resource::Nofile, 0)
}
