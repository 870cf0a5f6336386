//! Jobs: submitted, watched, cancelled, replayed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio_stream::wrappers::ReceiverStream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::catalog::store as catalogue;
use crate::clock::Timestamp;
use crate::dp::FoldDocument;
use crate::gate::{self, Filter};
use crate::id::{AgreementId, JobId, ModuleDigest, Name, OrgId, PlanId, PrincipalId, ReleaseId};
use crate::jobs::{self, Accepted, JobRequest, JobRow, State as JobState, SubmitPermit, modules};
use crate::policy::resource::{Job, Plan, Platform};
use crate::policy::{Caller, actions};
use crate::refusal::{self, Refused};
use crate::store::StoreError;

/// Longest time an event stream stays open.
const STREAM_MAX: Duration = Duration::from_secs(3600);

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(submit, list))
        .routes(routes!(read))
        .routes(routes!(events))
        .routes(routes!(cancel))
        .routes(routes!(replay))
}

/// A job to be run.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewJob {
    /// The plan.
    plan: PlanId,
    /// The module; left out where the fold is built in.
    #[serde(default)]
    module: Option<ModuleDigest>,
    /// The fold, for the private door.
    #[serde(default)]
    private: Option<FoldDocument>,
    /// The agreement; needed on real data.
    #[serde(default)]
    agreement: Option<AgreementId>,
    /// One of the agreement's purposes; needed on real data.
    #[serde(default)]
    purpose: Option<Name>,
    /// One of the agreement's recipients; without it the operator itself.
    #[serde(default)]
    recipient: Option<OrgId>,
    /// Whether it runs on synthetic data.
    #[serde(default)]
    synthetic: bool,
    /// Rows of synthetic data.
    #[serde(default)]
    rows: Option<u64>,
}

/// A queued job.
#[derive(Serialize, utoipa::ToSchema)]
struct Queued {
    /// The job.
    id: JobId,
    /// Its state.
    state: JobState,
}

/// A job as the caller may see it.
#[derive(Serialize, utoipa::ToSchema)]
struct JobView {
    /// The job.
    id: JobId,
    /// The operator.
    org: OrgId,
    /// Who submitted it.
    principal: PrincipalId,
    /// Its state: an end shows on the policy's time quantum.
    state: JobState,
    /// When it was submitted.
    created_at: Timestamp,
    /// The plan.
    plan: PlanId,
    /// The module; nothing where the fold is built in.
    module: Option<ModuleDigest>,
    /// The fold, for the private door.
    private: Option<FoldDocument>,
    /// The agreement.
    agreement: Option<AgreementId>,
    /// Purpose.
    purpose: Name,
    /// Recipient.
    recipient: OrgId,
    /// Rows of synthetic data; nothing on real data.
    synthetic_rows: Option<u64>,
    /// What came of it, once its end shows.
    releases: Vec<ReleaseId>,
    /// The refusal that ended it.
    #[schema(value_type = Option<Object>)]
    refusal: Option<serde_json::Value>,
    /// HMAC-SHA-256(job key, canonical bytes), hexadecimal.
    commitment: Option<String>,
    /// Tables and models on synthetic data.
    #[schema(value_type = Option<Object>)]
    result: Option<serde_json::Value>,
    /// The module's log text on synthetic data.
    log: Option<String>,
    /// What stopped it, in the server's words: for checkers, and for the author on synthetic data.
    failure: Option<String>,
    /// When it ended, exactly: for checkers.
    ended_at: Option<Timestamp>,
    /// Exact figures of the fusion: for providers and checkers.
    #[schema(value_type = Option<Object>)]
    report: Option<serde_json::Value>,
}

/// What the authorisation policies look at.
pub(super) fn resource(connection: &Connection, row: &JobRow) -> Result<Job, StoreError> {
    let mut providers = BTreeSet::new();
    for source in &row.spec.sources {
        let entry = catalogue::entry_at(connection, &source.dataset, source.entry_revision)?;
        providers.extend(entry.map(|e| e.entry.owner().clone()).filter(|o| *o != row.org));
    }
    let module = row.spec.module.as_ref().map(|m| modules::find(connection, m)).transpose()?.flatten();
    let approved = row.spec.private.is_some() || module.is_some_and(|m| m.state == modules::ModuleState::Approved);
    Ok(Job { id: row.id.clone(), org: row.org.clone(), providers, approved })
}

