//! The three papers of an undertaking, as texts that a test may change before they are carried through.

/// What they say; the rest is the same for all.
pub struct Terms<'a> {
    /// Of authorisation, application and agreement.
    pub ids: [&'a str; 3],
    pub operator: &'a str,
    pub plan: &'a str,
    /// Lists in TOML: what is authorised, the purposes, the doors.
    pub datasets: &'a str,
    pub purposes: &'a str,
    pub doors: &'a str,
    /// The inside of a table in TOML.
    pub budgets: &'a str,
    /// Lines in TOML, one a dataset.
    pub columns: &'a str,
}

impl Terms<'_> {
    pub fn authorisation(&self) -> String {
        let Self { ids: [id, ..], operator, datasets, .. } = self;
        format!(
            r#"id = "{id}"
operator = "{operator}"
scope = "本市"
datasets = {datasets}
term = {{ from = "2020-01-01", until = "2098-12-31" }}
"#
        )
    }

    pub fn application(&self) -> String {
        let Self { ids: [_, id, _], operator, purposes, columns, .. } = self;
        format!(
            r#"id = "{id}"
operator = "{operator}"
purposes = {purposes}
legal_basis = "S24"
scope = "本市"
method = "沙箱"
use_case = "测试"
commitments = {{ true = true, compliant = true, secure = true }}
[columns]
{columns}"#
        )
    }

    pub fn agreement(&self) -> String {
        let Self { ids: [authorisation, application, id], operator, plan, purposes, doors, budgets, columns, .. } = self;
        format!(
            r#"id = "{id}"
operator = "{operator}"
authorisation = "{authorisation}"
application = "{application}"
plan = "{plan}"
purposes = {purposes}
recipients = ["{operator}"]
doors = {doors}
term = {{ from = "2020-01-01", until = "2098-12-31" }}
budgets = {{ {budgets} }}
safeguards = "沙箱"
disposal = "销毁"
[columns]
{columns}"#
        )
    }
}
