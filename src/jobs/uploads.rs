//! Uploads of modules: whether one would be heard, and its verification and compilation.

use super::service::Jobs;
use super::{JobError, modules, overloaded};
use crate::id::{ModuleDigest, OrgId};
use crate::refusal::Refused;

impl Jobs {
    /// Whether a call that needs a worker would be heard now: to be asked before it sends what the worker would work on.
    ///
    /// # Errors
    /// `request.overloaded`.
    pub fn admits(&self) -> Result<(), Refused> {
        if self.workers().is_crowded() { Err(overloaded()) } else { Ok(()) }
    }

    /// Verifies and compiles an upload. Blocks.
    ///
    /// # Errors
    /// `module.*`, `request.overloaded`.
    pub fn compile(
        &self,
        org: &OrgId,
        bytes: Vec<u8>,
        announced: Option<ModuleDigest>,
        signature: Vec<u8>,
    ) -> Result<modules::CompiledModule, JobError> {
        let org = org.clone();
        let verified = self.store().db.read_blocking(move |c| modules::verify(c, &org, bytes, announced.as_ref(), &signature))?;
        verified.compile(self.workers())
    }
}
