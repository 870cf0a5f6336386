//! One output, in the order in which supervisors ask: who, on what basis, which fields, which code, which rules, who approves, to whom.

use std::collections::BTreeSet;

use axum::extract::Path;
use axum::response::Redirect;
use serde_json::Value;

use super::desk::{Desk, Posted, Shown};
use super::frame::LISTS;
use super::json::{day, figure, is, list, text, texts, time};
use super::kit::{Cell, Facts, Form, Part, Section, Table, Tone};
use super::releases::{Papers, keys as linkage_keys, module, said, tone};
use super::{labels, preview, review};
use crate::policy::Role;

/// What is shown of the artefact.
enum Copy {
    /// Not asked for.
    Closed,
    /// What left, or the review copy with its evidence.
    Open(Value),
    /// It left, and is not handed out now: why.
    Withheld(Value),
}

/// One output.
pub(super) async fn show(desk: Desk, Path(id): Path<String>) -> Shown {
    let release = desk.get(&format!("/v1/releases/{id}")).await?;
    let copy = match text(&release, "/state") {
        "released" => desk.ask(&format!("/v1/releases/{id}/artefact")).await?.map_or_else(Copy::Withheld, Copy::Open),
        _ => Copy::Closed,
    };
    page(&desk, &release, copy).await
}

/// The same with the review copy. A `POST`, because each opening is a leaf.
pub(super) async fn copy(Path(id): Path<String>, posted: Posted) -> Shown {
    let desk = posted.desk;
    let release = desk.get(&format!("/v1/releases/{id}")).await?;
    let opened = desk.get(&format!("/v1/releases/{id}/evidence")).await?;
    page(&desk, &release, Copy::Open(opened)).await
}

/// The address of the review copy, opened again as a page: back to the output, for opening is a `POST`.
pub(super) async fn no_copy(Path(id): Path<String>) -> Redirect {
    Redirect::to(&format!("/console/releases/{id}"))
}

/// What left with all that proves it, as one file.
pub(super) async fn bundle(desk: Desk, Path(id): Path<String>) -> Shown {
    desk.file(&format!("/v1/releases/{id}/bundle")).await
}

async fn page(desk: &Desk, release: &Value, copy: Copy) -> Shown {
    let w = desk.w();
    let papers = Papers::of(desk).await?;
    let job = desk.get_as(LISTS, &format!("/v1/jobs/{}", text(release, "/job"))).await?;
    let keys = if is(release, "/review/duty") { desk.get("/v1/reviewer-keys").await? } else { Value::Null };
    let word = text(release, "/state");
    let page = desk.page(text(release, "/name")).under("/console/releases", w.releases).numbered();
    let page = page.lead(format!("{} · {}", text(release, "/id"), desk.say(text(release, "/kind")))).state(tone(word), desk.say(word));
    Ok(page
        .section(who(desk, release))
        .section(basis(desk, &papers, release))
        .section(fields(desk, &papers, release))
        .section(code(desk, &papers, release))
        .section(rules(desk, release, &job))
        .section(artefact(desk, &papers, release, &copy))
        .section(review::section(desk, release, &keys, matches!(copy, Copy::Open(_))))
        .section(recipient(desk, &papers, release))
        .section(after(desk, &papers, release))
        .section(evidence(desk, release, matches!(copy, Copy::Open(_))))
        .show())
}

fn who(desk: &Desk, release: &Value) -> Section {
    let w = desk.w();
    let job = text(release, "/job");
    let facts = Facts::default()
        .add(w.col_operator, Cell::text(text(release, "/org")))
        .add(w.applicant, Cell::text(text(release, "/facts/principal")))
        .add(w.job, Cell::link(format!("/console/jobs/{job}"), job))
        .add(w.reached_at, Cell::text(time(release, "/created_at")));
    Section::new("who", w.sec_who).facts(facts)
}

