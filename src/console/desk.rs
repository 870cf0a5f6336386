//! One caller at one page: who they are, in which language, and the interface under their token.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::Value;

use super::frame::{Frame, Who};
use super::json::{list, text};
use super::kit::{Cell, Facts, Note, Part, Section, Tone};
use super::session::{Session, same};
use super::words::{Lang, Words};
use super::{Console, labels};
use crate::api::PageRefused;
use crate::clock::Timestamp;
use crate::policy::{Caller, Principal, Role};
use crate::refusal::{self, Refused};

/// Bytes of an answer of the interface that a page reads: a table of 2,000 cells takes less than a tenth.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes of a posted form.
const FORM_BYTES_MAX: usize = 64 << 10;

/// One caller at one page.
pub(super) struct Desk {
    console: Console,
    session: Arc<Session>,
    caller: Caller,
    lang: Lang,
    path: String,
    frozen: bool,
}

/// What is shown in place of the page that was asked for.
pub(super) struct Trouble(Box<Response>);

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// What a handler of a page returns.
pub(super) type Shown = Result<Response, Trouble>;

impl FromRequestParts<Console> for Desk {
    type Rejection = Response;
    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let (caller, session) = (parts.extensions.get::<Caller>().cloned(), parts.extensions.get::<Arc<Session>>().cloned());
        // Both layers stand before every page that takes a desk.
        let (Some(caller), Some(session)) = (caller, session) else { return Err(Redirect::to("/console/sign-in").into_response()) };
        let lang = Lang::of(&parts.headers, console.interface.tls());
        let path = parts.uri.path_and_query().map_or("/console/", |p| p.as_str()).to_owned();
        let mut desk = Self { console: console.clone(), session, caller, lang, path, frozen: false };
        desk.frozen = desk.get("/health").await.is_ok_and(|health| health.get("frozen") == Some(&Value::Bool(true)));
        Ok(desk)
    }
}

