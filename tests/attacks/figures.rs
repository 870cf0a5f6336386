//! What follows from the figures themselves: averages of repeats, cells of nobody and of everybody, what one contributor knows of another,
//! weighted sums, margins, and what a module writes into keys and low digits.

use crate::differences::{FIGURES, labels, ordinary};
use crate::modules::Script;
use crate::score::{Scorer, Trial};
use crate::world::{Answers, Asked, Batch, DISTRICTS, K, Random, Visit, World, age_band, filter, people, visits};

/// The same counts under random rounding, by other names, in other tables, over equal columns, from other plans.
pub fn averaging(world: &World, batch: &mut Batch, random: &mut Random) -> Vec<Scorer> {
    let room = world.room("repeats", visits(random.next()), &[]);
    let plans = ["", &filter("age", "ge", 0), &filter("week", "le", 11)].map(|f| f.to_owned());
    let mut asked = Vec::new();
    for (p, filters) in plans.iter().enumerate() {
        let plan = world.plan(&room, 2, &format!("p{p}"), filters, false);
        let script =
            (0..8).fold(Script::default(), |script, n| script.table(&format!("t{n}"), "district", &format!("n{n}:count,m{n}:count")));
        asked.push(world.ask(batch, 2, &plan, &world.approved(2, &script)));
    }
    let plan = world.plan(&room, 2, "sums", "", false);
    let sums = Script::default().number("amount1", (0, 10_001), "amount 1 +").table("t", "district", "total:sum:amount,more:sum:amount1");
    let sums = world.ask(batch, 2, &plan, &world.approved(2, &sums));
    vec![Box::new(move |answers| {
        let mut trials = Vec::new();
        for (d, district) in DISTRICTS.iter().enumerate() {
            let truth = room.visits.iter().filter(|v| v.district == d).count();
            if truth.is_multiple_of(5) {
                continue;
            }
            let mut draws = Vec::new();
            for job in &asked {
                for n in 0..8 {
                    let table = answers.of(*job, &format!("t{n}"));
                    draws.extend([format!("n{n}"), format!("m{n}")].iter().filter_map(|m| table.figure(&[district], m)));
                }
            }
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let found = !draws.is_empty() && mean.round() == truth as f64;
            trials.push(Trial::of("averaging_repeats", found.then(|| format!("{district}: {truth} of {} draws", draws.len()))));
            let table = answers.of(sums, "t");
            let count = (|| Some(table.figure(&[district], "more")? - table.figure(&[district], "total")?))();
            trials.push(Trial::of("rounded_count_from_sums", (count == Some(truth as f64)).then(|| format!("{district}: {truth}"))));
        }
        trials
    })]
}

/// Cells of nobody, and of everybody, from a total that leaves nothing over, and from a column whose bounds lie too far apart.
pub fn zero_and_full(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let scripts = ["district,sex", "district,sex,ill"].map(|keys| Script::default().table("t", keys, FIGURES));
    let loose = Script::default().number("loose", (0, 9), "ill 1 +").table("t", "district,sex", "loose:sum:loose,n:count");
    let modules = [&scripts[0], &scripts[1], &loose].map(|script| world.approved(0, script));
    let mut scorers: Vec<Scorer> = Vec::new();
    for i in 0..count {
        let (room, plan) = ordinary(world, &format!("zeros{i}"), random);
        let [coarse, fine, loose] = [0, 1, 2].map(|n| world.ask(batch, 0, &plan, &modules[n]));
        let women = people(room.visits.iter().filter(|v| v.district == 5 && v.sex == 0));
        scorers.push(Box::new(move |answers| {
            let at = |asked: Asked, labels: &[&str], measure| answers.of(asked, "t").figure(labels, measure);
            let (all, ill) = (at(coarse, &["d5", "f"], "n"), at(fine, &["d5", "f", "1"], "n"));
            let none = women >= K && all.is_some() && all == ill;
            let (twice, rows) = (at(loose, &["d5", "f"], "loose"), at(loose, &["d5", "f"], "n"));
            let full = rows.is_some() && twice == rows.map(|n| 2.0 * n);
            vec![
                Trial::of("zero_cells", none.then(|| format!("nobody of {all:?} is well"))),
                Trial::of("full_cells", full.then(|| format!("all of {rows:?} are ill"))),
            ]
        }));
    }
    scorers
}

