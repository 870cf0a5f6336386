//! System calls by role: the table is the review.
//!
//! A call that is not in the table ends the process (SIGSYS). A few that libraries try and do without are answered "no such call"
//! instead ([`ABSENT`]). Written for x86-64; on another architecture the filter does not build and no worker starts.

use std::collections::BTreeMap;
use std::io;

use libc as c;
use protocol::message::WorkerRole;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Who is filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The keeper, once its worker lives.
    Keeper,
    /// Parsers of uploads.
    Ingest,
    /// Cranelift.
    Compile,
    /// Fusion and aggregates.
    Engine,
    /// A guest process that waits, then loads compiled code.
    GuestLoading,
    /// A guest process from the module's first instruction on.
    GuestCode,
    /// The same for a fold: it receives while guest code runs, and makes no shared memory.
    FoldCode,
}

impl Stage {
    /// The first stage of a role.
    pub fn of(role: WorkerRole) -> Self {
        match role {
            WorkerRole::Ingest => Self::Ingest,
            WorkerRole::Compile => Self::Compile,
            WorkerRole::Engine => Self::Engine,
            WorkerRole::Guest => Self::GuestLoading,
        }
    }
    const fn bit(self) -> u8 {
        match self {
            Self::Keeper => K,
            Self::Ingest => I,
            Self::Compile => C,
            Self::Engine => E,
            Self::GuestLoading => L,
            Self::GuestCode => G,
            Self::FoldCode => F,
        }
    }
}

/// The stage in which a role handles hostile bytes.
pub fn last_stage(role: WorkerRole) -> Stage {
    if role == WorkerRole::Guest { Stage::GuestCode } else { Stage::of(role) }
}

const K: u8 = 1;
const I: u8 = 2;
const C: u8 = 4;
const E: u8 = 8;
const L: u8 = 16;
const G: u8 = 32;
const F: u8 = 64;
/// Every worker in every stage but a fold's last.
const W: u8 = I | C | E | L | G;
/// Every worker before guest code.
const B: u8 = I | C | E | L;
/// Workers with threads.
const T: u8 = I | C | E;

