//! One compilation: an uploaded module goes in, code comes out, or a refusal that names the cause.

use std::os::fd::AsFd;

use protocol::limits::Limits;
use protocol::manifest::Manifest;
use protocol::message::{CompileReply, CompileRequest, ModuleRefusal, WorkerRole};

use super::memory::Patience;
use super::pool::Workers;
use super::process::{KillSwitch, WorkerError, one_sealed};

/// A compiled module.
#[derive(Debug)]
pub struct Compiled {
    /// Code for this engine, to be stored under a MAC.
    pub code: Vec<u8>,
    /// What the module declares, checked again here.
    pub manifest: Manifest,
    /// Its imports, sorted.
    pub imports: Vec<String>,
    /// Digest of the engine that the code is for.
    pub engine: [u8; 32],
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The module was refused.
    #[error(transparent)]
    Refused(#[from] ModuleRefusal),
    /// The worker failed; a compiler that dies or hangs on a module counts against the module.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

impl Workers {
    /// Validates and compiles `module`. Not to be called while a share is held.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile(&self, module: &[u8], patience: Patience, switch: &KillSwitch) -> Result<Compiled, CompileError> {
        let [share] = self.reserve([WorkerRole::Compile], patience, switch)?;
        let mut worker = self.take(WorkerRole::Compile, share, switch)?;
        let fd = protocol::memfd::sealed("module", module).map_err(WorkerError::Spawn)?;
        worker.send(&CompileRequest {}, &[fd.as_fd()])?;
        let (reply, fds) = worker.receive()?;
        match reply {
            CompileReply::Compiled { manifest, imports, engine } => {
                manifest.validate().map_err(ModuleRefusal::from)?;
                let code = one_sealed(fds, Limits::STANDARD.code_bytes_max)?.read().map_err(WorkerError::from)?;
                Ok(Compiled { code: code.as_slice().to_vec(), manifest, imports, engine })
            }
            CompileReply::Refused(refusal) => Err(refusal.into()),
        }
    }
}
