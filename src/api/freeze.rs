//! Stopping releases, and letting them go on.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::JsonBody;
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::catalog::store as catalogue;
use crate::gate::{self, Frozen};
use crate::id::{DatasetId, OrgId};
use crate::policy::resource::Freeze;
use crate::policy::{Role, actions};
use crate::refusal::{self, Refused};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(set)).routes(routes!(lift))
}

/// A stop on releases.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewFreeze {
    /// Why.
    reason: String,
    /// Releases with data of this organisation only. A provider can stop those with its own data, and need not say so.
    #[serde(default)]
    org: Option<OrgId>,
    /// Releases that rest on this dataset only. A provider can stop those of its own datasets.
    #[serde(default)]
    dataset: Option<DatasetId>,
}

/// An end of stops.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Lift {
    /// Why.
    reason: String,
    /// Which; without it every one that the caller may lift.
    #[serde(default)]
    id: Option<i64>,
}

/// Stops releases; those on their way are held.
#[utoipa::path(post, path = "/v1/freeze", tag = "releases", request_body = NewFreeze, responses((status = 201, body = Frozen)))]
async fn set(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<NewFreeze>,
) -> Result<(StatusCode, Json<Frozen>), ApiError> {
    let who = caller.principal();
    let own = || (who.role == Role::Provider).then(|| who.org.clone());
    let wanted = new.dataset.clone();
    let entry = app.read(move |_, c| Ok(wanted.map(|id| catalogue::entry(c, &id)).transpose()?.flatten())).await?;
    let owner = entry.map(|e| e.entry.owner().clone());
    // Whoever may stop none is told that, whether or not the dataset is there.
    let org = owner.clone().or_else(|| new.org.clone().filter(|_| new.dataset.is_none())).or_else(own);
    let permit = app.permit::<actions::FreezeSet>(&caller, Freeze { org: org.clone(), set_by: None })?;
    if let Some(id) = new.dataset.as_ref().filter(|_| owner.is_none()) {
        return Err(not_found(id.as_str()));
    }
    if new.reason.trim().is_empty() {
        return Err(malformed("reason"));
    }
    if new.org.is_some() && new.org != org {
        return Err(malformed("org: the dataset is another organisation's"));
    }
    let dataset = new.dataset;
    let frozen = app.write(move |app, tx| Ok(gate::set(tx, &app.journal, permit, dataset, &new.reason, app.now())?)).await?;
    match &frozen.dataset {
        Some(dataset) => app.jobs.evict(dataset.as_str()),
        // Views are kept under datasets, agreements and operators, not under the owners of what they rest on.
        None => app.jobs.evict_all(),
    }
    Ok((StatusCode::CREATED, Json(frozen)))
}

/// Lets releases go on: the authority alone does, whoever stopped them.
#[utoipa::path(post, path = "/v1/freeze/lift", tag = "releases", request_body = Lift, responses((status = 200, body = Vec<Frozen>)))]
async fn lift(State(app): State<App>, Signed(caller): Signed, JsonBody(new): JsonBody<Lift>) -> Result<Json<Vec<Frozen>>, ApiError> {
    if new.reason.trim().is_empty() {
        return Err(malformed("reason"));
    }
    let lifted = app.write(move |app, tx| {
        let thing = |f: &Frozen| Freeze { org: f.org.clone(), set_by: Some(f.set_by.clone()) };
        let mut standing = gate::all_standing(tx)?;
        match new.id {
            Some(id) => standing.retain(|f| f.id == id),
            None => {
                let some = !standing.is_empty();
                standing.retain(|f| app.authz.allows::<actions::FreezeLift>(&caller, &thing(f)));
                if some && standing.is_empty() {
                    return Err(Refused::new(&refusal::FORBIDDEN).into());
                }
            }
        }
        if standing.is_empty() {
            // Whoever could lift none is told that, whether or not one stands.
            let own = caller.principal().org.clone();
            let _may = app.permit::<actions::FreezeLift>(&caller, Freeze { org: Some(own.clone()), set_by: Some(own) })?;
            return Err(Refused::new(&refusal::NOT_FOUND).into());
        }
        for frozen in &standing {
            let permit = app.permit::<actions::FreezeLift>(&caller, thing(frozen))?;
            gate::lift(tx, &app.journal, permit, frozen.id, &new.reason, app.now())?;
        }
        Ok(standing)
    });
    Ok(Json(lifted.await?))
}
