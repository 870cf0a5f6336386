//! Texts to stored integers and back, exactly. Shared by ingest and the catalogue, so that a constant of a plan and a value of
//! an upload are read by the same rules. No floating point.

/// Most digits after the point.
pub const SCALE_MAX: u8 = 9;

/// The stored integer of a decimal text: `text` × 10^scale, or `None` where it is no decimal, has a finer resolution than
/// 10^-scale, or does not fit. Form: sign, digits, point, digits; no exponent, no grouping.
pub fn parse_decimal(text: &str, scale: u8) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut value = 0i64;
    let mut seen = false;
    // Digits after the point so far; `None` before it.
    let mut fraction: Option<u8> = None;
    for b in digits {
        match (b, fraction) {
            (b'.', None) => fraction = Some(0),
            (b'0'..=b'9', _) => {
                seen = true;
                let digit = i64::from(b - b'0');
                match fraction {
                    Some(n) if n >= scale => {
                        if digit != 0 {
                            return None;
                        }
                        continue;
                    }
                    Some(n) => fraction = Some(n + 1),
                    None => {}
                }
                value = value.checked_mul(10)?;
                value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
            }
            _ => return None,
        }
    }
    if !seen {
        return None;
    }
    let missing = scale.checked_sub(fraction.unwrap_or(0))?;
    value.checked_mul(10i64.checked_pow(u32::from(missing))?)
}

/// The decimal text of a stored integer, with exactly `scale` digits after the point.
pub fn format_decimal(value: i64, scale: u8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at_checked(digits.len() - usize::from(scale)).unwrap_or((&digits, ""));
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Days of a month of the Gregorian calendar; 0 where there is no such month.
pub fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (`days_from_civil` of Hinnant, *chrono-Compatible Low-Level Date
/// Algorithms*); `None` where there is no such day in the years 0 to 9999.
pub fn days_of_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(0..=9999).contains(&year) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    let y = year - i64::from(month <= 2);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(y.div_euclid(400) * 146_097 + day_of_era - 719_468)
}

fn number(bytes: &[u8]) -> Option<i64> {
    bytes.iter().all(u8::is_ascii_digit).then(|| bytes.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0')))
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub fn parse_date(text: &str) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else { return None };
    days_of_date(number(&[y1, y2, y3, y4])?, number(&[m1, m2])?, number(&[d1, d2])?)
}

/// Hours since 1970-01-01T00 of `YYYY-MM-DD HH` (a blank or `T` between; `:00`, `:00:00` and `Z` may follow). The clock is taken as
/// it is written: every dataset states local civil time.
pub fn parse_hour(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let [b' ' | b'T', h1, h2, tail @ ..] = rest.as_bytes() else { return None };
    let hour = number(&[*h1, *h2]).filter(|h| *h < 24)?;
    if !matches!(tail, b"" | b":00" | b":00:00" | b":00Z" | b":00:00Z") {
        return None;
    }
    Some(parse_date(date)? * 24 + hour)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        for (text, scale, value) in [
            ("0", 0, 0),
            ("-0.10", 1, -1),
            ("+12.3", 2, 1230),
            (".5", 1, 5),
            ("5.", 0, 5),
            ("1.500000", 1, 15),
            ("9223372036854775807", 0, i64::MAX),
            ("-9223372036854775808", 0, i64::MIN),
            ("-9223372036.854775808", 9, i64::MIN),
        ] {
            assert_eq!(parse_decimal(text, scale), Some(value), "{text}");
        }
        for (text, scale) in [
            ("", 0),
            (".", 2),
            ("-", 0),
            ("1e3", 0),
            ("1,000", 0),
            ("0.15", 1),
            ("1.2.3", 2),
            ("９", 0),
            ("9223372036854775808", 0),
            ("9223372036.854775808", 9),
            (" 1", 0),
            ("0x1", 0),
            ("NaN", 2),
            ("--1", 0),
        ] {
            assert_eq!(parse_decimal(text, scale), None, "{text}");
        }
    }

    #[test]
    fn dates_and_hours() {
        assert_eq!(parse_date("1970-01-01"), Some(0));
        assert_eq!(parse_date("2000-02-29"), Some(11_016));
        assert_eq!(parse_date("0000-01-01"), Some(-719_528));
        for bad in ["2023-02-29", "2023-13-01", "2023-1-01", "20230101", "2023-01-01 ", "+023-01-01", "２023-01-0"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
        for good in ["2013-01-01 05", "2013-01-01T05", "2013-01-01T05:00", "2013-01-01T05:00:00Z", "2013-01-01 05:00:00"] {
            assert_eq!(parse_hour(good), Some(15_706 * 24 + 5), "{good}");
        }
        for bad in ["2013-01-01", "2013-01-01 24", "2013-01-01 05:30", "2013-01-01 5", "2013-01-01 05Z", "2013-01-01x05", "中中中01-01 05"]
        {
            assert_eq!(parse_hour(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i64, scale in 0u8..=9) {
            prop_assert_eq!(parse_decimal(&format_decimal(value, scale), scale), Some(value));
        }
    }
}