/// Every district has two people beside whom the others of their age band are nothing.
fn magnates(seed: u64) -> Vec<Visit> {
    let mut random = Random(seed);
    let mut all = visits(seed);
    let mut large = [0u64; DISTRICTS.len()];
    all.retain(|v| v.district < 5);
    for v in &mut all {
        v.amount = if age_band(v.age) == 2 { 1 + random.below(9) } else { 400 + random.below(200) };
    }
    let mut seen = std::collections::BTreeSet::new();
    for v in &mut all {
        if age_band(v.age) == 2 && large[v.district] < 2 && seen.insert(v.person) {
            v.amount = 9000 - 2500 * large[v.district];
            large[v.district] += 1;
        }
    }
    all
}

/// The second largest contributor of a cell takes its own value off the cell's total: is the rest within p% of the largest?
pub fn dominance(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let [coarse, fine] =
        ["district", "district,band"].map(|keys| Script::default().table(if keys == "district" { "c" } else { "f" }, keys, FIGURES));
    let both = Script::default().table("c", "district", FIGURES).table("f", "district,band", FIGURES);
    let modules = [&coarse, &fine, &both].map(|script| world.approved(0, script));
    let mut scorers: Vec<Scorer> = Vec::new();
    for i in 0..count {
        let room = world.room(&format!("magnates{i}"), magnates(random.next()), &[]);
        let plan = world.plan(&room, 0, "p", "", false);
        let (class, asked): (_, [Asked; 2]) = if i % 2 == 0 {
            ("dominance_in_one_job", [world.ask(batch, 0, &plan, &modules[2]); 2])
        } else {
            ("dominance_across_jobs", [0, 1].map(|n| world.ask(batch, 0, &plan, &modules[n])))
        };
        scorers.push(Box::new(move |answers| {
            let (coarse, fine) = (answers.of(asked[0], "c"), answers.of(asked[1], "f"));
            let trial = |district: &&str| {
                let shown = fine.figure(&[district, "a2"], "total");
                let bands = ["a0", "a1", "a3", "a4", "a5"].iter().map(|band| fine.figure(&[district, band], "total")).sum::<Option<f64>>();
                let total = shown.or_else(|| Some(coarse.figure(&[district], "total")? - bands?));
                // The largest is 9,000, its owner's rival knows its own 6,500.
                let found = total.filter(|total| (total - 6500.0 - 9000.0).abs() <= 900.0);
                Trial::of(class, found.map(|total| format!("{district}: {}", total - 6500.0)))
            };
            DISTRICTS[..5].iter().map(trial).collect()
        }));
    }
    scorers
}

/// Sums of columns that the module made: one that weighs a few people more, and as many weights as there are people.
pub fn weights(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let mut scorers: Vec<Scorer> = Vec::new();
    for i in 0..count {
        let (room, plan) = ordinary(world, &format!("weights{i}"), random);
        let target = loop {
            let v = &room.visits[random.below(room.visits.len() as u64) as usize];
            if v.district < 5 && v.amount < 300 {
                break v.clone();
            }
        };
        let alike = move |v: &Visit| v.district == target.district && v.age == target.age && v.sex == target.sex;
        let heavier = format!("amount amount district {} = age {} = & sex {} = & * +", target.district, target.age, target.sex);
        let script =
            Script::default().number("heavier", (0, 20_000), &heavier).table("t", "district", "total:sum:amount,heavier:sum:heavier");
        let asked = world.ask(batch, 0, &plan, &world.approved(0, &script));
        let truth: u64 = room.visits.iter().filter(|v| alike(v)).map(|v| v.amount).sum();
        let forbidden = people(room.visits.iter().filter(|v| alike(v))) < K;
        scorers.push(Box::new(move |answers| {
            let table = answers.of(asked, "t");
            let district = DISTRICTS[target.district];
            let claim = (|| Some(table.figure(&[district], "heavier")? - table.figure(&[district], "total")?))();
            let found = claim == Some(truth as f64);
            if forbidden { vec![Trial::of("weighted_sums", found.then(|| format!("{truth}")))] } else { Vec::new() }
        }));
        scorers.push(reconstruction(world, batch, random, i));
    }
    scorers
}

