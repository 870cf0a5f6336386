//! Release policies: how strictly outputs are judged. The authority sets a floor, each provider may tighten it for its own data,
//! and to a job applies the strictest of all (X14, X30). Every threshold is a policy setting, none a legal value.
//!
//! Policies form a lattice: [`ReleasePolicy::strictest`] takes the stricter of each field. Two fields are coarser the larger they
//! are, but only along a chain where each value divides the next, so that the coarser one reveals nothing the finer one hides.

use serde::{Deserialize, Serialize};

use crate::dp::Epsilon;
use crate::dp::convert::DELTA_EXPONENTS;

pub use super::records::release::{active, all, floor, set_floor, tighten};

/// Bases to which counts may be rounded; each divides the next.
const ROUNDING_BASES: [u32; 7] = [1, 5, 10, 50, 100, 500, 1000];
/// Quanta of times shown, in seconds; each divides the next.
const TIME_QUANTA: [u32; 6] = [60, 300, 900, 3600, 21_600, TIME_QUANTUM_S_MAX];
/// The longest time quantum, in seconds.
pub const TIME_QUANTUM_S_MAX: u32 = 86_400;

/// What a release must satisfy. Read from TOML; every field must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePolicy {
    /// Times shown to the operator are rounded down to this: 60, 300, 900, 3600, 21600 or 86400 s.
    pub time_quantum_seconds: u32,
    /// Jobs on real data that an operator may submit in a day.
    pub jobs_per_day_max: u32,
    /// Which doors are open.
    pub doors: Doors,
    /// Tables.
    pub table: TableRules,
    /// Several releases together.
    pub audit: AuditRules,
    /// Models.
    pub model: ModelRules,
    /// Answers about one subject.
    pub verification: VerificationRules,
    /// Folds.
    pub private: PrivateRules,
}

/// Which doors are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doors {
    /// Host-computed tables.
    pub table: bool,
    /// Typed models, always held.
    pub artefact: bool,
    /// Noised sums within a budget.
    pub private: bool,
    /// One answer about one subject.
    pub verification: bool,
}

/// Rules for tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRules {
    /// Whether a table that passes is released without a checker.
    pub automatic: bool,
    /// Least number of privacy units behind a cell, those counted only that have a row in data the operator does not own.
    pub min_frequency: u32,
    /// Dominance with n = 1: a cell is hidden where the largest unit holds more than this share of its total.
    pub largest_permille_max: u16,
    /// Dominance with n = 2: the same for the two largest together.
    pub largest_two_permille_max: u16,
    /// p% rule: a cell is hidden where the total without the two largest is less than this share of the largest.
    pub p_permille: u16,
    /// Cells without rows, and cells in which every value is the column's bound.
    pub zero_cells: ZeroCells,
    /// Counts of rows and units are rounded to a multiple of this: 1 (exact), 5, 10, 50, 100, 500 or 1000.
    pub rounding_base: u32,
    /// How they are rounded.
    pub rounding: Rounding,
    /// Group disclosure: a cell is hidden where it holds more than this share of the units of a margin it is part of; 1000: never.
    pub group_permille_max: u16,
    /// Whether operators see the parameters of dominance and p%; checkers always do.
    pub parameters_shown: bool,
    /// Cells of one table, hidden ones included.
    pub cells_max: u64,
}

/// What becomes of zero cells and full cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroCells {
    /// Shown.
    Show,
    /// Hidden: that nobody, or everybody, has a property tells of each.
    Suppress,
}

/// How counts are rounded to the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest multiple.
    Nearest,
    /// Up or down at random, by a keyed draw over contributors and statistic: a repeat gets the same.
    Random,
}

/// Rules for what follows from several releases together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRules {
    /// Holds and refusals that depend on data, of one operator in one namespace within the window; after that every table and model is held
    /// that is not refused whatever the data says.
    pub holds_max: u32,
    /// The window, in days.
    pub holds_window_days: u16,
    /// Least number of privacy units in an operator's own member, and in the difference of two of its versions.
    pub own_units_min: u32,
}

/// Rules for answers about one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationRules {
    /// Bits of all answers about a subject under one agreement.
    pub bits_per_subject_max: u16,
    /// Answers that an operator may ask for in a day.
    pub answers_per_day_max: u32,
    /// Every answer takes this long, whatever it is: 100 to 60,000 ms.
    pub answer_ms: u32,
}

/// Rules for models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRules {
    /// Least number of privacy units behind a model.
    pub units_min: u64,
    /// Coefficients of a linear model, the intercept not counted. Trees and networks are bounded by bits and units alone.
    pub coefficients_max: u32,
    /// Significant decimal digits of each (1 to 9).
    pub significant_digits: u8,
    /// Bits of all parameters together, as rounded, and of the shape.
    pub bits_max: u32,
    /// Least number of privacy units for each parameter.
    pub units_per_parameter_min: u32,
    /// Units that the neighbour-replay probe leaves out, one at a time.
    pub probe_units: u16,
}

