//! The HTTP interface as commands use it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::{Request, Response, request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};
use zeroize::Zeroizing;

use super::error::{CliError, RefusalText};
use super::files::Files;

/// Longest answer read whole.
const ANSWER_BYTES_MAX: u64 = 256 << 20;
/// Longest token file.
const TOKEN_CHARS_MAX: usize = 200;

/// A server, and whom we are to it.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    server: String,
    token: Option<Zeroizing<String>>,
}

/// Reads a token from a file: one line.
pub fn token_from_file(files: Files, path: &Path) -> Result<Zeroizing<String>, CliError> {
    let text = Zeroizing::new(files.read_text(path)?);
    let token = text.trim();
    if token.is_empty() || token.len() > TOKEN_CHARS_MAX || token.chars().any(char::is_whitespace) {
        return Err(CliError::failed(format!("{} holds no token", path.display()), "write the token alone into the file"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

impl Client {
    /// A client of `server`, for example `http://127.0.0.1:8080`. `ca` is a PEM file; without it only `http` to a loopback address
    /// works.
    pub fn new(server: &str, token: Option<Zeroizing<String>>, ca: Option<&[u8]>) -> Result<Self, CliError> {
        let server = server.trim_end_matches('/').to_owned();
        let mut config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(Duration::from_secs(10)));
        if let Some(pem) = ca {
            config = config.tls_config(tls(pem)?);
        } else if server.starts_with("https://") {
            return Err(CliError::failed("no certificate authority is given for https", "name its PEM file with --ca-file"));
        }
        Ok(Self { agent: config.build().into(), server, token })
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The same server under another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { agent: self.agent.clone(), server: self.server.clone(), token: Some(Zeroizing::new(token.to_owned())) }
    }

    /// `GET`, a JSON answer.
    pub fn get(&self, path: &str) -> Result<Value, CliError> {
        json_of(self.send(self.request("GET", path), SendBody::none())?)
    }

    /// `GET`, an answer of bytes.
    pub fn get_bytes(&self, path: &str) -> Result<Vec<u8>, CliError> {
        bytes_of(self.send(self.request("GET", path), SendBody::none())?)
    }

    /// `POST` of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.post_bytes(path, "application/json", &[], body.to_string().as_bytes())
    }

    /// `POST` of a document in TOML.
    pub fn post_toml(&self, path: &str, text: &str) -> Result<Value, CliError> {
        self.post_bytes(path, "application/toml", &[], text.as_bytes())
    }

    /// `PUT` of JSON.
    pub fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.send_bytes("PUT", path, "application/json", &[], body.to_string().as_bytes())
    }

    /// `PUT` of a document in TOML.
    pub fn put_toml(&self, path: &str, text: &str) -> Result<Value, CliError> {
        self.send_bytes("PUT", path, "application/toml", &[], text.as_bytes())
    }

    /// `POST` of bytes with further headers.
    pub fn post_bytes(&self, path: &str, kind: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Value, CliError> {
        self.send_bytes("POST", path, kind, headers, body)
    }

    fn send_bytes(&self, method: &str, path: &str, kind: &str, headers: &[(&str, &str)], mut body: &[u8]) -> Result<Value, CliError> {
        let length = body.len().to_string();
        let mut request = self.request(method, path).header("content-type", kind).header("content-length", length);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        json_of(self.send(request, SendBody::from_reader(&mut body))?)
    }

    /// `POST` of a stream of `length` bytes.
    pub fn upload(&self, path: &str, body: &mut dyn Read, length: u64) -> Result<Value, CliError> {
        let request =
            self.request("POST", path).header("content-type", "application/octet-stream").header("content-length", length.to_string());
        json_of(self.send(request, SendBody::from_reader(body))?)
    }

    /// `DELETE`.
    pub fn delete(&self, path: &str) -> Result<Value, CliError> {
        json_of(self.send(self.request("DELETE", path), SendBody::none())?)
    }

    /// Server-sent events, each handed to `take` as its name and data until it returns false or the server ends the stream.
    pub fn events(&self, path: &str, mut take: impl FnMut(&str, &Value) -> bool) -> Result<(), CliError> {
        let request = self.request("GET", path).header("accept", "text/event-stream");
        let response = self.send(request, SendBody::none())?;
        let mut name = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.map_err(|e| CliError::failed(format!("the event stream broke off: {e}"), "ask for the state again"))?;
            if let Some(event) = line.strip_prefix("event:") {
                event.trim().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data:") {
                let data = serde_json::from_str(data.trim()).unwrap_or(Value::Null);
                if !take(&name, &data) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn request(&self, method: &str, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        match &self.token {
            // A header is a copy of the token that lives as long as the call.
            Some(token) => request.header("authorization", format!("Bearer {}", token.as_str())),
            None => request,
        }
    }

    fn send(&self, request: request::Builder, body: SendBody<'_>) -> Result<Response<Body>, CliError> {
        let request =
            request.body(body).map_err(|e| CliError::failed(format!("not a request: {e}"), "check --server and the identifiers"))?;
        let response = self.agent.run(request).map_err(|e| {
            let remedy = "check that the server runs and that --server (or FUSEBOX_SERVER) is its address";
            CliError::failed(format!("no answer from {}: {e}", self.server), remedy)
        })?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response)) }
    }
}

fn tls(pem: &[u8]) -> Result<TlsConfig, CliError> {
    let mut roots: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        if let Ok(PemItem::Certificate(certificate)) = item {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err(CliError::failed("the certificate file holds no certificate", "name a PEM file"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder().root_certs(RootCerts::from(roots)).unversioned_rustls_crypto_provider(provider).build())
}

fn bytes_of(response: Response<Body>) -> Result<Vec<u8>, CliError> {
    response
        .into_body()
        .into_with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_vec()
        .map_err(|e| CliError::failed(format!("the answer broke off: {e}"), "ask again"))
}

fn json_of(response: Response<Body>) -> Result<Value, CliError> {
    let bytes = bytes_of(response)?;
    if bytes.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&bytes)
        .map_err(|e| CliError::failed(format!("the answer is not JSON: {e}"), "check that --server is a fusebox server"))
}

fn refusal(response: Response<Body>) -> CliError {
    let status = response.status().as_u16();
    let text = bytes_of(response).unwrap_or_default();
    let error = serde_json::from_slice::<Value>(&text).ok().and_then(|v| v.get("error").cloned());
    match error.map(serde_json::from_value::<RefusalText>) {
        Some(Ok(refusal)) if !refusal.rule.is_empty() => CliError::Refused(Some(status), Box::new(refusal)),
        _ => CliError::failed(format!("the server answered {status}"), "check the identifiers, or look into the server's log"),
    }
}
