//! What is left of a job when it is over: planted values are searched in the memory of the server and of every worker that lives, in
//! shared memory, files, logs, answers and core dumps.
//!
//! Where they may stand, and what the test does about it: HTTP's own buffers hold what was uploaded until they are used again, so
//! the rows are uploaded compressed; the cache of fused views holds sealed memory that the server never maps, until an end of the
//! agreement drops it: that is awaited before the last search.

use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::canary::{COLUMNS, LOANS, PLAN, Search, TAX, consents_csv, loans_csv, tax_csv};
use crate::support::{TempDir, until};
use crate::world::{Papers, World, lives};

/// A value in a title, which stays.
const KEPT: &str = "TITLE-KEPT-88005-ZW";

/// gzip (RFC 1951, 1952) of literals by the fixed codes: nothing of the text stands in it.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut count) = (0u32, 0);
    let mut put = |value: u32, width: u32, out: &mut Vec<u8>| {
        bits |= value << count;
        count += width;
        while count >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    };
    // The last block, of fixed codes. Codes stand with their highest bit first.
    put(0b011, 3, &mut out);
    for byte in text.iter().map(|b| u32::from(*b)) {
        let (code, width) = if byte < 144 { (0x30 + byte, 8) } else { (0x190 + byte - 144, 9) };
        put(code.reverse_bits() >> (32 - width), width, &mut out);
    }
    // The end's code, and the rest of the byte.
    put(0, 7, &mut out);
    put(0, 7, &mut out);
    let crc = !text.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    out.extend(crc.to_le_bytes());
    out.extend((text.len() as u32).to_le_bytes());
    out
}

/// Calls `look` with every readable piece of a process's memory and its name. `None` where this user may not read it.
fn memory(pid: u32, mut look: impl FnMut(&str, &[u8])) -> Option<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut read = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next()?, fields.next()?);
        let name = fields.nth(3).unwrap_or("anonymous");
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        // Pages of the binaries are what they are on disk; the kernel's own cannot be read.
        if !rights.starts_with('r')
            || name.starts_with("[v")
            || (name.starts_with('/') && !name.starts_with("/memfd") && !rights.starts_with("rw"))
        {
            continue;
        }
        // A piece at a time, each with the end of the one before.
        let (mut at, mut piece) = (from, Vec::new());
        while at < to {
            let kept = piece.len().min(256);
            piece.drain(..piece.len() - kept);
            let length = usize::try_from((to - at).min(8 << 20)).unwrap();
            piece.resize(kept + length, 0);
            match memory.read_at(&mut piece[kept..], at) {
                Ok(got) if got > 0 => {
                    piece.truncate(kept + got);
                    at += got as u64;
                    read += got as u64;
                }
                // Reserved and never touched, or unmapped since.
                _ => break,
            }
            look(name, &piece);
        }
    }
    Some(read)
}

/// What was found of the planted values.
#[derive(Default)]
struct Found {
    /// Process, place in it, value.
    places: Vec<String>,
    /// Bytes of memory read; processes that this user may not read.
    bytes: u64,
    closed: usize,
}

impl Found {
    /// Searches a process's memory.
    fn process(&mut self, search: &mut Search, what: &str, pid: u32) {
        let places = &mut self.places;
        let read = memory(pid, |name, bytes| places.extend(search.found(bytes).iter().map(|value| format!("{what}, {name}: {value}"))));
        match read {
            Some(bytes) => self.bytes += bytes,
            None => self.closed += 1,
        }
    }

    /// Searches shared memory that a process holds without mapping it.
    fn shared(&mut self, search: &mut Search, what: &str, pid: u32) {
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let link = std::fs::read_link(entry.path()).unwrap_or_default().display().to_string();
            if link.starts_with("/memfd:")
                && let Ok(bytes) = std::fs::read(entry.path())
            {
                self.bytes += bytes.len() as u64;
                self.places.extend(search.found(&bytes).iter().map(|value| format!("{what}, {link}: {value}")));
            }
        }
    }

    /// The server and all of its workers.
    fn everywhere(search: &mut Search, world: &World) -> Self {
        let mut found = Self::default();
        let server = world.server.pid();
        found.process(search, "server", server);
        found.shared(search, "server", server);
        for pid in world.workers() {
            found.process(search, &format!("worker {pid}"), pid);
            found.shared(search, &format!("worker {pid}"), pid);
        }
        found.places.sort();
        found.places.dedup();
        found
    }
}

/// Core dumps, where the kernel would leave them.
fn core_dumps(world: &World) -> Vec<String> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let folder = Path::new(pattern.trim()).parent().filter(|p| p.is_absolute() && !pattern.starts_with('|')).map(Path::to_owned);
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", world.server.pid())).ok();
    let core = |entry: std::fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let fresh = entry.metadata().and_then(|m| m.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() < 600));
        (name.starts_with("core") && fresh && entry.path().is_file()).then(|| entry.path().display().to_string())
    };
    folder.into_iter().chain(cwd).filter_map(|dir| std::fs::read_dir(dir).ok()).flat_map(|dir| dir.flatten().filter_map(core)).collect()
}

