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
                    return contradicted(app, WitnessFault::Behind);
                }
                if theirs == old {
                    return contradicted(app, WitnessFault::Forked);
                }
                old = theirs;
            }
            StatusCode::UNPROCESSABLE_ENTITY => return contradicted(app, WitnessFault::Forked),
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

fn contradicted(app: &App, fault: WitnessFault) -> Result<(), AskError> {
    let now = app.now();
    app.store.db.write_blocking(move |tx| -> Result<(), ApiError> { Ok(cosigned::keep_fault(tx, fault, now)?) })?;
    Err(AskError::Contradicted(fault))
}

/// The checkpoint that a witness cosigned last for the log of `log`; `None` where it has none. For a start that asks whether its own
/// database is behind what others have seen. Blocks, ten seconds at most.
///
/// # Errors
/// That the witness cannot be reached, or its answer does not hold under both keys.
pub fn newest_of(witness: &WitnessSettings, log: &Verifier) -> Result<Option<Checkpoint>, std::io::Error> {
    let failed = |error: AskError| std::io::Error::other(error.to_string());
    let origin: String = form_urlencoded::byte_serialize(log.name().as_bytes()).collect();
    let request = Request::get(format!("{}/checkpoint?origin={origin}", witness.url)).body(());
    let request = request.map_err(std::io::Error::other)?;
    let response = agent().run(request).map_err(std::io::Error::other)?;
    match response.status() {
        StatusCode::OK => {
            let note = body(response).map_err(failed)?;
            let found = Cosigned::verify(&note, log, &witness.key).map_err(|e| failed(AskError::Answer(e.to_string())))?;
            Ok(Some(found.checkpoint))
        }
        StatusCode::NOT_FOUND => Ok(None),
        other => Err(failed(AskError::Status(other.as_u16()))),
    }
}
