//! Questions about one consenting subject. An answer is sent at a time and in a size that say nothing about it.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, not_found};
use super::signed::Signed;
use super::state::App;
use crate::agreement::consent::SignedToken;
use crate::gate::{self, VerificationRow};
use crate::id::{AgreementId, ModuleDigest, Name, PlanId, VerificationId};
use crate::jobs::VerificationRequest;
use crate::policy::resource::{Platform, Verification};
use crate::policy::{Caller, actions};

/// Bytes of every answer: the longest label, spelled in six bytes a character where JSON needs them, and room for the rest.
const ANSWER_BYTES: usize = 640;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(ask, list)).routes(routes!(read))
}

/// One question about one subject.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewVerification {
    /// The agreement.
    agreement: AgreementId,
    /// Its plan.
    plan: PlanId,
    /// The module: the question.
    module: ModuleDigest,
    /// One of the agreement's purposes.
    purpose: Name,
    /// The subject's consent: exactly one token.
    token: SignedToken,
}

/// An answer.
#[derive(Serialize, utoipa::ToSchema)]
struct VerificationAnswer {
    /// The question.
    id: VerificationId,
    /// One of the module's labels.
    answer: String,
    /// Leaf of the answer.
    leaf: u64,
}

fn thing(row: &VerificationRow) -> Verification {
    Verification { id: row.id.clone(), org: row.org.clone(), providers: row.providers.clone() }
}

/// Asks one question about one consenting subject. The answer comes at a multiple of the policy's `answer_ms`, whatever it is; whoever is not
/// known gets the first label. A token is spent with the call, whatever comes of it.
#[utoipa::path(post, path = "/v1/verifications", tag = "verifications", request_body = NewVerification,
    responses((status = 200, body = VerificationAnswer)))]
async fn ask(State(app): State<App>, Signed(caller): Signed, JsonBody(new): JsonBody<NewVerification>) -> Result<Response, ApiError> {
    let received = Instant::now();
    let thing = Verification { id: VerificationId::random()?, org: caller.principal().org.clone(), providers: BTreeSet::new() };
    let permit = app.permit::<actions::VerificationAsk>(&caller, thing)?;
    app.jobs.admits()?;
    let NewVerification { agreement, plan, module, purpose, token } = new;
    let request = VerificationRequest { agreement, plan, module, purpose, token };
    let due = app.blocking(move |app| app.jobs.verify(permit, request, received)).await?;
    tokio::time::sleep_until(due.at.into()).await;
    let answer = VerificationAnswer { id: due.answered.id().clone(), answer: due.answered.answer().to_owned(), leaf: due.answered.leaf() };
    let mut body = serde_json::to_vec(&answer).map_err(|e| ApiError::Internal(e.to_string()))?;
    // White space behind a JSON value is none of its bytes.
    body.resize(body.len().max(ANSWER_BYTES), b' ');
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// The row as the caller may see it: causes are for checkers of others and the authority.
fn shown(app: &App, caller: &Caller, mut row: VerificationRow) -> VerificationRow {
    if !app.authz.allows::<actions::VerificationEvidenceRead>(caller, &thing(&row)) {
        row.cause = None;
    }
    row
}

/// Questions that the caller may see, newest first, without their answers.
#[utoipa::path(get, path = "/v1/verifications", tag = "verifications", responses((status = 200, body = Vec<VerificationRow>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<VerificationRow>>, ApiError> {
    let _permit = app.permit::<actions::VerificationList>(&caller, Platform {})?;
    let mut all = app.read(|_, c| Ok(gate::verifications(c)?)).await?;
    all.retain(|row| app.authz.allows::<actions::VerificationRead>(&caller, &thing(row)));
    Ok(Json(all.into_iter().map(|row| shown(&app, &caller, row)).collect()))
}

/// One question, without its answer.
#[utoipa::path(get, path = "/v1/verifications/{id}", tag = "verifications", params(("id" = String, Path, description = "question")),
    responses((status = 200, body = VerificationRow)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<VerificationId>) -> Result<Json<VerificationRow>, ApiError> {
    let row = app.read(move |_, c| gate::verification(c, &id)?.ok_or_else(|| not_found(id.as_str()))).await?;
    let _permit = app.permit::<actions::VerificationRead>(&caller, thing(&row))?;
    Ok(Json(shown(&app, &caller, row)))
}
