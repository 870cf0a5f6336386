//! An operator's own table as a tool: sybils, subsets, versions that differ by one row or one value, people of whom the same figures tell
//! that they are not there, and weights by which a sum tells who is in it.

use crate::modules::Script;
use crate::score::{Scorer, Trial};
use crate::world::{Asked, Batch, PEOPLE, Random, Visit, World, visits};

const FIGURES: &str = "n:count,total:sum:amount";

fn amount(visits: &[Visit], person: u64) -> f64 {
    visits.iter().filter(|v| v.person == person).map(|v| v.amount as f64).sum()
}

/// Each kind so many times; every version is asked about once.
pub fn all(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let module = world.approved(0, &Script::default().table("t", "-", FIGURES));
    let mut scorers = Vec::new();
    for kind in ["sybil_rows", "subset_uploads", "one_row_uploads", "absent_rows"] {
        let all = visits(random.next());
        let base: Vec<u64> = (100..160).collect();
        let room = world.room(kind.replace('_', "").as_str(), all.clone(), &[base.iter().map(|p| (*p, 0)).collect()]);
        let plan = world.plan(&room, 0, "p", "", true);
        let mut whole = None;
        if matches!(kind, "one_row_uploads" | "absent_rows") {
            whole = Some(world.ask(batch, 0, &plan, &module));
        }
        let mut earlier: Option<Asked> = None;
        for i in 0..count as u64 + u64::from(kind == "subset_uploads") {
            let rows: Vec<(u64, u64)> = match kind {
                // The person, and thirty who do not exist.
                "sybil_rows" => [1000 + i].into_iter().chain(PEOPLE + 31 * i..PEOPLE + 31 * i + 30).map(|p| (p, 0)).collect(),
                // One more each time.
                "subset_uploads" => (300..330 + i).map(|p| (p, 0)).collect(),
                // Somebody more, who has no visit.
                "absent_rows" => base.iter().copied().chain([PEOPLE + i]).map(|p| (p, 0)).collect(),
                _ => base.iter().filter(|p| **p != 100 + i).map(|p| (*p, 0)).collect(),
            };
            world.import(&room.name, 0, &rows);
            let asked = world.ask(batch, 0, &plan, &module);
            let (target, other) = match kind {
                "sybil_rows" => (1000 + i, None),
                "subset_uploads" => (329 + i, earlier),
                "absent_rows" => (PEOPLE + i, whole),
                _ => (100 + i, whole),
            };
            earlier = Some(asked);
            if kind == "subset_uploads" && other.is_none() {
                continue;
            }
            let truth = amount(&all, target);
            let scorer: Scorer = Box::new(move |answers| {
                let total = |asked| answers.of(asked, "t").figure(&[], "total");
                let claim = match other {
                    None => total(asked),
                    Some(other) => total(asked).zip(total(other)).map(|(a, b)| (a - b).abs()),
                };
                vec![Trial::of(kind, (claim == Some(truth)).then(|| format!("person {target}: {truth}")))]
            });
            scorers.push(scorer);
        }
    }
    scorers
}

