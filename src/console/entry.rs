//! The door of the console: signing in and out, the language, styles and scripts, and the headers of every answer.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use zeroize::Zeroizing;

use super::Console;
use super::desk::{Desk, Posted, Shown, fields, from_elsewhere, rendered};
use super::frame::{Frame, home as home_of};
use super::kit::{Note, Part, Tone};
use super::session::{Cookie, random_text, same};
use super::words::{Lang, Words};
use crate::refusal::{self, Refused};

const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
const REVIEW: &str = include_str!("assets/review.js");
const LOG_SCRIPT: &str = include_str!("assets/log.js");
const MARK: &str = include_str!("assets/mark.svg");

/// What a page may load and where its forms may go: this server.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// The headers of every answer of the console.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Turns the session's cookie into its token, and ends the session whose token ended.
pub(super) async fn session(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let tls = console.interface.tls();
    let cookie = Cookie::Session.read(request.headers(), tls).unwrap_or_default();
    let asked = request.uri().path_and_query().map_or("/console/", |p| p.as_str()).to_owned();
    let to = if request.method() == Method::GET { asked } else { "/console/".to_owned() };
    let Some(found) = console.sessions.find(&cookie, console.interface.now()) else {
        return to_sign_in(&to, (!cookie.is_empty()).then_some("over"));
    };
    let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", found.token.as_str())) else { return to_sign_in(&to, None) };
    bearer.set_sensitive(true);
    // Nothing that the browser sent stands beside the session's own.
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    request.extensions_mut().insert(Arc::clone(&found));
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        console.sessions.close(&cookie);
        return to_sign_in(&to, Some("over"));
    }
    response
}

fn to_sign_in(to: &str, why: Option<&str>) -> Response {
    let mut address = form_urlencoded::Serializer::new(String::new());
    address.append_pair("to", to);
    if let Some(why) = why {
        address.append_pair("why", why);
    }
    Redirect::to(&format!("/console/sign-in?{}", address.finish())).into_response()
}

/// An address of the console; anything else becomes its first page, so that nobody is sent elsewhere.
fn inside(to: &str) -> &str {
    let plain = to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if to.starts_with("/console/") && plain && !to.contains("//") { to } else { "/console/" }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    note: Option<Note>,
    to: String,
}

fn note(w: &Words, why: &str) -> Option<Note> {
    let (tone, text) = match why {
        "wrong" => (Tone::Bad, w.token_wrong),
        "stale" => (Tone::Wait, w.form_stale),
        "over" => (Tone::Wait, w.session_over),
        "out" => (Tone::Good, w.signed_out),
        _ => return None,
    };
    match Part::note(tone, text) {
        Part::Note(note) => Some(note),
        _ => None,
    }
}

/// The form, with a mark of its own in a cookie: without a session there is none that another site could not know.
pub(super) async fn sign_in_form(
    State(console): State<Console>,
    headers: HeaderMap,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    let asked = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    sign_in_page(&console, &headers, asked("why"), inside(asked("to")), StatusCode::OK)
}

fn sign_in_page(console: &Console, headers: &HeaderMap, why: &str, to: &str, status: StatusCode) -> Response {
    let tls = console.interface.tls();
    let Ok(mark) = random_text() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let lang = Lang::of(headers, tls);
    let cookie = Cookie::Form.set(&mark, tls);
    let path = format!("/console/sign-in?to={}", form_urlencoded::byte_serialize(to.as_bytes()).collect::<String>());
    let frame = Frame { lang, w: lang.words(), nav: Vec::new(), who: None, mark, path, frozen: false };
    let mut response = rendered(&SignIn { note: note(lang.words(), why), frame, to: to.to_owned() });
    *response.status_mut() = status;
    cookie.map(|cookie| response.headers_mut().append(header::SET_COOKIE, cookie));
    response
}