/// Rules for folds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateRules {
    /// ε is stated at δ = 10^-this: 3 to 15.
    pub delta_exponent: u8,
    /// Most ε of one job, all rounds together. A decimal.
    pub epsilon_per_job_max: Epsilon,
}

/// Why a policy text is none.
#[derive(Debug, thiserror::Error)]
#[error("the release policy is not valid; correct what is named: {0}")]
pub struct ReleasePolicyError(String);

impl ReleasePolicy {
    /// Parses TOML.
    ///
    /// # Errors
    /// The field that is missing, unknown or out of range.
    pub fn parse(text: &str) -> Result<Self, ReleasePolicyError> {
        let policy: Self = toml::from_str(text).map_err(|e| ReleasePolicyError(e.message().to_owned()))?;
        policy.validate().map(|()| policy)
    }

    /// Checks ranges, however it came.
    ///
    /// # Errors
    /// The field that is out of range.
    pub fn validate(&self) -> Result<(), ReleasePolicyError> {
        let (t, m) = (&self.table, &self.model);
        for (sound, what) in [
            (TIME_QUANTA.contains(&self.time_quantum_seconds), "time_quantum_seconds is one of 60, 300, 900, 3600, 21600, 86400"),
            (t.min_frequency >= 3, "table.min_frequency is at least 3: below, the members of a cell know each other's values"),
            (
                t.largest_permille_max <= 1000 && t.largest_two_permille_max <= 1000,
                "table.largest_permille_max and largest_two_permille_max are at most 1000",
            ),
            (t.p_permille <= 1000, "table.p_permille is at most 1000"),
            (ROUNDING_BASES.contains(&t.rounding_base), "table.rounding_base is one of 1, 5, 10, 50, 100, 500, 1000"),
            (t.group_permille_max <= 1000, "table.group_permille_max is at most 1000"),
            (t.cells_max >= 1, "table.cells_max is at least 1"),
            (self.audit.holds_window_days >= 1, "audit.holds_window_days is at least 1"),
            (self.audit.own_units_min >= 3, "audit.own_units_min is at least 3"),
            (m.units_per_parameter_min >= 1, "model.units_per_parameter_min is at least 1"),
            ((100..=60_000).contains(&self.verification.answer_ms), "verification.answer_ms is 100 to 60000"),
            (m.units_min >= 3, "model.units_min is at least 3"),
            ((1..=9).contains(&m.significant_digits), "model.significant_digits is 1 to 9"),
            (DELTA_EXPONENTS.contains(&self.private.delta_exponent), "private.delta_exponent is 3 to 15"),
            (self.private.epsilon_per_job_max <= Epsilon::ASKED_MAX, "private.epsilon_per_job_max is at most 1000"),
        ] {
            if !sound {
                return Err(ReleasePolicyError(what.to_owned()));
            }
        }
        Ok(())
    }

    /// The stricter of both in every field.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        let (a, b) = (&self.table, &other.table);
        Self {
            time_quantum_seconds: self.time_quantum_seconds.max(other.time_quantum_seconds),
            jobs_per_day_max: self.jobs_per_day_max.min(other.jobs_per_day_max),
            doors: Doors {
                table: self.doors.table && other.doors.table,
                artefact: self.doors.artefact && other.doors.artefact,
                private: self.doors.private && other.doors.private,
                verification: self.doors.verification && other.doors.verification,
            },
            table: TableRules {
                automatic: a.automatic && b.automatic,
                min_frequency: a.min_frequency.max(b.min_frequency),
                largest_permille_max: a.largest_permille_max.min(b.largest_permille_max),
                largest_two_permille_max: a.largest_two_permille_max.min(b.largest_two_permille_max),
                p_permille: a.p_permille.max(b.p_permille),
                zero_cells: a.zero_cells.max(b.zero_cells),
                rounding_base: a.rounding_base.max(b.rounding_base),
                rounding: a.rounding.max(b.rounding),
                group_permille_max: a.group_permille_max.min(b.group_permille_max),
                parameters_shown: a.parameters_shown && b.parameters_shown,
                cells_max: a.cells_max.min(b.cells_max),
            },
            audit: AuditRules {
                holds_max: self.audit.holds_max.min(other.audit.holds_max),
                holds_window_days: self.audit.holds_window_days.max(other.audit.holds_window_days),
                own_units_min: self.audit.own_units_min.max(other.audit.own_units_min),
            },
            model: ModelRules {
                units_min: self.model.units_min.max(other.model.units_min),
                coefficients_max: self.model.coefficients_max.min(other.model.coefficients_max),
                significant_digits: self.model.significant_digits.min(other.model.significant_digits),
                bits_max: self.model.bits_max.min(other.model.bits_max),
                units_per_parameter_min: self.model.units_per_parameter_min.max(other.model.units_per_parameter_min),
                probe_units: self.model.probe_units.max(other.model.probe_units),
            },
            verification: VerificationRules {
                bits_per_subject_max: self.verification.bits_per_subject_max.min(other.verification.bits_per_subject_max),
                answers_per_day_max: self.verification.answers_per_day_max.min(other.verification.answers_per_day_max),
                answer_ms: self.verification.answer_ms.max(other.verification.answer_ms),
            },
            private: PrivateRules {
                delta_exponent: self.private.delta_exponent.max(other.private.delta_exponent),
                epsilon_per_job_max: self.private.epsilon_per_job_max.min(other.private.epsilon_per_job_max),
            },
        }
    }

    /// Whether no field is weaker than in `other`.
    pub fn at_least_as_strict_as(&self, other: &Self) -> bool {
        &self.strictest(other) == self
    }
}

