//! Jobs: submitted, followed phase by phase, cancelled. What was refused is told with its remedy.

use axum::extract::Path;
use axum::response::Response;
use serde_json::{Value, json};

use super::desk::{Desk, Posted, Shown, Trouble};
use super::fields::Titles;
use super::frame::{LISTS, MODULES};
use super::json::{figure, find, grouped, list as items, some, text, texts, time};
use super::kit::{Cell, Facts, Field, Form, Part, Section, Table, Tone};
use super::preview;
use super::releases::{state, tone};
use crate::policy::Role;

/// Who submits jobs.
const SUBMITS: &[Role] = &[Role::Operator, Role::Researcher];
/// Outputs of a job that are named; the list of outputs has the others.
const OUTPUTS_MAX: usize = 3;
/// Phases in their order.
const PHASES: [&str; 4] = ["queued", "running", "in_review", "done"];

fn runs_on(desk: &Desk, job: &Value) -> Cell {
    let rows = figure(job, "/synthetic_rows");
    let told = format!("{} {}", grouped(&rows), desk.w().rows_unit);
    if rows.is_empty() { Cell::text(desk.w().real) } else { Cell::text(desk.w().synthetic).and_muted(told) }
}

/// The list, and for operators and researchers the form.
pub(super) async fn list(desk: Desk) -> Shown {
    let w = desk.w();
    let jobs = desk.get("/v1/jobs").await?;
    let modules = desk.get_as(MODULES, "/v1/modules").await?;
    let heads = [w.job, w.state, w.runs_on, w.plan, w.module, w.agreement, w.results];
    let mut table = Table::new(w.jobs_caption, &heads, w.jobs_none);
    for job in items(&jobs, "") {
        let id = text(job, "/id");
        table.push(vec![
            Cell::link(format!("/console/jobs/{id}"), id).line().and_muted(text(job, "/org")).and_muted(time(job, "/created_at")),
            state(&desk, text(job, "/state")),
            runs_on(&desk, job),
            Cell::code(text(job, "/plan")),
            module(&modules, job),
            Cell::code(text(job, "/agreement")).line().and_muted(text(job, "/purpose")),
            outputs(&desk, job),
        ]);
    }
    let page = desk.page(w.jobs).lead(w.jobs_lead).section(Section::new("list", "").table(table));
    if !desk.is(SUBMITS) {
        return Ok(page.show());
    }
    let section = Section::new("new", w.new_job);
    Ok(match form(&desk).await? {
        Some(form) => page.section(section.hint(w.new_job_text).form(form)).show(),
        None => page.section(section.part(Part::note(Tone::Wait, w.job_needs))).show(),
    })
}

/// A job's module, by its name where the caller sees modules.
fn module(modules: &Value, job: &Value) -> Cell {
    let digest = text(job, "/module");
    let found = find(modules, "/digest", digest);
    match text(found, "/name") {
        "" => Cell::code(digest),
        name => Cell::link(format!("/console/modules/{digest}"), format!("{name} {}", text(found, "/version"))).line().and_code(digest),
    }
}

fn outputs(desk: &Desk, job: &Value) -> Cell {
    let all = texts(job, "/releases");
    let shown = all.iter().take(OUTPUTS_MAX);
    let cell = shown.fold(Cell::default(), |cell, id| cell.line().and_link(format!("/console/releases/{id}"), *id));
    match all.len().saturating_sub(OUTPUTS_MAX) {
        0 => cell,
        more => cell.line().and_link(format!("/console/releases?q={}", text(job, "/id")), format!("+ {more} {}", desk.w().more)),
    }
}

