//! The command line as its users meet it: exit codes, JSON, errors with cause and remedy, modules on the author's own machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Server, TempDir, fusebox, worker};

fn example(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(path).to_str().unwrap().to_owned()
}

fn guest(package: &str) -> String {
    let folder = PathBuf::from(std::env::var_os("FUSEBOX_GUESTS").expect("FUSEBOX_GUESTS is not set; remedy: `cargo xtask test`"));
    folder.join(format!("{package}.wasm")).to_str().unwrap().to_owned()
}

/// `dev run` of a module over the papers of an example.
fn rehearse(package: &str, name: &str, more: &[&str]) -> (String, String, i32) {
    let (module, plan, entries) = (guest(package), example(&format!("{name}/plan.toml")), example(&format!("{name}/entries")));
    let worker = worker().to_str().unwrap().to_owned();
    let mut line = vec!["dev", "run", &module, "--plan", &plan, "--entries", &entries, "--worker", &worker];
    line.extend(more);
    fusebox(&line)
}

#[test]
fn modules_of_the_examples_run_on_synthetic_rows_and_the_same_seed_gives_the_same() {
    for (package, name, kind, outcome) in [
        ("credit-default-rate", "credit", "table", "release"),
        ("credit-scorecard", "credit", "model", "hold"),
        ("flights-delay-by-wind", "flights", "table", "release"),
    ] {
        let run = |seed: &str| rehearse(package, name, &["--rows", "4000", "--seed", seed, "--json"]);
        let (out, err, code) = run("5");
        assert_eq!(code, 0, "{package}: {err}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&told["rows"], &told["outputs"][0]["kind"], &told["outputs"][0]["outcome"]),
            (&4000.into(), &kind.into(), &outcome.into()),
            "{out}"
        );
        assert_eq!(run("5").0, out);
        assert_ne!(run("6").0, out);
        let (text, _, _) = rehearse(package, name, &["--rows", "500"]);
        assert!(text.contains("would be"), "{text}");
    }
}

#[test]
fn figures_over_the_operators_own_columns_are_judged_on_made_up_rows_or_the_rule_is_told() {
    let run = |operator: &[&str]| -> Value {
        let (out, err, code) = rehearse("credit-default-rate", "credit", &[&["--rows", "4000", "--json"], operator].concat());
        assert_eq!(code, 0, "{err}");
        serde_json::from_str::<Value>(&out).unwrap()["outputs"][0].clone()
    };
    // `default_12m` has 10,001 possible values: made-up ones say nothing of whether real ones are shared.
    let told = run(&["--operator", "harbour-bank"]);
    let notice = &told["on_real_data"][0];
    assert_eq!(
        (&told["outcome"], &notice["rule"], &notice["threshold"]),
        (&"release".into(), &"table.own_measure".into(), &"10 units".into())
    );
    assert!(notice["zh"].is_string() && notice["remedy_en"].is_string() && notice["subject"].is_string(), "{notice}");
    assert_eq!(run(&["--operator", "tax-bureau"]).get("on_real_data"), None, "another's column");
    assert_eq!(run(&[]).get("on_real_data"), None, "nobody's column");
    let (text, _, _) = rehearse("credit-default-rate", "credit", &["--rows", "500", "--operator", "harbour-bank"]);
    assert!(text.contains("may be refused on real ones") && text.contains("table.own_measure"), "{text}");
    let (_, err, code) = rehearse("credit-default-rate", "credit", &["--operator", "Not A Name"]);
    assert!(code == 1 && err.contains("name an organisation"), "{err}");
}

#[test]
fn an_undeclared_import_is_named_before_any_upload() {
    let (_, err, code) = rehearse("undeclared-import", "credit", &[]);
    assert_eq!(code, 1);
    assert!(err.contains("network") && err.contains("remedy"), "{err}");
}

#[test]
fn a_new_module_is_a_crate_of_its_own_and_is_not_written_over() {
    let folder = TempDir::new();
    let dir = folder.path().join("mine").to_str().unwrap().to_owned();
    let make = || fusebox(&["dev", "new", "first_count", "--dir", &dir, "--sdk", "../guest-sdk"]);
    let (out, err, code) = make();
    assert_eq!(code, 0, "{out}{err}");
    let manifest = std::fs::read_to_string(Path::new(&dir).join("Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"first_count\"") && manifest.contains("path = \"../guest-sdk\""), "{manifest}");
    assert!(manifest.parse::<toml::Table>().is_ok() && !manifest.contains("{{"));
    assert!(std::fs::read_to_string(Path::new(&dir).join("src/lib.rs")).unwrap().contains("name: \"first_count\""));
    assert_eq!(make().2, 1);
    assert_eq!(fusebox(&["dev", "new", "Not-A-Name", "--dir", &dir, "--sdk", "x"]).2, 1);
}

