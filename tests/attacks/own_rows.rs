//! An operator's own table as a tool: sybils, subsets, and versions that differ by one row.

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
    for kind in ["sybil_rows", "subset_uploads", "one_row_uploads"] {
        let all = visits(random.next());
        let base: Vec<u64> = (100..160).collect();
        let room = world.room(kind.replace('_', "").as_str(), all.clone(), &[base.iter().map(|p| (*p, 0)).collect()]);
        let plan = world.plan(&room, 0, "p", "", true);
        let mut whole = None;
        if kind == "one_row_uploads" {
            whole = Some(world.ask(batch, 0, &plan, &module));
        }
        let mut earlier: Option<Asked> = None;
        for i in 0..count as u64 + u64::from(kind == "subset_uploads") {
            let rows: Vec<(u64, u64)> = match kind {
                // The person, and thirty who do not exist.
                "sybil_rows" => [1000 + i].into_iter().chain(PEOPLE + 31 * i..PEOPLE + 31 * i + 30).map(|p| (p, 0)).collect(),
                // One more each time.
                "subset_uploads" => (300..330 + i).map(|p| (p, 0)).collect(),
                _ => base.iter().filter(|p| **p != 100 + i).map(|p| (*p, 0)).collect(),
            };
            world.import(&room.name, 0, &rows);
            let asked = world.ask(batch, 0, &plan, &module);
            let (target, other) = match kind {
                "sybil_rows" => (1000 + i, None),
                "subset_uploads" => (329 + i, earlier),
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
