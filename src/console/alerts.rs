//! Alerts in the order of the supervisors' list: each rule with its clause, what was found, the threshold, what to do, and who has seen it.

use axum::response::Response;
use serde_json::{Value, json};

use super::desk::{Desk, Posted, Shown, Trouble};
use super::json::{figure, list as items, some, text, time};
use super::kit::{Cell, Facts, Field, Form, Part, Section, Table, Tone};
use super::labels;
use super::release::clauses;
use super::words::Lang;
use crate::policy::Role;
use crate::supervision::{ALERTS, AlertRule, SEVERITIES};
use crate::tlog::{Cause, checkpoint::CheckpointError, note::NoteError};

/// Who sees alerts.
pub(super) const WATCHES: &[Role] = &[Role::Authority, Role::Auditor];

/// The tone of a severity.
pub(super) fn severity(desk: &Desk, word: &str) -> Cell {
    let tone = match word {
        "urgent" => Tone::Bad,
        "serious" => Tone::Wait,
        _ => Tone::Plain,
    };
    Cell::chip(tone, desk.say(word))
}

/// One of two texts, as a sentence begins.
fn said(desk: &Desk, en: &str, zh: &str) -> String {
    labels::sentence(if desk.lang() == Lang::Zh { zh } else { en })
}

fn name(desk: &Desk, rule: &AlertRule) -> String {
    said(desk, rule.en, rule.zh)
}

/// What an alert is about, with the page of it.
pub(super) fn subject(lang: Lang, alert: &Value) -> Cell {
    let subject = text(alert, "/subject");
    let id = subject.split(" (").next().unwrap_or_default();
    let org: String = form_urlencoded::byte_serialize(text(alert, "/org").as_bytes()).collect();
    let href = match text(alert, "/about") {
        "application" => format!("/console/papers/applications/{id}"),
        "agreement" => format!("/console/papers/agreements/{id}"),
        "release" => format!("/console/releases/{id}"),
        "order" => "/console/orders".to_owned(),
        "log" => "/console/log".to_owned(),
        "freeze" => "/console/freeze".to_owned(),
        _ => format!("/console/releases?org={org}"),
    };
    Cell::link(href, labels::phrase(lang, subject))
}

/// What a check of the log found, in this language.
fn fault(lang: Lang, text: &str) -> String {
    let notes = [NoteError::Malformed, NoteError::Unsigned, NoteError::Signature].map(CheckpointError::Note);
    let checkpoints = [CheckpointError::Malformed, CheckpointError::Origin].into_iter().chain(notes).map(Cause::CheckpointInvalid);
    let files = [Cause::Unreadable, Cause::Missing, Cause::Extra, Cause::Form, Cause::Number, Cause::Time, Cause::Root];
    let tiles = [Cause::EntryAltered, Cause::TileAltered, Cause::PartialAltered];
    let found = checkpoints.chain(files).chain(tiles).find(|cause| lang == Lang::Zh && cause.en() == text);
    found.map_or_else(|| labels::phrase(lang, text), |cause| cause.zh())
}

/// What was found.
pub(super) fn value(desk: &Desk, alert: &Value) -> String {
    fault(desk.lang(), text(alert, "/value"))
}

/// Where a rule's alerts stand in the page.
fn anchor(rule: &AlertRule) -> String {
    rule.id.replace('.', "-")
}

fn of<'a>(alerts: &'a [Value], rule: &AlertRule) -> Vec<&'a Value> {
    alerts.iter().filter(|a| text(a, "/rule") == rule.id).collect()
}

fn unseen(alert: &&Value) -> bool {
    !some(alert, "/acknowledged")
}

