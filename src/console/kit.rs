//! What every page is made of: facts, tables, charts, forms. One look for all, so that a new page is words and figures only.

use askama::Template;

pub(super) use super::form::{Field, Fit, Form};

/// What a chip means; each has its own shape, so that colour is never the only sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Neither good nor bad.
    Plain,
    /// Done, allowed, in force.
    Good,
    /// Waits for someone.
    Wait,
    /// Refused, overdue, stopped.
    Bad,
}

impl Tone {
    /// Its class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Wait => "wait",
            Self::Bad => "bad",
        }
    }
}

/// A piece of text.
#[derive(Debug, Clone)]
pub(super) enum Span {
    /// As it is.
    Text(String),
    /// Less important.
    Muted(String),
    /// An identifier or a digest: what is shown, and the whole of it.
    Code(String, String),
    /// Bytes, all of them: they may be broken anywhere.
    Whole(String),
    /// A state.
    Chip(Tone, String),
    /// A link: where to, its text.
    Link(String, String),
    /// A fingerprint, whole, in groups of four digits: it is read aloud and compared.
    Print(String, Vec<String>),
    /// A state that this browser knows of a key: hidden until the page's script has found the key. Public key, text.
    Here(String, String),
    /// The next line.
    Break,
}

/// The content of a cell or of a fact, built left to right. Empty: a dash.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "kit/cell.html")]
pub(super) struct Cell {
    spans: Vec<Span>,
}

/// Hexadecimal digits of a digest that are shown.
const DIGEST_SHOWN: usize = 12;
/// Digits of a fingerprint in one group.
const FINGERPRINT_GROUP: usize = 4;

/// Whether a text is a time, a day or a term: nothing else has these characters alone and so few of them.
fn is_time(text: &str) -> bool {
    (10..=23).contains(&text.chars().count()) && text.contains('-') && text.chars().all(|c| c.is_ascii_digit() || "-: \u{a0}–".contains(c))
}

impl Cell {
    /// Nothing: there is no such figure.
    pub fn dash() -> Self {
        Self::default()
    }
    /// A text; a blank one is a dash.
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().and(text)
    }
    /// A chip alone.
    pub fn chip(tone: Tone, text: impl Into<String>) -> Self {
        Self { spans: vec![Span::Chip(tone, text.into())] }
    }
    /// A link alone.
    pub fn link(href: impl Into<String>, text: impl Into<String>) -> Self {
        Self { spans: vec![Span::Link(href.into(), text.into())] }
    }
    /// An identifier alone.
    pub fn code(text: impl Into<String>) -> Self {
        Self::default().and_code(text)
    }
    fn with(mut self, span: Span, blank: bool) -> Self {
        if !blank {
            self.spans.push(span);
        }
        self
    }
    /// More text.
    #[must_use]
    pub fn and(self, text: impl Into<String>) -> Self {
        let text = text.into();
        let blank = text.is_empty();
        self.with(Span::Text(text), blank)
    }
    /// Text of less weight.
    #[must_use]
    pub fn and_muted(self, text: impl Into<String>) -> Self {
        let text = text.into();
        let blank = text.is_empty();
        self.with(Span::Muted(text), blank)
    }
    /// An identifier or digest. A digest is cut; the whole of it is in its title.
    #[must_use]
    pub fn and_code(self, text: impl Into<String>) -> Self {
        let whole = text.into();
        let digits = whole.strip_prefix("sha256:").unwrap_or(&whole);
        let digest = digits.len() >= 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let shown = if digest { format!("{}…", digits.chars().take(DIGEST_SHOWN).collect::<String>()) } else { whole.clone() };
        let blank = whole.is_empty();
        self.with(Span::Code(shown, whole), blank)
    }
    /// A digest or other bytes, the whole of it.
    #[must_use]
    pub fn and_whole(self, text: impl Into<String>) -> Self {
        let whole = text.into();
        let blank = whole.is_empty();
        self.with(Span::Whole(whole), blank)
    }
    /// A chip.
    #[must_use]
    pub fn and_chip(self, tone: Tone, text: impl Into<String>) -> Self {
        self.with(Span::Chip(tone, text.into()), false)
    }
    /// A link.
    #[must_use]
    pub fn and_link(self, href: impl Into<String>, text: impl Into<String>) -> Self {
        self.with(Span::Link(href.into(), text.into()), false)
    }
    /// A fingerprint, `sha256:` and hexadecimal digits.
    #[must_use]
    pub fn and_fingerprint(self, whole: &str) -> Self {
        let digits: Vec<char> = whole.strip_prefix("sha256:").unwrap_or(whole).chars().collect();
        let groups = digits.chunks(FINGERPRINT_GROUP).map(|group| group.iter().collect()).collect();
        self.with(Span::Print(whole.to_owned(), groups), whole.is_empty())
    }
    /// What is said where the private half of this key lies in the reader's browser.
    #[must_use]
    pub fn and_here(self, public_key: impl Into<String>, text: impl Into<String>) -> Self {
        self.with(Span::Here(public_key.into(), text.into()), false)
    }
    /// A new line, unless there is nothing before it.
    #[must_use]
    pub fn line(self) -> Self {
        let blank = self.spans.is_empty();
        self.with(Span::Break, blank)
    }
}