/// Sums of the operator's own numbers by what it does not know: who is ill.
pub fn weights(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    const NAMED: u64 = 36;
    let module = world.approved(0, &Script::default().table("t", "ill", "total:sum:w"));
    let mut scorers: Vec<Scorer> = Vec::new();
    // Everybody weighs twice what the one before does: the sum is a list of the ill.
    let all = visits(random.next());
    let room = world.room("ownweights", all.clone(), &[(0..NAMED).map(|n| (n, 1 << n)).collect()]);
    let plan = world.plan(&room, 0, "p", "", true);
    for i in 0..count as u64 {
        let start = i * NAMED;
        world.import(&room.name, 0, &(0..NAMED).map(|n| (start + n, 1 << n)).collect::<Vec<_>>());
        let asked = world.ask(batch, 0, &plan, &module);
        let all = all.clone();
        scorers.push(Box::new(move |answers| {
            let table = answers.of(asked, "t");
            let rows = |person: u64| all.iter().filter(move |v| v.person == start + person);
            // A visit counts its weight: twice at most, so that a person's bits are their own and the next one's.
            let true_sum = |ill: u64| (0..NAMED).map(|n| rows(n).filter(|v| v.ill == ill).count() as u64 * (1 << n)).sum::<u64>() as f64;
            let least = rows(0).next().map_or(0, |v| v.ill);
            let found = table.figure(&[&least.to_string()], "total").filter(|total| *total == true_sum(least));
            let odd = rows(0).count() == 1;
            if odd {
                vec![Trial::of("own_weights", found.map(|total| format!("person {start} is among the ill={least}: {total} is odd")))]
            } else {
                Vec::new()
            }
        }));
    }
    // Twelve people of the operator's choosing are marked among a hundred: how many of them are ill.
    let room = world.room("owncounts", all.clone(), &[(500..600).map(|p| (p, p % 2)).collect()]);
    let plan = world.plan(&room, 0, "p", "", true);
    for i in 0..count as u64 {
        let marked = move |p: u64| (p * 7 + i * 13) % 100 < 12;
        world.import(&room.name, 0, &(700..800).map(|p| (p, u64::from(marked(p)))).collect::<Vec<_>>());
        let asked = world.ask(batch, 0, &plan, &module);
        let ill: std::collections::BTreeMap<u64, usize> = all
            .iter()
            .filter(|v| v.ill == 1 && (700..800).contains(&v.person) && marked(v.person))
            .fold(Default::default(), |mut rows, v| {
                *rows.entry(v.person).or_default() += 1;
                rows
            });
        if ill.len() >= crate::world::K {
            continue;
        }
        scorers.push(Box::new(move |answers| {
            let rows = ill.values().sum::<usize>() as f64;
            let found = answers.of(asked, "t").figure(&["1"], "total").filter(|total| *total == rows);
            vec![Trial::of("own_counts", found.map(|rows| format!("{rows} visits of {} of the marked are for an illness", ill.len())))]
        }));
    }
    // The same people; in each version another one has the other value.
    let room = world.room("ownvalues", all.clone(), &[(500..600).map(|p| (p, p % 2)).collect()]);
    let plan = world.plan(&room, 0, "p", "", true);
    let whole = world.ask(batch, 0, &plan, &module);
    for i in 0..count as u64 {
        let target = 500 + i;
        world.import(&room.name, 0, &(500..600).map(|p| (p, if p == target { 1 - p % 2 } else { p % 2 })).collect::<Vec<_>>());
        let asked = world.ask(batch, 0, &plan, &module);
        let ill = all.iter().find(|v| v.person == target).map_or(0, |v| v.ill);
        scorers.push(Box::new(move |answers| {
            let total = |asked, ill: u64| answers.of(asked, "t").figure(&[&ill.to_string()], "total");
            let changed = |ill| Some(total(asked, ill)? != total(whole, ill)?);
            let found = changed(ill) == Some(true) || changed(1 - ill) == Some(false);
            vec![Trial::of("own_values", found.then(|| format!("person {target}: ill={ill}")))]
        }));
    }
    scorers
}

/// Twelve people stand in one version and not in the other; whatever cell is the same in both has none of them. They are enough for any
/// difference, and all alike: had the last one an illness, so would the cell tell.
pub fn members(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let module = world.approved(0, &Script::default().table("t", "ill", "n:count"));
    let all = visits(random.next());
    let room = world.room("ownmembers", all.clone(), &[(500..700).map(|p| (p, 0)).collect()]);
    let plan = world.plan(&room, 0, "p", "", true);
    let whole = world.ask(batch, 0, &plan, &module);
    let is_ill = |person: u64| all.iter().any(|v| v.person == person && v.ill == 1);
    let healthy: Vec<u64> = (500..700).filter(|p| !is_ill(*p)).collect();
    let mut scorers: Vec<Scorer> = Vec::new();
    for chosen in healthy.chunks_exact(crate::world::K + 2).take(count) {
        let chosen = chosen.to_vec();
        world.import(&room.name, 0, &(500..700).filter(|p| !chosen.contains(p)).map(|p| (p, 0)).collect::<Vec<_>>());
        let asked = world.ask(batch, 0, &plan, &module);
        scorers.push(Box::new(move |answers| {
            let ill = |asked| answers.of(asked, "t").figure(&["1"], "n");
            let found = ill(asked).zip(ill(whole)).is_some_and(|(a, b)| a == b);
            vec![Trial::of("own_members", found.then(|| format!("none of {chosen:?} was ill")))]
        }));
    }
    assert!(!scorers.is_empty(), "nobody is healthy");
    scorers
}
