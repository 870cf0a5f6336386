//! The pages as plain HTTP: every page × role, forms of other sessions, tokens that end.

use std::collections::BTreeMap;

use ureq::http::Request;

use crate::matrix::PAPERS;
use crate::support::Server;
use crate::world::{WHO, World};

pub struct Page {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub html: String,
    pub bytes: Vec<u8>,
}

/// A browser without a script: cookies and forms.
pub struct Hand {
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Hand {
    pub fn new(world: &World) -> Self {
        Self { url: world.server.url.clone(), cookies: BTreeMap::new() }
    }

    pub fn signed_in(world: &World, who: &str) -> Self {
        Self::with(&world.server, &world.client(who).token)
    }

    pub fn with(server: &Server, token: &str) -> Self {
        let mut hand = Self { url: server.url.clone(), cookies: BTreeMap::new() };
        let page = hand.sign_in(token);
        assert_eq!(page.status, 303, "{}", page.html);
        hand
    }

    pub fn sign_in(&mut self, token: &str) -> Page {
        let form = self.get("/console/sign-in");
        let mark = mark(&form.html);
        self.post("/console/sign-in", &[("mark", &mark), ("token", token), ("to", "/console/")], &[])
    }

    pub fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, None, &[])
    }

    pub fn post(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, Some(body), headers)
    }

    fn send(&mut self, method: &str, path: &str, body: Option<String>, headers: &[(&str, &str)]) -> Page {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url)).header("cookie", cookies.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => agent.run(request.header("content-type", "application/x-www-form-urlencoded").body(body).unwrap()),
            None => agent.run(request.body(()).unwrap()),
        };
        let mut answer = answer.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
        Page { status, headers, html: String::from_utf8_lossy(&bytes).into_owned(), bytes }
    }
}

/// The mark in a page's forms.
pub fn mark(html: &str) -> String {
    html.split("name=\"mark\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

fn header<'a>(page: &'a Page, name: &str) -> &'a str {
    page.headers.get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
}

