//! What durability costs a release: the gate's commit beside the plain thing that is as durable.
//!
//! | measure | one side | other side |
//! |---|---|---|
//! | [`latency`] | one release through the gate's transaction: rows, artefacts, leaves, the checkpoint signed, the commit's fsync | the same bytes appended to a file, one fdatasync |
//! | [`throughput`] | 64 clients, a release each at a time, committed in groups | one SQLite row of the same bytes a commit, write-ahead log, synchronous |
//!
//! A release is a table of 12 cells, counts and sums, of 480 units. Same bytes: what stands in the database of one release, sealed artefacts and
//! leaves. Told beside: the whole way of a release (cell rules, audit, sealing, commit). Both sides lie on one file system.

use crate::gate::{Gate, table};
use crate::measure::{Outcome, Pairs, Target, median, quantile, rounded, time_ms};
use crate::shared::mix;
use anyhow::{Context, Result, anyhow, ensure};
use fusebox::gate::{Prepared, RawOutput, ReleaseState};
use fusebox::id::ReleaseId;
use fusebox::store::StoreError;
use protocol::contributors::{BaseRow, Contributors, Membership};
use protocol::table::{Margins, MeasureOp};
use std::fs::File;
use std::io::Write;
use std::sync::Barrier;
use std::time::Instant;

const LATENCIES: usize = 201;
const ROUNDS: usize = 5;
const CLIENTS: usize = 64;
const RELEASES_EACH: usize = 8;
const SINGLE_COMMITS: usize = 200;
const CELLS: usize = 12;
const UNITS_EACH: usize = 40;
const INSERT: &str = "INSERT INTO released (body) VALUES (?1)";

/// Median latency of one release.
pub fn latency() -> Result<Outcome> {
    let gate = Gate::open("release-latency")?;
    let bytes = bytes_of(&gate, &gate.release(raw("first")?)?)?;
    let mut file = File::create(gate.folder().join("plain"))?;
    let block = vec![1u8; bytes];
    let (mut whole, mut number) = (Vec::new(), 0);
    let pairs = Pairs::take(
        LATENCIES,
        || {
            number += 1;
            let (decision, raw) = (Instant::now(), raw(&format!("person-{number}"))?);
            let prepared = prepared(&gate, raw)?;
            let ms = time_ms(|| recorded(&gate, prepared))?;
            whole.push(decision.elapsed().as_secs_f64() * 1e3);
            Ok(ms)
        },
        || {
            time_ms(|| {
                file.write_all(&block)?;
                Ok(file.sync_data()?)
            })
        },
    )?;
    let tails = [quantile(&pairs.ours, 0.95), quantile(&pairs.plain, 0.95)].map(rounded).to_vec();
    let outcome = pairs.outcome(Target::AtMost(2.0)).with("bytes", bytes).with("p95_ms", tails);
    Ok(outcome.with("whole_way_ms", rounded(median(&whole))))
}

/// Durable releases a second of many clients.
pub fn throughput() -> Result<Outcome> {
    let gate = Gate::open("release-throughput")?;
    let bytes = bytes_of(&gate, &gate.release(raw("first")?)?)?;
    let plain = rusqlite::Connection::open(gate.folder().join("plain.db"))?;
    let mode: String = plain.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0))?;
    ensure!(mode == "wal", "no write-ahead log");
    plain.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE released (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let block = vec![1u8; bytes];
    let (mut round, mut whole, mut groups) = (0, Vec::new(), Vec::new());
    let pairs = Pairs::take(
        ROUNDS,
        || {
            round += 1;
            // Each of a namespace of its own, so that none waits for a checker because another came between.
            let of = |client: usize, n: usize| raw(&format!("person-{round}-{client}-{n}"));
            let (mut sealed, mut raws) = (Vec::new(), Vec::new());
            for client in 0..CLIENTS {
                let own = (0..RELEASES_EACH).map(|n| prepared(&gate, of(client, n)?));
                sealed.push(own.collect::<Result<Vec<_>>>()?);
                raws.push((0..RELEASES_EACH).map(|n| of(client, RELEASES_EACH + n)).collect::<Result<Vec<_>>>()?);
            }
            let ms = together(sealed, |prepared| recorded(&gate, prepared))?;
            whole.push(together(raws, |raw| recorded(&gate, prepared(&gate, raw)?))?);
            Ok(ms)
        },
        || {
            let insert = || plain.prepare_cached(INSERT)?.execute((&block,));
            groups.push(time_ms(|| {
                plain.execute_batch("BEGIN")?;
                (0..CLIENTS).try_for_each(|_| insert().map(drop))?;
                Ok(plain.execute_batch("COMMIT")?)
            })?);
            let ms = time_ms(|| Ok((0..SINGLE_COMMITS).try_for_each(|_| insert().map(drop))?))?;
            Ok(ms / SINGLE_COMMITS as f64)
        },
    )?;
    let outcome = pairs.outcome(Target::AtLeast(10.0)).inverted();
    let a_second = outcome.median_ms.map(|ms| rounded(1e3 / ms)).to_vec();
    let outcome = outcome.with("bytes", bytes).with("clients", CLIENTS).with("a_second", a_second);
    // What SQLite alone makes of it in commits of as many: nothing that keeps these bytes in it is faster.
    let outcome = outcome.with("plain_in_groups_a_second", rounded(1e3 * CLIENTS as f64 / median(&groups)));
    Ok(outcome.with("whole_way_a_second", rounded(1e3 / median(&whole))))
}

