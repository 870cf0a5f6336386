//! Forms: fields, and what of them the page's script completes. Each is posted with the mark of its session.

use askama::Template;

/// A field of a form.
#[derive(Debug)]
pub(super) enum Field {
    /// Sent as it is.
    Hidden { name: &'static str, value: String },
    /// One line.
    Line { name: &'static str, label: String, hint: String, value: String, required: bool },
    /// Several lines, with the number of characters allowed.
    Lines { name: &'static str, label: String, hint: String, chars_max: usize },
    /// A day.
    Day { name: &'static str, label: String },
    /// A whole number.
    Number { name: &'static str, label: String, value: String },
    /// One of a list.
    Pick { name: &'static str, label: String, options: Vec<(String, String)>, value: String },
    /// One of a list that is all in sight.
    Choice { name: &'static str, label: String, options: Vec<(String, String, String)> },
    /// One of a list, each with the words of another field beside which it stands; the page's script hides the others.
    Fitting { name: &'static str, label: String, options: Vec<Fit> },
    /// Where the page's script shows the text that will be signed: a label, what it is.
    Signed { label: String, hint: String },
}

/// An option of [`Field::Fitting`].
#[derive(Debug)]
pub(super) struct Fit {
    /// Its word.
    pub key: String,
    /// As it is read.
    pub text: String,
    /// What it rests on.
    pub hint: String,
    /// Words of the other field, parted by spaces.
    pub beside: String,
}

/// A form that is posted with the session's mark.
#[derive(Debug, Template)]
#[template(path = "kit/form.html")]
pub(super) struct Form {
    action: String,
    mark: String,
    fields: Vec<Field>,
    submit: String,
    class: &'static str,
    script: Option<(&'static str, Vec<(&'static str, String)>)>,
}

impl Form {
    /// A form to `action`; `mark` is the session's.
    pub fn new(action: impl Into<String>, mark: &str, submit: impl Into<String>) -> Self {
        let (action, submit) = (action.into(), submit.into());
        Self { action, mark: mark.to_owned(), fields: Vec::new(), submit, class: "", script: None }
    }
    /// A form that the page's script completes: hidden until the script finds that it can. Its part in the script, what the script is told.
    #[must_use]
    pub fn by_script(mut self, part: &'static str, told: Vec<(&'static str, String)>) -> Self {
        self.script = Some((part, told));
        self
    }
    /// One more field.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }
    /// What cannot be taken back.
    #[must_use]
    pub fn danger(mut self) -> Self {
        self.class = "danger";
        self
    }
    /// A button in a line of text.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.class = "quiet";
        self
    }
}
