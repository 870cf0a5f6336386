//! What the tests and the payload in the jail say to each other.

use serde::{Deserialize, Serialize};

/// One attempt of a payload that took over a jailed worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// A guest: enter the last stage, as before a module's first instruction.
    Confine,
    /// A guest: the last stage of a fold.
    ConfineFold,
    /// A system call by number, all arguments zero.
    Call(i64),
    /// A system call with arguments. A text's address stands for [`TEXT`].
    With(i64, [u64; 6], String),
    /// The same number in the x32 table.
    X32(i64),
    /// The 32-bit entry: `int 0x80`, exit (1).
    ThirtyTwoBits,
    /// Which of the first 1,024 descriptors are open.
    Descriptors,
    /// Arguments and environment as this process sees them.
    Arguments,
    /// Map the received descriptor shared and writable, write through it.
    WriteThroughMap,
    /// Map the received descriptor read-only, make that writable, write.
    WriteAfterProtect,
    /// Write to the received descriptor.
    WriteFile,
    /// Hand over shared memory of which a writable mapping is kept; seal it first where the kernel allows.
    KeepMapping,
    /// Hand over sealed memory, then change it.
    ChangeAfterSeal,
    /// Take so many bytes of private memory and touch them.
    Memory(u64),
    /// Write so many bytes of shared memory.
    SharedMemory(u64),
    /// Make so many shared memories.
    Memfds(u32),
    /// Use up processor time.
    Spin,
    /// Map or protect memory so that it can be executed, and run it.
    Execute(Executable),
    /// Keep a text in memory, so that a search from outside can find it.
    Keep(String),
    /// Start a thread.
    Thread,
    /// The numbers of the system calls that the table allows in this stage; `true`: the last one of a guest; twice: of a fold.
    AllowList(bool, bool),
}

/// Ways to executable memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Executable {
    Map,
    Protect,
    Stack,
}

/// Stands in an argument for the address of the text.
pub const TEXT: u64 = u64::MAX - 77;

/// How an attempt ended, if the process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The kernel refused: error number.
    Refused(i32),
    /// It went through; what it gave.
    Through(String),
    /// Descriptors that are open.
    Open(Vec<u32>),
}
