//! Release policies of tests: the standard one with some lines changed, so that a field that is added stands everywhere at once.

use super::example_policy;

/// What every small world changes: few units, many jobs.
pub const SMALL: &[(&str, &str)] = &[
    ("time_quantum_seconds = 300", "time_quantum_seconds = 60"),
    ("jobs_per_day_max = 200", "jobs_per_day_max = 100000"),
    ("units_min = 500", "units_min = 50"),
    ("units_per_parameter_min = 50", "units_per_parameter_min = 1"),
];

/// The standard policy with each text replaced; each must stand there.
#[track_caller]
pub fn standard(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(example_policy(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` does not stand in the standard policy");
        text.replace(from, to)
    })
}

/// The policy of a small world.
pub fn small() -> String {
    standard(SMALL)
}
