//! The next step of a review, as a form for whoever may take it: statement, vote, more time, objection, waiver, appeal, hearing. Each is
//! one call of the interface, which judges it; a form that is not shown would be refused there.

use axum::extract::Path;
use axum::response::Response;
use serde_json::{Value, json};

use super::desk::{Desk, Posted, Trouble};
use super::json::{figure, is, list, some, text, texts};
use super::kit::{Cell, Facts, Field, Fit, Form, Part, Section, Tone};
use super::labels;
use crate::gate::{Choice, REASON_CHARS_MAX, REASONS, STATEMENT_CHARS_MAX};
use crate::policy::Role;

/// Adds the forms of what the caller may do now.
pub(super) fn next(desk: &Desk, section: Section, release: &Value, keys: &Value, opened: bool) -> Section {
    match desk.me().role {
        Role::Operator => operator(desk, section, release),
        Role::OutputChecker => checker(desk, section, release, keys, opened),
        Role::Provider => provider(desk, section, release),
        Role::Authority => authority(desk, section, release),
        _ => section,
    }
}

fn action(release: &Value, step: &str) -> String {
    format!("/console/releases/{}/{step}", text(release, "/id"))
}

fn reason(desk: &Desk) -> Field {
    Field::Lines { name: "reason", label: desk.w().reason.into(), hint: desk.r().reason_hint.into(), chars_max: REASON_CHARS_MAX }
}

/// A form under a heading, with what it means.
fn step(section: Section, heading: &str, means: &str, form: Form) -> Section {
    section.heading(heading).part(Part::Hint(means.to_owned())).form(form)
}

fn operator(desk: &Desk, section: Section, release: &Value) -> Section {
    let r = desk.r();
    let lines =
        |name, label: &str| Field::Lines { name, label: label.into(), hint: r.statement_hint.into(), chars_max: STATEMENT_CHARS_MAX };
    let form = || {
        let form = Form::new(action(release, "request"), desk.mark(), r.statement_send);
        form.field(lines("purpose", r.said_purpose)).field(lines("context", r.said_context))
    };
    let reviewers_denied = list(release, "/review/rounds").last().is_some_and(|round| text(round, "/outcome") == "denied");
    match text(release, "/review/stage") {
        "awaiting_statement" => step(section, r.statement, r.statement_text, form()),
        "returned" => step(section, r.statement_again, r.statement_text, form().field(lines("changes", r.said_changes))),
        "decided" if text(release, "/state") == "denied" && reviewers_denied && !some(release, "/review/appeal") => {
            let form = Form::new(action(release, "appeal"), desk.mark(), r.appeal_file).field(reason(desk));
            step(section, r.appeal_file, r.appeal_text, form)
        }
        _ => section,
    }
}

fn checker(desk: &Desk, section: Section, release: &Value, keys: &Value, opened: bool) -> Section {
    let r = desk.r();
    let held = text(release, "/state") == "held";
    let own = [text(release, "/org"), text(release, "/facts/author_org")].contains(&desk.me().org.as_str());
    let note = |tone, text| Part::note(tone, text);
    match text(release, "/review/stage") {
        _ if !held => section,
        _ if own => section.part(note(Tone::Plain, r.own_review)),
        "in_review" if is(release, "/review/voted") => section.heading(r.ballot).part(note(Tone::Good, r.ballot_cast)),
        "in_review" if is(release, "/review/duty") => ballot(desk, section.heading(r.ballot), release, keys, opened),
        "in_review" => section.part(note(Tone::Plain, r.separated)),
        _ => section.part(note(Tone::Plain, r.not_filed)),
    }
}

/// Public halves of the caller's own keys that are confirmed and stand.
fn standing_keys(desk: &Desk, keys: &Value) -> Vec<String> {
    let own = |key: &&Value| text(key, "/principal") == desk.me().id.as_str();
    let stands = |key: &&Value| some(key, "/confirmed_at") && !some(key, "/revoked_at");
    list(keys, "").iter().filter(own).filter(stands).map(|key| text(key, "/public_key").to_owned()).collect()
}

fn ballot(desk: &Desk, section: Section, release: &Value, keys: &Value, opened: bool) -> Section {
    let r = desk.r();
    let section = section.part(Part::Hint(r.ballot_hint.to_owned()));
    let own = standing_keys(desk, keys);
    if own.is_empty() {
        let facts = Facts::default().add(r.vote_key, Cell::link("/console/keys", r.keys));
        return section.part(Part::note(Tone::Wait, r.no_key)).facts(facts);
    }
    if !opened {
        return section.part(Part::note(Tone::Wait, r.ballot_first));
    }
    let choices = [
        (Choice::Approve, r.approve, r.approve_text),
        (Choice::Deny, r.deny, r.deny_text),
        (Choice::Return, r.give_back, r.give_back_text),
    ];
    let choices = choices.map(|(choice, label, means)| (choice.word().to_owned(), label.to_owned(), means.to_owned()));
    let told = vec![
        ("keys", own.join(" ")),
        ("release", text(release, "/id").to_owned()),
        ("round", figure(release, "/review/round")),
        ("commitment", text(release, "/commitment").to_owned()),
    ];
    let form = Form::new(action(release, "vote"), desk.mark(), r.sign)
        .by_script("vote", told)
        .field(Field::Choice { name: "decision", label: r.ballot_decision.into(), options: choices.into() })
        .field(Field::Fitting { name: "reason", label: r.ballot_reason.into(), options: reasons(desk) })
        .field(Field::Signed { label: r.signed_label.into(), hint: r.signed_hint.into() });
    section.part(Part::Without("vote", r.no_key_here.to_owned())).form(form)
}

