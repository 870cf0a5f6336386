//! HTTP: the only place that knows status codes.
//!
//! ```text
//! guard (request id, deadline, panics) ─▶ audit (token → caller; a denial is a leaf before it is an answer) ─▶ handler
//! handler: parse → authorise → one transaction: storage function with its permit, and the leaf → answer
//! ```
//!
//! One file a family of endpoints. Every route is in the OpenAPI document (`/openapi.json`), because both are made from the same
//! declaration. A refusal is answered as [`error::Refusal`]; any other failure is `500` with a constant body, its cause in the
//! server's log only.

mod audit;
mod body;
mod error;
mod init;
mod log_check;
mod interface;
mod openapi;
mod server;
mod settings;
mod signed;
mod state;

mod agreements;
mod applications;
mod authorisations;
mod budgets;
mod datasets;
mod freeze;
mod imports;
mod issuers;
mod jobs;
mod keys;
mod log;
mod modules;
mod plans;
mod policies;
mod principals;
mod recovery;
mod listing;
mod releases;
mod reviewer_keys;
mod reviews;
mod supervision;
mod system;
mod verifications;

pub use error::ApiError;
pub use init::{FirstAccount, InitError, Initialised, MASTER_KEY_FILE, init};
pub use interface::{Interface, PageRefused};
pub use openapi::document;
pub use server::{ServeError, TlsFiles, serve, serve_with};
pub use settings::Settings;
pub use state::{App, Parts, migrations};

use axum::Router;
use utoipa_axum::router::OpenApiRouter;

/// Endpoints that need no token.
fn public() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(system::public()).merge(log::public())
}

/// Endpoints for verified callers.
fn signed() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(system::routes())
        .merge(principals::routes())
        .merge(datasets::routes())
        .merge(plans::routes())
        .merge(authorisations::routes())
        .merge(applications::routes())
        .merge(agreements::routes())
        .merge(imports::routes())
        .merge(keys::routes())
        .merge(modules::routes())
        .merge(jobs::routes())
        .merge(releases::routes())
        .merge(reviews::routes())
        .merge(reviewer_keys::routes())
        .merge(freeze::routes())
        .merge(recovery::routes())
        .merge(supervision::routes())
        .merge(policies::routes())
        .merge(budgets::routes())
        .merge(issuers::routes())
        .merge(verifications::routes())
        .merge(log::routes())
}

/// The whole interface over `app`.
pub fn router(app: &App) -> Router {
    let (signed, _) = signed().split_for_parts();
    let signed = signed.fallback(error::no_such_route).method_not_allowed_fallback(error::no_such_method);
    let signed = signed.layer(axum::middleware::from_fn_with_state(app.clone(), audit::audit));
    let (public, _) = public().split_for_parts();
    public
        .method_not_allowed_fallback(error::no_such_method)
        .merge(signed)
        .layer(axum::middleware::from_fn_with_state(app.clone(), audit::guard))
        .with_state(app.clone())
}
