//! What a worker gives up before it reads a byte of work.
//!
//! The server starts `fusebox-worker`; that process becomes the **keeper** of a child, the **worker**, which goes through the
//! steps below and alone reads the conversation. Steps, in order, with the reason for the order:
//!
//! | # | who | step | layer |
//! |---|---|---|---|
//! | 1 | keeper | close every descriptor but 0 (socket), 1, 2 (null device) | `closed_descriptors` |
//! | 2 | keeper | overwrite arguments and environment where the kernel put them | `scrubbed_arguments` |
//! | 3 | keeper | no new privileges | `no_new_privileges` |
//! | 4 | keeper | started by root: become nobody (while the right to do so lasts) | |
//! | 5 | keeper | user namespace with one identifier, then pid namespace (it takes effect at the fork) | `user_namespace`, `pid_namespace` |
//! | 6 | keeper | non-dumpable (after the identifier map, which a non-dumpable process may not write) | `non_dumpable` |
//! | 7 | keeper | fork; then Landlock and a filter of its own, and it watches ([`keeper`]) | |
//! | 8 | worker | die with the keeper | |
//! | 9 | worker | mount, network, IPC and UTS namespaces; an empty read-only root | `mount_namespace`, … |
//! | 10 | worker | drop every capability (mounting needed one) | `no_new_privileges` |
//! | 11 | worker | resource limits | `resource_limits` |
//! | 12 | worker | Landlock: nothing allowed | `landlock` |
//! | 13 | worker | seccomp allow-list of the role ([`filter`]) | `seccomp` |
//!
//! Only then a [`Jailed`] exists, without which nothing fuses, parses, compiles or runs. A guest takes one more step once the
//! compiled code is loaded and before its first instruction: [`Jailed::before_guest_code`] gives a [`Confined`].
//!
//! The process has one thread until all of this is done (Landlock restricts the calling thread, seccomp filters are inherited).
//! Every layer whose entry fails ends the process, unless it is waivable and waived ([`protocol::jail::Waived`]).
#![allow(unsafe_code)]

mod allocator;
mod filter;
mod keeper;
mod namespaces;
mod resources;
mod scrub;

use std::io;

use protocol::jail::{Layer, Missing, Report, Start};
use protocol::message::WorkerRole;

pub use allocator::Capped;
pub use filter::{Stage, allowed};

/// Proof that this process gave up what its role does not need. Fusing, parsing, compiling and running take a reference to it.
#[derive(Debug)]
pub struct Jailed {
    role: WorkerRole,
    report: Report,
}

/// Proof that on top of [`Jailed`] no memory can be made executable any more and no thread started: guest code may run.
#[derive(Debug)]
pub struct Confined {
    _private: (),
}

/// What a guest's last stage leaves room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// A module over a view: files (shared memory) only as large and as many as its derived columns need.
    View {
        /// Descriptors that are open.
        open: usize,
        /// Columns that it may derive.
        derived: usize,
        /// Rows of each.
        rows: u64,
    },
    /// A fold: no file at all; it receives, but no descriptor.
    Fold,
}

/// A layer that is needed could not be entered.
#[derive(Debug)]
pub struct NotJailed {
    /// The layer.
    pub layer: Layer,
    /// The kernel's reason.
    pub reason: io::Error,
}

/// Layers as they are entered.
struct Entry<'a> {
    start: &'a Start,
    in_force: Vec<Layer>,
    missing: Vec<Missing>,
}

impl Entry<'_> {
    /// Notes a layer as entered, or as missing where that is tolerated.
    fn note<E: Into<io::Error>>(&mut self, layer: Layer, entered: Result<(), E>) -> Result<bool, NotJailed> {
        match entered.map_err(Into::into) {
            Ok(()) => {
                self.in_force.push(layer);
                Ok(true)
            }
            Err(error) if layer.is_waivable() && self.start.waived.tolerates(layer) => {
                self.missing.push(Missing { layer, reason: error.kind().to_string() });
                Ok(false)
            }
            Err(reason) => Err(NotJailed { layer, reason }),
        }
    }
}

