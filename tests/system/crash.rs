//! SIGKILL of the server at 50 random moments of a loop of submissions: no acknowledged job is lost, none is doubled, no release lacks
//! its leaf, and the log goes on from what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use fusebox::tlog::LeafKind;
use serde_json::Value;

use crate::random::Random;
use crate::support::{Client, until};
use crate::world::{Papers, World, children, is_final, lives};

const KILLS: u64 = 50;
/// Submissions between a start and a kill. What is not run in between piles up, so there are few.
const SUBMISSIONS_MAX: u64 = 4;

/// What a submission was answered.
enum Heard {
    /// The job; whether an earlier submission was meant.
    Job(String, bool),
    /// Nothing: the server was gone.
    Nothing,
}

/// Submits under a key; a server that is killed meanwhile answers nothing.
fn submit(client: &Client, key: &str, job: &Value) -> Heard {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60))).build().into();
    let request = agent.post(format!("{}/v1/jobs", client.url)).header("authorization", format!("Bearer {}", client.token));
    let Ok(mut response) = request.header("idempotency-key", key).header("content-type", "application/json").send(job.to_string()) else {
        return Heard::Nothing;
    };
    let status = response.status().as_u16();
    let Ok(text) = response.body_mut().read_to_string() else { return Heard::Nothing };
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}"));
    assert!(status == 200 || status == 201, "{status}: {text}");
    Heard::Job(body["id"].as_str().unwrap().to_owned(), status == 200)
}

/// What is known of submissions: key to job, where one was acknowledged.
type Known = BTreeMap<String, Option<String>>;

