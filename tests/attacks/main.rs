//! Attacks on what is released, each run through HTTP as operators would, and scored by a program that sees only what they can download
//! and, to score, the truth. Succeeded: the attacker names an exact figure of a cell that no table may show (fewer people than the
//! minimum, or dominated and within p%). `cargo xtask attacks` runs all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    missing_docs,
    reason = "test code, on the developer's own files"
)]

mod differences;
mod figures;
mod honest;
mod modules;
mod own_rows;
mod score;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::time::Instant;

use score::Score;
use world::{Batch, Random, World};

/// How often each attack is tried.
struct Scale {
    plan_pairs: usize,
    rooms: usize,
    own: usize,
}

fn seed() -> u64 {
    std::env::var("FUSEBOX_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()) * 1_000_003)
}

/// Asks for everything, waits for the ends once, scores.
fn attack(scale: &Scale) -> Score {
    let (started, seed) = (Instant::now(), seed());
    println!("FUSEBOX_SEED={seed}");
    let (world, mut batch, mut random) = (World::start(), Batch::default(), Random(seed));
    let (w, b, r) = (&world, &mut batch, &mut random);
    let honest = honest::workload(w, b, r);
    let mut scorers = differences::pairs(w, b, r, scale.plan_pairs);
    scorers.extend(differences::totals(w, b, r, scale.rooms));
    scorers.extend(differences::trackers(w, b, r, scale.rooms * 3));
    scorers.extend(figures::averaging(w, b, r));
    scorers.extend(figures::zero_and_full(w, b, r, scale.rooms));
    scorers.extend(figures::dominance(w, b, r, scale.rooms.max(2)));
    scorers.extend(figures::weights(w, b, r, scale.rooms));
    scorers.extend(figures::margins(w, b, r, scale.rooms));
    scorers.extend(figures::smuggling(w, b, r, scale.rooms));
    scorers.extend(own_rows::all(w, b, r, scale.own));
    scorers.extend(own_rows::weights(w, b, r, scale.own));
    scorers.extend(own_rows::members(w, b, r, scale.own));
    println!("{:.0} s: all is asked", started.elapsed().as_secs_f64());
    let answers = world.answers(&batch);
    let mut score = Score::default();
    scorers.into_iter().flat_map(|scorer| scorer(&answers)).for_each(|trial| score.add(trial));
    println!("tables: {:?}", answers.told());
    println!("honest: {:?}", honest::told(&honest, &answers));
    for failed in answers.1.iter().take(10) {
        println!("no output: {failed}");
    }
    println!("{:<24} {:>5} {:>9}", "class", "tried", "succeeded");
    for (class, (tried, succeeded)) in &score.classes {
        println!("{class:<24} {tried:>5} {succeeded:>9}");
    }
    println!("attacks {}", score.json());
    println!("{:.0} s in all", started.elapsed().as_secs_f64());
    score
}

/// Classes that are known to find something, and what it would take. A class that finds nothing any more has to leave this list.
const OPEN: &[(&str, &str)] = &[];

/// No class of attacks may find anything, but for the open ones, which must.
fn hold(score: &Score) {
    let open = |class: &str| OPEN.iter().any(|(name, _)| *name == class);
    let found: Vec<&String> = score.found.iter().filter(|found| !open(found.split(':').next().unwrap_or_default())).collect();
    assert!(found.is_empty(), "{} found:\n{:#?}", found.len(), &found[..found.len().min(40)]);
    for (class, what) in OPEN {
        let (tried, succeeded) = score.classes.get(class).copied().unwrap_or_default();
        println!("open: {class}, {succeeded} of {tried}: {what}");
        assert!(succeeded > 0, "{class} finds nothing any more: take it off the list of open classes");
    }
}

#[test]
fn no_attack_of_a_sample_finds_a_forbidden_figure() {
    hold(&attack(&Scale { plan_pairs: 2, rooms: 2, own: 4 }));
}

#[test]
#[ignore = "minutes: all pairs; `cargo xtask attacks`"]
fn no_attack_finds_a_forbidden_figure() {
    let score = attack(&Scale { plan_pairs: 40, rooms: 8, own: 20 });
    let pairs = ["nested_filters", "overlapping_weeks", "colluding_operators", "shifted_columns", "totals_minus_cells"];
    let tried: usize = pairs.iter().map(|class| score.classes.get(class).map_or(0, |(tried, _)| *tried)).sum();
    assert!(tried >= 500, "{tried} pairs");
    hold(&score);
}