/// The page.
pub(super) async fn list(desk: Desk) -> Shown {
    let (w, watch) = (desk.w(), desk.lang().watch());
    let answer = desk.get("/v1/alerts").await?;
    let alerts = items(&answer, "");
    let mut page = desk.page(watch.alerts).lead(watch.alerts_lead).section(counts(&desk, alerts));
    let heads = [watch.alert, watch.severity, watch.standing, watch.raised_when, w.clauses];
    let mut watched = Table::new(watch.watched, &heads, w.none_yet);
    for rule in ALERTS {
        let found = of(alerts, rule);
        let standing = match (found.len(), found.iter().filter(|a| unseen(a)).count()) {
            (0, _) => Cell::chip(Tone::Good, watch.clear),
            (all, 0) => Cell::link(format!("#{}", anchor(rule)), all.to_string()).and_muted(watch.acknowledged),
            (all, new) => Cell::link(format!("#{}", anchor(rule)), all.to_string()).and_chip(Tone::Bad, format!("{new} {}", watch.unseen)),
        };
        let word = serde_json::to_value(rule.severity).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
        let when = said(&desk, rule.when_en, rule.when_zh);
        let articles = clauses(&desk, &json!({ "clauses": rule.clauses }), "/clauses");
        // What does not stand does not cry out.
        let weight = if found.is_empty() { Cell::default().and_muted(desk.say(&word)) } else { severity(&desk, &word) };
        watched.push(vec![Cell::text(name(&desk, rule)).line().and_code(rule.id), weight, standing, Cell::text(when), articles]);
    }
    page = page.section(Section::new("watched", watch.watched).hint(watch.watched_text).table(watched));
    for rule in ALERTS {
        let found = of(alerts, rule);
        if !found.is_empty() {
            page = page.section(standing(&desk, rule, &found));
        }
    }
    Ok(page.show())
}

fn counts(desk: &Desk, alerts: &[Value]) -> Section {
    let watch = desk.lang().watch();
    let words: Vec<String> = SEVERITIES.iter().filter_map(|s| Some(serde_json::to_value(s).ok()?.as_str()?.to_owned())).collect();
    let count = |word: &str| alerts.iter().filter(|a| text(a, "/severity") == word && unseen(a)).count();
    let facts = words.iter().fold(Facts::default(), |facts, word| {
        let unseen = format!("{} ({})", desk.say(word), watch.unseen);
        facts.add(unseen, Cell::text(count(word).to_string()))
    });
    let seen = alerts.iter().filter(|a| !unseen(a)).count();
    Section::new("figures", "").facts(facts.add(watch.acknowledged, Cell::text(seen.to_string())))
}

fn standing(desk: &Desk, rule: &'static AlertRule, found: &[&Value]) -> Section {
    let (w, watch) = (desk.w(), desk.lang().watch());
    let first = found.first().copied().unwrap_or(&Value::Null);
    let facts = Facts::default()
        .add(w.remedy, Cell::text(said(desk, rule.remedy_en, rule.remedy_zh)))
        .add(w.threshold, Cell::text(labels::phrase(desk.lang(), text(first, "/threshold"))))
        .add(w.rule, Cell::code(rule.id))
        .add(w.clauses, clauses(desk, first, "/clauses"));
    let mut table = Table::new(name(desk, rule), &[watch.about, w.organisation, watch.found, w.threshold, watch.seen_by], w.none_yet);
    for alert in found {
        let seen = match alert.pointer("/acknowledged").filter(|seen| !seen.is_null()) {
            None => Cell::chip(Tone::Wait, watch.unseen),
            Some(seen) => Cell::text(text(seen, "/note")).line().and_muted(format!(
                "{} · {} · {}",
                text(seen, "/by"),
                text(seen, "/org"),
                time(seen, "/at")
            )),
        };
        table.push(vec![
            subject(desk.lang(), alert),
            Cell::text(text(alert, "/org")),
            Cell::text(value(desk, alert)),
            Cell::text(labels::phrase(desk.lang(), text(alert, "/threshold"))),
            seen,
        ]);
    }
    let mut section = Section::named(anchor(rule), name(desk, rule));
    section = section.hint(said(desk, rule.when_en, rule.when_zh)).facts(facts).table(table);
    let new: Vec<(String, String)> = found
        .iter()
        .filter(|a| unseen(a))
        .map(|a| (text(a, "/subject").to_owned(), format!("{}: {}", text(a, "/subject"), value(desk, a))))
        .collect();
    if new.is_empty() || !desk.is(&[Role::Authority]) {
        return section;
    }
    let form = Form::new("/console/alerts/acknowledge", desk.mark(), watch.acknowledge)
        .field(Field::Hidden { name: "rule", value: rule.id.to_owned() })
        .field(Field::Pick { name: "subject", label: watch.acknowledge_which.into(), options: new, value: String::new() })
        .field(Field::Line {
            name: "note",
            label: watch.acknowledge_note.into(),
            hint: watch.acknowledge_hint.into(),
            value: String::new(),
            required: true,
        });
    section.part(Part::Form(form))
}