fn view(app: &App, connection: &Connection, caller: &Caller, row: JobRow, thing: &Job) -> Result<JobView, StoreError> {
    let now = app.now();
    let checks = app.authz.allows::<actions::JobEvidenceRead>(caller, thing);
    let plan = Plan { id: row.spec.plan.clone(), org: row.org.clone(), providers: thing.providers.clone() };
    let reports = app.authz.allows::<actions::MatchReportRead>(caller, &plan);
    let synthetic = row.spec.synthetic_rows.is_some();
    // Before its end shows, nothing that only an ended job has may show either.
    let shown = checks || row.visible_at.is_none_or(|at| now >= at);
    let releases = gate::list(connection, &Filter { job: Some(row.id.clone()), state: None }, |_| true)?;
    Ok(JobView {
        state: if checks { row.state } else { row.shown(now) },
        releases: releases.into_iter().map(|r| r.id).filter(|_| shown).collect(),
        refusal: row.refusal.filter(|_| shown),
        commitment: row.commitment.filter(|_| shown),
        result: row.result.filter(|_| synthetic),
        log: row.log.filter(|_| synthetic),
        failure: row.failure.filter(|_| synthetic || checks),
        ended_at: row.ended_at.filter(|_| synthetic || checks),
        report: row.report.filter(|_| shown && reports),
        id: row.id,
        org: row.org,
        principal: row.principal,
        created_at: row.created_at,
        plan: row.spec.plan,
        module: row.spec.module,
        private: row.spec.private,
        agreement: row.spec.agreement,
        purpose: row.spec.purpose,
        recipient: row.spec.recipient,
        synthetic_rows: row.spec.synthetic_rows,
    })
}

fn request(new: NewJob, org: &OrgId) -> Result<JobRequest, ApiError> {
    let synthetic_rows = match (new.synthetic, new.rows) {
        (true, Some(rows)) => Some(rows),
        (false, None) => None,
        _ => return Err(malformed("rows: for synthetic data, and needed there")),
    };
    let purpose = match new.purpose {
        Some(purpose) => purpose,
        None if new.synthetic => "development".parse()?,
        None => return Err(malformed("missing field `purpose`")),
    };
    let recipient = new.recipient.unwrap_or_else(|| org.clone());
    Ok(JobRequest {
        agreement: new.agreement,
        plan: new.plan,
        module: new.module,
        private: new.private,
        purpose,
        recipient,
        synthetic_rows,
    })
}

/// Submits a job. A repeated `idempotency-key` answers the job that it made first.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs", params(("idempotency-key" = Option<String>, Header, description = "a name of the caller's choice")),
    request_body = NewJob, responses((status = 201, body = Queued), (status = 200, description = "the key repeats", body = Queued)))]
async fn submit(
    State(app): State<App>,
    Signed(caller): Signed,
    headers: HeaderMap,
    JsonBody(new): JsonBody<NewJob>,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let org = caller.principal().org.clone();
    let thing = Job { id: JobId::random()?, org: org.clone(), providers: BTreeSet::new(), approved: true };
    // Whose role runs nothing learns nothing about plan and module.
    match new.synthetic {
        true => app.permit::<actions::JobSubmitSynthetic>(&caller, thing.clone()).map(drop),
        false => app.permit::<actions::JobSubmit>(&caller, thing.clone()).map(drop),
    }?;
    let key = headers.get("idempotency-key").map(|v| v.to_str().ok().and_then(|t| t.parse::<Name>().ok()));
    let key = key.map(|k| k.ok_or_else(|| malformed("idempotency-key"))).transpose()?;
    let request = request(new, &org)?;
    let (accepted, state) = app
        .write(move |app, tx| {
            let now = app.now();
            let shown = |accepted: Accepted| -> Result<_, ApiError> {
                let state = jobs::find(tx, &accepted.id)?.map_or(JobState::Queued, |row| row.shown(now));
                Ok((accepted, state))
            };
            if let Some(accepted) = jobs::earlier(tx, &org, key.as_ref(), &jobs::request_digest(&request)?)? {
                return shown(accepted);
            }
            let submission = jobs::submission(tx, &org, &request, now)?;
            let thing = Job { providers: submission.providers.clone(), approved: submission.approved, ..thing };
            let permit = if request.synthetic_rows.is_some() {
                SubmitPermit::Synthetic(app.permit::<actions::JobSubmitSynthetic>(&caller, thing)?)
            } else {
                let permit = app.permit::<actions::JobSubmit>(&caller, thing)?;
                SubmitPermit::Real(permit, jobs::judge(tx, &submission, now)?)
            };
            let open_max = app.jobs.settings().open_per_org_max;
            let accepted: Accepted = jobs::submit(tx, &app.journal, permit, &submission, key.as_ref(), open_max, now)?;
            shown(accepted)
        })
        .await?;
    app.jobs.ring();
    let status = if accepted.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Queued { id: accepted.id, state })))
}

