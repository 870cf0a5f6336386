//! The door as its attacker sees it: a thousand real jobs on two cohorts that differ by one person.
//!
//! Answers: the statistical lower bound on ε that they give away stays below the stated one. Status, time quantum and sizes alone: no
//! better than a guess, also where the module spins on the person who may be missing.

use serde_json::{Value, json};

use crate::support::audit::epsilon_lower_bound;
use crate::world::{World, number, people};

const EPSILON: f64 = 1.0;
const MISSING: u64 = 7;
const PEOPLE: u64 = 24;

fn world() -> World {
    // As much as a budget can be: pure folds add up beyond it only in ten thousands.
    let world = World::start("1000");
    let everyone = people(PEOPLE);
    // Names of one length: they stand in what is answered.
    world.cohort("all", &everyone, "1000");
    let less = everyone.into_iter().filter(|(i, _)| *i != MISSING).collect();
    world.cohort("bar", &less, "1000");
    world
}

/// What an operator learns of one job.
struct Seen {
    answer: f64,
    /// Everything besides: status, the time at which the end shows, sizes of answers.
    besides: [u64; 4],
}

fn seen(world: &World, job: &str) -> Seen {
    let release = world.release(job);
    let shown = world.operator.get(&format!("/v1/jobs/{job}"));
    let row = shown.json();
    let answer = &release["artefact"]["answer"];
    let value = if answer["state"].is_array() { &answer["state"][0] } else { &answer["number"]["value"] };
    // The artefact's own digits are the answer; its size without them is not.
    let digits = value.as_str().unwrap().len() as u64;
    let besides = [
        u64::from(row["state"] == "done"),
        row["releases"].as_array().unwrap().len() as u64,
        shown.bytes.len() as u64,
        release.to_string().len() as u64 - digits,
    ];
    Seen { answer: number(value), besides }
}

