//! A verification in its sandbox: one subject's rows, one number, one instance that ends with it.
//!
//! The rows come from the engine over a socket of their own, so that none passes through the server. The server is told when nothing but
//! the rows is missing: from then on time is counted, whoever the subject is.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use protocol::frame::{Channel, FrameError};
use protocol::message::GuestFailure;
use protocol::verify::{SubjectReply, SubjectRows, VerifyReady, VerifyStart};
use wasmtime::Trap;

use super::Confine;
use super::fold::{Allowance, Sandbox};

/// What the host may allocate for an answer, which is a number.
const ANSWER_BYTES_MAX: usize = 1 << 10;

/// Answers once. Descriptors: the code, the socket to the engine.
///
/// # Errors
/// What a socket says, or code that cannot be loaded; server and engine see a closed conversation.
pub fn answer(channel: &Channel, start: &VerifyStart, fds: Vec<OwnedFd>, confine: Confine<'_>) -> Result<(), FrameError> {
    let [code, socket] = <[OwnedFd; 2]>::try_from(fds).map_err(|_| FrameError::Descriptors)?;
    // From the last stage on no descriptor can be sent or received: the same socket, without them.
    let server = channel.as_fd().try_clone_to_owned().map_err(FrameError::Io)?;
    let (mut server, mut engine) = (Channel::plain(UnixStream::from(server)), Channel::plain(UnixStream::from(socket)));
    start.manifest.validate().map_err(|_| FrameError::Malformed)?;
    let allowance = Allowance { fuel: start.fuel, memory_bytes_max: start.memory_bytes_max, answer_bytes_max: ANSWER_BYTES_MAX };
    let sandbox = Sandbox::load(allowance, code, "answer", confine).ok_or(FrameError::Malformed)?;
    server.send(&VerifyReady {}, &[])?;
    let (rows, _) = engine.receive::<SubjectRows>()?;
    engine.send(&SubjectReply(run(&sandbox, start, &rows)), &[])
}

/// Runs the module; the number of a label.
fn run(sandbox: &Sandbox, start: &VerifyStart, rows: &SubjectRows) -> Result<u32, GuestFailure> {
    let size = u64::from(rows.rows).saturating_mul(start.manifest.columns.len() as u64);
    let missing = rows.missing.0.as_slice();
    if rows.values.0.len() as u64 != size || !(missing.is_empty() || missing.len() == rows.values.0.len()) {
        return Err(GuestFailure::Internal);
    }
    let (mut store, instance) = sandbox.fresh().map_err(|_| GuestFailure::Trap)?;
    let answer = instance.get_typed_func::<(u32, &[i64], &[u8]), (u32,)>(&mut store, &sandbox.function);
    let answer = answer.map_err(|_| GuestFailure::Code)?;
    match answer.call(&mut store, (rows.rows, &rows.values.0, missing)) {
        Ok((label,)) if label < start.manifest.answer.count() => Ok(label),
        // No label of the manifest.
        Ok(_) => Err(GuestFailure::Error(None)),
        Err(error) => Err(failure(&error, store.data().refused.clone())),
    }
}

fn failure(error: &wasmtime::Error, refused: Option<protocol::limits::LimitExceeded>) -> GuestFailure {
    match (error.downcast_ref::<Trap>(), refused) {
        (Some(Trap::OutOfFuel), _) => GuestFailure::Trap,
        (_, Some(refused)) => refused.into(),
        _ => GuestFailure::Trap,
    }
}
