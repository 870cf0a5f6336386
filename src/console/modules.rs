//! Modules: what they may do, who read them; and for checkers the review.

use axum::extract::Path;
use axum::response::Response;
use serde_json::json;

use super::desk::{Desk, Posted, Shown, Trouble};
use super::json::{list as items, text, texts, time};
use super::kit::{Cell, Facts, Field, Form, Part, Section, Table, Tone};
use super::releases::{state, tone};
use crate::policy::Role;

/// The list.
pub(super) async fn list(desk: Desk) -> Shown {
    let w = desk.w();
    let modules = desk.get("/v1/modules").await?;
    let heads = [w.module, w.version, w.digest, w.author, w.state, w.reviewer, w.uploaded_at];
    let mut table = Table::new(w.modules_caption, &heads, w.modules_none);
    for module in items(&modules, "") {
        let digest = text(module, "/digest");
        table.push(vec![
            Cell::link(format!("/console/modules/{digest}"), text(module, "/name")),
            Cell::text(text(module, "/version")),
            Cell::code(digest),
            Cell::text(text(module, "/org")),
            state(&desk, text(module, "/state")),
            Cell::text(text(module, "/reviewer")),
            Cell::text(time(module, "/created_at")),
        ]);
    }
    Ok(desk.page(w.modules).lead(w.modules_lead).section(Section::new("list", "").table(table)).show())
}

/// One module.
pub(super) async fn show(desk: Desk, Path(digest): Path<String>) -> Shown {
    let w = desk.w();
    let module = desk.get(&format!("/v1/modules/{digest}")).await?;
    let word = text(&module, "/state");
    let imports = texts(&module, "/imports").into_iter().fold(Cell::default(), |cell, import| cell.line().and_code(import));
    let facts = Facts::default()
        .add(w.version, Cell::text(text(&module, "/version")))
        .add(w.digest, Cell::code(text(&module, "/digest")))
        .add(w.author, Cell::text(text(&module, "/org")).and_muted(text(&module, "/principal")))
        .add(w.uploaded_at, Cell::text(time(&module, "/created_at")))
        .add(w.capabilities, imports)
        .add(w.reviewer, Cell::text(text(&module, "/reviewer")))
        .add(w.reason, Cell::text(text(&module, "/reason")));
    let page = desk.page(text(&module, "/name")).under("/console/modules", w.modules).state(tone(word), desk.say(word));
    let page = page.section(Section::new("facts", w.module).facts(facts));
    if word != "unreviewed" || !desk.is(&[Role::OutputChecker]) {
        return Ok(page.show());
    }
    let section = Section::new("review", w.review_module);
    if desk.me().org.as_str() == text(&module, "/org") {
        return Ok(page.section(section.part(Part::note(Tone::Plain, w.own_review))).show());
    }
    let options = [("yes", w.approve), ("no", w.deny)].map(|(key, label)| (key.to_owned(), label.to_owned(), String::new()));
    let form = Form::new(format!("/console/modules/{digest}/review"), desk.mark(), w.decide)
        .field(Field::Choice { name: "decision", label: w.decision.into(), options: options.into() })
        .field(Field::Line { name: "reason", label: w.reason.into(), hint: String::new(), value: String::new(), required: true });
    Ok(page.section(section.form(form)).show())
}

/// A checker's decision.
pub(super) async fn review(Path(digest): Path<String>, posted: Posted) -> Result<Response, Trouble> {
    let body = json!({ "approve": posted.field("decision") == "yes", "reason": posted.field("reason") });
    posted.desk.post(&format!("/v1/modules/{digest}/review"), &body).await?;
    Ok(posted.desk.back(&format!("/console/modules/{digest}"), "reviewed"))
}