/// Opens a session for a token that the interface knows. One that it does not know is counted as every call without a valid one.
pub(super) async fn sign_in(State(console): State<Console>, request: Request) -> Response {
    let tls = console.interface.tls();
    let headers = request.headers().clone();
    let mark = Cookie::Form.read(&headers, tls).unwrap_or_default();
    let elsewhere = from_elsewhere(&request);
    let fields = fields(request).await;
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default();
    let to = inside(field("to"));
    if elsewhere || !same(field("mark"), &mark) {
        return sign_in_page(&console, &headers, "stale", to, StatusCode::FORBIDDEN);
    }
    let token = Zeroizing::new(field("token").trim().to_owned());
    let known = console.interface.call(Method::GET, "/v1/me", &token, None).await;
    if !known.status().is_success() {
        return sign_in_page(&console, &headers, "wrong", to, StatusCode::UNAUTHORIZED);
    }
    let Ok(cookie) = console.sessions.open(token, console.interface.now()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut response = Redirect::to(to).into_response();
    for set in [Cookie::Session.set(&cookie, tls), Cookie::Form.set("", tls)].into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, set);
    }
    response
}

/// Ends the session.
pub(super) async fn sign_out(State(console): State<Console>, headers: HeaderMap, _posted: Posted) -> Response {
    let tls = console.interface.tls();
    console.sessions.close(&Cookie::Session.read(&headers, tls).unwrap_or_default());
    let mut response = Redirect::to("/console/sign-in?why=out").into_response();
    Cookie::Session.set("", tls).map(|set| response.headers_mut().append(header::SET_COOKIE, set));
    response
}

/// The first page of whoever looks.
pub(super) async fn home(desk: Desk) -> Response {
    Redirect::to(home_of(desk.me().role)).into_response()
}

/// To the console.
pub(super) async fn root() -> Response {
    Redirect::to("/console/").into_response()
}

/// Chooses a language.
pub(super) async fn language(
    State(console): State<Console>,
    Path(word): Path<String>,
    Query(asked): Query<HashMap<String, String>>,
) -> Response {
    let mut response = Redirect::to(inside(asked.get("to").map(String::as_str).unwrap_or_default())).into_response();
    let chosen = Lang::parse(&word).and_then(|lang| Cookie::Language.set(lang.word(), console.interface.tls()));
    chosen.map(|set| response.headers_mut().append(header::SET_COOKIE, set));
    response
}

/// Styles, scripts, the mark.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "review.js" => ("text/javascript; charset=utf-8", REVIEW),
        "log.js" => ("text/javascript; charset=utf-8", LOG_SCRIPT),
        "mark.svg" => ("image/svg+xml", MARK),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    // Asked for again at each page, so that a new server's pages never meet an old server's style.
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

/// What is asked for at an address that is none.
pub(super) async fn no_such_page(desk: Desk) -> Shown {
    Err(desk.refuse(Refused::new(&refusal::NOT_FOUND), StatusCode::NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for to in
            ["https://evil.example/", "//evil.example", "/console//evil.example", "/console/\\evil", "/v1/me", "", "/console/\r\nx: y"]
        {
            assert_eq!(inside(to), "/console/", "{to}");
        }
        assert_eq!(inside("/console/releases?state=held&page=2"), "/console/releases?state=held&page=2");
    }

    #[test]
    fn no_page_has_a_script_or_a_style_in_its_markup() {
        for page in [
            include_str!("pages/layout.html"),
            include_str!("pages/page.html"),
            include_str!("pages/sign_in.html"),
            include_str!("pages/kit/form.html"),
            include_str!("pages/kit/cell.html"),
            include_str!("pages/kit/table.html"),
            include_str!("pages/kit/verify.html"),
        ] {
            assert!(!page.contains("style=") && !page.contains("<style") && !page.contains(" on") && !page.contains("http"), "{page}");
            assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/console/assets/").count());
        }
        assert!(POLICY.starts_with("default-src 'none'") && !POLICY.contains("unsafe"));
    }
}
