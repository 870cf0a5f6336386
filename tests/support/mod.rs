//! A server as a process of its own, and people who call it. Used by every test that goes through the public surface.
#![allow(dead_code, reason = "each test uses its part")]

pub mod audit;
pub mod independent;
pub mod papers;
pub mod policy;
pub mod review;
pub mod scenario;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use ureq::http::Request;

/// Longest wait for a job or a start.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What an operator signs: this, then the 32 bytes of the digest.
pub const MODULE_CONTEXT: &[u8] = b"fusebox-module-v1\0";

/// A folder of its own, removed at the end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let mut random = [0u8; 8];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
        let name = random.iter().fold("fusebox-test-".to_owned(), |name, b| name + &format!("{b:02x}"));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failed test's files: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The text of `policies/release/standard.toml`.
fn example_policy() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/release/standard.toml")).unwrap()
}

/// The binary under test.
pub fn binary() -> PathBuf {
    std::env::var_os("FUSEBOX_BIN").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_fusebox")), PathBuf::from)
}

/// The worker: `FUSEBOX_WORKER`, else beside the binary.
pub fn worker() -> PathBuf {
    let path = std::env::var_os("FUSEBOX_WORKER").map_or_else(|| binary().with_file_name("fusebox-worker"), PathBuf::from);
    assert!(path.exists(), "no worker at {}; remedy: `cargo build --workspace` or `cargo xtask test`", path.display());
    path
}

/// A module that `cargo xtask guests` built.
pub fn module(package: &str) -> Vec<u8> {
    let folder = std::env::var_os("FUSEBOX_GUESTS").expect("FUSEBOX_GUESTS is not set; remedy: `cargo xtask test`");
    let path = PathBuf::from(folder).join(format!("{package}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; remedy: `cargo xtask guests`", path.display()))
}

/// A file of test data that `cargo xtask fetch` brought.
pub fn test_data(set: &str, file: &str) -> String {
    let folder = std::env::var_os("FUSEBOX_DATA_DIR").expect("FUSEBOX_DATA_DIR is not set; remedy: `cargo xtask test`");
    let path = PathBuf::from(folder).join(set).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}; remedy: `cargo xtask fetch {set}`", path.display()))
}

/// A file of `examples/`.
pub fn example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs `fusebox` to its end; standard output, standard error, exit code.
pub fn fusebox(arguments: &[&str]) -> (String, String, i32) {
    let output = Command::new(binary()).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap_or(-1))
}

/// How the ready line of a server begins.
const READY: &str = "{\"";

/// A server on a data directory, under a clock that stands: this test binary once more, as a process of its own.
pub struct Clocked {
    pub data: PathBuf,
    /// Seconds since 1970.
    pub now_s: i64,
}

impl Clocked {
    const DATA: &'static str = "FUSEBOX_TEST_SERVE";
    const NOW: &'static str = "FUSEBOX_TEST_NOW_S";

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "midnight::serves_under_a_clock_that_stands", "--nocapture"]);
        command.env(Self::DATA, &self.data).env(Self::NOW, self.now_s.to_string());
        command
    }

    /// What the process was started with; `None` where it is no such server.
    pub fn of_environment() -> Option<Self> {
        let data = std::env::var_os(Self::DATA)?.into();
        Some(Self { data, now_s: std::env::var(Self::NOW).unwrap().parse().unwrap() })
    }

    /// Says that it is ready.
    pub fn ready(url: &str) {
        println!("\n{}", json!({ "ready": true, "url": url }));
    }
}

/// A running server on a data directory of its own. Killed when dropped.
pub struct Server {
    child: Option<Child>,
    pub url: String,
    /// Data directory, token file and the server's standard error (`server.log`).
    pub dir: TempDir,
    /// The log's public key.
    pub log_key: String,
    /// The security administrator.
    pub admin: Client,
    people: Mutex<BTreeMap<String, Client>>,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// Where its clock stands, in seconds since 1970; else it has the machine's. Counts from the next start on.
    pub clock_s: Option<i64>,
}

