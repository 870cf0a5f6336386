//! The attacks, by class. Each is a row: what is tried, in which stages, and what containment looks like.

use std::os::fd::OwnedFd;

use protocol::jail::Ending;
use protocol::memfd::SealedFd;

use super::said::{Attempt, Executable, Outcome, TEXT};
use super::taken::{CPU_SECONDS_MAX, MEMORY_BYTES_MAX, Seen, Stage, Taken};

/// What containment looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contained {
    /// The worker is ended for the call, or the call is answered "no such call" or "not permitted".
    EndedOrRefused,
    /// The kernel refuses with one of these error numbers.
    Refused(&'static [i32]),
    /// The worker ends so.
    Ends(Ending),
    /// Exactly this is seen.
    Exactly(Outcome),
}
use Contained::{EndedOrRefused, Ends, Exactly, Refused};

pub struct Attack {
    pub class: &'static str,
    pub name: String,
    pub stages: fn(Stage) -> bool,
    attempt: Attempt,
    contained: Contained,
}

const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EBUSY: i32 = 16;
const EFBIG: i32 = 27;
const EMFILE: i32 = 24;
const ENOSYS: i32 = 38;

impl Attack {
    /// Runs it in a fresh worker that was handed one sealed memory.
    pub fn run(&self, stage: Stage) -> Seen {
        let mut taken = Taken::new(stage);
        let sealed: OwnedFd = protocol::memfd::sealed("view", &[7; 4096]).unwrap();
        let (seen, handed) = taken.attempt_with(self.attempt.clone(), std::slice::from_ref(&sealed));
        let view = SealedFd::verify(sealed, 4096).unwrap().read().unwrap();
        assert!(view.as_slice().iter().all(|b| *b == 7), "{}: the read-only view was changed", self.name);
        // What was handed over is used only if its seals verify, and is then what it was when it was sealed.
        if let Some(Ok(memory)) = handed.map(|fd| SealedFd::verify(fd, 4096)) {
            assert_eq!(memory.read().unwrap().as_slice(), b"original", "{}: sealed memory was changed", self.name);
            assert!(!matches!(self.attempt, Attempt::KeepMapping), "memory with a writable mapping passed as sealed");
        }
        seen
    }

    pub fn is_contained(&self, seen: &Seen) -> bool {
        match (&self.contained, seen) {
            (EndedOrRefused, Seen::Ended(Ending::SystemCall)) => true,
            (EndedOrRefused, Seen::Outcome(Outcome::Refused(errno))) => matches!(*errno, EPERM | ENOSYS),
            (Refused(errnos), Seen::Outcome(Outcome::Refused(errno))) => errnos.contains(errno),
            (Ends(ending), Seen::Ended(seen)) => ending == seen,
            (Exactly(outcome), Seen::Outcome(seen)) => outcome == seen,
            _ => false,
        }
    }
}

fn every(_: Stage) -> bool {
    true
}
fn not_loading(stage: Stage) -> bool {
    stage.name != "guest, loading"
}
fn guest_code(stage: Stage) -> bool {
    stage.confined
}
fn guests(stage: Stage) -> bool {
    stage.role == protocol::message::WorkerRole::Guest
}

fn call(class: &'static str, name: &str, number: i64, arguments: [u64; 6], text: &str) -> Attack {
    let attempt = Attempt::With(number, arguments, text.into());
    Attack { class, name: name.into(), stages: every, attempt, contained: EndedOrRefused }
}

fn attack(class: &'static str, name: &str, stages: fn(Stage) -> bool, attempt: Attempt, contained: Contained) -> Attack {
    Attack { class, name: name.into(), stages, attempt, contained }
}

pub fn all() -> Vec<Attack> {
    [files(), processes(), network(), namespaces(), kernel(), arguments(), memory(), shared_memory(), resources(), holdings()]
        .into_iter()
        .flatten()
        .collect()
}

