//! The attacker: knows the policy with k and p, the pattern of hidden cells, every figure shown and the columns' bounds, and takes every
//! hidden cell as possibly primary.
//!
//! What it cannot exclude is shown by example: another table, in exact integers, that agrees with everything shown. A count below k is
//! protected where such tables reach 0 or 1 and k; any other figure where they reach p% of its value, one unit at least, both
//! ways. A table is made statistic by statistic, each within what the last one leaves it: units and values within rows, sums within
//! values × [min, max], squares within Σ² / n and the bound of Bhatia and Davis. So it holds for all statistics together.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::solve::{Goal, Range, cheapest, solve};
use super::system::{Statistic, System};

/// Beyond what any figure of a table is.
const WIDE: i128 = 1 << 96;

/// Sizes of a row that are tried where what hangs on counts moves along with them.
const SIZES_MAX: usize = 8;

/// Values of all cells, by system.
type World = Vec<Vec<i128>>;

/// A world by what of it is not the truth: by system, cells with their values there.
type Witness = Vec<Vec<(usize, i128)>>;

/// What protects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thresholds {
    /// Minimum frequency.
    pub(super) k: i128,
    /// Protection of magnitudes, in permille.
    pub(super) p_permille: i128,
}

/// A figure that the attacker comes too near, and by how much it would have to move (above 0: up).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exposed {
    pub(super) system: usize,
    pub(super) at: usize,
    pub(super) needed: i128,
}

/// The attack on the tables of one job. What it once reached stays reached when more cells are hidden; when fewer are, what remains is
/// what those worlds reach in which the cells that are shown again are as in truth.
#[derive(Clone)]
pub(super) struct Attacker<'a> {
    systems: &'a [System],
    bounds: &'a BTreeMap<String, (i128, i128)>,
    thresholds: Thresholds,
    /// The worlds found.
    witnesses: Vec<Rc<Witness>>,
    reached: Vec<Vec<Range>>,
    /// The worlds in which a count is farthest up and down, for what hangs on it.
    extremes: BTreeMap<(usize, usize, bool), Rc<Witness>>,
    /// Linear programs solved.
    pub(super) programs: u64,
    /// Their variables, and of whole-numbered ones many times as much.
    pub(super) work: u64,
}

impl<'a> Attacker<'a> {
    /// `systems` in the order rows, units, values, sums, squares; `bounds` of the columns in stored integers.
    pub(super) fn new(systems: &'a [System], bounds: &'a BTreeMap<String, (i128, i128)>, thresholds: Thresholds) -> Self {
        let reached = truth(systems);
        Self { systems, bounds, thresholds, witnesses: Vec::new(), reached, extremes: BTreeMap::new(), programs: 0, work: 0 }
    }

    fn find(&self, statistic: &Statistic) -> Option<usize> {
        self.systems.iter().position(|s| s.statistic == *statistic)
    }

    /// The count that a statistic's values lie within, and for squares the sum.
    fn parents(&self, system: usize) -> (Option<usize>, Option<usize>) {
        let values = |c: &String| self.find(&Statistic::Values(c.clone())).or_else(|| self.find(&Statistic::Rows));
        match self.systems.get(system).map(|s| &s.statistic) {
            Some(Statistic::Units | Statistic::Values(_)) => (self.find(&Statistic::Rows), None),
            Some(Statistic::Sum(c)) => (values(c), None),
            Some(Statistic::Squares(c)) => (values(c), self.find(&Statistic::Sum(c.clone()))),
            _ => (None, None),
        }
    }

    /// What the cells of a system may be where the others are as in `world`.
    fn ranges(&self, at: usize, world: &World) -> Option<Vec<Range>> {
        let system = self.systems.get(at)?;
        let (count, sum) = self.parents(at);
        let value = |of: Option<usize>, cell: usize| {
            let of = of?;
            world.get(of)?.get(self.systems.get(of)?.at(cell)?).copied()
        };
        let range = |cell: &Option<usize>| {
            let Some(cell) = *cell else { return Some(Range { low: -WIDE, high: WIDE }) };
            let n = value(count, cell);
            Some(match (&system.statistic, n) {
                (Statistic::Rows, _) | (Statistic::Units | Statistic::Values(_), None) => Range { low: 0, high: WIDE },
                (Statistic::Units, Some(rows)) => Range { low: rows.min(1), high: rows },
                (Statistic::Values(_), Some(rows)) => Range { low: 0, high: rows },
                (Statistic::Sum(c), n) => {
                    let (min, max) = *self.bounds.get(c)?;
                    match n {
                        Some(n) => Range { low: n.checked_mul(min)?, high: n.checked_mul(max)? },
                        None => Range { low: if min < 0 { -WIDE } else { 0 }, high: if max > 0 { WIDE } else { 0 } },
                    }
                }
                (Statistic::Squares(c), n) => squares(*self.bounds.get(c)?, n, value(sum, cell))?,
            })
        };
        system.cells.iter().map(range).collect()
    }

