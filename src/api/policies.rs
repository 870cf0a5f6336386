//! Release policies: the floor, and what an organisation tightened for its own data.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, TomlBody};
use super::error::{ApiError, malformed};
use super::signed::Signed;
use super::state::App;
use crate::id::OrgId;
use crate::policy::records::release;
use crate::policy::resource::{Platform, PolicyScope};
use crate::policy::{ReleasePolicy, Role, actions};
use crate::tlog::leaf::LeafKind;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(set_floor)).routes(routes!(tighten))
}

/// A release policy and where it applies.
#[derive(Serialize, utoipa::ToSchema)]
struct PolicyInForce {
    /// The organisation whose data it is for; nothing for the floor.
    org: Option<OrgId>,
    /// The rules, as in `policies/release/*.toml`.
    #[schema(value_type = Object)]
    policy: Value,
}

/// The floor and every tighter policy. To a job applies the strictest value of each field. Operators and researchers see the parameters
/// of dominance and p% only where the policy shows them.
#[utoipa::path(get, path = "/v1/policies", tag = "policies", responses((status = 200, body = Vec<PolicyInForce>)))]
async fn read(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<PolicyInForce>>, ApiError> {
    let _permit = app.permit::<actions::PolicyRead>(&caller, Platform {})?;
    let all = app.read(|_, c| Ok(release::all(c)?)).await?;
    let operator = matches!(caller.principal().role, Role::Operator | Role::Researcher);
    let seen = |policy: ReleasePolicy| if operator && !policy.table.parameters_shown { without_parameters(&policy) } else { json!(policy) };
    Ok(Json(all.into_iter().map(|(org, policy)| PolicyInForce { org, policy: seen(policy) }).collect()))
}

/// The policy without the parameters of dominance and p%, which tell how near a released total comes to its largest contributor.
fn without_parameters(policy: &ReleasePolicy) -> Value {
    let mut policy = json!(policy);
    if let Some(table) = policy.get_mut("table").and_then(Value::as_object_mut) {
        for field in ["largest_permille_max", "largest_two_permille_max", "p_permille"] {
            table.remove(field);
        }
    }
    policy
}

fn parse(text: &str) -> Result<ReleasePolicy, ApiError> {
    ReleasePolicy::parse(text).map_err(|_| malformed("the release policy; compare it with policies/release/standard.toml"))
}

/// Sets the platform's floor.
#[utoipa::path(put, path = "/v1/policies/floor", tag = "policies", request_body(content = String, content_type = "application/toml"),
    responses((status = 204)))]
async fn set_floor(State(app): State<App>, Signed(caller): Signed, TomlBody(text): TomlBody) -> Result<StatusCode, ApiError> {
    let permit = app.permit::<actions::PolicyFloorSet>(&caller, PolicyScope { org: None })?;
    let policy = parse(&text)?;
    app.write(move |app, tx| {
        release::set_floor(tx, permit, &policy, app.now())?;
        let _ = app.append(tx, LeafKind::Registration, &caller, ("policy.floor", json!(policy)), &[])?;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tightens the policy for an organisation's own data.
#[utoipa::path(put, path = "/v1/policies/orgs/{org}", tag = "policies", params(("org" = String, Path, description = "organisation")),
    request_body(content = String, content_type = "application/toml"), responses((status = 204)))]
async fn tighten(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(org): Id<OrgId>,
    TomlBody(text): TomlBody,
) -> Result<StatusCode, ApiError> {
    let permit = app.permit::<actions::PolicyTighten>(&caller, PolicyScope { org: Some(org) })?;
    let policy = parse(&text)?;
    app.write(move |app, tx| {
        release::tighten(tx, permit, &policy, app.now())?;
        let _ = app.append(tx, LeafKind::Registration, &caller, ("policy.tightened", json!(policy)), &[])?;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
