//! The list of outputs, with the columns that supervisors look for, in their order.

use std::collections::HashMap;

use axum::extract::Query;
use serde_json::Value;

use super::desk::{Desk, Shown, Trouble};
use super::fields::{Titles, title};
use super::frame::{LISTS, MODULES};
use super::json::{day, figure, find, is, list as items, text, texts, time};
use super::kit::{Cell, Part, Section, Table, Tone};
use super::labels;

/// Rows of a page, to choose from.
const PER_PAGE: [usize; 3] = [25, 100, 500];

/// Pages to each side of the present one that are linked, beside the first and the last.
const PAGES_NEAR: usize = 4;

/// What a release is told with: everything the caller may list.
pub(super) struct Papers {
    agreements: Value,
    applications: Value,
    datasets: Value,
    plans: Value,
    modules: Value,
}

impl Papers {
    /// Asks for them.
    pub async fn of(desk: &Desk) -> Result<Self, Trouble> {
        Ok(Self {
            agreements: desk.get_as(LISTS, "/v1/agreements").await?,
            applications: desk.get_as(LISTS, "/v1/applications").await?,
            datasets: desk.get("/v1/datasets").await?,
            plans: desk.get_as(LISTS, "/v1/plans").await?,
            modules: desk.get_as(MODULES, "/v1/modules").await?,
        })
    }
    /// The agreement that a release names.
    pub fn agreement(&self, release: &Value) -> &Value {
        find(&self.agreements, "/id", text(release, "/facts/agreement"))
    }
    /// The application that its agreement follows.
    pub fn application(&self, release: &Value) -> &Value {
        find(&self.applications, "/document/id", text(self.agreement(release), "/terms/agreement/application"))
    }
    /// Its plan.
    pub fn plan(&self, release: &Value) -> &Value {
        find(&self.plans, "/id", text(release, "/facts/plan"))
    }
    /// Its module.
    pub fn module(&self, release: &Value) -> &Value {
        find(&self.modules, "/digest", text(release, "/facts/module"))
    }
    /// What the columns of its view are called.
    pub fn titles(&self, release: &Value) -> Titles {
        Titles::of(self.plan(release), &self.datasets)
    }
    /// What the source of a plan's output, `alias.column`, is called.
    pub fn source_title(&self, plan: &Value, from: &str) -> String {
        let (alias, column) = from.split_once('.').unwrap_or_default();
        let member = items(plan, "/plan/members").iter().find(|m| text(m, "/alias") == alias).unwrap_or(&Value::Null);
        title(&self.datasets, text(member, "/dataset"), column)
    }
    /// A dataset.
    pub fn dataset(&self, id: &str) -> &Value {
        find(&self.datasets, "/id", id)
    }
}

/// The tone of a state.
pub(super) fn tone(state: &str) -> Tone {
    match state {
        "released" | "done" | "approved" => Tone::Good,
        "held" | "in_review" | "queued" | "running" | "unreviewed" | "approved_pending" | "returned" => Tone::Wait,
        "refused" | "denied" | "failed" => Tone::Bad,
        _ => Tone::Plain,
    }
}

/// A state as a chip.
pub(super) fn state(desk: &Desk, word: &str) -> Cell {
    Cell::chip(tone(word), desk.say(word))
}

fn sources(desk: &Desk, papers: &Papers, release: &Value) -> Cell {
    items(release, "/facts/sources").iter().fold(Cell::default(), |cell, source| {
        let entry = papers.dataset(text(source, "/dataset"));
        let title = text(entry, "/entry/title");
        let name = if title.is_empty() { text(source, "/dataset") } else { title };
        let classes = ["/entry/security_level", "/entry/sharing/class", "/entry/opening/class"];
        let classes: Vec<String> = classes.iter().map(|p| text(entry, p)).filter(|c| !c.is_empty()).map(|c| desk.say(c)).collect();
        cell.line().and(name).and_muted(format!("{} · {}", text(source, "/owner"), classes.join(" / ")))
    })
}

