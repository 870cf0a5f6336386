//! Made-up small firms: four tables about them, of three bureaus and a bank, from a seed. Whole numbers only, so that a seed gives
//! the same rows on every machine.
//!
//! Not every firm is in every table, a few rows are broken on purpose, and not every borrower consented: what an import and a fusion
//! have to cope with.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod random;
mod uscc;

use std::fmt::Write;

use random::Random;
pub use uscc::uscc;

/// The year of the tax grades that the example plan filters on.
pub const YEAR: u16 = 2025;
/// The month of the electricity bills that the example plan filters on.
pub const MONTH: &str = "2025-12-01";
/// The purpose that borrowers consented to.
pub const PURPOSE: &str = "credit_risk";

/// How much is made, and from what.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Firms of the region; the bank lends to four in five of them.
    pub firms: u32,
    /// The seed.
    pub seed: u64,
}

/// A grade of the tax authority, best first.
pub const GRADES: [&str; 5] = ["A", "B", "M", "C", "D"];

/// A row of the bank: a borrower.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Borrower {
    /// Unified social credit code.
    pub uscc: String,
    /// 1 where it defaulted within twelve months.
    pub default_12m: u8,
}

/// A row of the tax bureau.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tax {
    /// Unified social credit code; one with a wrong check character is a broken row.
    pub uscc: String,
    /// Year.
    pub year: u16,
    /// Index into [`GRADES`].
    pub grade: usize,
    /// Value-added tax paid, in hundredths of a yuan.
    pub vat_paid: u64,
}

/// A row of the credit office.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credit {
    /// Unified social credit code.
    pub uscc: String,
    /// Administrative penalties in twenty-four months.
    pub penalties_24m: u32,
    /// Whether it stands on the list of dishonest debtors.
    pub dishonest: bool,
}

/// A row of the electricity company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Electricity {
    /// Unified social credit code.
    pub uscc: String,
    /// First day of the month.
    pub month: &'static str,
    /// Kilowatt hours.
    pub kwh: u32,
    /// Days for which the bill was overdue.
    pub arrears_days: u32,
}

/// A borrower's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Who consents.
    pub uscc: String,
    /// To what.
    pub purpose: &'static str,
    /// Last day.
    pub expiry: &'static str,
}

/// All tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// Of the bank.
    pub bank: Vec<Borrower>,
    /// Of the tax bureau.
    pub tax: Vec<Tax>,
    /// Of the credit office.
    pub credit: Vec<Credit>,
    /// Of the electricity company.
    pub electricity: Vec<Electricity>,
    /// Consents of the bank's borrowers.
    pub consents: Vec<Consent>,
}

/// Out of a thousand firms, how many have each grade.
const GRADE_SHARES: [u32; 5] = [300, 350, 130, 150, 70];
/// Out of a thousand firms of a grade, how many have a short and a long arrear.
const ARREARS: [(u32, u32); 5] = [(45, 1), (80, 1), (110, 20), (160, 60), (220, 150)];
/// Out of a thousand firms of a grade without arrears and penalties, how many default.
const DEFAULTS: [u32; 5] = [6, 15, 35, 70, 150];
/// Rows of the tax table that are broken on purpose.
pub const BROKEN_ROWS: usize = 3;

struct Firm {
    uscc: String,
    grade: usize,
    arrears_days: u32,
    penalties: u32,
    kwh: u32,
}

impl Data {
    /// Makes the tables.
    pub fn generate(options: Options) -> Self {
        let mut random = Random::new(options.seed);
        let mut data = Self::default();
        for number in 0..options.firms {
            let firm = Firm::make(number, &mut random);
            data.add(&firm, &mut random);
        }
        data.break_rows(options.firms);
        data
    }

    fn add(&mut self, firm: &Firm, random: &mut Random) {
        let uscc = || firm.uscc.clone();
        if random.permille(800) {
            let risk = DEFAULTS.get(firm.grade).copied().unwrap_or(0)
                + firm.penalties * 12
                + if firm.arrears_days > 30 { 130 } else { firm.arrears_days };
            self.bank.push(Borrower { uscc: uscc(), default_12m: u8::from(random.permille(risk)) });
            self.consent(firm, random);
        }
        let before = if random.permille(250) { (firm.grade + 1).min(GRADES.len() - 1) } else { firm.grade };
        self.tax.push(Tax { uscc: uscc(), year: YEAR - 1, grade: before, vat_paid: random.below(90_000_000) });
        if random.permille(970) {
            self.tax.push(Tax { uscc: uscc(), year: YEAR, grade: firm.grade, vat_paid: random.below(100_000_000) });
        }
        let dishonest = firm.grade == GRADES.len() - 1 && random.permille(100);
        self.credit.push(Credit { uscc: uscc(), penalties_24m: firm.penalties, dishonest });
        if random.permille(960) {
            self.electricity.push(Electricity { uscc: uscc(), month: "2025-11-01", kwh: firm.kwh.saturating_add(700), arrears_days: 0 });
            self.electricity.push(Electricity { uscc: uscc(), month: MONTH, kwh: firm.kwh, arrears_days: firm.arrears_days });
        }
    }

