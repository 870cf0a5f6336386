//! The interface as the console calls it: in this process, through the same layers as a call from outside.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tower_service::Service;

use super::audit;
use super::error::internal;
use super::state::App;
use crate::clock::Timestamp;
use crate::refusal::Refused;

/// The interface, for pages. Whoever holds it holds no permit: each call is judged by the token that it carries.
#[derive(Clone)]
pub struct Interface {
    app: App,
    router: Router,
    tls: bool,
}

impl Interface {
    pub(super) fn new(app: &App, tls: bool) -> Self {
        Self { app: app.clone(), router: super::router(app), tls }
    }

    /// The interface with `pages` beside it; deadlines, panics and request ids are handled for pages as they are for calls.
    pub(super) fn with(&self, pages: Router) -> Router {
        let guard = axum::middleware::from_fn_with_state(self.app.clone(), audit::guard);
        self.router.clone().merge(pages.layer(guard))
    }

    /// `pages` behind the audit: without a valid token none is reached, and a page that refuses ([`PageRefused`]) is a leaf.
    pub fn audited(&self, pages: Router) -> Router {
        pages.layer(axum::middleware::from_fn_with_state(self.app.clone(), audit::audit))
    }

    /// Whether callers reach the server over TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.app.now()
    }

    /// The answer to a call under `token`, as it would go out; `body` is sent as JSON.
    pub async fn call(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) {
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let Ok(request) = request.body(body.map_or_else(Body::empty, |b| Body::from(b.to_string()))) else { return internal() };
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// A page's own refusal, beside the answer that tells it: the audit writes it to the log before the answer goes out.
pub struct PageRefused(pub Refused, pub Response);

impl IntoResponse for PageRefused {
    fn into_response(self) -> Response {
        let Self(refused, mut response) = self;
        response.extensions_mut().insert(refused);
        response
    }
}
