//! The `guest` role: one module in its sandbox, over one view, over one block at a time ([`fold`]) or over one
//! subject ([`verify`]).
//!
//! What the module hands back is kept until it returned, then sent in one order (derived columns, tables, models), so that the
//! order of its calls says nothing. A run that fails sends the failure alone.

mod derive;
mod fold;
mod host;
mod link;
mod load;
mod models;
mod verify;

use std::os::fd::{AsFd, OwnedFd};

use protocol::frame::{Channel, FrameError};
use protocol::limits::{LimitExceeded, Limits};
use protocol::memfd::SealedFd;
use protocol::message::{GuestFailure, GuestOpening, GuestReply, GuestRequest};
use protocol::table::TableError;
use wasmtime::component::{Component, Linker, WasmStr};
use wasmtime::{Store, Trap};

use self::host::Host;
use crate::compile::engine;
use crate::jail::{Confined, Jailed, Last};

/// Serves one conversation.
///
/// # Errors
/// What the socket says; the server sees a closed conversation.
pub fn serve(channel: &mut Channel, jailed: &Jailed) -> Result<(), FrameError> {
    converse(channel, |last| jailed.before_guest_code(last))
}

/// Enters the last stage of the jail.
type Confine<'a> = &'a dyn Fn(Last) -> std::io::Result<Confined>;

fn converse(channel: &mut Channel, confine: impl Fn(Last) -> std::io::Result<Confined>) -> Result<(), FrameError> {
    let (opening, fds) = channel.receive::<GuestOpening>()?;
    let request = match opening {
        GuestOpening::Run(request) => request,
        GuestOpening::Map(start) => return fold::map(&start, fds, &confine),
        GuestOpening::Update(start) => return fold::update(channel, &start, fds, &confine),
        GuestOpening::Answer(start) => return verify::answer(channel, &start, fds, &confine),
    };
    let synthetic = request.synthetic;
    let mut log = String::new();
    let replies = run(request, fds, &mut log, &confine);
    if synthetic && !log.is_empty() {
        channel.send(&GuestReply::Log(log), &[])?;
    }
    let sent = match replies {
        Ok(replies) => send_all(channel, replies),
        Err(failure) => channel.send(&GuestReply::Failed(if synthetic { failure } else { without_text(failure) }), &[]),
    };
    match sent {
        Err(FrameError::TooLarge(bytes)) => {
            let limit = Limits::STANDARD.frame_bytes_max.into();
            let failure = LimitExceeded { name: "frame_bytes_max".to_owned(), limit, current: 0, requested: bytes };
            channel.send(&GuestReply::Failed(failure.into()), &[])
        }
        other => other,
    }
}

fn send_all(channel: &mut Channel, replies: Vec<(GuestReply, Option<OwnedFd>)>) -> Result<(), FrameError> {
    for (reply, fd) in replies {
        let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
        channel.send(&reply, &fds)?;
    }
    channel.send(&GuestReply::Finished, &[])
}

/// Runs the module; what it handed back, in order.
fn run(
    request: GuestRequest,
    fds: Vec<OwnedFd>,
    log: &mut String,
    confine: Confine<'_>,
) -> Result<Vec<(GuestReply, Option<OwnedFd>)>, GuestFailure> {
    let l = &Limits::STANDARD;
    if fds.len() != request.columns.len() + 1 || request.memory_bytes_max > l.guest_memory_bytes_max {
        return Err(GuestFailure::Internal);
    }
    let (open, derived, rows) = (fds.len(), request.manifest.derived.len(), request.rows);
    let mut fds = fds.into_iter();
    let code = fds.next().ok_or(GuestFailure::Internal)?;
    let columns = fds.map(|fd| SealedFd::verify(fd, l.column_bytes_max)).collect::<Result<Vec<_>, _>>();
    let columns = columns.map_err(|_| GuestFailure::Internal)?;
    let engine = engine().map_err(|_| GuestFailure::Internal)?;
    let component = load::load(&engine, code)?;
    let mut store = Store::new(&engine, Host::new(request, columns));
    store.limiter(|host| &mut host.growth);
    store.set_hostcall_fuel(usize::try_from(l.hostcall_bytes_max).map_err(|_| GuestFailure::Internal)?);
    let confined = confine(Last::View { open, derived, rows }).map_err(|_| GuestFailure::Internal)?;
    let ended = call(&mut store, &component, &confined);
    let host = store.into_data();
    *log = host.log;
    ended?;
    let mut replies = Vec::new();
    for (index, derived) in host.derived.into_iter().enumerate() {
        if let Some(fd) = derived.finish()? {
            let index = u16::try_from(index).map_err(|_| GuestFailure::Internal)?;
            replies.push((GuestReply::Derived { index }, Some(fd)));
        }
    }
    replies.extend(host.tables.into_iter().map(|table| (GuestReply::Table(table), None)));
    replies.extend(host.models.into_iter().map(|model| (GuestReply::Model(model), None)));
    Ok(replies)
}

