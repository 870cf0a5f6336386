//! Privacy loss in whole units of 10^-12, so that a ledger adds without rounding.
//!
//! What is spent is rounded up to a unit before it becomes one of these; addition is checked, and a sum beyond the largest value is
//! an error, never a smaller number.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units of one.
pub const UNITS_PER_ONE: u128 = 1_000_000_000_000;
const DECIMALS: usize = 12;

/// Why a privacy loss is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitsError {
    /// Not digits with at most 12 after one point.
    #[error("a privacy loss is written in digits, at most 12 of them after the point")]
    Malformed,
    /// Beyond the largest.
    #[error("a privacy loss is larger than can be counted")]
    TooLarge,
}

fn parse_units(text: &str, max: u128) -> Result<u128, UnitsError> {
    let (whole, part) = match text.split_once('.') {
        Some((whole, part)) if (1..=DECIMALS).contains(&part.len()) => (whole, part),
        Some(_) => return Err(UnitsError::Malformed),
        None => (text, ""),
    };
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let leading = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading || !digits(whole) || !digits(part) {
        return Err(UnitsError::Malformed);
    }
    // The whole part alone may be beyond u128: more digits than any largest value has.
    if whole.len() > 12 {
        return Err(UnitsError::TooLarge);
    }
    let number: u128 = format!("{whole}{part:0<DECIMALS$}").parse().map_err(|_| UnitsError::Malformed)?;
    if number > max { Err(UnitsError::TooLarge) } else { Ok(number) }
}

fn write_units(units: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (whole, part) = (units / UNITS_PER_ONE, units % UNITS_PER_ONE);
    if part == 0 {
        return write!(f, "{whole}");
    }
    let part = format!("{part:0DECIMALS$}");
    write!(f, "{whole}.{}", part.trim_end_matches('0'))
}

