//! What stands where: indicators, decisions by day, budgets, and what waits.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chart;
use super::desk::{Desk, Shown};
use super::json::{day, figure, list, text, time};
use super::kit::{Cell, Facts, Part, Section, Table, Tone};
use super::releases::state;
use super::words::Lang;
use super::{alerts, labels, todo};
use crate::clock::CHINA_UTC_OFFSET_S;
use crate::refusal::RULES;

/// Days of the history.
const DAYS: i64 = 14;
/// Outputs in the lists of this page.
const LATEST: usize = 8;
/// States of the history, bottom up, with their classes.
const STATES: [(&str, &str); 4] = [("released", "good"), ("held", "wait"), ("denied", "bad"), ("refused", "worst")];

/// The page.
pub(super) async fn show(desk: Desk) -> Shown {
    let answer = desk.get("/v1/releases").await?;
    let all = list(&answer, "");
    let w = desk.w();
    let (waiting, decided): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|r| text(r, "/state") == "held");
    let of = |caption: &str, none: &str, all: &[&Value]| {
        short(&desk, (caption, none), all.get(..LATEST.min(all.len())).unwrap_or_default()).out_of(all.len())
    };
    let rest = |section: Section, all: &[&Value], href: &str| {
        let links = vec![(href.to_owned(), desk.lang().watch().uses_all.to_owned(), false)];
        if all.len() > LATEST { section.part(Part::Links(String::new(), links)) } else { section }
    };
    let mut page = desk.page(w.overview).lead(w.overview_lead).section(indicators(&desk, all));
    if let Some(todo) = todo::section(&desk, all).await? {
        page = page.section(todo);
    }
    let section = Section::new("waiting", w.waiting).table(of(w.waiting, w.waiting_none, &waiting));
    page = page.section(rest(section, &waiting, "/console/releases?state=held"));
    if desk.is(alerts::WATCHES) {
        let standing = desk.get("/v1/alerts").await?;
        page = page.section(Section::new("alerts", desk.lang().watch().alerts).table(alerts::short(&desk, &standing)));
    }
    Ok(page
        .section(history(&desk, all))
        .section(budgets(&desk).await?)
        .section(rest(Section::new("latest", w.latest).table(of(w.latest, w.latest_none, &decided)), &decided, "/console/releases"))
        .show())
}

fn indicators(desk: &Desk, all: &[Value]) -> Section {
    let w = desk.w();
    let count = |state: &str| {
        Cell::link(format!("/console/releases?state={state}"), all.iter().filter(|r| text(r, "/state") == state).count().to_string())
    };
    let facts = Facts::default()
        .add(w.in_review, count("held"))
        .add(w.released, count("released"))
        .add(w.denied, count("denied"))
        .add(w.refused_by_rule, count("refused"));
    Section::new("figures", "").facts(facts)
}

/// What a rule says of what it refuses.
pub(super) fn ruled(lang: Lang, id: &str) -> String {
    let rule = RULES.iter().find(|rule| rule.id == id);
    rule.map(|rule| labels::sentence(if lang == Lang::Zh { rule.zh } else { rule.en })).unwrap_or_default()
}

/// A short list of outputs; what is said where there is none.
pub(super) fn short(desk: &Desk, (caption, none): (&str, &str), releases: &[&Value]) -> Table {
    let w = desk.w();
    let mut table = Table::new(caption, &[w.col_id, w.col_operator, w.col_kind, w.state, w.reason, w.reached_at], none);
    for release in releases {
        let id = text(release, "/id");
        let reason = match text(release, "/refusal/rule") {
            "" => Cell::text(desk.say(text(release, "/reason"))),
            rule => Cell::text(ruled(desk.lang(), rule)).line().and_code(rule),
        };
        table.push(vec![
            Cell::link(format!("/console/releases/{id}"), text(release, "/name")).line().and_code(id),
            Cell::text(text(release, "/org")),
            Cell::text(desk.say(text(release, "/kind"))),
            state(desk, text(release, "/state")),
            reason,
            Cell::text(time(release, "/created_at")),
        ]);
    }
    table
}

