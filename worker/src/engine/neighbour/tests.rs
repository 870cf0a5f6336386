//! A view without a unit against a fusion without it; measures against ones by hand.

use protocol::memfd::SealedFd;
use protocol::plan::Visibility;

use super::super::fuse::Fused;
use super::super::testing::{NAMESPACE, at, case, digest, without as case_without};
use super::*;

fn view(fused: Fused) -> View {
    View::map(fused.columns, fused.descriptors, fused.threads, fused.report.units).unwrap()
}

fn bytes(fd: OwnedFd) -> Vec<u8> {
    SealedFd::verify(fd, 1 << 30).unwrap().read().unwrap().as_slice().to_vec()
}

/// Distinct ordinals in the view's order.
fn units(view: &View) -> Vec<i64> {
    let mut units = view.hidden(Visibility::UnitOrdinal).unwrap().to_vec();
    units.dedup();
    units
}

#[test]
fn a_view_without_a_unit_is_a_fusion_without_it_byte_for_byte() {
    let (mut compared, mut labels_gone) = (0, 0);
    for seed in 0..60 {
        if compared >= 40 {
            break;
        }
        let mut case = case(7000 + seed);
        // Members are joined on the unit; the notes are about nobody.
        case.plan.unit = at(0, 0);
        let all = view(case.fuse(1 + (seed % 3) as u16).unwrap());
        let before = units(&all);
        let place_of = |unit: u64| before.iter().position(|ordinal| *ordinal == digest(&NAMESPACE, &format!("U{unit}")));
        for (unit, place) in (0..7).filter_map(|unit| Some((unit, place_of(unit)?))).take(2) {
            let less = case_without(&case, &format!("U{unit}")).fuse(1).unwrap();
            let granted = less.columns.iter().filter(|c| c.visibility == Visibility::Granted).count();
            let left = less.report.clone();
            let wanted: Vec<Vec<u8>> = less.descriptors.iter().take(granted).map(|fd| bytes(fd.try_clone().unwrap())).collect();
            assert!(!units(&view(less)).contains(&before[place]));
            let (fds, rows) = without(&all, place as u64).unwrap();
            assert_eq!((rows, fds.len()), (left.rows, granted), "seed {seed}, U{unit}");
            let dictionary = |bytes: &[u8]| Column::parse(protocol::column::AlignedBytes::from(bytes).as_slice()).unwrap().labels().len();
            for ((at, fd), wanted) in fds.into_iter().enumerate().zip(&wanted) {
                let found = bytes(fd);
                assert_eq!(&found, wanted, "seed {seed}, U{unit}, column {at}");
                let (described, column) = all.all_granted().nth(at).unwrap().unwrap();
                labels_gone +=
                    usize::from(described.ty == (ViewType::Category { declared: false }) && dictionary(&found) < column.labels().len());
            }
            compared += 1;
        }
    }
    println!("{compared} units left out, a label gone with {labels_gone}");
    assert!(compared >= 40 && labels_gone > 0, "{compared} {labels_gone}");
}