pub fn check_headers(page: &Page, path: &str) {
    let policy = header(page, "content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!((header(page, "x-content-type-options"), header(page, "referrer-policy")), ("nosniff", "no-referrer"), "{path}");
    assert_eq!(header(page, "cache-control"), "no-store", "{path}");
    assert!(!page.html.contains(" style=") && !page.html.contains("<style"), "{path}: a style in the markup");
}

pub fn forms_are_of_their_session(world: &World) {
    let before = world.leaves_of("\"request.form\"");
    let mut checker = Hand::signed_in(world, "checker-li");
    let other = Hand::signed_in(world, "checker-li").get("/console/releases").html;
    let path = format!("/console/releases/{}/copy", world.models[0]);
    let own = mark(&checker.get("/console/releases").html);
    for (mark, site) in [("", "same-origin"), (mark(&other).as_str(), "same-origin"), (own.as_str(), "cross-site")] {
        let page = checker.post(&path, &[("mark", mark)], &[("sec-fetch-site", site)]);
        assert_eq!(page.status, 403, "{}", page.html);
        assert!(page.html.contains("request.form"));
    }
    assert_eq!(world.leaves_of("\"request.form\"") - before, 3, "each is a leaf");
    let held = world.client("checker-li").get(&format!("/v1/releases/{}", world.models[0])).good();
    assert_eq!(held["state"], "held", "nothing was decided");
    // Signing in from another site's form.
    let mut hand = Hand::new(world);
    let token = world.client("checker-li").token;
    let page = hand.post("/console/sign-in", &[("mark", "guess"), ("token", &token)], &[]);
    assert_eq!(page.status, 403);
    assert_eq!(Hand::new(world).sign_in("not-a-token").status, 401);
    // Without a session every page leads to the door.
    let page = hand.get("/console/releases?state=held");
    assert_eq!((page.status, header(&page, "location")), (303, "/console/sign-in?to=%2Fconsole%2Freleases%3Fstate%3Dheld"));
    // A page's text in the language that was chosen, whatever the browser asks for.
    for (word, lang, text) in [("en", "lang=\"en\"", "Output review"), ("zh", "lang=\"zh-Hans\"", "出域审核")] {
        assert_eq!(checker.get(&format!("/console/language/{word}?to=/console/releases")).status, 303);
        let html = checker.get("/console/releases").html;
        assert!(html.contains(lang) && html.contains(text));
    }
}

pub fn a_reviewer_sees_the_probe(world: &World) {
    let mut reviewer = Hand::signed_in(world, "reviewer-song");
    let page = format!("/console/releases/{}", world.models[0]);
    for (lang, texts) in [
        ("en", ["Influence of one unit in the probe", "drawn at random", "Could hide without a finding"]),
        ("zh", ["单个单元探测影响", "随机抽取", "不触发发现的最大变动"]),
    ] {
        reviewer.get(&format!("/console/language/{lang}?to=/console/releases"));
        let closed = reviewer.get(&page).html;
        assert!(texts[..].iter().all(|text| !closed.contains(text)), "only the review copy has it");
        let mark = mark(&closed);
        let opened = reviewer.post(&format!("{page}/copy"), &[("mark", &mark)], &[]).html;
        assert!(texts.iter().all(|text| opened.contains(text)) && opened.contains("<svg class=\"bars\""), "{opened}");
        assert!(!opened.contains("NaN") && !opened.contains("\"unit\""), "{opened}");
    }
}

/// The bundle of what left: a link and the file for whoever sees the output, neither of what has not left or is stopped.
pub fn a_bundle_is_there_for_who_sees_what_left(world: &World) {
    let page = |id: &str| format!("/console/releases/{id}");
    let bundle = |id: &str| format!("/console/releases/{id}/bundle");
    let links = |html: &str, id: &str| html.contains(&format!("href=\"{}\"", bundle(id)));
    let mut seen = Vec::new();
    for (who, ..) in WHO {
        let mut hand = Hand::signed_in(world, who);
        if links(&hand.get(&page(&world.table)).html, &world.table) {
            let file = hand.get(&bundle(&world.table));
            assert_eq!((file.status, header(&file, "content-type")), (200, "application/zip"), "{who}");
            assert_eq!(header(&file, "content-disposition"), format!("attachment; filename=\"{}.zip\"", world.table));
            assert!(file.bytes.starts_with(b"PK\x03\x04") && file.bytes.len() > 1_000, "{who}: {} bytes", file.bytes.len());
            seen.push(who);
        }
        assert!(!links(&hand.get(&page(&world.models[1])).html, &world.models[1]), "{who}: nothing left yet");
        let held = hand.get(&bundle(&world.models[1]));
        assert!(held.status >= 400 && held.html.contains("id=\"refusal\""), "{who}: {}", held.html);
    }
    assert_eq!(seen, PAPERS.to_vec());
    let mut operator = Hand::signed_in(world, "operator-wang");
    for (lang, said) in [("en", "Download the bundle"), ("zh", "下载存证包")] {
        operator.get(&format!("/console/language/{lang}?to=/console/releases"));
        let html = operator.get(&page(&world.table)).html;
        assert!(html.contains(said) && html.contains(&format!("fusebox verify {}.zip --log-key", world.table)), "{html}");
    }
    // While a freeze stands the page tells why, with all else that it says.
    let authority = world.client("authority-chen");
    authority.post("/v1/freeze", &serde_json::json!({ "reason": "演练" })).good();
    let stopped = operator.get(&page(&world.table));
    let html = &stopped.html;
    assert!(
        stopped.status == 200 && html.contains("release.frozen") && html.contains("id=\"basis\"") && !links(html, &world.table),
        "{html}"
    );
    assert!(operator.get(&bundle(&world.table)).html.contains("release.frozen"));
    authority.post("/v1/freeze/lift", &serde_json::json!({ "reason": "演练结束" })).good();
    assert!(links(&operator.get(&page(&world.table)).html, &world.table));
}

pub fn a_session_ends_with_its_token(world: &World) {
    let server = &world.server;
    server.admin.post("/v1/principals", &serde_json::json!({ "id": "leaver", "org": "platform", "role": "security_admin" })).good();
    let token = server.admin.post("/v1/principals/leaver/tokens", &serde_json::json!({ "days": 1 })).good();
    let mut hand = Hand::new(world);
    assert_eq!(hand.sign_in(token["token"].as_str().unwrap()).status, 303);
    assert_eq!(hand.get("/console/accounts").status, 200);
    assert_eq!(server.admin.delete(&format!("/v1/tokens/{}", token["token_id"].as_str().unwrap())).status, 204);
    let page = hand.get("/console/accounts");
    assert_eq!((page.status, header(&page, "location")), (303, "/console/sign-in?to=%2Fconsole%2Faccounts&why=over"));
    // Signing out ends one as well.
    let mut hand = Hand::signed_in(world, "auditor-xu");
    let mark = mark(&hand.get("/console/data").html);
    assert_eq!(hand.post("/console/sign-out", &[("mark", &mark)], &[]).status, 303);
    assert_eq!(hand.get("/console/data").status, 303);
}