/// A secret of the server, in a file that only it may read: the canary of `outside.rs` beside it is in its memory.
fn files() -> Vec<Attack> {
    let own = std::process::id();
    let fixed = ["/", "/etc/passwd", "/proc/self/mem", "/proc/self/maps", "/proc/1/environ", "/dev/shm", "/tmp", "/sys"];
    let of_server = [format!("/proc/{own}/mem"), format!("/proc/{own}/environ"), format!("/proc/{own}/root"), format!("/proc/{own}/fd/0")];
    let paths: Vec<String> = fixed.into_iter().map(str::to_owned).chain(of_server).collect();
    let mut all: Vec<Attack> = Vec::new();
    for path in &paths {
        all.push(call("files", path, libc_number("openat"), [AT_FDCWD, TEXT, 0, 0, 0, 0], path));
    }
    for (name, flags) in [("create", 0o101), ("temporary", 0o20_200_000 | 0o2), ("path only", 0o10_000_000)] {
        all.push(call("files", name, libc_number("openat"), [AT_FDCWD, TEXT, flags, 0o600, 0, 0], "/tmp/x"));
    }
    for name in
        ["open", "openat2", "creat", "unlink", "rename", "mkdir", "link", "symlink", "chmod", "chdir", "chroot", "mknod", "truncate"]
    {
        all.push(call("files", name, libc_number(name), [TEXT, TEXT, 0, 0, 0, 0], "/"));
    }
    all
}

fn processes() -> Vec<Attack> {
    let own = u64::from(std::process::id());
    let mut all = Vec::new();
    for name in ["fork", "vfork", "clone3", "execve", "execveat", "setsid", "setpgid", "wait4", "waitid", "pidfd_open", "pidfd_getfd"] {
        all.push(call("processes", name, libc_number(name), [own, 0, 0, 0, 0, 0], ""));
    }
    // clone(2) without CLONE_THREAD is fork; with a namespace flag it is worse.
    for (name, flags) in [("clone as fork", 17u64), ("clone, new user", 0x1000_0000 | 17), ("thread in a new net", 0x4001_0f00)] {
        all.push(call("processes", name, libc_number("clone"), [flags, 0, 0, 0, 0, 0], ""));
    }
    for pid in [own, 1, u64::MAX] {
        all.push(call("signals", "kill", libc_number("kill"), [pid, 9, 0, 0, 0, 0], ""));
        all.push(call("signals", "tkill", libc_number("tkill"), [pid, 9, 0, 0, 0, 0], ""));
        all.push(call("signals", "rt_sigqueueinfo", libc_number("rt_sigqueueinfo"), [pid, 9, 0, 0, 0, 0], ""));
        all.push(call("tracing", "attach", libc_number("ptrace"), [16, pid, 0, 0, 0, 0], ""));
        all.push(call("tracing", "process_vm_readv", libc_number("process_vm_readv"), [pid, 0, 0, 0, 0, 0], ""));
        all.push(call("tracing", "process_vm_writev", libc_number("process_vm_writev"), [pid, 0, 0, 0, 0, 0], ""));
    }
    all.push(call("tracing", "be traced", libc_number("ptrace"), [0; 6], ""));
    all.push(attack("processes", "a thread", guests, Attempt::Thread, EndedOrRefused));
    all
}

fn network() -> Vec<Attack> {
    // Every family of Linux, stream and datagram; then what needs no socket of one's own.
    let mut all: Vec<Attack> = (0..=45)
        .flat_map(|family| [1u64, 2, 3].map(|kind| (family, kind)))
        .map(|(family, kind)| {
            call("sockets", &format!("family {family} type {kind}"), libc_number("socket"), [family, kind, 0, 0, 0, 0], "")
        })
        .collect();
    all.push(call("sockets", "pair of another family", libc_number("socketpair"), [16, 3, 0, 0, 0, 0], ""));
    for name in ["connect", "bind", "listen", "accept4", "io_uring_setup"] {
        all.push(call("sockets", name, libc_number(name), [0; 6], ""));
    }
    all
}

