//! Starting: TLS, or loopback only.

use std::io::{Read, Write};
use std::sync::Arc;

use fusebox::api::{self, Parts, ServeError, Settings, TlsFiles};
use fusebox::clock::SystemClock;
use fusebox::store::{MasterKey, Roots};
use rustls::pki_types::pem::PemObject;

use crate::server::worker;

/// Self-signed for `localhost` until 2126; nothing but this test trusts it.
const CERTIFICATE: &str = include_str!("localhost.pem");
const KEY: &str = include_str!("localhost.key");

fn parts(listen: &str) -> (std::path::PathBuf, Parts) {
    let dir = std::env::temp_dir().join(format!("fusebox-start-{}-{}", std::process::id(), listen.replace([':', '.'], "-")));
    let roots = Roots::open(&dir, cap_std::ambient_authority()).unwrap();
    let settings = Settings { listen: listen.parse().unwrap(), workers_waiting: 0, ..Settings::new(worker()) };
    (dir, Parts { roots, keys: Arc::new(MasterKey::random().unwrap()), settings, clock: Arc::new(SystemClock) })
}

fn files(certificate: &str, key: &str) -> TlsFiles {
    TlsFiles { certificates: certificate.as_bytes().to_vec(), key: key.as_bytes().to_vec().into() }
}

#[test]
fn without_tls_no_other_machine_is_listened_to() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let (dir, parts) = parts(listen);
        let refused = api::serve(parts, None, |_| panic!("listening"));
        assert!(matches!(refused, Err(ServeError::PlainBeyondLoopback)), "{listen}");
        assert!(refused.unwrap_err().to_string().contains("tls_certificate"), "the remedy is told");
        std::fs::remove_dir_all(dir).unwrap();
    }
    let (dir, parts) = parts("127.0.0.9:0");
    assert!(matches!(api::serve(parts, Some(&files(KEY, CERTIFICATE)), |_| panic!("listening")), Err(ServeError::Tls(_))));
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn with_tls_it_answers_over_tls_only() {
    let (dir, parts) = parts("127.0.0.1:0");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || api::serve(parts, Some(&files(CERTIFICATE, KEY)), |address| tell.send(address).unwrap()).unwrap());
    let address = told.recv().expect("the server started");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(client, std::net::TcpStream::connect(address).unwrap());
    write!(stream, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"status\":\"ok\""), "{answer}");

    let mut plain = std::net::TcpStream::connect(address).unwrap();
    write!(plain, "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    let _ = std::fs::remove_dir_all(dir);
}
