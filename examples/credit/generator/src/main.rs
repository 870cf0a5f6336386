//! `credit-generator DIR [FIRMS [SEED]]`: writes the tables as CSV.
#![allow(clippy::disallowed_methods, reason = "a tool that writes made-up data where its user says")]

use std::path::PathBuf;
use std::process::ExitCode;

use credit_generator::{Data, Options};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: credit-generator DIR [FIRMS [SEED]]");
        return ExitCode::from(2);
    };
    let firms = arguments.next().map_or(Ok(20_000), |text| text.parse());
    let seed = arguments.next().map_or(Ok(1), |text| text.parse());
    let (Ok(firms), Ok(seed)) = (firms, seed) else {
        eprintln!("FIRMS and SEED are whole numbers");
        return ExitCode::from(2);
    };
    let data = Data::generate(Options { firms, seed });
    let files = [
        ("bank.csv", data.bank_csv()),
        ("tax.csv", data.tax_csv()),
        ("credit.csv", data.credit_csv()),
        ("electricity.csv", data.electricity_csv()),
        ("consents.csv", data.consents_csv()),
    ];
    let written =
        std::fs::create_dir_all(&folder).and_then(|()| files.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text)));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write the tables: {error}");
            ExitCode::FAILURE
        }
    }
}