/// Milliseconds an item, all clients at once.
fn together<T: Send>(items: Vec<Vec<T>>, run: impl Fn(T) -> Result<()> + Sync) -> Result<f64> {
    let count: usize = items.iter().map(Vec::len).sum();
    let barrier = Barrier::new(items.len() + 1);
    std::thread::scope(|scope| {
        let client = |own: Vec<T>| {
            barrier.wait();
            own.into_iter().try_for_each(&run)
        };
        let clients: Vec<_> = items.into_iter().map(|own| scope.spawn(move || client(own))).collect();
        barrier.wait();
        let started = Instant::now();
        clients.into_iter().try_for_each(|c| c.join().map_err(|_| anyhow!("a client failed"))?)?;
        Ok(started.elapsed().as_secs_f64() * 1e3 / count as f64)
    })
}

fn raw(namespace: &str) -> Result<RawOutput> {
    let value = |cell: usize, n: usize| 50 + (mix((cell << 16 | n) as u64) % 101) as i64;
    let values: Vec<Vec<i64>> = (0..CELLS).map(|cell| (0..UNITS_EACH).map(|n| value(cell, n)).collect()).collect();
    let output = table([4, 3], Margins::None, &[MeasureOp::Count, MeasureOp::Sum], &values);
    let rows = (0..(CELLS * UNITS_EACH) as i64).map(|n| BaseRow { identity: n << 32, unit: n }).collect();
    let told = (0..(CELLS * UNITS_EACH) as u32).map(|row| Membership { row, cell: row / UNITS_EACH as u32, times: 1 }).collect();
    Gate::raw(output, namespace, Contributors { rows, tables: vec![told], parts: Vec::new() })
}

fn prepared(gate: &Gate, raw: RawOutput) -> Result<Prepared> {
    let mut decision = gate.decide(raw)?;
    gate.audit(&mut decision)?;
    gate.seal(decision)
}

fn recorded(gate: &Gate, prepared: Prepared) -> Result<()> {
    let (_, state) = gate.record(prepared)?;
    ensure!(state == ReleaseState::Released, "a table was {state:?}");
    Ok(())
}

/// What stands in the database of one release.
fn bytes_of(gate: &Gate, release: &ReleaseId) -> Result<usize> {
    let release = release.clone();
    let read = move |c: &rusqlite::Connection| -> Result<(i64, i64), StoreError> {
        let artefacts = "SELECT sum(length(inline)) FROM artefact WHERE release = ?1";
        let leaves = "SELECT sum(length(bytes) + length(sealed_body)) FROM log_leaf";
        Ok((c.query_row(artefacts, (release,), |r| r.get(0))?, c.query_row(leaves, [], |r| r.get(0))?))
    };
    let (artefacts, leaves) = gate.store.db.read_blocking(read).map_err(|e: StoreError| anyhow!("{}", e.log_text()))?;
    usize::try_from(artefacts + leaves).context("bytes")
}