fn set_up(world: &World) {
    let (bureau, operator) = (world.bureau(), world.operator());
    bureau.post_toml("/v1/datasets", &TAX.replace("title = \"纳税\"", &format!("title = \"{KEPT}\""))).good();
    operator.post_toml("/v1/datasets", LOANS).good();
    for (owner, path, csv) in [
        (&bureau, "canary_tax/versions", tax_csv()),
        (&operator, "canary_loans/versions", loans_csv()),
        (&operator, "canary_loans/consents", consents_csv()),
    ] {
        owner.upload(&format!("/v1/datasets/{path}?format=csv_gz"), &gzip(csv.as_bytes())).good();
    }
    for (id, mark) in [("canary-table", "arrears_band"), ("canary-trap", "then_trap")] {
        operator.post_toml("/v1/plans", &PLAN.replace("\"PLAN\"", &format!("\"{id}\"")).replace("MARK", mark)).good();
        let columns = |text: &str| text.split_once("[columns]").unwrap().0.to_owned() + "[columns]" + COLUMNS;
        let mut papers = Papers { undecided: vec!["power-company"], unsigned: vec!["power-company"], ..Papers::new(id) };
        (papers.application, papers.agreement) = (columns(&papers.application), columns(&papers.agreement));
        let papers = papers.agreement(r#"plan = "credit""#, &format!("plan = \"{id}\""));
        world.carry(&papers.authorisation(r#"["tax_grades", "power_bills"]"#, r#"["canary_tax"]"#));
    }
}

/// Jobs of A that come to their ends: released, trapped, cancelled, and with a worker killed under it.
fn ends(world: &World, search: &mut Search, spins: &str) {
    let submit = |plan: &str, module: &str| {
        let mut job = world.job(plan, module);
        job["plan"] = json!(plan);
        world.submit(&job)
    };
    let (table, leaks) = (world.approved("credit-default-rate"), world.approved("leaks"));
    assert_eq!(world.ended(&submit("canary-table", &table))["state"], "done");
    assert_eq!(world.ended(&submit("canary-trap", &leaks))["state"], "failed");
    // While a module has the rows, the search finds them in its memory: it can.
    let cancelled = submit("canary-table", spins);
    world.wait(&cancelled, "running");
    until("rows in a worker's memory", || {
        let mut found = Found::default();
        for pid in world.workers() {
            found.process(search, "worker", pid);
        }
        (found.closed > 0 || found.places.iter().any(|place| place.contains("770013377, stored"))).then_some(())
    });
    world.operator().post(&format!("/v1/jobs/{cancelled}/cancel"), &json!({})).good();
    let killed = submit("canary-table", spins);
    world.wait(&killed, "running");
    let busy = until("a guest at work", || {
        let before: Vec<(u32, u64)> = world.workers().into_iter().map(|pid| (pid, crate::world::ticks(&[pid]))).collect();
        std::thread::sleep(std::time::Duration::from_millis(200));
        before.into_iter().find(|(pid, ticks)| crate::world::ticks(&[*pid]) > ticks + 5).map(|(pid, _)| pid)
    });
    let pid = rustix::process::Pid::from_raw(i32::try_from(busy).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_eq!(world.ended(&killed)["state"], "failed");
    until("the end of the killed worker", || (!lives(busy)).then_some(()));
}

#[test]
fn nothing_of_a_job_is_left_when_it_is_over() {
    let mut search = Search::new();
    let folder = TempDir::new();
    let tmp = folder.path();
    let mut world = World::start_in(&[], &[("TMPDIR", tmp.to_str().unwrap()), ("FUSEBOX_LOG", "trace")]);
    set_up(&world);
    world.carry(&Papers::new("other"));
    let spins = world.approved("spins");
    ends(&world, &mut search, &spins);

    // B at work, A over: nothing of A but the cached view, in memory that nobody maps.
    let running = world.submit(&world.job("other", &spins));
    world.wait(&running, "running");
    let found = Found::everywhere(&mut search, &world);
    let (cached, elsewhere): (Vec<_>, Vec<_>) = found.places.iter().partition(|place| place.starts_with("server, /memfd:view"));
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
    assert!(!cached.is_empty(), "the view of an agreement in force is cached");

    // The agreements end: so does the cache.
    for id in ["canary-table", "canary-trap"] {
        world.operator().post(&format!("/v1/agreements/{id}/terminate"), &json!({ "reason": "done" })).good();
    }
    let answers: Vec<Value> =
        ["/v1/jobs", "/v1/releases", "/v1/datasets", "/v1/agreements", "/v1/doctor"].map(|path| world.rival().get(path).json()).to_vec();
    let last = Found::everywhere(&mut search, &world);
    assert!(last.places.is_empty(), "{:#?}", last.places);
    assert!(search.found(json!(answers).to_string().as_bytes()).is_empty(), "an answer to somebody else");
    let cores = core_dumps(&world);
    assert!(cores.is_empty(), "{cores:?}");
    control(&world, &mut search);
    world.operator().post(&format!("/v1/jobs/{running}/cancel"), &json!({})).good();
    search.directory(tmp);
    search.directory(world.server.dir.path());
    world.server.stop();
    search.directory(world.server.dir.path());
    eprintln!("{} MB of memory, {} processes closed to this user, {} files", (found.bytes + last.bytes) >> 20, last.closed, search.files);
    assert!(last.bytes > 1 << 20 || last.closed > 0);
}

/// What is kept on purpose is found by the same means. And what nobody can wipe: HTTP's buffers keep an upload that comes as plain text
/// until they are used again; how much of it is told, not judged.
fn control(world: &World, search: &mut Search) {
    let mut kept = false;
    let read = memory(world.server.pid(), |_, bytes| kept |= bytes.windows(KEPT.len()).any(|w| w == KEPT.as_bytes()));
    assert!(kept || read.is_none(), "a title that the server just answered with is in its memory");
    world.bureau().upload("/v1/datasets/canary_tax/versions?format=csv", tax_csv().as_bytes()).good();
    let mut found = Found::default();
    found.process(search, "server", world.server.pid());
    found.shared(search, "server", world.server.pid());
    eprintln!("after an upload in plain text {} values stand in the server's memory", found.places.len());
    assert!(found.places.iter().all(|place| !place.contains("stored") && !place.contains("memfd")), "{:#?}", found.places);
}
