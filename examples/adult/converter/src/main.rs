//! `adult-converter SOURCE DIR`: writes the upload tables of `SOURCE/adult.data`.
#![allow(clippy::disallowed_methods, reason = "a tool that reads and writes where its user says")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(source), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: adult-converter SOURCE DIR");
        return ExitCode::from(2);
    };
    match convert(&source, &folder) {
        Ok(rows) => {
            println!("{rows} persons");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn convert(source: &Path, folder: &Path) -> Result<usize, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(source.join("adult.data"))?;
    let tables = adult_converter::tables(&adult_converter::persons(&text)?);
    std::fs::create_dir_all(folder)?;
    for (name, text) in [("census.csv", &tables.census), ("income.csv", &tables.income), ("consents.csv", &tables.consents)] {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(tables.rows)
}
