//! What waits for whoever looks, from what the interface shows them.

use serde_json::Value;

use super::desk::{Desk, Trouble};
use super::frame::MODULES;
use super::json::{day, figure, is, list as items, text, texts, time};
use super::kit::{Cell, Section, Table};
use super::papers::undecided;
use crate::policy::Role;

/// Rows at most; the lists have the rest.
const ROWS_MAX: usize = 20;

/// What, what to do, since when or until when.
type Row = (Cell, &'static str, Cell);

/// A time, and whether it began or ends then.
fn when(word: &str, at: impl Into<String>) -> Cell {
    Cell::default().and_muted(word).and(at)
}

/// The section; none for those for whom nothing ever waits.
pub(super) async fn section(desk: &Desk, releases: &[Value]) -> Result<Option<Section>, Trouble> {
    let watch = desk.lang().watch();
    let rows = match desk.me().role {
        Role::Provider => provider(desk, releases).await?,
        Role::Operator | Role::Researcher => operator(desk, releases).await?,
        Role::OutputChecker => checker(desk, releases).await?,
        Role::Authority => authority(desk, releases),
        _ => return Ok(None),
    };
    let mut table = Table::new(watch.todo, &[watch.todo_what, watch.todo_do, watch.todo_since], watch.todo_none);
    for (what, to_do, since) in rows.into_iter().take(ROWS_MAX) {
        table.push(vec![what, Cell::text(to_do), since]);
    }
    Ok(Some(Section::new("todo", watch.todo).table(table)))
}

fn output(release: &Value) -> Cell {
    let id = text(release, "/id");
    Cell::link(format!("/console/releases/{id}"), text(release, "/name")).line().and_code(id)
}

fn at_stage<'a>(releases: &'a [Value], stage: &'static str) -> impl Iterator<Item = &'a Value> {
    releases.iter().filter(move |r| text(r, "/review/stage") == stage)
}

async fn provider(desk: &Desk, releases: &[Value]) -> Result<Vec<Row>, Trouble> {
    let (watch, own) = (desk.lang().watch(), desk.me().org.as_str());
    let (applications, agreements) = (desk.get("/v1/applications").await?, desk.get("/v1/agreements").await?);
    let asked = items(&applications, "").iter().filter(|a| undecided(a).contains(&own)).map(|a| {
        let id = text(a, "/document/id");
        (
            Cell::link(format!("/console/papers/applications/{id}"), id),
            watch.todo_application,
            when(watch.todo_from, time(a, "/submitted_at")),
        )
    });
    let unsigned = items(&agreements, "").iter().filter(|a| texts(a, "/unsigned").contains(&own)).map(|a| {
        let id = text(a, "/id");
        let until = text(a, "/terms/agreement/term/until").to_owned();
        (Cell::link(format!("/console/papers/agreements/{id}"), id), watch.todo_countersign, when(watch.todo_until, until))
    });
    let pending =
        at_stage(releases, "veto_window").map(|r| (output(r), watch.todo_veto, when(watch.todo_until, day(r, "/review/window_ends"))));
    Ok(asked.chain(unsigned).chain(pending).collect())
}

async fn operator(desk: &Desk, releases: &[Value]) -> Result<Vec<Row>, Trouble> {
    let watch = desk.lang().watch();
    let orders = desk.get("/v1/orders").await?;
    let ordered = items(&orders, "").iter().filter(|o| text(o, "/state") != "closed").map(|o| {
        (
            Cell::link("/console/orders", format!("{} {}", watch.orders, figure(o, "/id"))),
            watch.todo_order,
            when(watch.todo_until, text(o, "/due")),
        )
    });
    let held =
        at_stage(releases, "awaiting_statement").map(|r| (output(r), watch.todo_statement, when(watch.todo_from, time(r, "/created_at"))));
    let returned = at_stage(releases, "returned").map(|r| (output(r), watch.todo_returned, when(watch.todo_from, time(r, "/created_at"))));
    Ok(ordered.chain(returned).chain(held).collect())
}

async fn checker(desk: &Desk, releases: &[Value]) -> Result<Vec<Row>, Trouble> {
    let (watch, own) = (desk.lang().watch(), desk.me().org.as_str());
    let modules = desk.get_as(MODULES, "/v1/modules").await?;
    let votes = at_stage(releases, "in_review")
        .filter(|r| is(r, "/review/duty") && !is(r, "/review/voted"))
        .map(|r| (output(r), watch.todo_vote, when(watch.todo_until, day(r, "/review/clock/due"))));
    let unread = items(&modules, "").iter().filter(|m| text(m, "/state") == "unreviewed" && text(m, "/org") != own).map(|m| {
        let digest = text(m, "/digest");
        let name = format!("{} {}", text(m, "/name"), text(m, "/version"));
        (
            Cell::link(format!("/console/modules/{digest}"), name).line().and_code(digest),
            watch.todo_module,
            when(watch.todo_from, time(m, "/created_at")),
        )
    });
    Ok(votes.chain(unread).collect())
}

fn authority(desk: &Desk, releases: &[Value]) -> Vec<Row> {
    let watch = desk.lang().watch();
    at_stage(releases, "appealed").map(|r| (output(r), watch.todo_appeal, when(watch.todo_from, time(r, "/decided_at")))).collect()
}
