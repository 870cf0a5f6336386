//! Headless Chromium over WebDriver (W3C), as far as the tests need it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::TempDir;

/// Longest wait for a page to say something; a small job may lie between.
const WORDS_WITHIN: Duration = Duration::from_secs(60);

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--lang=zh-CN",
];

/// A browser with a profile of its own. Ended when dropped.
pub struct Browser {
    driver: Child,
    session: String,
    profile: TempDir,
    shots: PathBuf,
    number: std::cell::Cell<usize>,
}

impl Browser {
    pub fn start() -> Self {
        Self::start_for("console")
    }

    /// A browser whose pictures lie in a folder of this name.
    pub fn start_for(folder: &str) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("chromedriver: {e}; remedy: `apt-get install chromium chromium-driver fonts-noto-cjk`"));
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let rest = line.ok()?.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned();
            rest.parse::<u16>().ok()
        });
        std::thread::spawn(move || lines.for_each(drop));
        let profile = TempDir::new();
        let mut arguments: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let base = format!("http://127.0.0.1:{}", port.expect("chromedriver's port"));
        let made = send("POST", &format!("{base}/session"), Some(&wanted)).unwrap_or_else(|e| panic!("no browser: {e}"));
        let session = format!("{base}/session/{}", made["sessionId"].as_str().unwrap());
        let shots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
        let _ = std::fs::remove_dir_all(&shots);
        std::fs::create_dir_all(&shots).unwrap();
        println!("screenshots: {}", shots.display());
        Self { driver, session, profile, shots, number: std::cell::Cell::new(0) }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        send(method, &format!("{}/{path}", self.session), body).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub fn open(&self, url: &str) {
        self.ask("POST", "url", Some(&json!({ "url": url })));
    }

    pub fn run(&self, script: &str) -> Value {
        self.ask("POST", "execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// Runs a script that says when it is done: its last argument is called with what it found.
    pub fn wait_for(&self, script: &str) -> Value {
        self.ask("POST", "execute/async", Some(&json!({ "script": script, "args": [] })))
    }

    fn chrome(&self, command: &str, parameters: Value) -> Value {
        self.ask("POST", "goog/cdp/execute", Some(&json!({ "cmd": command, "params": parameters })))
    }

    /// The width of the window, in CSS pixels.
    pub fn width(&self, width: u32) {
        let height = if width < 600 { 844 } else { 900 };
        self.chrome(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
    }

    /// Clicks what downloads a file of this name; the file.
    #[track_caller]
    pub fn download(&self, selector: &str, name: &str) -> PathBuf {
        let folder = self.profile.path().join("downloads");
        std::fs::create_dir_all(&folder).unwrap();
        self.chrome("Browser.setDownloadBehavior", json!({ "behavior": "allow", "downloadPath": folder }));
        self.click(selector);
        // Its name is its own once the whole of it is there.
        let file = folder.join(name);
        let started = Instant::now();
        while !file.exists() {
            assert!(started.elapsed() < WORDS_WITHIN, "{name} was not downloaded: {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        file
    }

    /// Presses the key that leads to the next place.
    pub fn tab(&self) {
        for what in ["rawKeyDown", "keyUp"] {
            let key = json!({ "type": what, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
            self.chrome("Input.dispatchKeyEvent", key);
        }
    }

    fn element(&self, selector: &str) -> Result<String, String> {
        let body = json!({ "using": "css selector", "value": selector });
        let found = send("POST", &format!("{}/element", self.session), Some(&body))?;
        Ok(found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned())
    }

    pub fn has(&self, selector: &str) -> bool {
        self.element(selector).is_ok()
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        let element = self.element(selector).unwrap_or_else(|e| panic!("{selector}: {e}"));
        self.ask("POST", &format!("element/{element}/click"), Some(&json!({})));
    }

    #[track_caller]
    pub fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).unwrap_or_else(|e| panic!("{selector}: {e}"));
        self.ask("POST", &format!("element/{element}/value"), Some(&json!({ "text": text })));
    }

    /// The text that a reader sees.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText").as_str().unwrap().to_owned()
    }

    /// Waits until the page says this.
    #[track_caller]
    pub fn says(&self, words: &str) {
        let started = Instant::now();
        while !self.text().contains(words) {
            assert!(started.elapsed() < WORDS_WITHIN, "{words:?} is not on the page:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the page has such an element.
    #[track_caller]
    pub fn waits(&self, selector: &str) {
        let started = Instant::now();
        while !self.has(selector) {
            assert!(started.elapsed() < WORDS_WITHIN, "{selector} is not on the page:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A picture of the whole page.
    pub fn picture(&self, name: &str) {
        self.number.set(self.number.get() + 1);
        let what = json!({ "cmd": "Page.captureScreenshot", "params": { "format": "png", "captureBeyondViewport": true } });
        let started = Instant::now();
        // A page that was just opened may not be laid out yet: it has no width then.
        let taken = loop {
            match send("POST", &format!("{}/goog/cdp/execute", self.session), Some(&what)) {
                Ok(taken) => break taken,
                Err(error) => assert!(started.elapsed() < WORDS_WITHIN, "{name}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(self.shots.join(format!("{:02}-{name}.png", self.number.get())), bytes).unwrap();
    }

    /// What the browser complained of since it was last asked: errors, blocked loads.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "se/log", Some(&json!({ "type": "browser" })));
        let bad = |entry: &&Value| matches!(entry["level"].as_str(), Some("WARNING" | "SEVERE"));
        log.as_array().unwrap().iter().filter(bad).map(Value::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = send("DELETE", &self.session, None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn send(method: &str, url: &str, body: Option<&Value>) -> Result<Value, String> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = ureq::http::Request::builder().method(method).uri(url).header("content-type", "application/json");
    let answer = match body {
        Some(body) => agent.run(request.body(body.to_string()).unwrap()),
        None => agent.run(request.body(()).unwrap()),
    };
    let mut answer = answer.map_err(|e| e.to_string())?;
    let text = answer.body_mut().with_config().limit(64 << 20).read_to_string().map_err(|e| e.to_string())?;
    let value: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    if answer.status().is_success() { Ok(value["value"].clone()) } else { Err(value["value"]["message"].to_string()) }
}
