//! The explorer of the log in a browser: a leaf verifies in the page, and whatever is changed on the way is shown as wrong.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fusebox::tlog::{Signer, merkle};
use serde_json::Value;

use crate::browser::Browser;
use crate::by_hand::Hand;
use crate::support::{Client, Server, until};

const LEAF: u64 = 1;

/// What is done to the log's answer on its way to the page, and the steps that then do not hold.
fn tampered(leaf: &str) -> Vec<(&'static str, String, &'static [&'static str])> {
    let mut other = STANDARD.decode(leaf).unwrap();
    other[30] ^= 1;
    let other = STANDARD.encode(other);
    let root = merkle::leaf_hash(&STANDARD.decode(&other).unwrap()).to_string();
    let flip = |what: &str| {
        format!("const b = Uint8Array.from(atob({what}), c => c.charCodeAt(0)); b[5] ^= 4; {what} = btoa(String.fromCharCode(...b));")
    };
    let lines = "const l = proof.checkpoint.split('\\n');";
    let join = "proof.checkpoint = l.join('\\n');";
    vec![
        ("a node of the path", flip("proof.path[0]"), &["root"]),
        ("a path too short", "proof.path.pop();".into(), &["path", "root"]),
        ("a path too long", "proof.path.push(proof.path[0]);".into(), &["path", "root"]),
        ("another leaf", format!("proof.leaf = '{other}';"), &["leaf", "body", "root"]),
        ("a root", format!("{lines} l[2] = '{root}'; {join}"), &["root", "signature"]),
        ("a size", format!("{lines} l[1] = '1'; {join}"), &["path", "root", "signature"]),
        ("an origin", format!("{lines} l[0] = 'elsewhere'; {join}"), &["signature"]),
        ("a signature", format!("{lines} l[4] = l[4].slice(0, -8) + 'AAAAAA' + l[4].slice(-2); {join}"), &["signature"]),
        // All of it agrees with itself; what is missing is the key.
        (
            "leaf, path and root together",
            format!("proof.leaf = '{other}'; proof.path = []; {lines} l[1] = '1'; l[2] = '{root}'; {join}"),
            &["leaf", "body", "path", "root", "signature"],
        ),
    ]
}

fn states(browser: &Browser, state: &str) -> Vec<String> {
    let found = browser.run(&format!(
        "return [...document.querySelectorAll('[data-step]')].filter(s => s.dataset.state === '{state}').map(s => s.dataset.step)"
    ));
    found.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// What the page says once it has computed.
fn result(browser: &Browser) -> String {
    let asked = || browser.run("return document.querySelector('[data-verify]').dataset.result || ''").as_str().unwrap().to_owned();
    until("a verdict", || Some(asked()).filter(|word| !word.is_empty()))
}

fn again(browser: &Browser, first: &str) -> String {
    browser.run(&format!("{first}; document.querySelector('[data-run]').click();"));
    result(browser)
}

fn through(change: &str) -> String {
    format!(
        "window.sent = window.sent || window.fetch;
         window.fetch = async (path, more) => {{
           const answer = await window.sent(path, more);
           if (!String(path).startsWith('/log/inclusion/')) return answer;
           const proof = await answer.json(); {change}
           return new Response(JSON.stringify(proof));
         }}"
    )
}

pub fn a_leaf_verifies_in_the_page_and_what_was_changed_does_not() {
    let server = Server::start();
    let auditor = server.person("auditor-xu", "audit-office", "auditor");
    for n in 0..5 {
        server.person(&format!("operator-{n}"), &format!("bank-{n}"), "operator");
    }
    let browser = Browser::start_for("log");
    browser.width(1280);
    sign_in(&browser, &server, &auditor);
    browser.open(&format!("{}/console/log", server.url));
    browser.picture("list");
    let rows = browser.run("return document.querySelectorAll('#list tbody tr').length").as_u64().unwrap();
    assert!(rows > 10, "{rows} leaves");
    let page = format!("{}/console/log/{LEAF}", server.url);
    browser.open(&page);
    assert_eq!(result(&browser), "named", "under the key that the server names: {:?}", states(&browser, "bad"));
    assert_eq!(states(&browser, "good"), ["leaf", "body", "hash", "path", "root", "key", "signature"]);
    assert!(
        browser.run("return document.querySelector('input[data-key]').checkVisibility()") == true,
        "the key that one was given has its field"
    );
    browser.picture("leaf");
    // Under the key that the auditor was given when the log was made.
    let key = |key: &str| format!("document.querySelector('[data-key]').value = '{key}'");
    assert_eq!(again(&browser, &key(&server.log_key)), "good");
    browser.picture("leaf-own-key");
    let name = server.log_key.split('+').next().unwrap();
    let stranger = Signer::from_seed(name, &[7; 32]).unwrap().verifier().to_string();
    for (what, spelled, wrong) in [("of another", stranger.as_str(), "signature"), ("that is none", "fusebox+00000000+AAAA", "key")] {
        assert_eq!(again(&browser, &key(spelled)), "bad", "a key {what}");
        assert!(states(&browser, "bad").contains(&wrong.to_owned()), "a key {what}: {:?}", states(&browser, "bad"));
    }
    let proof: Value = server.anonymous().get(&format!("/log/inclusion/{LEAF}")).good();
    for (what, change, wrong) in tampered(proof["leaf"].as_str().unwrap()) {
        assert_eq!(again(&browser, &format!("{}; {}", key(&server.log_key), through(&change))), "bad", "{what}");
        assert_eq!(states(&browser, "bad"), wrong, "{what}");
    }
    browser.picture("leaf-tampered");
    assert_eq!(again(&browser, &through("")), "good", "unchanged, it holds again");
    assert_eq!(again(&browser, "document.querySelector('[data-body]').content.textContent += ' '"), "bad", "a body");
    assert_eq!(states(&browser, "bad"), ["body"]);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn sign_in(browser: &Browser, server: &Server, who: &Client) {
    browser.open(&format!("{}/console/", server.url));
    browser.write("input[name=token]", &who.token);
    browser.click("main button[type=submit]");
    until("the console", || browser.has("form[action='/console/sign-out']").then_some(()));
}

/// What a reader without a script finds, and whose bodies are told to whom.
pub fn a_body_shows_to_those_it_concerns() {
    let server = Server::start();
    let (auditor, operator) = (server.person("auditor-xu", "audit-office", "auditor"), server.person("operator-wang", "bank", "operator"));
    let denials = || {
        let leaves = auditor.get("/v1/log/leaves?count=500&kind=3").good();
        leaves["leaves"].as_array().unwrap().len()
    };
    let before = denials();
    let (mut by_auditor, mut by_operator) = (Hand::with(&server, &auditor.token), Hand::with(&server, &operator.token));
    let page = by_operator.get(&format!("/console/log/{LEAF}"));
    assert_eq!(page.status, 200);
    assert!(page.html.contains("fusebox log verify") && page.html.contains("<noscript>") && page.html.contains("data-salt=\"\""));
    let page = by_auditor.get(&format!("/console/log/{LEAF}"));
    assert!(page.status == 200 && !page.html.contains("data-salt=\"\""), "{}", page.html);
    assert_eq!(denials() - before, 0, "a page that shows less is no denial");
    for path in ["/console/log/99999999", "/console/log/x", "/console/log/18446744073709551615"] {
        assert!([400, 404].contains(&by_auditor.get(path).status), "{path}");
    }
    // The list by kind, and one page after the other, holds every leaf once.
    let all = auditor.get("/v1/log/leaves?count=500").good();
    let size = all["size"].as_u64().unwrap();
    let numbers: Vec<u64> = all["leaves"].as_array().unwrap().iter().map(|l| l["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..size).rev().collect::<Vec<_>>());
    let older = auditor.get("/v1/log/leaves?count=2&before=3").good();
    assert_eq!((&older["leaves"][0]["number"], &older["leaves"][1]["number"]), (&2.into(), &1.into()));
    for bad in ["count=0", "count=501", "kind=200", "kind=x"] {
        assert_eq!(auditor.get(&format!("/v1/log/leaves?{bad}")).status, 422, "{bad}");
    }
}
