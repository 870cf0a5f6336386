//! What the columns of a view are called in the catalogue: beside a model's features and a plan's outputs stands what their owner named them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::desk::Desk;
use super::json::{find, list, text};
use super::kit::Cell;
use super::labels;

/// Titles of columns, by their names in the view.
#[derive(Debug, Default)]
pub(super) struct Titles(BTreeMap<String, String>);

impl Titles {
    /// Those that a plan grants, as far as `datasets` has their entries.
    pub fn of(plan: &Value, datasets: &Value) -> Self {
        let granted = list(plan, "/columns").iter();
        Self(granted.map(|c| (text(c, "/name").to_owned(), title(datasets, text(c, "/dataset"), text(c, "/column")))).collect())
    }

    /// The title of a column of the view; none of one that the module derived.
    pub fn title(&self, column: &str) -> &str {
        self.0.get(column).map(String::as_str).unwrap_or_default()
    }

    /// What a model reads or how one of its parameters is called: a column, `column=label`, or a place in the artefact.
    pub fn feature(&self, desk: &Desk, name: &str) -> Cell {
        match name {
            "(intercept)" => return Cell::text(desk.w().intercept),
            "(base)" => return Cell::text(desk.w().base),
            _ => {}
        }
        let (column, label) = name.split_once('=').unwrap_or((name, ""));
        let told = match (self.title(column), label) {
            ("", _) => String::new(),
            (title, "") => title.to_owned(),
            (title, label) => format!("{title} = {label}"),
        };
        let placed = labels::phrase(desk.lang(), name);
        if placed == name { Cell::code(name).and_muted(told) } else { Cell::text(placed) }
    }
}

/// The title of a column of a dataset.
pub(super) fn title(datasets: &Value, dataset: &str, column: &str) -> String {
    text(find(find(datasets, "/id", dataset).pointer("/entry/columns").unwrap_or(&Value::Null), "/name", column), "/title").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_column_of_the_view_has_the_title_of_its_source() {
        let plan = json!({ "columns": [{ "name": "tax_grade", "dataset": "tax_grades", "column": "grade" }, { "name": "x", "dataset": "none", "column": "y" }] });
        let datasets = json!([{ "id": "tax_grades", "entry": { "columns": [{ "name": "grade", "title": "等级" }] } }]);
        let titles = Titles::of(&plan, &datasets);
        assert_eq!((titles.title("tax_grade"), titles.title("x"), titles.title("derived")), ("等级", "", ""));
    }
}
