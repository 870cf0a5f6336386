//! A sealed column scanned against a plain one.
//!
//! Both sides: one file of 10 million integers, in the page cache, read whole into fresh memory and summed. Ours opens it as the
//! engine opens a segment, with two threads; the plain side is one read.

use crate::data;
use crate::measure::{Outcome, Pairs, Target, median, rounded, time_ms};
use crate::place::Scratch;
use anyhow::{Context, Result, ensure};
use protocol::column::{AlignedBytes, Column, Parts, write_column};
use protocol::memfd::read_exact_at;
use protocol::seal::{SealKey, open_file, seal};
use std::fs::File;

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
        read_exact_at(&plain_file, bytes.as_mut_slice(), 0)?;
        Ok(bytes)
    };
    let ours = || Ok(open_file(&key, CONTEXT, &sealed_file, u64::MAX, THREADS)?);
    // Told beside: plain bytes read by as many threads as open the sealed ones.
    let in_parallel = || {
        let mut bytes = AlignedBytes::zeroed(usize::try_from(plain_file.metadata()?.len())?);
        let (half, file) = (bytes.as_slice().len() / THREADS, &plain_file);
        std::thread::scope(|scope| {
            let shares = bytes.as_mut_slice().chunks_mut(half.max(1)).enumerate();
            let reads: Vec<_> = shares.map(|(i, share)| scope.spawn(move || read_exact_at(file, share, (i * half) as u64))).collect();
            reads.into_iter().try_for_each(|read| read.join().ok().context("a thread failed")?.map_err(anyhow::Error::from))
        })?;
        Ok(bytes)
    };
    let mut parallel = Vec::new();
    let pairs = Pairs::take(
        RUNS,
        || scan(&ours),
        || {
            parallel.push(scan(&in_parallel)?);
            scan(&plain)
        },
    )?;
    let against_parallel = rounded(median(&pairs.ours) / median(&parallel));
    let outcome = pairs.outcome(Target::AtMost(1.25));
    let [ours, plain] = outcome.median_ms.map(|ms| rounded(8e-6 * data::ROWS as f64 / ms));
    let outcome = outcome.with("gigabytes_per_second", vec![ours, plain]);
    Ok(outcome.with("ratio_against_two_threads", against_parallel))
}