fn basis(desk: &Desk, papers: &Papers, release: &Value) -> Section {
    let w = desk.w();
    let (agreement, application) = (papers.agreement(release), papers.application(release));
    let id = text(release, "/facts/agreement");
    let at = |pointer: &str| text(agreement, &format!("/terms/agreement{pointer}"));
    let term = if at("/term/from").is_empty() { String::new() } else { format!("{} – {}", at("/term/from"), at("/term/until")) };
    let committed = ["true", "compliant", "secure"]
        .iter()
        .all(|c| application.pointer(&format!("/document/commitments/{c}")) == Some(&Value::Bool(true)));
    let named = if agreement.is_null() { Cell::code(id) } else { Cell::link(format!("/console/papers/agreements/{id}"), id) };
    let facts = Facts::default()
        .add(w.agreement, named)
        .add(w.term, Cell::text(term))
        .add(w.purpose, Cell::text(text(release, "/facts/purpose")))
        .add(w.use_case, Cell::text(text(application, "/document/use_case")))
        .add(w.legal_basis, Cell::text(text(application, "/document/legal_basis")))
        .add(w.scope, Cell::text(text(application, "/document/scope")))
        .add(w.method, Cell::text(text(application, "/document/method")))
        .add(w.commitments, if committed { Cell::chip(Tone::Good, w.commitments_made) } else { Cell::dash() })
        .add(w.authorisation, Cell::code(at("/authorisation")))
        .add(w.doors, Cell::text(said(desk, agreement, "/terms/agreement/doors")));
    Section::new("basis", w.sec_basis).facts(facts)
}

fn fields(desk: &Desk, papers: &Papers, release: &Value) -> Section {
    let w = desk.w();
    let heads = [w.dataset, w.provider, w.level, w.sharing, w.opening, w.version, w.columns];
    let mut table = Table::new(w.attribution, &heads, w.none_yet);
    for source in list(release, "/facts/sources") {
        let id = text(source, "/dataset");
        let entry = papers.dataset(id);
        let class = |pointer: &str| text(entry, pointer).to_owned();
        table.push(vec![
            Cell::link(format!("/console/data/{id}"), text(entry, "/entry/title")).line().and_code(id),
            Cell::text(text(source, "/owner")),
            Cell::text(desk.say(&class("/entry/security_level"))),
            Cell::text(desk.say(&class("/entry/sharing/class"))),
            Cell::text(desk.say(&class("/entry/opening/class"))),
            Cell::text(figure(source, "/version")),
            texts(source, "/columns")
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .fold(Cell::default(), |cell, name| cell.and_code(name)),
        ]);
    }
    let plan = papers.plan(release);
    let facts = Facts::default()
        .add(w.plan, Cell::text(text(plan, "/plan/title")).and_code(text(release, "/facts/plan")))
        .add(w.joins, Cell::text(linkage_keys(plan).join(desk.lang().separator())))
        .add(w.unit, Cell::code(text(plan, "/plan/unit")));
    let mut granted = Table::new(w.transforms, &[w.field, w.source_column, w.transform], w.none_yet);
    for output in list(plan, "/plan/outputs") {
        let transform = output.pointer("/transform").unwrap_or(&Value::Null);
        let word = transform.as_str().or_else(|| transform.as_object().and_then(|o| o.keys().next().map(String::as_str)));
        granted.push(vec![
            Cell::code(text(output, "/name")),
            Cell::code(text(output, "/from")).and_muted(papers.source_title(plan, text(output, "/from"))),
            Cell::text(desk.say(word.unwrap_or_default())),
        ]);
    }
    Section::new("fields", w.sec_fields).facts(facts).table(table).table(granted)
}

fn code(desk: &Desk, papers: &Papers, release: &Value) -> Section {
    let w = desk.w();
    let found = papers.module(release);
    let imports = texts(found, "/imports").into_iter().fold(Cell::default(), |cell, import| cell.line().and_code(import));
    let facts = Facts::default()
        .add(w.module, module(desk, papers, release))
        .add(w.author, Cell::text(text(release, "/facts/author_org")))
        .add(w.reviewer, Cell::text(text(found, "/reviewer")).and_muted(text(found, "/reason")))
        .add(w.capabilities, imports)
        .add(w.engine, Cell::code(text(release, "/facts/engine_digest")));
    Section::new("code", w.sec_code).facts(facts)
}

/// A clause list with the regulation of each.
pub(super) fn clauses(desk: &Desk, value: &Value, pointer: &str) -> Cell {
    texts(value, pointer)
        .into_iter()
        .fold(Cell::default(), |cell, clause| cell.and_link("/console/clauses", labels::article(desk.lang(), clause)))
}

