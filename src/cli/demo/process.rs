//! The demo's server: this program as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cap_std::fs::OpenOptions;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::files::Files;

/// Longest time for an orderly end.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A running server; killed when dropped before it was stopped.
pub struct Server {
    child: Option<Child>,
    url: String,
}

impl Server {
    /// Starts `fusebox serve` on `data`, on a loopback port that the system chooses; its log goes to `server.log` there.
    pub fn start(files: Files, data: &Path, worker: &Path) -> Result<Self, CliError> {
        let failed = |what: &str, e: &dyn std::fmt::Display| {
            CliError::failed(format!("the server {what}: {e}"), "look into server.log in the data directory")
        };
        let own = std::env::current_exe().map_err(|e| failed("could not be found", &e))?;
        let log = files.dir(data)?.open_with("server.log", OpenOptions::new().create(true).append(true));
        let log = log.map_err(|e| CliError::file("open", &data.join("server.log"), &e))?;
        let mut child = Command::new(own)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .arg("--worker")
            .arg(worker)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.into_std())
            .spawn()
            .map_err(|e| failed("could not be started", &e))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|e| failed("said nothing", &e))?;
        }
        let mut server = Self { child: Some(child), url: String::new() };
        let ready: Value = serde_json::from_str(&line).map_err(|e| failed("did not become ready", &e))?;
        ready.get("url").and_then(Value::as_str).unwrap_or_default().clone_into(&mut server.url);
        Ok(server)
    }

    /// A client of it.
    pub fn client(&self, token: &str) -> Result<Client, CliError> {
        Client::new(&self.url, Some(Zeroizing::new(token.to_owned())), None)
    }

    /// SIGTERM, and the orderly end.
    pub fn stop(&mut self) -> Result<(), CliError> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let failed = |why: String| {
            CliError::failed(format!("the server did not end as it should: {why}"), "look into server.log in the data directory")
        };
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
            .map_err(|e| failed(e.to_string()))?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_MAX {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(failed(status.to_string())),
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                Err(e) => return Err(failed(e.to_string())),
            }
        }
        self.child = Some(child);
        Err(failed("it still runs".to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