/// Enters the jail. Returns in the worker only: the calling process stays behind as its keeper and exits with
/// [`protocol::jail::Ending`].
///
/// # Errors
/// The first layer that is needed and could not be entered; the process must then end.
pub fn enter(start: &Start) -> Result<Jailed, NotJailed> {
    let mut entry = Entry { start, in_force: Vec::new(), missing: Vec::new() };
    entry.note(Layer::ClosedDescriptors, close_descriptors())?;
    entry.note(Layer::ScrubbedArguments, scrub::scrub(start))?;
    entry.note(Layer::NoNewPrivileges, rustix::thread::set_no_new_privs(true))?;
    namespaces::leave_root();
    let user = entry.note(Layer::UserNamespace, namespaces::user())?;
    entry.note(Layer::PidNamespace, namespaces::pid())?;
    entry.note(Layer::NonDumpable, non_dumpable())?;

    keeper::divide(start).map_err(|reason| NotJailed { layer: Layer::ResourceLimits, reason })?;

    // From here on this is the worker.
    entry.note(Layer::MountNamespace, namespaces::empty_root())?;
    for (layer, flag) in namespaces::OTHERS {
        entry.note(layer, namespaces::unshare(flag))?;
    }
    drop_capabilities().map_err(|reason| NotJailed { layer: Layer::NoNewPrivileges, reason })?;
    // A change of credentials may have switched it back.
    non_dumpable().map_err(|e| NotJailed { layer: Layer::NonDumpable, reason: e.into() })?;
    entry.note(Layer::ResourceLimits, resources::limit(start, user))?;
    let mut landlock_abi = 0;
    entry.note(Layer::Landlock, landlock_nothing(Scoped::All).map(|abi| landlock_abi = abi))?;
    entry.note(Layer::Seccomp, filter::apply(Stage::of(start.role)))?;
    let Entry { in_force, missing, .. } = entry;
    let system_calls = filter::allowed(filter::last_stage(start.role)).len() as u32;
    Ok(Jailed { role: start.role, report: Report { in_force, missing, system_calls, landlock_abi } })
}

impl Jailed {
    /// The role that it is jailed for.
    pub fn role(&self) -> WorkerRole {
        self.role
    }

    /// What is in force.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The last stage of a guest: no executable mapping, no thread, no descriptor received any more.
    ///
    /// # Errors
    /// The kernel's refusal; no guest code may run then.
    pub fn before_guest_code(&self, last: Last) -> io::Result<Confined> {
        match last {
            Last::View { open, derived, rows } => {
                resources::limit_shared_memory(open, derived, rows)?;
                filter::apply(Stage::GuestCode)?;
            }
            Last::Fold => {
                resources::no_more_files()?;
                filter::apply(Stage::FoldCode)?;
            }
        }
        Ok(Confined { _private: () })
    }

    /// For unit tests of what runs in a jail; the jail's own tests run in real processes.
    #[cfg(test)]
    pub(crate) fn for_tests(role: WorkerRole) -> Self {
        Self { role, report: Report { in_force: Vec::new(), missing: Vec::new(), system_calls: 0, landlock_abi: 0 } }
    }
}

#[cfg(test)]
impl Confined {
    pub(crate) fn for_tests() -> Self {
        Self { _private: () }
    }
}

/// Closes all but the first three descriptors: close_range(2).
fn close_descriptors() -> io::Result<()> {
    // SAFETY: called first in `main`: no object of this process owns a descriptor above 2 yet.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn non_dumpable() -> rustix::io::Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

fn drop_capabilities() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
    let none = CapabilitySet::empty();
    Ok(set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?)
}

/// What Landlock keeps from reaching outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scoped {
    /// Signals and abstract sockets.
    All,
    /// Abstract sockets.
    SocketsOnly,
}

/// Handles every access that this kernel's Landlock knows and allows none; the version enforced.
fn landlock_nothing(scoped: Scoped) -> io::Result<u32> {
    use landlock::{ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetStatus, Scope};
    // The newest that this crate knows; what the kernel does not know yet is left out by the crate.
    const NEWEST: ABI = ABI::V6;
    let scopes = if scoped == Scoped::All { Scope::from_all(NEWEST) } else { Scope::AbstractUnixSocket.into() };
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|r| r.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|r| r.scope(scopes))
        .and_then(Ruleset::create)
        .and_then(landlock::RulesetCreated::restrict_self)
        .map_err(io::Error::other)?;
    match (restricted.ruleset, restricted.landlock) {
        (RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
            Ok(effective_abi as u32)
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
