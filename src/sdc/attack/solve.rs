//! One linear program of the attacker, and the exact check of what comes of it.
//!
//! A program is over the hidden cells' deviations from the truth, in whole grid units. The solver (`microlp`, a simplex in `f64`, feasibility
//! tolerance 1e-7) only proposes: its point is rounded to integers, and every equation and bound is checked again in exact integers. So
//! no verdict rests on the tolerance. A proposal that fails the check proves nothing.

use std::collections::BTreeSet;

use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem, SolveOptions, Variable};

use super::system::{Equation, Relation, System};

/// Largest deviation looked for, in grid units: what a double counts exactly, with room for sums.
const REACH_MAX: i128 = 1 << 44;
/// Nodes of branch and bound where the vertex of a program is not integral (tables of three and more keys).
const NODES_MAX: u64 = 64;

/// Values that a cell may have, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) low: i128,
    pub(super) high: i128,
}

impl Range {
    pub(super) fn contains(&self, value: i128) -> bool {
        self.low <= value && value <= self.high
    }
}

/// What a program looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// As near to the truth as it may be.
    Nearest,
    /// The largest value of a cell.
    Largest(usize),
    /// The smallest.
    Smallest(usize),
    /// So much more of a cell (below 0: less), and the others as near to the truth as they may be.
    Near(usize, i128),
}

/// Grid on which values move: 1, or coarser where hidden values are beyond 2^32, so that a double holds the deviations.
fn grid(system: &System, hidden: &[usize]) -> i128 {
    let largest = hidden.iter().filter_map(|i| system.values.get(*i)).map(|v| v.unsigned_abs()).max().unwrap_or(0);
    i128::try_from((largest >> 32).max(1)).unwrap_or(i128::MAX)
}

/// A table that fits everything shown, with the hidden cells within `ranges` (one a cell of the system) and as `goal` wants it; `None`
/// where none was found and verified. Adds to `work` the variables of what was solved.
pub(super) fn solve(system: &System, hidden: &[usize], ranges: &[Range], goal: Goal, work: &mut u64) -> Option<Vec<i128>> {
    let hidden = &linked(system, hidden, ranges, goal);
    let steps = grid(system, hidden);
    *work += hidden.len() as u64;
    let found = run(system, hidden, ranges, goal, steps, false)?;
    if let Some(found) = verified(system, hidden, ranges, &found, steps) {
        return Some(found);
    }
    *work += hidden.len() as u64 * NODES_MAX / 4;
    let found = run(system, hidden, ranges, goal, steps, true)?;
    verified(system, hidden, ranges, &found, steps)
}

/// The hidden cells that have to be looked at: those that hang together, over equations between hidden cells, with what is looked for or
/// with a cell that the truth does not fit. All others stay as they are.
fn linked(system: &System, hidden: &[usize], ranges: &[Range], goal: Goal) -> Vec<usize> {
    const KNOWN: usize = usize::MAX;
    let mut group = vec![KNOWN; system.values.len()];
    hidden.iter().for_each(|at| group.get_mut(*at).into_iter().for_each(|g| *g = *at));
    fn root(group: &mut [usize], mut at: usize) -> usize {
        while let Some(next) = group.get(at).copied().filter(|next| *next != at) {
            let beyond = group.get(next).copied().unwrap_or(next);
            group.get_mut(at).into_iter().for_each(|g| *g = beyond);
            at = beyond;
        }
        at
    }
    for equation in &system.equations {
        let mut first = None;
        for at in equation.cells().filter(|at| group.get(*at).is_some_and(|g| *g != KNOWN)).collect::<Vec<_>>() {
            let own = root(&mut group, at);
            let first = *first.get_or_insert(own);
            group.get_mut(own).into_iter().for_each(|g| *g = first);
        }
    }
    let sought = |at: usize| match goal {
        Goal::Largest(target) | Goal::Smallest(target) | Goal::Near(target, _) => target == at,
        Goal::Nearest => false,
    };
    let fits = |at: usize| system.values.get(at).zip(ranges.get(at)).is_some_and(|(value, range)| range.contains(*value));
    let wanted: BTreeSet<usize> = hidden.iter().filter(|at| sought(**at) || !fits(**at)).map(|at| root(&mut group, *at)).collect();
    hidden.iter().copied().filter(|at| wanted.contains(&root(&mut group, *at))).collect()
}

/// What stands for a cell's deviation in a program: terms of variables, none for a cell that does not move.
type Terms = Vec<(Variable, f64)>;

