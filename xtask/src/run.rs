//! Starting other programs.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Variables of an outer build that would change how guests are compiled.
const OUTER_BUILD: [&str; 7] =
    ["CARGO_BUILD_BUILD_DIR", "CARGO_BUILD_TARGET", "CARGO_ENCODED_RUSTFLAGS", "CARGO_INCREMENTAL", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS"];

/// The cargo that runs us, else the one on the path.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// [`cargo`] without the settings of the outer build.
pub fn cargo_for_guests() -> Command {
    let mut command = cargo();
    for name in OUTER_BUILD {
        command.env_remove(name);
    }
    command
}

/// Runs to the end, with our own output; fails when the program does. Its standard output goes to our standard error when
/// `quiet_stdout`, so that a caller can print one result.
pub fn check(command: &mut Command, what: &str, remedy: &str) -> Result<()> {
    let status =
        command.stdin(Stdio::null()).status().with_context(|| format!("{what}: cannot start `{}`; remedy: {remedy}", name(command)))?;
    if !status.success() {
        bail!("{what}: `{}` ended with {status}; remedy: {remedy}", name(command));
    }
    Ok(())
}

/// Runs to the end and returns what was printed; standard error goes through.
pub fn output(command: &mut Command, what: &str, remedy: &str) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{what}: cannot start `{}`; remedy: {remedy}", name(command)))?;
    if !output.status.success() {
        bail!("{what}: `{}` ended with {}; remedy: {remedy}", name(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("{what}: `{}` printed bytes that are not UTF-8", name(command)))
}

/// Whether `program` starts and ends well with `args`, within `limit`; silent.
pub fn works(program: impl AsRef<OsStr>, args: &[&str], limit: Duration) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let started = Instant::now();
    while started.elapsed() < limit {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => return false,
        }
    }
    // Over its time: ended, and taken for a no.
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
