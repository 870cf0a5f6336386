//! Messages of the `compile` role.

use serde::{Deserialize, Serialize};

use crate::limits::LimitExceeded;
use crate::manifest::Manifest;
use crate::manifest::ManifestError;

/// Server to `compile`. Descriptor: the module's bytes (sealed memfd). The world that the module is for stands in its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompileRequest {}

/// A world of `guest-sdk/wit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// Tables and typed models.
    Analysis,
    /// Blocks of privacy units to vectors, under differential privacy that the host enforces.
    Fold,
    /// One subject's rows to one closed answer.
    Verify,
}

/// `compile` to server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileReply {
    /// Compiled. Descriptor: sealed memfd with the code.
    Compiled {
        /// What the module declares.
        manifest: Manifest,
        /// Imported interfaces and functions, sorted: its capabilities.
        imports: Vec<String>,
        /// Digest of the engine that the code is for: wasmtime's version, its settings, the processor.
        engine: [u8; 32],
    },
    /// Refused.
    Refused(ModuleRefusal),
}

/// Why a module is refused. Names are the author's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModuleRefusal {
    /// Not WebAssembly, or not valid under the features that are on.
    #[error("the module is not valid WebAssembly under the features that are on")]
    Invalid,
    /// An import that the world does not offer.
    #[error("import `{0}` is not offered by the world")]
    UndeclaredImport(String),
    /// The world's export is missing or has another type.
    #[error("the world's export is missing or has another type")]
    MissingExport,
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The compiler failed.
    #[error("the module could not be compiled")]
    Compiler,
}
