//! The published log, verified whole now and then, as anyone with its key could do: what is found raises an alert.

use std::time::Duration;

use super::error::ApiError;
use super::state::App;
use crate::supervision;
use crate::tlog::{Report, Verifier, journal, verify};

/// After a start, until the publisher has caught up.
const FIRST_AFTER: Duration = Duration::from_secs(20);
/// Time that the publisher gets before a check.
const PUBLISHED_WITHIN: Duration = Duration::from_secs(2);

/// Verifies the log, until told to stop.
pub(super) async fn check_log(app: App, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut wait = FIRST_AFTER.min(app.settings.log_checked_every);
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = check(&app).await {
            tracing::error!(cause = %error, "the log could not be checked");
        }
        wait = app.settings.log_checked_every;
    }
}

/// Verifies the published log once and remembers what was found. A log that grows while it is read is read again.
async fn check(app: &App) -> Result<(), ApiError> {
    let report = app.blocking(|app| -> Result<Report, ApiError> {
        let key = Verifier::parse(&app.log_key).map_err(|e| ApiError::Internal(e.to_string()))?;
        let size = || -> Result<u64, ApiError> { app.store.db.read_blocking(|c| Ok(journal::checkpoint(c)?.map_or(0, |(size, _)| size))) };
        loop {
            let before = size()?;
            let _caught_up = journal::published(&app.store.db, &app.log_dir, PUBLISHED_WITHIN);
            let report = verify(&app.log_dir, &key, None);
            if report.is_sound() || size()? == before {
                return Ok(report);
            }
        }
    });
    let report = report.await?;
    if let Some(fault) = &report.fault {
        tracing::error!(%fault, "the published log does not verify");
    }
    app.write(move |app, tx| Ok(supervision::record_log_check(tx, &report, app.now())?)).await
}