/// Deviations of the hidden cells, in grid units, unrounded.
fn run(system: &System, hidden: &[usize], ranges: &[Range], goal: Goal, grid: i128, whole: bool) -> Option<Vec<f64>> {
    let (direction, target) = match goal {
        Goal::Largest(at) => (OptimizationDirection::Maximize, Some(at)),
        Goal::Smallest(at) => (OptimizationDirection::Minimize, Some(at)),
        Goal::Nearest | Goal::Near(..) => (OptimizationDirection::Minimize, None),
    };
    let mut problem = Problem::new(direction);
    let mut terms: Vec<Terms> = vec![Vec::new(); system.values.len()];
    let narrow = |v: i128| i32::try_from(v.clamp(-(1 << 30), 1 << 30)).ok();
    let mut variable = |weight: f64, low: i128, high: i128| {
        Some(if whole {
            problem.add_integer_var(weight, (narrow(low)?, narrow(high)?))
        } else {
            problem.add_var(weight, (double(low), double(high)))
        })
    };
    for at in hidden {
        let (low, high) = room(*system.values.get(*at)?, ranges.get(*at)?, grid)?;
        let own = terms.get_mut(*at)?;
        match goal {
            Goal::Near(target, needed) if target == *at => {
                let (low, high) = beyond(needed, grid, (low, high))?;
                own.push((variable(0.0, low, high)?, 1.0));
            }
            Goal::Near(..) | Goal::Nearest => {
                own.push((variable(1.0, low.max(0), high.max(0))?, 1.0));
                own.push((variable(1.0, (-high).max(0), (-low).max(0))?, -1.0));
            }
            _ => own.push((variable(if target == Some(*at) { 1.0 } else { 0.0 }, low, high)?, 1.0)),
        }
    }
    for equation in &system.equations {
        constrain(&mut problem, system, equation, &terms, grid)?;
    }
    let mut options = SolveOptions::default();
    options.node_limit = Some(NODES_MAX);
    let outcome = problem.solve_with(options).ok()?;
    let solution = outcome.solution()?;
    let deviation = |own: &Terms| own.iter().map(|(v, factor)| factor * solution.var_value(*v)).sum();
    hidden.iter().map(|at| terms.get(*at).map(deviation)).collect()
}

/// Of the deviations between `room`'s ends those of at least `needed`, away from zero and by whole grid units.
fn beyond(needed: i128, grid: i128, (low, high): (i128, i128)) -> Option<(i128, i128)> {
    let least = if needed > 0 { ceil_div(needed, grid) } else { -ceil_div(-needed, grid) };
    let (low, high) = if least > 0 { (low.max(least), high) } else { (low, high.min(least)) };
    (low <= high).then_some((low, high))
}

/// The shown cells that have to move so that the cell at `target` moves by `needed` (above 0: up), where moving a shown cell costs
/// `cost` a grid unit and moving a hidden one nothing. The heuristic of Kelly, Golden and Assad (1992): the support of a cheapest flow.
/// `None` where no set of cells will do.
pub(super) fn cheapest(
    system: &System,
    hidden: &[usize],
    ranges: &[Range],
    (target, needed): (usize, i128),
    cost: impl Fn(usize) -> f64,
) -> Option<Vec<usize>> {
    let grid = grid(system, hidden);
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    let mut terms: Vec<Terms> = vec![Vec::new(); system.values.len()];
    let mut is_hidden = vec![false; system.values.len()];
    hidden.iter().for_each(|at| is_hidden.get_mut(*at).into_iter().for_each(|h| *h = true));
    for (at, value) in system.values.iter().enumerate().filter(|(at, _)| system.is_bound(*at)) {
        let (mut low, mut high) = room(*value, ranges.get(at)?, grid)?;
        if at == target {
            (low, high) = beyond(needed, grid, (low, high))?;
        }
        let own = terms.get_mut(at)?;
        if is_hidden.get(at).copied().unwrap_or(false) {
            own.push((problem.add_var(0.0, (double(low), double(high))), 1.0));
        } else {
            // The share of the cell's cost that one unit is of what it would have to move, if it moved all of it.
            let least = ceil_div(needed.abs(), grid);
            for (room, sign) in [(high.max(0), 1.0), ((-low).max(0), -1.0)] {
                own.push((problem.add_var(cost(at) / double(room.min(least).max(1)), (0.0, double(room))), sign));
            }
        }
    }
    for equation in &system.equations {
        constrain(&mut problem, system, equation, &terms, grid)?;
    }
    let outcome = problem.solve().ok()?;
    let solution = outcome.solution()?;
    let moves = |at: &usize| terms.get(*at).is_some_and(|own| own.iter().any(|(v, _)| solution.var_value(*v) > 0.5));
    Some((0..system.values.len()).filter(|at| !is_hidden.get(*at).copied().unwrap_or(true) && moves(at)).collect())
}

/// By how many grid units a value may move down and up: rounded inwards.
fn room(value: i128, range: &Range, grid: i128) -> Option<(i128, i128)> {
    let low = ceil_div(range.low.checked_sub(value)?, grid).max(-REACH_MAX);
    let high = range.high.checked_sub(value)?.div_euclid(grid).min(REACH_MAX);
    (low <= high).then_some((low, high))
}

#[allow(clippy::cast_precision_loss)]
fn double(value: i128) -> f64 {
    value as f64
}

