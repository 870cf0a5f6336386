//! The files of the Adult data set (extract of the US census of 1994, Becker and Kohavi, UCI Machine Learning Repository) as upload
//! tables of two offices: who somebody is, and what somebody earned. Persons have no identifiers there, so everybody gets a made-up
//! one with a valid check character; the year of birth fits the age.
//!
//! Besides, what the example's modules make of a person, from the modules' own files, so that a released model can be applied to
//! persons who were never uploaded.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod labels;
mod resident;

#[path = "../../modules/kmeans/src/centres.rs"]
pub mod centres;
#[path = "../../modules/logistic_numeric/src/descent.rs"]
pub mod descent;
#[path = "../../modules/mean_of_blocks/src/estimate.rs"]
pub mod estimate;
#[path = "../../modules/logistic_numeric/src/numbers.rs"]
pub mod numbers;

pub use labels::CATEGORIES;
pub use resident::resident_id;

use std::collections::BTreeMap;
use std::fmt::Write;

/// To what everybody consented.
pub const PURPOSE: &str = "income_study";

/// One line of the source.
#[derive(Debug, Clone, PartialEq)]
pub struct Person<'a> {
    /// Years.
    pub age: u32,
    /// Years of education, on a scale from 1 to 16.
    pub education_num: u32,
    /// Gain from capital in a year.
    pub capital_gain: u32,
    /// Loss of capital in a year.
    pub capital_loss: u32,
    /// Hours of work a week.
    pub hours_per_week: u32,
    /// One label for each of [`CATEGORIES`]; none where unknown.
    pub categories: [Option<&'a str>; 8],
    /// Whether more than 50K is earned in a year.
    pub rich: bool,
}

/// A source file that is not of the expected form; names the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: not of the expected form; remedy: fetch the files anew", self.line)
    }
}

impl std::error::Error for Malformed {}

/// The upload tables, as CSV with header lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// Of the statistics bureau.
    pub census: String,
    /// Of the tax bureau.
    pub income: String,
    /// Everybody's consent: the same for either table.
    pub consents: String,
    /// Persons.
    pub rows: usize,
}

/// The persons of `adult.data` or `adult.test`.
///
/// # Errors
/// The first line that is not of the expected form.
pub fn persons(source: &str) -> Result<Vec<Person<'_>>, Malformed> {
    let lines = source.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('|'));
    lines.map(|(i, line)| person(line).ok_or(Malformed { line: i + 1 })).collect()
}

fn person(line: &str) -> Option<Person<'_>> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [age, workclass, _, education, years, marital, occupation, relationship, race, sex, gain, loss, hours, country, income] = *fields
    else {
        return None;
    };
    let texts = [workclass, education, marital, occupation, relationship, race, sex, country];
    let mut categories = [None; 8];
    for ((to, text), (_, labels)) in categories.iter_mut().zip(texts).zip(CATEGORIES) {
        *to = if text == "?" { None } else { Some(*labels.iter().find(|label| **label == text)?) };
    }
    let rich = match income.trim_end_matches('.') {
        ">50K" => true,
        "<=50K" => false,
        _ => return None,
    };
    Some(Person {
        age: age.parse().ok()?,
        education_num: years.parse().ok()?,
        capital_gain: gain.parse().ok()?,
        capital_loss: loss.parse().ok()?,
        hours_per_week: hours.parse().ok()?,
        categories,
        rich,
    })
}

/// The upload tables of `persons`.
pub fn tables(persons: &[Person<'_>]) -> Tables {
    let names: Vec<&str> = CATEGORIES.iter().map(|(name, _)| *name).collect();
    let mut census = format!("person,age,education_num,hours_per_week,{}\n", names.join(","));
    let mut income = String::from("person,capital_gain,capital_loss,income\n");
    let mut consents = String::from("unit,purpose,expiry\n");
    let mut of_age: BTreeMap<u32, u32> = BTreeMap::new();
    for person in persons {
        let number = of_age.entry(person.age).or_insert(0);
        let id = resident_id(320_500, 2025 - person.age, 1 + *number % 12, 1 + *number / 12 % 28, *number / 336);
        *number += 1;
        let labels: Vec<&str> = person.categories.iter().map(|label| label.unwrap_or_default()).collect();
        let rich = if person.rich { ">50K" } else { "<=50K" };
        // Writing to a text does not fail.
        let _ = writeln!(census, "{id},{},{},{},{}", person.age, person.education_num, person.hours_per_week, labels.join(","));
        let _ = writeln!(income, "{id},{},{},{rich}", person.capital_gain, person.capital_loss);
        let _ = writeln!(consents, "{id},{PURPOSE},2098-12-31");
    }
    Tables { census, income, consents, rows: persons.len() }
}

impl Person<'_> {
    /// Features of `logistic_numeric`: (coordinate, value).
    pub fn numeric(&self) -> Vec<(usize, f64)> {
        let raw = [self.age, self.education_num, self.capital_gain, self.capital_loss, self.hours_per_week];
        numbers::numbers(raw.map(f64::from)).into_iter().enumerate().collect()
    }

    /// Features of `logistic_one_hot`.
    pub fn one_hot(&self) -> Vec<(usize, f64)> {
        let mut features = self.numeric();
        let mut first = numbers::NUMBERS;
        for (label, (_, labels)) in self.categories.iter().zip(CATEGORIES) {
            features.extend(labels.iter().position(|l| Some(*l) == *label).map(|at| (first + at, 1.0)));
            first += labels.len();
        }
        features
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "|1x3 Cross validator\n\
        39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Not-in-family, White, Male, 2174, 0, 40, United-States, <=50K\n\
        39, ?, 1, HS-grad, 9, Divorced, ?, Husband, Black, Female, 0, 1902, 60, ?, >50K.\n\n";

    #[test]
    fn lines_become_persons_and_tables() {
        let persons = persons(SOURCE).unwrap();
        assert_eq!(persons.len(), 2);
        assert_eq!((persons[0].rich, persons[1].rich), (false, true));
        assert_eq!((persons[1].categories[0], persons[1].categories[1]), (None, Some("HS-grad")));
        let tables = tables(&persons);
        let lines: Vec<&str> = tables.census.lines().collect();
        let (id, rest) = lines[1].split_once(',').unwrap();
        assert_eq!((id.len(), &id[..14]), (18, "32050019860101"));
        assert_eq!(rest, "39,13,40,State-gov,Bachelors,Never-married,Adm-clerical,Not-in-family,White,Male,United-States");
        assert!(lines[2].ends_with("39,9,60,,HS-grad,Divorced,,Husband,Black,Female,"));
        assert_eq!(tables.income.lines().nth(2).unwrap().split_once(',').unwrap().1, "0,1902,>50K");
        assert_eq!(tables.consents.lines().count(), 3);
    }

    #[test]
    fn persons_become_features() {
        let persons = persons(SOURCE).unwrap();
        let features = persons[0].one_hot();
        assert_eq!((persons[0].numeric().len(), features.len(), persons[1].one_hot().len()), (6, 14, 11));
        assert!(features.is_sorted_by(|a, b| a.0 < b.0) && features.last().unwrap().0 == 104 - 2);
    }

    #[test]
    fn another_form_is_told_by_its_line() {
        assert_eq!(persons("1, 2\n").unwrap_err().line, 1);
        assert_eq!(persons(&SOURCE.replace("Divorced", "Elsewhere")).unwrap_err().line, 3);
        assert_eq!(persons(&SOURCE.replace("40,", "many,")).unwrap_err().line, 2);
    }
}