/// Named facts.
#[derive(Debug, Default, Template)]
#[template(path = "kit/facts.html")]
pub(super) struct Facts {
    rows: Vec<(String, Cell)>,
}

impl Facts {
    /// One more.
    #[must_use]
    pub fn add(mut self, name: impl Into<String>, cell: Cell) -> Self {
        self.rows.push((name.into(), cell));
        self
    }
}

/// Head of a column.
#[derive(Debug, Clone)]
pub(super) struct Head {
    text: String,
    numeric: bool,
}

/// A table with a caption. The first column names its row.
#[derive(Debug, Template)]
#[template(path = "kit/table.html")]
pub(super) struct Table {
    caption: String,
    heads: Vec<Head>,
    rows: Vec<Vec<Cell>>,
    empty: String,
    class: &'static str,
    /// Whether the heading above says what the caption says.
    captioned: bool,
    /// How many rows there are, where not all are here.
    total: usize,
}

impl Table {
    /// An empty table. `empty` is said where no row comes.
    pub fn new(caption: impl Into<String>, heads: &[&str], empty: impl Into<String>) -> Self {
        let heads = heads.iter().map(|text| Head { text: (*text).to_owned(), numeric: false }).collect();
        Self { caption: caption.into(), heads, rows: Vec::new(), empty: empty.into(), class: "", captioned: false, total: 0 }
    }
    /// The columns from `first` hold figures.
    #[must_use]
    pub fn figures_from(mut self, first: usize) -> Self {
        self.heads.iter_mut().skip(first).for_each(|head| head.numeric = true);
        self
    }
    /// A table of many columns, each as wide as its words need; its first column stays in sight.
    #[must_use]
    pub fn wide(mut self) -> Self {
        self.class = "wide";
        self
    }
    /// There are so many rows in all; the table has the first.
    #[must_use]
    pub fn out_of(mut self, total: usize) -> Self {
        self.total = total;
        self
    }
    fn count(&self) -> String {
        let here = self.rows.len();
        if self.total > here { format!("{here} / {}", self.total) } else { here.to_string() }
    }
    /// One more row.
    pub fn push(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }
    fn numeric(&self, column: &usize) -> bool {
        self.heads.get(*column).is_some_and(|head| head.numeric)
    }
}

/// A message with its weight.
#[derive(Debug, Template)]
#[template(path = "kit/note.html")]
pub(super) struct Note {
    tone: Tone,
    text: String,
}

/// The check of a leaf against the log. What is here is checked by the page's script against what the log publishes.
#[derive(Template)]
#[template(path = "kit/verify.html")]
pub(super) struct Verify {
    /// Index of the leaf.
    pub number: u64,
    /// Its published bytes, base64.
    pub leaf: String,
    /// Salt of its body, base64; empty where the body is not shown.
    pub salt: String,
    /// Its body.
    pub body: String,
    /// Words.
    pub w: &'static super::words_watch::WatchWords,
}

impl Verify {
    /// Each step: its name in the script, its title, what it is.
    fn steps(&self) -> [(&'static str, &'static str, &'static str); 7] {
        let w = self.w;
        [
            ("leaf", w.step_leaf, w.step_leaf_about),
            ("body", w.step_body, w.step_body_about),
            ("hash", w.step_hash, w.step_hash_about),
            ("path", w.step_path, w.step_path_about),
            ("root", w.step_root, w.step_root_about),
            ("key", w.step_key, w.step_key_about),
            ("signature", w.step_signature, w.step_signature_about),
        ]
    }
}

impl std::fmt::Debug for Verify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verify({})", self.number)
    }
}

