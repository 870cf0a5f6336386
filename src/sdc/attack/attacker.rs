//! The attacker: knows the policy with k and p, the pattern of hidden cells, every figure shown and the columns' bounds, and takes every
//! hidden cell as possibly primary.
//!
//! What it cannot exclude is shown by example: another table, in exact integers, that agrees with everything shown. A count below k is
//! protected where such tables reach 0 or 1 and k; any other figure where they reach p% of its value, one unit at least, both
//! ways. A table is made statistic by statistic, each within what the last one leaves it: units and values within rows, sums within
//! values × [min, max], squares within Σ² / n and the bound of Bhatia and Davis. So it holds for all statistics together.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::solve::{Goal, Range, cheapest, solve};
use super::system::{Statistic, System};

/// Beyond what any figure of a table is.
const WIDE: i128 = 1 << 96;

/// Values of all cells, by system.
pub(super) type World = Vec<Vec<i128>>;

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

/// The attack on the tables of one job. What it once reached stays reached when more cells are hidden.
pub(super) struct Attacker<'a> {
    systems: &'a [System],
    bounds: &'a BTreeMap<String, (i128, i128)>,
    thresholds: Thresholds,
    reached: Vec<Vec<Range>>,
    /// The worlds in which a count is farthest up and down, for what hangs on it.
    extremes: BTreeMap<(usize, usize, bool), Rc<World>>,
    /// Linear programs solved.
    pub(super) programs: u64,
}

impl<'a> Attacker<'a> {
    /// `systems` in the order rows, units, values, sums, squares; `bounds` of the columns in stored integers.
    pub(super) fn new(systems: &'a [System], bounds: &'a BTreeMap<String, (i128, i128)>, thresholds: Thresholds) -> Self {
        let point = |v: &i128| Range { low: *v, high: *v };
        let reached = systems.iter().map(|s| s.values.iter().map(point).collect()).collect();
        Self { systems, bounds, thresholds, reached, extremes: BTreeMap::new(), programs: 0 }
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

    /// Attacks every hidden cell.
    pub(super) fn attack(&mut self, hidden: &[bool]) -> Vec<Exposed> {
        let unknown: Vec<Vec<usize>> = self.systems.iter().map(|s| s.unknown(hidden)).collect();
        let mut exposed = Vec::new();
        for (system, of) in self.systems.iter().enumerate() {
            for at in unknown.get(system).into_iter().flatten() {
                if of.cells.get(*at).is_none_or(Option::is_none) {
                    continue;
                }
                exposed.extend(self.reach(system, *at, true, &unknown));
                exposed.extend(self.reach(system, *at, false, &unknown));
            }
        }
        exposed
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

    /// The worlds to start from: the truth, and those in which the cell's count is farthest to that side.
    fn bases(&self, system: usize, at: usize, up: bool) -> Vec<Rc<World>> {
        let truth: World = self.systems.iter().map(|s| s.values.clone()).collect();
        let mut bases = vec![Rc::new(truth)];
        let cell = self.systems.get(system).and_then(|s| s.cells.get(at).copied().flatten());
        if let (Some(count), _) = self.parents(system)
            && let Some(there) = cell.and_then(|c| self.systems.get(count)?.at(c))
        {
            bases.extend(self.extremes.get(&(count, there, up)).cloned());
        }
        bases
    }

    fn reach(&mut self, system: usize, at: usize, up: bool, unknown: &[Vec<usize>]) -> Option<Exposed> {
        let needed = self.lacks(system, at, up).filter(|needed| *needed != 0)?;
        let goal = if up { Goal::Largest(at) } else { Goal::Smallest(at) };
        for base in self.bases(system, at, up) {
            if let Some(world) = self.world(system, goal, &base, unknown) {
                self.note(world, unknown);
            }
            if self.lacks(system, at, up) == Some(0) {
                return None;
            }
        }
        Some(Exposed { system, at, needed })
    }

    /// A world that fits what is shown, with the cells of `system` as `goal` wants them.
    fn world(&mut self, system: usize, goal: Goal, base: &World, unknown: &[Vec<usize>]) -> Option<World> {
        let ranges = self.ranges(system, base)?;
        self.programs += 1;
        let values = solve(self.systems.get(system)?, unknown.get(system)?, &ranges, goal)?;
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
            self.programs += 1;
            let Some(values) = solve(of, cells, &ranges, Goal::Any) else { return false };
            let Some(slot) = world.get_mut(child) else { return false };
            *slot = values;
        }
        true
    }

    /// Takes from a world what it reaches, of every cell of every system.
    fn note(&mut self, world: World, unknown: &[Vec<usize>]) {
        let world = Rc::new(world);
        for (system, of) in self.systems.iter().enumerate() {
            for at in unknown.get(system).into_iter().flatten() {
                let Some(value) = world.get(system).and_then(|w| w.get(*at)).copied() else { continue };
                let Some(reached) = self.reached.get_mut(system).and_then(|r| r.get_mut(*at)) else { continue };
                for (up, farther) in [(true, value > reached.high), (false, value < reached.low)] {
                    if farther && of.statistic.is_count() {
                        self.extremes.insert((system, *at, up), Rc::clone(&world));
                    }
                }
                (reached.low, reached.high) = (reached.low.min(value), reached.high.max(value));
            }
        }
    }

    /// The shown cells of the job to hide for an exposed figure, by least cost; empty where this finds none.
    pub(super) fn partners(&mut self, exposed: &Exposed, hidden: &[bool], cost: &dyn Fn(usize) -> f64) -> Vec<usize> {
        let Some(system) = self.systems.get(exposed.system) else { return Vec::new() };
        let unknown = system.unknown(hidden);
        for base in self.bases(exposed.system, exposed.at, exposed.needed > 0) {
            let Some(ranges) = self.ranges(exposed.system, &base) else { continue };
            self.programs += 1;
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
