//! The plain process: polars on the same integers, in memory already.
//!
//! It answers one line a question: milliseconds of the query, and a checksum by which both sides are compared. Its rows stand in
//! the view's order. polars' threads are as many as the machine has, its own choice.

use crate::data;
use anyhow::{Context, Result, bail, ensure};
use polars::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

/// The argument that makes the bench this process.
pub const ARGUMENT: &str = "--plain-process";

/// A query's answer in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Rows, over all cells.
    pub rows: u64,
    /// Sum of the cells' distinct units.
    pub units: u64,
    /// Sum, over all cells.
    pub total: i64,
    /// Cells.
    pub cells: u64,
}

/// The process, waiting for questions.
pub struct Plain {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Plain {
    /// Starts it; it has its data when this returns.
    pub fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the plain process did not start")?;
        let to = child.stdin.take().context("no pipe")?;
        let from = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut plain = Self { child, to, from };
        ensure!(plain.line()? == "ready", "the plain process is not ready");
        Ok(plain)
    }

    /// Runs the query, with distinct units or without; milliseconds and the answer.
    pub fn query(&mut self, with_units: bool) -> Result<(f64, Answer)> {
        writeln!(self.to, "{}", if with_units { "units" } else { "bare" })?;
        let line = self.line()?;
        let mut words = line.split(' ');
        let mut word = || words.next().context("a short answer");
        let ms = word()?.parse()?;
        let (rows, units, total, cells) = (word()?.parse()?, word()?.parse()?, word()?.parse()?, word()?.parse()?);
        Ok((ms, Answer { rows, units, total, cells }))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.from.read_line(&mut line)? > 0, "the plain process ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The plain process itself.
pub fn serve() -> Result<()> {
    let frame = frame()?;
    println!("ready");
    for line in std::io::stdin().lines() {
        let with_units = match line?.as_str() {
            "units" => true,
            "bare" => false,
            _ => bail!("no such question"),
        };
        let started = Instant::now();
        let table = query(&frame, with_units)?;
        let ms = started.elapsed().as_secs_f64() * 1e3;
        let column = |name: &str| -> Result<i64> { Ok(table.column(name)?.cast(&DataType::Int64)?.i64()?.sum().unwrap_or(0)) };
        let units = if with_units { column("units")? } else { 0 };
        println!("{ms} {} {units} {} {}", column("rows")?, column("total")?, table.height());
    }
    Ok(())
}

fn frame() -> Result<DataFrame> {
    let rows = 0..data::QUERY_ROWS;
    let codes = |name: &str, of: fn(u64) -> u32| Column::new(name.into(), rows.clone().map(of).collect::<Vec<_>>());
    let integers = |name: &str, of: fn(u64) -> i64| Column::new(name.into(), rows.clone().map(of).collect::<Vec<_>>());
    let columns =
        vec![codes("region", data::region), codes("class", data::class), integers("value", data::value), integers("unit", data::unit)];
    Ok(DataFrame::new(usize::try_from(data::QUERY_ROWS)?, columns)?)
}

fn query(frame: &DataFrame, with_units: bool) -> Result<DataFrame> {
    let mut measures = vec![len().alias("rows"), col("value").sum().alias("total")];
    if with_units {
        measures.push(col("unit").n_unique().alias("units"));
    }
    Ok(frame.clone().lazy().group_by([col("region"), col("class")]).agg(measures).collect()?)
}