/// What the arguments have to be. Numbers are positions from 0.
enum Arguments {
    Any,
    /// One of these values.
    One(u8, &'static [i32]),
    /// None of these bits.
    Without(u8, u32),
    /// Of the bits in the mask exactly these.
    Bits(u8, u32, u32),
    /// Of the bits in the mask exactly one of these patterns.
    Pattern(u8, u32, &'static [i32]),
}
use Arguments::{Any, Bits, One, Pattern, Without};

struct Row(c::c_long, u8, Arguments);

/// A new thread of this process, never a process or a namespace.
const THREAD: u32 = c::CLONE_THREAD as u32 | c::CLONE_VM as u32 | c::CLONE_SIGHAND as u32;
const NOT_THREAD: u32 = c::CLONE_NEWNS as u32
    | c::CLONE_NEWCGROUP as u32
    | c::CLONE_NEWUTS as u32
    | c::CLONE_NEWIPC as u32
    | c::CLONE_NEWUSER as u32
    | c::CLONE_NEWPID as u32
    | c::CLONE_NEWNET as u32
    | c::CLONE_VFORK as u32
    | c::CLONE_PTRACE as u32;
const EXEC: u32 = c::PROT_EXEC as u32;
/// Flags of memfd_create(2) that we do not use: huge pages, executable files.
const MEMFD_OTHER: u32 = !(c::MFD_CLOEXEC | c::MFD_ALLOW_SEALING);
/// Commands of futex(2) without priority inheritance, which has had faults that gave the kernel away (CVE-2014-3153).
const FUTEX_PLAIN: &[i32] =
    &[c::FUTEX_WAIT, c::FUTEX_WAKE, c::FUTEX_REQUEUE, c::FUTEX_CMP_REQUEUE, c::FUTEX_WAKE_OP, c::FUTEX_WAIT_BITSET, c::FUTEX_WAKE_BITSET];
const FUTEX_COMMAND: u32 = 0x7f;

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // The conversation. A guest that runs receives nothing more, so no descriptor can reach it either; one that runs a fold
    // receives by recvfrom(2), which carries none.
    Row(c::SYS_recvmsg,         B,         Any),
    Row(c::SYS_sendmsg,         W,         Any),
    Row(c::SYS_sendto,          W|F,       Any),
    Row(c::SYS_recvfrom,        E|L|F,     Any),
    Row(c::SYS_setsockopt,      W,         One(2, &[c::SO_RCVTIMEO, c::SO_SNDTIMEO])),
    // Memory. Only a guest that loads compiled code may make memory executable.
    Row(c::SYS_mmap,            I|C|E|G|F, Without(2, EXEC)),
    Row(c::SYS_mmap,            L,         Any),
    Row(c::SYS_mprotect,        I|C|E|G|F, Without(2, EXEC)),
    Row(c::SYS_mprotect,        L,         Any),
    Row(c::SYS_munmap,          W|F,       Any),
    Row(c::SYS_mremap,          W|F,       Any),
    Row(c::SYS_madvise,         W|F,       Any),
    Row(c::SYS_brk,             W|F,       Any),
    // Shared memory: made, written, sealed, measured.
    Row(c::SYS_memfd_create,    W,         Without(1, MEMFD_OTHER)),
    Row(c::SYS_write,           W,         Any),
    Row(c::SYS_fcntl,           W|K,       One(1, &[c::F_ADD_SEALS, c::F_GET_SEALS, c::F_DUPFD_CLOEXEC, c::F_GETFD])),
    // Where assertions are on, a descriptor is looked at before it is closed.
    Row(c::SYS_fcntl,           F,         One(1, &[c::F_GETFD])),
    Row(c::SYS_fstat,           W,         Any),
    Row(c::SYS_close,           W|K|F,     Any),
    Row(c::SYS_pread64,         B|K,       Any),
    Row(c::SYS_read,            I|E,       Any),
    Row(c::SYS_lseek,           I,         Any),
    Row(c::SYS_ftruncate,       I|C|E,     Any),
    Row(c::SYS_pwrite64,        E,         Any),
    // Signals: faults of guest code become traps.
    Row(c::SYS_rt_sigreturn,    W|K|F,     Any),
    Row(c::SYS_rt_sigprocmask,  W|F,       Any),
    Row(c::SYS_rt_sigaction,    B,         Any),
    Row(c::SYS_sigaltstack,     W|F,       Any),
    // Threads: of engine and compiler only.
    Row(c::SYS_futex,           W|F,       Pattern(1, FUTEX_COMMAND, FUTEX_PLAIN)),
    Row(c::SYS_sched_yield,     W|F,       Any),
    Row(c::SYS_clone,           T,         Bits(0, THREAD | NOT_THREAD, THREAD)),
    Row(c::SYS_set_robust_list, T,         Any),
    Row(c::SYS_rseq,            T,         Any),
    Row(c::SYS_sched_getaffinity, B,       Any),
    Row(c::SYS_gettid,          B,         Any),
    Row(c::SYS_clock_nanosleep, T,         Any),
    Row(c::SYS_prctl,           T,         One(0, &[c::PR_SET_NAME])),
    Row(c::SYS_exit,            T,         Any),
    // polars starts a runtime with an event queue, which none of our paths needs.
    Row(c::SYS_socketpair,      E,         One(0, &[c::AF_UNIX])),
    Row(c::SYS_epoll_create1,   E,         Any),
    Row(c::SYS_epoll_ctl,       E,         Any),
    Row(c::SYS_epoll_wait,      E,         Any),
    Row(c::SYS_eventfd2,        E,         Any),
    // The second stage of a guest: smaller limits, one more filter.
    Row(c::SYS_prlimit64,       L,         One(1, &[c::RLIMIT_FSIZE as i32, c::RLIMIT_NOFILE as i32])),
    Row(c::SYS_prctl,           L,         One(0, &[c::PR_SET_NO_NEW_PRIVS])),
    Row(c::SYS_seccomp,         L,         One(0, &[c::SECCOMP_SET_MODE_FILTER as i32])),
    // Hash tables are seeded; time is read where the kernel maps no clock.
    Row(c::SYS_getrandom,       W|F,       Any),
    Row(c::SYS_clock_gettime,   W|F,       Any),
    Row(c::SYS_exit_group,      W|K|F,     Any),
    // The keeper: looks, kills, ends.
    Row(c::SYS_poll,            K,         Any),
    Row(c::SYS_ppoll,           K,         Any),
    Row(c::SYS_restart_syscall, K,         Any),
    Row(c::SYS_wait4,           K,         Any),
    Row(c::SYS_kill,            K,         One(1, &[c::SIGKILL])),
];

/// Calls that libraries try and do without; the answer is ENOSYS. `clone3`: glibc falls back to `clone`, whose flags a filter can
/// read. The others: counts of processors, sizes of caches, terminals.
#[rustfmt::skip]
const ABSENT: &[c::c_long] = &[
    c::SYS_clone3, c::SYS_open, c::SYS_openat, c::SYS_readlink, c::SYS_readlinkat, c::SYS_access, c::SYS_faccessat, c::SYS_faccessat2,
    c::SYS_stat, c::SYS_statx, c::SYS_newfstatat, c::SYS_getcwd, c::SYS_ioctl, c::SYS_uname, c::SYS_sysinfo, c::SYS_membarrier,
    c::SYS_getcpu,
];

/// Numbers of the system calls that `stage` may make, without repetition.
pub fn allowed(stage: Stage) -> Vec<i64> {
    let mut numbers: Vec<i64> = TABLE.iter().filter(|row| row.1 & stage.bit() != 0).map(|row| row.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn condition(at: u8, op: Op, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(at, Len::Dword, op, value)?])
}

/// One rule for each alternative; none for any arguments.
fn rules(arguments: &Arguments) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    match *arguments {
        Any => Ok(Vec::new()),
        One(at, values) => values.iter().map(|v| condition(at, Op::Eq, u64::from(v.cast_unsigned()))).collect(),
        Without(at, bits) => Ok(vec![condition(at, Op::MaskedEq(bits.into()), 0)?]),
        Pattern(at, mask, patterns) => {
            patterns.iter().map(|p| condition(at, Op::MaskedEq(mask.into()), u64::from(p.cast_unsigned()))).collect()
        }
        Bits(at, mask, bits) => Ok(vec![condition(at, Op::MaskedEq(mask.into()), bits.into())?]),
    }
}