impl Desk {
    /// Who looks.
    pub fn me(&self) -> &Principal {
        self.caller.principal()
    }
    /// Whether their role is one of these.
    pub fn is(&self, roles: &[Role]) -> bool {
        roles.contains(&self.me().role)
    }
    /// Words of reviews in their language.
    pub fn r(&self) -> &'static super::words_review::ReviewWords {
        self.lang.reviews()
    }
    /// Words in their language.
    pub fn w(&self) -> &'static Words {
        self.lang.words()
    }
    /// Their language.
    pub fn lang(&self) -> Lang {
        self.lang
    }
    /// What forms carry.
    pub fn mark(&self) -> &str {
        &self.session.mark
    }
    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.console.interface.now()
    }
    /// The label of a closed word.
    pub fn say(&self, word: &str) -> String {
        labels::say(self.lang, word)
    }

    /// A page for one of these roles only, where no call of the interface judges it.
    ///
    /// # Errors
    /// `auth.role`, in the log too.
    pub fn only(&self, roles: &[Role]) -> Result<(), Trouble> {
        if self.is(roles) { Ok(()) } else { Err(self.refuse(Refused::new(&refusal::FORBIDDEN), StatusCode::FORBIDDEN)) }
    }

    /// The JSON answer to a `GET`.
    ///
    /// # Errors
    /// The refusal, as a page.
    pub async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.call(Method::GET, path, None).await
    }

    /// The answer to a `GET` where the caller's role may have it; nothing where the role is none of `roles`, so that no denial comes
    /// of a page that merely shows less.
    ///
    /// # Errors
    /// The refusal, as a page.
    pub async fn get_as(&self, roles: &[Role], path: &str) -> Result<Value, Trouble> {
        if self.is(roles) { self.get(path).await } else { Ok(Value::Null) }
    }

    /// The JSON answer to a `POST` of JSON.
    ///
    /// # Errors
    /// The refusal, as a page.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Does away with something.
    ///
    /// # Errors
    /// The refusal, as a page.
    pub async fn delete(&self, path: &str) -> Result<Value, Trouble> {
        self.call(Method::DELETE, path, None).await
    }

    /// The JSON answer to a `GET`, or the refusal in its place: for a part of a page without which the rest is shown all the same.
    ///
    /// # Errors
    /// A token that ended.
    pub async fn ask(&self, path: &str) -> Result<Result<Value, Value>, Trouble> {
        let (status, value) = self.answer(Method::GET, path, None).await;
        match status {
            _ if status.is_success() => Ok(Ok(value)),
            StatusCode::UNAUTHORIZED => Err(self.trouble(status, &Value::Null)),
            _ => Ok(Err(value.get("error").cloned().unwrap_or_default())),
        }
    }

    /// A file as the interface hands it out.
    ///
    /// # Errors
    /// The refusal, as a page.
    pub async fn file(&self, path: &str) -> Shown {
        let response = self.raw(path).await;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(self.trouble(status, value.get("error").unwrap_or(&Value::Null)))
    }

    /// The answer as it is: for event streams and files.
    pub async fn raw(&self, path: &str) -> Response {
        let mut response = self.console.interface.call(Method::GET, path, &self.session.token, None).await;
        // The interface has logged what it refused; the page's own audit would log it again.
        response.extensions_mut().remove::<Refused>();
        response
    }

    async fn answer(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let response = self.console.interface.call(method, path, &self.session.token, body).await;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let (status, value) = self.answer(method, path, body).await;
        if status.is_success() { Ok(value) } else { Err(self.trouble(status, value.get("error").unwrap_or(&Value::Null))) }
    }

    /// The page that tells a refusal. The interface has logged it already.
    fn trouble(&self, status: StatusCode, error: &Value) -> Trouble {
        // Its token ended: the session's layer takes it from there.
        if status == StatusCode::UNAUTHORIZED {
            return Trouble(Box::new(status.into_response()));
        }
        let mut response = self.page(self.w().refused).section(self.refusal(error)).show();
        *response.status_mut() = status;
        Trouble(Box::new(response))
    }

    /// A refusal of the console's own; the audit logs it.
    pub fn refuse(&self, refused: Refused, status: StatusCode) -> Trouble {
        let error = serde_json::to_value(&refused).unwrap_or_default();
        let mut response = self.page(self.w().refused).section(self.refusal(&error)).show();
        *response.status_mut() = status;
        Trouble(Box::new(PageRefused(refused, response).into_response()))
    }

    /// A refusal as it teaches: what happened, under which rule and clause, the threshold, what to do.
    pub fn refusal(&self, error: &Value) -> Section {
        self.refusal_in(Section::new("refusal", ""), error)
    }

    /// The same in a section of a name of its own.
    pub fn refusal_in(&self, section: Section, error: &Value) -> Section {
        let w = self.w();
        let (what, remedy) = match self.lang {
            Lang::En => ("/en", "/remedy_en"),
            Lang::Zh => ("/zh", "/remedy_zh"),
        };
        let clauses = list(error, "/clauses").iter().filter_map(Value::as_str).map(|c| labels::article(self.lang, c)).collect::<Vec<_>>();
        let facts = [
            (w.threshold, labels::phrase(self.lang, text(error, "/threshold"))),
            (w.subject, text(error, "/subject").to_owned()),
            (w.clauses, clauses.join(self.lang.separator())),
        ];
        let begun =
            Facts::default().add(w.remedy, Cell::text(labels::sentence(text(error, remedy)))).add(w.rule, Cell::code(text(error, "/rule")));
        // What the rule does not have is left out.
        let told = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
        let facts = told.fold(begun, |facts, (name, fact)| facts.add(name, Cell::text(fact)));
        section.part(Part::note(Tone::Bad, labels::sentence(text(error, what)))).facts(facts)
    }

    /// A page with this heading.
    pub fn page(&self, title: impl Into<String>) -> Page {
        Page {
            frame: self.frame(),
            title: title.into(),
            lead: String::new(),
            state: Cell::default(),
            crumbs: Vec::new(),
            contents: false,
            note: self.done(),
            sections: Vec::new(),
        }
    }

    fn frame(&self) -> Frame {
        let me = self.me();
        let who = Who { name: me.id.to_string(), org: me.org.to_string(), role: self.say(me.role.as_str()) };
        Frame {
            lang: self.lang,
            w: self.w(),
            nav: super::frame::nav(self.lang, me.role, &self.path),
            who: Some(who),
            mark: self.session.mark.clone(),
            path: self.path.clone(),
            frozen: self.frozen,
        }
    }

    /// What was just done, as the address says it in a closed word.
    fn done(&self) -> Option<Note> {
        let query = self.path.split_once('?')?.1;
        let (_, word) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done")?;
        let text = labels::done(self.lang, &word)?;
        match Part::note(Tone::Good, text) {
            Part::Note(note) => Some(note),
            _ => None,
        }
    }

    /// After something was done: back to a page, which says so.
    pub fn back(&self, to: &str, done: &str) -> Response {
        Redirect::to(&format!("{to}{}done={done}", if to.contains('?') { '&' } else { '?' })).into_response()
    }
}

