//! Agreements and applications: read, counter-signed, decided.

use axum::extract::Path;
use axum::response::Response;
use serde_json::{Value, json};

use super::desk::{Desk, Posted, Shown, Trouble};
use super::json::{figure, find, grouped, is, list as items, some, text, texts, time};
use super::kit::{Cell, Facts, Field, Form, Part, Section, Table, Tone};
use super::releases::said;
use crate::clock::CHINA_UTC_OFFSET_S;
use crate::policy::Role;

fn standing(desk: &Desk, agreement: &Value) -> (Tone, &'static str) {
    let (w, today) = (desk.w(), desk.now().date(CHINA_UTC_OFFSET_S).to_string());
    if some(agreement, "/terminated") {
        (Tone::Bad, w.terminated)
    } else if text(agreement, "/terms/agreement/term/until") < today.as_str() {
        (Tone::Bad, w.expired)
    } else if !items(agreement, "/unsigned").is_empty() || text(agreement, "/terms/agreement/term/from") > today.as_str() {
        (Tone::Wait, w.not_in_force)
    } else {
        (Tone::Good, w.in_force)
    }
}

fn term(agreement: &Value) -> String {
    format!("{} – {}", text(agreement, "/terms/agreement/term/from"), text(agreement, "/terms/agreement/term/until"))
}

/// Providers of an application that have not answered.
pub(super) fn undecided(application: &Value) -> Vec<&str> {
    let decided = |org: &&str| application.get("decisions").and_then(|d| d.get(*org)).is_some();
    texts(application, "/providers").into_iter().filter(|org| !decided(org)).collect()
}

/// Both lists.
pub(super) async fn list(desk: Desk) -> Shown {
    let w = desk.w();
    let (agreements, applications) = (desk.get("/v1/agreements").await?, desk.get("/v1/applications").await?);
    let heads = [w.agreement, w.col_operator, w.state, w.term, w.purpose, w.doors, w.unsigned];
    let mut table = Table::new(w.agreements_caption, &heads, w.agreements_none);
    for agreement in items(&agreements, "") {
        let (tone, label) = standing(&desk, agreement);
        let id = text(agreement, "/id");
        table.push(vec![
            Cell::link(format!("/console/papers/agreements/{id}"), id),
            Cell::text(text(agreement, "/terms/agreement/operator")),
            Cell::chip(tone, label),
            Cell::text(term(agreement)),
            Cell::text(texts(agreement, "/terms/agreement/purposes").join(desk.lang().separator())),
            Cell::text(said(&desk, agreement, "/terms/agreement/doors")),
            Cell::text(texts(agreement, "/unsigned").join(desk.lang().separator())),
        ]);
    }
    let mut asked = Table::new(
        w.applications_caption,
        &[w.application, w.col_operator, w.use_case, w.submitted_at, w.waiting_for],
        w.applications_none,
    );
    for application in items(&applications, "") {
        let id = text(application, "/document/id");
        asked.push(vec![
            Cell::link(format!("/console/papers/applications/{id}"), id),
            Cell::text(text(application, "/document/operator")),
            Cell::text(text(application, "/document/use_case")),
            Cell::text(time(application, "/submitted_at")),
            Cell::text(undecided(application).join(desk.lang().separator())),
        ]);
    }
    let page = desk.page(w.papers).lead(w.papers_lead).section(Section::new("agreements", w.agreements_caption).table(table));
    Ok(page.section(Section::new("applications", w.applications_caption).table(asked)).show())
}

/// Datasets with their columns, under this heading.
async fn columns(desk: &Desk, heading: &str, columns: &Value) -> Result<Table, Trouble> {
    let w = desk.w();
    let datasets = desk.get("/v1/datasets").await?;
    let mut table = Table::new(heading, &[w.dataset, w.provider, heading], w.none_yet);
    for (dataset, names) in columns.as_object().into_iter().flatten() {
        let names = texts(names, "").into_iter().fold(Cell::default(), |cell, name| cell.and_code(name));
        let entry = find(&datasets, "/id", dataset);
        let title = Some(text(entry, "/entry/title")).filter(|title| !title.is_empty()).unwrap_or(dataset);
        let named = Cell::link(format!("/console/data/{dataset}"), title).line().and_code(dataset);
        table.push(vec![named, Cell::text(text(entry, "/owner")), names]);
    }
    Ok(table)
}

