//! What would leave, or left, as a person reads it: a table with its suppressed cells marked, a model's coefficients, an answer; and
//! for reviewers the evidence behind it.

use serde_json::Value;

use super::desk::Desk;
use super::fields::Titles;
use super::json::{figure, grouped, is, list, text};
use super::kit::{Cell, Facts, Part, Section, Table, Tone};
use super::probe::probe;
use super::{chart, labels};

/// Rows of a previewed table; more are in the artefact itself.
const ROWS_MAX: usize = 2_000;

/// Adds the artefact to `section`.
pub(super) fn artefact(desk: &Desk, section: Section, titles: &Titles, artefact: &Value) -> Section {
    if artefact.pointer("/rows").is_some_and(Value::is_array) {
        table(desk, section, titles, artefact)
    } else if artefact.pointer("/terms").is_some_and(Value::is_array) {
        linear(desk, section, titles, artefact)
    } else if artefact.pointer("/trees").is_some_and(Value::is_array) {
        trees(desk, section, titles, artefact)
    } else if artefact.pointer("/layers").is_some_and(Value::is_array) {
        network(desk, section, artefact)
    } else {
        named(desk, section, desk.w().sec_artefact, artefact)
    }
}

fn label(desk: &Desk, value: &Value) -> Cell {
    if is(value, "/total") {
        return Cell::text(desk.w().total);
    }
    value.as_str().map_or_else(|| Cell::default().and_muted(desk.w().missing), Cell::text)
}

fn table(desk: &Desk, section: Section, titles: &Titles, artefact: &Value) -> Section {
    let w = desk.w();
    let (keys, measures) = (list(artefact, "/keys"), list(artefact, "/measures"));
    let named =
        |key: &str| Some(titles.title(key)).filter(|t| !t.is_empty()).map_or_else(|| key.to_owned(), |title| format!("{title} ({key})"));
    let heads: Vec<String> = keys.iter().chain(measures).filter_map(Value::as_str).map(named).collect();
    let mut table =
        Table::new(text(artefact, "/name"), &heads.iter().map(String::as_str).collect::<Vec<_>>(), w.none_yet).figures_from(keys.len());
    let rows = list(artefact, "/rows");
    let hidden = rows.iter().filter(|row| row.pointer("/cell/shown").is_none()).count();
    for row in rows.iter().take(ROWS_MAX) {
        let labels = list(row, "/keys").iter().map(|key| label(desk, key));
        let figures: Vec<Cell> = match row.pointer("/cell/shown").and_then(Value::as_array) {
            Some(shown) => shown.iter().map(|v| v.as_str().map_or_else(Cell::dash, Cell::text)).collect(),
            None => measures.iter().map(|_| Cell::chip(Tone::Plain, w.suppressed)).collect(),
        };
        table.push(labels.chain(figures).collect());
    }
    let shown = (rows.len() - hidden) as u64;
    let about = format!("{} {shown}, {} {hidden}", w.cells_shown, w.cells_suppressed);
    let drawn = chart::share(w.cells_chart, &about, &[(w.cells_shown, "good", shown), (w.cells_suppressed, "bad", hidden as u64)]);
    section.part(Part::Chart(drawn)).table(table)
}

fn linear(desk: &Desk, section: Section, titles: &Titles, artefact: &Value) -> Section {
    let w = desk.w();
    let mut table = Table::new(text(artefact, "/name"), &[w.feature, w.coefficient], w.none_yet).figures_from(1);
    table.push(vec![Cell::text(w.intercept), Cell::text(figure(artefact, "/intercept"))]);
    let mut bars = vec![];
    for term in list(artefact, "/terms") {
        let (feature, coefficient) = (text(term, "/feature"), figure(term, "/coefficient"));
        bars.push((feature.to_owned(), coefficient.parse().unwrap_or(0.0), coefficient.clone()));
        table.push(vec![titles.feature(desk, feature), Cell::text(coefficient)]);
    }
    let drawn = format!("{}: {}", w.coefficient, bars.len());
    section.facts(about(desk, artefact)).part(Part::Chart(chart::bars(w.coefficients_chart, &drawn, &bars))).table(table)
}