    /// Most borrowers consented with their loan; some never did, some for something else, some until long ago.
    fn consent(&mut self, firm: &Firm, random: &mut Random) {
        let (purpose, expiry) = match random.below(1000) {
            0..10 => return,
            10..15 => ("marketing", "2098-12-31"),
            15..20 => (PURPOSE, "2020-06-30"),
            _ => (PURPOSE, "2098-12-31"),
        };
        self.consents.push(Consent { uscc: firm.uscc.clone(), purpose, expiry });
    }

    fn break_rows(&mut self, firms: u32) {
        for number in 0..BROKEN_ROWS {
            let mut uscc = uscc(u64::from(firms) + number as u64, false);
            // Another check character than the right one.
            let wrong = if uscc.ends_with('0') { '1' } else { '0' };
            uscc.pop();
            uscc.push(wrong);
            self.tax.push(Tax { uscc, year: YEAR, grade: 0, vat_paid: 0 });
        }
    }

    /// The bank's table as CSV.
    pub fn bank_csv(&self) -> String {
        csv("uscc,default_12m", &self.bank, |out, r| write!(out, "{},{}", r.uscc, r.default_12m))
    }
    /// The tax bureau's table as CSV.
    pub fn tax_csv(&self) -> String {
        csv("uscc,year,grade,vat_paid", &self.tax, |out, r| {
            let grade = GRADES.get(r.grade).copied().unwrap_or_default();
            write!(out, "{},{},{grade},{}.{:02}", r.uscc, r.year, r.vat_paid / 100, r.vat_paid % 100)
        })
    }
    /// The credit office's table as CSV.
    pub fn credit_csv(&self) -> String {
        csv("uscc,penalties_24m,dishonest", &self.credit, |out, r| {
            write!(out, "{},{},{}", r.uscc, r.penalties_24m, if r.dishonest { "yes" } else { "no" })
        })
    }
    /// The electricity company's table as CSV.
    pub fn electricity_csv(&self) -> String {
        csv("uscc,month,kwh,arrears_days", &self.electricity, |out, r| write!(out, "{},{},{},{}", r.uscc, r.month, r.kwh, r.arrears_days))
    }
    /// The borrowers' consents as CSV.
    pub fn consents_csv(&self) -> String {
        csv("unit,purpose,expiry", &self.consents, |out, r| write!(out, "{},{},{}", r.uscc, r.purpose, r.expiry))
    }
}

impl Firm {
    fn make(number: u32, random: &mut Random) -> Self {
        let grade = random.choose(&GRADE_SHARES);
        let (short, long) = ARREARS.get(grade).copied().unwrap_or_default();
        let arrears_days = match random.choose(&[1000 - short - long, short, long]) {
            0 => 0,
            1 => 1 + random.below(30) as u32,
            _ => 31 + random.below(150) as u32,
        };
        let weights = [900 - 100 * grade as u32, 60 + 50 * grade as u32, 30 + 30 * grade as u32, 10 + 20 * grade as u32];
        let penalties = random.choose(&weights) as u32;
        // A product of two gives few large consumers and many small ones.
        let kwh = 200 + (random.below(300) * random.below(300)) as u32;
        // One firm in six is a sole trader.
        let sole = random.below(6) == 0;
        Self { uscc: uscc(u64::from(number), sole), grade, arrears_days, penalties, kwh }
    }
}

fn csv<T>(header: &str, rows: &[T], line: impl Fn(&mut String, &T) -> std::fmt::Result) -> String {
    let mut out = String::with_capacity(40 * rows.len());
    out.push_str(header);
    out.push('\n');
    for row in rows {
        // Writing to a text does not fail.
        let _ = line(&mut out, row);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_the_same_rows_and_another_gives_others() {
        let make = |seed| Data::generate(Options { firms: 500, seed });
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn every_firm_has_one_code_and_tables_differ_in_whom_they_know() {
        let data = Data::generate(Options { firms: 3000, seed: 1 });
        let codes: BTreeSet<&str> = data.credit.iter().map(|r| r.uscc.as_str()).collect();
        assert_eq!((codes.len(), data.credit.len()), (3000, 3000));
        assert!(data.bank.len() < 2600 && data.bank.len() > 2200);
        assert!(data.consents.len() < data.bank.len());
        assert!(data.bank.iter().all(|r| codes.contains(r.uscc.as_str())));
        assert_eq!(data.tax.iter().filter(|r| !codes.contains(r.uscc.as_str())).count(), BROKEN_ROWS);
        assert!(data.tax_csv().starts_with("uscc,year,grade,vat_paid\n91") || data.tax_csv().starts_with("uscc,year,grade,vat_paid\n92"));
        assert_eq!(data.electricity_csv().lines().count(), data.electricity.len() + 1);
    }
}