    /// What has to be reached of a cell.
    fn wanted(&self, system: &System, value: i128) -> Range {
        let Thresholds { k, p_permille } = self.thresholds;
        if system.statistic.is_count() && value < k {
            return Range { low: value.min(1), high: k };
        }
        let (min, max) = match &system.statistic {
            Statistic::Sum(c) | Statistic::Squares(c) => self.bounds.get(c).copied().unwrap_or((0, 0)),
            _ => (0, 1),
        };
        let signed = matches!(system.statistic, Statistic::Sum(_));
        if value == 0 {
            // Towards a side where nothing can lie there is nothing to reach.
            return Range { low: if signed && min < 0 { -1 } else { 0 }, high: if max > 0 || !signed { 1 } else { 0 } };
        }
        let room = value.saturating_abs().saturating_mul(p_permille).saturating_add(999).div_euclid(1000).max(1);
        Range { low: value.saturating_sub(room), high: value.saturating_add(room) }
    }

    /// Attacks every hidden cell, in each system those in `first` before the others: the first figure that it comes too near.
    pub(super) fn attack(&mut self, hidden: &[bool], first: &BTreeSet<usize>) -> Option<Exposed> {
        let unknown: Vec<Vec<usize>> = self.systems.iter().map(|s| s.unknown(hidden)).collect();
        for (system, of) in self.systems.iter().enumerate() {
            let cell = |at: &usize| of.cells.get(*at).copied().flatten();
            let mut cells: Vec<usize> = unknown.get(system).into_iter().flatten().copied().filter(|at| cell(at).is_some()).collect();
            cells.sort_by_key(|at| !cell(at).is_some_and(|c| first.contains(&c)));
            for at in cells {
                let exposed = self.reach(system, at, true, &unknown).or_else(|| self.reach(system, at, false, &unknown));
                if exposed.is_some() {
                    return exposed;
                }
            }
        }
        None
    }

    /// Whether the worlds found prove, without any solver, that every hidden figure is protected: each agrees exactly with everything
    /// shown and lies within what its counts leave it, and together they reach far enough.
    pub(super) fn proves(&self, hidden: &[bool]) -> bool {
        let mut fresh = Self::new(self.systems, self.bounds, self.thresholds);
        let unknown: Vec<Vec<bool>> = self.systems.iter().map(|s| s.is_unknown(hidden)).collect();
        for witness in &self.witnesses {
            let world = self.world_of(witness);
            let is_open = |system: usize, at: usize| unknown.get(system).and_then(|u| u.get(at)).copied().unwrap_or(false);
            let agrees = witness.iter().enumerate().all(|(system, moved)| moved.iter().all(|(at, _)| is_open(system, *at)));
            if !agrees || !self.fits(&world) {
                return false;
            }
            fresh.absorb(witness);
        }
        self.systems.iter().enumerate().all(|(system, of)| {
            let cells = of.unknown(hidden).into_iter().filter(|at| of.cells.get(*at).is_some_and(Option::is_some));
            cells.into_iter().all(|at| [true, false].iter().all(|up| fresh.lacks(system, at, *up) == Some(0)))
        })
    }

    /// Whether every equation holds of a world, and every figure is one that its counts can have.
    fn fits(&self, world: &World) -> bool {
        self.systems.iter().zip(world).enumerate().all(|(at, (system, values))| {
            let ranges = self.ranges(at, world);
            let within =
                |ranges: Vec<Range>| ranges.iter().zip(values).enumerate().all(|(at, (r, v))| !system.is_bound(at) || r.contains(*v));
            system.equations.iter().all(|e| e.holds(values)) && ranges.is_some_and(within)
        })
    }

    /// Takes it that a cell is shown again: what is known of the others is what worlds reach in which it does not move.
    pub(super) fn show(&mut self, cell: usize) {
        let places: Vec<Option<usize>> = self.systems.iter().map(|s| s.at(cell)).collect();
        let moves = |w: &Rc<Witness>| w.iter().zip(&places).any(|(moved, at)| moved.iter().any(|(moved, _)| Some(*moved) == *at));
        let kept: Vec<Rc<Witness>> = self.witnesses.iter().filter(|w| !moves(w)).cloned().collect();
        if kept.len() == self.witnesses.len() {
            return;
        }
        self.reached = truth(self.systems);
        self.extremes.clear();
        self.witnesses.clear();
        kept.iter().for_each(|witness| self.absorb(witness));
    }