/// Link and digits of any model.
fn about(desk: &Desk, artefact: &Value) -> Facts {
    let w = desk.w();
    Facts::default()
        .add(w.link_function, Cell::text(desk.say(text(artefact, "/link"))))
        .add(w.digits, Cell::text(figure(artefact, "/significant_digits")))
}

/// Trees, one node a line: what it asks and where it leads, or what it adds.
fn trees(desk: &Desk, section: Section, titles: &Titles, artefact: &Value) -> Section {
    let w = desk.w();
    let features = list(artefact, "/features");
    let mut table = Table::new(text(artefact, "/name"), &[w.tree, w.node, w.feature, w.threshold, w.children, w.value], w.none_yet);
    table.push(vec![Cell::dash(), Cell::text(w.base), Cell::dash(), Cell::dash(), Cell::dash(), Cell::text(figure(artefact, "/base"))]);
    let nodes = list(artefact, "/trees").iter().enumerate().flat_map(|(t, tree)| list(tree, "").iter().enumerate().map(move |n| (t, n)));
    for (tree, (index, node)) in nodes.take(ROWS_MAX) {
        let at = [Cell::text(tree.to_string()), Cell::text(index.to_string())];
        let asked = node.pointer("/feature").and_then(Value::as_u64).and_then(|f| usize::try_from(f).ok());
        let told = match asked.and_then(|f| features.get(f)) {
            Some(feature) => [
                titles.feature(desk, &scalar(feature)),
                Cell::text(format!("≤ {}", figure(node, "/threshold"))),
                Cell::text(format!("{} · {}", figure(node, "/left"), figure(node, "/right"))),
                Cell::dash(),
            ],
            None => [Cell::dash(), Cell::dash(), Cell::dash(), Cell::text(figure(node, "/value"))],
        };
        table.push(at.into_iter().chain(told).collect());
    }
    section.facts(about(desk, artefact)).table(table)
}

/// Layers, one output a line.
fn network(desk: &Desk, section: Section, artefact: &Value) -> Section {
    let w = desk.w();
    let mut table = Table::new(text(artefact, "/name"), &[w.layer, w.output_n, w.activation, w.weights, w.bias], w.none_yet);
    for (l, layer) in list(artefact, "/layers").iter().enumerate() {
        let outputs = list(layer, "/weights").iter().zip(list(layer, "/biases")).enumerate();
        for (o, (weights, bias)) in outputs.take(ROWS_MAX) {
            let weights = list(weights, "").iter().map(scalar).collect::<Vec<_>>().join(", ");
            let activation = Cell::code(text(layer, "/activation"));
            table.push(vec![
                Cell::text(l.to_string()),
                Cell::text(o.to_string()),
                activation,
                Cell::text(weights),
                Cell::text(scalar(bias)),
            ]);
        }
    }
    let features = list(artefact, "/features").iter().map(scalar).collect::<Vec<_>>().join(", ");
    section.facts(about(desk, artefact).add(w.feature, Cell::text(features))).table(table)
}

/// Any other document as names and values, nested names joined by dots.
pub(super) fn named(desk: &Desk, section: Section, caption: &str, value: &Value) -> Section {
    let w = desk.w();
    let mut table = Table::new(caption, &[w.name, w.value], w.none_yet);
    let mut rows = Vec::new();
    flatten("", value, &mut rows);
    for (place, value) in rows.into_iter().take(ROWS_MAX) {
        let name = labels::figure_name(desk.lang(), &place).map_or_else(|| Cell::code(&place), Cell::text);
        table.push(vec![name, Cell::text(desk.say(&value))]);
    }
    section.table(table)
}

/// Depth of documents that are taken apart: what the interface answers is flatter.
const DEPTH_MAX: usize = 8;

fn flatten(prefix: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let deeper = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    match value {
        _ if prefix.matches('.').count() >= DEPTH_MAX => rows.push((prefix.to_owned(), value.to_string())),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&deeper(name), value, rows)),
        Value::Array(all) if all.iter().any(|v| v.is_object() || v.is_array()) => {
            all.iter().enumerate().for_each(|(i, value)| flatten(&deeper(&(i + 1).to_string()), value, rows));
        }
        Value::Array(all) => rows.push((prefix.to_owned(), all.iter().map(scalar).collect::<Vec<_>>().join(", "))),
        other => rows.push((prefix.to_owned(), scalar(other))),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

