//! What follows from two or more tables of people whom the questions tell apart: nested filters, overlapping weeks, totals minus cells,
//! two operators, columns shifted by one; trackers.

use crate::modules::Script;
use crate::score::{Scorer, Trial};
use crate::world::{Answers, Asked, Batch, DISTRICTS, Got, K, Random, Room, SEXES, Visit, World, age_band, filter, people, visits};

pub const FIGURES: &str = "n:count,u:units,total:sum:amount";
/// Keys of the tables of a pair.
const KEYS: [&str; 5] = ["district", "district,sex", "sex,week", "district,ill", "district,band"];
const PAIRS_PER_ROOM: usize = 5;

/// Labels of a visit under these keys.
pub fn labels(visit: &Visit, keys: &str) -> Vec<String> {
    let label = |key| match key {
        "district" => DISTRICTS[visit.district].to_owned(),
        "sex" => SEXES[visit.sex].to_owned(),
        "band" => format!("a{}", age_band(visit.age)),
        "week" => visit.week.to_string(),
        "ill" => visit.ill.to_string(),
        other => panic!("no key {other}"),
    };
    keys.split(',').filter(|key| *key != "-").map(label).collect()
}

/// Rows and total of some visits.
fn figures<'a>(visits: impl Iterator<Item = &'a Visit>) -> (f64, f64) {
    visits.fold((0.0, 0.0), |(n, total), v| (n + 1.0, total + v.amount as f64))
}

/// The table of a script over its keys.
fn named(keys: &str) -> String {
    format!("by_{}", keys.replace(',', "_").replace('-', "all"))
}

fn script(keys: &[&str], figures: &str) -> Script {
    keys.iter().fold(Script::default(), |script, keys| script.table(&named(keys), keys, figures))
}

/// Two questions, the second about everybody of the first and some more.
struct Pair {
    class: &'static str,
    smaller: Asked,
    larger: Asked,
    inside: fn(&Visit, u64) -> (bool, bool),
    parameter: u64,
    /// Whether the larger one counts by sums of a column and of that column plus one.
    shifted: bool,
}

impl Pair {
    /// For each of the tables: whether a forbidden cell lies between them, and whether it was found.
    fn score(&self, visits: &[Visit], answers: &Answers) -> Vec<Trial> {
        let (mut trials, sets) = (Vec::new(), |v: &Visit| (self.inside)(v, self.parameter));
        for keys in KEYS {
            let (smaller, larger) = (answers.of(self.smaller, &named(keys)), answers.of(self.larger, &named(keys)));
            let cells: std::collections::BTreeSet<_> = visits.iter().map(|v| labels(v, keys)).collect();
            let (mut forbidden, mut found) = (false, None);
            for cell in cells {
                let of = |inside: fn((bool, bool)) -> bool| {
                    visits.iter().filter(|v| labels(v, keys) == cell && inside(sets(v))).collect::<Vec<_>>()
                };
                let (small, between) = (of(|(small, _)| small), of(|(small, large)| large && !small));
                if people(small.iter().copied()) < K || !(1..K).contains(&people(between.iter().copied())) {
                    continue;
                }
                forbidden = true;
                let text: Vec<&str> = cell.iter().map(String::as_str).collect();
                let claim = |measure| Some(larger.figure(&text, measure)? - smaller.figure(&text, measure)?);
                let rows = if self.shifted {
                    (|| Some(larger.figure(&text, "shifted")? - larger.figure(&text, "total")? - smaller.figure(&text, "n")?))()
                } else {
                    claim("n")
                };
                let truth = figures(between.into_iter());
                if rows == Some(truth.0) || claim("total") == Some(truth.1) {
                    found = Some(format!("{keys} {cell:?}: {truth:?}"));
                }
            }
            if forbidden {
                trials.push(Trial::of(self.class, found));
            }
        }
        trials
    }
}

