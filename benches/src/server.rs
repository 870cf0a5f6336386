//! A server of its own, and a world to run jobs in: accounts, data, papers, an approved module; all over HTTP.

use crate::place::{self, Scratch};
use crate::{data, papers};
use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use ureq::http::Request;
use ureq::{Agent, SendBody};

/// Accounts beside the first: name, organisation, role.
const ACCOUNTS: [(&str, &str, &str); 4] = [
    ("authority", "city", "authority"),
    ("provider", papers::PROVIDER, "provider"),
    ("operator", papers::OPERATOR, "operator"),
    ("checker", "review-office", "output_checker"),
];

/// Tells one world's files from another's.
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A running server over fused data with one approved module.
pub struct World {
    child: Child,
    _output: BufReader<ChildStdout>,
    agent: Agent,
    url: String,
    tokens: HashMap<&'static str, String>,
    job: Value,
    // Removed when the server is gone.
    _scratch: Scratch,
}

impl World {
    /// Starts a server, imports `rows` rows, sets up the papers, and approves the module.
    pub fn start(rows: u64, module: &str) -> Result<Self> {
        Self::of(&place::server()?, &place::worker()?, rows, module)
    }

    /// The same with the binaries of any build.
    pub fn of(server: &Path, worker: &Path, rows: u64, module: &str) -> Result<Self> {
        let scratch = Scratch::new(&format!("{module}-{}", WORLDS.fetch_add(1, Ordering::Relaxed)))?;
        let (data, token, config) = (scratch.0.join("data"), scratch.0.join("token"), scratch.0.join("config.toml"));
        std::fs::write(&config, "workers_waiting = 1\n")?;
        let mut init = Command::new(server);
        init.arg("init").arg("--data").arg(&data).arg("--token-out").arg(&token).arg("--json").stdout(Stdio::null());
        ensure!(init.status()?.success(), "`fusebox init` failed");
        let mut serve = Command::new(server);
        serve.arg("serve").arg("--data").arg(&data).args(["--listen", "127.0.0.1:0"]).arg("--worker").arg(worker);
        serve.arg("--config").arg(&config).env("FUSEBOX_LOG", "warn").stdout(Stdio::piped());
        let mut child = serve.spawn().context("`fusebox serve` did not start")?;
        let mut output = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("`fusebox serve` is not ready")?;
        let url = ready["url"].as_str().context("no address")?.to_owned();
        let agent = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(1800))).build().into();
        let root = std::fs::read_to_string(&token)?.trim().to_owned();
        let tokens = HashMap::from([("root", root)]);
        let mut world = Self { child, _output: output, agent, url, tokens, job: Value::Null, _scratch: scratch };
        world.accounts()?;
        world.data(rows)?;
        world.papers()?;
        let module = world.module(&place::module(module)?)?;
        world.job = json!({ "plan": papers::ID, "module": module, "agreement": papers::ID, "purpose": papers::PURPOSE });
        Ok(world)
    }

    /// Submits the job and waits until it is decided, as a checker sees it: others see an end on the policy's time quantum only.
    /// Milliseconds from the submission to the answer that shows the end.
    pub fn run(&self, poll: Duration) -> Result<(f64, String)> {
        let started = Instant::now();
        let id = self.post("operator", "/v1/jobs", &self.job)?["id"].as_str().context("no job")?.to_owned();
        let path = format!("/v1/jobs/{id}");
        loop {
            let job = self.get("checker", &path)?;
            match job["state"].as_str() {
                Some("queued" | "running") => std::thread::sleep(poll),
                Some("done") => {
                    let release = job["releases"][0].as_str().context("nothing came of the job")?.to_owned();
                    return Ok((started.elapsed().as_secs_f64() * 1e3, release));
                }
                _ => bail!("the job ended otherwise: {job}"),
            }
        }
    }

    /// A released artefact, as a checker fetches it.
    pub fn artefact(&self, release: &str) -> Result<Value> {
        self.get("checker", &format!("/v1/releases/{release}/artefact"))
    }

    fn accounts(&mut self) -> Result<()> {
        for (id, org, role) in ACCOUNTS {
            self.post("root", "/v1/principals", &json!({ "id": id, "org": org, "role": role }))?;
            let token = self.post("root", &format!("/v1/principals/{id}/tokens"), &json!({ "days": 1 }))?;
            self.tokens.insert(id, token["token"].as_str().context("no token")?.to_owned());
        }
        self.toml("PUT", "authority", "/v1/policies/floor", &papers::policy()?)?;
        Ok(())
    }

    fn data(&self, rows: u64) -> Result<()> {
        for entry in [papers::readings(rows), papers::sites()] {
            self.toml("POST", "provider", "/v1/datasets", &entry)?;
        }
        let sites: String = (0..data::SITES).map(|site| format!("{site:02},{:02}\n", site % data::CLASSES)).collect();
        let sites = format!("site,class\n{sites}");
        self.upload("sites", sites.len() as u64, &mut sites.as_bytes())?;
        let mut readings = data::Csv::new(rows);
        self.upload("readings", readings.length(), &mut readings)
    }

    fn upload(&self, dataset: &str, length: u64, body: &mut dyn Read) -> Result<()> {
        let request = self.request("POST", "provider", &format!("/v1/datasets/{dataset}/versions?format=csv"))?;
        let request = request.header("content-type", "application/octet-stream").header("content-length", length.to_string());
        let imported = self.send(request, SendBody::from_reader(body))?;
        ensure!(imported["rejected"] == 0, "rows were rejected: {imported}");
        Ok(())
    }

    fn papers(&self) -> Result<()> {
        self.toml("POST", "operator", "/v1/plans", papers::PLAN)?;
        self.toml("POST", "authority", "/v1/authorisations", papers::AUTHORISATION)?;
        self.toml("POST", "operator", "/v1/applications", papers::APPLICATION)?;
        let decision = json!({ "approve": true, "reason": "bench", "basis": "bench" });
        self.post("provider", &format!("/v1/applications/{}/decide", papers::ID), &decision)?;
        self.toml("POST", "operator", "/v1/agreements", papers::AGREEMENT)?;
        self.post("provider", &format!("/v1/agreements/{}/countersign", papers::ID), &json!({}))?;
        Ok(())
    }

    fn module(&self, wasm: &[u8]) -> Result<String> {
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok().context("no key")?;
        let public = STANDARD.encode(key.public_key());
        self.post("root", "/v1/keys", &json!({ "public_key": public, "org": papers::OPERATOR }))?;
        let digest = ring::digest::digest(&ring::digest::SHA256, wasm);
        let signature = key.sign(&[b"fusebox-module-v1\0".as_slice(), digest.as_ref()].concat());
        let request = self.request("POST", "operator", "/v1/modules")?.header("content-type", "application/wasm");
        let request = request.header("x-fusebox-signature", STANDARD.encode(signature));
        let uploaded = self.send(request, SendBody::from_reader(&mut &*wasm))?;
        let digest = uploaded["digest"].as_str().context("no digest")?.to_owned();
        self.post("checker", &format!("/v1/modules/{digest}/review"), &json!({ "approve": true, "reason": "bench" }))?;
        Ok(digest)
    }

    fn request(&self, method: &str, who: &str, path: &str) -> Result<ureq::http::request::Builder> {
        let token = self.tokens.get(who).with_context(|| format!("no account {who}"))?;
        Ok(Request::builder().method(method).uri(format!("{}{path}", self.url)).header("authorization", format!("Bearer {token}")))
    }

    fn get(&self, who: &str, path: &str) -> Result<Value> {
        self.send(self.request("GET", who, path)?, SendBody::none())
    }

    fn post(&self, who: &str, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let request = self.request("POST", who, path)?.header("content-type", "application/json");
        self.send(request.header("content-length", body.len().to_string()), SendBody::from_reader(&mut body.as_bytes()))
    }

    fn toml(&self, method: &str, who: &str, path: &str, body: &str) -> Result<Value> {
        let request = self.request(method, who, path)?.header("content-type", "application/toml");
        self.send(request.header("content-length", body.len().to_string()), SendBody::from_reader(&mut body.as_bytes()))
    }

    fn send(&self, request: ureq::http::request::Builder, body: SendBody<'_>) -> Result<Value> {
        let request = request.body(body)?;
        let what = format!("{} {}", request.method(), request.uri().path());
        let mut response = self.agent.run(request)?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(64 << 20).read_to_string()?;
        ensure!(status.is_success(), "{what}: {status}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