/// Submits one after the other until told to stop, and tells each acknowledgement.
fn submissions(client: &Client, keys: &[String], job: &Value, gap: Duration, stop: &AtomicBool, acknowledged: &Sender<()>) -> Known {
    let mut known = Known::new();
    for key in keys {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        match submit(client, key, job) {
            Heard::Job(id, repeated) => {
                assert!(!repeated, "{key} was never used before");
                known.insert(key.clone(), Some(id));
                let _ = acknowledged.send(());
            }
            Heard::Nothing => {
                known.insert(key.clone(), None);
                break;
            }
        }
        std::thread::sleep(gap);
    }
    known
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills() {
    let started = Instant::now();
    let mut random = Random::seeded("crash");
    let mut world = World::start(&[]);
    world.carry(&Papers::new("main"));
    let job = world.job("main", &world.approved("credit-default-rate"));
    let mut known = Known::new();
    for round in 0..KILLS {
        let keys: Vec<String> = (0..SUBMISSIONS_MAX).map(|n| format!("key-{round}-{n}")).collect();
        let gap = Duration::from_millis(random.below(60));
        // One run in three is long enough for jobs to come to their end in it.
        let wait = Duration::from_millis(if random.below(3) == 0 { 300 + random.below(1200) } else { 50 + random.below(250) });
        let (client, job) = (world.operator(), job.clone());
        let stop = AtomicBool::new(false);
        let (tell, told): (Sender<()>, Receiver<()>) = channel();
        let mut remembered = None;
        let mut workers = Vec::new();
        let of_round = std::thread::scope(|scope| {
            let stopping = &stop;
            let submitter = scope.spawn(move || submissions(&client, &keys, &job, gap, stopping, &tell));
            told.recv_timeout(Duration::from_secs(60)).expect("the first acknowledgement");
            let killed_at = Instant::now() + wait;
            remembered = Some(world.checkpoint());
            std::thread::sleep(killed_at.saturating_duration_since(Instant::now()));
            workers = children(world.server.pid());
            world.server.kill();
            stop.store(true, Ordering::SeqCst);
            submitter.join().unwrap()
        });
        known.extend(of_round);
        // Its workers die with it.
        until("the end of the workers", || workers.iter().all(|pid| !lives(*pid)).then_some(()));
        world.server.launch();
        let (size, remembered) = remembered.unwrap();
        world.verified_log(&remembered, size);
        let stored = stored(&world);
        let lost: Vec<_> = known.iter().filter(|(_, id)| id.as_ref().is_some_and(|id| !stored.contains_key(id))).collect();
        assert!(lost.is_empty(), "lost after kill {round}: {lost:?}");
    }
    eprintln!("{KILLS} kills, {} keys, {:.0} s", known.len(), started.elapsed().as_secs_f64());
    settle(&world, &job, &mut known);
    account(&mut world, &known);
    eprintln!("accounted for after {:.0} s", started.elapsed().as_secs_f64());
}

/// Jobs that the server has, with their states.
fn stored(world: &World) -> BTreeMap<String, String> {
    let jobs = world.checker().get("/v1/jobs").good();
    let all: Vec<(String, String)> =
        jobs.as_array().unwrap().iter().map(|j| (j["id"].as_str().unwrap().to_owned(), j["state"].as_str().unwrap().to_owned())).collect();
    assert!(all.len() < 500, "the list is cut");
    let unique: BTreeMap<_, _> = all.iter().cloned().collect();
    assert_eq!(unique.len(), all.len());
    unique
}

/// Every key once more: what was acknowledged answers the same job, what was not becomes one. Then all come to an end.
fn settle(world: &World, job: &Value, known: &mut Known) {
    let operator = world.operator();
    let before = stored(world);
    let mut repeats = 0;
    for (key, id) in known.iter_mut() {
        let Heard::Job(now, repeated) = submit(&operator, key, job) else { panic!("no answer for {key}") };
        match id {
            Some(id) => assert_eq!((&now, repeated), (&*id, true), "{key}"),
            // It had been stored without its answer coming through, or it had not.
            None => assert_eq!(repeated, before.contains_key(&now), "{key}"),
        }
        repeats += usize::from(repeated);
        *id = Some(now);
    }
    let jobs: BTreeSet<&String> = known.values().flatten().collect();
    assert_eq!(jobs.len(), known.len(), "a job stands for two keys");
    until("the end of all jobs", || stored(world).values().all(|state| is_final(state)).then_some(()));
    let states = stored(world);
    assert_eq!(states.keys().collect::<BTreeSet<_>>(), jobs, "a job that nobody submitted");
    let count = |state: &str| states.values().filter(|s| *s == state).count();
    eprintln!("{repeats} keys answered again; {} jobs done, {} failed, {} cancelled", count("done"), count("failed"), count("cancelled"));
    assert_eq!(count("cancelled"), 0, "nobody cancelled");
    assert!(count("done") > 0);
}

/// Leaves, rows and files agree.
fn account(world: &mut World, known: &Known) {
    let leaves = world.leaves();
    let of = |kind: LeafKind, key: &str| -> BTreeMap<String, Vec<u64>> {
        let mut found = BTreeMap::<String, Vec<u64>>::new();
        for (number, (_, body)) in (0u64..).zip(&leaves).filter(|(_, (k, _))| *k == kind) {
            found.entry(body[key].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()).or_default().push(number);
        }
        found
    };
    let submitted = of(LeafKind::Submission, "job");
    let jobs: BTreeSet<&String> = known.values().flatten().collect();
    assert_eq!(submitted.keys().collect::<BTreeSet<_>>(), jobs);
    assert!(submitted.values().all(|numbers| numbers.len() == 1), "a submission with two leaves");

    let releases = world.checker().get("/v1/releases").good();
    let releases = releases.as_array().unwrap();
    let states = stored(world);
    let (decided, released) = (of(LeafKind::Decision, "release"), of(LeafKind::Release, "release"));
    let mut by_job = BTreeMap::<&str, usize>::new();
    // The day of the submission is part of what a job is; a run of this test may go past midnight in China.
    let mut days = BTreeMap::<&str, &str>::new();
    for release in releases {
        let id = release["id"].as_str().unwrap();
        assert_eq!(release["state"], "released");
        assert_eq!(decided[id], [release["decision_leaf"].as_u64().unwrap()], "{id}");
        assert_eq!(released[id], [release["leaf"].as_u64().unwrap()], "{id}");
        *by_job.entry(release["job"].as_str().unwrap()).or_default() += 1;
        days.insert(release["job"].as_str().unwrap(), release["facts"]["today"].as_str().unwrap());
        let artefact = world.checker().get(&format!("/v1/releases/{id}/artefact")).good();
        assert_eq!(artefact["artefact"]["suppressed"], 11, "{id}");
    }
    assert_eq!((decided.len(), released.len()), (releases.len(), releases.len()), "a leaf without its release");
    for (job, state) in &states {
        assert_eq!(by_job.get(job.as_str()).copied().unwrap_or(0), usize::from(state == "done"), "{job} is {state}");
    }
    let mut commitments = BTreeMap::<&str, BTreeSet<String>>::new();
    for (id, _) in states.iter().filter(|(_, s)| *s == "done") {
        commitments.entry(days[id.as_str()]).or_default().insert(world.seen(id)["commitment"].as_str().unwrap().to_owned());
    }
    assert!(!commitments.is_empty() && commitments.len() <= 2, "the days of one run: {commitments:?}");
    assert!(commitments.values().all(|of_day| of_day.len() == 1), "the same job, whatever interrupted it: {commitments:?}");

    let interrupted = leaves.iter().filter(|(_, body)| body["interrupted"] == true).count();
    eprintln!("{interrupted} runs interrupted, {} leaves, {} releases", leaves.len(), releases.len());
    assert!(interrupted > 0, "no kill met a run");

    // Nothing that a kill left half done lies about.
    let (size, remembered) = world.checkpoint();
    world.server.stop();
    world.verified_log(&remembered, size);
    let data = world.server.data();
    let db = rusqlite::Connection::open(data.join("state/fusebox.db")).unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(check, "ok");
    let files = |dir: &str| std::fs::read_dir(data.join(dir)).unwrap().count() as i64;
    let rows = |sql: &str| db.query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(files("segments"), rows("SELECT count(*) FROM segment"));
    assert_eq!(files("artefacts"), rows("SELECT count(*) FROM artefact WHERE file IS NOT NULL"));
    assert_eq!(files("work"), 0);
    let (note, log) = (data.join("remembered.note"), data.join("log"));
    std::fs::write(&note, &remembered).unwrap();
    let arguments = ["log", "verify", log.to_str().unwrap(), "--key", &world.server.log_key, "--remembered", note.to_str().unwrap()];
    let (out, err, code) = crate::support::fusebox(&arguments);
    assert_eq!(code, 0, "{out}{err}");
}
