//! What of the jail this machine offers: asked of the worker's own code, so that there is no second list.

use std::path::Path;
use std::process::{Command, Stdio};

use protocol::jail::{Layer, Report, Waived};
use protocol::message::WorkerRole;
use serde::Serialize;

/// The jail of one role on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct RoleJail {
    /// The role.
    pub role: &'static str,
    /// What is in force, what is missing.
    #[serde(flatten)]
    pub report: Report,
}

/// The jail of every role on this machine: no layer is missing that is not waived.
#[derive(Debug, Clone, Serialize)]
pub struct Jail {
    /// By role.
    roles: Vec<RoleJail>,
    /// Layers that configuration waives, whether they are missing or not.
    waived: Vec<Layer>,
}

/// Why no worker may run here.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The worker's binary cannot be started or is not of this version.
    #[error("the worker cannot be asked for its jail: {0}")]
    Worker(std::io::Error),
    /// A layer is missing and not waived.
    #[error(
        "the jail of `{role}` lacks `{}`: {reason}; remedy: let the kernel offer it{}",
        .layer.word(),
        if .layer.is_waivable() { format!(", or name it in `waive_jail_layers` ({})", .layer.word()) } else { String::new() }
    )]
    Missing {
        /// The role.
        role: &'static str,
        /// The layer.
        layer: Layer,
        /// The kernel's reason.
        reason: String,
    },
}

impl Jail {
    /// Enters the jail of every role once. Blocks for a few milliseconds a role.
    ///
    /// # Errors
    /// [`ProbeError`]: the first layer that is missing and not in `waived`.
    pub fn probe(binary: &Path, waived: &Waived) -> Result<Self, ProbeError> {
        let roles = WorkerRole::ALL.into_iter().map(|role| role_jail(binary, role, waived)).collect::<Result<_, _>>()?;
        Ok(Self { roles, waived: waived.iter().collect() })
    }

    /// By role.
    pub fn roles(&self) -> &[RoleJail] {
        &self.roles
    }

    /// Layers that are missing in some role, each once: waived ones only.
    pub fn missing(&self) -> Vec<Layer> {
        let all: std::collections::BTreeSet<Layer> = self.roles.iter().flat_map(|r| r.report.missing.iter().map(|m| m.layer)).collect();
        all.into_iter().collect()
    }
}

fn role_jail(binary: &Path, role: WorkerRole, waived: &Waived) -> Result<RoleJail, ProbeError> {
    let output = Command::new(binary)
        .args(["probe", role.word()])
        .env_clear()
        .current_dir("/")
        // The keeper takes a hang-up of standard input for the end of the server: the null device never hangs up.
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(ProbeError::Worker)?;
    let unreadable = || ProbeError::Worker(std::io::Error::other(format!("`{}` ended with {}", role.word(), output.status)));
    let report: Report = serde_json::from_slice(&output.stdout).map_err(|_| unreadable())?;
    let absent = |layer: &Layer| !report.in_force.contains(layer);
    if let Some(layer) = Layer::ALL.into_iter().find(|layer| absent(layer) && !waived.tolerates(*layer)) {
        let reason = report.missing.iter().find(|m| m.layer == layer).map_or("not entered", |m| m.reason.as_str()).to_owned();
        return Err(ProbeError::Missing { role: role.word(), layer, reason });
    }
    Ok(RoleJail { role: role.word(), report })
}