/// The columns on which the members of a plan are joined.
pub(super) fn keys(plan: &Value) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for pair in items(plan, "/plan/joins").iter().flat_map(|join| items(join, "/on")) {
        let key = text(pair, "/1").to_owned();
        if !key.is_empty() && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn personal(desk: &Desk, papers: &Papers, release: &Value) -> Cell {
    let sources = items(release, "/facts/sources");
    let personal = |s: &&Value| is(papers.dataset(text(s, "/dataset")), "/entry/personal_information");
    let found: Vec<&Value> = sources.iter().filter(personal).collect();
    if found.is_empty() {
        return Cell::text(desk.w().no_personal);
    }
    let consent = |s: &&Value| {
        let version = figure(s, "/consent_version");
        (!version.is_empty()).then(|| format!("{} {} v{version}", text(s, "/dataset"), desk.w().consent_version))
    };
    found.iter().filter_map(consent).fold(Cell::text(desk.w().personal), |cell, line| cell.line().and_muted(line))
}

/// A module with version, digest and reviewer.
pub(super) fn module(desk: &Desk, papers: &Papers, release: &Value) -> Cell {
    let digest = text(release, "/facts/module");
    if digest.is_empty() {
        return Cell::text(desk.w().built_in);
    }
    let found = papers.module(release);
    let cell = match text(found, "/name") {
        "" => Cell::default(),
        name => Cell::link(format!("/console/modules/{digest}"), format!("{name} {}", text(found, "/version"))).line(),
    };
    cell.and_code(digest).and_muted(text(found, "/reviewer"))
}

fn checks(desk: &Desk, release: &Value) -> Cell {
    let refusal = release.pointer("/refusal").filter(|r| !r.is_null());
    if let Some(refusal) = refusal {
        return Cell::chip(Tone::Bad, desk.say("refused")).line().and_code(text(refusal, "/rule"));
    }
    let all = items(release, "/checks");
    let told = all.iter().map(|c| text(c, "/outcome")).find(|o| o.contains("suppressed")).unwrap_or_default();
    let count = format!("{} {}", all.len(), desk.w().rules_applied);
    Cell::text(count).line().and_muted(labels::phrase(desk.lang(), told))
}

fn opinion(desk: &Desk, release: &Value) -> Cell {
    let reason = text(release, "/reason");
    let cell = state(desk, text(release, "/state"));
    if reason.is_empty() { cell } else { cell.line().and_muted(desk.say(reason)) }
}

/// The reply clock of a request, where it has one.
pub(super) fn clock(desk: &Desk, release: &Value) -> Cell {
    let due = ["/review/clock/due"].into_iter().find(|p| !text(release, p).is_empty());
    let overdue = ["/review/clock/overdue"].into_iter().any(|p| is(release, p));
    match due {
        None => Cell::dash(),
        Some(due) if overdue => Cell::chip(Tone::Bad, desk.w().stale).line().and_muted(day(release, due)),
        Some(due) => Cell::text(day(release, due)),
    }
}

fn evidence(desk: &Desk, release: &Value) -> Cell {
    let leaves = [figure(release, "/decision_leaf"), figure(release, "/leaf")];
    let leaves = leaves.into_iter().filter(|leaf| !leaf.is_empty());
    let told = leaves.fold(Cell::text(desk.w().leaf), |cell, leaf| cell.and_link(format!("/console/log/{leaf}"), leaf));
    told.line().and_code(text(release, "/commitment"))
}

fn row(desk: &Desk, papers: &Papers, release: &Value) -> Vec<Cell> {
    let id = text(release, "/id");
    let agreement = papers.agreement(release);
    let until = text(agreement, "/terms/agreement/term/until");
    let until = if until.is_empty() { String::new() } else { format!("{} {until}", desk.w().until) };
    let agreed = text(release, "/facts/agreement");
    let named = if agreement.is_null() { Cell::code(agreed) } else { Cell::link(format!("/console/papers/agreements/{agreed}"), agreed) };
    vec![
        // With its state, which else stands where one has to scroll to.
        Cell::link(format!("/console/releases/{id}"), text(release, "/name"))
            .and_chip(tone(text(release, "/state")), desk.say(text(release, "/state")))
            .line()
            .and_code(id)
            .line()
            .and_muted(time(release, "/created_at")),
        Cell::text(text(release, "/org")),
        named.line().and_muted(until),
        Cell::text(text(papers.application(release), "/document/use_case")).line().and_muted(text(release, "/facts/purpose")),
        sources(desk, papers, release),
        Cell::text(keys(papers.plan(release)).join(desk.lang().separator())),
        personal(desk, papers, release),
        module(desk, papers, release),
        Cell::text(desk.say(text(release, "/kind"))),
        checks(desk, release),
        opinion(desk, release),
        clock(desk, release),
        Cell::text(text(release, "/facts/recipient")),
        // Nothing registers products or takes feedback yet: said by a dash, never left out.
        Cell::dash(),
        Cell::dash(),
        evidence(desk, release),
    ]
}

/// The table of these releases; what is said where there is none.
fn table(desk: &Desk, papers: &Papers, none: &str, releases: &[&Value]) -> Table {
    let w = desk.w();
    let heads = [
        w.col_id,
        w.col_operator,
        w.col_agreement,
        w.col_use_case,
        w.col_catalogue,
        w.col_keys,
        w.col_personal,
        w.col_module,
        w.col_kind,
        w.col_checks,
        w.col_opinion,
        w.col_clock,
        w.col_recipient,
        w.col_product,
        w.col_feedback,
        w.col_evidence,
    ];
    let mut table = Table::new(w.releases_caption, &heads, none).wide();
    releases.iter().for_each(|release| table.push(row(desk, papers, release)));
    table
}

type Asked = HashMap<String, String>;

fn asked<'a>(query: &'a Asked, name: &str) -> &'a str {
    query.get(name).map(String::as_str).unwrap_or_default()
}

