//! Who approves: how the review of one output stands, round by round, and below it the form of whoever may take its next step.
//!
//! To a reviewer whose vote is wanted nothing here depends on whether the other one has voted: not even the number of votes is shown.

use serde_json::Value;

use super::desk::Desk;
use super::json::{day, figure, is, list, some, text, texts, time};
use super::kit::{Cell, Facts, Part, Section, Table, Tone};
use super::release::clauses;
use super::releases::{clock, state, tone};
use super::steps;

/// The section of an output's page. `keys` are the caller's signing keys where its vote is wanted; `opened` says whether the page shows
/// the review copy.
pub(super) fn section(desk: &Desk, release: &Value, keys: &Value, opened: bool) -> Section {
    let w = desk.w();
    let rounds = list(release, "/review/rounds");
    let mut section = Section::new("approval", w.sec_approval).facts(standing(desk, release));
    if rounds.is_empty() && ["released", "refused"].contains(&text(release, "/state")) {
        section = section.part(Part::note(Tone::Plain, desk.r().by_rule));
    }
    for one in rounds {
        section = round(desk, section, one);
    }
    if some(release, "/review/appeal") {
        section = appeal(desk, section, release.pointer("/review/appeal").unwrap_or(&Value::Null));
    }
    steps::next(desk, section, release, keys, opened)
}

fn standing(desk: &Desk, release: &Value) -> Facts {
    let (w, r) = (desk.w(), desk.r());
    let (word, stage) = (text(release, "/state"), text(release, "/review/stage"));
    let told = if stage == "decided" { state(desk, word) } else { Cell::chip(Tone::Wait, desk.say(stage)) };
    let mut facts = Facts::default().add(r.stage, told);
    if stage == "in_review" && !is(release, "/review/duty") {
        facts = facts.add(r.votes_in, Cell::text(format!("{} / 2", figure(release, "/review/votes_in"))));
    }
    let reason = text(release, "/reason");
    if !reason.is_empty() {
        facts = facts.add(w.reason, Cell::text(desk.say(reason)));
    }
    if some(release, "/review/clock") {
        facts = facts.add(w.col_clock, clock(desk, release));
    }
    if some(release, "/review/window_ends") {
        facts = facts.add(r.window_ends, Cell::text(time(release, "/review/window_ends")));
    }
    let waived = texts(release, "/review/waived");
    if !waived.is_empty() {
        facts = facts.add(r.waived, Cell::text(waived.join(desk.lang().separator())));
    }
    if some(release, "/decided_at") {
        facts = facts.add(w.decided_at, Cell::text(time(release, "/decided_at")));
    }
    facts
}

/// What someone did, and when.
fn by(who: &str, when: String) -> Cell {
    Cell::text(who).and_muted(when)
}

fn round(desk: &Desk, section: Section, one: &Value) -> Section {
    let (w, r) = (desk.w(), desk.r());
    let again = if text(one, "/origin") == "appeal" { r.from_appeal } else { "" };
    let mut facts = Facts::default().add(r.filed, by(text(one, "/filed_by"), time(one, "/filed_at")).and_muted(again));
    let mut within = Cell::text(format!("{} {}", figure(one, "/working_days"), r.working_days));
    if some(one, "/extension") {
        let more = format!("{} +{} {}", r.extended, figure(one, "/extension/working_days"), r.working_days);
        within = within.line().and(more).and_muted(text(one, "/extension/by")).line().and_muted(text(one, "/extension/reason"));
    }
    facts = facts.add(r.reply_within, within);
    let outcome = text(one, "/outcome");
    if !outcome.is_empty() {
        facts = facts
            .add(r.outcome, Cell::chip(tone(outcome), desk.say(outcome)))
            .add(r.replied, Cell::text(time(one, "/ended_at")))
            .add(w.leaf, Cell::text(figure(one, "/review_leaf")));
    }
    let mut section = section.heading(format!("{} {}", r.round, figure(one, "/round"))).facts(facts);
    for (label, pointer) in [(r.said_purpose, "purpose"), (r.said_context, "context"), (r.said_changes, "changes")] {
        let said = text(one, &format!("/statement/{pointer}"));
        if !said.is_empty() {
            section = section.part(Part::Quote(label.to_owned(), said.to_owned()));
        }
    }
    if list(one, "/votes").is_empty() { section } else { section.table(votes(desk, one)) }
}

fn votes(desk: &Desk, round: &Value) -> Table {
    let (w, r) = (desk.w(), desk.r());
    let heads = [r.vote_reviewer, r.vote_decision, r.vote_reason, w.clause, r.vote_key, w.leaf];
    let mut table = Table::new(r.votes, &heads, w.none_yet);
    for vote in list(round, "/votes") {
        let decision = text(vote, "/decision");
        let tone = match decision {
            "approve" => Tone::Good,
            "deny" => Tone::Bad,
            _ => Tone::Wait,
        };
        table.push(vec![
            Cell::text(text(vote, "/by")).line().and_muted(text(vote, "/org")),
            Cell::chip(tone, desk.say(decision)),
            Cell::text(desk.say(text(vote, "/reason"))),
            clauses(desk, vote, "/clauses"),
            Cell::code(text(vote, "/key")),
            Cell::text(figure(vote, "/leaf")),
        ]);
    }
    table
}

fn appeal(desk: &Desk, section: Section, appeal: &Value) -> Section {
    let r = desk.r();
    let mut facts = Facts::default().add(r.appeal_filed, by(text(appeal, "/by"), day(appeal, "/at")));
    let outcome = text(appeal, "/outcome");
    if outcome.is_empty() {
        facts = facts.add(r.appeal_outcome, Cell::chip(Tone::Wait, desk.say("appealed")));
    } else {
        facts = facts
            .add(r.appeal_outcome, Cell::chip(Tone::Plain, desk.say(outcome)))
            .add(r.appeal_decided, by(text(appeal, "/decided_by"), time(appeal, "/decided_at")));
    }
    let section = section.heading(r.appeal).facts(facts).part(Part::Quote(r.appeal_reason.to_owned(), text(appeal, "/reason").to_owned()));
    match text(appeal, "/decided_reason") {
        "" => section,
        answer => section.part(Part::Quote(r.appeal_answer.to_owned(), answer.to_owned())),
    }
}
