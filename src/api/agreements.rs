//! Data use agreements: drafted, counter-signed, terminated.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authorisations::Reason;
use super::body::{Id, JsonBody, TomlBody};
use super::error::{ApiError, not_found};
use super::plans;
use super::signed::Signed;
use super::state::App;
use crate::agreement::{Agreement, AgreementDocument, Digest, records};
use crate::catalog::store;
use crate::id::{AgreementId, OrgId};
use crate::jobs::Certificate;
use crate::policy::actions;
use crate::policy::resource::{self, Platform};
use crate::tlog::leaf::LeafKind;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(draft, list)).routes(routes!(read)).routes(routes!(countersign)).routes(routes!(terminate))
}

/// A drafted agreement.
#[derive(Serialize, utoipa::ToSchema)]
struct Drafted {
    /// The agreement.
    id: AgreementId,
    /// Digest of its terms: what is counter-signed.
    digest: Digest,
}

/// An agreement and the digest of its terms.
#[derive(Serialize, utoipa::ToSchema)]
struct AgreementView {
    /// The agreement.
    id: AgreementId,
    /// Digest of its terms.
    digest: Digest,
    /// Providers who have not signed yet.
    unsigned: BTreeSet<OrgId>,
    /// Terms, signatures, how it ended.
    #[serde(flatten)]
    agreement: Agreement,
}

/// Which terms were read.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewCountersignature {
    /// Digest of the terms that were read. Without it those that stand are signed: they never change.
    #[serde(default)]
    digest: Option<Digest>,
}

fn view(agreement: Agreement) -> AgreementView {
    let unsigned = agreement.terms.providers.iter().filter(|p| !agreement.countersignatures.contains_key(*p)).cloned().collect();
    AgreementView { id: agreement.terms.agreement.id.clone(), digest: agreement.terms.digest(), unsigned, agreement }
}

/// What the authorisation policies look at.
fn thing(agreement: &Agreement) -> resource::Agreement {
    let terms = &agreement.terms;
    resource::Agreement { id: terms.agreement.id.clone(), org: terms.agreement.operator.clone(), providers: terms.providers.clone() }
}

fn find(connection: &Connection, id: &AgreementId) -> Result<Agreement, ApiError> {
    records::agreement(connection, id)?.ok_or_else(|| not_found(id.as_str()))
}

/// Drafts an agreement over a submitted plan, whose digest it pins.
#[utoipa::path(post, path = "/v1/agreements", tag = "papers", request_body(content = String, content_type = "application/toml"),
    responses((status = 201, body = Drafted)))]
async fn draft(State(app): State<App>, Signed(caller): Signed, TomlBody(text): TomlBody) -> Result<(StatusCode, Json<Drafted>), ApiError> {
    let document = AgreementDocument::parse(&text)?;
    let drafted = app.write(move |app, tx| {
        let plan = store::plan(tx, &document.plan)?;
        let providers = match &plan {
            Some(row) => plans::resource(tx, &row.plan, &document.operator)?.providers,
            None => BTreeSet::new(),
        };
        let thing = resource::Agreement { id: document.id.clone(), org: document.operator.clone(), providers: providers.clone() };
        let permit = app.permit::<actions::AgreementDraft>(&caller, thing)?;
        // Another operator's plan is told apart from no plan by nobody.
        let plan = plan.filter(|row| row.org == document.operator).ok_or_else(|| not_found(document.plan.as_str()))?;
        let digest = records::draft(tx, permit, &document, Digest(plan.plan.digest()), app.now())?;
        let readers: Vec<&OrgId> = providers.iter().collect();
        let about = json!({ "agreement": document, "digest": digest });
        let _ = app.append(tx, LeafKind::Agreement, &caller, ("agreement.drafted", about), &readers)?;
        Ok(Drafted { id: document.id, digest })
    });
    Ok((StatusCode::CREATED, Json(drafted.await?)))
}

/// Agreements that the caller may see.
#[utoipa::path(get, path = "/v1/agreements", tag = "papers", responses((status = 200, body = Vec<AgreementView>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<AgreementView>>, ApiError> {
    let _permit = app.permit::<actions::AgreementList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let mut visible = Vec::new();
        for id in records::agreement_ids(c)? {
            visible.extend(records::agreement(c, &id)?);
        }
        visible.retain(|a| app.authz.allows::<actions::AgreementRead>(&caller, &thing(a)));
        Ok(visible.into_iter().map(view).collect())
    });
    Ok(Json(all.await?))
}

/// One agreement.
#[utoipa::path(get, path = "/v1/agreements/{id}", tag = "papers", params(("id" = String, Path, description = "agreement")),
    responses((status = 200, body = AgreementView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(id): Id<AgreementId>) -> Result<Json<AgreementView>, ApiError> {
    let found = app.read(move |app, c| {
        let found = find(c, &id)?;
        let _permit = app.permit::<actions::AgreementRead>(&caller, thing(&found))?;
        Ok(view(found))
    });
    Ok(Json(found.await?))
}

/// Counter-signs for one's own data.
#[utoipa::path(post, path = "/v1/agreements/{id}/countersign", tag = "papers", params(("id" = String, Path, description = "agreement")),
    request_body = NewCountersignature, responses((status = 200, body = AgreementView)))]
async fn countersign(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<AgreementId>,
    JsonBody(new): JsonBody<NewCountersignature>,
) -> Result<Json<AgreementView>, ApiError> {
    let signed = app.write(move |app, tx| {
        let found = find(tx, &id)?;
        let permit = app.permit::<actions::AgreementCountersign>(&caller, thing(&found))?;
        let digest = new.digest.unwrap_or_else(|| found.terms.digest());
        records::countersign(tx, permit, digest, app.now())?;
        let about = json!({ "agreement": id, "digest": digest });
        let _ = app.append(tx, LeafKind::Agreement, &caller, ("agreement.countersigned", about), &parties(&found))?;
        Ok(view(find(tx, &id)?))
    });
    Ok(Json(signed.await?))
}

fn parties(agreement: &Agreement) -> Vec<&OrgId> {
    agreement.terms.providers.iter().chain([&agreement.terms.agreement.operator]).collect()
}

/// Terminates an agreement: its jobs stop, the operator's data under it is destroyed, and a certificate says so.
#[utoipa::path(post, path = "/v1/agreements/{id}/terminate", tag = "papers", params(("id" = String, Path, description = "agreement")),
    request_body = Reason, responses((status = 200, description = "the disposal certificate", body = Object)))]
async fn terminate(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<AgreementId>,
    JsonBody(why): JsonBody<Reason>,
) -> Result<Json<Certificate>, ApiError> {
    let disposal = app
        .write(move |app, tx| {
            let found = find(tx, &id)?;
            let permit = app.permit::<actions::AgreementTerminate>(&caller, thing(&found))?;
            records::terminate(tx, permit, &why.reason, app.now())?;
            let about = json!({ "agreement": id, "reason": why.reason });
            let _ = app.append(tx, LeafKind::Agreement, &caller, ("agreement.terminated", about), &parties(&found))?;
            Ok(app.jobs.dispose(tx, &id)?)
        })
        .await?;
    Ok(Json(app.blocking(move |app| app.jobs.disposed(disposal)).await?))
}
