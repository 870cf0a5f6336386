//! Orders to put something right, and the figures of a period.

use std::collections::HashMap;

use axum::extract::Query;
use axum::response::Response;
use serde_json::{Value, json};

use super::alerts::log_check;
use super::chart;
use super::desk::{Desk, Posted, Shown, Trouble};
use super::json::{figure, list as items, text, time};
use super::kit::{Cell, Facts, Field, Form, Part, Section, Table, Tone};
use super::overview::ruled;
use crate::policy::Role;

/// Periods to choose from, in days.
const PERIODS: [&str; 4] = ["7", "30", "90", "365"];
/// Characters of an order and of its outcome: more is cut by the interface.
const TEXT_CHARS_MAX: usize = 2_000;
/// Forms of output, in their order.
const KINDS: [&str; 4] = ["table", "model", "private", "verification"];

/// Orders that the caller may see; the authority issues and closes them.
pub(super) async fn list(desk: Desk) -> Shown {
    let (w, watch) = (desk.w(), desk.lang().watch());
    let answer = desk.get("/v1/orders").await?;
    let heads = [watch.order, watch.order_to, w.state, watch.order_due, watch.order_text, watch.order_issued, watch.order_outcome];
    let mut table = Table::new(watch.orders_caption, &heads, watch.orders_none);
    for order in items(&answer, "") {
        let word = text(order, "/state");
        let tone = match word {
            "overdue" => Tone::Bad,
            "closed" => Tone::Good,
            _ => Tone::Wait,
        };
        table.push(vec![
            Cell::text(figure(order, "/id")),
            Cell::text(text(order, "/org")),
            Cell::chip(tone, desk.say(word)),
            Cell::text(text(order, "/due")),
            Cell::text(text(order, "/text")),
            Cell::text(time(order, "/issued_at")).line().and_muted(text(order, "/issued_by")),
            Cell::text(text(order, "/outcome")).line().and_muted(time(order, "/closed_at")),
        ]);
    }
    let page = desk.page(watch.orders).lead(watch.orders_lead).section(Section::new("list", "").table(table));
    if !desk.is(&[Role::Authority]) {
        return Ok(page.show());
    }
    let issue = Form::new("/console/orders", desk.mark(), watch.order_issue)
        .field(Field::Line { name: "org", label: watch.order_to.into(), hint: String::new(), value: String::new(), required: true })
        .field(Field::Lines { name: "text", label: watch.order_text.into(), hint: String::new(), chars_max: TEXT_CHARS_MAX })
        .field(Field::Day { name: "due", label: watch.order_due.into() });
    let page = page.section(Section::new("issue", watch.order_issue).hint(watch.order_issue_text).form(issue));
    let open: Vec<(String, String)> = items(&answer, "")
        .iter()
        .filter(|order| text(order, "/state") != "closed")
        .map(|order| (figure(order, "/id"), format!("{} · {} · {}", figure(order, "/id"), text(order, "/org"), text(order, "/due"))))
        .collect();
    if open.is_empty() {
        return Ok(page.show());
    }
    let close = Form::new("/console/orders/close", desk.mark(), watch.order_close)
        .field(Field::Pick { name: "order", label: watch.order_which.into(), options: open, value: String::new() })
        .field(Field::Lines { name: "outcome", label: watch.order_outcome.into(), hint: String::new(), chars_max: TEXT_CHARS_MAX });
    Ok(page.section(Section::new("close", watch.order_close).hint(watch.order_close_text).form(close)).show())
}

/// Issues one.
pub(super) async fn issue(posted: Posted) -> Result<Response, Trouble> {
    let body = json!({ "org": posted.field("org"), "text": posted.field("text"), "due": posted.field("due") });
    posted.desk.post("/v1/orders", &body).await?;
    Ok(posted.desk.back("/console/orders", "ordered"))
}

/// Closes one.
pub(super) async fn close(posted: Posted) -> Result<Response, Trouble> {
    let id: i64 = posted.field("order").parse().unwrap_or(-1);
    posted.desk.post(&format!("/v1/orders/{id}/close"), &json!({ "outcome": posted.field("outcome") })).await?;
    Ok(posted.desk.back("/console/orders", "closed"))
}