fn wanted(query: &Asked, release: &Value) -> bool {
    let is = |name: &str, pointer: &str| asked(query, name).is_empty() || asked(query, name) == text(release, pointer);
    let needle = asked(query, "q").to_lowercase();
    let places = ["/id", "/name", "/org", "/job", "/facts/agreement", "/facts/purpose", "/facts/plan", "/facts/recipient"];
    let found = || places.iter().any(|p| text(release, p).to_lowercase().contains(&needle));
    is("state", "/state") && is("kind", "/kind") && is("org", "/org") && (needle.is_empty() || found())
}

/// The present address with one parameter changed.
fn with(query: &Asked, name: &str, value: &str) -> String {
    let mut address = form_urlencoded::Serializer::new(String::new());
    for key in ["state", "kind", "org", "q", "per", "page"] {
        let kept = if key == name { value } else { asked(query, key) };
        // Another filter begins at its first page.
        if !kept.is_empty() && (key != "page" || name == "page") {
            address.append_pair(key, kept);
        }
    }
    format!("/console/releases?{}", address.finish())
}

fn filters(desk: &Desk, query: &Asked, all: &[Value]) -> Section {
    let w = desk.w();
    let count = |state: &str| all.iter().filter(|r| state.is_empty() || text(r, "/state") == state).count();
    let mut words: Vec<&str> = all.iter().map(|r| text(r, "/state")).collect();
    words.sort_unstable();
    words.dedup();
    let links = [""].into_iter().chain(words).map(|word| {
        let name = if word.is_empty() { w.all.to_owned() } else { desk.say(word) };
        (with(query, "state", word), format!("{name} {}", count(word)), asked(query, "state") == word)
    });
    let kinds = ["", "table", "model", "private"].map(|word| {
        let name = if word.is_empty() { w.all.to_owned() } else { desk.say(word) };
        (with(query, "kind", word), name, asked(query, "kind") == word)
    });
    let per = PER_PAGE.map(|n| (with(query, "per", &n.to_string()), n.to_string(), per_page(query) == n));
    let kept = ["state", "kind", "org", "per"].into_iter().map(|name| (name.to_owned(), asked(query, name).to_owned()));
    let search = Part::Search {
        action: "/console/releases".to_owned(),
        label: w.search.to_owned(),
        value: asked(query, "q").to_owned(),
        kept: kept.filter(|(_, value)| !value.is_empty()).collect(),
        submit: w.filter.to_owned(),
    };
    Section::new("filters", "")
        .part(Part::Links(w.state.to_owned(), links.collect()))
        .part(Part::Links(w.col_kind.to_owned(), kinds.into()))
        .part(Part::Links(w.per_page.to_owned(), per.into()))
        .part(search)
}

fn per_page(query: &Asked) -> usize {
    asked(query, "per").parse().ok().filter(|n| PER_PAGE.contains(n)).unwrap_or(PER_PAGE[0])
}

/// The list.
pub(super) async fn list(desk: Desk, Query(query): Query<Asked>) -> Shown {
    let answer = desk.get("/v1/releases").await?;
    let papers = Papers::of(&desk).await?;
    let all = items(&answer, "");
    let matching: Vec<&Value> = all.iter().filter(|release| wanted(&query, release)).collect();
    let per = per_page(&query);
    let pages = matching.len().div_ceil(per).max(1);
    let page = asked(&query, "page").parse::<usize>().unwrap_or(1).clamp(1, pages);
    let shown: Vec<&Value> = matching.iter().skip((page - 1) * per).take(per).copied().collect();
    let none = if all.is_empty() { desk.w().releases_empty } else { desk.w().releases_none };
    let mut section = Section::new("list", "").table(table(&desk, &papers, none, &shown).out_of(matching.len()));
    if pages > 1 {
        let near = |n: &usize| *n == 1 || *n == pages || n.abs_diff(page) <= PAGES_NEAR;
        let links = (1..=pages).filter(near).map(|n| (with(&query, "page", &n.to_string()), n.to_string(), n == page)).collect();
        section = section.part(Part::Links(desk.w().pages.to_owned(), links));
    }
    let w = desk.w();
    Ok(desk.page(w.releases).lead(w.releases_lead).section(filters(&desk, &query, all)).section(section).show())
}

/// The texts of a list, in words.
pub(super) fn said(desk: &Desk, value: &Value, pointer: &str) -> String {
    texts(value, pointer).into_iter().map(|word| desk.say(word)).collect::<Vec<_>>().join(desk.lang().separator())
}
