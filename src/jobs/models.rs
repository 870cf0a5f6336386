//! What the engine says of a job's models, asked before the gate decides.

use protocol::manifest::DerivedColumn;
use protocol::memfd::SealedFd;
use protocol::model::Model;

use crate::gate::JudgedModels;
use crate::policy::ActivePolicy;
use crate::sdc;
use crate::workers::{EngineSession, WorkerError};

/// Puts the view's rows through every model as it would be released. One that is refused whatever the rows say is not looked at: its
/// nodes would cost time.
///
/// # Errors
/// [`WorkerError`].
pub fn judge(
    engine: &mut EngineSession,
    models: &[Model],
    derived: &[(DerivedColumn, SealedFd)],
    policy: &ActivePolicy,
) -> Result<JudgedModels, WorkerError> {
    let rounded: Vec<Option<Model>> = models.iter().map(|model| sdc::round_model(model, policy).ok()).collect();
    let asked: Vec<Model> = rounded.iter().flatten().cloned().collect();
    let mut found = if asked.is_empty() { Vec::new() } else { engine.judge(asked, derived)? }.into_iter();
    let evidence = rounded.iter().map(|model| model.as_ref().and_then(|_| found.next())).collect();
    Ok(JudgedModels { digits: policy.rules().model.significant_digits, evidence })
}