/// The form; none while there is no plan or no module to submit.
async fn form(desk: &Desk) -> Result<Option<Form>, Trouble> {
    let w = desk.w();
    let (plans, modules, agreements) = (desk.get("/v1/plans").await?, desk.get("/v1/modules").await?, desk.get("/v1/agreements").await?);
    if items(&plans, "").is_empty() || items(&modules, "").is_empty() {
        return Ok(None);
    }
    let only = |label: &str, when: &str| format!("{label} ({when})");
    let pick = |name: &'static str, label: &str, options: Vec<(String, String)>| Field::Pick {
        name,
        label: label.into(),
        options,
        value: String::new(),
    };
    let plan = items(&plans, "").iter().map(|p| (text(p, "/id").to_owned(), format!("{} ({})", text(p, "/plan/title"), text(p, "/id"))));
    let module = items(&modules, "").iter().map(|m| {
        (text(m, "/digest").to_owned(), format!("{} {} · {}", text(m, "/name"), text(m, "/version"), desk.say(text(m, "/state"))))
    });
    let agreement = items(&agreements, "").iter().map(|a| (text(a, "/id").to_owned(), text(a, "/id").to_owned()));
    let mut purposes: Vec<&str> = items(&agreements, "").iter().flat_map(|a| texts(a, "/terms/agreement/purposes")).collect();
    purposes.sort_unstable();
    purposes.dedup();
    let purpose = purposes.into_iter().map(|p| (p.to_owned(), p.to_owned()));
    let data = [("synthetic", w.synthetic), ("real", w.real)].map(|(key, label)| (key.to_owned(), label.to_owned(), String::new()));
    let form = Form::new("/console/jobs", desk.mark(), w.new_job)
        .field(pick("plan", w.plan, plan.collect()))
        .field(pick("module", w.module, module.collect()))
        .field(Field::Choice { name: "data", label: w.runs_on.into(), options: data.into() })
        .field(Field::Number { name: "rows", label: w.rows_synthetic.into(), value: "1000".into() })
        .field(pick("agreement", &only(w.agreement, w.only_real), agreement.collect()))
        .field(pick("purpose", &only(w.purpose, w.only_real), purpose.collect()));
    Ok(Some(form))
}

/// Submits a job; a refusal is a page that says what to do.
pub(super) async fn submit(posted: Posted) -> Result<Response, Trouble> {
    let mut job = json!({ "plan": posted.field("plan"), "module": posted.field("module") });
    let more = if posted.field("data") == "real" {
        json!({ "synthetic": false, "agreement": posted.field("agreement"), "purpose": posted.field("purpose") })
    } else {
        json!({ "synthetic": true, "rows": posted.field("rows").parse::<u64>().unwrap_or(0) })
    };
    if let (Some(job), Some(more)) = (job.as_object_mut(), more.as_object()) {
        job.extend(more.clone());
    }
    let made = posted.desk.post("/v1/jobs", &job).await?;
    Ok(posted.desk.back(&format!("/console/jobs/{}", text(&made, "/id")), "submitted"))
}

/// One job.
pub(super) async fn show(desk: Desk, Path(id): Path<String>) -> Shown {
    let w = desk.w();
    let job = desk.get(&format!("/v1/jobs/{id}")).await?;
    let word = text(&job, "/state");
    let ended = matches!(word, "done" | "failed" | "cancelled");
    let mut page = desk.page(text(&job, "/id")).under("/console/jobs", w.jobs).state(tone(word), desk.say(word));
    page = page.section(phases(&desk, &job, word, ended));
    if let Some(refusal) = job.pointer("/refusal").filter(|r| !r.is_null()) {
        let mut section = desk.refusal(refusal);
        w.refused.clone_into(&mut section.title);
        page = page.section(section);
    }
    let modules = desk.get_as(MODULES, "/v1/modules").await?;
    let agreement = text(&job, "/agreement");
    let agreed = if agreement.is_empty() { Cell::dash() } else { Cell::link(format!("/console/papers/agreements/{agreement}"), agreement) };
    let facts = Facts::default()
        .add(w.col_operator, Cell::text(text(&job, "/org")))
        .add(w.applicant, Cell::text(text(&job, "/principal")))
        .add(w.submitted_at, Cell::text(time(&job, "/created_at")))
        .add(w.runs_on, runs_on(&desk, &job))
        .add(w.plan, Cell::code(text(&job, "/plan")))
        .add(w.module, module(&modules, &job))
        .add(w.agreement, agreed)
        .add(w.purpose, Cell::text(text(&job, "/purpose")))
        .add(w.recipient, Cell::text(text(&job, "/recipient")))
        .add(w.commitment, Cell::code(text(&job, "/commitment")));
    page = page.section(Section::new("facts", w.job).facts(facts));
    let titles = titles(&desk, &job).await?;
    Ok(results(&desk, page, &job, ended, &titles).show())
}