#[test]
fn failures_have_a_code_a_cause_and_a_remedy() {
    assert_eq!(fusebox(&["no-such-command"]).2, 2);
    assert_eq!(fusebox(&["module", "review", "sha256:0"]).2, 2, "neither approved nor denied");
    // Nothing listens on port 1.
    let (out, err, code) = fusebox(&["dataset", "list", "--server", "http://127.0.0.1:1"]);
    assert_eq!((out.as_str(), code), ("", 1));
    assert!(err.contains("no answer") && err.contains("remedy"), "{err}");
    let (_, err, code) = fusebox(&["dataset", "list", "--server", "http://127.0.0.1:1", "--json"]);
    assert_eq!(code, 1);
    assert!(serde_json::from_str::<Value>(&err).unwrap()["error"]["remedy"].is_string(), "{err}");
    let (_, err, code) = fusebox(&["log", "verify", "/nowhere", "--key", "none"]);
    assert_eq!(code, 1);
    assert!(err.contains("remedy"), "{err}");
}

#[test]
fn a_refusal_is_told_with_rule_clause_and_both_languages_and_the_log_can_be_copied_and_verified() {
    let server = Server::start();
    let token = server.dir.path().join("token").to_str().unwrap().to_owned();
    let call = |line: &[&str]| {
        let mut all = vec!["--server", server.url.as_str(), "--token-file", token.as_str()];
        all.extend(line);
        fusebox(&all)
    };
    let (out, _, code) = call(&["me", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["role"].as_str()), (0, Some("security_admin")));
    // Whoever administers accounts submits no jobs.
    let entry = example("credit/entries/tax.toml");
    let (_, err, code) = call(&["dataset", "register", &entry]);
    assert_eq!(code, 1);
    for part in ["auth.role", "X31", "remedy", "办法"] {
        assert!(err.contains(part), "`{part}` is not in {err}");
    }
    let (out, err, code) = call(&["principal", "create", "auditor-qian", "--org", "audit-office", "--role", "auditor"]);
    assert_eq!(code, 0, "{out}{err}");
    let issued = server.dir.path().join("auditor").to_str().unwrap().to_owned();
    let (out, _, code) = call(&["token", "issue", "auditor-qian", "--out", &issued]);
    assert!(code == 0 && !out.contains("fbx_"), "the token is in the file, not on the screen: {out}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&issued).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let copy = server.dir.path().join("copy").to_str().unwrap().to_owned();
    let kept = server.dir.path().join("kept").to_str().unwrap().to_owned();
    assert_eq!(call(&["log", "checkpoint", "--out", &kept]).2, 0);
    let (out, err, code) = call(&["log", "fetch", &copy]);
    assert_eq!(code, 0, "{out}{err}");
    let (out, err, code) = fusebox(&["log", "verify", &copy, "--key", &server.log_key, "--remembered", &kept]);
    assert_eq!(code, 0, "{out}{err}");
    let (out, _, code) = fusebox(&["log", "verify", &copy, "--key", &server.log_key]);
    assert!(code == 0 && out.contains("not checked"), "{out}");
    let checkpoint = Path::new(&copy).join("checkpoint");
    let forged = std::fs::read_to_string(&checkpoint).unwrap().replacen("\n", "x\n", 1);
    std::fs::write(&checkpoint, forged).unwrap();
    assert_eq!(fusebox(&["log", "verify", &copy, "--key", &server.log_key]).2, 1);
}

#[test]
fn the_authority_sets_a_privacy_budget_with_a_reason_and_nobody_else_does() {
    let server = Server::start();
    let root = server.dir.path().join("token").to_str().unwrap().to_owned();
    let call = |token: &str, line: &[&str]| {
        let mut all = vec!["--server", server.url.as_str(), "--token-file", token];
        all.extend(line);
        fusebox(&all)
    };
    let account = |id: &str, role: &str| {
        let file = server.dir.path().join(id).to_str().unwrap().to_owned();
        assert_eq!(call(&root, &["principal", "create", id, "--org", id, "--role", role]).2, 0);
        assert_eq!(call(&root, &["token", "issue", id, "--out", &file]).2, 0);
        file
    };
    let (city, bank) = (account("city", "authority"), account("bank", "operator"));
    let set = ["budget", "set", "person", "--epsilon", "3", "--reason", "first year"];
    let (out, err, code) = call(&city, &set);
    assert!(code == 1 && err.contains("policy.missing"), "δ is the policy's: {out}{err}");
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/release/standard.toml");
    assert_eq!(call(&city, &["policy", "floor", policy]).2, 0);
    assert_eq!(call(&city, &["budget", "set", "person", "--epsilon", "3"]).2, 2);
    let (_, err, code) = call(&bank, &set);
    assert!(code == 1 && err.contains("auth.role"), "{err}");
    let (out, err, code) = call(&city, &set);
    assert_eq!(code, 0, "{out}{err}");
    for token in [&city, &bank] {
        let (out, _, code) = call(token, &["budget", "show", "person"]);
        assert!(code == 0 && out.contains("budget: 3\n") && out.contains("delta exponent: 6") && out.contains("folds: 0"), "{out}");
    }
    let (out, _, _) = call(&bank, &["budget", "show", "firm", "--json"]);
    assert!(serde_json::from_str::<Value>(&out).unwrap()["remaining"].is_null(), "no budget, nothing to spend: {out}");
}
