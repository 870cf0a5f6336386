//! What people do, in a browser: sign in, read, decide, object, stop, in both languages, on a wide and on a narrow window.

use crate::browser::Browser;
use crate::support::fusebox;
use crate::world::World;

/// Widths of the windows.
const WIDE: u32 = 1440;
const NARROW: u32 = 390;

/// A stretch of the way.
type Stage = (&'static str, fn(&Browser, &World));

const STAGES: [Stage; 8] = [
    ("a checker looks", checker_looks),
    ("reviewers make keys", reviewers_make_keys),
    ("reviewers vote", reviewers_vote),
    ("providers have their say", providers_have_their_say),
    ("what left is in the log", what_left_is_in_the_log),
    ("an operator works", operator_works),
    ("the authority stops", authority_stops),
    ("administrators look", administrators_look),
];

/// Every stage is tried, so that one run tells all that is wrong.
pub fn in_a_browser(world: &mut World) {
    let browser = Browser::start();
    browser.width(WIDE);
    let mut failed: Vec<&str> = Vec::new();
    for (name, stage) in STAGES {
        let started = std::time::Instant::now();
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage(&browser, world))).is_err() {
            failed.push(name);
            let _ = browser.complaints();
        }
        println!("{name}: {:.1} s", started.elapsed().as_secs_f64());
    }
    let started = std::time::Instant::now();
    world.fill();
    full_lists(&browser, world);
    println!("full lists: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(failed, [""; 0], "stages that failed");
}

fn sign_in(browser: &Browser, world: &World, who: &str) {
    sign_in_with(browser, world, who, &world.client(who).token);
}

fn sign_in_with(browser: &Browser, world: &World, who: &str, token: &str) {
    browser.open(&format!("{}/console/", world.server.url));
    if browser.has("form[action='/console/sign-out']") {
        browser.click("form[action='/console/sign-out'] button");
        browser.says("已退出登录");
    }
    browser.write("input[name=token]", token);
    browser.click("main button[type=submit]");
    browser.says(who);
}

/// Shows a page in both languages, on both windows, and takes its picture; the page is well formed for a screen reader.
fn look(browser: &Browser, world: &World, path: &str, name: &str) {
    for (lang, width) in [("en", WIDE), ("zh", WIDE), ("zh", NARROW)] {
        browser.width(width);
        browser.open(&format!("{}/console/language/{lang}?to={path}", world.server.url));
        browser.picture(&format!("{name}-{lang}-{width}"));
        readable(browser, &format!("{path} in {lang} at {width}"));
        contrast(browser, &format!("{path} in {lang} at {width}"));
    }
    browser.width(WIDE);
    unmarred(browser, path);
}