/// One agreement; its provider counter-signs here.
pub(super) async fn agreement(desk: Desk, Path(id): Path<String>) -> Shown {
    let w = desk.w();
    let agreement = desk.get(&format!("/v1/agreements/{id}")).await?;
    let terms = agreement.pointer("/terms/agreement").unwrap_or(&Value::Null);
    let (tone, label) = standing(&desk, &agreement);
    let application = text(terms, "/application");
    let facts = Facts::default()
        .add(w.col_operator, Cell::text(text(terms, "/operator")))
        .add(w.term, Cell::text(term(&agreement)))
        .add(w.purpose, Cell::text(texts(terms, "/purposes").join(desk.lang().separator())))
        .add(w.doors, Cell::text(said(&desk, terms, "/doors")))
        .add(w.recipients, Cell::text(texts(terms, "/recipients").join(desk.lang().separator())))
        .add(w.authorisation, Cell::code(text(terms, "/authorisation")))
        .add(w.application, Cell::link(format!("/console/papers/applications/{application}"), application))
        .add(w.plan, Cell::code(text(terms, "/plan")).and_code(text(&agreement, "/terms/plan_digest")))
        .add(w.jobs_max, Cell::text(grouped(&figure(terms, "/budgets/jobs_max"))))
        .add(w.safeguards, Cell::text(text(terms, "/safeguards")))
        .add(w.disposal, Cell::text(text(terms, "/disposal")))
        .add(w.digest, Cell::code(text(&agreement, "/digest")));
    let mut signed = Table::new(w.signatures, &[w.provider, w.signed_by, w.when], w.none_yet);
    for provider in texts(&agreement, "/terms/providers") {
        let signature = agreement.get("countersignatures").and_then(|s| s.get(provider)).unwrap_or(&Value::Null);
        signed.push(vec![Cell::text(provider), Cell::text(text(signature, "/by")), Cell::text(time(signature, "/at"))]);
    }
    let section = Section::new("terms", w.agreement).hint(w.responsibility).facts(facts);
    let section = section.table(columns(&desk, w.columns, terms.get("columns").unwrap_or(&Value::Null)).await?);
    let page = desk.page(id.as_str()).under("/console/papers", w.papers).state(tone, label).section(section);
    let mut section = Section::new("signatures", w.signatures).table(signed);
    let mine = texts(&agreement, "/unsigned").contains(&desk.me().org.as_str());
    if desk.is(&[Role::Provider]) && mine && !some(&agreement, "/terminated") {
        let digest = text(&agreement, "/digest").to_owned();
        section = section.hint(w.countersign_text).form(
            Form::new(format!("/console/papers/agreements/{id}/countersign"), desk.mark(), w.countersign)
                .field(Field::Hidden { name: "digest", value: digest }),
        );
    }
    Ok(page.section(section).show())
}

/// Counter-signs the terms that were on the page.
pub(super) async fn countersign(Path(id): Path<String>, posted: Posted) -> Result<Response, Trouble> {
    let body = json!({ "digest": posted.field("digest") });
    posted.desk.post(&format!("/v1/agreements/{id}/countersign"), &body).await?;
    Ok(posted.desk.back(&format!("/console/papers/agreements/{id}"), "countersigned"))
}

/// One application; its provider answers here.
pub(super) async fn application(desk: Desk, Path(id): Path<String>) -> Shown {
    let w = desk.w();
    let found = desk.get(&format!("/v1/applications/{id}")).await?;
    let document = found.get("document").unwrap_or(&Value::Null);
    let committed = ["true", "compliant", "secure"].iter().all(|c| is(document, &format!("/commitments/{c}")));
    let facts = Facts::default()
        .add(w.col_operator, Cell::text(text(document, "/operator")))
        .add(w.submitted_at, Cell::text(time(&found, "/submitted_at")))
        .add(w.purpose, Cell::text(texts(document, "/purposes").join(desk.lang().separator())))
        .add(w.use_case, Cell::text(text(document, "/use_case")))
        .add(w.legal_basis, Cell::text(text(document, "/legal_basis")))
        .add(w.scope, Cell::text(text(document, "/scope")))
        .add(w.method, Cell::text(text(document, "/method")))
        .add(w.commitments, if committed { Cell::chip(Tone::Good, w.commitments_made) } else { Cell::dash() });
    let mut table = Table::new(w.decision, &[w.provider, w.decision, w.reason, w.basis, w.when], w.none_yet);
    for provider in texts(&found, "/providers") {
        let decision = found.get("decisions").and_then(|d| d.get(provider)).unwrap_or(&Value::Null);
        let word = match decision.get("granted").and_then(Value::as_bool) {
            Some(true) => Cell::chip(Tone::Good, w.grant),
            Some(false) => Cell::chip(Tone::Bad, w.refuse),
            None => Cell::chip(Tone::Wait, w.waiting_for),
        };
        table.push(vec![
            Cell::text(provider),
            word,
            Cell::text(text(decision, "/reason")),
            Cell::text(text(decision, "/basis")),
            Cell::text(time(decision, "/at")),
        ]);
    }
    let section = Section::new("application", w.application)
        .facts(facts)
        .table(columns(&desk, w.columns_asked, document.get("columns").unwrap_or(&Value::Null)).await?);
    let page = desk.page(id.as_str()).under("/console/papers", w.papers).section(section);
    let page = page.section(Section::new("decisions", w.decision).table(table));
    if !desk.is(&[Role::Provider]) || !undecided(&found).contains(&desk.me().org.as_str()) {
        return Ok(page.show());
    }
    let options = [("yes", w.grant), ("no", w.refuse)].map(|(key, label)| (key.to_owned(), label.to_owned(), String::new()));
    let line = |name: &'static str, label: &str| Field::Line {
        name,
        label: label.into(),
        hint: String::new(),
        value: String::new(),
        required: false,
    };
    let form = Form::new(format!("/console/papers/applications/{id}/decide"), desk.mark(), w.decide)
        .field(Field::Choice { name: "decision", label: w.decision.into(), options: options.into() })
        .field(line("reason", w.reason))
        .field(line("basis", w.basis));
    Ok(page.section(Section::new("decide", w.decide_application).hint(w.refusal_needs).part(Part::Form(form))).show())
}

/// A provider's answer.
pub(super) async fn decide(Path(id): Path<String>, posted: Posted) -> Result<Response, Trouble> {
    let approve = posted.field("decision") == "yes";
    let body = json!({ "approve": approve, "reason": posted.field("reason"), "basis": posted.field("basis") });
    posted.desk.post(&format!("/v1/applications/{id}/decide"), &body).await?;
    Ok(posted.desk.back(&format!("/console/papers/applications/{id}"), "decided"))
}
