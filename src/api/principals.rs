//! Accounts and tokens.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, not_found};
use super::signed::{Presented, Signed};
use super::state::App;
use crate::clock::Timestamp;
use crate::id::{OrgId, PrincipalId};
use crate::policy::resource::{Account, Platform};
use crate::policy::token::{self, Token};
use crate::policy::{Principal, principal};
use crate::policy::{Role, actions};
use crate::tlog::leaf::LeafKind;

const DAY_S: i64 = 86_400;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(deactivate))
        .routes(routes!(issue))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
}

/// An account to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPrincipal {
    /// Its name, never used before.
    id: PrincipalId,
    /// Its organisation.
    org: OrgId,
    /// Its one role.
    role: Role,
}

/// How long a token is to live.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// Days, 1 to 90.
    days: u32,
}

/// A token, told this one time.
#[derive(Serialize, utoipa::ToSchema)]
struct IssuedToken {
    /// The token.
    token: String,
    /// Its name, for revoking it.
    token_id: String,
    /// When it ends.
    expires_at: Timestamp,
}

fn account(p: &Principal) -> Account {
    Account { name: p.id.clone(), org: p.org.clone(), role: p.role }
}

/// Makes an account.
#[utoipa::path(post, path = "/v1/principals", tag = "accounts", request_body = NewPrincipal, responses((status = 201, body = Principal)))]
async fn create(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<NewPrincipal>,
) -> Result<(StatusCode, Json<Principal>), ApiError> {
    let permit = app.permit::<actions::PrincipalCreate>(&caller, Account { name: new.id, org: new.org, role: new.role })?;
    let made = app.write(move |app, tx| {
        let made = principal::create(tx, permit, app.now())?;
        let _ = app.append(tx, LeafKind::Account, &caller, ("account.created", json!(made)), &[&made.org])?;
        Ok(made)
    });
    Ok((StatusCode::CREATED, Json(made.await?)))
}

/// Every account that the caller may see.
#[utoipa::path(get, path = "/v1/principals", tag = "accounts", responses((status = 200, body = Vec<Principal>)))]
async fn list(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<Principal>>, ApiError> {
    let _permit = app.permit::<actions::PrincipalList>(&caller, Platform {})?;
    let all = app.read(|_, c| Ok(principal::list(c)?)).await?;
    Ok(Json(all.into_iter().filter(|p| app.authz.allows::<actions::PrincipalRead>(&caller, &account(p))).collect()))
}

async fn find(app: &App, id: PrincipalId) -> Result<Account, ApiError> {
    let found = app.read(move |_, c| principal::get(c, &id)?.ok_or_else(|| not_found(id.as_str()))).await?;
    Ok(account(&found))
}

/// Closes an account; its tokens end.
#[utoipa::path(delete, path = "/v1/principals/{id}", tag = "accounts", params(("id" = String, Path, description = "account")),
    responses((status = 204)))]
async fn deactivate(State(app): State<App>, Signed(caller): Signed, Id(id): Id<PrincipalId>) -> Result<StatusCode, ApiError> {
    let permit = app.permit::<actions::PrincipalDeactivate>(&caller, find(&app, id.clone()).await?)?;
    app.write(move |app, tx| {
        let org = permit.resource().org.clone();
        principal::deactivate(tx, permit)?;
        let _ = app.append(tx, LeafKind::Account, &caller, ("account.closed", json!({ "id": id })), &[&org])?;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn issued(app: &App, token: &Token, days: u32) -> IssuedToken {
    let expires_at = app.now().plus_s(i64::from(days) * DAY_S);
    IssuedToken { token: token.reveal().to_owned(), token_id: token.id(&app.pepper), expires_at }
}

/// Issues a token to an account.
#[utoipa::path(post, path = "/v1/principals/{id}/tokens", tag = "accounts", params(("id" = String, Path, description = "account")),
    request_body = NewToken, responses((status = 201, body = IssuedToken)))]
async fn issue(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<PrincipalId>,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<(StatusCode, Json<IssuedToken>), ApiError> {
    let permit = app.permit::<actions::TokenIssue>(&caller, find(&app, id.clone()).await?)?;
    let issued = app.write(move |app, tx| {
        let org = permit.resource().org.clone();
        let token = token::issue(tx, &app.pepper, permit, i64::from(new.days) * DAY_S, app.now())?;
        let issued = issued(app, &token, new.days);
        let about = json!({ "id": id, "token_id": issued.token_id, "expires_at": issued.expires_at });
        let _ = app.append(tx, LeafKind::Account, &caller, ("token.issued", about), &[&org])?;
        Ok(issued)
    });
    Ok((StatusCode::CREATED, Json(issued.await?)))
}

/// Changes the presented token for a new one; the old one ends at once.
#[utoipa::path(post, path = "/v1/principals/{id}/tokens/rotate", tag = "accounts",
    params(("id" = String, Path, description = "the caller's own account")), request_body = NewToken, responses((status = 201, body = IssuedToken)))]
async fn rotate(
    State(app): State<App>,
    Signed(caller): Signed,
    presented: Presented,
    Id(id): Id<PrincipalId>,
    JsonBody(new): JsonBody<NewToken>,
) -> Result<(StatusCode, Json<IssuedToken>), ApiError> {
    let permit = app.permit::<actions::TokenRotate>(&caller, find(&app, id.clone()).await?)?;
    let issued = app.write(move |app, tx| {
        let token = token::rotate(tx, &app.pepper, permit, &presented.0, i64::from(new.days) * DAY_S, 0, app.now())?;
        let issued = issued(app, &token, new.days);
        let about = json!({ "id": id, "token_id": issued.token_id, "expires_at": issued.expires_at });
        let _ = app.append(tx, LeafKind::Account, &caller, ("token.rotated", about), &[])?;
        Ok(issued)
    });
    Ok((StatusCode::CREATED, Json(issued.await?)))
}

/// Revokes one token.
#[utoipa::path(delete, path = "/v1/tokens/{token_id}", tag = "accounts", params(("token_id" = String, Path, description = "token")),
    responses((status = 204)))]
async fn revoke(State(app): State<App>, Signed(caller): Signed, Id(token_id): Id<String>) -> Result<StatusCode, ApiError> {
    let name = token_id.clone();
    let holder = app.read(move |_, c| token::holder(c, &name)?.ok_or_else(|| not_found(&name))).await?;
    let permit = app.permit::<actions::TokenRevoke>(&caller, account(&holder))?;
    app.write(move |app, tx| {
        token::revoke_one(tx, permit, &token_id)?;
        let about = json!({ "id": holder.id, "token_id": token_id });
        let _ = app.append(tx, LeafKind::Account, &caller, ("token.revoked", about), &[&holder.org])?;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