    /// What a figure lacks to one side: 0 where it is protected there.
    fn lacks(&self, system: usize, at: usize, up: bool) -> Option<i128> {
        let of = self.systems.get(system)?;
        let (value, reached) = (*of.values.get(at)?, self.reached.get(system)?.get(at)?);
        let wanted = self.wanted(of, value);
        let enough = if up { reached.high >= wanted.high } else { reached.low <= wanted.low };
        Some(if enough {
            0
        } else if up {
            wanted.high - value
        } else {
            wanted.low - value
        })
    }

    /// A world with all its cells.
    fn world_of(&self, witness: &Witness) -> World {
        let mut world: World = self.systems.iter().map(|s| s.values.clone()).collect();
        for (values, moved) in world.iter_mut().zip(witness) {
            for (at, value) in moved {
                values.get_mut(*at).into_iter().for_each(|v| *v = *value);
            }
        }
        world
    }

    /// The worlds to start from: the truth, and those in which the cell's count is farthest to that side.
    fn bases(&self, system: usize, at: usize, up: bool) -> Vec<World> {
        let mut bases = vec![self.world_of(&Vec::new())];
        let cell = self.systems.get(system).and_then(|s| s.cells.get(at).copied().flatten());
        if let (Some(count), _) = self.parents(system)
            && let Some(there) = cell.and_then(|c| self.systems.get(count)?.at(c))
        {
            bases.extend(self.extremes.get(&(count, there, up)).map(|w| self.world_of(w)));
        }
        bases
    }

    fn reach(&mut self, system: usize, at: usize, up: bool, unknown: &[Vec<usize>]) -> Option<Exposed> {
        let needed = self.lacks(system, at, up).filter(|needed| *needed != 0)?;
        // As far as it goes first, which proves most at once; but there what hangs on it may find no room.
        let farthest = if up { Goal::Largest(at) } else { Goal::Smallest(at) };
        for base in self.bases(system, at, up) {
            for goal in [farthest, Goal::Near(at, needed)] {
                if let Some(world) = self.world(system, goal, &base, unknown) {
                    self.note(&world, unknown);
                }
                if self.lacks(system, at, up) == Some(0) {
                    return None;
                }
            }
        }
        Some(Exposed { system, at, needed })
    }

    /// A world that fits what is shown, with the cells of `system` as `goal` wants them.
    fn world(&mut self, system: usize, goal: Goal, base: &World, unknown: &[Vec<usize>]) -> Option<World> {
        let ranges = self.ranges(system, base)?;
        self.programs += 1;
        let values = solve(self.systems.get(system)?, unknown.get(system)?, &ranges, goal, &mut self.work)?;
        let mut world = base.clone();
        *world.get_mut(system)? = values;
        self.complete(&mut world, system, unknown).then_some(world)
    }

    /// Brings what hangs on `system` in line with it. Squares after sums: the systems stand in that order.
    fn complete(&mut self, world: &mut World, system: usize, unknown: &[Vec<usize>]) -> bool {
        for child in system + 1..self.systems.len() {
            let (count, sum) = self.parents(child);
            if count.is_none() && sum.is_none() {
                continue;
            }
            let (Some(ranges), Some(of), Some(cells)) = (self.ranges(child, world), self.systems.get(child), unknown.get(child)) else {
                return false;
            };
            let fits = |values: &Vec<i128>| {
                cells.iter().all(|at| values.get(*at).zip(ranges.get(*at)).is_some_and(|(value, range)| range.contains(*value)))
            };
            if world.get(child).is_some_and(fits) {
                continue;
            }
            let values = self.carried(child, world, &ranges).or_else(|| {
                self.programs += 1;
                solve(of, cells, &ranges, Goal::Nearest, &mut self.work)
            });
            let Some(values) = values else { return false };
            let Some(slot) = world.get_mut(child) else { return false };
            *slot = values;
        }
        true
    }

