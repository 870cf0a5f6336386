//! What a statistics office asks in a year: coarse tables of each quarter and of the year, by two operators, one of whom joins its own
//! people. How much of it is refused or held, and by what.

use std::collections::BTreeMap;

use crate::differences::FIGURES;
use crate::modules::Script;
use crate::world::{Answers, Asked, Batch, PEOPLE, Random, World, filter, visits};

const KEYS: [&str; 10] =
    ["district", "sex", "band", "ill", "district,sex", "district,ill", "band,sex", "band,ill", "sex,ill", "district,band"];

/// Asks for everything; the jobs.
pub fn workload(world: &World, batch: &mut Batch, random: &mut Random) -> Vec<Asked> {
    let own: Vec<Vec<(u64, u64)>> = (0..2).map(|o| (0..PEOPLE).filter(|p| p % 3 != o).map(|p| (p, p % 50)).collect()).collect();
    let room = world.room("honest", visits(random.next()), &own);
    let script = |keys: &[&str]| {
        keys.iter().fold(Script::default(), |script, keys| {
            script.table(&format!("by_{}", keys.replace(',', "_")), keys, &format!("{FIGURES},mean:mean:amount"))
        })
    };
    let (all, few) = (world.approved(0, &script(&KEYS)), world.approved(1, &script(&KEYS[..4])));
    let joined = world.approved(0, &script(&KEYS[..4]));
    let mut asked = Vec::new();
    for quarter in 0..4 {
        let weeks = filter("week", "ge", quarter * 3) + &filter("week", "le", quarter * 3 + 2);
        let plan = world.plan(&room, 0, &format!("q{quarter}"), &weeks, false);
        asked.push(world.ask(batch, 0, &plan, &all));
        let plan = world.plan(&room, 1, &format!("q{quarter}"), &weeks, false);
        asked.push(world.ask(batch, 1, &plan, &few));
        let plan = world.plan(&room, 0, &format!("j{quarter}"), &weeks, true);
        asked.push(world.ask(batch, 0, &plan, &joined));
    }
    let year = world.plan(&room, 0, "year", "", false);
    asked.push(world.ask(batch, 0, &year, &all));
    let year = world.plan(&room, 1, "year", "", true);
    asked.push(world.ask(batch, 1, &year, &few));
    asked
}

/// How many tables were answered how; and how many were released whole, without a hidden cell.
pub fn told(asked: &[Asked], answers: &Answers) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for ((job, name), got) in answers.0.iter().filter(|((job, _), _)| asked.contains(job)) {
        if let crate::world::Got::Nothing(why) = got {
            println!("honest: {name} of job {:?}: {why}", asked.iter().position(|asked| asked == job));
        }
        let word = match got {
            crate::world::Got::Nothing(why) => why.trim().to_owned(),
            table if table.cells().all(|(_, cell)| cell.is_some()) => "released whole".to_owned(),
            _ => "released with hidden cells".to_owned(),
        };
        *told.entry(word).or_default() += 1;
    }
    told
}
