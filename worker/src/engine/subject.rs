//! One subject's rows, found by the keyed hash of its identifier, handed to a guest; and what the guest answers, as one number.
//!
//! Every row's unit is looked at, whoever is asked about: the time to find a subject does not depend on whether it is there. A subject
//! without rows is handed over as no rows, and the answer is the first label, whatever the guest says.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use protocol::fold::{Integers, Octets};
use protocol::frame::{Channel, FrameError};
use protocol::limits::{LimitExceeded, Limits};
use protocol::message::{EngineFailure, EngineReply, GuestFailure};
use protocol::plan::Visibility;
use protocol::verify::{SubjectPlan, SubjectReply, SubjectRows};
use ring::hmac;

use super::fold::columns::Columns;
use super::view::View;
use super::{Stop, guarded, load};

/// Serves one question over `view`, to its answer.
///
/// # Errors
/// What the server's socket says.
pub(super) fn serve(channel: &mut Channel, view: &View, plan: &SubjectPlan, fds: Vec<OwnedFd>) -> Result<(), FrameError> {
    let prepared = guarded(|| {
        let [socket] = <[OwnedFd; 1]>::try_from(fds).map_err(|_| EngineFailure::Plan)?;
        Ok((Channel::plain(UnixStream::from(socket)), Columns::of(view, &plan.columns)?))
    });
    let found = prepared.and_then(|(guest, columns)| Ok((guest, guarded(|| rows_of(view, plan, &columns))?)));
    match found {
        Ok((mut guest, rows)) => {
            let (label, failure) = ask(&mut guest, &rows, plan.labels);
            channel.send(&EngineReply::Answer { label, failure }, &[])
        }
        Err(Stop::Failure(EngineFailure::Limit(exceeded))) => {
            channel.send(&EngineReply::Answer { label: 0, failure: Some(GuestFailure::Limit(exceeded)) }, &[])
        }
        Err(Stop::Failure(failure)) => channel.send(&EngineReply::Failed(failure), &[]),
        Err(Stop::Frame(error)) => Err(error),
    }
}

/// The rows of the subject, column by column.
fn rows_of(view: &View, plan: &SubjectPlan, columns: &Columns<'_>) -> Result<SubjectRows, EngineFailure> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &plan.key.0);
    let wanted = load::digest_of(&plan.subject.0, plan.linkage, &key);
    let ordinals = view.hidden(Visibility::UnitOrdinal)?;
    let rows: Vec<usize> = ordinals.iter().enumerate().filter(|(_, ordinal)| **ordinal == wanted).map(|(row, _)| row).collect();
    LimitExceeded::check("subject_rows_max", Limits::STANDARD.subject_rows_max.into(), 0, rows.len() as u64)?;
    let mut found = SubjectRows {
        rows: u32::try_from(rows.len()).map_err(|_| EngineFailure::Internal)?,
        values: Integers(Vec::with_capacity(rows.len() * columns.count())),
        missing: Octets(Vec::with_capacity(rows.len() * columns.count())),
    };
    for column in columns.iter() {
        for row in &rows {
            let value = column.get(*row);
            found.missing.0.push(u8::from(value.is_none()));
            found.values.0.push(value.unwrap_or(0));
        }
    }
    if found.missing.0.iter().all(|missing| *missing == 0) {
        found.missing.0.clear();
    }
    Ok(found)
}

/// The guest's answer, believed as far as it is a label and there are rows. The guest is asked in any case.
fn ask(guest: &mut Channel, rows: &SubjectRows, labels: u32) -> (u32, Option<GuestFailure>) {
    let answer = guest.send(rows, &[]).and_then(|()| guest.receive::<SubjectReply>());
    let (label, failure) = match answer {
        Ok((SubjectReply(Ok(label)), _)) if label < labels => (label, None),
        Ok((SubjectReply(Ok(_)), _)) => (0, Some(GuestFailure::Error(None))),
        Ok((SubjectReply(Err(failure)), _)) => (0, Some(failure)),
        // The process ended, or did not keep to the form.
        Err(_) => (0, Some(GuestFailure::Internal)),
    };
    (if rows.rows == 0 { 0 } else { label }, failure)
}