/// What the columns of the job's view are called.
async fn titles(desk: &Desk, job: &Value) -> Result<Titles, Trouble> {
    let (plans, datasets) = (desk.get_as(LISTS, "/v1/plans").await?, desk.get("/v1/datasets").await?);
    Ok(Titles::of(find(&plans, "/id", text(job, "/plan")), &datasets))
}

fn phases(desk: &Desk, job: &Value, word: &str, ended: bool) -> Section {
    let w = desk.w();
    let reached = PHASES.iter().position(|p| *p == word);
    let links = PHASES.iter().enumerate().map(|(i, phase)| {
        let mark = if reached.is_some_and(|at| i < at || (i == at && ended)) { "✓ " } else { "" };
        (String::new(), format!("{mark}{}", desk.say(phase)), Some(i) == reached)
    });
    let section = Section::new("phases", w.phases).hint(if ended { "" } else { w.phase_live });
    let section = section.part(Part::Phases {
        id: text(job, "/id").to_owned(),
        live: (!ended).then(|| word.to_owned()),
        steps: links.map(|(_, t, here)| (t, here)).collect(),
    });
    if ended || !desk.is(SUBMITS) {
        return section;
    }
    section.form(Form::new(format!("/console/jobs/{}/cancel", text(job, "/id")), desk.mark(), w.cancel).quiet())
}

fn results(desk: &Desk, mut page: super::desk::Page, job: &Value, ended: bool, titles: &Titles) -> super::desk::Page {
    let w = desk.w();
    let failure = text(job, "/failure");
    if !failure.is_empty() {
        page = page.section(Section::new("failure", w.failure).part(Part::Said(failure.to_owned())));
    }
    let mut section = Section::new("results", w.results);
    section = match texts(job, "/releases").len() {
        0 => section.part(Part::note(
            Tone::Plain,
            match ended {
                true if some(job, "/synthetic_rows") => w.results_synthetic,
                true => w.results_never,
                false => w.results_none,
            },
        )),
        _ => section.facts(Facts::default().add(w.col_id, outputs(desk, job))),
    };
    page = page.section(section);
    for (output, at) in items(job, "/result").iter().zip(0..) {
        let (name, word) = (text(output, "/name"), text(output, "/outcome"));
        let section = Section::named(format!("synthetic-{at}"), format!("{}: {name} ({})", w.synthetic_result, desk.say(word)));
        page = page.section(match output.get("refusal").filter(|refusal| !refusal.is_null()) {
            Some(refusal) => desk.refusal_in(section, refusal),
            None => preview::artefact(desk, section, titles, output.get("artefact").unwrap_or(&Value::Null)),
        });
        for (notice, number) in items(output, "/on_real_data").iter().zip(0..) {
            let section = Section::named(format!("synthetic-{at}-{number}"), format!("{}: {name}", w.on_real_data));
            page = page.section(desk.refusal_in(section, notice));
        }
    }
    let log = text(job, "/log");
    if !log.is_empty() {
        page = page.section(Section::new("log", w.module_log).part(Part::Said(log.to_owned())));
    }
    if some(job, "/report") {
        let report = job.get("report").unwrap_or(&Value::Null);
        page = page.section(preview::evidence(desk, Section::new("report", w.report), titles, report));
    }
    page
}

/// The job's phases as they come: the interface's own stream.
pub(super) async fn events(desk: Desk, Path(id): Path<String>) -> Response {
    desk.raw(&format!("/v1/jobs/{id}/events")).await
}

/// Cancels a job.
pub(super) async fn cancel(Path(id): Path<String>, posted: Posted) -> Result<Response, Trouble> {
    posted.desk.post(&format!("/v1/jobs/{id}/cancel"), &Value::Null).await?;
    Ok(posted.desk.back(&format!("/console/jobs/{id}"), "cancelled"))
}