/// Instantiates the component, whose start functions are guest code already, and calls `run`.
fn call(store: &mut Store<Host>, component: &Component, _confined: &Confined) -> Result<(), GuestFailure> {
    let mut linker = Linker::new(store.engine());
    link::analysis(&mut linker).map_err(|_| GuestFailure::Internal)?;
    within_counts(component)?;
    let ready = linker.instantiate_pre(component).map_err(|_| GuestFailure::Code)?;
    let returned = (|| {
        let instance = ready.instantiate(&mut *store)?;
        let run = instance.get_typed_func::<(), (Result<(), WasmStr>,)>(&mut *store, "run")?;
        let (result,) = run.call(&mut *store, ())?;
        match result {
            Ok(()) => Ok(None),
            Err(text) => Ok(Some(text.to_str(&*store)?.into_owned())),
        }
    })();
    match returned {
        Ok(None) => Ok(()),
        Ok(Some(text)) => {
            Err(GuestFailure::Error(text.get(..text.floor_char_boundary(Limits::STANDARD.error_bytes_max as usize)).map(str::to_owned)))
        }
        Err(error) => Err(failure_of(error, store.data())),
    }
}

/// Tables and memories of all instances, before the first is made: the store would stop with a plain error.
fn within_counts(component: &Component) -> Result<(), GuestFailure> {
    let l = &Limits::STANDARD;
    let Some(needed) = component.resources_required() else { return Err(GuestFailure::Code) };
    LimitExceeded::check("guest_memories_max", l.guest_memories_max, 0, needed.num_memories.into())?;
    LimitExceeded::check("guest_tables_max", l.guest_tables_max, 0, needed.num_tables.into())?;
    Ok(())
}

/// What ended the run: a failure that a host function found, a limit, or a trap.
fn failure_of(error: wasmtime::Error, host: &Host) -> GuestFailure {
    if let Some(failure) = error.downcast_ref::<GuestFailure>() {
        return failure.clone();
    }
    // The one error of wasmtime that is known by its text alone; a hostile case fails where the text changes.
    if error.to_string().contains("fuel allocated for hostcalls") {
        let limit = Limits::STANDARD.hostcall_bytes_max;
        return LimitExceeded { name: "hostcall_bytes_max".to_owned(), limit, current: limit, requested: 1 }.into();
    }
    let limit = Limits::STANDARD.guest_stack_bytes_max;
    match (error.downcast_ref::<Trap>(), &host.growth.refused) {
        (Some(Trap::StackOverflow), _) => {
            LimitExceeded { name: "guest_stack_bytes_max".to_owned(), limit, current: limit, requested: 1 }.into()
        }
        (_, Some(refused)) => refused.clone().into(),
        _ => GuestFailure::Trap,
    }
}

/// The failure without a word of the module's own choosing.
fn without_text(failure: GuestFailure) -> GuestFailure {
    match failure {
        GuestFailure::Error(_) => GuestFailure::Error(None),
        GuestFailure::Table(TableError::Limit(limit)) => GuestFailure::Table(TableError::Limit(limit)),
        GuestFailure::Table(TableError::Empty | TableError::Quantile) => GuestFailure::Table(TableError::Empty),
        GuestFailure::Table(_) => GuestFailure::Table(TableError::Name(String::new())),
        other => other,
    }
}

#[cfg(test)]
mod tests;
