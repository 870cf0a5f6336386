//! A sealed column scanned against a plain one.
//!
//! Both sides: one file of 10 million integers, in the page cache, read whole into fresh memory and summed. Ours does what the
//! engine does with a segment: reads the sealed bytes, opens them with two threads, checks the column's header.

use crate::data;
use crate::measure::{Outcome, Pairs, Target, rounded, time_ms};
use crate::place::Scratch;
use anyhow::{Context, Result, ensure};
use protocol::column::{AlignedBytes, Column, Parts, write_column};
use protocol::memfd::read_exact_at;
use protocol::seal::{Opener, SealKey, open_into, seal};
use std::fs::File;
use std::os::fd::AsFd;

const RUNS: usize = 21;
const THREADS: usize = 2;
const CONTEXT: &[u8] = b"bench";

/// Measures a scan of both files.
pub fn measure() -> Result<Outcome> {
    let scratch = Scratch::new("scan")?;
    let (plain_path, sealed_path) = (scratch.0.join("plain"), scratch.0.join("sealed"));
    let values: Vec<i64> = (0..data::ROWS).map(data::value).collect();
    let expected = values.iter().sum::<i64>();
    let key = SealKey::random()?;
    let mut column = Vec::new();
    write_column(Parts::I64(&values), None, &mut column)?;
    std::fs::write(&plain_path, &column)?;
    std::fs::write(&sealed_path, seal(&key, CONTEXT, &column)?)?;
    drop((values, column));
    let scan = |open: &dyn Fn() -> Result<AlignedBytes>| {
        time_ms(|| {
            let bytes = open()?;
            let column = Column::parse(bytes.as_slice())?;
            let sum = column.i64s().context("no integers")?.iter().sum::<i64>();
            ensure!(sum == expected, "a scan went wrong");
            Ok(())
        })
    };
    let (plain_file, sealed_file) = (File::open(&plain_path)?, File::open(&sealed_path)?);
    let plain = || {
        let mut bytes = AlignedBytes::zeroed(usize::try_from(plain_file.metadata()?.len())?);
        read_exact_at(plain_file.as_fd(), bytes.as_mut_slice(), 0)?;
        Ok(bytes)
    };
    let ours = || {
        let mut sealed = vec![0u8; usize::try_from(sealed_file.metadata()?.len())?];
        read_exact_at(sealed_file.as_fd(), &mut sealed, 0)?;
        let opener = Opener::new(&key, CONTEXT, &sealed)?;
        let mut bytes = AlignedBytes::zeroed(usize::try_from(opener.plaintext_bytes())?);
        open_into(&key, CONTEXT, &sealed, bytes.as_mut_slice(), THREADS)?;
        Ok(bytes)
    };
    let pairs = Pairs::take(RUNS, || scan(&ours), || scan(&plain))?;
    let outcome = pairs.outcome(Target::AtMost(1.25));
    let [ours, plain] = outcome.median_ms.map(|ms| rounded(8e-6 * data::ROWS as f64 / ms));
    Ok(outcome.with("gigabytes_per_second", vec![ours, plain]))
}
