//! Loading code that we compiled: the one place of this role with `unsafe`.

use std::os::fd::OwnedFd;

use protocol::limits::Limits;
use protocol::memfd::SealedFd;
use protocol::message::GuestFailure;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::map::Mapped;

/// Loads compiled code.
#[allow(unsafe_code)]
pub fn load(engine: &Engine, code: OwnedFd) -> Result<Component, GuestFailure> {
    let code = SealedFd::verify(code, Limits::STANDARD.code_bytes_max).map_err(|_| GuestFailure::Code)?;
    let code = Mapped::new(&code).map_err(|_| GuestFailure::Code)?;
    // SAFETY: the bytes are what `precompile_component` made in the `compile` jail: the server stored them under a MAC over
    // module, engine digest and code, and verified it before it handed them over, in memory that nobody can change any more.
    // Against a mix-up wasmtime compares version, settings and processor itself.
    unsafe { Component::deserialize(engine, &*code) }.map_err(|_| GuestFailure::Code)
}