/// Adds the evidence behind an output: cells with their causes, the probe's influences, and whatever else it holds.
pub(super) fn evidence(desk: &Desk, section: Section, titles: &Titles, evidence: &Value) -> Section {
    let w = desk.w();
    // A report is a section of its own.
    let mut section = if section.parts.is_empty() { section } else { section.heading(w.evidence) };
    if evidence.pointer("/cells").is_some_and(Value::is_array) {
        section = section.table(cells(desk, evidence));
    }
    if evidence.pointer("/probe").is_some_and(Value::is_object) {
        section = probe(desk, section, titles, evidence.pointer("/probe").unwrap_or(&Value::Null));
    }
    let tables = [levels(desk, titles, evidence), members(desk, evidence)];
    section = tables.into_iter().flatten().fold(section, Section::table);
    let mut rest = evidence.clone();
    if let Some(fields) = rest.as_object_mut() {
        ["cells", "probe", "levels", "members"].into_iter().for_each(|told| drop(fields.remove(told)));
        // Figures of trees, where there is none.
        fields.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|all| !all.is_empty()));
    }
    if rest.as_object().is_some_and(|fields| !fields.is_empty()) { named(desk, section, w.figures_more, &rest) } else { section }
}

/// Who has the levels that a model reads.
fn levels(desk: &Desk, titles: &Titles, evidence: &Value) -> Option<Table> {
    let w = desk.w();
    let mut table = Table::new(w.evidence_levels, &[w.feature, w.units_counting], w.none_yet).figures_from(1);
    let all = list(evidence, "/levels");
    all.iter().for_each(|level| table.push(vec![titles.feature(desk, text(level, "/feature")), Cell::text(figure(level, "/units"))]));
    (!all.is_empty()).then_some(table)
}

/// What fusing did with each member.
fn members(desk: &Desk, report: &Value) -> Option<Table> {
    let w = desk.w();
    let heads = [w.member, w.rows_read, w.rows_consented, w.rows_filtered, w.rows_matched];
    let mut table = Table::new(w.members, &heads, w.none_yet).figures_from(1);
    let all = list(report, "/members");
    for member in all {
        let figures =
            ["/rows", "/rows_consented", "/rows_filtered", "/base_rows_matched"].map(|at| Cell::text(grouped(&figure(member, at))));
        table.push([Cell::code(text(member, "/alias"))].into_iter().chain(figures).collect());
    }
    (!all.is_empty()).then_some(table)
}

fn cells(desk: &Desk, evidence: &Value) -> Table {
    let w = desk.w();
    let mut table = Table::new(w.evidence_cells, &[w.name, w.rows_n, w.units_n, w.units_counting, w.fate, w.causes], w.none_yet);
    for cell in list(evidence, "/cells").iter().take(ROWS_MAX) {
        let keys: Vec<&str> =
            list(cell, "/keys").iter().map(|k| if is(k, "/total") { w.total } else { k.as_str().unwrap_or(w.missing) }).collect();
        let causes = list(cell, "/causes")
            .iter()
            .fold(Cell::default(), |all, cause| all.line().and(desk.say(text(cause, "/rule"))).and_muted(text(cause, "/measure")));
        let fate = text(cell, "/fate");
        let tone = if fate == "shown" { Tone::Good } else { Tone::Plain };
        table.push(vec![
            Cell::text(keys.join(" · ")),
            Cell::text(figure(cell, "/rows")),
            Cell::text(figure(cell, "/units")),
            Cell::text(figure(cell, "/units_counting")),
            Cell::chip(tone, desk.say(fate)),
            causes,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_document_is_taken_apart() {
        let mut rows = Vec::new();
        flatten("", &serde_json::json!({ "a": { "b": [1, 2], "c": [{ "d": null }, { "d": "x" }] } }), &mut rows);
        let shown: Vec<String> = rows.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(shown, ["a.b=1, 2", "a.c.1.d=", "a.c.2.d=x"]);
    }
}