fn rules(desk: &Desk, release: &Value, job: &Value) -> Section {
    let w = desk.w();
    let mut table = Table::new(w.sec_rules, &[w.rule, w.outcome, w.threshold, w.clause], w.none_yet);
    for check in list(release, "/checks") {
        let rule = text(check, "/rule");
        table.push(vec![
            Cell::text(desk.say(rule)).line().and_code(rule),
            Cell::text(labels::phrase(desk.lang(), text(check, "/outcome"))),
            Cell::text(labels::phrase(desk.lang(), text(check, "/threshold"))),
            clauses(desk, check, "/clauses"),
        ]);
    }
    let mut section = Section::new("rules", w.sec_rules);
    let refusal = release.pointer("/refusal").filter(|r| !r.is_null()).or_else(|| job.pointer("/refusal").filter(|r| !r.is_null()));
    if let Some(refusal) = refusal {
        section.hint = w.refusal_of_gate.to_owned();
        section.parts.extend(desk.refusal(refusal).parts);
    }
    if list(release, "/checks").is_empty() && !section.parts.is_empty() { section } else { section.table(table) }
}

fn artefact(desk: &Desk, papers: &Papers, release: &Value, copy: &Copy) -> Section {
    let w = desk.w();
    let section = Section::new("artefact", w.sec_artefact);
    match copy {
        Copy::Open(opened) => {
            let titles = papers.titles(release);
            let section = preview::artefact(desk, section, &titles, opened.get("artefact").unwrap_or(&Value::Null));
            match opened.get("evidence").filter(|e| !e.is_null()) {
                Some(evidence) => preview::evidence(desk, section, &titles, evidence),
                None => section,
            }
        }
        Copy::Withheld(why) => desk.refusal(why).parts.into_iter().fold(section, Section::part),
        Copy::Closed if text(release, "/state") == "refused" => section.part(Part::note(Tone::Plain, w.artefact_never)),
        Copy::Closed if desk.is(&[Role::Authority]) || is(release, "/review/duty") => {
            let action = format!("/console/releases/{}/copy#artefact", text(release, "/id"));
            section.hint(w.artefact_trace).form(Form::new(action, desk.mark(), w.artefact_open).quiet())
        }
        Copy::Closed if text(release, "/state") == "denied" => section.part(Part::note(Tone::Plain, w.artefact_never)),
        Copy::Closed => section.part(Part::note(Tone::Plain, w.artefact_not_yet)),
    }
}

fn recipient(desk: &Desk, papers: &Papers, release: &Value) -> Section {
    let w = desk.w();
    let to = text(release, "/facts/recipient");
    let agreed = texts(papers.agreement(release), "/terms/agreement/recipients").contains(&to);
    let cell = if agreed { Cell::text(to).and_chip(Tone::Good, w.recipient_named) } else { Cell::text(to) };
    Section::new("recipient", w.sec_recipient).facts(Facts::default().add(w.recipient, cell))
}

fn after(desk: &Desk, papers: &Papers, release: &Value) -> Section {
    let w = desk.w();
    let agreement = papers.agreement(release);
    let sources = list(release, "/facts/sources").iter();
    let named = sources.fold(Cell::default(), |cell, s| {
        cell.line().and_code(text(s, "/dataset")).and(format!("v{}", figure(s, "/version"))).and_muted(text(s, "/owner"))
    });
    let facts = Facts::default()
        .add(w.feedback, Cell::dash())
        .add(w.attribution, named)
        .add(w.safeguards, Cell::text(text(agreement, "/terms/agreement/safeguards")))
        .add(w.disposal, Cell::text(text(agreement, "/terms/agreement/disposal")))
        .add(w.ends, Cell::text(day(agreement, "/terms/agreement/term/until")));
    Section::new("after", w.sec_after).hint(w.responsibility).facts(facts)
}

fn evidence(desk: &Desk, release: &Value, opened: bool) -> Section {
    let w = desk.w();
    let leaf = |pointer: &str| match figure(release, pointer) {
        number if number.is_empty() => Cell::dash(),
        number => Cell::link(format!("/console/log/{number}"), number),
    };
    let facts = Facts::default()
        .add(w.decision_leaf, leaf("/decision_leaf"))
        .add(w.release_leaf, leaf("/leaf"))
        .add(w.commitment, Cell::code(text(release, "/commitment")));
    let section = Section::new("evidence", w.sec_evidence).facts(facts);
    if !opened || text(release, "/state") != "released" {
        return section;
    }
    let id = text(release, "/id");
    section.part(Part::File {
        href: format!("/console/releases/{id}/bundle"),
        text: w.bundle.to_owned(),
        about: w.bundle_about.to_owned(),
        command: format!("fusebox verify {id}.zip --log-key LOG-KEY"),
    })
}
