//! Jobs: submit, watch, cancel, replay.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::client::Client;
use super::error::{CliError, RefusalText};
use super::output::{self, Answer, plain};

/// Time between two looks at a job where the event stream broke off.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// `job`.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Submit a job.
    Submit(Submit),
    /// List jobs.
    List,
    /// Show a job.
    Show {
        /// The job.
        id: String,
    },
    /// Follow a job to its end.
    Watch {
        /// The job.
        id: String,
    },
    /// Stop a job.
    Cancel {
        /// The job.
        id: String,
    },
    /// Run a finished job again and compare the commitment; nothing is released.
    Replay {
        /// The job.
        id: String,
        /// Threads of the engine.
        #[arg(long)]
        threads: Option<u16>,
    },
}

/// What a job is to do.
#[derive(Debug, Args)]
pub struct Submit {
    /// The agreement that it runs under; needed on real data.
    #[arg(long, required_unless_present = "synthetic")]
    agreement: Option<String>,
    /// The fusion plan.
    #[arg(long)]
    plan: String,
    /// Digest of the module.
    #[arg(long)]
    module: String,
    /// The purpose, one of the agreement's; needed on real data.
    #[arg(long, required_unless_present = "synthetic")]
    purpose: Option<String>,
    /// Who is to get what is released, one of the agreement's recipients; without it one's own organisation.
    #[arg(long)]
    recipient: Option<String>,
    /// On made-up rows of the catalogue's declared domains.
    #[arg(long)]
    synthetic: bool,
    /// How many of them.
    #[arg(long, requires = "synthetic", default_value_t = 10_000)]
    rows: u64,
    /// The same key submits the same job once.
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,
    /// Follow it to its end.
    #[arg(long)]
    watch: bool,
}

/// `job …`.
pub fn job(context: &Context, command: JobCommand) -> Result<Answer, CliError> {
    let client = context.client()?;
    match command {
        JobCommand::Submit(submit) => {
            let job = submit_job(&client, &submit)?;
            if submit.watch { ended(watch(&client, &id_of(&job)?, context.json)?) } else { Ok(Answer::fields(job)) }
        }
        JobCommand::List => Ok(Answer::list(client.get("/v1/jobs")?, &["id", "state", "plan", "module", "agreement", "created_at"])),
        JobCommand::Show { id } => show(client.get(&format!("/v1/jobs/{id}"))?),
        JobCommand::Watch { id } => ended(watch(&client, &id, context.json)?),
        JobCommand::Cancel { id } => Ok(Answer::fields(client.post(&format!("/v1/jobs/{id}/cancel"), &json!({}))?)),
        JobCommand::Replay { id, threads } => {
            let body = threads.map_or_else(|| json!({}), |n| json!({ "threads": n }));
            let replayed = client.post(&format!("/v1/jobs/{id}/replay"), &body)?;
            let same = replayed.get("same").and_then(Value::as_bool).unwrap_or(false);
            let text = format!(
                "{}: {}",
                if same { "the same commitment" } else { "ANOTHER commitment" },
                replayed.get("commitment").map(plain).unwrap_or_default()
            );
            Ok(Answer { good: same, ..Answer::text(replayed, text) })
        }
    }
}

pub fn id_of(job: &Value) -> Result<String, CliError> {
    let id = job.get("id").and_then(Value::as_str).map(str::to_owned);
    id.ok_or_else(|| CliError::failed("the answer names no job", "list them with `fusebox job list`"))
}

fn submit_job(client: &Client, submit: &Submit) -> Result<Value, CliError> {
    let mut body = json!({
        "agreement": submit.agreement, "plan": submit.plan, "module": submit.module,
        "purpose": submit.purpose, "recipient": submit.recipient, "synthetic": submit.synthetic,
    });
    if let (true, Some(object)) = (submit.synthetic, body.as_object_mut()) {
        object.insert("rows".to_owned(), submit.rows.into());
    }
    let headers: Vec<(&str, &str)> = submit.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
    client.post_bytes("/v1/jobs", "application/json", &headers, body.to_string().as_bytes())
}

/// Whether a job has come to its end, as far as it goes by itself: one in review waits for a person.
pub fn is_final(state: &str) -> bool {
    matches!(state, "done" | "failed" | "cancelled" | "in_review" | "interrupted")
}

/// Follows a job by its events, by asking where these break off; returns the job.
pub fn watch(client: &Client, id: &str, quiet: bool) -> Result<Value, CliError> {
    let started = Instant::now();
    let spinner = output::spinner(&format!("{id}: queued"), quiet);
    let path = format!("/v1/jobs/{id}");
    // What events say is for the eye; the state is asked for.
    let streamed = client.events(&format!("{path}/events"), |_, data| {
        let state = data.get("state").map(plain).unwrap_or_default();
        spinner.set_message(format!("{id}: {state} ({:.1} s)", started.elapsed().as_secs_f64()));
        !is_final(&state)
    });
    if let Err(refused @ CliError::Refused(..)) = streamed {
        return Err(refused);
    }
    let job = look(client, id);
    spinner.finish_and_clear();
    job
}

/// Asks for a job until it has come to its end.
pub fn look(client: &Client, id: &str) -> Result<Value, CliError> {
    loop {
        let job = client.get(&format!("/v1/jobs/{id}"))?;
        if job.get("state").and_then(Value::as_str).is_some_and(is_final) {
            return Ok(job);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn show(job: Value) -> Result<Answer, CliError> {
    Ok(ended(job)?.looked_at())
}

/// A job with what came of it; not good where it failed.
pub fn ended(job: Value) -> Result<Answer, CliError> {
    let part = |name: &str| job.get(name).map(plain).unwrap_or_default();
    let state = part("state");
    let mut text = format!("{} {state}", part("id"));
    for release in job.get("releases").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(&format!("\n  release {}", plain(release)));
    }
    if !part("commitment").is_empty() {
        text.push_str(&format!("\n  commitment {}", part("commitment")));
    }
    if let Some(refusal) = job.get("refusal").and_then(RefusalText::read) {
        text.push_str(&format!("\n{refusal}"));
    }
    if !part("failure").is_empty() {
        text.push_str(&format!("\n  {}", part("failure")));
    }
    for output in job.get("result").and_then(Value::as_array).into_iter().flatten() {
        text.push_str(&format!("\n--- {}", super::dev::verdict(output)));
        text.push_str(&format!("\n{}", super::dev::rehearsed(output)));
    }
    if !part("log").is_empty() {
        text.push_str(&format!("\n--- the module's log\n{}", part("log")));
    }
    let good = matches!(state.as_str(), "done" | "in_review");
    Ok(Answer { good, ..Answer::text(job, text) })
}

impl Answer {
    /// Looking at a failed job is no failure.
    fn looked_at(self) -> Self {
        Self { good: true, ..self }
    }
}