fn namespaces() -> Vec<Attack> {
    let flags = [0x0002_0000u64, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
    let mut all: Vec<Attack> = flags
        .iter()
        .map(|flag| call("namespaces", &format!("unshare {flag:#x}"), libc_number("unshare"), [*flag, 0, 0, 0, 0, 0], ""))
        .collect();
    for name in ["setns", "mount", "umount2", "pivot_root", "fsopen", "open_tree", "move_mount"] {
        all.push(call("namespaces", name, libc_number(name), [0; 6], ""));
    }
    all
}

fn kernel() -> Vec<Attack> {
    let names = [
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "init_module",
        "finit_module",
        "kexec_load",
        "reboot",
        "iopl",
        "ioperm",
        "modify_ldt",
        "personality",
        "quotactl",
        "swapon",
        "settimeofday",
        "sethostname",
        "syslog",
        "acct",
        "capset",
        "setuid",
        "setresuid",
        "landlock_create_ruleset",
        "memfd_secret",
        "process_madvise",
        "pkey_alloc",
        "kcmp",
        "lookup_dcookie",
    ];
    let mut all: Vec<Attack> = names.iter().map(|name| call("kernel", name, libc_number(name), [0; 6], "")).collect();
    all.push(attack("kernel", "32-bit entry", every, Attempt::ThirtyTwoBits, Ends(Ending::SystemCall)));
    for number in [0, 1, 59, 520] {
        all.push(attack("kernel", "x32 table", every, Attempt::X32(number), Ends(Ending::SystemCall)));
    }
    all
}

/// Calls that are allowed, with arguments that are not.
fn arguments() -> Vec<Attack> {
    let one = |name: &str, call_name: &str, arguments| call("arguments", name, libc_number(call_name), arguments, "");
    let mut all = vec![
        one("fcntl: set owner", "fcntl", [0, 8, 1, 0, 0, 0]),
        one("fcntl: set flags", "fcntl", [0, 4, 0, 0, 0, 0]),
        one("setsockopt: pass credentials", "setsockopt", [0, 1, 16, 0, 0, 0]),
        one("setsockopt: attach a filter", "setsockopt", [0, 1, 26, 0, 0, 0]),
        one("futex: lock with priority inheritance", "futex", [0, 6, 0, 0, 0, 0]),
        one("futex: requeue with priority inheritance", "futex", [0, 12, 0, 0, 0, 0]),
        call("arguments", "memfd of huge pages", libc_number("memfd_create"), [TEXT, 4, 0, 0, 0, 0], "m"),
        call("arguments", "memfd to execute", libc_number("memfd_create"), [TEXT, 16, 0, 0, 0, 0], "m"),
        one("prctl: dumpable", "prctl", [4, 1, 0, 0, 0, 0]),
        one("prctl: tracer", "prctl", [0x5961_6d61, u64::MAX, 0, 0, 0, 0]),
        one("prctl: no death signal", "prctl", [1, 0, 0, 0, 0, 0]),
        one("prctl: speculation", "prctl", [53, 0, 2, 0, 0, 0]),
        one("prlimit: processes", "prlimit64", [0, 6, 0, 0, 0, 0]),
        one("prlimit: memory", "prlimit64", [0, 2, 0, 0, 0, 0]),
        one("seccomp: strict", "seccomp", [0, 0, 0, 0, 0, 0]),
    ];
    // The last stage takes no descriptor any more.
    all.push(attack(
        "arguments",
        "receive a descriptor",
        guest_code,
        Attempt::With(libc_number("recvmsg"), [0; 6], String::new()),
        Ends(Ending::SystemCall),
    ));
    all
}

fn memory() -> Vec<Attack> {
    [Executable::Map, Executable::Protect, Executable::Stack]
        .into_iter()
        .map(|how| attack("executable memory", &format!("{how:?}"), not_loading, Attempt::Execute(how), Ends(Ending::SystemCall)))
        .collect()
}

fn shared_memory() -> Vec<Attack> {
    let class = "shared memory";
    let mut all = vec![
        attack(class, "write the view through a map", every, Attempt::WriteThroughMap, Refused(&[EPERM, EACCES])),
        attack(class, "write the view after mprotect", every, Attempt::WriteAfterProtect, Refused(&[EPERM, EACCES])),
        attack(class, "write the view", every, Attempt::WriteFile, Refused(&[EPERM])),
        attack(class, "keep a writable mapping", every, Attempt::KeepMapping, Refused(&[EBUSY])),
        attack(class, "change after sealing", every, Attempt::ChangeAfterSeal, Refused(&[EPERM])),
    ];
    for name in ["shmget", "shmat", "semget", "msgget", "mq_open", "memfd_secret", "remap_file_pages"] {
        all.push(call(class, name, libc_number(name), [0; 6], ""));
    }
    all
}

fn resources() -> Vec<Attack> {
    let class = "resources";
    vec![
        attack(class, "more memory than allowed", every, Attempt::Memory(MEMORY_BYTES_MAX + (64 << 20)), Refused(&[ENOMEM])),
        attack(class, "more shared memory than a column", guest_code, Attempt::SharedMemory(64 << 20), Refused(&[EFBIG])),
        attack(class, "more shared memories than columns", guest_code, Attempt::Memfds(64), Refused(&[EMFILE])),
        attack(class, "more descriptors than two frames", not_confined, Attempt::Memfds(1024), Refused(&[EMFILE])),
        attack(class, &format!("more than {CPU_SECONDS_MAX} s of processor"), every, Attempt::Spin, Ends(Ending::Processor)),
    ]
}

fn not_confined(stage: Stage) -> bool {
    !stage.confined
}

/// What a worker holds.
fn holdings() -> Vec<Attack> {
    let engine = |s: Stage| s.role == protocol::message::WorkerRole::Engine;
    let compile = |s: Stage| s.role == protocol::message::WorkerRole::Compile;
    let others = |s: Stage| matches!(s.role, protocol::message::WorkerRole::Ingest | protocol::message::WorkerRole::Guest);
    vec![
        // Standard streams, the socket, what was handed over: nothing of the server's.
        attack("descriptors", "all that are open", every, Attempt::Descriptors, Exactly(Outcome::Open(vec![0, 1, 2, 3, 4]))),
        attack("arguments and environment", "read", others, Attempt::Arguments, Exactly(Outcome::Through("|".into()))),
        attack("arguments and environment", "read", engine, Attempt::Arguments, Exactly(Outcome::Through("|POLARS_MAX_THREADS=2".into()))),
        attack("arguments and environment", "read", compile, Attempt::Arguments, Exactly(Outcome::Through("|RAYON_NUM_THREADS=2".into()))),
    ]
}

const AT_FDCWD: u64 = (-100i64).cast_unsigned();

/// Number of a call on x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
fn libc_number(name: &str) -> i64 {
    let table: &[(&str, i64)] = &[
        ("open", 2),
        ("shmget", 29),
        ("shmat", 30),
        ("socket", 41),
        ("connect", 42),
        ("recvmsg", 47),
        ("bind", 49),
        ("listen", 50),
        ("socketpair", 53),
        ("setsockopt", 54),
        ("clone", 56),
        ("fork", 57),
        ("vfork", 58),
        ("execve", 59),
        ("wait4", 61),
        ("kill", 62),
        ("semget", 64),
        ("msgget", 68),
        ("fcntl", 72),
        ("truncate", 76),
        ("chdir", 80),
        ("rename", 82),
        ("mkdir", 83),
        ("creat", 85),
        ("link", 86),
        ("unlink", 87),
        ("symlink", 88),
        ("chmod", 90),
        ("ptrace", 101),
        ("syslog", 103),
        ("setuid", 105),
        ("setpgid", 109),
        ("setsid", 112),
        ("setresuid", 117),
        ("capset", 126),
        ("rt_sigqueueinfo", 129),
        ("mknod", 133),
        ("personality", 135),
        ("modify_ldt", 154),
        ("pivot_root", 155),
        ("prctl", 157),
        ("chroot", 161),
        ("acct", 163),
        ("settimeofday", 164),
        ("mount", 165),
        ("umount2", 166),
        ("swapon", 167),
        ("reboot", 169),
        ("sethostname", 170),
        ("iopl", 172),
        ("ioperm", 173),
        ("init_module", 175),
        ("quotactl", 179),
        ("tkill", 200),
        ("futex", 202),
        ("lookup_dcookie", 212),
        ("remap_file_pages", 216),
        ("mq_open", 240),
        ("kexec_load", 246),
        ("waitid", 247),
        ("add_key", 248),
        ("request_key", 249),
        ("keyctl", 250),
        ("openat", 257),
        ("unshare", 272),
        ("accept4", 288),
        ("perf_event_open", 298),
        ("prlimit64", 302),
        ("setns", 308),
        ("process_vm_readv", 310),
        ("process_vm_writev", 311),
        ("kcmp", 312),
        ("finit_module", 313),
        ("seccomp", 317),
        ("memfd_create", 319),
        ("bpf", 321),
        ("execveat", 322),
        ("userfaultfd", 323),
        ("pkey_alloc", 330),
        ("io_uring_setup", 425),
        ("open_tree", 428),
        ("move_mount", 429),
        ("fsopen", 430),
        ("pidfd_open", 434),
        ("clone3", 435),
        ("openat2", 437),
        ("pidfd_getfd", 438),
        ("process_madvise", 440),
        ("landlock_create_ruleset", 444),
        ("memfd_secret", 447),
    ];
    table.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} has no number here")).1
}