macro_rules! units {
    ($($(#[$doc:meta])* $name:ident(max $max:expr);)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);
            /// The largest value; it fits a signed 64-bit column.
            pub const MAX: Self = Self($max * UNITS_PER_ONE);

            /// From units of 10^-12.
            ///
            /// # Errors
            /// Beyond [`Self::MAX`].
            pub fn from_units(units: u128) -> Result<Self, UnitsError> {
                if units > Self::MAX.0 { Err(UnitsError::TooLarge) } else { Ok(Self(units)) }
            }
            /// Parses a decimal: digits, at most 12 of them after the point; no sign, no exponent, no leading zero.
            ///
            /// # Errors
            /// Another form, or beyond [`Self::MAX`].
            pub fn parse(text: &str) -> Result<Self, UnitsError> {
                parse_units(text, Self::MAX.0).map(Self)
            }
            /// In units of 10^-12.
            pub const fn units(self) -> u128 {
                self.0
            }
            /// For a column of a table: exact.
            pub fn to_column(self) -> i64 {
                const { assert!($max * UNITS_PER_ONE <= i64::MAX as u128) };
                self.0 as i64
            }
            /// From a column of a table.
            ///
            /// # Errors
            /// Negative, or beyond [`Self::MAX`].
            pub fn from_column(column: i64) -> Result<Self, UnitsError> {
                Self::from_units(u128::try_from(column).map_err(|_| UnitsError::Malformed)?)
            }
            /// The sum.
            ///
            /// # Errors
            /// Beyond [`Self::MAX`].
            pub fn checked_add(self, other: Self) -> Result<Self, UnitsError> {
                self.0.checked_add(other.0).ok_or(UnitsError::TooLarge).and_then(Self::from_units)
            }
            /// So many times this.
            ///
            /// # Errors
            /// Beyond [`Self::MAX`].
            pub fn checked_mul(self, times: u32) -> Result<Self, UnitsError> {
                self.0.checked_mul(times.into()).ok_or(UnitsError::TooLarge).and_then(Self::from_units)
            }
            /// What is left after `spent`; `None` where more was spent.
            pub fn checked_sub(self, spent: Self) -> Option<Self> {
                self.0.checked_sub(spent.0).map(Self)
            }
            /// The nearest binary floating-point number: off by at most 2^-52 of itself.
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / UNITS_PER_ONE as f64
            }
            /// The smallest value not below `number`.
            ///
            /// # Errors
            /// Not a number, negative, or beyond [`Self::MAX`].
            pub fn from_f64_up(number: f64) -> Result<Self, UnitsError> {
                if number.is_nan() || number < 0.0 {
                    return Err(UnitsError::Malformed);
                }
                let units = number * UNITS_PER_ONE as f64;
                if units >= 1e30 {
                    return Err(UnitsError::TooLarge);
                }
                // The product is off by at most 2^-53 of itself: one further unit, and one for every 2^52 of them, covers it.
                let whole = units.ceil() as u128;
                let slack = if units == 0.0 { 0 } else { 1 + (whole >> 52) };
                Self::from_units(whole + slack)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_units(self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnitsError;
            fn from_str(text: &str) -> Result<Self, UnitsError> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(d)?).map_err(D::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                String::schema()
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

units! {
    /// Privacy loss ρ of zero-concentrated differential privacy (Bun, Steinke 2016). Written as a decimal.
    Rho(max 1_000_000);
    /// Privacy loss ε. Written as a decimal.
    Epsilon(max 1_000_000);
}

impl Epsilon {
    /// The most that one fold may ask and one budget may hold. Sums are larger: many small folds are paid by their ρ.
    pub const ASKED_MAX: Self = Self(1000 * UNITS_PER_ONE);

    /// ρ of a mechanism that is ε-differentially private: ε²/2 (Bun, Steinke 2016, Prop. 1.4), rounded up.
    ///
    /// # Errors
    /// Beyond [`Rho::MAX`].
    pub fn pure_as_rho(self) -> Result<Rho, UnitsError> {
        // At most (10^18)^2 = 10^36 in units of 10^-24.
        Rho::from_units((self.0 * self.0).div_ceil(2 * UNITS_PER_ONE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_have_one_reading() {
        for (text, units, shown) in [
            ("0", 0, "0"),
            ("1", UNITS_PER_ONE, "1"),
            ("0.3", 300_000_000_000, "0.3"),
            ("0.30", 300_000_000_000, "0.3"),
            ("0.000000000001", 1, "0.000000000001"),
            ("1000000", Epsilon::MAX.0, "1000000"),
        ] {
            let parsed = Epsilon::parse(text).unwrap();
            assert_eq!((parsed.units(), parsed.to_string().as_str()), (units, shown));
        }
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "01", " 1", "1 ", "0.0000000000001", "٣", "1_0", "0.1.2", "NaN", "inf"] {
            assert_eq!(Epsilon::parse(text), Err(UnitsError::Malformed), "{text}");
        }
        for text in ["1000000.000000000001", "1000001", "99999999999999999999999999999999999999999999"] {
            assert_eq!(Epsilon::parse(text), Err(UnitsError::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_sum_beyond_the_largest_is_an_error() {
        let one = Rho::from_units(1).unwrap();
        assert_eq!(Rho::MAX.checked_add(one), Err(UnitsError::TooLarge));
        assert_eq!(Rho::MAX.checked_mul(2), Err(UnitsError::TooLarge));
        assert_eq!(Rho::ZERO.checked_sub(one), None);
        assert!(Rho::from_column(-1).is_err() && Rho::from_column(i64::MAX).is_err());
        assert!(Rho::from_f64_up(f64::NAN).is_err() && Rho::from_f64_up(-1.0).is_err() && Rho::from_f64_up(f64::INFINITY).is_err());
    }

    proptest! {
        #[test]
        fn text_and_column_give_it_back(units in 0..=Epsilon::MAX.0) {
            let e = Epsilon(units);
            prop_assert_eq!(Epsilon::parse(&e.to_string()).unwrap(), e);
            prop_assert_eq!(Epsilon::from_column(e.to_column()).unwrap(), e);
            prop_assert_eq!(serde_json::from_str::<Epsilon>(&serde_json::to_string(&e).unwrap()).unwrap(), e);
        }

        #[test]
        fn a_pure_loss_is_rounded_up(units in 0..=Epsilon::ASKED_MAX.0) {
            // 2 · 10^12 · ρ units lie in [ε², ε² + 2 · 10^12).
            let square = units * units;
            let doubled = Epsilon(units).pure_as_rho().unwrap().units() * 2 * UNITS_PER_ONE;
            prop_assert!(doubled >= square && doubled - square < 2 * UNITS_PER_ONE);
        }

        #[test]
        fn a_float_is_rounded_up(number in 0.0..999.0f64) {
            let e = Epsilon::from_f64_up(number).unwrap();
            prop_assert!(e.to_f64() >= number && e.to_f64() <= number * (1.0 + 1e-12) + 3e-12);
        }
    }
}