fn allow_list(stage: Stage) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for Row(number, _, arguments) in TABLE.iter().filter(|row| row.1 & stage.bit() != 0) {
        calls.entry(*number).or_default().extend(rules(arguments)?);
    }
    if !matches!(stage, Stage::Keeper | Stage::GuestCode | Stage::FoldCode) {
        // Allowed here, answered by the other filter: of two filters the stricter answer counts.
        calls.extend(ABSENT.iter().map(|number| (*number, Vec::new())));
    }
    SeccompFilter::new(calls, SeccompAction::KillProcess, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}

fn absent() -> Result<BpfProgram, seccompiler::BackendError> {
    let calls = ABSENT.iter().map(|number| (*number, Vec::new())).collect();
    SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Errno(c::ENOSYS.cast_unsigned()), TargetArch::x86_64)?.try_into()
}

/// Puts the filter of `stage` on every thread of this process, on top of those it has.
///
/// # Errors
/// The kernel's refusal.
pub fn apply(stage: Stage) -> io::Result<()> {
    let list = allow_list(stage).map_err(io::Error::other)?;
    if !matches!(stage, Stage::Keeper | Stage::GuestCode | Stage::FoldCode) {
        seccompiler::apply_filter_all_threads(&absent().map_err(io::Error::other)?).map_err(io::Error::other)?;
    }
    seccompiler::apply_filter_all_threads(&list).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Stage; 7] =
        [Stage::Keeper, Stage::Ingest, Stage::Compile, Stage::Engine, Stage::GuestLoading, Stage::GuestCode, Stage::FoldCode];

    #[test]
    fn every_stage_has_a_filter_and_guest_code_a_short_one() {
        for stage in ALL {
            assert!(!allow_list(stage).unwrap().is_empty(), "{stage:?}");
            println!("{stage:?}: {} system calls", allowed(stage).len());
        }
        assert!(allowed(Stage::GuestCode).len() <= 25);
        // Rules with and without arguments for one call would allow any arguments.
        for stage in ALL {
            for number in allowed(stage) {
                let rows: Vec<&Row> = TABLE.iter().filter(|r| r.0 == number && r.1 & stage.bit() != 0).collect();
                assert!(rows.len() == 1 || rows.iter().all(|r| !matches!(r.2, Any)), "{number} at {stage:?}");
            }
        }
    }

    #[test]
    fn guest_code_may_do_nothing_that_loading_may_not() {
        let loading = allowed(Stage::GuestLoading);
        assert!(allowed(Stage::GuestCode).iter().all(|number| loading.contains(number)));
        assert!(allowed(Stage::FoldCode).iter().all(|number| loading.contains(number)));
    }

    #[test]
    fn a_fold_has_what_guest_code_has_and_plain_receiving() {
        let code = allowed(Stage::GuestCode);
        let more: Vec<i64> = allowed(Stage::FoldCode).into_iter().filter(|number| !code.contains(number)).collect();
        assert_eq!(more, [c::SYS_recvfrom]);
        assert!(!allowed(Stage::FoldCode).contains(&c::SYS_memfd_create));
    }
}
