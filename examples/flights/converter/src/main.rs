//! `flights-converter FROM TO`: reads `flights.csv` and `weather.csv` in FROM, writes the upload tables of the same names to TO.
#![allow(clippy::disallowed_methods, reason = "a tool on public files that its user names")]

use std::path::Path;
use std::process::ExitCode;

use flights_converter::{Converted, Malformed, flights, weather};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: flights-converter FROM TO");
        return ExitCode::from(2);
    };
    let (from, to) = (Path::new(from), Path::new(to));
    let done = std::fs::create_dir_all(to)
        .map_err(|error| error.to_string())
        .and_then(|()| convert(from, to, "flights.csv", flights))
        .and_then(|()| convert(from, to, "weather.csv", weather));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn convert(from: &Path, to: &Path, name: &str, how: fn(&str) -> Result<Converted, Malformed>) -> Result<(), String> {
    let text = std::fs::read_to_string(from.join(name)).map_err(|error| format!("cannot read {name}: {error}"))?;
    let out = how(&text).map_err(|error| format!("{name}: {error}"))?;
    std::fs::write(to.join(name), &out.csv).map_err(|error| format!("cannot write {name}: {error}"))?;
    println!("{name}: {} rows, {} left out", out.rows, out.left_out);
    Ok(())
}
