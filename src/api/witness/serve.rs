//! The witness's server: `POST /add-checkpoint` (C2SP tlog-witness), and what it cosigned last for whoever asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum_server::Handle;
use serde::Deserialize;

use super::super::server::{ServeError, bound, signals};
use crate::tlog::witness::{BODY_BYTES_MAX, Keeper, KeeperError, WitnessRefusal};

/// Time that open calls get at the end.
const GRACE: Duration = Duration::from_secs(5);
/// Type of a size, as the specification has it.
const SIZE_TYPE: HeaderValue = HeaderValue::from_static("text/x.tlog.size");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Whose newest checkpoint is asked for.
#[derive(Deserialize)]
struct Of {
    origin: String,
}

fn text(status: StatusCode, kind: HeaderValue, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

fn refused(error: &KeeperError) -> Response {
    let KeeperError::Refused(refusal) = error else {
        tracing::error!(%error, "the witness failed");
        return text(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the witness failed; nothing was signed\n".to_owned());
    };
    tracing::warn!(%refusal, "a checkpoint was not cosigned");
    let status = match refusal {
        WitnessRefusal::Malformed | WitnessRefusal::OldBeyond => StatusCode::BAD_REQUEST,
        WitnessRefusal::UnknownLog => StatusCode::NOT_FOUND,
        WitnessRefusal::Unsigned => StatusCode::FORBIDDEN,
        WitnessRefusal::OtherSize { size } | WitnessRefusal::OtherRoot { size } => {
            return text(StatusCode::CONFLICT, SIZE_TYPE, format!("{size}\n"));
        }
        WitnessRefusal::Inconsistent => StatusCode::UNPROCESSABLE_ENTITY,
    };
    text(status, TEXT, format!("{refusal}\n"))
}

async fn add(State(keeper): State<Arc<Keeper>>, body: Bytes) -> Response {
    // The file is synced before the line is given away: that blocks.
    match tokio::task::spawn_blocking(move || keeper.add(&body)).await {
        Ok(Ok(line)) => text(StatusCode::OK, TEXT, line),
        Ok(Err(error)) => refused(&error),
        Err(_) => refused(&KeeperError::Failed),
    }
}

async fn newest(State(keeper): State<Arc<Keeper>>, Query(of): Query<Of>) -> Response {
    match keeper.newest(&of.origin) {
        Some(note) => text(StatusCode::OK, TEXT, note),
        None => text(StatusCode::NOT_FOUND, TEXT, "nothing of this log was cosigned\n".to_owned()),
    }
}

async fn key(State(keeper): State<Arc<Keeper>>) -> Response {
    text(StatusCode::OK, TEXT, format!("{}\n", keeper.key()))
}

fn router(keeper: Arc<Keeper>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add))
        .route("/checkpoint", get(newest))
        .route("/key", get(key))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(keeper)
}

/// Serves a witness until SIGTERM or SIGINT. `ready` is told the bound address. Without TLS, at any address: requests and answers are signed,
/// and nothing of them is secret.
///
/// # Errors
/// [`ServeError`].
pub fn serve_witness(keeper: Keeper, listen: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let listener = std::net::TcpListener::bind(listen).map_err(ServeError::Listen)?;
    listener.set_nonblocking(true).map_err(ServeError::Listen)?;
    let address = listener.local_addr().map_err(ServeError::Listen)?;
    let service = router(Arc::new(keeper)).into_make_service();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(ServeError::Start)?;
    runtime.block_on(async {
        let handle = Handle::new();
        let (mut ended, shut) = (signals().map_err(ServeError::Start)?, handle.clone());
        tokio::spawn(async move {
            ended.recv().await;
            shut.graceful_shutdown(Some(GRACE));
        });
        ready(address);
        tracing::info!(%address, "the witness listens");
        let mut server = axum_server::from_tcp(listener).map_err(ServeError::Listen)?;
        bound(server.http_builder());
        server.handle(handle).serve(service).await.map_err(ServeError::Listen)
    })
}
