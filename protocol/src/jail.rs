//! What server and worker say of the jail: its layers, how a worker is started, how one ended.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::message::WorkerRole;

/// A layer of the jail. Its word is what configuration, log, API and `fusebox doctor` call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// No descriptor but the socket and the null device.
    ClosedDescriptors,
    /// Arguments overwritten, environment empty.
    ScrubbedArguments,
    /// prctl(2) `PR_SET_NO_NEW_PRIVS`; every capability dropped.
    NoNewPrivileges,
    /// prctl(2) `PR_SET_DUMPABLE` 0: no core dump, no tracer, `/proc/PID` closed to others of the same user.
    NonDumpable,
    /// setrlimit(2): memory, processor time, files, processes, core 0.
    ResourceLimits,
    /// seccomp(2): an allow-list per role; any other call ends the process.
    Seccomp,
    /// user_namespaces(7): one identifier.
    UserNamespace,
    /// pid_namespaces(7): no other process can be named.
    PidNamespace,
    /// mount_namespaces(7) and pivot_root(2): an empty, read-only root.
    MountNamespace,
    /// network_namespaces(7): no interface that is up.
    NetworkNamespace,
    /// ipc_namespaces(7).
    IpcNamespace,
    /// uts_namespaces(7): no name of the machine.
    UtsNamespace,
    /// landlock(7): no file, no TCP, no signal or abstract socket to the outside.
    Landlock,
}

impl Layer {
    /// All, in the order in which a worker enters them where the order is free.
    pub const ALL: [Self; 13] = [
        Self::ClosedDescriptors,
        Self::ScrubbedArguments,
        Self::NoNewPrivileges,
        Self::UserNamespace,
        Self::PidNamespace,
        Self::NonDumpable,
        Self::MountNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::ResourceLimits,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClosedDescriptors => "closed_descriptors",
            Self::ScrubbedArguments => "scrubbed_arguments",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::NonDumpable => "non_dumpable",
            Self::ResourceLimits => "resource_limits",
            Self::Seccomp => "seccomp",
            Self::UserNamespace => "user_namespace",
            Self::PidNamespace => "pid_namespace",
            Self::MountNamespace => "mount_namespace",
            Self::NetworkNamespace => "network_namespace",
            Self::IpcNamespace => "ipc_namespace",
            Self::UtsNamespace => "uts_namespace",
            Self::Landlock => "landlock",
        }
    }

    /// The layer of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.word() == word)
    }

    /// Whether configuration may do without it. No promise rests on such a layer alone: seccomp already denies sockets, files,
    /// fork and signals.
    pub fn is_waivable(self) -> bool {
        match self {
            Self::ClosedDescriptors
            | Self::ScrubbedArguments
            | Self::NoNewPrivileges
            | Self::NonDumpable
            | Self::ResourceLimits
            | Self::Seccomp => false,
            Self::UserNamespace
            | Self::PidNamespace
            | Self::MountNamespace
            | Self::NetworkNamespace
            | Self::IpcNamespace
            | Self::UtsNamespace
            | Self::Landlock => true,
        }
    }
}

/// Layers whose absence is tolerated: waivable ones only. A waived layer is still entered where the kernel offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waived(BTreeSet<Layer>);

/// A word that names no layer which may be waived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no layer of the jail that may be waived")]
pub struct NotWaivable(String);

impl Waived {
    /// None: every layer is needed.
    pub const NONE: Self = Self(BTreeSet::new());

    /// From words separated by commas; an empty text waives none.
    ///
    /// # Errors
    /// The word that names no waivable layer.
    pub fn parse(words: &str) -> Result<Self, NotWaivable> {
        let words = words.split(',').map(str::trim).filter(|word| !word.is_empty());
        let layer = |word: &str| Layer::of(word).filter(|l| l.is_waivable()).ok_or_else(|| NotWaivable(word.chars().take(40).collect()));
        Ok(Self(words.map(layer).collect::<Result<_, _>>()?))
    }
    /// Whether the layer may be missing.
    pub fn tolerates(&self, layer: Layer) -> bool {
        self.0.contains(&layer)
    }
    /// The layers.
    pub fn iter(&self) -> impl Iterator<Item = Layer> + '_ {
        self.0.iter().copied()
    }
}

impl std::fmt::Display for Waived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<&str> = self.iter().map(Layer::word).collect();
        f.write_str(&words.join(","))
    }
}

/// What a worker is told on its command line: public figures only, overwritten once they are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Its role.
    pub role: WorkerRole,
    /// Threads of an engine.
    pub threads: u16,
    /// Private memory it may hold, in bytes (RLIMIT_DATA).
    pub memory_bytes_max: u64,
    /// Processor time it may use, in seconds (RLIMIT_CPU).
    pub cpu_seconds_max: u64,
    /// Layers that may be missing.
    pub waived: Waived,
}