/// The closed list of reasons, each with the articles that it rests on.
fn reasons(desk: &Desk) -> Vec<Fit> {
    let beside = |approves: bool| {
        let fits = [Choice::Approve, Choice::Deny, Choice::Return].into_iter().filter(|choice| (*choice == Choice::Approve) == approves);
        fits.map(Choice::word).collect::<Vec<_>>().join(" ")
    };
    let articles = |clauses: &[&str]| clauses.iter().map(|c| labels::article(desk.lang(), c)).collect::<Vec<_>>();
    let all = REASONS.iter().map(|(reason, approves, clauses)| Fit {
        key: reason.word().to_owned(),
        text: desk.say(reason.word()),
        hint: articles(clauses).join(desk.lang().separator()),
        beside: beside(*approves),
    });
    all.collect()
}

fn provider(desk: &Desk, section: Section, release: &Value) -> Section {
    let r = desk.r();
    let pending = text(release, "/state") == "approved_pending";
    if !pending && text(release, "/state") != "held" {
        return section;
    }
    if figure(release, "/review/veto_working_days") == "0" {
        return section.part(Part::note(Tone::Plain, r.no_veto));
    }
    let form = Form::new(action(release, "veto"), desk.mark(), r.veto).field(reason(desk)).danger();
    let section = step(section, r.veto, r.veto_text, form);
    if !pending {
        return section;
    }
    if texts(release, "/review/waived").contains(&desk.me().org.as_str()) {
        return section.part(Part::note(Tone::Good, r.waived_own));
    }
    step(section, r.waive, r.waive_text, Form::new(action(release, "waive"), desk.mark(), r.waive).quiet())
}

fn authority(desk: &Desk, section: Section, release: &Value) -> Section {
    let r = desk.r();
    let extended = list(release, "/review/rounds").last().is_some_and(|round| some(round, "/extension"));
    match text(release, "/review/stage") {
        "in_review" if !extended => {
            let form = Form::new(action(release, "extend"), desk.mark(), r.extend).field(reason(desk)).quiet();
            step(section, r.extend, r.extend_text, form)
        }
        "appealed" => {
            let options = [("uphold", r.uphold, r.uphold_text), ("send_back", r.send_back, r.send_back_text)];
            let options = options.map(|(key, label, means)| (key.to_owned(), label.to_owned(), means.to_owned()));
            let choice = Field::Choice { name: "decision", label: r.ballot_decision.into(), options: options.into() };
            step(section, r.hear, r.hear_text, Form::new(action(release, "hear"), desk.mark(), r.hear).field(choice).field(reason(desk)))
        }
        _ => section,
    }
}

type Stepped = Result<Response, Trouble>;

/// Takes the step, then goes back to the output's page, which says so.
async fn take(posted: &Posted, id: &str, step: &str, body: &Value, done: &str) -> Stepped {
    posted.desk.post(&format!("/v1/releases/{id}/{step}"), body).await?;
    Ok(posted.desk.back(&format!("/console/releases/{id}"), done))
}

/// The operator's statement.
pub(super) async fn request(Path(id): Path<String>, posted: Posted) -> Stepped {
    let mut statement = json!({ "purpose": posted.lines("purpose"), "context": posted.lines("context") });
    let changes = Some(posted.lines("changes")).filter(|changes| !changes.is_empty());
    statement.as_object_mut().zip(changes).map(|(fields, changes)| fields.insert("changes".into(), changes.into()));
    take(&posted, &id, "request", &statement, "filed").await
}

/// A vote that the reviewer's browser signed.
pub(super) async fn vote(Path(id): Path<String>, posted: Posted) -> Stepped {
    let body = json!({ "decision": posted.field("decision"), "reason": posted.field("reason"), "signature": posted.field("signature") });
    let cast = posted.desk.post(&format!("/v1/releases/{id}/vote"), &body).await?;
    let done = match (some(&cast, "/outcome"), text(&cast, "/state")) {
        (false, _) => "voted",
        (true, "released") => "approved",
        (true, "approved_pending") => "pending",
        (true, "denied") => "denied",
        (true, _) => "returned",
    };
    Ok(posted.desk.back(&format!("/console/releases/{id}"), done))
}

/// More time.
pub(super) async fn extend(Path(id): Path<String>, posted: Posted) -> Stepped {
    take(&posted, &id, "extend", &json!({ "reason": posted.lines("reason") }), "extended").await
}

/// A provider's objection.
pub(super) async fn veto(Path(id): Path<String>, posted: Posted) -> Stepped {
    take(&posted, &id, "veto", &json!({ "reason": posted.lines("reason") }), "vetoed").await
}

/// A provider will not object.
pub(super) async fn waive(Path(id): Path<String>, posted: Posted) -> Stepped {
    take(&posted, &id, "waive", &json!({}), "waived").await
}

/// The operator's appeal.
pub(super) async fn appeal(Path(id): Path<String>, posted: Posted) -> Stepped {
    take(&posted, &id, "appeal", &json!({ "reason": posted.lines("reason") }), "appealed").await
}

/// The authority's word on it. Anything but a word of the form is no decision.
pub(super) async fn hear(Path(id): Path<String>, posted: Posted) -> Stepped {
    let uphold = match posted.field("decision") {
        "uphold" => Value::Bool(true),
        "send_back" => Value::Bool(false),
        _ => Value::Null,
    };
    take(&posted, &id, "appeal/decide", &json!({ "uphold": uphold, "reason": posted.lines("reason") }), "heard").await
}
