//! The log's side of witnessing: each new checkpoint is submitted in the background, and the cosigned one is kept. What the witness holds
//! against the log is kept too, and told as an alert.

use std::time::Duration;

use ureq::Agent;
use ureq::http::{Request, Response, StatusCode};

use super::super::error::ApiError;
use super::super::settings::WitnessSettings;
use super::super::state::App;
use crate::tlog::cosigned::{self, WitnessFault};
use crate::tlog::note::NOTE_BYTES_MAX;
use crate::tlog::rollback::{self, Known, Memory};
use crate::tlog::witness::AddCheckpoint;
use crate::tlog::{Checkpoint, Cosigned, Verifier, journal, merkle};

/// Time for one call.
const CALL_WITHIN: Duration = Duration::from_secs(10);
/// Longest pause after calls that failed.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Calls of one submission: the witness may know another size than we do, and say so.
const CALLS_MAX: usize = 3;

/// Why nothing was cosigned.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("the witness cannot be reached: {0}")]
    Unreachable(String),
    #[error("the witness answered {0}")]
    Status(u16),
    #[error("the witness's answer does not hold: {0}")]
    Answer(String),
    #[error("{0}")]
    Own(#[from] ApiError),
    #[error("the witness cosigned another history of this log: {0:?}")]
    Contradicted(WitnessFault),
}

/// Submits what is new, until told to stop.
pub(in super::super) async fn ask_on(app: App, mut stop: tokio::sync::watch::Receiver<bool>) {
    let Some(witness) = app.settings.witness.clone() else { return };
    let mut pause = witness.every;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let asked = {
            let witness = witness.clone();
            app.blocking(move |app| -> Result<_, ApiError> { Ok(ask(app, &witness)) }).await
        };
        pause = match asked {
            Ok(Ok(())) => witness.every,
            Ok(Err(error)) => {
                tracing::error!(%error, "the log is not cosigned");
                (pause * 2).min(PAUSE_MAX)
            }
            Err(_) => PAUSE_MAX,
        };
    }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).timeout_global(Some(CALL_WITHIN)).build().into()
}

fn body(response: Response<ureq::Body>) -> Result<Vec<u8>, AskError> {
    let read = response.into_body().into_with_config().limit(NOTE_BYTES_MAX as u64).read_to_vec();
    read.map_err(|e| AskError::Unreachable(e.to_string()))
}

/// Submits the newest checkpoint, if it is not cosigned yet. Blocks.
fn ask(app: &App, witness: &WitnessSettings) -> Result<(), AskError> {
    let db = &app.store.db;
    let found = db.read_blocking(|c| -> Result<_, ApiError> { Ok((journal::checkpoint(c)?, cosigned::newest(c)?)) })?;
    let (Some((size, note)), kept) = found else { return Ok(()) };
    let mut old = kept.map_or(0, |(size, _)| size);
    if old >= size {
        return Ok(());
    }
    let log = Verifier::parse(&app.log_key).map_err(|e| ApiError::Internal(e.to_string()))?;
    for _ in 0..CALLS_MAX {
        let proof = db.read_blocking(|c| -> Result<_, ApiError> {
            merkle::consistency(old, size, |level, at| journal::node(c, level, at)).map_err(|e| ApiError::Internal(e.to_string()))
        })?;
        let text = AddCheckpoint { old, proof, note: note.clone() }.to_text();
        let request = Request::post(format!("{}/add-checkpoint", witness.url)).header("content-type", "text/plain").body(text);
        let request = request.map_err(|e| AskError::Unreachable(e.to_string()))?;
        let response = agent().run(request).map_err(|e| AskError::Unreachable(e.to_string()))?;
        let (status, told) = (response.status(), body(response)?);
        match status {
            StatusCode::OK => {
                let line = std::str::from_utf8(&told).map_err(|e| AskError::Answer(e.to_string()))?;
                return keep(app, &log, witness, size, &format!("{note}{line}"));
            }
            StatusCode::CONFLICT => {
                let theirs = std::str::from_utf8(&told).ok().and_then(|text| text.strip_suffix('\n')?.parse::<u64>().ok());
                let theirs = theirs.ok_or_else(|| AskError::Answer("no size".into()))?;
                if theirs > size {
                    return contradicted(app, &log, witness, WitnessFault::Behind);
                }
                if theirs == old {
                    return contradicted(app, &log, witness, WitnessFault::Forked);
                }
                old = theirs;
            }
            StatusCode::UNPROCESSABLE_ENTITY => return contradicted(app, &log, witness, WitnessFault::Forked),
            other => return Err(AskError::Status(other.as_u16())),
        }
    }
    Err(AskError::Answer("another size each time".into()))
}

/// Keeps a cosigned checkpoint once both signatures were verified.
fn keep(app: &App, log: &Verifier, witness: &WitnessSettings, size: u64, note: &str) -> Result<(), AskError> {
    Cosigned::verify(note.as_bytes(), log, &witness.key).map_err(|e| AskError::Answer(e.to_string()))?;
    let (note, now) = (note.to_owned(), app.now());
    Ok(app.store.db.write_blocking(move |tx| -> Result<(), ApiError> { Ok(cosigned::keep(tx, size, &note, now)?) })?)
}

/// Keeps what the witness holds against the log. Where it shows a signed checkpoint that contradicts the database, nothing is accepted
/// and nothing leaves from then on.
fn contradicted(app: &App, log: &Verifier, witness: &WitnessSettings, fault: WitnessFault) -> Result<(), AskError> {
    let (now, journal, known) = (app.now(), app.journal.clone(), known_of(witness, log));
    app.store.db.write_blocking(move |tx| -> Result<(), ApiError> {
        cosigned::keep_fault(tx, fault, now)?;
        let found = rollback::judge(tx, &[known])?;
        if !found.is_empty() {
            let _standing = rollback::record(tx, &journal, found, now)?;
        }
        Ok(())
    })?;
    Err(AskError::Contradicted(fault))
}

/// What the witness remembers of the log, for the judgement whether the database is behind. One that does not answer is no objection: it
/// is asked again with each checkpoint, and where it is required nothing is read before it has cosigned. Blocks, ten seconds at most.
pub(in super::super) fn known_of(witness: &WitnessSettings, log: &Verifier) -> Known {
    let memory = match newest_of(witness, log) {
        Ok(Some(Checkpoint { size, root, .. })) => Memory::At { size, root },
        Ok(None) => Memory::Nothing,
        Err(error) => {
            tracing::warn!(%error, "the witness does not tell what it cosigned last");
            Memory::Nothing
        }
    };
    Known { source: witness.key.name().to_owned(), memory }
}

/// The checkpoint that a witness cosigned last for the log of `log`; `None` where it has none.
fn newest_of(witness: &WitnessSettings, log: &Verifier) -> Result<Option<Checkpoint>, AskError> {
    let unreachable = |error: &dyn std::fmt::Display| AskError::Unreachable(error.to_string());
    let origin: String = form_urlencoded::byte_serialize(log.name().as_bytes()).collect();
    let request = Request::get(format!("{}/checkpoint?origin={origin}", witness.url)).body(());
    let request = request.map_err(|e| unreachable(&e))?;
    let response = agent().run(request).map_err(|e| unreachable(&e))?;
    match response.status() {
        StatusCode::OK => {
            let note = body(response)?;
            let found = Cosigned::verify(&note, log, &witness.key).map_err(|e| AskError::Answer(e.to_string()))?;
            Ok(Some(found.checkpoint))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(AskError::Status(other.as_u16())),
    }
}
