//! The `compile` role: an uploaded module goes in, code comes out, or a refusal that names the cause.
//!
//! 1. Caps and validation (`caps`).
//! 2. Imports by exact name (`interface`), of the world that the manifest is for; a core module becomes a component; imports and
//!    exports by exact type.
//! 3. The manifest, and whether the module keeps to the memory of its world.
//! 4. Cranelift.
//!
//! A start function is allowed: it runs inside the sandbox like `run`, under the same limits and with the same imports.

mod caps;
mod engine;
mod interface;

use std::borrow::Cow;
use std::os::fd::{AsFd, OwnedFd};

use protocol::frame::{Channel, FrameError};
use protocol::limits::{LimitExceeded, Limits};
use protocol::manifest::Manifest;
use protocol::memfd::{MemfdError, SealedFd, sealed};
use protocol::message::{CompileReply, CompileRequest, ModuleRefusal, World};

use crate::jail::Jailed;

pub use engine::{FEATURES, config, engine, engine_digest, engine_of, fold_config};
pub use interface::{FOLD_WIT, VERIFY_WIT, WIT};

/// A module that passed, compiled.
#[derive(Debug)]
pub struct Compiled {
    /// Code for [`engine_of`] its world.
    pub code: Vec<u8>,
    /// What the module declares.
    pub manifest: Manifest,
    /// Imported functions, sorted.
    pub imports: Vec<String>,
    /// Digest of the engines.
    pub engine: [u8; 32],
}

/// A module that passed all that comes before the compiler.
#[derive(Debug)]
pub struct Examined<'m> {
    /// The module as a component.
    pub component: Cow<'m, [u8]>,
    /// What it declares.
    pub manifest: Manifest,
    /// Imported functions, sorted.
    pub imports: Vec<String>,
}

/// Examines `module`, a core module that carries its interface or a component, without compiling it.
///
/// # Errors
/// The first thing wrong.
pub fn examine(module: &[u8]) -> Result<Examined<'_>, ModuleRefusal> {
    let outline = caps::outline(module)?;
    // A module that says nothing of itself is judged by what it imports first.
    let manifest = outline.manifest();
    let world = manifest.as_ref().map_or(World::Analysis, Manifest::world);
    let interface = interface::Interface::of(world)?;
    interface.check_core(&outline.core_imports)?;
    interface.check_component(&outline.component_imports)?;
    let component = if outline.component { Cow::Borrowed(module) } else { Cow::Owned(interface::component_of(module)?) };
    // Once more for what the encoder made: its custom section may name other types or string encodings than the module shows.
    if !outline.component {
        caps::outline(&component)?;
    }
    let imports = interface.check_types(&component)?;
    let manifest = manifest?;
    manifest.validate()?;
    if matches!(world, World::Fold | World::Verify) {
        let limit = Limits::STANDARD.fold_memory_bytes_max;
        LimitExceeded::check("fold_memory_bytes_max", limit, 0, outline.memory_bytes)?;
    }
    Ok(Examined { component, manifest, imports })
}

/// Examines and compiles `module`.
///
/// # Errors
/// The first thing wrong.
pub fn compile(module: &[u8]) -> Result<Compiled, ModuleRefusal> {
    let Examined { component, manifest, imports } = examine(module)?;
    let failed = |_| ModuleRefusal::Compiler;
    let code = engine_of(manifest.world()).map_err(failed)?.precompile_component(&component).map_err(failed)?;
    LimitExceeded::check("code_bytes_max", Limits::STANDARD.code_bytes_max, 0, code.len() as u64)?;
    Ok(Compiled { code, manifest, imports, engine: engine_digest().map_err(failed)? })
}

/// Serves one conversation.
///
/// # Errors
/// What the socket says; the server sees a closed conversation.
pub fn serve(channel: &mut Channel, _jailed: &Jailed) -> Result<(), FrameError> {
    converse(channel)
}

fn converse(channel: &mut Channel) -> Result<(), FrameError> {
    let (CompileRequest {}, fds) = channel.receive::<CompileRequest>()?;
    // A panic of a decoder or of the compiler is a refusal like any other: the process ends with this conversation anyway.
    let caught = |module: &[u8]| {
        let compiled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| compile(module)));
        compiled.unwrap_or(Err(ModuleRefusal::Compiler))
    };
    let Compiled { code, manifest, imports, engine } = match read(fds).and_then(|module| caught(module.as_slice())) {
        Ok(compiled) => compiled,
        Err(refusal) => return channel.send(&CompileReply::Refused(refusal), &[]),
    };
    match sealed("code", &code) {
        Ok(fd) => channel.send(&CompileReply::Compiled { manifest, imports, engine }, &[fd.as_fd()]),
        Err(_) => channel.send(&CompileReply::Refused(ModuleRefusal::Compiler), &[]),
    }
}

fn read(fds: Vec<OwnedFd>) -> Result<protocol::column::AlignedBytes, ModuleRefusal> {
    let Ok([fd]) = <[OwnedFd; 1]>::try_from(fds) else { return Err(ModuleRefusal::Invalid) };
    let limit = Limits::STANDARD.module_bytes_max;
    match SealedFd::verify(fd, limit).and_then(|module| module.read()) {
        Ok(bytes) => Ok(bytes),
        Err(MemfdError::TooLarge) => {
            let name = "module_bytes_max".to_owned();
            Err(LimitExceeded { name, limit, current: limit, requested: 1 }.into())
        }
        Err(_) => Err(ModuleRefusal::Invalid),
    }
}

#[cfg(test)]
mod features;
#[cfg(test)]
pub(crate) mod tests;
