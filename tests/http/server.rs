//! A server of its own for a test, on a loopback port, with a clock the test can move and an account for every role.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fusebox::api::{self, FirstAccount, Parts, Settings};
use fusebox::clock::{FixedClock, Timestamp};
use fusebox::store::{KeyService, KeyUse, MasterKey, Roots};
use serde_json::{Value, json};

/// Who calls: an account for each role, and a second operator and provider that have nothing to do with the papers.
pub const WHO: &[(&str, &str, &str)] = &[
    ("authority", "city", "authority"),
    ("provider", "bureau", "provider"),
    ("operator", "opco", "operator"),
    ("researcher", "opco", "researcher"),
    ("checker", "review-office", "output_checker"),
    ("own-checker", "opco", "output_checker"),
    ("sysadmin", "platform", "system_admin"),
    ("secadmin", "platform", "security_admin"),
    ("auditor", "audit-office", "auditor"),
    ("other-operator", "rival", "operator"),
    ("other-provider", "stranger", "provider"),
];

pub struct Server {
    pub address: SocketAddr,
    pub clock: Arc<FixedClock>,
    pub root_token: String,
    pub dir: PathBuf,
    tokens: std::collections::BTreeMap<&'static str, String>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub fn rule(&self) -> String {
        self.json()["error"]["rule"].as_str().unwrap_or_default().to_owned()
    }
}

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

pub fn worker() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_BIN_EXE_fusebox")).with_file_name("fusebox-worker");
    let path = std::env::var_os("FUSEBOX_WORKER").map_or_else(beside, PathBuf::from);
    assert!(path.exists(), "no worker at {}; remedy: `cargo build --workspace` or `cargo xtask test`", path.display());
    path
}

impl Server {
    /// A fresh server with one account only: the security administrator `root`.
    pub fn bare() -> Self {
        Self::seeded(|_, _| {})
    }

    /// The same; `seed` gets the database, and the key that modules are sealed under, before the server opens them.
    pub fn seeded(seed: impl FnOnce(&rusqlite::Connection, &protocol::seal::SealKey)) -> Self {
        let dir = std::env::temp_dir().join(format!("fusebox-http-{}-{:x}", std::process::id(), ring_random()));
        let roots = || Roots::open(&dir.join("data"), cap_std::ambient_authority()).unwrap();
        let settings = Settings {
            listen: "127.0.0.1:0".parse().unwrap(),
            workers_waiting: 0,
            readers: 2,
            denials_counted_every: std::time::Duration::from_millis(300),
            log_checked_every: std::time::Duration::from_millis(500),
            ..Settings::new(worker())
        };
        let clock = Arc::new(FixedClock::new(Timestamp::from_unix_s(now())));
        let first = FirstAccount { id: "root".parse().unwrap(), org: "platform".parse().unwrap(), token_lifetime_s: 90 * 86_400 };
        let made = api::init(roots(), None, settings.clone(), clock.clone(), first).unwrap();
        let root_token = made.token.reveal().to_owned();
        let roots = roots();
        let keys = Arc::new(MasterKey::open_file(roots.state(), "master.key").unwrap());
        seed(&rusqlite::Connection::open(dir.join("data/state/fusebox.db")).unwrap(), &keys.derive(KeyUse::ModuleMac));
        let (tell, told) = std::sync::mpsc::channel();
        let parts = Parts { roots, keys, settings, clock: clock.clone() };
        std::thread::spawn(move || api::serve(parts, None, |address| tell.send(address).unwrap()).unwrap());
        let address = told.recv().expect("the server started");
        Self { address, clock, root_token, dir, tokens: Default::default() }
    }

    /// A server with an account for everyone in [`WHO`].
    pub fn with_everyone(seed: impl FnOnce(&rusqlite::Connection, &protocol::seal::SealKey)) -> Self {
        let mut server = Self::seeded(seed);
        for (id, org, role) in WHO {
            let made = server.call("POST", "/v1/principals", &server.root_token, Some(&json!({ "id": id, "org": org, "role": role })));
            assert_eq!(made.status, 201, "{}", made.text());
            let token = server.issue(id, 30);
            server.tokens.insert(id, token["token"].as_str().unwrap().to_owned());
        }
        server
    }

    pub fn issue(&self, id: &str, days: u32) -> Value {
        let answer = self.call("POST", &format!("/v1/principals/{id}/tokens"), &self.root_token, Some(&json!({ "days": days })));
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// What the server's clock says.
    pub fn clock_s(&self) -> i64 {
        fusebox::clock::Clock::now(&*self.clock).unix_s()
    }

    pub fn token(&self, who: &str) -> &str {
        &self.tokens[who]
    }

    pub fn call(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let body = body.map(|b| ("application/json", b.to_string().into_bytes()));
        self.raw(method, path, Some(&format!("Bearer {token}")), body.as_ref().map(|(t, b)| (*t, b.as_slice())), &[])
    }

    pub fn toml(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        self.raw(method, path, Some(&format!("Bearer {token}")), Some(("application/toml", body.as_bytes())), &[])
    }

    pub fn raw(
        &self,
        method: &str,
        path: &str,
        authorization: Option<&str>,
        body: Option<(&str, &[u8])>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(std::time::Duration::from_secs(60)))
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        if let Some((content_type, _)) = body {
            request = request.header("content-type", content_type);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body.map_or(Vec::new(), |(_, b)| b.to_vec())).unwrap()).unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
        Answer { status, headers, bytes }
    }

    /// The bodies of all leaves, as the auditor reads them.
    pub fn leaves(&self) -> Vec<Value> {
        let read = |n: u64| self.call("GET", &format!("/v1/log/leaves/{n}"), self.token("auditor"), None);
        (0..)
            .map(read)
            .take_while(|answer| answer.status == 200)
            .map(|answer| serde_json::from_str(answer.json()["body"].as_str().unwrap()).unwrap())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server goes on until the process ends, and may be writing.
        for _ in 0..50 {
            if std::fs::remove_dir_all(&self.dir).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

fn ring_random() -> u64 {
    use ring::rand::SecureRandom;
    let mut bytes = [0u8; 8];
    ring::rand::SystemRandom::new().fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}
