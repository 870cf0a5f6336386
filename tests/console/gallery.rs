//! A picture of every page, in both languages, on a wide and on a narrow window, of an empty server and of a full one: for someone to
//! look at. What can be judged without eyes is in `journey`.

use crate::browser::Browser;
use crate::matrix::lines;
use crate::support::{Server, until};
use crate::world::{WHO, World};

const WIDE: u32 = 1280;
const NARROW: u32 = 390;

/// Who looks at a page: the first of these that may.
const LOOKS: [&str; 8] =
    ["authority-chen", "operator-wang", "tax-zhao", "checker-li", "security-ma", "system-gao", "auditor-xu", "researcher-he"];
/// Pages that others see otherwise.
const AGAIN: [(&str, &str); 8] = [
    ("tax-zhao", "/console/overview"),
    ("operator-wang", "/console/overview"),
    ("reviewer-song", "/console/overview"),
    ("tax-zhao", "/console/data"),
    ("operator-wang", "/console/jobs"),
    ("auditor-xu", "/console/alerts"),
    ("tax-zhao", "/console/papers/agreements/credit-2026"),
    ("rival-qian", "/console/releases"),
];

pub fn of_every_page() {
    let browser = Browser::start_for("gallery");
    empty(&browser);
    let mut world = World::start();
    watched(&world);
    world.fill();
    let lines = lines(&world);
    let pages: Vec<(&str, &str)> = lines
        .iter()
        .filter(|line| !line.0.ends_with("/events") && !line.0.ends_with("/bundle"))
        .map(|line| (*LOOKS.iter().find(|who| line.2.is_empty() || line.2.contains(who)).unwrap(), line.1.as_str()))
        .chain(AGAIN)
        .chain([("authority-chen", "/console/releases?per=500")])
        .collect();
    for (who, ..) in WHO {
        let own: Vec<&str> = pages.iter().filter(|(looks, _)| *looks == who).map(|(_, path)| *path).collect();
        if !own.is_empty() {
            enter(&browser, &world.server, who, &world.client(who).token);
            own.into_iter().for_each(|path| look(&browser, &world.server, &format!("full-{who}"), path));
        }
    }
}

/// Something for supervisors to see: orders, one of them late; denials.
fn watched(world: &World) {
    let authority = world.client("authority-chen");
    for (org, text) in [("harbour-bank", "更正访问清单并提交复核记录"), ("rival-bank", "补充协议约定的安全保障措施说明")]
    {
        authority.post("/v1/orders", &serde_json::json!({ "org": org, "text": text, "due": "2099-01-31" })).good();
    }
    let rival = world.client("rival-qian");
    for _ in 0..60 {
        assert_eq!(rival.get(&format!("/v1/releases/{}", world.models[0])).status, 403);
    }
}

fn empty(browser: &Browser) {
    let server = Server::start();
    browser.width(WIDE);
    browser.open(&format!("{}/console/language/zh", server.url));
    look(browser, &server, "empty", "/console/sign-in");
    for (who, org, role) in WHO {
        let token = server.person(who, org, role).token;
        let pages: &[&str] = match who {
            "authority-chen" => {
                &["overview", "releases", "alerts", "jobs", "modules", "papers", "orders", "freeze", "indicators", "log", "data"]
            }
            "tax-zhao" | "operator-wang" => &["overview", "jobs"],
            "security-ma" => &["accounts", "machine"],
            _ => &[],
        };
        if !pages.is_empty() {
            enter(browser, &server, who, &token);
            pages.iter().filter(|page| !(who == "tax-zhao" && **page == "jobs")).for_each(|page| {
                look(browser, &server, &format!("empty-{who}"), &format!("/console/{page}"));
            });
        }
    }
}

fn enter(browser: &Browser, server: &Server, who: &str, token: &str) {
    browser.width(WIDE);
    browser.open(&format!("{}/console/", server.url));
    if browser.has("form[action='/console/sign-out']") {
        browser.click("form[action='/console/sign-out'] button");
    }
    until("the form", || browser.has("input[name=token]").then_some(()));
    browser.write("input[name=token]", token);
    browser.click("main button[type=submit]");
    browser.says(who);
}

fn look(browser: &Browser, server: &Server, whose: &str, path: &str) {
    for (lang, width) in [("zh", WIDE), ("en", WIDE), ("zh", NARROW)] {
        browser.width(width);
        let to: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
        browser.open(&format!("{}/console/language/{lang}?to={to}", server.url));
        let name: String =
            path.trim_start_matches("/console/").chars().take(24).map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        browser.picture(&format!("{whose}-{name}-{lang}-{width}"));
        assert!(!browser.has("#refusal"), "{path} as {whose} is refused: {}", browser.text());
        let sideways = browser.run("return document.documentElement.scrollWidth - window.innerWidth").as_i64().unwrap();
        assert!(sideways <= 1, "{path} in {lang} at {width} scrolls sideways by {sideways}");
    }
}
