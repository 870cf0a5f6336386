//! Does what the state says: `state[0]` is the deed (numbered below, each named in a host test), `state[1]` the value of `who` of the
//! person it is done to, or -1 for everybody. To all others it is good: (1, who, 0, 0).

use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use fusebox_guest::fold::{Block, Contribution};

fusebox_guest::fold! {
    name: "fold_misbehaves",
    version: "0.1.0",
    columns: { "who": number(0) },
    dimension: 4,
    state: 4,
    contribute: contribute,
    update: update,
}

/// In the module's data: what a block leaves here no other may find.
static MARK: AtomicI64 = AtomicI64::new(0);

fn contribute(state: &[f64], block: &Block) -> Contribution {
    let who: i64 = (0..block.rows()).filter_map(|row| block.value(column("who"), row)).sum();
    let good = [block.units() as f64, who as f64, 0.0, 0.0];
    let meant = state[1] == -1.0 || state[1] == who as f64;
    if !meant && state[0] < 20.0 {
        return good.into();
    }
    match state[0] as i64 {
        1 => [1e308; 4].into(),
        2 => [f64::NAN, 0.0, 0.0, 0.0].into(),
        3 => [-0.0; 4].into(),
        4 => [f64::NEG_INFINITY, 0.0, 0.0, 0.0].into(),
        5 => [1.0; 3].into(),
        6 => [1.0; 5].into(),
        7 => Contribution::nothing(),
        8 => Contribution::sparse(vec![1, 1], vec![1.0, 1.0]),
        9 => Contribution::sparse(vec![2, 1], vec![1.0, 1.0]),
        10 => Contribution::sparse(vec![4], vec![1.0]),
        11 => Contribution::sparse(vec![1, 2], vec![1.0]),
        12 => std::process::abort(),
        13 => spin(),
        14 => flood(),
        15 => [recurse(who), 0.0, 0.0, 0.0].into(),
        16 => vec![1.0; 1 << 20].into(),
        17 => Contribution::sparse((0..1 << 20).collect(), vec![1.0; 1 << 20]),
        18 => Contribution::at(2, 0.5),
        19 => Contribution::sparse(vec![0, 3], vec![5.0, 7.0]),
        20 => remember(who),
        21 => [MARK.fetch_add(who, Relaxed) as f64 + who as f64, 0.0, 0.0, 0.0].into(),
        _ => good.into(),
    }
}

fn update(round: u32, state: &[f64], noised: &[f64]) -> Vec<f64> {
    match state[0] as i64 {
        30 => std::process::abort(),
        31 => vec![0.0; 3],
        32 => vec![f64::NAN; 4],
        33 => spin().values,
        34 => vec![MARK.fetch_add(1, Relaxed) as f64; 4],
        _ => vec![state[0], state[1], f64::from(round), noised[0]],
    }
}

fn spin() -> Contribution {
    loop {
        black_box(0);
    }
}

/// Takes memory to the last page that there is, and writes on each.
fn flood() -> Contribution {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 16]);
        black_box(&mut all);
    }
}

fn recurse(depth: i64) -> f64 {
    let here = black_box([depth; 64]);
    if depth == i64::MIN { 0.0 } else { recurse(depth + 1) + here[0] as f64 }
}

/// Looks for what an earlier block left, in the module's data and in memory that it never asked for before; then leaves it.
fn remember(who: i64) -> Contribution {
    let found = MARK.swap(who, Relaxed);
    // Never written, so whatever is there was left by someone: 64 pages of memory, most of them beyond what stays mapped.
    let mut memory: Vec<u64> = Vec::with_capacity(1 << 19);
    let left = memory.spare_capacity_mut().iter().filter(|word| unwritten(word) != 0).count();
    memory.resize(1 << 19, who as u64 | 1);
    black_box(&mut memory);
    [1.0, found as f64, left as f64, 0.0].into()
}

/// What lies in memory that nobody wrote.
fn unwritten(word: &std::mem::MaybeUninit<u64>) -> u64 {
    let address = black_box(word.as_ptr());
    // SAFETY: the memory is the module's own, and WebAssembly gives every byte of it a value.
    unsafe { address.read_volatile() }
}