fn history(desk: &Desk, all: &[Value]) -> Section {
    let w = desk.w();
    let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for back in 0..DAYS {
        let date = desk.now().plus_s(-back * 86_400).date(CHINA_UTC_OFFSET_S);
        counts.insert(date.to_string(), vec![0; STATES.len()]);
    }
    for release in all {
        let at = STATES.iter().position(|(word, _)| *word == text(release, "/state"));
        let column = counts.get_mut(&day(release, "/created_at"));
        column.zip(at).and_then(|(column, at)| column.get_mut(at)).into_iter().for_each(|n| *n += 1);
    }
    let labels = STATES.map(|(word, class)| (desk.say(word), class));
    let parts: Vec<(&str, &str)> = labels.iter().map(|(label, class)| (label.as_str(), *class)).collect();
    let columns: Vec<(String, Vec<u64>)> = counts.iter().map(|(date, n)| (date.chars().skip(5).collect(), n.clone())).collect();
    let heads: Vec<&str> = [w.day].into_iter().chain(parts.iter().map(|(label, _)| *label)).collect();
    let mut table = Table::new(w.history, &heads, w.none_yet).figures_from(1);
    for (date, figures) in counts.iter().rev().filter(|(_, n)| n.iter().any(|n| *n > 0)) {
        table.push([Cell::text(date)].into_iter().chain(figures.iter().map(|n| Cell::text(n.to_string()))).collect());
    }
    if counts.values().flatten().all(|n| *n == 0) {
        return Section::new("history", w.history).part(Part::note(Tone::Plain, w.history_none));
    }
    Section::new("history", w.history)
        .hint(w.history_text)
        .part(Part::Chart(chart::stacked(w.history, w.history_text, &parts, &columns)))
        .part(Part::Folded(desk.lang().watch().figures.to_owned(), table))
}

/// A kind of identifier, by its label where it has one.
fn namespace(desk: &Desk, name: &str) -> Cell {
    match desk.say(name) {
        label if label == name => Cell::code(name),
        label => Cell::text(label).and_code(name),
    }
}

/// Budgets of the kinds of identifier that the plans the caller sees are about.
async fn budgets(desk: &Desk) -> Result<Section, super::desk::Trouble> {
    let w = desk.w();
    let plans = desk.get("/v1/plans").await?;
    let mut names: Vec<&str> = list(&plans, "").iter().map(|p| text(p, "/plan/namespace")).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let mut table = Table::new(w.budgets, &[w.namespace, w.budget, w.spent, w.remaining, w.folds], w.budgets_none).figures_from(1);
    let mut section = Section::new("budgets", w.budgets).hint(w.budgets_text);
    for name in names {
        let budget = desk.get(&format!("/v1/namespaces/{name}/budget")).await?;
        let number = |pointer: &str| figure(&budget, pointer);
        let (spent, remaining) = (number("/spent/rho"), number("/remaining/rho"));
        let parse = |text: &str| text.parse::<f64>().unwrap_or(0.0);
        if !remaining.is_empty() {
            let bars = [(w.spent.to_owned(), parse(&spent), spent.clone()), (w.remaining.to_owned(), parse(&remaining), remaining.clone())];
            let about = format!("{} {spent}, {} {remaining}", w.spent, w.remaining);
            section = section.part(Part::Chart(chart::bars(&format!("{}: {}", w.budgets, desk.say(name)), &about, &bars)));
        }
        table.push(vec![
            namespace(desk, name),
            Some(number("/budget/budget/rho")).filter(|b| !b.is_empty()).map_or_else(|| Cell::default().and_muted(w.not_set), Cell::text),
            Cell::text(spent),
            Cell::text(remaining),
            Cell::text(number("/spent/folds")),
        ]);
    }
    Ok(section.table(table))
}
