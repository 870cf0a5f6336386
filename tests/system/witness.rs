//! The witness as a process of its own: what it cosigns, what it refuses, and what a log that shows another history meets.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use fusebox::tlog::merkle::{Nodes, consistency, leaf_hash, root_at};
use fusebox::tlog::witness::{AddCheckpoint, BODY_BYTES_MAX};
use fusebox::tlog::{Checkpoint, Cosigned, Signer, Verifier, WitnessKey};
use serde_json::{Value, json};

use crate::support::{TempDir, binary, fusebox, until};
use crate::world::World;

/// A witness with folder, key and port; its process may come and go.
pub struct Witness {
    dir: TempDir,
    child: Option<Child>,
    port: u16,
    /// Its public key, as `witness init` printed it.
    pub key: String,
}

impl Witness {
    /// A folder and a key, and a port that was free a moment ago.
    pub fn prepare() -> Self {
        let dir = TempDir::new();
        let data = dir.path().join("witness");
        let (out, err, code) = fusebox(&["witness", "init", "--json", "--data", data.to_str().unwrap(), "--name", "witness.example/1"]);
        assert_eq!(code, 0, "{err}");
        let made: Value = serde_json::from_str(&out).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { dir, child: None, port, key: made["witness_key"].as_str().unwrap().to_owned() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn command(&self, log_key: &str, listen: &str) -> Command {
        let data = self.dir.path().join("witness");
        let mut command = Command::new(binary());
        command.args(["witness", "--data", data.to_str().unwrap(), "--listen", listen, "--log-key", log_key]).stdin(Stdio::null());
        command
    }

    /// Starts the process and waits until it listens.
    pub fn launch(&mut self, log_key: &str) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("witness.log")).unwrap();
        let listen = format!("127.0.0.1:{}", self.port);
        let mut child = self.command(log_key, &listen).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the witness did not start: {line}"));
        assert_eq!((&ready["ready"], &ready["witness_key"]), (&json!(true), &json!(self.key)));
        self.child = Some(child);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Status, content type and body of a submission.
    fn add(&self, body: &str) -> (u16, String, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.post(format!("{}/add-checkpoint", self.url())).send(body).unwrap();
        let kind = response.headers().get("content-type").map(|k| k.to_str().unwrap().to_owned()).unwrap_or_default();
        (response.status().as_u16(), kind, response.body_mut().read_to_string().unwrap())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A log of leaves that are their numbers, other ones from `fork` on.
struct Log {
    signer: Signer,
    nodes: Nodes,
}

impl Log {
    fn new(fork: u64) -> Self {
        let signer = Signer::from_seed("log.example/a", &[1; 32]).unwrap();
        Self { signer, nodes: Nodes::from_leaves((0..50).map(|i: u64| leaf_hash(format!("{i} {}", i >= fork).as_bytes()))) }
    }

    fn note(&self, size: u64) -> String {
        Checkpoint::sign(&self.signer, size, root_at(size, |l, i| self.nodes.node(l, i)).unwrap()).unwrap()
    }

    fn request(&self, old: u64, new: u64) -> String {
        let proof = consistency(old, new, |l, i| self.nodes.node(l, i)).unwrap();
        AddCheckpoint { old, proof, note: self.note(new) }.to_text()
    }
}

#[test]
fn a_witness_cosigns_one_history_and_remembers_it_across_a_crash() {
    let (log, fork) = (Log::new(99), Log::new(3));
    let key = log.signer.verifier().to_string();
    let mut witness = Witness::prepare();
    witness.launch(&key);
    let witness_key = WitnessKey::parse(&witness.key).unwrap();
    let cosigned = |witness: &Witness, old: u64, new: u64| {
        let (status, _, line) = witness.add(&log.request(old, new));
        assert_eq!(status, 200, "{line}");
        assert!(line.starts_with("— witness.example/1 ") && line.ends_with('\n'));
        let found = Cosigned::verify((log.note(new) + &line).as_bytes(), log.signer.verifier(), &witness_key).unwrap();
        assert_eq!(found.checkpoint.size, new);
    };
    let size = |told: (u16, String, String)| {
        assert_eq!(told.1, "text/x.tlog.size");
        (told.0, told.2.strip_suffix('\n').unwrap().parse::<u64>().unwrap())
    };
    assert_eq!(size(witness.add(&log.request(4, 9))), (409, 0), "nothing was cosigned yet");
    cosigned(&witness, 0, 9);
    cosigned(&witness, 9, 9);
    cosigned(&witness, 9, 20);
    // A folder has one witness.
    let second = witness.command(&key, "127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert!(!second.status.success() && String::from_utf8_lossy(&second.stderr).contains("another witness"));
    for crashed in [false, true] {
        if crashed {
            witness.kill();
            witness.launch(&key);
        }
        // A rollback; a rollback that says so; forks, of more and of as many leaves.
        assert_eq!(size(witness.add(&log.request(9, 15))), (409, 20));
        assert_eq!(size(witness.add(&log.request(0, 15))), (409, 20));
        assert_eq!(witness.add(&log.request(9, 15).replacen("old 9", "old 20", 1)).0, 400);
        assert_eq!(witness.add(&fork.request(20, 30)).0, 422);
        assert_eq!(size(witness.add(&fork.request(20, 20))), (409, 20));
        // A log that it does not know, a key that is not the log's, and no request at all.
        let stranger = Log { signer: Signer::from_seed("log.example/b", &[1; 32]).unwrap(), ..Log::new(99) };
        assert_eq!(witness.add(&stranger.request(0, 9)).0, 404);
        let thief = Log { signer: Signer::from_seed("log.example/a", &[9; 32]).unwrap(), ..Log::new(99) };
        assert_eq!(witness.add(&thief.request(20, 30)).0, 403);
        assert_eq!(witness.add("old 1\n").0, 400);
        assert_eq!(witness.add(&"x".repeat(BODY_BYTES_MAX + 1)).0, 413);
    }
    cosigned(&witness, 20, 50);
    let newest = ureq::get(format!("{}/checkpoint?origin=log.example%2Fa", witness.url())).call().unwrap().body_mut().read_to_string();
    let newest = Cosigned::verify(newest.unwrap().as_bytes(), log.signer.verifier(), &witness_key).unwrap();
    assert_eq!(newest.checkpoint.size, 50);
}

/// The server's newest cosigned checkpoint, verified.
pub fn newest(world: &World, witness: &Witness) -> Option<Cosigned> {
    let answer = world.server.anonymous().get("/log/checkpoint/cosigned");
    if answer.status == 404 {
        return None;
    }
    let (log, key) = (Verifier::parse(&world.server.log_key).unwrap(), WitnessKey::parse(&witness.key).unwrap());
    Some(Cosigned::verify(&answer.bytes, &log, &key).unwrap())
}

/// Until the witness has cosigned more than `leaf`.
pub fn cosigned_beyond(world: &World, witness: &Witness, leaf: u64) -> Cosigned {
    until("a cosigned checkpoint", || newest(world, witness).filter(|c| c.checkpoint.size > leaf))
}

/// A world whose log the witness is to cosign; the witness is not there yet.
pub fn world(witness: &Witness, required: bool) -> World {
    let (url, required) = (witness.url(), required.to_string());
    let variables = [("FUSEBOX_WITNESS_URL", url.as_str()), ("FUSEBOX_WITNESS_KEY", &witness.key), ("FUSEBOX_WITNESS_REQUIRED", &required)];
    World::start_in(&[], &variables)
}

/// A database that was set back, and one that went on from there: the witness knows more, says so, and an alert stands.
#[test]
fn a_log_that_was_set_back_is_contradicted() {
    let mut witness = Witness::prepare();
    let mut world = world(&witness, false);
    witness.launch(&world.server.log_key);
    cosigned_beyond(&world, &witness, 0);
    world.rival().get("/v1/doctor").refused("auth.role");
    let alerts = |world: &World| -> Vec<String> {
        let alerts = world.authority().get("/v1/alerts").good();
        let of_witness = alerts.as_array().unwrap().iter().filter(|a| a["rule"]["id"] == "log.witness" || a["rule"] == "log.witness");
        of_witness.map(|a| a["subject"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(alerts(&world), Vec::<String>::new());
    world.server.stop();
    let (data, aside) = (world.server.data(), world.server.dir.path().join("aside"));
    assert!(Command::new("cp").arg("-a").arg(&data).arg(&aside).status().unwrap().success());
    world.server.launch();
    for _ in 0..20 {
        world.rival().get("/v1/doctor").refused("auth.role");
    }
    let beyond = world.checkpoint().0;
    cosigned_beyond(&world, &witness, beyond - 1);
    world.server.stop();
    let put_back = |world: &World| {
        std::fs::remove_dir_all(&data).unwrap();
        assert!(Command::new("cp").arg("-a").arg(&aside).arg(&data).status().unwrap().success());
        assert!(world.server.data().exists());
    };
    let rolled_back = |world: &World| world.server.anonymous().get("/health").good()["rolled_back"].as_bool().unwrap();
    put_back(&world);
    world.server.launch();
    assert!(rolled_back(&world), "the witness is asked at the start: what lay in the folder was put back with it");
    let found = world.authority().get("/v1/recovery").good();
    assert_eq!(found["needed"]["contradictions"][0]["source"], "witness.example/1", "{found}");
    world.server.stop();

    // A witness that is not there at the start says it with the next checkpoint.
    witness.kill();
    put_back(&world);
    world.server.launch();
    assert!(!rolled_back(&world));
    // One more leaf, so that there is something to cosign.
    world.rival().get("/v1/doctor").refused("auth.role");
    assert!(world.checkpoint().0 < beyond);
    witness.launch(&world.server.log_key);
    until("the alert", || (alerts(&world) == ["log (behind)"]).then_some(()));
    assert!(rolled_back(&world));
    while world.checkpoint().0 <= beyond {
        world.rival().get("/v1/doctor").refused("auth.role");
    }
    until("the alert", || (alerts(&world) == ["log (forked)"]).then_some(()));
}