/// A piece of a page.
#[derive(Debug)]
pub(super) enum Part {
    /// Facts.
    Facts(Facts),
    /// A table.
    Table(Table),
    /// A table that opens on demand, under these words: figures of a drawing.
    Folded(String, Table),
    /// A form.
    Form(Form),
    /// A drawing, made by [`super::chart`] (its texts are escaped there).
    Chart(super::chart::Chart),
    /// A message.
    Note(Note),
    /// Phases of a job: its name, its state where more will come, each phase and whether it is the present one.
    Phases { id: String, live: Option<String>, steps: Vec<(String, bool)> },
    /// Text that someone wrote: shown as text, line breaks kept.
    Said(String),
    /// The same under a label.
    Quote(String, String),
    /// A heading within a section.
    Heading(String),
    /// What the following is about, in less weight.
    Hint(String),
    /// A message that stands while the page's script has not shown the form of this name.
    Without(&'static str, String),
    /// A search by `GET`: where, its label, what is searched for now, what else stays as it is, the button.
    Search { action: String, label: String, value: String, kept: Vec<(String, String)>, submit: String },
    /// One of a list, chosen by `GET`: where, the name of the field, its label, what there is to choose, the present choice, the button.
    Choose { action: String, name: &'static str, label: String, options: Vec<(String, String)>, value: String, submit: String },
    /// The check of a leaf against the log, made in the page.
    Verify(Verify),
    /// A file to download: its address, its name in words, what it is and how it is checked, the command that checks it.
    File { href: String, text: String, about: String, command: String },
    /// Links beside each other: address, text, whether it is the present one.
    Links(String, Vec<(String, String, bool)>),
}

impl Part {
    /// A message.
    pub fn note(tone: Tone, text: impl Into<String>) -> Self {
        Self::Note(Note { tone, text: text.into() })
    }
}

/// A part of a page under a heading of its own.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Its name in the address.
    pub id: std::borrow::Cow<'static, str>,
    /// Heading.
    pub title: String,
    /// What it is about.
    pub hint: String,
    /// Rows of the table that it is named for, and how many there are in all.
    pub count: Option<String>,
    /// Its content.
    pub parts: Vec<Part>,
}

impl Section {
    /// An empty section.
    pub fn new(id: &'static str, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), ..Self::default() }
    }
    /// An empty section whose name is made.
    pub fn named(id: String, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), ..Self::default() }
    }
    /// One more part.
    #[must_use]
    pub fn part(mut self, mut part: Part) -> Self {
        // What the heading says is not said again to those who see both.
        match &mut part {
            Part::Table(table) if table.caption == self.title => {
                table.captioned = true;
                self.count = Some(table.count());
            }
            Part::Chart(chart) => chart.under(&self.title),
            _ => {}
        }
        self.parts.push(part);
        self
    }
    /// Facts.
    #[must_use]
    pub fn facts(self, facts: Facts) -> Self {
        self.part(Part::Facts(facts))
    }
    /// A table.
    #[must_use]
    pub fn table(self, table: Table) -> Self {
        self.part(Part::Table(table))
    }
    /// A form.
    #[must_use]
    pub fn form(self, form: Form) -> Self {
        self.part(Part::Form(form))
    }
    /// A heading within it.
    #[must_use]
    pub fn heading(self, text: impl Into<String>) -> Self {
        self.part(Part::Heading(text.into()))
    }
    /// What it is about.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text() {
        let hostile = "<script>alert(1)</script>\"'&";
        let cell = Cell::text(hostile).and_code(hostile).and_chip(Tone::Bad, hostile).and_link("/x", hostile).and_muted(hostile);
        let mut table = Table::new(hostile, &["a"], hostile);
        table.push(vec![cell.clone()]);
        let form = Form::new("/x", "mark", hostile).field(Field::Line {
            name: "a",
            label: hostile.into(),
            hint: hostile.into(),
            value: hostile.into(),
            required: true,
        });
        let form = form.field(Field::Lines { name: "b", label: hostile.into(), hint: hostile.into(), chars_max: 5 });
        let fit = Fit { key: hostile.into(), text: hostile.into(), hint: hostile.into(), beside: hostile.into() };
        let form = form.field(Field::Fitting { name: "c", label: hostile.into(), options: vec![fit] });
        let form =
            form.field(Field::Signed { label: hostile.into(), hint: hostile.into() }).by_script("vote", vec![("keys", hostile.into())]);
        let cell = cell.and_here(hostile, hostile).and_fingerprint(hostile);
        for html in [cell.to_string(), table.to_string(), form.to_string()] {
            assert!(!html.contains("<script") && !html.contains("\"'"), "{html}");
        }
    }

    #[test]
    fn digests_are_cut_and_names_are_not() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let html = Cell::code(&digest).to_string();
        assert!(html.contains("abababababab…") && html.contains(&digest));
        assert!(Cell::code("credit-2026").to_string().contains(">credit-2026<"));
        for time in ["2026-11-28\u{a0}03:04", "2026-11-28", "2026-01-01 – 2035-12-31"] {
            assert!(
                Cell::text(time).to_string().contains("when") && Cell::default().and_muted(time).to_string().contains("when"),
                "{time}"
            );
        }
        assert!(!Cell::text("rel-2026-11").to_string().contains("when") && !Cell::text("0.0000000653").to_string().contains("when"));
        assert!(Cell::dash().to_string().contains('—'));
        let print = Cell::default().and_fingerprint(&digest).to_string();
        assert!(print.contains("abab abab") && print.matches("abab").count() == 16 + 16, "{print}");
    }
}
