//! The console: server-rendered pages for everyone who works with the sandbox, above all for those who decide what leaves.
//!
//! ```text
//! browser ─▶ session (cookie → token) ─▶ audit (token → caller) ─▶ page ─▶ interface, in this process, under the same token
//! ```
//! A page holds no permit, reads no table and keeps no key: it shows what the interface answers to the token of whoever looks. So what
//! the interface hides (a vote before both are in, the cause of a suppression, an end before its quantum), no page can show; and what
//! it refuses is a leaf of the log, whoever asked and from where.
//!
//! | file | what it is |
//! |---|---|
//! | `entry` | sign in and out, language, styles and scripts, headers of every answer |
//! | `session`, `desk`, `frame` | the cookie; one caller at one page; what surrounds it |
//! | `kit`, `form`, `chart`, `pages/` | what pages are made of; drawings; templates, escaped by default |
//! | `words`, `words_review`, `words_watch`, `labels` | both languages; closed words, sentences, regulations |
//! | `overview`, `todo`, `releases`, `release`, `preview`, `probe`, `fields`, `jobs`, `modules`, `papers`, `data`, `people` | the pages |
//! | `review`, `steps`, `keys` | how a review stands; the forms of its next step; the keys that votes are signed with |
//! | `alerts`, `orders`, `log` | those for who supervises; `assets/log.js` verifies a leaf in the browser |
//!
//! Every answer forbids scripts, styles, frames and forms from elsewhere (`Content-Security-Policy`); no page has a script or a style
//! in its markup, and none asks another host for anything. All but live phases, the check of a leaf and signatures works without a
//! script. A vote is signed in the browser (`assets/review.js`), by a key whose private half no script can read; the interface verifies it.

mod alerts;
mod chart;
mod data;
mod desk;
mod entry;
mod fields;
mod form;
mod frame;
mod jobs;
mod json;
mod keys;
mod kit;
mod labels;
mod log;
mod modules;
mod orders;
mod overview;
mod papers;
mod people;
mod preview;
mod probe;
mod release;
mod releases;
mod review;
mod session;
mod steps;
mod todo;
mod words;
mod words_review;
mod words_watch;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Interface;
use session::Sessions;

/// What every page has: the interface and the sessions.
#[derive(Clone)]
struct Console {
    interface: Interface,
    sessions: Arc<Sessions>,
}

/// Every page, over `interface`.
pub fn router(interface: &Interface) -> Router {
    let console = Console { interface: interface.clone(), sessions: Arc::default() };
    let signed = Router::new()
        .route("/console/", get(entry::home))
        .route("/console/sign-out", post(entry::sign_out))
        .route("/console/overview", get(overview::show))
        .route("/console/releases", get(releases::list))
        .route("/console/releases/{id}", get(release::show))
        .route("/console/releases/{id}/copy", get(release::no_copy).post(release::copy))
        .route("/console/releases/{id}/bundle", get(release::bundle))
        .route("/console/releases/{id}/request", post(steps::request))
        .route("/console/releases/{id}/vote", post(steps::vote))
        .route("/console/releases/{id}/extend", post(steps::extend))
        .route("/console/releases/{id}/veto", post(steps::veto))
        .route("/console/releases/{id}/waive", post(steps::waive))
        .route("/console/releases/{id}/appeal", post(steps::appeal))
        .route("/console/releases/{id}/hear", post(steps::hear))
        .route("/console/keys", get(keys::show).post(keys::enrol))
        .route("/console/keys/confirm", post(keys::confirm))
        .route("/console/keys/revoke", post(keys::revoke))
        .route("/console/alerts", get(alerts::list))
        .route("/console/alerts/acknowledge", post(alerts::acknowledge))
        .route("/console/orders", get(orders::list).post(orders::issue))
        .route("/console/orders/close", post(orders::close))
        .route("/console/indicators", get(orders::indicators))
        .route("/console/log", get(log::list))
        .route("/console/log/{number}", get(log::leaf))
        .route("/console/jobs", get(jobs::list).post(jobs::submit))
        .route("/console/jobs/{id}", get(jobs::show))
        .route("/console/jobs/{id}/events", get(jobs::events))
        .route("/console/jobs/{id}/cancel", post(jobs::cancel))
        .route("/console/modules", get(modules::list))
        .route("/console/modules/{digest}", get(modules::show))
        .route("/console/modules/{digest}/review", post(modules::review))
        .route("/console/papers", get(papers::list))
        .route("/console/papers/agreements/{id}", get(papers::agreement))
        .route("/console/papers/agreements/{id}/countersign", post(papers::countersign))
        .route("/console/papers/applications/{id}", get(papers::application))
        .route("/console/papers/applications/{id}/decide", post(papers::decide))
        .route("/console/data", get(data::list))
        .route("/console/data/{id}", get(data::show))
        .route("/console/accounts", get(people::accounts))
        .route("/console/machine", get(people::machine))
        .route("/console/freeze", get(people::freeze).post(people::set_freeze))
        .route("/console/freeze/lift", post(people::lift))
        .route("/console/clauses", get(people::clauses))
        .route("/console/{*rest}", get(entry::no_such_page))
        .with_state(console.clone());
    let signed = interface.audited(signed).layer(axum::middleware::from_fn_with_state(console.clone(), entry::session));
    Router::new()
        .route("/", get(entry::root))
        .route("/console", get(entry::root))
        .route("/console/sign-in", get(entry::sign_in_form).post(entry::sign_in))
        .route("/console/language/{word}", get(entry::language))
        .route("/console/assets/{name}", get(entry::asset))
        .with_state(console)
        .merge(signed)
        .layer(axum::middleware::from_fn(entry::headers))
}