/// The strictest of all policies that apply to a job: the floor and those of every owner of an input. Made here only.
///
/// ```compile_fail,E0451
/// fn forge(policy: fusebox::policy::ReleasePolicy) -> fusebox::policy::ActivePolicy {
///     fusebox::policy::ActivePolicy { policy }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivePolicy {
    policy: ReleasePolicy,
}

impl ActivePolicy {
    pub(super) fn of<'a>(floor: &ReleasePolicy, owners: impl IntoIterator<Item = &'a ReleasePolicy>) -> Self {
        Self { policy: owners.into_iter().fold(floor.clone(), |strictest, own| strictest.strictest(own)) }
    }
    /// The rules.
    pub fn rules(&self) -> &ReleasePolicy {
        &self.policy
    }
    /// SHA-256 of the rules' canonical JSON. A policy is public, so its digest may be.
    pub fn digest(&self) -> [u8; 32] {
        digest_of(&self.policy)
    }
    /// A policy for a rehearsal on synthetic rows. Nothing is released by it: what records a release reads the store's own policy again.
    pub(crate) fn for_rehearsal(policy: ReleasePolicy) -> Self {
        Self { policy }
    }
    /// A policy that no store stands behind.
    #[cfg(test)]
    pub fn for_tests(policy: ReleasePolicy) -> Self {
        Self { policy }
    }
}