/// Notes that an alert was seen.
pub(super) async fn acknowledge(posted: Posted) -> Result<Response, Trouble> {
    let body = json!({ "rule": posted.field("rule"), "subject": posted.field("subject"), "note": posted.field("note") });
    posted.desk.post("/v1/alerts/acknowledge", &body).await?;
    Ok(posted.desk.back("/console/alerts", "acknowledged"))
}

/// The alerts nobody has seen, in short.
pub(super) fn short(desk: &Desk, alerts: &Value) -> Table {
    let watch = desk.lang().watch();
    let heads = [watch.alert, watch.severity, watch.about, watch.found, desk.w().threshold];
    let mut table = Table::new(watch.alerts, &heads, watch.no_alert);
    for rule in ALERTS {
        for alert in of(items(alerts, ""), rule).into_iter().filter(unseen) {
            table.push(vec![
                Cell::link(format!("/console/alerts#{}", anchor(rule)), name(desk, rule)),
                severity(desk, text(alert, "/severity")),
                subject(desk.lang(), alert),
                Cell::text(value(desk, alert)),
                Cell::text(labels::phrase(desk.lang(), text(alert, "/threshold"))),
            ]);
        }
    }
    table
}

/// What is stopped now, as the alerts have it.
pub(super) fn frozen(desk: &Desk, alerts: &Value) -> Table {
    let watch = desk.lang().watch();
    let mut table = Table::new(watch.frozen_now, &[watch.frozen_id, watch.frozen_scope], watch.frozen_none);
    for alert in items(alerts, "").iter().filter(|alert| text(alert, "/about") == "freeze") {
        let id = text(alert, "/subject").split(' ').next().unwrap_or_default();
        table.push(vec![Cell::code(id), Cell::text(value(desk, alert))]);
    }
    table
}

/// Leaves that the last check reached, and what it found.
pub(super) fn log_check(desk: &Desk, check: &Value) -> Cell {
    let watch = desk.lang().watch();
    if check.is_null() {
        return Cell::chip(Tone::Wait, watch.never);
    }
    let told = match text(check, "/fault") {
        "" => Cell::chip(Tone::Good, watch.sound),
        found => Cell::chip(Tone::Bad, fault(desk.lang(), found)),
    };
    told.line().and_muted(format!("{} · {} {}", time(check, "/at"), desk.w().log_size, figure(check, "/leaves")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_stand_in_the_order_of_the_supervisors_list() {
        let order =
            "超期未答复；协议30日内到期；期满未处置；自审自批；差分查询；核验高频；相似模块反复提交；拒绝率异常；整改逾期；日志校验失败";
        // What this product says besides comes after.
        assert_eq!(ALERTS.iter().map(|rule| rule.zh).take(10).collect::<Vec<_>>(), order.split('；').collect::<Vec<_>>());
    }

    #[test]
    fn a_fault_of_the_log_is_told_in_both_languages() {
        for cause in [Cause::Root, Cause::CheckpointInvalid(CheckpointError::Note(NoteError::Signature))] {
            assert_eq!(fault(Lang::Zh, &cause.en()), cause.zh());
            assert_eq!(fault(Lang::En, &cause.en()), cause.en());
        }
    }

    #[test]
    fn what_was_found_is_told_in_both_languages() {
        for (en, zh) in [
            ("due 2026-03-04", "应于 2026-03-04 前办结"),
            ("12 tables for a difference, 20 held or refused in all", "因差分 12 张，暂扣或拒绝共 20 张"),
            ("810 answers on 2026-03-04", "2026-03-04 当日 810 次"),
            ("800 of 1000 answers a day", "单日上限 1000 次中的 800 次"),
        ] {
            assert_eq!(fault(Lang::Zh, en), zh);
        }
    }
}