    /// What hangs on a system moved along with it, as if rows that are all alike had gone from cell to cell: then every equation of the
    /// one holds of the other. `None` where their cells are not the same, or no size of such a row that was tried fits.
    fn carried(&self, child: usize, world: &World, ranges: &[Range]) -> Option<Vec<i128>> {
        let (count, sum) = self.parents(child);
        let parent = sum.or(count)?;
        let (of, from, now) = (self.systems.get(child)?, self.systems.get(parent)?, world.get(parent)?);
        if of.cells != from.cells {
            return None;
        }
        let moved: Vec<i128> = now.iter().zip(&from.values).map(|(now, true_)| now - true_).collect();
        let moving = of.values.iter().zip(&from.values).zip(&moved).filter(|((_, from), moved)| **moved != 0 && **from != 0);
        let sizes: BTreeSet<i128> = moving.take(SIZES_MAX).map(|((own, from), _)| own / from).chain([1]).collect();
        let carried = |size: i128| -> Option<Vec<i128>> {
            let values =
                of.values.iter().zip(&moved).map(|(own, moved)| own.checked_add(moved.checked_mul(size)?)).collect::<Option<Vec<_>>>()?;
            let within = ranges.iter().zip(&values).enumerate().all(|(at, (range, value))| !of.is_bound(at) || range.contains(*value));
            (within && of.equations.iter().all(|e| e.holds(&values))).then_some(values)
        };
        sizes.into_iter().find_map(carried)
    }

    /// Takes from a world what it reaches, of every cell of every system.
    fn note(&mut self, world: &World, unknown: &[Vec<usize>]) {
        let moved = |((system, values), unknown): ((&System, &Vec<i128>), &Vec<usize>)| -> Vec<(usize, i128)> {
            let moved = unknown.iter().filter_map(|at| Some((*at, *values.get(*at)?)));
            moved.filter(|(at, value)| system.values.get(*at) != Some(value)).collect()
        };
        let witness: Witness = self.systems.iter().zip(world).zip(unknown).map(moved).collect();
        self.absorb(&Rc::new(witness));
    }

    /// Keeps a world that reaches farther than those before.
    fn absorb(&mut self, witness: &Rc<Witness>) {
        let mut farther = false;
        for (system, moved) in witness.iter().enumerate() {
            let is_count = self.systems.get(system).is_some_and(|s| s.statistic.is_count());
            for (at, value) in moved {
                let Some(reached) = self.reached.get_mut(system).and_then(|r| r.get_mut(*at)) else { continue };
                for (up, beyond) in [(true, *value > reached.high), (false, *value < reached.low)] {
                    farther |= beyond;
                    if beyond && is_count {
                        self.extremes.insert((system, *at, up), Rc::clone(witness));
                    }
                }
                (reached.low, reached.high) = (reached.low.min(*value), reached.high.max(*value));
            }
        }
        if farther {
            self.witnesses.push(Rc::clone(witness));
        }
    }

    /// The shown cells of the job to hide for an exposed figure, by least cost; empty where this finds none.
    pub(super) fn partners(&mut self, exposed: &Exposed, hidden: &[bool], cost: &dyn Fn(usize) -> f64) -> Vec<usize> {
        let Some(system) = self.systems.get(exposed.system) else { return Vec::new() };
        let unknown = system.unknown(hidden);
        for base in self.bases(exposed.system, exposed.at, exposed.needed > 0) {
            let Some(ranges) = self.ranges(exposed.system, &base) else { continue };
            self.programs += 1;
            // Of many variables, but few steps.
            self.work += system.cells.len() as u64 / 4;
            let cost = |at: usize| system.cells.get(at).copied().flatten().map_or(0.0, cost);
            if let Some(found) = cheapest(system, &unknown, &ranges, (exposed.at, exposed.needed), cost) {
                let cells: Vec<usize> = found.iter().filter_map(|at| system.cells.get(*at).copied().flatten()).collect();
                if !cells.is_empty() {
                    return cells;
                }
            }
        }
        Vec::new()
    }

    /// Of all hidden figures the one whose proved interval is narrowest beside its value: system, index, interval.
    pub(super) fn narrowest(&self, hidden: &[bool]) -> Option<(usize, usize, Range)> {
        let mut narrowest: Option<(usize, usize, Range)> = None;
        let width = |(system, at, range): &(usize, usize, Range)| {
            let value = self.systems.get(*system).and_then(|s| s.values.get(*at)).map_or(1, |v| v.saturating_abs().max(1));
            range.high.saturating_sub(range.low).saturating_mul(1000) / value
        };
        for (system, of) in self.systems.iter().enumerate() {
            for at in of.unknown(hidden).into_iter().filter(|at| of.cells.get(*at).is_some_and(Option::is_some)) {
                let Some(range) = self.reached.get(system).and_then(|r| r.get(at)).copied() else { continue };
                if narrowest.as_ref().is_none_or(|n| width(&(system, at, range)) < width(n)) {
                    narrowest = Some((system, at, range));
                }
            }
        }
        narrowest
    }
}