/// Jobs that the caller may see, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", responses((status = 200, body = Vec<JobView>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<JobView>>, ApiError> {
    let _permit = app.permit::<actions::JobList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let role = caller.principal().role;
        // An operator's own are found whatever others submit; the rest see what policies allow of all.
        let own = matches!(role, crate::policy::Role::Operator | crate::policy::Role::Researcher).then(|| caller.principal().org.clone());
        let mut visible = Vec::new();
        for row in jobs::list(c, own.as_ref())? {
            let thing = resource(c, &row)?;
            if app.authz.allows::<actions::JobRead>(&caller, &thing) {
                visible.push(view(app, c, &caller, row, &thing)?);
            }
        }
        Ok(visible)
    });
    Ok(Json(all.await?))
}

/// The job, and what the policies look at.
fn find(connection: &Connection, id: &JobId) -> Result<(JobRow, Job), ApiError> {
    let row = jobs::find(connection, id)?.ok_or_else(|| not_found(id.as_str()))?;
    let thing = resource(connection, &row)?;
    Ok((row, thing))
}

/// One job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "job")), responses((status = 200, body = JobView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<JobId>) -> Result<Json<JobView>, ApiError> {
    let found = app.read(move |app, c| {
        let (row, thing) = find(c, &id)?;
        let _permit = app.permit::<actions::JobRead>(&caller, thing.clone())?;
        Ok(view(app, c, &caller, row, &thing)?)
    });
    Ok(Json(found.await?))
}

/// The phases of a job as they come, until its end.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs", params(("id" = String, Path, description = "job")),
    responses((status = 200, description = "`event: phase`, data `{\"state\": …}`", content_type = "text/event-stream")))]
async fn events(State(app): State<App>, Signed(caller): Signed, Id(id): Id<JobId>) -> Result<impl IntoResponse, ApiError> {
    let name = id.clone();
    app.read(move |app, c| app.permit::<actions::JobRead>(&caller, find(c, &name)?.1).map(drop)).await?;
    let slot = app.stream_slot()?;
    let (tell, told) = tokio::sync::mpsc::channel::<Result<Event, Infallible>>(4);
    let follow = async move {
        let _slot = slot;
        let mut seen = None;
        while let Ok(state) = app.jobs.changed(&id, seen).await {
            seen = Some(state);
            let event = Event::default().event("phase").data(serde_json::json!({ "state": state }).to_string());
            if tell.send(Ok(event)).await.is_err() || state.is_final() {
                return;
            }
        }
    };
    // A client that is gone is noticed at the next phase, or here.
    tokio::spawn(tokio::time::timeout(STREAM_MAX, follow));
    Ok(Sse::new(ReceiverStream::new(told)).keep_alive(KeepAlive::default()))
}

/// Cancels a job that has not ended.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "job")),
    responses((status = 200, body = Queued)))]
async fn cancel(State(app): State<App>, Signed(caller): Signed, Id(id): Id<JobId>) -> Result<Json<Queued>, ApiError> {
    let name = id.clone();
    let state = app.write(move |app, tx| {
        let permit = app.permit::<actions::JobCancel>(&caller, find(tx, &name)?.1)?;
        Ok(app.jobs.cancel(tx, permit)?)
    });
    let state = state.await?;
    app.jobs.stop(std::slice::from_ref(&id));
    Ok(Json(Queued { id, state }))
}

/// How a job is run again.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReplay {
    /// Threads of the engine, 1 to 64.
    #[serde(default)]
    threads: Option<u16>,
}

/// What a replay found.
#[derive(Serialize, utoipa::ToSchema)]
struct ReplayView {
    /// The commitment found now.
    commitment: String,
    /// Whether it is the one that was logged.
    same: bool,
}

/// Runs a decided job again over the same versions and compares commitments.
#[utoipa::path(post, path = "/v1/jobs/{id}/replay", tag = "jobs", params(("id" = String, Path, description = "job")), request_body = NewReplay,
    responses((status = 200, body = ReplayView)))]
async fn replay(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<JobId>,
    JsonBody(new): JsonBody<NewReplay>,
) -> Result<Json<ReplayView>, ApiError> {
    let permit = app.read(move |app, c| app.permit::<actions::JobReplay>(&caller, find(c, &id)?.1)).await?;
    if new.threads.is_some_and(|n| !(1..=64).contains(&n)) {
        return Err(Refused::new(&refusal::MALFORMED).subject("threads").threshold("1 to 64").into());
    }
    let slot = app.upload_slot()?;
    let found = app.blocking(move |app| app.jobs.replay(&permit, new.threads)).await?;
    drop(slot);
    Ok(Json(ReplayView { commitment: found.commitment, same: found.same }))
}