fn run(world: &World, fold: &Value, module: Option<&str>, n: usize) -> [Vec<Seen>; 2] {
    // Side by side, so that nothing that drifts tells one cohort from the other, and in an order that is told by neither.
    let submitted = (0..n).map(|pair| {
        let mut ids = [String::new(), String::new()];
        let first = usize::from((pair as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 1);
        for cohort in [first, 1 - first] {
            ids[cohort] = world.submit(["all", "bar"][cohort], fold, module);
        }
        ids
    });
    let submitted: Vec<[String; 2]> = submitted.collect();
    let mut out = [Vec::with_capacity(n), Vec::with_capacity(n)];
    for pair in &submitted {
        for (out, job) in out.iter_mut().zip(pair) {
            out.push(seen(world, job));
        }
    }
    out
}

/// Right guesses of the best rule "a value of this feature means this cohort", learned on one half and counted on the other.
fn best_guess<T: Ord + Clone>(with: &[T], without: &[T]) -> (usize, usize) {
    let half = with.len() / 2;
    let mut score = std::collections::BTreeMap::<T, i64>::new();
    with[..half].iter().for_each(|v| *score.entry(v.clone()).or_default() += 1);
    without[..half].iter().for_each(|v| *score.entry(v.clone()).or_default() -= 1);
    // What was not seen in the first half is a guess: half of them right.
    let says_with = |v: &T| score.get(v).copied().unwrap_or(0);
    let right = with[half..].iter().filter(|v| says_with(v) > 0).count() + without[half..].iter().filter(|v| says_with(v) < 0).count();
    let ties = with[half..].iter().chain(&without[half..]).filter(|v| says_with(v) == 0).count();
    (right + ties / 2, 2 * (with.len() - half))
}

fn check(name: &str, [with, without]: &[Vec<Seen>; 2]) {
    let answers = |seen: &[Seen]| seen.iter().map(|s| s.answer).collect::<Vec<_>>();
    let bound = epsilon_lower_bound(&answers(with), &answers(without), 0.0, 0.999);
    let besides = |seen: &[Seen]| seen.iter().map(|s| s.besides).collect::<Vec<_>>();
    let (right, of) = best_guess(&besides(with), &besides(without));
    let rounded = |seen: &[Seen]| seen.iter().map(|s| s.answer as i64).collect::<Vec<_>>();
    let (right_by_answer, _) = best_guess(&rounded(with), &rounded(without));
    let three_sigma = 3.0 * (0.25 / of as f64).sqrt();
    let share = |right: usize| right as f64 / of as f64;
    println!(
        "{name}: {} + {} jobs; epsilon at least {bound:.3} of {EPSILON}; guessed {:.3} by status, time and sizes, {:.3} by the answer",
        with.len(),
        without.len(),
        share(right),
        share(right_by_answer)
    );
    assert!(bound <= EPSILON, "{name}: the answers give away {bound}");
    assert!(share(right) <= 0.5 + three_sigma, "{name}: {right} of {of} guessed");
    assert!(share(right_by_answer) <= EPSILON.exp() / (1.0 + EPSILON.exp()) + three_sigma, "{name}: {right_by_answer} of {of} guessed");
}

#[test]
fn answers_give_away_no_more_than_is_stated_and_nothing_else_gives_away_anything() {
    audit(1000);
}

#[test]
#[ignore = "20,000 jobs"]
fn twenty_thousand_answers_give_away_no_more_than_is_stated() {
    audit(20_000);
}

/// So many jobs on both cohorts together.
fn audit(jobs: usize) {
    let world = world();
    let n = jobs / 4;
    let count = json!({ "map": { "count": {} }, "mechanism": "laplace", "epsilon": EPSILON.to_string() });
    check("built in", &run(&world, &count, None, n));
    // A module that nobody read, which spins on the person who is there or not.
    let module = world.upload("fold-ones");
    let spin = json!({
        "map": { "module": {
            "clip": { "norm": "l1", "bound": "1", "scale": 0 }, "initial": ["2", MISSING.to_string()], "fuel": 50_000_000
        } },
        "mechanism": "laplace", "epsilon": EPSILON.to_string(),
    });
    check("a module that spins on one person", &run(&world, &spin, Some(&module), n / 2));
    // And one that gives all it can for that person: it counts as one.
    let everything = json!({
        "map": { "module": {
            "clip": { "norm": "l1", "bound": "1", "scale": 0 }, "initial": ["3", MISSING.to_string()], "fuel": 50_000_000
        } },
        "mechanism": "laplace", "epsilon": EPSILON.to_string(),
    });
    check("a module that shouts for one person", &run(&world, &everything, Some(&module), n - n / 2));
}

/// A module that remembers whether it saw the person, over blocks mapped in instances of their own or (the planted fault) in one.
fn counted(people: &[u64], fresh: bool) -> i128 {
    let mut remembers = false;
    let mut sum = 0;
    for person in people {
        remembers = (remembers && !fresh) || *person == MISSING;
        sum += i128::from(remembers);
    }
    sum
}

#[test]
fn state_that_is_kept_across_blocks_is_caught_by_the_same_audit() {
    use fusebox::dp::{Calibration, Epsilon, MechanismKind, Noise};
    use protocol::fold::{Blocks, Clip, Norm};
    let clip = Clip { dimension: 1, norm: Norm::L1, bound: 1, scale: 0 };
    let calibration = Calibration::new(MechanismKind::Laplace, Epsilon::parse("1").unwrap(), 6, 1, clip, Blocks::PerUnit).unwrap();
    let everyone: Vec<u64> = (0..PEOPLE).collect();
    let less: Vec<u64> = everyone.iter().copied().filter(|i| *i != MISSING).collect();
    let shown = |fresh: bool| {
        let answers = |people: &[u64]| -> Vec<f64> {
            let sum = counted(people, fresh);
            (0..20_000).map(|_| Noise::draw(&calibration, 1).unwrap().add(&[sum]).unwrap()[0] as f64).collect()
        };
        epsilon_lower_bound(&answers(&everyone), &answers(&less), 0.0, 0.999)
    };
    let (fresh, kept) = (shown(true), shown(false));
    println!("an instance a block: {fresh:.3}; one for all: {kept:.3}; stated {EPSILON}");
    assert!(fresh <= EPSILON && kept > 2.0 * EPSILON, "{fresh} {kept}");
}
