//! The hostile cases as data: what is tried, what it covers, and what must come of it. `cargo xtask hostile --list` prints this table,
//! `tests/hostile` runs it, and the worker's own tests check the features. A case without an expectation does not build.
#![allow(dead_code, reason = "each of the three uses a part")]

mod bombs;
mod components;
mod escapes;
mod features;
mod folds;
mod imports;
mod lists;
mod memory;
mod output;
mod rust;
mod time;

use std::fmt;

/// A case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub class: Class,
    /// What else it covers than its expectation says.
    pub covers: &'static [Covers],
    pub source: Source,
    pub rows: Rows,
    pub expect: Expect,
}

/// The kinds of attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Memory,
    Table,
    Recursion,
    Spinning,
    CompileBomb,
    TypesAndNames,
    FalseLists,
    BadText,
    Flood,
    Import,
    Reentrancy,
    Handles,
    Floats,
    Indexes,
    DerivedColumns,
    State,
    ClockAndRandomness,
    Feature,
    Malformed,
    EscapedWorker,
}

/// What a case covers. Names are checked against what there is, and everything there is needs a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covers {
    /// A field of `Limits`.
    Limit(&'static str),
    /// `interface#function` of the world.
    Import(&'static str),
    /// A WebAssembly feature that is off, as the validator calls it.
    Feature(&'static str),
    /// A reply of a guest worker.
    Reply(&'static str),
}

/// How the module is made.
#[derive(Debug, Clone, Copy)]
pub enum Source {
    /// A crate of `tests/guests/` under this job seed.
    Guest(&'static str, u64),
    /// Fields of a core module, and what its `run` does, around a prelude with every import, a memory and an allocator.
    Run(&'static str, &'static str),
    /// A core module as text; `%imports%` and `%realloc%` stand for those of the prelude. It gets interface and manifest.
    Core(&'static str),
    /// A core module as text, which gets nothing.
    Bare(&'static str),
    /// A component as text; it gets the manifest.
    Component(&'static str),
    /// The fields of a component beside a good `run`.
    Beside(&'static str),
    /// A good module with this manifest.
    Manifest(&'static str),
    /// A good fold with these fields in its core module, and this manifest.
    Fold(&'static str, &'static str),
    /// A good verification with these fields in its core module, and this manifest.
    Verify(&'static str, &'static str),
    /// Made by a program.
    Generated(Generated),
    /// An upload of these bytes.
    Bytes(&'static [u8]),
    /// No upload: these bytes as compiled code.
    Code(&'static [u8]),
    /// A worker that is not ours any more.
    Escaped(Escape),
}

/// Modules that a program makes.
#[derive(Debug, Clone, Copy)]
pub enum Generated {
    /// As many `if`s in a row over as many locals.
    Ifs {
        ifs: u32,
        locals: u32,
    },
    /// One `br_table` with as many targets.
    BranchTable {
        targets: u32,
        locals: u32,
    },
    /// Blocks inside each other.
    Nested {
        blocks: u32,
    },
    /// One function of so many bytes.
    Giant {
        bytes: u32,
    },
    /// Functions that do nothing.
    Functions {
        count: u32,
    },
    /// Functions of 5,000 `if`s over 1,000 locals.
    Ifful {
        functions: u32,
    },
    /// Calls of a function with 1,000 results, which stay on the stack.
    Calls {
        count: u32,
    },
    /// Conditional branches that carry 1,000 values.
    Branches {
        count: u32,
    },
    /// Exported functions with 1,000 parameters.
    Signatures {
        functions: u32,
    },
    /// Distinct function types.
    Types {
        count: u32,
    },
    Imports {
        count: u32,
    },
    Exports {
        count: u32,
    },
    Globals {
        count: u32,
    },
    DataSegments {
        count: u32,
    },
    ElementItems {
        count: u32,
    },
    CustomSections {
        count: u32,
    },
    /// An export with a name of so many bytes.
    Name {
        bytes: u32,
    },
    /// A custom section that makes the upload so many bytes long.
    Padding {
        bytes: u32,
    },
    /// A manifest with a label of so many bytes.
    LongManifest {
        bytes: u32,
    },
    /// A manifest with as many derived columns.
    DerivedColumns {
        count: u32,
    },
    /// A manifest with one category of as many labels.
    Labels {
        count: u32,
    },
    /// A fold that reads as many columns.
    FoldColumns {
        count: u32,
    },
    /// JSON arrays inside each other as manifest.
    NestedManifest {
        depth: u32,
    },
    /// Empty core modules in a component.
    Parts {
        count: u32,
    },
    /// Components inside each other.
    Components {
        depth: u32,
    },
    /// Components of which each instantiates the one before twice.
    InstancesOfInstances {
        levels: u32,
    },
    /// Core modules with a memory each.
    Memories {
        count: u32,
    },
    /// A core module with so many tables or memories, instantiated so many times.
    Instances {
        tables: u32,
        memories: u32,
        count: u32,
    },
    /// Tuples of which each holds the one before twice, imported.
    TuplesOfTuples {
        levels: u32,
    },
    /// Instance types inside each other.
    InstanceTypes {
        depth: u32,
    },
    /// The same in the custom section that carries an interface.
    InterfaceTypes {
        depth: u32,
    },
    /// Two instances that hand each other a tuple of so many strings: the compiler writes what copies it.
    Adapters {
        strings: u32,
        functions: u32,
    },
}

/// What a worker says that someone else took over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    Garbage,
    Silence,
    EarlyEnd,
    HugeFrame,
    ManyDescriptors,
    ManyFrames,
    DerivedUndeclared,
    DerivedTwice,
    DerivedWithoutMemory,
    DerivedUnsealed,
    DerivedHuge,
    DerivedWithTwoDescriptors,
    TableBeyondLimit,
    TableNotDeclared,
    TableTwice,
    TableWithoutMeasure,
    ModelNotFinite,
    ModelNotDeclared,
    ModelsBeyondLimit,
    LogBeyondLimit,
    LogOnRealRows,
    LogWithDescriptor,
    FinishedAtOnce,
    FailedInternally,
    CodeHuge,
    CodeUnsealed,
    CodeMissing,
    ManifestInvalid,
    CompilerFailed,
}

/// The view that the module is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// 1,000 synthetic rows of a number and a category.
    Synthetic,
    /// The same, called real: no text leaves.
    Real,
    /// No rows.
    None,
    /// 2^31 rows of no column.
    Vast,
    /// 1,000 rows of five categories of 64 labels each, `ka` to `ke`, and what the engine wants beside them.
    Wide,
    /// A column that is none.
    Garbage,
}

/// What must come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// `compile` refuses, by kind of refusal.
    Refused(&'static str),
    /// `compile` refuses this import by name.
    RefusedImport(&'static str),
    /// `compile` refuses by this limit.
    RefusedLimit(&'static str),
    /// The run fails, by kind of failure.
    Failed(&'static str),
    /// The run fails by this limit.
    FailedLimit(&'static str),
    /// The run fails with an error text of so many bytes.
    FailedText(usize),
    /// The engine refuses the table that the run asks for, by this limit.
    EngineLimit(&'static str),
    /// What a worker says is not believed: frames, memory, or out of turn.
    NotBelieved(&'static str),
    /// It does not end by itself and is ended from outside.
    Stopped,
    /// The compiler's process ends before it has an answer, in this way.
    CompilerEnded(&'static str),
    /// It finishes twice, each time with this outcome (see `told`).
    Harmless(&'static str),
    /// It finishes twice, each time with a log of so many bytes.
    HarmlessLog(usize),
}

/// A case on synthetic rows. Everything it needs is an argument.
const fn case(name: &'static str, class: Class, covers: &'static [Covers], source: Source, expect: Expect) -> Case {
    Case { name, class, covers, source, rows: Rows::Synthetic, expect }
}

impl Case {
    /// The same over other rows.
    const fn on(self, rows: Rows) -> Self {
        Self { rows, ..self }
    }

    /// What it covers, its expectation's limit included.
    pub fn limits(&self) -> impl Iterator<Item = &'static str> {
        let own = match self.expect {
            Expect::RefusedLimit(name) | Expect::FailedLimit(name) | Expect::EngineLimit(name) => Some(name),
            _ => None,
        };
        own.into_iter().chain(self.covers.iter().filter_map(|c| if let Covers::Limit(name) = c { Some(*name) } else { None }))
    }
}

/// Every case.
pub fn all() -> Vec<Case> {
    [
        memory::CASES,
        time::CASES,
        bombs::CASES,
        components::CASES,
        lists::CASES,
        output::CASES,
        imports::CASES,
        rust::CASES,
        features::CASES,
        folds::CASES,
        escapes::CASES,
    ]
    .concat()
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(kind) => write!(f, "refused: {kind}"),
            Self::RefusedImport(name) => write!(f, "refused: import {name}"),
            Self::RefusedLimit(name) => write!(f, "refused: limit {name}"),
            Self::Failed(kind) => write!(f, "fails: {kind}"),
            Self::FailedLimit(name) => write!(f, "fails: limit {name}"),
            Self::FailedText(bytes) => write!(f, "fails: error text cut to {bytes} bytes"),
            Self::EngineLimit(name) => write!(f, "engine refuses: limit {name}"),
            Self::NotBelieved(kind) => write!(f, "not believed: {kind}"),
            Self::Stopped => f.write_str("stopped from outside"),
            Self::CompilerEnded(how) => write!(f, "compiler's process ends: {how}"),
            Self::Harmless(told) => write!(f, "harmless: {told:?}"),
            Self::HarmlessLog(bytes) => write!(f, "harmless: log cut to {bytes} bytes"),
        }
    }
}
