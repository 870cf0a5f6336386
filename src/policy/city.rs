//! A city's working days and reply clocks, read from a profile (`policies/city/`). Pure: no clock of the machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::clock::Date;
use crate::id::Name;

/// Why a profile is none.
#[derive(Debug, thiserror::Error)]
#[error("the city profile is not valid; correct what is named: {0}")]
pub struct CityError(String);

/// A limit for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyClock {
    /// Working days after the day it began.
    pub working_days: u16,
    /// By how many working days it may be extended, once.
    pub extension_working_days: u16,
}

/// The clocks of a city.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clocks {
    /// From an application to each provider's decision.
    pub application_reply: ReplyClock,
    /// From an objection to its answer.
    pub objection_reply: ReplyClock,
    /// From a release request to the decision of its reviewers.
    pub release_review: ReplyClock,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    city: Name,
    name_zh: String,
    clocks: Clocks,
    years: Vec<YearForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YearForm {
    year: i32,
    holidays: Vec<(Date, Date)>,
    workdays: Vec<Date>,
}

/// The profile that a server has where it is given no other one.
pub const BUILT_IN: &str = include_str!("../../policies/city/xiamen.toml");

/// A city's profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CityProfile {
    /// Identifier.
    pub city: Name,
    /// Chinese name.
    pub name_zh: String,
    /// Clocks.
    pub clocks: Clocks,
    /// Working days.
    pub calendar: WorkingDays,
}

impl CityProfile {
    /// Parses a profile.
    ///
    /// # Errors
    /// What is missing, unknown or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, CityError> {
        let form: Form = toml::from_str(text).map_err(|e| CityError(e.message().to_owned()))?;
        let mut years = BTreeMap::new();
        for y in form.years {
            let of_year = |d: &Date| d.year_month_day().0 == y.year;
            let mut holidays = BTreeSet::new();
            for (first, last) in &y.holidays {
                if first > last || !of_year(first) || !of_year(last) {
                    return Err(CityError(format!("a holiday runs from its first to its last day within {}", y.year)));
                }
                holidays.extend((first.days()..=last.days()).map(Date::from_days));
            }
            let workdays: BTreeSet<_> = y.workdays.iter().copied().collect();
            if !workdays.iter().all(|d| of_year(d) && is_weekend(*d) && !holidays.contains(d)) {
                return Err(CityError(format!("a make-up workday is a Saturday or Sunday of {} that is no holiday", y.year)));
            }
            if years.insert(y.year, Year { holidays, workdays }).is_some() {
                return Err(CityError(format!("{} is there twice", y.year)));
            }
        }
        Ok(Self { city: form.city, name_zh: form.name_zh, clocks: form.clocks, calendar: WorkingDays { years } })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Year {
    holidays: BTreeSet<Date>,
    workdays: BTreeSet<Date>,
}

/// Which days are worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingDays {
    years: BTreeMap<i32, Year>,
}

/// Saturday or Sunday.
fn is_weekend(date: Date) -> bool {
    // 1970-01-01 was a Thursday.
    matches!((date.days() + 3).rem_euclid(7), 5 | 6)
}

impl WorkingDays {
    /// Whether `date` is worked; `None` where its year has not been announced.
    pub fn is_working_day(&self, date: Date) -> Option<bool> {
        let year = self.years.get(&date.year_month_day().0)?;
        Some(year.workdays.contains(&date) || !(is_weekend(date) || year.holidays.contains(&date)))
    }

    /// The `count`-th working day after `date`, which is not counted itself; `None` where a year on the way has not been announced.
    pub fn after(&self, date: Date, count: u16) -> Option<Date> {
        let mut day = date;
        let mut left = count;
        while left > 0 {
            day = Date::from_days(day.days() + 1);
            left -= u16::from(self.is_working_day(day)?);
        }
        Some(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XIAMEN: &str = include_str!("../../policies/city/xiamen.toml");

    #[test]
    fn working_days_of_2026_with_holidays_and_make_up_workdays() {
        let calendar = CityProfile::parse(XIAMEN).unwrap().calendar;
        let date = |text: &str| text.parse::<Date>().unwrap();
        let worked =
            (date("2026-01-01").days()..=date("2026-12-31").days()).filter(|d| calendar.is_working_day(Date::from_days(*d)).unwrap());
        // 261 weekdays, 19 of them holidays, 6 days of weekends worked.
        assert_eq!(worked.count(), 261 - 19 + 6);
        for (from, days, to) in [
            ("2026-02-13", 1, "2026-02-14"), // a Saturday that is worked
            ("2026-02-14", 1, "2026-02-24"), // over the Spring Festival
            ("2026-02-27", 2, "2026-03-02"),
            ("2026-09-18", 1, "2026-09-20"),
            ("2026-09-30", 2, "2026-10-09"),
            ("2026-03-02", 10, "2026-03-16"),
            ("2026-03-02", 0, "2026-03-02"),
        ] {
            assert_eq!(calendar.after(date(from), days), Some(date(to)), "{from} + {days}");
        }
        assert_eq!(calendar.after(date("2026-12-30"), 2), None, "2027 is not announced");
    }

    #[test]
    fn a_profile_that_contradicts_itself_is_none() {
        for (good, bad) in [
            ("\"2026-01-04\"", "\"2026-01-05\""),
            ("\"2026-02-14\"", "\"2026-02-15\""),
            ("[\"2026-01-01\", \"2026-01-03\"]", "[\"2026-01-03\", \"2026-01-01\"]"),
            ("year = 2026", "year = 2025"),
            ("working_days = 10\n", ""),
        ] {
            let text = XIAMEN.replacen(good, bad, 1);
            assert!(text != XIAMEN && CityProfile::parse(&text).is_err(), "{bad}");
        }
    }
}
