//! Time: whole seconds since 1970, calendar dates, and a clock that tests can set.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY_S: i64 = 86_400;
/// 9999-12-31T23:59:59Z, the last second RFC 3339 can write.
const TIMESTAMP_MAX_S: i64 = 253_402_300_799;
/// 0000-01-01T00:00:00Z.
const TIMESTAMP_MIN_S: i64 = -62_167_219_200;

/// Offset of China Standard Time, in which dates of Chinese law and agreements run.
pub const CHINA_UTC_OFFSET_S: i64 = 8 * 3_600;

/// Why a text is no date or time. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not a calendar date.
    #[error("not a date of the form YYYY-MM-DD")]
    Date,
    /// Not a time in UTC.
    #[error("not a time of the form YYYY-MM-DDThh:mm:ssZ")]
    Timestamp,
}

/// Seconds since 1970-01-01T00:00:00Z, between the years 0 and 9999.
///
/// Shown, and written by formats for people (JSON, TOML), as RFC 3339 in UTC; stored and framed as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `seconds` after 1970, brought into the years 0 to 9999.
    pub const fn from_unix_s(seconds: i64) -> Self {
        if seconds > TIMESTAMP_MAX_S {
            Self(TIMESTAMP_MAX_S)
        } else if seconds < TIMESTAMP_MIN_S {
            Self(TIMESTAMP_MIN_S)
        } else {
            Self(seconds)
        }
    }

    /// Seconds since 1970.
    pub const fn unix_s(self) -> i64 {
        self.0
    }

    /// This time and `seconds` more (or less).
    #[must_use]
    pub const fn plus_s(self, seconds: i64) -> Self {
        Self::from_unix_s(self.0.saturating_add(seconds))
    }

    /// The start of the quantum this time lies in, so that what is shown tells no finer time. Below 1 s nothing changes.
    #[must_use]
    pub const fn floor_to_s(self, quantum_s: i64) -> Self {
        if quantum_s <= 1 { self } else { Self::from_unix_s(self.0 - self.0.rem_euclid(quantum_s)) }
    }

    /// The date in a zone `utc_offset_s` seconds ahead of UTC.
    pub fn date(self, utc_offset_s: i64) -> Date {
        Date::from_days(self.0.saturating_add(utc_offset_s).div_euclid(DAY_S))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.rem_euclid(DAY_S);
        write!(f, "{}T{:02}:{:02}:{:02}Z", self.date(0), s / 3_600, s / 60 % 60, s % 60)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;
    /// Parses what [`Timestamp`] displays: RFC 3339 in UTC, whole seconds.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let (date, time) = text.strip_suffix('Z').and_then(|t| t.split_once('T')).ok_or(TimeError::Timestamp)?;
        let date: Date = date.parse().map_err(|_| TimeError::Timestamp)?;
        let mut parts = time.split(':');
        let mut field = |max: i64| digits(parts.next()?, 2).filter(|n| *n <= max);
        let (Some(h), Some(m), Some(s), None) = (field(23), field(59), field(59), parts.next()) else {
            return Err(TimeError::Timestamp);
        };
        Ok(Self(date.days() * DAY_S + h * 3_600 + m * 60 + s))
    }
}

/// A calendar date of the proleptic Gregorian calendar, year 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i32,
    month: u8,
    day: u8,
}

impl Date {
    /// The date, where there is one.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((0..=9999).contains(&year) && (1..=last).contains(&day)).then_some(Self { year, month, day })
    }

    /// Year, month (1 to 12), day.
    pub const fn year_month_day(self) -> (i32, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Days since 1970-01-01 (`days_from_civil` of Hinnant, *chrono-Compatible Low-Level Date Algorithms*).
    pub fn days(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The date `days` after 1970-01-01 (`civil_from_days`, same source), brought into the years 0 to 9999.
    pub fn from_days(days: i64) -> Self {
        let z = days.clamp(TIMESTAMP_MIN_S / DAY_S, TIMESTAMP_MAX_S / DAY_S) + 719_468;
        let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let day_of_year = doe - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // All three lie in range by the clamp above.
        Self { year: year as i32, month: month as u8, day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u8 }
    }

    /// The first second of this date in a zone `utc_offset_s` seconds ahead of UTC.
    pub fn start(self, utc_offset_s: i64) -> Timestamp {
        Timestamp::from_unix_s(self.days() * DAY_S - utc_offset_s)
    }

    /// The first second after this date in that zone: a term "until" a date ends there.
    pub fn end(self, utc_offset_s: i64) -> Timestamp {
        Timestamp::from_unix_s((self.days() + 1) * DAY_S - utc_offset_s)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let mut parts = text.split('-');
        let mut field = |width: usize| digits(parts.next()?, width);
        let (Some(year), Some(month), Some(day), None) = (field(4), field(2), field(2), parts.next()) else {
            return Err(TimeError::Date);
        };
        let (year, month, day) = (i32::try_from(year), u8::try_from(month), u8::try_from(day));
        year.ok().zip(month.ok()).zip(day.ok()).and_then(|((y, m), d)| Self::new(y, m, d)).ok_or(TimeError::Date)
    }
}

/// Exactly `width` decimal digits: no sign, no blank.
fn digits(text: &str, width: usize) -> Option<i64> {
    (text.len() == width && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(self) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            String::deserialize(d)?.parse().map_err(de::Error::custom)
        } else {
            let seconds = i64::deserialize(d)?;
            let time = Self::from_unix_s(seconds);
            if time.0 == seconds { Ok(time) } else { Err(de::Error::custom(TimeError::Timestamp)) }
        }
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_unix_s)
    }
}