/// Landmarks, one heading of the first level, labels, captions, and no sideways scroll of the page itself.
fn readable(browser: &Browser, what: &str) {
    let wrong = browser.run(
        "const wrong = [];
         if (!document.documentElement.lang) wrong.push('no language');
         if (document.querySelectorAll('h1').length !== 1) wrong.push('not one h1');
         for (const l of ['header', 'main', 'footer']) if (!document.querySelector(l)) wrong.push('no ' + l);
         if (document.querySelector('.skip')?.getAttribute('href') !== '#main') wrong.push('no skip link');
         for (const f of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
           if (!f.labels?.length && !f.getAttribute('aria-label')) wrong.push('no label: ' + f.name);
         for (const t of document.querySelectorAll('table')) {
           if (!t.caption?.textContent.trim()) wrong.push('a table without caption');
           for (const h of t.querySelectorAll('th')) if (!h.scope) wrong.push('a head without scope');
         }
         for (const s of document.querySelectorAll('svg:not([aria-hidden])')) if (!s.querySelector('title') || !s.querySelector('desc')) wrong.push('a drawing without words');
         const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
         if (new Set(ids).size !== ids.length) wrong.push('an id twice');
         if (document.documentElement.scrollWidth > window.innerWidth + 1) wrong.push('scrolls sideways: ' + document.documentElement.scrollWidth);
         for (const e of document.querySelectorAll('[src], link[href]')) {
           const u = new URL(e.src || e.href, location); if (u.origin !== location.origin) wrong.push('from elsewhere: ' + u);
         }
         return wrong;",
    );
    assert_eq!(wrong, serde_json::json!([]), "{what}");
}

/// Text on its ground: 4.5, or 3 where it is large (WCAG 2.2, 1.4.3).
fn contrast(browser: &Browser, what: &str) {
    let faint = browser.run(&format!(
        "{LUMINANCE}
         const faint = [];
         let seen = 0;
         for (const e of document.querySelectorAll('body *')) {{
           const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
           // Of a long table the first rows: the others are dressed alike.
           if (!own || e.closest('.unseen, .skip, svg, tr:nth-child(n+6)') || !e.checkVisibility()) continue;
           seen += 1;
           const style = getComputedStyle(e);
           const px = parseFloat(style.fontSize), large = px >= 24 || (px >= 18.66 && style.fontWeight >= 700);
           const found = ratio(style.color, ground(e));
           if (found < (large ? 3 : 4.5)) faint.push(found.toFixed(2) + ' ' + e.tagName + ' ' + e.className + ': ' + e.textContent.trim().slice(0, 30));
         }}
         return {{ faint: [...new Set(faint)], seen }};"
    ));
    assert!(faint["seen"].as_u64().unwrap() > 5 && faint["faint"] == serde_json::json!([]), "{what}: {faint}");
}

/// Luminance of a colour and the ratio of two, as WCAG has them; the ground that an element stands on.
const LUMINANCE: &str = "
    const parts = c => c.match(/[0-9.]+/g).map(Number);
    const light = c => {
      const [r, g, b] = parts(c).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
    const ground = e => {
      for (let at = e; at; at = at.parentElement) {
        const c = getComputedStyle(at).backgroundColor, p = parts(c);
        if (p.length < 4 || p[3] === 1) return c;
      }
      return 'rgb(255, 255, 255)';
    };";

/// With the tabulator alone: first the way past the navigation, then every place once, each with a frame that is seen (3 to its ground).
fn by_keyboard(browser: &Browser, what: &str) {
    // From the top, wherever one was.
    browser.run("const top = document.createElement('span'); top.tabIndex = -1; document.body.prepend(top); top.focus();");
    let places = browser.run(
        "const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex=\"0\"]')]
           .filter(e => e.checkVisibility() && !e.disabled && e.tabIndex >= 0);
         // One of a group of choices is a place, and the arrows lead on.
         const groups = new Set(all.map((e, i) => e.dataset.place = e.type === 'radio' ? e.name : i));
         return groups.size;",
    );
    let places = places.as_u64().unwrap();
    let mut reached = std::collections::BTreeSet::new();
    for step in 0..places {
        browser.tab();
        let seen = browser.run(&format!(
            "{LUMINANCE}
             const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
             const framed = parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== 'none' && ratio(style.outlineColor, ground(e.parentElement)) >= 3;
             return {{ place: e.dataset.place, skip: e.classList.contains('skip') && box.left >= 0, framed, html: e.outerHTML.slice(0, 160) }};"
        ));
        assert_eq!(seen["framed"], true, "{what}: a place without a frame that is seen: {seen}");
        assert!(step != 0 || seen["skip"] == true, "{what}: the first place is the way to the content: {seen}");
        reached.insert(seen["place"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(reached.len() as u64, places, "{what}: places that the tabulator does not reach");
}

/// No error in the browser's console, no load that the policy blocked.
#[track_caller]
fn unmarred(browser: &Browser, what: &str) {
    assert_eq!(browser.complaints(), Vec::<String>::new(), "{what}");
}

fn checker_looks(browser: &Browser, world: &World) {
    // Whatever language this machine's browser asks for.
    browser.open(&format!("{}/console/language/zh", world.server.url));
    browser.says("请使用安全管理员签发的访问令牌登录");
    look(browser, world, "/console/sign-in", "sign-in");
    browser.write("input[name=token]", "not-a-token");
    browser.click("main button[type=submit]");
    browser.says("令牌无效");
    browser.picture("sign-in-wrong");
    // The browser notes the 401 of a wrong token; nothing else.
    assert!(browser.complaints().iter().all(|said| said.contains("401")));
    sign_in(browser, world, "checker-li");
    look(browser, world, "/console/overview", "overview-checker");
    look(browser, world, "/console/releases", "releases-checker");
    look(browser, world, &format!("/console/releases/{}", world.table), "release-table");
    assert!(browser.text().contains("已抑制"), "suppressed cells are marked");
    by_keyboard(browser, "what left");
    look(browser, world, "/console/modules", "modules");
    look(browser, world, &format!("/console/modules/{}", world.module), "module");
    look(browser, world, "/console/papers", "papers");
    look(browser, world, "/console/papers/agreements/credit-2026", "agreement");
    look(browser, world, "/console/clauses", "clauses");
}

/// Two reviewers, each with a key that this browser makes; the administrator types what each reads out.
const VOTERS: [&str; 2] = ["reviewer-song", "reviewer-tang"];

fn reviewers_make_keys(browser: &Browser, world: &World) {
    for who in VOTERS {
        sign_in(browser, world, who);
        browser.open(&format!("{}/console/keys", world.server.url));
        if who == VOTERS[0] {
            look(browser, world, "/console/keys", "keys-none");
        }
        browser.waits("form[data-script=enrol]:not([hidden])");
        assert!(!browser.text().contains("fusebox key new"), "the other way is named where this one is closed");
        browser.click("form[data-script=enrol] button");
        browser.says("密钥已登记");
        browser.says("在此浏览器中");
        let told = browser.run("return document.querySelector('.print').textContent").as_str().unwrap().to_owned();
        browser.picture("key-enrolled");
        // The private half is there, and no script can read it out.
        let extractable = browser.wait_for(
            "const done = arguments[0];
             const open = indexedDB.open('fusebox', 1);
             open.onsuccess = () => {
               const all = open.result.transaction('reviewer-keys').objectStore('reviewer-keys').getAll();
               all.onsuccess = () => { open.result.close(); done(all.result.map(k => [k.type, k.extractable, k.algorithm.name].join())); };
             };",
        );
        assert!(extractable.as_array().unwrap().iter().all(|k| k == "private,false,Ed25519"), "{extractable}");
        sign_in(browser, world, "security-ma");
        if who == VOTERS[0] {
            look(browser, world, "/console/keys", "keys-to-confirm");
        }
        browser.open(&format!("{}/console/keys", world.server.url));
        assert!(!browser.text().contains(&told), "who confirms does not read it here");
        browser.write("input[name=fingerprint]", &told);
        browser.click("form[action='/console/keys/confirm'] button");
        browser.says("密钥已确认。");
    }
    look(browser, world, "/console/keys", "keys-confirmed");
    sign_in(browser, world, "authority-chen");
    look(browser, world, "/console/keys", "keys-authority");
}

/// Opens the review copy and chooses; the page is left before it is sent.
fn read_and_choose(browser: &Browser, world: &World, decision: &str) {
    let held = format!("/console/releases/{}", world.models[0]);
    browser.open(&format!("{}{held}", world.server.url));
    assert!(!browser.text().contains("截距"), "the artefact shows to nobody who did not ask for the review copy");
    browser.click("form[action$='/copy#artefact'] button");
    browser.says("截距");
    browser.waits("form[data-script=vote]:not([hidden])");
    browser.click(&format!("form[data-script=vote] input[value={decision}]"));
}

fn reviewers_vote(browser: &Browser, world: &World) {
    let held = format!("/console/releases/{}", world.models[0]);
    let signed_in = |who: &str| sign_in(browser, world, who);
    signed_in(VOTERS[1]);
    look(browser, world, &held, "release-held");
    let main = "return document.querySelector('main').outerHTML";
    let before = browser.run(main);
    signed_in(VOTERS[0]);
    let leaves = world.leaves_of(&world.models[0]);
    read_and_choose(browser, world, "deny");
    assert_eq!(world.leaves_of(&world.models[0]) - leaves, 1, "the opening is a leaf");
    browser.picture("vote-deny");
    by_keyboard(browser, "a vote");
    browser.click("form[data-script=vote] input[value=approve]");
    browser.click("details.signed summary");
    browser.picture("vote-approve");
    let message = browser.run("return document.querySelector('[data-message]').textContent").as_str().unwrap().to_owned();
    let commitment = world.client("authority-chen").get(&format!("/v1/releases/{}", world.models[0])).good()["commitment"].clone();
    let expected = format!("fusebox-review-v1\n{}\n1\n{}\napprove\nsound\n", world.models[0], commitment.as_str().unwrap());
    assert_eq!(message, expected, "what is shown is what is signed");
    browser.width(NARROW);
    browser.picture("vote-approve-390");
    browser.width(WIDE);
    browser.click("form[data-script=vote] button[type=submit]");
    browser.says("您的表决已封存");
    look(browser, world, &held, "release-voted");
    // The other reviewer sees what there was before, to the letter, but for the mark of the new session.
    signed_in(VOTERS[1]);
    browser.open(&format!("{}{held}", world.server.url));
    let unmarked = |html: &serde_json::Value| {
        let html = html.as_str().unwrap().to_owned();
        let mark = crate::by_hand::mark(&html);
        html.replace(&mark, "MARK")
    };
    assert_eq!(unmarked(&browser.run(main)), unmarked(&before), "the other reviewer's page changed with the first vote");
    read_and_choose(browser, world, "approve");
    browser.click("form[data-script=vote] button[type=submit]");
    browser.says("数源部门仍在异议期内");
    look(browser, world, &held, "release-approved");
    unmarred(browser, "two votes");
}

fn providers_have_their_say(browser: &Browser, world: &World) {
    let pages = [&world.models[0], &world.models[1]].map(|id| format!("/console/releases/{id}"));
    let providers = ["tax-zhao", "credit-sun", "power-zhou"].map(|who| (who, world.provider(who)));
    for (who, client) in &providers {
        sign_in_with(browser, world, who, &client.token);
        if *who == "tax-zhao" {
            look(browser, world, "/console/data", "data-provider");
            look(browser, world, "/console/data/tax_grades", "dataset");
            look(browser, world, &pages[1], "release-provider");
            assert!(!browser.has("form[data-script=vote]") && !browser.has("form[action$='/copy#artefact']"), "a provider does not review");
            browser.write("form[action$='/veto'] textarea[name=reason]", "用途不符");
            browser.click("form[action$='/veto'] button");
            browser.says("异议已记录");
            browser.picture("release-vetoed");
            look(browser, world, &pages[0], "release-window");
        }
        browser.open(&format!("{}{}", world.server.url, pages[0]));
        browser.click("form[action$='/waive'] button");
        browser.says("已记录放弃异议");
    }
    look(browser, world, &pages[0], "release-left");
    unmarred(browser, "providers");
}

/// The leaf that the page names holds the release, in a log that verifies offline.
fn what_left_is_in_the_log(browser: &Browser, world: &World) {
    sign_in(browser, world, "operator-wang");
    browser.open(&format!("{}/console/releases/{}", world.server.url, world.models[0]));
    browser.says("截距");
    let shown = browser.run("return document.querySelector('#evidence').innerText").as_str().unwrap().to_owned();
    // With all that proves it: the browser's own download is sound on any machine that has the log's key.
    let bundle = browser.download("#evidence a[href$='/bundle']", &format!("{}.zip", world.models[0]));
    let (out, err, code) = fusebox(&["verify", bundle.to_str().unwrap(), "--log-key", &world.server.log_key]);
    assert!(code == 0 && out.contains("sound"), "{out}{err}");
    let leaf = shown.split_once("出域日志序号").unwrap().1.split_whitespace().next().unwrap().to_owned();
    let body = world.client("auditor-xu").get(&format!("/v1/log/leaves/{leaf}")).good();
    assert!(body["body"].as_str().unwrap().contains(&world.models[0]), "{body}");
    let (copy, token) = (world.server.dir.path().join("copy"), world.server.dir.path().join("token"));
    let (copy, token) = (copy.to_str().unwrap(), token.to_str().unwrap());
    for arguments in [
        &["log", "fetch", copy, "--server", &world.server.url, "--token-file", token][..],
        &["log", "verify", copy, "--key", &world.server.log_key],
    ] {
        let (out, err, code) = fusebox(arguments);
        assert_eq!(code, 0, "{out}{err}");
    }
}

fn operator_works(browser: &Browser, world: &World) {
    sign_in(browser, world, "operator-wang");
    look(browser, world, "/console/jobs", "jobs-operator");
    by_keyboard(browser, "jobs with their form");
    // A refusal that teaches: the purpose is agreed, the module is not reviewed.
    browser.run("for (const o of document.querySelector('select[name=module]').options) if (/leaks/.test(o.text)) o.selected = true");
    browser.click("input[value=real]");
    browser.click("form[action='/console/jobs'] button");
    browser.says("module.unreviewed");
    browser.says("请由审核人审核模块");
    browser.picture("job-refused");
    assert!(browser.complaints().iter().all(|said| said.contains("403")));
    browser.open(&format!("{}/console/jobs", world.server.url));
    browser.run("for (const o of document.querySelector('select[name=module]').options) if (/rate/.test(o.text)) o.selected = true");
    browser.click("input[value=synthetic]");
    browser.click("form[action='/console/jobs'] button");
    browser.says("任务已提交");
    // The page follows the job by itself.
    browser.says("✓ 已完成");
    // A rule that made-up rows say nothing of is told beside the table.
    browser.says("合成数据上未作判断");
    browser.says("table.own_measure");
    browser.picture("job-done");
    unmarred(browser, "a job followed");
    let path = browser.run("return location.pathname").as_str().unwrap().to_owned();
    look(browser, world, &path, "job-synthetic");
    look(browser, world, "/console/overview", "overview-operator");
}

fn authority_stops(browser: &Browser, world: &World) {
    sign_in(browser, world, "authority-chen");
    look(browser, world, "/console/freeze", "freeze");
    browser.write("form[action='/console/freeze'] input[name=reason]", "演练");
    browser.click("form[action='/console/freeze'] button");
    browser.says("已暂停全部出域");
    look(browser, world, "/console/overview", "overview-frozen");
    browser.open(&format!("{}/console/freeze", world.server.url));
    browser.write("form[action='/console/freeze/lift'] input[name=reason]", "演练结束");
    browser.click("form[action='/console/freeze/lift'] button");
    browser.says("已解除暂停");
    assert!(!browser.text().contains("已暂停全部出域"));
    unmarred(browser, "a freeze");
}

fn administrators_look(browser: &Browser, world: &World) {
    sign_in(browser, world, "security-ma");
    look(browser, world, "/console/accounts", "accounts");
    look(browser, world, "/console/machine", "machine");
    sign_in(browser, world, "rival-qian");
    look(browser, world, "/console/releases", "releases-empty");
    assert!(browser.text().contains("尚无出域事项"));
}

fn full_lists(browser: &Browser, world: &World) {
    // The restart ended every session.
    browser.open(&format!("{}/console/", world.server.url));
    sign_in(browser, world, "authority-chen");
    look(browser, world, "/console/releases?per=500", "releases-500");
    let rows = browser.run("return document.querySelectorAll('#list tbody tr').length");
    assert_eq!(rows, 500);
    browser.open(&format!("{}/console/releases?state=refused", world.server.url));
    assert!(browser.text().contains("table.minimum_units") && !browser.has("#list .chip.good"));
    look(browser, world, "/console/overview", "overview-full");
}