/// A posted form, checked to be of this session.
pub(super) struct Posted {
    /// Who posted it.
    pub desk: Desk,
    fields: Vec<(String, String)>,
}

impl Posted {
    /// A field; empty where it was not sent.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.trim()).unwrap_or_default()
    }

    /// A field of several lines, each ended by a line feed: browsers send two characters.
    pub fn lines(&self, name: &str) -> String {
        self.field(name).replace("\r\n", "\n")
    }
}

/// The fields of a form.
pub(super) async fn fields(request: Request) -> Vec<(String, String)> {
    let bytes: Bytes = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await.unwrap_or_default();
    form_urlencoded::parse(&bytes).into_owned().collect()
}

/// Whether a browser says that another site sent this.
pub(super) fn from_elsewhere(request: &Request) -> bool {
    request.headers().get("sec-fetch-site").is_some_and(|site| site.as_bytes() != b"same-origin")
        || request.headers().get(header::CONTENT_TYPE).is_none_or(|t| !t.as_bytes().starts_with(b"application/x-www-form-urlencoded"))
}

impl axum::extract::FromRequest<Console> for Posted {
    type Rejection = Response;
    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let desk = Desk::from_request_parts(&mut parts, console).await?;
        let request = Request::from_parts(parts, body);
        let elsewhere = from_elsewhere(&request);
        let posted = Self { desk, fields: fields(request).await };
        if elsewhere || !same(posted.field("mark"), posted.desk.mark()) {
            return Err(posted.desk.refuse(Refused::new(&refusal::FORM), StatusCode::FORBIDDEN).into_response());
        }
        Ok(posted)
    }
}

/// A page being put together.
#[derive(Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    frame: Frame,
    title: String,
    lead: String,
    state: Cell,
    crumbs: Vec<(String, String)>,
    contents: bool,
    note: Option<Note>,
    sections: Vec<Section>,
}

impl Page {
    /// What the page is for.
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = lead.into();
        self
    }
    /// A state beside the heading.
    pub fn state(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.state = Cell::chip(tone, text);
        self
    }
    /// The page above this one.
    pub fn under(mut self, href: impl Into<String>, text: impl Into<String>) -> Self {
        self.crumbs.push((href.into(), text.into()));
        self
    }
    /// Sections are numbered, and listed at the top.
    pub fn numbered(mut self) -> Self {
        self.contents = true;
        self
    }
    /// One more section.
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }
    /// The answer.
    pub fn show(self) -> Response {
        rendered(&self)
    }
}

/// A template as an answer.
pub(super) fn rendered(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
