//! Accounts, the machine, stops of releases, and the legend of clauses.

use axum::response::Response;
use serde_json::{Value, json};

use super::alerts;
use super::desk::{Desk, Posted, Shown, Trouble};
use super::frame::FREEZES;
use super::json::{figure, grouped, is, list, text, texts};
use super::kit::{Cell, Facts, Field, Form, Section, Table, Tone};
use super::labels::{self, REGULATIONS};
use super::words::Lang;
use crate::policy::Role;
use crate::refusal::RULES;
use crate::supervision::ALERTS;

/// Accounts.
pub(super) async fn accounts(desk: Desk) -> Shown {
    let w = desk.w();
    let all = desk.get("/v1/principals").await?;
    let mut table = Table::new(w.accounts_caption, &[w.account, w.organisation, w.role, w.status], w.none_yet);
    for account in list(&all, "") {
        let status = if is(account, "/active") { Cell::chip(Tone::Good, w.active) } else { Cell::chip(Tone::Plain, w.closed) };
        let role = desk.say(text(account, "/role"));
        table.push(vec![Cell::text(text(account, "/id")), Cell::text(text(account, "/org")), Cell::text(role), status]);
    }
    Ok(desk.page(w.accounts).lead(w.accounts_lead).section(Section::new("list", "").table(table)).show())
}

/// The server and its jail.
pub(super) async fn machine(desk: Desk) -> Shown {
    let w = desk.w();
    let doctor = desk.get("/v1/doctor").await?;
    let status = if is(&doctor, "/poisoned") { Cell::chip(Tone::Bad, w.writes_refused) } else { Cell::chip(Tone::Good, w.running) };
    let facts = Facts::default()
        .add(w.status, status)
        .add(w.version, Cell::text(text(&doctor, "/version")))
        .add(w.log_size, Cell::text(figure(&doctor, "/log_size")))
        .add(w.log_key, Cell::code(text(&doctor, "/log_key")));
    let mut jail = Table::new(w.jail, &[w.role, w.layers, w.layers_missing, w.system_calls], w.none_yet).figures_from(3);
    for role in list(&doctor, "/jail/roles").iter().chain(list(&doctor, "/jail")) {
        let report = role.get("report").unwrap_or(role);
        let missing = list(report, "/missing").iter().fold(Cell::default(), |cell, one| {
            cell.line().and_chip(Tone::Bad, desk.say(text(one, "/layer"))).and_muted(text(one, "/reason"))
        });
        jail.push(vec![
            Cell::text(desk.say(text(role, "/role"))).line().and_code(text(role, "/role")),
            Cell::text(
                texts(report, "/in_force").into_iter().map(|layer| desk.say(layer)).collect::<Vec<_>>().join(desk.lang().separator()),
            ),
            missing,
            Cell::text(figure(report, "/system_calls")),
        ]);
    }
    let mut limits = Table::new(w.limits, &[w.name, w.value], w.none_yet).figures_from(1);
    for (name, value) in doctor.get("limits").and_then(Value::as_object).into_iter().flatten() {
        limits.push(vec![Cell::code(name), Cell::text(grouped(&value.to_string()))]);
    }
    let page = desk.page(w.machine).lead(w.machine_lead).section(Section::new("facts", "").facts(facts));
    Ok(page.section(Section::new("jail", w.jail).table(jail)).section(Section::new("limits", w.limits).table(limits)).show())
}

/// Stops of releases.
pub(super) async fn freeze(desk: Desk) -> Shown {
    let w = desk.w();
    desk.only(FREEZES)?;
    let reason = || Field::Line { name: "reason", label: w.reason.into(), hint: String::new(), value: String::new(), required: true };
    let set = Form::new("/console/freeze", desk.mark(), w.freeze_set).field(reason()).danger();
    let mut section = Section::new("set", w.freeze_set);
    let line = |name, label: &str| Field::Line { name, label: label.into(), hint: String::new(), value: String::new(), required: false };
    let set = set.field(line("dataset", w.freeze_dataset));
    section = if desk.is(&[Role::Provider]) {
        section.hint(w.freeze_scope_own).form(set)
    } else {
        section.form(set.field(line("org", w.freeze_scope)))
    };
    let mut page = desk.page(w.freeze).lead(w.freeze_lead);
    if desk.is(alerts::WATCHES) {
        let standing = alerts::frozen(&desk, &desk.get("/v1/alerts").await?);
        page = page.section(Section::new("standing", desk.lang().watch().frozen_now).table(standing));
    }
    let page = page.section(section);
    if !desk.is(&[Role::Authority]) {
        return Ok(page.show());
    }
    let lift = Form::new("/console/freeze/lift", desk.mark(), w.freeze_lift).field(reason());
    Ok(page.section(Section::new("lift", w.freeze_lift).hint(w.freeze_lift_text).form(lift)).show())
}

/// Sets one.
pub(super) async fn set_freeze(posted: Posted) -> Result<Response, Trouble> {
    let given = |name| Some(posted.field(name)).filter(|text| !text.is_empty());
    let scope = json!({ "reason": posted.field("reason"), "org": given("org"), "dataset": given("dataset") });
    posted.desk.post("/v1/freeze", &scope).await?;
    Ok(posted.desk.back("/console/freeze", "frozen"))
}

/// Lifts what the caller may lift.
pub(super) async fn lift(posted: Posted) -> Result<Response, Trouble> {
    posted.desk.post("/v1/freeze/lift", &json!({ "reason": posted.field("reason") })).await?;
    Ok(posted.desk.back("/console/freeze", "lifted"))
}

/// The regulations behind the clauses, and every rule with the articles that it answers to.
pub(super) async fn clauses(desk: Desk) -> Shown {
    let w = desk.w();
    let mut titles = Table::new(w.regulation, &[w.sign, w.regulation, w.in_force_from, w.articles_used], w.none_yet);
    for (sign, zh, en, since_zh, since_en) in REGULATIONS {
        let named = RULES.iter().flat_map(|r| r.clauses).chain(ALERTS.iter().flat_map(|a| a.clauses));
        let mut articles: Vec<u32> = named.filter_map(|c| c.strip_prefix(sign)?.parse().ok()).collect();
        articles.sort_unstable();
        articles.dedup();
        let articles: Vec<String> = articles.iter().map(|n| format!("{sign}{n}")).collect();
        let (title, since) =
            if desk.lang() == Lang::Zh { (Cell::text(zh), since_zh) } else { (Cell::text(en).line().and_muted(zh), since_en) };
        titles.push(vec![Cell::code(sign.to_string()), title, Cell::text(since), Cell::text(articles.join(desk.lang().separator()))]);
    }
    let mut rules = Table::new(w.rule, &[w.rule, w.refused, w.remedy, w.clauses], w.none_yet);
    for rule in RULES {
        let (what, remedy) = if desk.lang() == Lang::Zh { (rule.zh, rule.remedy_zh) } else { (rule.en, rule.remedy_en) };
        rules.push(vec![
            Cell::code(rule.id),
            Cell::text(labels::sentence(what)),
            Cell::text(labels::sentence(remedy)),
            Cell::text(rule.clauses.join(desk.lang().separator())),
        ]);
    }
    let page = desk.page(w.clauses_legend).lead(w.clauses_lead).section(Section::new("titles", w.regulation).table(titles));
    Ok(page.section(Section::new("rules", w.rule).table(rules)).show())
}
