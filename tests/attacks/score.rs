//! What an attack tried and what came of it.

use std::collections::BTreeMap;

use crate::world::Answers;

/// One attempt: everything it needs was asked for; whether the attacker's figure is a forbidden one and true.
pub struct Trial {
    pub class: &'static str,
    /// What was found, for the printed word.
    pub found: Option<String>,
}

impl Trial {
    pub fn of(class: &'static str, found: Option<String>) -> Self {
        Self { class, found }
    }
}

/// Scores the attempts of a class once the answers are there.
pub type Scorer = Box<dyn FnOnce(&Answers) -> Vec<Trial>>;

/// Tried and succeeded by class, and examples of what was found.
#[derive(Default)]
pub struct Score {
    pub classes: BTreeMap<&'static str, (usize, usize)>,
    pub found: Vec<String>,
}

impl Score {
    pub fn add(&mut self, trial: Trial) {
        let (tried, succeeded) = self.classes.entry(trial.class).or_default();
        *tried += 1;
        if let Some(found) = trial.found {
            *succeeded += 1;
            self.found.push(format!("{}: {found}", trial.class));
        }
    }

    /// One object: `{"class": {"tried": …, "succeeded": …}, …}`.
    pub fn json(&self) -> serde_json::Value {
        let class = |(name, (tried, succeeded)): (&&str, &(usize, usize))| {
            ((*name).to_owned(), serde_json::json!({ "tried": tried, "succeeded": succeeded }))
        };
        serde_json::Value::Object(self.classes.iter().map(class).collect())
    }
}