/// Adds what an equation says of the deviations; an equation of cells that do not move says nothing.
fn constrain(problem: &mut Problem, system: &System, equation: &Equation, terms: &[Terms], grid: i128) -> Option<()> {
    let of = |at: usize| terms.get(at).map_or(&[][..], Vec::as_slice);
    let mut sum = LinearExpr::empty();
    let mut moving = false;
    let mut add = |sum: &mut LinearExpr, at: usize, sign: f64| {
        for (variable, factor) in of(at) {
            sum.add(*variable, sign * factor);
            moving = true;
        }
    };
    equation.parts.iter().for_each(|part| add(&mut sum, *part, 1.0));
    add(&mut sum, equation.whole, -1.0);
    if !moving {
        return Some(());
    }
    if equation.relation == Relation::Equal {
        problem.add_constraint(sum, ComparisonOp::Eq, 0.0);
        return Some(());
    }
    // max ≤ union ≤ sum, in deviations, with the slack that the truth leaves rounded inwards.
    let value = |at: usize| system.values.get(at).copied();
    let slack = |room: i128| double(room.div_euclid(grid).clamp(0, REACH_MAX));
    let total = equation.parts.iter().try_fold(0i128, |sum, p| sum.checked_add(value(*p)?))?;
    problem.add_constraint(sum, ComparisonOp::Ge, -slack(total.checked_sub(value(equation.whole)?)?));
    for part in equation.parts.iter().filter(|p| !of(**p).is_empty() || !of(equation.whole).is_empty()) {
        let mut over = LinearExpr::empty();
        of(*part).iter().for_each(|(v, factor)| over.add(*v, *factor));
        of(equation.whole).iter().for_each(|(v, factor)| over.add(*v, -factor));
        problem.add_constraint(over, ComparisonOp::Le, slack(value(equation.whole)?.checked_sub(value(*part)?)?));
    }
    Some(())
}

fn ceil_div(value: i128, by: i128) -> i128 {
    -(-value).div_euclid(by)
}

/// The rounded point as a whole table, where every bound and equation holds exactly.
fn verified(system: &System, hidden: &[usize], ranges: &[Range], deviations: &[f64], grid: i128) -> Option<Vec<i128>> {
    let mut values = system.values.clone();
    for (at, deviation) in hidden.iter().zip(deviations) {
        let rounded = deviation.round();
        if !rounded.is_finite() || rounded.abs() > 1.8e16 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation)]
        let moved = i128::from(rounded as i64).checked_mul(grid)?;
        let value = values.get_mut(*at)?;
        *value = value.checked_add(moved)?;
        if !ranges.get(*at)?.contains(*value) {
            return None;
        }
    }
    system.equations.iter().all(|e| e.holds(&values)).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::super::system::Statistic;
    use super::*;

    /// Two tables of their own: 30 = 3 + 12 + 15, and 9 = 4 + 5.
    fn system() -> System {
        let place = |key: &str, label: Option<&str>| {
            label.map(|l| (key.to_owned(), Some(l.to_owned()))).into_iter().chain([("t".to_owned(), Some(key.to_owned()))]).collect()
        };
        let places: Vec<super::super::Place> =
            [("a", Some("1")), ("a", Some("2")), ("a", Some("3")), ("a", None), ("b", Some("1")), ("b", Some("2")), ("b", None)]
                .map(|(key, label)| place(key, label))
                .to_vec();
        let members: Vec<_> = places.iter().enumerate().zip([3, 12, 15, 30, 4, 5, 9]).map(|((i, p), v)| (i, p, v)).collect();
        let mut system = System::new(Statistic::Rows, &members).unwrap();
        system.equations.retain(|e| e.whole == 3 || e.whole == 6);
        system
    }

    #[test]
    fn what_is_near_moves_no_farther_than_it_has_to() {
        let (system, wide) = (system(), vec![Range { low: 0, high: 100 }; 8]);
        let hidden = [0, 1, 2, 4, 5];
        let solved = |goal| solve(&system, &hidden, &wide[..system.values.len()], goal, &mut 0).unwrap();
        assert_eq!(solved(Goal::Largest(0))[0], 30);
        assert_eq!(solved(Goal::Near(0, 2))[0], 5);
        assert_eq!(solved(Goal::Near(1, -5))[1], 7);
        assert!(solve(&system, &hidden, &wide[..system.values.len()], Goal::Near(0, 28), &mut 0).is_none());
    }

    #[test]
    fn only_what_hangs_together_is_looked_at() {
        let (system, mut ranges) = (system(), vec![Range { low: 0, high: 100 }; 8]);
        let hidden = [0, 1, 2, 4, 5];
        assert_eq!(linked(&system, &hidden, &ranges, Goal::Largest(1)), [0, 1, 2]);
        assert_eq!(linked(&system, &hidden, &ranges, Goal::Nearest), [0usize; 0]);
        // A cell that may not stay as it is has to move too.
        ranges[5] = Range { low: 0, high: 3 };
        assert_eq!(linked(&system, &hidden, &ranges, Goal::Nearest), [4, 5]);
        assert_eq!(solve(&system, &hidden, &ranges[..system.values.len()], Goal::Nearest, &mut 0).unwrap()[..], [3, 12, 15, 30, 6, 3, 9]);
    }
}
