//! The listening socket: TLS, or loopback only; and an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use axum::Router;

use super::audit;
use super::error::ApiError;
use super::interface::Interface;
use super::state::{App, Parts};
use crate::tlog::journal;

/// Time for the headers of a call, from the end of the one before.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// Bytes that a connection buffers, headers included.
const CONNECTION_BYTES_MAX: usize = 64 << 10;
/// Time for the log directory to catch up with the store at an orderly end.
pub(super) const PUBLISHED_WITHIN: Duration = Duration::from_secs(5);

/// Certificate chain and private key, both PEM, as read from their files.
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificates: Vec<u8>,
    /// The key.
    pub key: Zeroizing<Vec<u8>>,
}

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Not loopback, without TLS.
    #[error("without TLS the server listens on a loopback address only; set `tls_certificate` and `tls_key`, or listen on 127.0.0.1")]
    PlainBeyondLoopback,
    /// Certificate or key.
    #[error("the TLS certificate or key cannot be used; give a PEM chain and its PEM key")]
    Tls(String),
    /// The address.
    #[error("the server cannot listen on the configured address; is another one running there?")]
    Listen(std::io::Error),
    /// The process's signals or threads.
    #[error("the server could not be started")]
    Start(std::io::Error),
    /// Store, log or policies.
    #[error("{0}")]
    Open(#[from] ApiError),
}

fn tls(files: &TlsFiles) -> Result<RustlsConfig, ServeError> {
    let bad = |e: &dyn std::fmt::Display| ServeError::Tls(e.to_string());
    let chain = CertificateDer::pem_slice_iter(&files.certificates).collect::<Result<Vec<_>, _>>().map_err(|e| bad(&e))?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|e| bad(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| bad(&e))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

/// Serves until SIGTERM or SIGINT. `ready` is told the bound address, which port 0 leaves to the system.
///
/// # Errors
/// [`ServeError`].
pub fn serve(parts: Parts, files: Option<&TlsFiles>, ready: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    serve_with(parts, files, |_| Router::new(), ready)
}

/// The same with pages, which are given the interface to call.
///
/// # Errors
/// [`ServeError`].
pub fn serve_with(
    parts: Parts,
    files: Option<&TlsFiles>,
    pages: impl FnOnce(&Interface) -> Router,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let listen = parts.settings.listen;
    let tls = files.map(tls).transpose()?;
    if tls.is_none() && !listen.ip().is_loopback() {
        return Err(ServeError::PlainBeyondLoopback);
    }
    let listener = std::net::TcpListener::bind(listen).map_err(ServeError::Listen)?;
    listener.set_nonblocking(true).map_err(ServeError::Listen)?;
    let address = listener.local_addr().map_err(ServeError::Listen)?;
    let app = App::open(parts)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Start)?;
    let served = runtime.block_on(async {
        let handle = Handle::new();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let counter = tokio::spawn(audit::count_unauthenticated(app.clone(), stopped));
        let checker = tokio::spawn(super::log_check::check_log(app.clone(), stop.subscribe()));
        let witness = tokio::spawn(super::witness::ask_on(app.clone(), stop.subscribe()));
        let mut ended = signals().map_err(ServeError::Start)?;
        let (grace, shut) = (app.settings.shutdown_grace, handle.clone());
        tokio::spawn(async move {
            ended.recv().await;
            tracing::info!("shutting down");
            shut.graceful_shutdown(Some(grace));
        });
        let interface = Interface::new(&app, tls.is_some());
        let service = interface.with(pages(&interface)).into_make_service();
        ready(address);
        tracing::info!(%address, tls = tls.is_some(), "listening");
        let served = match tls {
            Some(tls) => {
                let mut server = axum_server::from_tcp_rustls(listener, tls).map_err(ServeError::Listen)?;
                bound(server.http_builder());
                server.handle(handle).serve(service).await
            }
            None => {
                let mut server = axum_server::from_tcp(listener).map_err(ServeError::Listen)?;
                bound(server.http_builder());
                server.handle(handle).serve(service).await
            }
        };
        let _ = stop.send(true);
        let _ = counter.await;
        let _ = checker.await;
        let _ = witness.await;
        served.map_err(ServeError::Listen)
    });
    // What is at work is taken up again at the next start.
    app.jobs.close();
    if !journal::published(&app.store.db, &app.log_dir, PUBLISHED_WITHIN) {
        tracing::warn!("the log directory is behind the store; the next start completes it");
    }
    drop(app);
    // Threads that still wait for a worker end with the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}

/// Bounds what a connection may cost before it has said who it is: headers in size and time, idling included.
pub(super) fn bound(builder: &mut Builder<TokioExecutor>) {
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(CONNECTION_BYTES_MAX).max_headers(64);
}

/// One message when the process is asked to end.
pub(super) fn signals() -> std::io::Result<tokio::sync::mpsc::Receiver<()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        let _ = tell.send(()).await;
    });
    Ok(told)
}
