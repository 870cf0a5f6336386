//! Around every handler: deadlines, panics, request ids; the token; and the leaf of a denial, durable before its answer.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::Instrument;
use zeroize::Zeroizing;

use super::error::{ApiError, internal};
use super::signed::Presented;
use super::state::{App, random_hex};
use crate::policy::{Caller, token};
use crate::refusal::{self, Refused};
use crate::store::StoreError;
use crate::supervision;
use crate::tlog::leaf::LeafKind;

/// Bytes of an authorisation header; a token has 47.
const HEADER_BYTES_MAX: usize = 256;

/// `f`, or `None` where it panicked.
async fn guarded<T>(f: impl Future<Output = T>) -> Option<T> {
    let mut f = pin!(f);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| f.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Some(value)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// The outermost layer: every answer has a request id, no call lasts for ever, and a panic is an answer like every other failure.
pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = random_hex::<8>();
    let upload = request.headers().get(header::CONTENT_TYPE).is_some_and(|t| super::body::is_upload(t.as_bytes()));
    let long = upload || request.uri().path().ends_with("/replay");
    let deadline = if long { app.settings.upload_timeout } else { app.settings.request_timeout };
    let path = request.extensions().get::<MatchedPath>().map_or("-", |p| p.as_str()).to_owned();
    let span = tracing::info_span!("call", id, method = %request.method(), path);
    let answer = tokio::time::timeout(deadline, guarded(next.run(request))).instrument(span.clone()).await;
    let mut response = match answer {
        Ok(Some(response)) => response,
        Ok(None) => {
            span.in_scope(|| tracing::error!("a handler panicked"));
            internal()
        }
        Err(_) => {
            span.in_scope(|| tracing::warn!("a call took too long"));
            ApiError::from(Refused::new(&refusal::BUSY).threshold(format!("{} s", deadline.as_secs()))).into_response()
        }
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert("x-request-id", value);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The presented token, if the header is of the form `Bearer …`.
fn presented(request: &Request) -> Option<Zeroizing<String>> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let text = value.to_str().ok().filter(|t| t.len() <= HEADER_BYTES_MAX)?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.to_owned()))
}

async fn authenticate(app: &App, token: Option<Zeroizing<String>>) -> Result<(Caller, Presented), ApiError> {
    let token = token.ok_or(Refused::new(&refusal::UNAUTHENTICATED))?;
    app.read(move |app, connection| {
        let caller = token::authenticate(connection, &app.pepper, &token, app.now())?;
        Ok((caller, Presented(token)))
    })
    .await
}

/// Verifies the token, hands the caller on, and writes a denial to the log before it is told.
pub(super) async fn audit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (caller, token) = match authenticate(&app, presented(&request)).await {
        Ok(known) => known,
        Err(error) => {
            if matches!(error, ApiError::Refused(_)) {
                app.unauthenticated.fetch_add(1, Ordering::Relaxed);
            }
            return error.into_response();
        }
    };
    let route = request.extensions().get::<MatchedPath>().map_or("unknown", |p| p.as_str()).to_owned();
    let method = request.method().as_str().to_owned();
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(token);
    // On a task of its own: a call that began is ended and logged, whether or not its caller waits for the answer.
    let ended = tokio::spawn(async move {
        let Some(response) = guarded(next.run(request)).await else {
            tracing::error!("a handler panicked");
            return internal();
        };
        let Some(refused) = response.extensions().get::<Refused>().cloned() else { return response };
        match deny(&app, caller, method, route, &refused).await {
            Ok(()) => response,
            Err(error) => error.into_response(),
        }
    });
    ended.instrument(tracing::Span::current()).await.unwrap_or_else(|_| internal())
}

async fn deny(app: &App, caller: Caller, method: String, route: String, refused: &Refused) -> Result<(), ApiError> {
    let rule = refused.rule().id;
    let about = json!({ "method": method, "route": route, "rule": rule, "clauses": refused.rule().clauses });
    app.write(move |app, tx| {
        let _ = app.append(tx, LeafKind::Denial, &caller, ("denied", about), &[])?;
        supervision::denied(tx, &caller.principal().org, rule, app.now())?;
        Ok(())
    })
    .await
}

/// Counts calls without a valid token into one leaf an interval, until told to stop; then once more.
pub(super) async fn count_unauthenticated(app: App, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        let stopped = tokio::select! {
            _ = tokio::time::sleep(app.settings.denials_counted_every) => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if let Err(error) = append_count(&app).await {
            tracing::error!(cause = %error, "calls without a valid token could not be counted into the log");
        }
        if stopped {
            return;
        }
    }
}

/// Appends the count so far, if it is not zero.
pub(super) async fn append_count(app: &App) -> Result<(), ApiError> {
    let count = app.unauthenticated.swap(0, Ordering::Relaxed);
    if count == 0 {
        return Ok(());
    }
    let written = app
        .write(move |app, tx| {
            let _ = app.journal.append(
                tx,
                LeafKind::UnauthenticatedDenials,
                &json!({ "event": "denied.unauthenticated", "count": count }),
                &[],
            )?;
            Ok(())
        })
        .await;
    if written.is_err() {
        app.unauthenticated.fetch_add(count, Ordering::Relaxed);
    }
    written.map_err(|e| StoreError::Batch(e.to_string()).into())
}