/// SHA-256 of a document's canonical JSON. For types of texts, integers and flags, which always have one.
pub(crate) fn digest_of(document: &impl Serialize) -> [u8; 32] {
    let bytes = protocol::canonical::to_canonical_json(document).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    digest.as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STANDARD: &str = include_str!("../../policies/release/standard.toml");

    prop_compose! {
        pub fn any_policy()(
            quantum in prop::sample::select(&TIME_QUANTA[..]), jobs in 0..9u32, doors in prop::array::uniform4(any::<bool>()),
            automatic in any::<bool>(), k in 3..20u32, one in 0..=1000u16, two in 0..=1000u16, p in 0..=1000u16,
            show in any::<bool>(), base in prop::sample::select(&ROUNDING_BASES[..]), cells in 1..9u64,
            units in 3..900u64, coefficients in 0..40u32, digits in 1..=9u8, delta in 3..=15u8, epsilon in 0..9u128,
            (random, group, parameters) in (any::<bool>(), 0..=1000u16, any::<bool>()), (holds, days, own) in (0..9u32, 1..9u16, 3..9u32),
            (bits, per, probe) in (0..9u32, 1..9u32, 0..9u16), (subject, daily, ms) in (0..9u16, 0..9u32, 100..109u32),
        ) -> ReleasePolicy {
            ReleasePolicy {
                time_quantum_seconds: quantum,
                jobs_per_day_max: jobs,
                doors: Doors { table: doors[0], artefact: doors[1], private: doors[2], verification: doors[3] },
                table: TableRules {
                    automatic, min_frequency: k, largest_permille_max: one, largest_two_permille_max: two, p_permille: p,
                    zero_cells: if show { ZeroCells::Show } else { ZeroCells::Suppress }, rounding_base: base, cells_max: cells,
                    rounding: if random { Rounding::Random } else { Rounding::Nearest }, group_permille_max: group, parameters_shown: parameters,
                },
                audit: AuditRules { holds_max: holds, holds_window_days: days, own_units_min: own },
                model: ModelRules {
                    units_min: units, coefficients_max: coefficients, significant_digits: digits, bits_max: bits,
                    units_per_parameter_min: per, probe_units: probe,
                },
                verification: VerificationRules { bits_per_subject_max: subject, answers_per_day_max: daily, answer_ms: ms },
                private: PrivateRules { delta_exponent: delta, epsilon_per_job_max: Epsilon::from_units(epsilon).unwrap() },
            }
        }
    }

    /// Written apart from `strictest`: whether anything that `a` refuses or coarsens, `s` does too.
    fn never_weaker(s: &ReleasePolicy, a: &ReleasePolicy) -> bool {
        let opened = |s: bool, a: bool| !s || a;
        s.time_quantum_seconds.is_multiple_of(a.time_quantum_seconds)
            && s.jobs_per_day_max <= a.jobs_per_day_max
            && opened(s.doors.table, a.doors.table)
            && opened(s.doors.artefact, a.doors.artefact)
            && opened(s.doors.private, a.doors.private)
            && opened(s.doors.verification, a.doors.verification)
            && opened(s.table.automatic, a.table.automatic)
            && s.table.min_frequency >= a.table.min_frequency
            && s.table.largest_permille_max <= a.table.largest_permille_max
            && s.table.largest_two_permille_max <= a.table.largest_two_permille_max
            && s.table.p_permille >= a.table.p_permille
            && (s.table.zero_cells == ZeroCells::Suppress || a.table.zero_cells == ZeroCells::Show)
            && s.table.rounding_base.is_multiple_of(a.table.rounding_base)
            && (s.table.rounding == Rounding::Random || a.table.rounding == Rounding::Nearest)
            && s.table.group_permille_max <= a.table.group_permille_max
            && opened(s.table.parameters_shown, a.table.parameters_shown)
            && s.table.cells_max <= a.table.cells_max
            && s.audit.holds_max <= a.audit.holds_max
            && s.audit.holds_window_days >= a.audit.holds_window_days
            && s.audit.own_units_min >= a.audit.own_units_min
            && s.model.bits_max <= a.model.bits_max
            && s.model.units_per_parameter_min >= a.model.units_per_parameter_min
            && s.model.probe_units >= a.model.probe_units
            && s.verification.bits_per_subject_max <= a.verification.bits_per_subject_max
            && s.verification.answers_per_day_max <= a.verification.answers_per_day_max
            && s.verification.answer_ms >= a.verification.answer_ms
            && s.model.units_min >= a.model.units_min
            && s.model.coefficients_max <= a.model.coefficients_max
            && s.model.significant_digits <= a.model.significant_digits
            && s.private.delta_exponent >= a.private.delta_exponent
            && s.private.epsilon_per_job_max <= a.private.epsilon_per_job_max
    }

    proptest! {
        #[test]
        fn strictest_is_a_meet(a in any_policy(), b in any_policy(), c in any_policy()) {
            prop_assert_eq!(a.strictest(&b), b.strictest(&a));
            prop_assert_eq!(a.strictest(&b).strictest(&c), a.strictest(&b.strictest(&c)));
            prop_assert_eq!(&a.strictest(&a), &a);
            let s = ActivePolicy::of(&a, [&b, &c]).policy;
            prop_assert!(s.validate().is_ok());
            for member in [&a, &b, &c] {
                prop_assert!(never_weaker(&s, member) && s.at_least_as_strict_as(member));
            }
            // And no stricter than it must be: what is as strict as every member is as strict as the meet.
            if never_weaker(&c, &a) && never_weaker(&c, &b) {
                prop_assert!(never_weaker(&c, &a.strictest(&b)));
            }
        }
    }

    #[test]
    fn a_policy_with_a_field_missing_unknown_or_out_of_range_is_none() {
        let standard = ReleasePolicy::parse(STANDARD).unwrap();
        assert_eq!((standard.table.min_frequency, standard.model.coefficients_max), (10, 32));
        let lines: Vec<_> = STANDARD.lines().filter(|l| l.contains(" = ") && !l.starts_with('#')).collect();
        assert_eq!(lines.len(), 31);
        for line in lines {
            assert!(ReleasePolicy::parse(&STANDARD.replace(line, "")).is_err(), "{line}");
        }
        assert!(ReleasePolicy::parse(&STANDARD.replace("automatic = true", "automatic = true\nalways = true")).is_err());
        for (good, bad) in [
            ("rounding_base = 1", "rounding_base = 3"),
            ("delta_exponent = 6", "delta_exponent = 2"),
            ("epsilon_per_job_max = \"1\"", "epsilon_per_job_max = 1"),
            ("epsilon_per_job_max = \"1\"", "epsilon_per_job_max = \"-1\""),
            ("min_frequency = 10", "min_frequency = 2"),
            ("= 900\n", "= 1001\n"),
        ] {
            let text = STANDARD.replacen(good, bad, 1);
            assert!(text != STANDARD && ReleasePolicy::parse(&text).is_err(), "{bad}");
        }
        assert!(ReleasePolicy::parse("").is_err());
    }
}