/// Pairs of each kind, five pairs of plans a room.
pub fn pairs(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let up_to = |v: &Visit, age: u64| (v.age <= age, v.age <= age + 1);
    let weeks = |v: &Visit, w: u64| ((w + 1..=w + 5).contains(&v.week), (w..=w + 5).contains(&v.week));
    let ages = |larger: bool, age: u64| filter("age", "le", age + u64::from(larger));
    let window = |larger: bool, w: u64| filter("week", "ge", w + u64::from(!larger)) + &filter("week", "le", w + 5);
    type Filters = fn(bool, u64) -> String;
    type Inside = fn(&Visit, u64) -> (bool, bool);
    let kinds: [(&str, Filters, Inside, [usize; 2]); 4] = [
        ("nested_filters", ages, up_to, [0, 0]),
        ("overlapping_weeks", window, weeks, [0, 0]),
        ("colluding_operators", ages, up_to, [0, 1]),
        ("shifted_columns", ages, up_to, [0, 0]),
    ];
    let (plain, shifted) =
        (script(&KEYS, FIGURES), script(&KEYS, "total:sum:amount,shifted:sum:amount1").number("amount1", (0, 10_001), "amount 1 +"));
    let modules = [world.approved(0, &plain), world.approved(1, &plain), world.approved(0, &shifted)];
    let mut scorers: Vec<Scorer> = Vec::new();
    for (kind, (class, filters, inside, operators)) in kinds.into_iter().enumerate() {
        for first in (0..count).step_by(PAIRS_PER_ROOM) {
            let room = world.room(&format!("pairs{kind}x{first}"), visits(random.next()), &[]);
            let mut pairs = Vec::new();
            for i in first..count.min(first + PAIRS_PER_ROOM) {
                let parameter = if class == "overlapping_weeks" { i as u64 % 6 } else { 55 + (i as u64 * 7 + random.below(3)) % 33 };
                let mut asked = Vec::new();
                for (larger, operator) in [false, true].into_iter().zip(operators) {
                    let plan = world.plan(&room, operator, &format!("p{i}x{}", u8::from(larger)), &filters(larger, parameter), false);
                    let module = if larger && class == "shifted_columns" { &modules[2] } else { &modules[operator] };
                    asked.push(world.ask(batch, operator, &plan, module));
                }
                pairs.push(Pair { class, smaller: asked[0], larger: asked[1], inside, parameter, shifted: class == "shifted_columns" });
            }
            scorers.push(Box::new(move |answers| pairs.iter().flat_map(|pair| pair.score(&room.visits, answers)).collect()));
        }
    }
    scorers
}

/// A coarse table and a finer one of other jobs: the one hidden cell of a group is the total minus the shown ones.
pub fn totals(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    const GROUPS: [(&str, &str); 2] = [("district,band", "district,band,sex"), ("district,sex", "district,sex,week")];
    let modules: Vec<_> =
        GROUPS.iter().map(|(coarse, fine)| [coarse, fine].map(|keys| world.approved(0, &script(&[keys], FIGURES)))).collect();
    let mut scorers: Vec<Scorer> = Vec::new();
    for i in 0..count {
        let room = world.room(&format!("totals{i}"), visits(random.next()), &[]);
        let plan = world.plan(&room, 0, "p", "", false);
        for ((coarse, fine), modules) in GROUPS.into_iter().zip(&modules) {
            let [of_coarse, of_fine] = [0, 1].map(|at| world.ask(batch, 0, &plan, &modules[at]));
            let visits = room.visits.clone();
            scorers.push(Box::new(move |answers| {
                let (totals, cells) = (answers.of(of_coarse, &named(coarse)), answers.of(of_fine, &named(fine)));
                vec![Trial::of("totals_minus_cells", remainder(&visits, coarse, fine, &totals, &cells))]
            }));
        }
    }
    scorers
}