/// Figures of a period.
pub(super) async fn indicators(desk: Desk, Query(query): Query<HashMap<String, String>>) -> Shown {
    let asked = query.get("days").map(String::as_str).filter(|days| PERIODS.contains(days)).unwrap_or("30");
    shown(&desk, asked).await
}

async fn shown(desk: &Desk, days: &str) -> Shown {
    let watch = desk.lang().watch();
    let figures = desk.get(&format!("/v1/indicators?days={days}")).await?;
    let links = PERIODS.map(|n| (format!("/console/indicators?days={n}"), n.to_owned(), n == days));
    let number = |pointer: &str| Cell::text(figure(&figures, pointer));
    let facts = Facts::default()
        .add(format!("{}: {}", watch.replies, watch.in_time), number("/replies_in_time"))
        .add(format!("{}: {}", watch.replies, watch.late), number("/replies_late"))
        .add(watch.endings, number("/ended"))
        .add(watch.disposed, number("/disposed"));
    let check = Facts::default().add(watch.log_checked, log_check(desk, figures.get("log_check").unwrap_or(&Value::Null)));
    Ok(desk
        .page(watch.indicators)
        .lead(watch.indicators_lead)
        .section(Section::new("filters", "").part(Part::Links(watch.period.to_owned(), links.into())))
        .section(Section::new("figures", "").facts(facts))
        .section(operators(desk, &figures))
        .section(denials(desk, &figures))
        .section(
            Section::new("check", watch.check_export)
                .facts(check.add(watch.export, Cell::code(format!("fusebox indicators --days {days} --json")))),
        )
        .show())
}

fn operators(desk: &Desk, figures: &Value) -> Section {
    let (w, watch) = (desk.w(), desk.lang().watch());
    let kinds = KINDS.map(|kind| desk.say(kind));
    let heads: Vec<&str> =
        [w.col_operator].into_iter().chain(kinds.iter().map(String::as_str)).chain([w.in_review, watch.stayed]).collect();
    let mut table = Table::new(watch.by_operator, &heads, watch.operators_none).figures_from(1);
    for (org, of) in figures.get("operators").and_then(Value::as_object).into_iter().flatten() {
        let zero = |pointer: &str| Some(figure(of, pointer)).filter(|n| !n.is_empty()).unwrap_or_else(|| "0".to_owned());
        let released = KINDS.iter().map(|kind| Cell::text(zero(&format!("/released/{kind}"))));
        table.push([Cell::text(org)].into_iter().chain(released).chain([Cell::text(zero("/held")), Cell::text(zero("/stayed"))]).collect());
    }
    Section::new("operators", watch.by_operator).hint(watch.by_operator_text).table(table)
}

fn denials(desk: &Desk, figures: &Value) -> Section {
    let (w, watch) = (desk.w(), desk.lang().watch());
    let mut counts: Vec<(&String, u64)> =
        figures.get("denials").and_then(Value::as_object).into_iter().flatten().map(|(rule, n)| (rule, n.as_u64().unwrap_or(0))).collect();
    counts.sort_by_key(|(rule, count)| (std::cmp::Reverse(*count), *rule));
    let mut table = Table::new(watch.denials, &[w.rule, w.refused, watch.count], watch.denials_none).figures_from(2);
    for (rule, count) in &counts {
        table.push(vec![Cell::code(rule.as_str()), Cell::text(ruled(desk.lang(), rule)), Cell::text(count.to_string())]);
    }
    let section = Section::new("denials", watch.denials).hint(watch.denials_text);
    if counts.is_empty() {
        return section.table(table);
    }
    let bars: Vec<(String, f64, String)> = counts.iter().map(|(rule, n)| ((*rule).clone(), *n as f64, n.to_string())).collect();
    section.part(Part::Chart(chart::bars(watch.denials, watch.denials_text, &bars))).table(table)
}
