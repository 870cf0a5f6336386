//! The log: its leaves, and one leaf with a check that the browser makes itself.

use std::collections::HashMap;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::desk::{Desk, Shown};
use super::json::{figure, is, list as items, text, time};
use super::kit::{Cell, Facts, Part, Section, Table, Tone, Verify};
use super::labels;
use super::words::Lang;
use crate::refusal::{self, Refused};
use crate::tlog::{LEAF_BYTES, LeafKind};

/// Leaves of a page.
const PER_PAGE: u64 = 100;

fn kind(desk: &Desk, leaf: &Value) -> Cell {
    Cell::text(labels::sentence(text(leaf, if desk.lang() == Lang::Zh { "/zh" } else { "/en" })))
}

fn open(desk: &Desk, leaf: &Value) -> Cell {
    let watch = desk.lang().watch();
    if is(leaf, "/open") { Cell::chip(Tone::Good, watch.leaf_open) } else { Cell::default().and_muted(watch.leaf_closed) }
}

/// Which leaves are asked for, as a query.
fn asked(count: Option<u64>, kind: Option<u8>, before: Option<u64>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("count", count), ("kind", kind.map(u64::from)), ("before", before)] {
        if let Some(value) = value {
            query.append_pair(name, &value.to_string());
        }
    }
    query.finish()
}

/// Leaves, newest first.
pub(super) async fn list(desk: Desk, Query(query): Query<HashMap<String, String>>) -> Shown {
    let (w, watch) = (desk.w(), desk.lang().watch());
    let number = |name: &str| query.get(name).and_then(|text| text.parse::<u64>().ok());
    // A kind that is none is every kind.
    let wanted = number("kind").and_then(|code| LeafKind::from_code(u8::try_from(code).ok()?)).map(LeafKind::code);
    let answer = desk.get(&format!("/v1/log/leaves?{}", asked(Some(PER_PAGE), wanted, number("before")))).await?;
    let heads = [watch.leaf_number, watch.leaf_kind, watch.leaf_time, watch.leaf_commitment, watch.leaf_body];
    let mut table = Table::new(watch.log_caption, &heads, watch.log_none);
    let leaves = items(&answer, "/leaves");
    for leaf in leaves {
        let n = figure(leaf, "/number");
        table.push(vec![
            Cell::link(format!("/console/log/{n}"), n),
            kind(&desk, leaf),
            Cell::text(time(leaf, "/at")),
            Cell::code(text(leaf, "/commitment")),
            open(&desk, leaf),
        ]);
    }
    let mut kinds = vec![(String::new(), watch.leaf_kind_all.to_owned())];
    kinds.extend(
        LeafKind::ALL.iter().map(|k| (k.code().to_string(), labels::sentence(if desk.lang() == Lang::Zh { k.zh() } else { k.en() }))),
    );
    let choose = Part::Choose {
        action: "/console/log".to_owned(),
        name: "kind",
        label: watch.leaf_kind.to_owned(),
        options: kinds,
        value: wanted.map(|code| code.to_string()).unwrap_or_default(),
        submit: w.filter.to_owned(),
    };
    let at = |before: Option<u64>| format!("/console/log?{}", asked(None, wanted, before));
    let mut links = vec![(at(None), watch.newest.to_owned(), number("before").is_none())];
    let last = leaves.last().and_then(|leaf| leaf.get("number")?.as_u64());
    if let Some(before) = last.filter(|n| *n > 0 && leaves.len() as u64 == PER_PAGE) {
        links.push((at(Some(before)), watch.older.to_owned(), false));
    }
    let size = format!("{}: {}", w.log_size, figure(&answer, "/size"));
    Ok(desk
        .page(watch.log)
        .lead(watch.log_lead)
        .section(Section::new("filters", "").part(choose).part(Part::Links(watch.more_leaves.to_owned(), links)))
        .section(Section::new("list", "").hint(size).table(table))
        .show())
}

/// One leaf.
pub(super) async fn leaf(desk: Desk, Path(number): Path<u64>) -> Shown {
    let watch = desk.lang().watch();
    let none = || desk.refuse(Refused::new(&refusal::NOT_FOUND), StatusCode::NOT_FOUND);
    let Some(before) = number.checked_add(1) else { return Err(none()) };
    let answer = desk.get(&format!("/v1/log/leaves?count=1&before={before}")).await?;
    let Some(line) = items(&answer, "/leaves").first().filter(|leaf| leaf.get("number") == Some(&Value::from(number))) else {
        return Err(none());
    };
    let size = answer.get("size").and_then(Value::as_u64).unwrap_or(0);
    // Whose body it is not is told so here, and asks for none: no denial comes of a page that merely shows less.
    let opened = if is(line, "/open") { desk.get(&format!("/v1/log/leaves/{number}")).await? } else { Value::Null };
    let published = published(&desk, number).await.ok_or_else(none)?;
    let facts = Facts::default()
        .add(watch.leaf_number, Cell::text(number.to_string()))
        .add(watch.leaf_kind, kind(&desk, line))
        .add(watch.leaf_time, Cell::text(time(line, "/at")))
        .add(watch.leaf_commitment, Cell::default().and_whole(text(line, "/commitment")))
        .add(watch.leaf_bytes, Cell::default().and_whole(published.clone()));
    let mut links = Vec::new();
    if let Some(n) = number.checked_sub(1) {
        links.push((format!("/console/log/{n}"), watch.leaf_before.to_owned(), false));
    }
    if before < size {
        links.push((format!("/console/log/{before}"), watch.leaf_next.to_owned(), false));
    }
    let verify =
        Verify { number, leaf: published, salt: text(&opened, "/salt").to_owned(), body: text(&opened, "/body").to_owned(), w: watch };
    let title = format!("{} {number}", desk.w().leaf);
    Ok(desk
        .page(title)
        .under("/console/log", watch.log)
        .section(Section::new("leaf", "").facts(facts).part(Part::Links(watch.more_leaves.to_owned(), links)))
        .section(Section::new("verify", watch.verify).hint(watch.verify_text).part(Part::Verify(verify)))
        .section(body(&desk, &opened))
        .show())
}

/// The bytes of a leaf as the log publishes them.
async fn published(desk: &Desk, number: u64) -> Option<String> {
    let proof = desk.get(&format!("/log/inclusion/{number}")).await.ok()?;
    let bytes = STANDARD.decode(text(&proof, "/leaf")).ok().filter(|bytes| bytes.len() == LEAF_BYTES)?;
    Some(STANDARD.encode(bytes))
}

fn body(desk: &Desk, opened: &Value) -> Section {
    let watch = desk.lang().watch();
    let section = Section::new("body", watch.leaf_body);
    let shown = text(opened, "/body");
    if shown.is_empty() {
        return section.part(Part::note(Tone::Plain, watch.leaf_body_closed));
    }
    let laid_out = serde_json::from_str::<Value>(shown).ok().and_then(|body| serde_json::to_string_pretty(&body).ok());
    let facts = Facts::default().add(watch.salt, Cell::default().and_whole(text(opened, "/salt")));
    section.hint(watch.leaf_body_text).part(Part::Said(laid_out.unwrap_or_else(|| shown.to_owned()))).facts(facts)
}