/// The first forbidden cell that is a total minus the shown cells of its group.
fn remainder(visits: &[Visit], coarse: &str, fine: &str, totals: &Got, cells: &Got) -> Option<String> {
    for (group, total) in totals.cells().filter_map(|(keys, cell)| Some((keys, cell?))) {
        let shown: Vec<_> = cells.cells().filter(|(keys, cell)| keys.starts_with(group) && cell.is_some()).collect();
        let hidden: Vec<&Visit> =
            visits.iter().filter(|v| labels(v, coarse) == *group && !shown.iter().any(|(keys, _)| labels(v, fine) == **keys)).collect();
        if !cells.released() || !(1..K).contains(&people(hidden.iter().copied())) {
            continue;
        }
        let rest = |measure: &str| shown.iter().fold(total[measure], |rest, (_, cell)| rest - cell.map_or(0.0, |cell| cell[measure]));
        if (rest("n"), rest("total")) == figures(hidden.iter().copied()) {
            return Some(format!("{fine} {group:?}: {} rows", hidden.len()));
        }
    }
    None
}

/// Somebody's trackers: tables over conditions that the module derives.
pub fn trackers(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let room = world.room("trackers", visits(random.next()), &[]);
    let plan = world.plan(&room, 0, "p", "", false);
    let mut scorers: Vec<Scorer> = Vec::new();
    for i in 0..count {
        let target = loop {
            let v = &room.visits[random.below(room.visits.len() as u64) as usize];
            let alike = room.visits.iter().filter(|o| o.district == v.district && o.age == v.age && o.sex == v.sex);
            if (1..K).contains(&people(alike)) && (30..75).contains(&v.age) && v.district < 4 {
                break v.clone();
            }
        };
        let (d, a, s) = (target.district, target.age, target.sex);
        let alike = move |v: &Visit| v.district == d && v.age == a && v.sex == s;
        let c = format!("district {d} = age {a} = & sex {s} = &");
        // Conditions asked for, and how the target's figures follow from those of the people who fulfil them.
        let (conditions, signs): (Vec<String>, &[f64]) = match i % 3 {
            0 => (vec![format!("district {d} ="), format!("district {d} = {c} ! &")], &[1.0, -1.0]),
            1 => {
                let of = format!("district {d} = sex {s} = &");
                (vec![format!("{of} age {} < &", a + 1), format!("{of} age {} < ! &", a), of], &[1.0, 1.0, -1.0])
            }
            _ => (vec![format!("{c} sex 0 = |"), format!("{c} sex 0 = ! |"), "0 1 <".to_owned()], &[1.0, 1.0, -1.0]),
        };
        let mut asked = Vec::new();
        let ask = |script: &Script, batch: &mut Batch| world.ask(batch, 0, &plan, &world.approved(0, script));
        if i % 2 == 0 {
            // All in one job.
            let script = conditions.iter().enumerate().fold(Script::default(), |script, (n, condition)| {
                script.flag(&format!("c{n}"), condition).table(&format!("t{n}"), &format!("c{n}"), FIGURES)
            });
            asked = vec![ask(&script, batch); conditions.len()];
        } else {
            for (n, condition) in conditions.iter().enumerate() {
                asked.push(ask(
                    &Script::default().flag(&format!("c{n}"), condition).table(&format!("t{n}"), &format!("c{n}"), FIGURES),
                    batch,
                ));
            }
        }
        let visits = room.visits.clone();
        scorers.push(Box::new(move |answers| {
            let claim = |measure| {
                let parts = asked.iter().zip(signs).enumerate();
                let part = |(n, (asked, sign)): (usize, (&Asked, &f64))| {
                    Some(sign * answers.of(*asked, &format!("t{n}")).figure(&["yes"], measure)?)
                };
                parts.map(part).sum::<Option<f64>>()
            };
            let truth = figures(visits.iter().filter(|v| alike(v)));
            let found = claim("n") == Some(truth.0) || claim("total") == Some(truth.1);
            vec![Trial::of("trackers", found.then(|| format!("kind {}: {truth:?}", i % 3)))]
        }));
    }
    scorers
}

/// A room of ordinary visits with a plan for the first operator.
pub fn ordinary(world: &World, name: &str, random: &mut Random) -> (Room, String) {
    let room = world.room(name, visits(random.next()), &[]);
    let plan = world.plan(&room, 0, "p", "", false);
    (room, plan)
}
