//! The neighbour-replay probe as a reviewer sees it: what it is, what it found, and how far single units move the model. Influences are
//! drawn by size; nothing on the page says which unit is which.

use serde_json::Value;

use super::chart;
use super::desk::Desk;
use super::fields::Titles;
use super::json::{figure, list, some, text, texts};
use super::kit::{Cell, Facts, Part, Section, Table, Tone};
use super::words::Lang;

/// Adds what a probe says to `section`.
pub(super) fn probe(desk: &Desk, section: Section, titles: &Titles, probe: &Value) -> Section {
    let w = desk.w();
    let told = |value, en, zh| text(value, if desk.lang() == Lang::Zh { zh } else { en }).to_owned();
    let mut section = section.heading(w.probe).part(Part::note(Tone::Plain, told(probe, "/about_en", "/about_zh")));
    for finding in list(probe, "/findings") {
        let figures = format!("{} ({}: {})", text(finding, "/value"), w.threshold, text(finding, "/threshold"));
        section = section.part(Part::note(Tone::Bad, format!("{}: {figures}", told(finding, "/en", "/zh"))));
    }
    let baseline = match probe.pointer("/baseline") {
        Some(Value::String(word)) => Cell::text(desk.say(word)),
        other => Cell::text(other.map_or("", |b| text(b, "/failed"))),
    };
    let mut facts = Facts::default()
        .add(w.units_n, Cell::text(figure(probe, "/units")))
        .add(w.probe_random, Cell::text(figure(probe, "/random")))
        .add(w.probe_extreme, Cell::text(figure(probe, "/extreme")))
        .add(w.probe_chance, Cell::text(figure(probe, "/detection_probability")))
        .add(w.probe_repeated, baseline);
    if some(probe, "/cut") {
        facts = facts.add(w.probe_cut, Cell::text(text(probe, "/cut")));
    }
    if figure(probe, "/failed") != "0" {
        facts = facts
            .add(w.probe_failed, Cell::text(figure(probe, "/failed")).and_muted(texts(probe, "/failures").join(desk.lang().separator())));
    }
    section = section.facts(facts);
    let bars = list(probe, "/influences").iter().enumerate().map(|(i, influence)| {
        let told = figure(influence, "/influence");
        (format!("{} {}", i + 1, desk.say(text(influence, "/drawn"))), told.parse().unwrap_or(0.0), told)
    });
    let bars: Vec<(String, f64, String)> = bars.collect();
    if !bars.is_empty() {
        section = section.part(Part::Chart(chart::bars(w.influence_chart, &bars.len().to_string(), &bars)));
    }
    let mut table = Table::new(w.probe_parameters, &[w.name, w.probe_median, w.probe_largest, w.probe_hidden], w.none_yet).figures_from(1);
    for parameter in list(probe, "/parameters") {
        let cell = |at: &str| Cell::text(figure(parameter, at));
        table.push(vec![
            titles.feature(desk, text(parameter, "/name")),
            cell("/median_steps"),
            cell("/largest_steps"),
            cell("/hidden_steps"),
        ]);
    }
    section.table(table)
}