#[test]
fn units_are_measured_as_by_hand_and_the_ones_that_stand_out_are_named() {
    let mut seen = 0;
    for seed in 0..40 {
        let mut case = case(9000 + seed);
        case.plan.unit = at(0, 0);
        let view = view(case.fuse(1).unwrap());
        let ordinals = view.hidden(Visibility::UnitOrdinal).unwrap().to_vec();
        let order = units(&view);
        let columns = ["arrears", "opened", "grade"].map(str::to_owned).to_vec();
        // Distance of each row in each column that tells rows apart, and what it is on average.
        let mut by_hand: Vec<(Vec<f64>, f64)> = Vec::new();
        for name in &columns {
            let (_, column) = view.granted(name).unwrap();
            let value = |row: usize| {
                column.is_valid(row).then(|| column.i64s().map_or_else(|| i64::from(column.codes().unwrap()[row]), |v| v[row]))
            };
            let values: Vec<Option<i64>> = (0..view.rows).map(value).collect();
            let present: Vec<i64> = values.iter().flatten().copied().collect();
            let n = present.len() as f64;
            if column.codes().is_some() {
                let share = |v: i64| present.iter().filter(|o| **o == v).count() as f64 / n;
                let used = present.iter().collect::<std::collections::BTreeSet<_>>().len();
                if used >= 2 {
                    by_hand.push((values.iter().map(|v| v.map_or(0.0, |v| 1.0 / share(v) - 1.0)).collect(), used as f64 - 1.0));
                }
            } else {
                let mean = present.iter().map(|v| *v as f64).sum::<f64>() / n;
                let variance = present.iter().map(|v| (*v as f64 - mean).powi(2)).sum::<f64>() / n;
                if variance > 0.0 {
                    by_hand.push((values.iter().map(|v| v.map_or(0.0, |v| (v as f64 - mean).powi(2) / variance)).collect(), 1.0));
                }
            }
        }
        let places: Vec<u64> = (0..order.len() as u64).collect();
        let request = RankRequest { columns, units: places.clone(), most_rows: 2, farthest: 3 };
        let ranked = rank(&view, &request).unwrap();
        let close = |told: u64, value: f64| (told as f64 / 1000.0 - value).abs() < 0.0011;
        for (unit, ordinal) in ranked.named.iter().zip(&order) {
            let rows: Vec<usize> = (0..view.rows).filter(|row| ordinals[*row] == *ordinal).collect();
            let columns = by_hand.len().max(1) as f64;
            let mean = rows.iter().flat_map(|row| by_hand.iter().map(|(d, average)| d[*row] / average)).sum::<f64>() / columns;
            let largest = rows.iter().map(|row| by_hand.iter().map(|(d, _)| d[*row]).fold(0.0, f64::max)).sum::<f64>();
            assert_eq!(unit.rows, rows.len() as u64);
            assert!(close(unit.mean_permille, mean) && close(unit.largest_permille, largest), "seed {seed}: {unit:?}, {mean} {largest}");
            seen += 1;
        }
        let farthest: Vec<u64> = ranked.farthest.iter().map(|m| m.largest_permille).collect();
        let mut all: Vec<u64> = ranked.named.iter().map(|m| m.largest_permille).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(farthest, all.into_iter().take(3).collect::<Vec<_>>());
        let (most, fewest) = (ranked.named.iter().map(|m| m.rows).max(), ranked.named.iter().map(|m| m.rows).min());
        match ranked.most_rows.first() {
            Some(first) => assert!(Some(first.rows) == most && first.rows > fewest.unwrap()),
            None => assert_eq!(most, fewest),
        }
        // What is none is not measured.
        let refused = |request: RankRequest| assert_eq!(rank(&view, &request), Err(EngineFailure::Plan));
        refused(RankRequest { units: vec![order.len() as u64], ..request.clone() });
        refused(RankRequest { columns: vec!["unit_ordinal".to_owned()], ..request.clone() });
        refused(RankRequest { units: vec![0; RANKED_MAX + 1], ..request });
        for place in [order.len() as u64, u64::MAX] {
            assert_eq!(without(&view, place).map(drop), Err(EngineFailure::Plan));
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn an_operators_own_value_counts_no_more_than_any_other() {
    let scale = |far: i64| {
        let mut values = vec![0i64; 999];
        values.iter_mut().step_by(2).for_each(|v| *v = 2);
        values.push(far);
        let mut out = Vec::new();
        protocol::column::write_column(protocol::column::Parts::I64(&values), None, &mut out).unwrap();
        let memory = protocol::column::AlignedBytes::from(out.as_slice());
        let column = Column::parse(memory.as_slice()).unwrap();
        let scales: Vec<Scale<'_>> = Scale::of(&ViewType::Number { scale: 0, min: 0, max: i64::MAX }, column).into_iter().collect();
        measured(0, 999..1000, &scales).largest_permille
    };
    assert_eq!(scale(1 << 40), 100_000);
    assert!(scale(3) < 100_000);
}
