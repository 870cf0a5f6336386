//! The catalogue, one's own data first, and what was made of each dataset.

use axum::extract::Path;
use serde_json::Value;

use super::desk::{Desk, Shown, Trouble};
use super::frame::LISTS;
use super::json::{figure, grouped, is, list as items, some, text, time};
use super::kit::{Cell, Facts, Part, Section, Table, Tone};
use super::overview::short;
use crate::policy::Role;

/// Uses of one's data that the catalogue's page shows; the list of outputs has them all.
const USES_MAX: usize = 10;

fn table(desk: &Desk, caption: &str, entries: &[&Value]) -> Table {
    let w = desk.w();
    let heads = [w.dataset, w.provider, w.origin, w.level, w.sharing, w.opening, w.updated, w.rows_imported];
    let mut table = Table::new(caption, &heads, w.data_none).figures_from(7);
    for entry in entries {
        let id = text(entry, "/id");
        let stale = if is(entry, "/stale") { Cell::chip(Tone::Bad, w.stale) } else { Cell::chip(Tone::Good, w.up_to_date) };
        table.push(vec![
            Cell::link(format!("/console/data/{id}"), text(entry, "/entry/title")).line().and_code(id),
            Cell::text(text(entry, "/owner")),
            Cell::text(desk.say(text(entry, "/entry/origin"))).line().and_muted(desk.say(text(entry, "/entry/public_kind"))),
            Cell::text(desk.say(text(entry, "/entry/security_level"))),
            Cell::text(desk.say(text(entry, "/entry/sharing/class"))),
            Cell::text(desk.say(text(entry, "/entry/opening/class"))),
            stale.line().and_muted(desk.say(text(entry, "/entry/update_frequency"))),
            Cell::text(grouped(&figure(entry, "/data/0/rows"))),
        ]);
    }
    table
}

/// The catalogue.
pub(super) async fn list(desk: Desk) -> Shown {
    let w = desk.w();
    let answer = desk.get("/v1/datasets").await?;
    let own = |entry: &&Value| text(entry, "/owner") == desk.me().org.as_str();
    let (mine, others): (Vec<&Value>, Vec<&Value>) = items(&answer, "").iter().partition(own);
    let mut page = desk.page(w.data).lead(w.data_lead);
    if desk.is(&[Role::Provider, Role::Operator, Role::Researcher]) {
        page = page.section(Section::new("own", w.own_data).table(table(&desk, w.own_data, &mine)));
        if desk.is(&[Role::Provider]) {
            page = page.section(uses(&desk).await?);
        }
        return Ok(page.section(Section::new("others", w.other_data).table(table(&desk, w.other_data, &others))).show());
    }
    let all: Vec<&Value> = items(&answer, "").iter().collect();
    Ok(page.section(Section::new("all", "").table(table(&desk, w.data_caption, &all))).show())
}

/// The newest outputs that rest on data of the caller's organisation.
async fn uses(desk: &Desk) -> Result<Section, Trouble> {
    let watch = desk.lang().watch();
    let releases = desk.get("/v1/releases").await?;
    let own = |r: &&Value| items(r, "/facts/sources").iter().any(|s| text(s, "/owner") == desk.me().org.as_str());
    let rests: Vec<&Value> = items(&releases, "").iter().filter(own).collect();
    let table =
        short(desk, (watch.uses_own, desk.w().latest_none), rests.get(..USES_MAX.min(rests.len())).unwrap_or_default()).out_of(rests.len());
    let all = vec![("/console/releases".to_owned(), watch.uses_all.to_owned(), false)];
    Ok(Section::new("uses", watch.uses_own).hint(watch.uses_own_text).table(table).part(Part::Links(desk.w().uses.to_owned(), all)))
}

/// One dataset.
pub(super) async fn show(desk: Desk, Path(id): Path<String>) -> Shown {
    let w = desk.w();
    let entry = desk.get(&format!("/v1/datasets/{id}")).await?;
    let class = |pointer: &str| {
        Cell::text(desk.say(text(&entry, &format!("/entry/{pointer}/class"))))
            .and_muted(text(&entry, &format!("/entry/{pointer}/legal_basis")))
    };
    let personal = if is(&entry, "/entry/personal_information") { w.personal } else { w.no_personal };
    let facts = Facts::default()
        .add(w.provider, Cell::text(text(&entry, "/owner")))
        .add(w.origin, Cell::text(desk.say(text(&entry, "/entry/origin"))))
        .add(w.source, Cell::text(text(&entry, "/entry/source")))
        .add(w.level, Cell::text(desk.say(text(&entry, "/entry/security_level"))))
        .add(w.sharing, class("sharing"))
        .add(w.opening, class("opening"))
        .add(w.col_personal, Cell::text(personal))
        .add(w.updated, Cell::text(desk.say(text(&entry, "/entry/update_frequency"))))
        .add(w.version, Cell::text(figure(&entry, "/version")));
    let mut columns = Table::new(w.columns_all, &[w.column, w.title, w.column_role, w.column_type], w.none_yet);
    for column in items(&entry, "/entry/columns") {
        columns.push(vec![
            Cell::code(text(column, "/name")),
            Cell::text(text(column, "/title")),
            Cell::text(desk.say(text(column, "/role"))),
            Cell::text(desk.say(text(column, "/type"))),
        ]);
    }
    let mut versions = Table::new(w.versions, &[w.version, w.rows_imported, w.rejected, w.imported_at], w.none_yet).figures_from(1);
    for version in items(&entry, "/data") {
        versions.push(vec![
            Cell::text(format!("v{}", figure(version, "/version"))),
            Cell::text(grouped(&figure(version, "/rows"))),
            Cell::text(figure(version, "/rejected")),
            Cell::text(time(version, "/imported_at")),
        ]);
    }
    let page = desk.page(text(&entry, "/entry/title")).under("/console/data", w.data).lead(id.as_str());
    let page = page.section(Section::new("facts", w.dataset).facts(facts).table(columns).table(versions));
    if !desk.is(LISTS) {
        return Ok(page.show());
    }
    let releases = desk.get("/v1/releases").await?;
    let rests = |r: &&Value| items(r, "/facts/sources").iter().any(|s| text(s, "/dataset") == id && some(s, "/dataset"));
    let uses: Vec<&Value> = items(&releases, "").iter().filter(rests).collect();
    Ok(page.section(Section::new("uses", w.uses).hint(w.uses_text).table(short(&desk, (w.uses, w.latest_none), &uses))).show())
}