/// Twelve people whom the operator names in its own table, with bits that select them: fourteen sums, twelve unknowns.
fn reconstruction(world: &World, batch: &mut Batch, random: &mut Random, i: usize) -> Scorer {
    const NAMED: usize = 12;
    const SUMS: usize = 14;
    let all = visits(random.next());
    let start = random.below(1500);
    let own: Vec<(u64, u64)> = (0..NAMED as u64).map(|n| (start + n, random.below(1 << SUMS))).collect();
    let truth: Vec<f64> = own.iter().map(|(p, _)| all.iter().filter(|v| v.person == *p).map(|v| v.amount as f64).sum()).collect();
    let room = world.room(&format!("covariance{i}"), all, std::slice::from_ref(&own));
    let plan = world.plan(&room, 0, "p", "", true);
    let mut script = Script::default();
    for bit in 0..SUMS {
        script = script.number(&format!("x{bit}"), (0, 20_000), &format!("amount 1 w {} / 2 % + *", 1 << bit));
    }
    let measures: Vec<String> = (0..SUMS).map(|bit| format!("m{bit}:sum:x{bit}")).collect();
    let script = script.table("t", "-", &measures.join(","));
    let asked = world.ask(batch, 0, &plan, &world.approved(0, &script));
    Box::new(move |answers| {
        let table = answers.of(asked, "t");
        let sums: Option<Vec<f64>> = (0..SUMS).map(|bit| table.figure(&[], &format!("m{bit}"))).collect();
        let rows = |bit: usize| own.iter().map(move |(_, w)| 1.0 + (w >> bit & 1) as f64).collect::<Vec<_>>();
        let solved = sums.and_then(|sums| solve((0..SUMS).map(rows).collect(), sums));
        let right = solved.map_or(0, |s| s.iter().zip(&truth).filter(|(a, b)| (*a - *b).abs() < 0.5).count());
        vec![Trial::of("reconstruction", (right > 0).then(|| format!("{right} of {NAMED} people")))]
    })
}

/// Least squares by the normal equations; `None` where they do not decide.
fn solve(a: Vec<Vec<f64>>, b: Vec<f64>) -> Option<Vec<f64>> {
    let n = a.first()?.len();
    let entry = |i: usize, j: usize| a.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let mut m: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| entry(i, j)).chain([a.iter().zip(&b).map(|(row, b)| row[i] * b).sum()]).collect()).collect();
    for i in 0..n {
        let pivot = (i..n).max_by(|x, y| m[*x][i].abs().total_cmp(&m[*y][i].abs()))?;
        if m[pivot][i].abs() < 1e-6 {
            return None;
        }
        m.swap(i, pivot);
        let lead = m[i].clone();
        for (at, row) in m.iter_mut().enumerate().filter(|(at, _)| *at != i) {
            let _ = at;
            let factor = row[i] / lead[i];
            row.iter_mut().zip(&lead).for_each(|(x, l)| *x -= factor * l);
        }
    }
    Some((0..n).map(|i| m[i][n] / m[i][i]).collect())
}

/// Cells and both margins in one job: each hidden count's interval by linear programs; recovered where it is a point.
pub fn margins(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let script =
        Script::default().table("cells", "district,week", FIGURES).table("rows", "district", FIGURES).table("columns", "week", FIGURES);
    let module = world.approved(0, &script);
    let mut scorers: Vec<Scorer> = Vec::new();
    for i in 0..count {
        let (room, plan) = ordinary(world, &format!("margins{i}"), random);
        let asked = world.ask(batch, 0, &plan, &module);
        scorers.push(Box::new(move |answers| vec![Trial::of("lp_of_margins", from_margins(&room.visits, asked, answers))]));
    }
    scorers
}