/// What is reached where nothing is known but the truth.
fn truth(systems: &[System]) -> Vec<Vec<Range>> {
    let point = |v: &i128| Range { low: *v, high: *v };
    systems.iter().map(|s| s.values.iter().map(point).collect()).collect()
}

/// Sums of squares of `n` integers within bounds whose sum is `sum`.
fn squares((min, max): (i128, i128), n: Option<i128>, sum: Option<i128>) -> Option<Range> {
    let Some(n) = n else { return Some(Range { low: 0, high: WIDE }) };
    if n <= 0 {
        return Some(Range { low: 0, high: 0 });
    }
    let (least, most) = (if min <= 0 && max >= 0 { 0 } else { (min * min).min(max * max) }, (min * min).max(max * max));
    let mut range = Range { low: n.checked_mul(least)?, high: n.checked_mul(most)? };
    if let Some(sum) = sum {
        // Cauchy and Schwarz from below; from above Σ(x − min)(max − x) ≥ 0.
        range.low = range.low.max(-(-sum.checked_mul(sum)?).div_euclid(n));
        range.high = range.high.min(sum.checked_mul(min + max)?.checked_sub(n.checked_mul(min * max)?)?);
    }
    Some(range)
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    fn system(statistic: Statistic, values: [i128; 4]) -> System {
        let place = |label: Option<&str>| -> Place { label.map(|l| ("a".to_owned(), Some(l.to_owned()))).into_iter().collect() };
        let places = [Some("1"), Some("2"), Some("3"), None].map(place);
        let members: Vec<_> = places.iter().enumerate().zip(values).map(|((i, p), v)| (i, p, v)).collect();
        System::new(statistic, &members).unwrap()
    }

    #[test]
    fn a_pattern_is_believed_by_its_witnesses_alone() {
        let systems = [system(Statistic::Rows, [3, 12, 15, 30]), system(Statistic::Sum("x".to_owned()), [40, 90, 170, 300])];
        let bounds = BTreeMap::from([("x".to_owned(), (0, 100))]);
        let new = || Attacker::new(&systems, &bounds, Thresholds { k: 5, p_permille: 100 });
        let (pattern, less) = ([true, true, false, false], [true, false, false, false]);
        let mut attacker = new();
        assert_eq!(attacker.attack(&pattern, &BTreeSet::new()), None);
        assert!(attacker.proves(&pattern) && attacker.proves(&[true, true, true, false]) == attacker.proves(&[true; 4]));
        // Not of a pattern of which a cell that moves is shown, nor without witnesses.
        assert!(!attacker.proves(&less) && !new().proves(&pattern));
        let moved = attacker.witnesses.clone();
        // A witness that breaks an equation, or in which a sum is more than its rows can have, makes all of them worthless.
        for forged in [vec![vec![(0, 4)], Vec::new()], vec![vec![(0, 0), (1, 15)], Vec::new()]] {
            attacker.witnesses.clone_from(&moved);
            attacker.witnesses.push(Rc::new(forged));
            assert!(!attacker.proves(&pattern));
        }
        // Shown again, it leaves nothing proved.
        attacker.witnesses = moved;
        attacker.show(1);
        assert!(attacker.witnesses.is_empty() && !attacker.proves(&pattern));
        assert!(attacker.attack(&less, &BTreeSet::from([0])).is_some_and(|e| e.at == 0));
    }

    #[test]
    fn what_hangs_on_counts_moves_along_with_them() {
        let systems = [system(Statistic::Rows, [10, 10, 10, 30]), system(Statistic::Sum("x".to_owned()), [50, 65, 80, 195])];
        let bounds = BTreeMap::from([("x".to_owned(), (0, 10))]);
        let attacker = Attacker::new(&systems, &bounds, Thresholds { k: 5, p_permille: 100 });
        let carried = |rows: [i128; 4]| {
            let world = vec![rows.to_vec(), systems[1].values.clone()];
            attacker.carried(1, &world, &attacker.ranges(1, &world).unwrap())
        };
        // Nine rows of 1 each would leave 41 for one row of at most 10; nine of 5 each leave 5.
        assert_eq!(carried([1, 19, 10, 30]), Some(vec![5, 110, 80, 195]));
        assert_eq!(carried([9, 11, 10, 30]), Some(vec![49, 66, 80, 195]));
        assert_eq!(carried([0, 20, 10, 30]), Some(vec![0, 115, 80, 195]));
        // No rows, and no size of which ten are 65.
        assert_eq!(carried([20, 0, 10, 30]), None);
    }
}
