//! Why a conversation failed, in fixed words. A worker is hostile: a text that it sends is a message of its own to whoever reads it,
//! so that on real data nobody does. On synthetic data the author reads the whole error.

use protocol::limits::{LimitExceeded, Limits};
use protocol::memfd::MemfdError;
use protocol::message::{EngineFailure, GuestFailure};
use protocol::model::ModelError;
use protocol::table::TableError;

use super::process::WorkerError;

/// Names of limits that are no field of [`Limits`].
const LIMITS_BESIDE: [&str; 4] = ["granted_columns", "declared_columns", "declared_models", "rows"];

impl WorkerError {
    /// The cause in fixed words: a limit by its name with its figures, all else by its kind.
    pub fn closed(&self) -> String {
        match self {
            Self::Spawn(_) => "a worker could not be started".into(),
            Self::Frame(error) => error.closed().into(),
            Self::Memory(MemfdError::Unsealed) => "a descriptor was not sealed shared memory".into(),
            Self::Memory(MemfdError::TooLarge) => "shared memory was larger than allowed".into(),
            Self::Memory(MemfdError::Io(_)) => "shared memory could not be read".into(),
            Self::OutOfTurn(what) => format!("a worker answered out of turn: {what}"),
            Self::Ended(ending) => ending.to_string(),
            Self::Cancelled => "stopped".into(),
            Self::Busy => "the memory for workers was in use".into(),
            Self::Engine(failure) => format!("engine: {}", engine(failure)),
            Self::Guest(failure) => format!("guest: {}", guest(failure)),
        }
    }
}

fn engine(failure: &EngineFailure) -> String {
    match failure {
        EngineFailure::Segment | EngineFailure::Column | EngineFailure::Plan | EngineFailure::Overflow | EngineFailure::Internal => {
            failure.to_string()
        }
        EngineFailure::Derived(_) => DERIVED.into(),
        EngineFailure::Table(error) => table(error),
        EngineFailure::Model(error) => model(error),
        EngineFailure::Limit(exceeded) => limit(exceeded),
        EngineFailure::Fold(error) => error.to_string(),
    }
}

const DERIVED: &str = "a derived column is not what the module declared";

fn guest(failure: &GuestFailure) -> String {
    match failure {
        GuestFailure::Trap | GuestFailure::Code | GuestFailure::Internal => failure.to_string(),
        GuestFailure::Error(_) => "the module returned an error".into(),
        GuestFailure::Limit(exceeded) => limit(exceeded),
        GuestFailure::Table(error) => table(error),
        GuestFailure::Model(error) => model(error),
        GuestFailure::Derived(_) => DERIVED.into(),
    }
}

fn model(error: &ModelError) -> String {
    match error {
        ModelError::Limit(exceeded) => limit(exceeded),
        ModelError::Name | ModelError::Shape | ModelError::Tree | ModelError::NotFinite | ModelError::Feature => error.to_string(),
    }
}

fn table(error: &TableError) -> String {
    match error {
        TableError::Name(_) => "a table request holds what is no name".into(),
        TableError::Duplicate(_) => "a table request names something twice".into(),
        TableError::Column(_) => "a measure needs a column, or has one too many".into(),
        TableError::NotGranted(_) => "a table request names a column that is not granted".into(),
        TableError::Type(_) => "a table request names a column that has not the type for it".into(),
        TableError::Undeclared(_) => "a table request bears names that the module did not declare".into(),
        TableError::Empty | TableError::Quantile => error.to_string(),
        TableError::Limit(exceeded) => limit(exceeded),
    }
}

fn limit(exceeded: &LimitExceeded) -> String {
    let of_ours = serde_json::to_value(&Limits::STANDARD).ok().is_some_and(|all| all.get(&exceeded.name).is_some());
    if of_ours || LIMITS_BESIDE.contains(&exceeded.name.as_str()) {
        exceeded.to_string()
    } else {
        LimitExceeded { name: "a limit".to_owned(), ..*exceeded }.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::frame::FrameError;

    #[test]
    fn no_text_of_a_worker_or_of_the_system_is_repeated() {
        const TEXT: &str = "firm 91350299310000007 is in arrears";
        let text = || TEXT.to_owned();
        let exceeded = || LimitExceeded { name: text(), limit: 1, current: 2, requested: 3 };
        let io = || std::io::Error::other(text());
        let tables =
            || [TableError::Name(text()), TableError::Duplicate(text()), TableError::Column(text()), TableError::NotGranted(text())];
        let more = || [TableError::Type(text()), TableError::Undeclared(text()), TableError::Limit(exceeded())];
        let mut all: Vec<WorkerError> = vec![
            WorkerError::Spawn(io()),
            FrameError::Io(io()).into(),
            MemfdError::Io(io()).into(),
            EngineFailure::Derived(text()).into(),
            EngineFailure::Limit(exceeded()).into(),
            GuestFailure::Derived(text()).into(),
            GuestFailure::Error(Some(text())).into(),
            GuestFailure::Limit(exceeded()).into(),
            GuestFailure::Model(ModelError::Limit(exceeded())).into(),
            EngineFailure::Model(ModelError::Limit(exceeded())).into(),
        ];
        all.extend(tables().into_iter().chain(more()).map(|t| EngineFailure::Table(t).into()));
        all.extend(tables().into_iter().chain(more()).map(|t| GuestFailure::Table(t).into()));
        for error in &all {
            let closed = error.closed();
            assert!(!closed.contains("firm") && !closed.contains("9135") && !closed.is_empty(), "{closed}");
        }
        let told =
            WorkerError::from(GuestFailure::Limit(LimitExceeded { name: "tables_max".into(), limit: 16, current: 16, requested: 1 }));
        assert_eq!(told.closed(), "guest: tables_max: 16 held, 1 more asked for, 16 allowed");
    }
}