impl Start {
    /// As arguments, in the order of the fields.
    pub fn arguments(&self) -> [String; 5] {
        [
            self.role.word().to_owned(),
            self.threads.to_string(),
            self.memory_bytes_max.to_string(),
            self.cpu_seconds_max.to_string(),
            self.waived.to_string(),
        ]
    }

    /// From arguments; `None` where one is missing, too many or not of its form.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let role = WorkerRole::of(&arguments.next()?)?;
        let threads = arguments.next()?.parse().ok().filter(|n| (1..=64).contains(n))?;
        let memory_bytes_max = arguments.next()?.parse().ok()?;
        let cpu_seconds_max = arguments.next()?.parse().ok()?;
        let waived = Waived::parse(&arguments.next()?).ok()?;
        arguments.next().is_none().then_some(Self { role, threads, memory_bytes_max, cpu_seconds_max, waived })
    }
}

/// What a worker entered, and what the kernel did not offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Layers in force.
    pub in_force: Vec<Layer>,
    /// Layers that could not be entered, each with the kernel's reason.
    pub missing: Vec<Missing>,
    /// System calls that the role may use once it works.
    pub system_calls: u32,
    /// Version of Landlock's interface that is enforced; 0: none.
    pub landlock_abi: u32,
}

/// A layer that could not be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The layer.
    pub layer: Layer,
    /// The kernel's reason: an error number's text.
    pub reason: String,
}

/// How a worker ended, as its keeper's exit status. Closed: a checker sees the word, an operator none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Ending {
    /// It did its work.
    #[error("the worker ended")]
    Done,
    /// The conversation broke.
    #[error("the worker's conversation broke")]
    Broken,
    /// It was started in a way that it does not know.
    #[error("the worker was started in a way that it does not know")]
    Usage,
    /// A layer of the jail could not be entered.
    #[error("the worker's jail could not be entered")]
    Jail,
    /// It used more memory than it may.
    #[error("the worker needed more memory than it may use")]
    Memory,
    /// It used more processor time than it may.
    #[error("the worker needed more processor time than it may use")]
    Processor,
    /// It called the kernel in a way that its role does not need: an escape, or a fault of ours.
    #[error("the worker made a system call that its role does not need")]
    SystemCall,
    /// It died of a fault (memory access, illegal instruction, abort).
    #[error("the worker died of a fault")]
    Fault,
    /// Somebody killed it.
    #[error("the worker was killed")]
    Killed,
}

impl Ending {
    const CODES: [(Self, u8); 9] = [
        (Self::Done, 0),
        (Self::Broken, 1),
        (Self::Usage, 2),
        (Self::Jail, 3),
        (Self::Memory, 70),
        (Self::Processor, 71),
        (Self::SystemCall, 72),
        (Self::Fault, 73),
        (Self::Killed, 74),
    ];

    /// Its exit status.
    pub fn code(self) -> u8 {
        Self::CODES.iter().find(|(ending, _)| *ending == self).map_or(1, |(_, code)| *code)
    }

    /// The ending of an exit status; `None` (a signal) is [`Ending::Killed`], an unknown one [`Ending::Fault`].
    pub fn of(code: Option<i32>) -> Self {
        let Some(code) = code else { return Self::Killed };
        Self::CODES.iter().find(|(_, c)| i32::from(*c) == code).map_or(Self::Fault, |(ending, _)| *ending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_cross_and_nothing_else_does() {
        let waived = Waived::parse("landlock, pid_namespace").unwrap();
        let start = Start { role: WorkerRole::Guest, threads: 2, memory_bytes_max: 7, cpu_seconds_max: 9, waived };
        assert_eq!(Start::parse(start.arguments().into_iter()), Some(start.clone()));
        for (at, bad) in [(0, "root"), (1, "0"), (1, "65"), (2, "-1"), (3, ""), (4, "seccomp"), (4, "all")] {
            let mut arguments = start.arguments();
            arguments[at] = bad.into();
            assert_eq!(Start::parse(arguments.into_iter()), None, "{at} {bad}");
        }
        assert_eq!(Start::parse(start.arguments().into_iter().chain(["more".into()])), None);
        assert_eq!(Start::parse(start.arguments().into_iter().take(4)), None);
    }

    #[test]
    fn what_every_promise_rests_on_is_never_waived() {
        for word in ["closed_descriptors", "scrubbed_arguments", "no_new_privileges", "non_dumpable", "resource_limits", "seccomp"] {
            assert!(Layer::of(word).is_some() && Waived::parse(word).is_err(), "{word}");
        }
        assert_eq!(Waived::parse("").unwrap(), Waived::NONE);
        for layer in Layer::ALL {
            assert_eq!(serde_json::to_value(layer).unwrap(), layer.word());
        }
    }

    #[test]
    fn an_ending_is_its_code() {
        for (ending, code) in Ending::CODES {
            assert_eq!((ending.code(), Ending::of(Some(code.into()))), (code, ending));
        }
        assert_eq!((Ending::of(None), Ending::of(Some(99))), (Ending::Killed, Ending::Fault));
    }
}