impl Server {
    /// A fresh server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A fresh server with further arguments of `serve`.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(arguments, &[])
    }

    /// The same, with variables in its environment.
    pub fn start_in(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = TempDir::new();
        let (data, token) = (dir.path().join("data"), dir.path().join("token"));
        let (out, err, code) = fusebox(&["init", "--json", "--data", data.to_str().unwrap(), "--token-out", token.to_str().unwrap()]);
        assert_eq!(code, 0, "fusebox init: {err}");
        let made: Value = serde_json::from_str(&out).unwrap();
        let token = std::fs::read_to_string(token).unwrap().trim().to_owned();
        let mut server = Self {
            child: None,
            url: String::new(),
            dir,
            log_key: made["log_key"].as_str().unwrap().to_owned(),
            admin: Client { url: String::new(), token },
            people: Mutex::default(),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            clock_s: None,
        };
        server.launch();
        server
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts the process and waits until it is ready; the tokens of before stay good.
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("server.log")).unwrap();
        let command = match self.clock_s {
            None => self.command(),
            Some(now_s) => Clocked { data: self.data(), now_s }.command(),
        };
        let mut child =
            { command }.envs(self.environment.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // Under a clock of its own the test harness speaks first.
        while !line.contains(READY) && out.read_line(&mut line).unwrap() > 0 {
            line.replace_range(..line.find(READY).unwrap_or(line.len()), "");
        }
        // Whatever else it says is kept: `server.out`.
        let mut kept = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("server.out")).unwrap();
        kept.write_all(line.as_bytes()).unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut kept));
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the server did not start:\n{}", self.log()));
        self.child = Some(child);
        self.url = ready["url"].as_str().unwrap().to_owned();
        self.admin.url.clone_from(&self.url);
        for client in self.people.lock().unwrap().values_mut() {
            client.url.clone_from(&self.url);
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data", self.data().to_str().unwrap()]);
        // A test may bring its own worker.
        if !self.arguments.iter().any(|a| a == "--worker") {
            command.arg("--worker").arg(worker());
        }
        command.args(&self.arguments);
        command
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// What the server wrote to its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Files of the state database, with names: as a backup has them. The server has to have ended.
    pub fn database(&self) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        assert!(self.child.is_none(), "it runs");
        let files = std::fs::read_dir(self.data().join("state")).unwrap().map(Result::unwrap);
        let of_it = files.filter(|entry| entry.file_name().to_string_lossy().starts_with("fusebox.db"));
        of_it.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect()
    }

    /// Puts such a copy back in place of what is there.
    pub fn put_back(&self, copy: &[(std::ffi::OsString, Vec<u8>)]) {
        let state = self.data().join("state");
        for (name, _) in self.database() {
            std::fs::remove_file(state.join(name)).unwrap();
        }
        for (name, bytes) in copy {
            std::fs::write(state.join(name), bytes).unwrap();
        }
    }

    /// Signs a recovery of what was found, as `who`.
    pub fn recover(&self, who: &Client) -> Answer {
        let found = self.admin.get("/v1/recovery").good();
        who.post("/v1/recovery", &json!({ "database": found["needed"]["database"], "remembered": found["remembered"], "reason": "test" }))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and the orderly end.
    pub fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        let status = until("the server's end", || child.try_wait().unwrap());
        assert!(status.success(), "the server ended with {status}:\n{}", self.log());
    }

    /// The person of this name; made with a token at the first call. One organisation and one role each.
    pub fn person(&self, id: &str, org: &str, role: &str) -> Client {
        if let Some(client) = self.people.lock().unwrap().get(id) {
            return client.clone();
        }
        self.admin.post("/v1/principals", &json!({ "id": id, "org": org, "role": role })).good();
        let token = self.admin.post(&format!("/v1/principals/{id}/tokens"), &json!({ "days": 7 })).good();
        let client = Client { url: self.url.clone(), token: token["token"].as_str().unwrap().to_owned() };
        self.people.lock().unwrap().insert(id.to_owned(), client.clone());
        client
    }

    /// A caller without a token.
    pub fn anonymous(&self) -> Client {
        Client { url: self.url.clone(), token: String::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the server's last words:");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Someone with a token.
#[derive(Clone)]
pub struct Client {
    pub url: String,
    pub token: String,
}

/// An answer of any status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// Seconds after which to try again.
    pub retry_after_s: Option<u64>,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }
    /// The body of a call that must have been granted.
    #[track_caller]
    pub fn good(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, String::from_utf8_lossy(&self.bytes));
        self.json()
    }
    /// The rule that refused; empty where none did.
    pub fn rule(&self) -> String {
        self.json()["error"]["rule"].as_str().unwrap_or_default().to_owned()
    }
    /// Checks that `rule` refused, in both languages, with clause and remedy.
    #[track_caller]
    pub fn refused(&self, rule: &str) -> Value {
        let error = self.json()["error"].clone();
        assert_eq!(error["rule"], rule, "{}: {}", self.status, String::from_utf8_lossy(&self.bytes));
        assert!((400..500).contains(&self.status), "{}", self.status);
        for part in ["en", "zh", "remedy_en", "remedy_zh"] {
            assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{rule} lacks {part}");
        }
        assert!(error["clauses"].as_array().is_some_and(|c| !c.is_empty()), "{rule} names no clause");
        error
    }
}

impl Client {
    /// Any call.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match method {
            "GET" | "DELETE" => agent.run(request.body(()).unwrap()),
            _ => agent.run(request.body(body).unwrap()),
        };
        let mut response = response.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        let status = response.status().as_u16();
        let retry_after_s = response.headers().get("retry-after").map(|s| s.to_str().unwrap().parse().unwrap());
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes).unwrap();
        Answer { status, retry_after_s, bytes }
    }
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], &[])
    }
    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], &[])
    }
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }
    pub fn post_toml(&self, path: &str, text: &str) -> Answer {
        self.call("POST", path, &[("content-type", "application/toml")], text.as_bytes())
    }
    pub fn put_toml(&self, path: &str, text: &str) -> Answer {
        self.call("PUT", path, &[("content-type", "application/toml")], text.as_bytes())
    }
    /// An upload of data.
    pub fn upload(&self, path: &str, bytes: &[u8]) -> Answer {
        self.call("POST", path, &[("content-type", "application/octet-stream")], bytes)
    }
    /// A module, under a signature by `key`.
    pub fn upload_module(&self, key: &Ed25519KeyPair, bytes: &[u8]) -> Answer {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let signature = STANDARD.encode(key.sign(&[MODULE_CONTEXT, digest.as_ref()].concat()).as_ref());
        self.call("POST", "/v1/modules", &[("content-type", "application/wasm"), ("x-fusebox-signature", &signature)], bytes)
    }
    /// The job once it came to an end or to a review.
    pub fn ended(&self, job: &str) -> Value {
        until(&format!("the end of {job}"), || {
            let shown = self.get(&format!("/v1/jobs/{job}")).good();
            (!matches!(shown["state"].as_str(), Some("queued" | "running" | "deciding"))).then_some(shown)
        })
    }
}