impl ToSql for Date {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Date {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|e: TimeError| FromSqlError::Other(Box::new(e)))
    }
}

macro_rules! text_schema {
    ($t:ident, $format:ident, $example:literal) => {
        impl utoipa::PartialSchema for $t {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                use utoipa::openapi::schema::{KnownFormat, SchemaFormat, Type};
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(Type::String)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::$format)))
                    .examples([serde_json::Value::from($example)])
                    .into()
            }
        }
        impl utoipa::ToSchema for $t {}
    };
}
text_schema!(Timestamp, DateTime, "2026-03-01T10:15:00Z");
text_schema!(Date, Date, "2026-03-01");

/// Where the present time comes from.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock set before 1970 reads as 1970: every term that must have begun is then refused.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Timestamp::from_unix_s(i64::try_from(since).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is set. For tests and replays.
#[derive(Debug)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that stands at `at`.
    pub const fn new(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.0))
    }
    /// Sets it.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.0, Ordering::SeqCst);
    }
    /// Moves it by `seconds`.
    pub fn advance_s(&self, seconds: i64) {
        self.set(self.now().plus_s(seconds));
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_s(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_goes_there_and_back() {
        let mut day = Date::new(0, 1, 1).unwrap();
        assert_eq!(day.days() * DAY_S, TIMESTAMP_MIN_S);
        for days in day.days()..=TIMESTAMP_MAX_S / DAY_S {
            let date = Date::from_days(days);
            assert_eq!(date.days(), days);
            assert!(days == day.days() || date > day);
            assert_eq!(Date::new(date.year, date.month, date.day), Some(date));
            day = date;
        }
        assert_eq!(day.to_string(), "9999-12-31");
    }

    #[test]
    fn known_times() {
        // From `date -u -d @N +%FT%TZ`.
        for (s, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_unix_s(s).to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap().unix_s(), s);
            assert_eq!(serde_json::to_string(&Timestamp::from_unix_s(s)).unwrap(), format!("\"{text}\""));
        }
    }

    #[test]
    fn what_is_no_date_or_time_is_refused() {
        for bad in ["", "2023-02-29", "2023-13-01", "2023-00-10", "2023-1-01", "+023-01-01", "2023-01-01-", "2023-01-32"] {
            assert_eq!(bad.parse::<Date>(), Err(TimeError::Date), "{bad}");
        }
        for bad in ["2023-01-01T00:00:00", "2023-01-01T24:00:00Z", "2023-01-01T00:00:60Z", "2023-01-01 00:00:00Z", "2023-01-01T00:00Z"] {
            assert_eq!(bad.parse::<Timestamp>(), Err(TimeError::Timestamp), "{bad}");
        }
    }

    #[test]
    fn a_chinese_date_begins_eight_hours_before_utc() {
        let date: Date = "2026-03-01".parse().unwrap();
        assert_eq!(date.start(CHINA_UTC_OFFSET_S).to_string(), "2026-02-28T16:00:00Z");
        assert_eq!(date.end(CHINA_UTC_OFFSET_S).to_string(), "2026-03-01T16:00:00Z");
        assert_eq!(date.start(CHINA_UTC_OFFSET_S).date(CHINA_UTC_OFFSET_S), date);
        assert_eq!(date.end(CHINA_UTC_OFFSET_S).plus_s(-1).date(CHINA_UTC_OFFSET_S), date);
    }

    #[test]
    fn a_quantum_hides_what_lies_below_it() {
        let t: Timestamp = "2026-03-01T10:17:43Z".parse().unwrap();
        assert_eq!(t.floor_to_s(900).to_string(), "2026-03-01T10:15:00Z");
        assert_eq!(t.floor_to_s(0), t);
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = FixedClock::new(Timestamp::from_unix_s(10));
        assert_eq!(clock.now(), clock.now());
        clock.advance_s(5);
        assert_eq!(clock.now().unix_s(), 15);
        assert!(SystemClock.now().unix_s() > 1_700_000_000);
    }
}
