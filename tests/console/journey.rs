//! What people do, in a browser: sign in, read, decide, object, stop, in both languages, on a wide and on a narrow window.

use crate::browser::Browser;
use crate::support::until;
use crate::world::{World, text};

/// Widths of the windows.
const WIDE: u32 = 1440;
const NARROW: u32 = 390;

pub fn in_a_browser(world: &mut World) {
    let browser = Browser::start();
    browser.width(WIDE);
    checker_decides(&browser, world);
    provider_objects(&browser, world);
    operator_works(&browser, world);
    authority_stops(&browser, world);
    administrators_look(&browser, world);
    world.fill();
    full_lists(&browser, world);
}

fn sign_in(browser: &Browser, world: &World, who: &str) {
    browser.open(&format!("{}/console/", world.server.url));
    if browser.has("form[action='/console/sign-out']") {
        browser.click("form[action='/console/sign-out'] button");
        browser.says("已退出登录");
    }
    browser.write("input[name=token]", &world.client(who).token);
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
         for (const s of document.querySelectorAll('svg')) if (!s.querySelector('title') || !s.querySelector('desc')) wrong.push('a drawing without words');
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

/// No error in the browser's console, no load that the policy blocked.
#[track_caller]
fn unmarred(browser: &Browser, what: &str) {
    assert_eq!(browser.complaints(), Vec::<String>::new(), "{what}");
}

fn checker_decides(browser: &Browser, world: &World) {
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
    sign_in(browser, world, "reviewer-song");
    let held = format!("/console/releases/{}", world.models[0]);
    look(browser, world, &held, "release-held");
    assert!(!browser.text().contains("截距"), "the artefact shows to nobody who did not ask for the review copy");
    let copies = world.leaves_of(&world.models[0]);
    browser.click("form[action$='/copy#artefact'] button");
    browser.says("截距");
    browser.picture("release-copy");
    assert_eq!(world.leaves_of(&world.models[0]) - copies, 1, "the opening is a leaf");
    assert!(browser.text().contains("fusebox release vote"), "where a vote is cast");
    let held = world.client("checker-li").get(&format!("/v1/releases/{}", world.models[0])).good();
    assert_eq!(text(&held, "/state"), "held");
    look(browser, world, "/console/modules", "modules");
    look(browser, world, &format!("/console/modules/{}", world.module), "module");
    look(browser, world, "/console/papers", "papers");
    look(browser, world, "/console/papers/agreements/credit-2026", "agreement");
    look(browser, world, "/console/clauses", "clauses");
}

fn provider_objects(browser: &Browser, world: &World) {
    sign_in(browser, world, "tax-zhao");
    look(browser, world, "/console/data", "data-provider");
    look(browser, world, "/console/data/tax_grades", "dataset");
    let provider = world.client("tax-zhao");
    until("the quantum", || (provider.get(&format!("/v1/releases/{}", world.models[1])).status == 200).then_some(()));
    let held = format!("/console/releases/{}", world.models[1]);
    look(browser, world, &held, "release-provider");
    assert!(!browser.has("form[action$='/review']") && !browser.has("form[action$='/copy#artefact']"), "a provider does not review");
    browser.write("form[action$='/veto'] input[name=reason]", "用途不符");
    browser.click("form[action$='/veto'] button");
    browser.says("异议已记录");
    browser.picture("release-vetoed");
    unmarred(browser, "a veto");
}

fn operator_works(browser: &Browser, world: &World) {
    sign_in(browser, world, "operator-wang");
    look(browser, world, "/console/jobs", "jobs-operator");
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
    assert!(browser.text().contains("没有符合条件的出域事项"));
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
