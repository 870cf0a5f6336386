//! How results are shown: one JSON value with `--json`, else a table or lines.

use std::io::{self, IsTerminal, Read, Write};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// How a command's answer is shown to people. With `--json` it is printed as it is.
pub enum Shown {
    /// An object, one line a field.
    Fields,
    /// A list of objects, these fields as columns.
    List(&'static [&'static str]),
    /// Lines made beforehand.
    Text(String),
}

/// A command's answer.
pub struct Answer {
    /// The whole answer.
    pub value: Value,
    /// How people see it.
    pub shown: Shown,
    /// Whether what was asked for holds; the exit code says so.
    pub good: bool,
}

impl Answer {
    /// An object.
    pub fn fields(value: Value) -> Self {
        Self { value, shown: Shown::Fields, good: true }
    }
    /// A list with these columns.
    pub fn list(value: Value, columns: &'static [&'static str]) -> Self {
        Self { value, shown: Shown::List(columns), good: true }
    }
    /// A text, with its JSON form.
    pub fn text(value: Value, text: impl Into<String>) -> Self {
        Self { value, shown: Shown::Text(text.into()), good: true }
    }
    /// Prints it.
    pub fn print(&self, json: bool) {
        match &self.shown {
            _ if json => say(&self.value.to_string()),
            Shown::Text(text) => say(text),
            Shown::Fields => say(&fields(&self.value)),
            Shown::List(columns) => say(&list(&self.value, columns)),
        }
    }
}

/// One line on standard output. That nobody reads it any more is no error of ours.
pub fn say(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// One line on standard error.
pub fn warn(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// An empty table in the house's form.
pub fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Dynamic);
    if io::stdout().is_terminal() { &mut table } else { table.set_width(160) }.set_header(header);
    table
}

/// A JSON value in a cell: texts without quotes, nothing for null.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Lines of an object that are shown; more are counted.
const FIELDS_MAX: usize = 120;

fn fields(value: &Value) -> String {
    let mut lines = Vec::new();
    flatten("", value, &mut lines);
    let more = lines.len().saturating_sub(FIELDS_MAX);
    let mut rows = Table::new();
    rows.load_preset(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, text) in lines.into_iter().take(FIELDS_MAX) {
        rows.add_row([name, text]);
    }
    let shown = rows.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n");
    if more > 0 { format!("{shown}\n… {more} more with --json") } else { shown }
}

/// One line a value, named by its path; what is null is left out, lists of plain values stay on one line.
fn flatten(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        Value::Object(map) => map.iter().for_each(|(name, value)| flatten(&below(name), value, lines)),
        Value::Array(items) if items.iter().any(|item| item.is_object()) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&below(&(i + 1).to_string()), item, lines));
        }
        other => lines.push((path.to_owned(), plain(other))),
    }
}

fn list(value: &Value, columns: &[&str]) -> String {
    let rows = value.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return "nothing".to_owned();
    }
    // The last part of a path names its column.
    let mut shown = table(columns.iter().map(|c| c.rsplit('.').next().unwrap_or(c).to_owned()).collect());
    for row in rows {
        shown.add_row(columns.iter().map(|c| row.pointer(&format!("/{}", c.replace('.', "/"))).map(plain).unwrap_or_default()));
    }
    shown.to_string()
}

/// A bar over `length` bytes on standard error; hidden where that is no terminal or JSON is wanted.
pub fn bar(length: u64, what: &str, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
    if let Ok(style) = ProgressStyle::with_template("{msg:24} {bar:32} {bytes}/{total_bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}

/// A spinner with a changing message.
pub fn spinner(what: &str, quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
    bar.set_message(what.to_owned());
    bar
}

/// A reader that moves a bar.
pub struct Moving<R>(pub R, pub ProgressBar);

impl<R: Read> Read for Moving<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.inc(n as u64);
        if n == 0 {
            self.1.set_message("the server checks and seals");
        }
        Ok(n)
    }
}