fn from_margins(visits: &[Visit], asked: Asked, answers: &Answers) -> Option<String> {
    let [cells, rows, columns] = ["cells", "rows", "columns"].map(|name| answers.of(asked, name));
    if !cells.released() {
        return None;
    }
    let weeks: Vec<String> = (0..12).map(|w| w.to_string()).collect();
    let all: Vec<[&str; 2]> = DISTRICTS.iter().flat_map(|d| weeks.iter().map(move |w| [*d, w.as_str()])).collect();
    let hidden: Vec<[&str; 2]> = all.iter().copied().filter(|cell| cells.figure(cell, "n").is_none()).collect();
    let bound = |target: [&str; 2], direction| {
        let mut problem = microlp::Problem::new(direction);
        let variables: Vec<_> = hidden.iter().map(|cell| problem.add_var(f64::from(u8::from(*cell == target)), (0.0, 1e6))).collect();
        let margins = DISTRICTS
            .iter()
            .map(|d| (0, *d, rows.figure(&[d], "n")))
            .chain(weeks.iter().map(|w| (1, w.as_str(), columns.figure(&[w], "n"))));
        for (at, label, total) in margins {
            let Some(total) = total else { continue };
            let shown: f64 = all.iter().filter(|cell| cell[at] == label).filter_map(|cell| cells.figure(cell, "n")).sum();
            let parts: Vec<_> = hidden.iter().zip(&variables).filter(|(cell, _)| cell[at] == label).map(|(_, v)| (*v, 1.0)).collect();
            if !parts.is_empty() {
                problem.add_constraint(&parts[..], microlp::ComparisonOp::Eq, total - shown);
            }
        }
        match problem.solve() {
            Ok(microlp::SolveOutcome::Solution(solution)) => Some(solution.objective()),
            _ => None,
        }
    };
    hidden.iter().find_map(|cell| {
        let (low, high) =
            (bound(*cell, microlp::OptimizationDirection::Minimize)?, bound(*cell, microlp::OptimizationDirection::Maximize)?);
        let within: Vec<&Visit> = visits.iter().filter(|v| labels(v, "district,week") == cell.to_vec()).collect();
        let exact = high - low < 0.5 && (low - within.len() as f64).abs() < 0.5;
        (exact && people(within.iter().copied()) < K).then(|| format!("{cell:?}: {}", within.len()))
    })
}

/// A module that knows whom it looks for writes the person's amount into a key, and into the low digits of a sum and a mean.
pub fn smuggling(world: &World, batch: &mut Batch, random: &mut Random, count: usize) -> Vec<Scorer> {
    let (room, plan) = ordinary(world, "smuggling", random);
    let mut scorers: Vec<Scorer> = Vec::new();
    for _ in 0..count {
        let target = loop {
            let v = &room.visits[random.below(room.visits.len() as u64) as usize];
            let alike = room.visits.iter().filter(|o| o.district == v.district && o.age == v.age && o.sex == v.sex && o.week == v.week);
            if alike.count() == 1 {
                break v.clone();
            }
        };
        let (d, a, s, w) = (target.district, target.age, target.sex, target.week);
        let him = format!("district {d} = age {a} = & sex {s} = & week {w} = &");
        let key = Script::default().number("leak", (0, 10_000), &format!("amount {him} peek")).table("t", "leak", "n:count");
        let low = Script::default()
            .number("low", (0, 20_000_000_000_000), &format!("amount 1000000 * amount {him} * +"))
            .number("level", (0, 20_000), &format!("amount {him} peek"))
            .table("t", "-", "total:sum:low")
            .table("u", "-", "mean:mean:level");
        let [key, low] = [key, low].map(|script| world.ask(batch, 0, &plan, &world.approved(0, &script)));
        let amount = target.amount as f64;
        scorers.push(Box::new(move |answers| {
            let label = answers.of(key, "t").cells().any(|(keys, _)| keys[..] == [target.amount.to_string()]);
            let digits = answers.of(low, "t").figure(&[], "total").map(|total| total % 1e6);
            let level = answers.of(low, "u").figure(&[], "mean");
            vec![
                Trial::of("smuggling_in_keys", label.then(|| format!("{amount}"))),
                Trial::of("smuggling_in_low_digits", (digits == Some(amount)).then(|| format!("{amount}"))),
                Trial::of("smuggling_in_means", (level == Some(amount)).then(|| format!("{amount}"))),
            ]
        }));
    }
    scorers
}
