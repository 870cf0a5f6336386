use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use proptest::prelude::*;
use protocol::fold::*;
use protocol::manifest::{FoldColumn, FoldType};
use protocol::message::SecretKey;
use protocol::plan::Visibility;

use super::super::testing::{Case, Rng, at, case, text, without};
use super::blocks::Units;
use super::columns::Columns;
use super::reduce::Sums;
use super::*;

fn plan(blocks: Blocks, rows_per_unit_max: u32, clip: Clip, map: FoldMap) -> FoldPlan {
    FoldPlan { blocks, isolation: Isolation::Instance, rows_per_unit_max, clip, map, key: SecretKey([5; 32]) }
}

fn clip(norm: Norm, dimension: u32, bound: i64) -> Clip {
    Clip { dimension, norm, bound, scale: 0 }
}

fn view(case: &Case) -> View {
    let fused = case.fuse(2).unwrap();
    View::map(fused.columns, fused.descriptors, 2, fused.report.units).unwrap()
}

fn wanted() -> Vec<FoldColumn> {
    let column = |name: &str, ty| FoldColumn { name: name.into(), ty };
    let labels = |of: &[&str]| FoldType::Category { labels: of.iter().map(|s| (*s).to_owned()).collect() };
    vec![
        column("grade", labels(&["B", "A"])),
        column("arrears", FoldType::Number { scale: 2 }),
        column("opened", FoldType::Date),
        column("amount", FoldType::Number { scale: 0 }),
        // Found in the data: which labels there are depends on everybody, their numbers in a declaration do not.
        column("words", labels(&["丁", "甲"])),
    ]
}

/// Of each unit (by ordinal) its block and the rows that take part.
type Parts = BTreeMap<i64, (usize, Vec<Vec<Option<i64>>>)>;

fn parts(view: &View, blocks: Blocks, rows_max: u32) -> Parts {
    let columns = Columns::of(view, &wanted()).unwrap();
    let plan = plan(blocks, rows_max, clip(Norm::L2, 1, 1), FoldMap::Module { columns: wanted() });
    let units = Units::of(view, &plan, columns.count()).unwrap();
    let ordinals = view.hidden(Visibility::UnitOrdinal).unwrap();
    let mut parts = Parts::new();
    for block in 0..units.blocks() {
        for rows in units.rows_of(block, &columns) {
            assert!(!rows.is_empty() && rows.len() <= rows_max as usize && rows.is_sorted());
            let ordinal = ordinals[rows[0]];
            assert!(rows.iter().all(|r| ordinals[*r] == ordinal));
            let rows = rows.iter().map(|r| columns.iter().map(|c| c.get(*r)).collect()).collect();
            let numbered = if blocks == Blocks::PerUnit { 0 } else { block };
            assert!(parts.insert(ordinal, (numbered, rows)).is_none(), "a unit in two blocks");
        }
    }
    assert_eq!(parts.len() as u64, view.units);
    parts
}

#[test]
fn removing_one_unit_changes_no_other_units_rows() {
    let (mut compared, mut cut) = (0, 0);
    for seed in 0..60 {
        let mut case = case(1000 + seed);
        // Members are joined on the unit; the notes are about nobody.
        case.plan.unit = at(0, 0);
        let (all_of, less_of) = (view(&case), view(&without(&case, &format!("U{}", seed % 7))));
        for blocks in [Blocks::PerUnit, Blocks::Shared(3)] {
            for rows_max in [1, 2, 50] {
                let (all, less) = (parts(&all_of, blocks, rows_max), parts(&less_of, blocks, rows_max));
                let gone: Vec<_> = all.keys().filter(|ordinal| !less.contains_key(ordinal)).collect();
                assert!(gone.len() <= 1, "seed {seed}: {} units went with one", gone.len());
                for (ordinal, part) in &less {
                    assert_eq!(all.get(ordinal), Some(part), "seed {seed}, {blocks:?}, at most {rows_max} rows");
                    compared += 1;
                    cut += usize::from(part.1.len() == rows_max as usize);
                }
            }
        }
    }
    assert!(compared > 500 && cut > 100, "{compared} {cut}");
}

fn adversarial() -> impl Strategy<Value = f64> {
    let special = [1e308, -1e308, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0, 0.0, 1.0, -1.0, 0.1, 1e16, 9007199254740993.0];
    prop_oneof![
        3 => any::<f64>(),
        3 => proptest::sample::select(special.to_vec()),
        2 => -10.0..10.0f64,
        1 => proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

fn norms() -> impl Strategy<Value = Norm> {
    proptest::sample::select(vec![Norm::L1, Norm::L2, Norm::Max])
}

fn reduced(clip: Clip, contribution: &Contribution) -> Vec<i64> {
    let mut sums = Sums::zero(clip);
    sums.add(contribution);
    sums.finish().into_iter().map(|s| i64::try_from(s).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_contribution_exceeds_the_integer_norm(
        values in proptest::collection::vec(adversarial(), 1..40), norm in norms(), log in 0u32..=52, scale in 0u8..=9, long in 1usize..2000
    ) {
        // Up to 80,000 coordinates: what rounding adds up to is largest there.
        let values: Vec<f64> = values.iter().copied().cycle().take(values.len() * long).collect();
        let clip = Clip { dimension: values.len() as u32, norm, bound: 1 << log, scale };
        let all_finite = values.iter().all(|v| v.is_finite());
        let dense = reduced(clip, &Contribution::Dense(Floats(values.clone())));
        prop_assert!(clip.holds(dense.iter().copied()));
        prop_assert!(all_finite || dense.iter().all(|s| *s == 0));
        let all: Vec<u32> = (0..clip.dimension).collect();
        prop_assert_eq!(&reduced(clip, &Contribution::Sparse(Indexes(all), Floats(values.clone()))), &dense);
        // Cut toward zero, never away from it.
        prop_assert!(dense.iter().zip(&values).all(|(s, v)| *s == 0 || ((*s > 0) == (*v > 0.0) && s.unsigned_abs() as f64 <= v.abs() * 10f64.powi(scale.into()) * (1.0 + 1e-12))));
    }

    #[test]
    fn within_the_bound_nothing_is_lost(values in proptest::collection::vec(-1000i64..1000, 1..20), norm in norms()) {
        let floats: Vec<f64> = values.iter().map(|v| *v as f64).collect();
        let clip = clip(norm, values.len() as u32, 1 << 40);
        prop_assert_eq!(reduced(clip, &Contribution::Dense(Floats(floats))), values);
    }
}

#[test]
fn malformed_contributions_are_nothing() {
    let c = clip(Norm::L2, 3, 100);
    let sparse = |at: &[u32], values: &[f64]| Contribution::Sparse(Indexes(at.to_vec()), Floats(values.to_vec()));
    for (contribution, expected) in [
        (Contribution::Nothing, [0, 0, 0]),
        (Contribution::Dense(Floats(vec![1.0, 2.0])), [0, 0, 0]),
        (Contribution::Dense(Floats(vec![1.0, 2.0, 3.0, 4.0])), [0, 0, 0]),
        (Contribution::Dense(Floats(vec![1.0, f64::NAN, 3.0])), [0, 0, 0]),
        (Contribution::Dense(Floats(vec![1.9, -2.9, -0.0])), [1, -2, 0]),
        (sparse(&[0, 2], &[1.0, 5.0]), [1, 0, 5]),
        (sparse(&[2, 0], &[1.0, 5.0]), [0, 0, 0]),
        (sparse(&[1, 1], &[1.0, 5.0]), [0, 0, 0]),
        (sparse(&[3], &[1.0]), [0, 0, 0]),
        (sparse(&[0, 1], &[1.0]), [0, 0, 0]),
        (sparse(&[], &[]), [0, 0, 0]),
    ] {
        assert_eq!(reduced(c, &contribution), expected, "{contribution:?}");
    }
}

#[test]
fn built_in_sums_equal_a_naive_computation() {
    for seed in 0..40 {
        let mut case = case(5000 + seed);
        case.plan.unit = at(0, 0);
        let view = view(&case);
        for rows_max in [1u32, 3] {
            let rows: Vec<Vec<Option<i64>>> = parts_of(&view, rows_max);
            let sum = |f: &dyn Fn(&[Option<i64>]) -> i64| rows.iter().map(|r| i128::from(f(r))).sum::<i128>();
            let run = |bound: i64, dimension: u32, map: BuiltIn| {
                let plan = plan(Blocks::PerUnit, rows_max, clip(Norm::L1, dimension, bound), FoldMap::BuiltIn(map.clone()));
                let fold = Fold::new(&view, &plan).unwrap();
                built_in::sums(fold.view, &plan, &map).unwrap()
            };
            assert_eq!(run(9, 1, BuiltIn::Count), [rows.len() as i128]);
            let (column, r) = ("amount".to_owned(), i64::from(rows_max));
            let clamped = sum(&|r| r[0].map_or(0, |v| v.clamp(-20, 30)));
            assert_eq!(run(30 * r, 1, BuiltIn::Sum { column: column.clone(), min: -20, max: 30 }), [clamped]);
            let mean = BuiltIn::Mean { column: column.clone(), min: -20, max: 30, centre: 5, weight: 16 };
            let away = sum(&|r| r[0].map_or(0, |v| v.clamp(-20, 30) - 5));
            assert_eq!(run(41 * r, 2, mean), [away, sum(&|r| i64::from(r[0].is_some()) * 16)]);
            let bins = run(r, 3, BuiltIn::Bins { column, cuts: vec![-10, 10] });
            assert_eq!(bins[0], sum(&|r| i64::from(r[0].is_some_and(|v| v < -10))));
            assert_eq!(bins[1], sum(&|r| i64::from(r[0].is_some_and(|v| (-10..10).contains(&v)))));
        }
    }
}

/// Rows that take part by the amount alone, as what is built in chooses them.
fn parts_of(view: &View, rows_max: u32) -> Vec<Vec<Option<i64>>> {
    let wanted = [FoldColumn { name: "amount".into(), ty: FoldType::Number { scale: 0 } }];
    let columns = Columns::of(view, &wanted).unwrap();
    let plan = plan(Blocks::PerUnit, rows_max, clip(Norm::L1, 1, 1), FoldMap::BuiltIn(BuiltIn::Count));
    let units = Units::of(view, &plan, 1).unwrap();
    let rows = (0..units.blocks()).flat_map(|b| units.rows_of(b, &columns)).flatten();
    rows.map(|row| columns.iter().map(|c| c.get(row)).collect()).collect()
}

#[test]
fn bounds_that_a_unit_could_exceed_are_refused() {
    let mut case = case(5001);
    case.plan.unit = at(0, 0);
    let view = view(&case);
    let sum = |min, max| FoldMap::BuiltIn(BuiltIn::Sum { column: "amount".into(), min, max });
    let fold = |plan: &FoldPlan| Fold::new(&view, plan).map(drop);
    let bound = Err(EngineFailure::Fold(FoldError::Bound));
    assert_eq!(fold(&plan(Blocks::PerUnit, 2, clip(Norm::L1, 1, 60), sum(-20, 30))), Ok(()));
    assert_eq!(fold(&plan(Blocks::PerUnit, 2, clip(Norm::L1, 1, 59), sum(-20, 30))), bound);
    assert_eq!(fold(&plan(Blocks::PerUnit, 2, clip(Norm::L1, 2, 60), sum(-20, 30))), bound);
    assert_eq!(fold(&plan(Blocks::PerUnit, 0, clip(Norm::L1, 1, 60), sum(-20, 30))), bound);
    assert_eq!(fold(&plan(Blocks::Shared(0), 1, clip(Norm::L1, 1, 60), sum(-20, 30))), bound);
    assert_eq!(fold(&plan(Blocks::PerUnit, 2, clip(Norm::L1, 1, 60), sum(30, -20))), bound);
    let missing = FoldMap::BuiltIn(BuiltIn::Labels { column: "amount".into(), labels: vec!["x".into()] });
    assert_eq!(fold(&plan(Blocks::PerUnit, 1, clip(Norm::L1, 1, 60), missing)), Err(EngineFailure::Fold(FoldError::Column)));
}

/// What a guest of a test does with a batch; `None`: its process ends.
type Guest = fn(&BlockBatch) -> Option<Vec<Contribution>>;

/// One round over the case's per-unit blocks, with guests that do as `guest` says; sums, and how many guests there were.
fn round(case: &Case, guest: Guest) -> (Result<Vec<i128>, EngineFailure>, usize) {
    let (server, theirs) = Channel::pair().unwrap();
    let view = view(case);
    let map = FoldMap::Module { columns: vec![FoldColumn { name: "amount".into(), ty: FoldType::Number { scale: 0 } }] };
    let plan = plan(Blocks::PerUnit, 50, clip(Norm::L1, 2, 1000), map);
    std::thread::scope(move |scope| {
        // Ours in here: when it goes, the engine hangs up.
        let mut server = server;
        scope.spawn(move || serve(&mut Channel::new(theirs), &view, &plan));
        assert_eq!(server.receive::<EngineReply>().unwrap().0, EngineReply::Ready);
        server.send(&EngineRequest::Round(Floats(vec![1.5])), &[]).unwrap();
        let (mut guests, mut sums) = (0, Vec::new());
        loop {
            match server.receive::<EngineReply>().unwrap().0 {
                EngineReply::GuestWanted => {
                    guests += 1;
                    let (engine, ours) = UnixStream::pair().unwrap();
                    server.send(&EngineRequest::Guest, &[engine.as_fd()]).unwrap();
                    scope.spawn(move || {
                        let mut channel = Channel::plain(ours);
                        assert_eq!(channel.receive::<MapRequest>().unwrap().0, MapRequest::State(Floats(vec![1.5])));
                        while let Ok((MapRequest::Blocks(batch), _)) = channel.receive::<MapRequest>() {
                            let Some(contributions) = guest(&batch) else { return };
                            channel.send(&MapReply(contributions), &[]).unwrap();
                        }
                    });
                }
                EngineReply::Sums(some) => sums.extend(some),
                EngineReply::Done => return (Ok(sums), guests),
                EngineReply::Failed(failure) => return (Err(failure), guests),
                other => panic!("{other:?}"),
            }
        }
    })
}

/// Some with one row, some with several.
fn people() -> Case {
    let mut cases = (0..).map(|i| {
        let mut case = case(7000 + i);
        case.plan.unit = at(0, 0);
        case
    });
    let rows = |c: &Case| parts(&view(c), Blocks::PerUnit, 50).into_values().map(|(_, rows)| rows.len()).collect::<Vec<_>>();
    cases.find(|c| rows(c).iter().filter(|n| **n == 1).count() > 1 && rows(c).iter().filter(|n| **n > 1).count() > 1).unwrap()
}

/// Whether the last block ends its guest: then none is started after it.
fn ends_last(case: &Case) -> bool {
    let view = view(case);
    let wanted = [FoldColumn { name: "amount".into(), ty: FoldType::Number { scale: 0 } }];
    let columns = Columns::of(&view, &wanted).unwrap();
    let plan = plan(Blocks::PerUnit, 50, clip(Norm::L1, 1, 1), FoldMap::BuiltIn(BuiltIn::Count));
    let units = Units::of(&view, &plan, 1).unwrap();
    units.rows_of(units.blocks() - 1, &columns)[0].len() > 1
}

fn ones(batch: &BlockBatch) -> Vec<Contribution> {
    batch.blocks.iter().map(|_| Contribution::Dense(Floats(vec![1.0, 0.0]))).collect()
}

#[test]
fn each_block_is_counted_once_whatever_guests_do() {
    let case = people();
    let units = i128::from(case.fuse(1).unwrap().report.units);
    assert!(units >= 4, "{units}");
    let (sums, guests) = round(&case, |batch| Some(ones(batch)));
    assert_eq!((sums, guests), (Ok(vec![units, 0]), 1));
    // Ends in every batch, and alone on whoever has several rows: those are zero, no other.
    let single = parts(&view(&case), Blocks::PerUnit, 50).values().filter(|(_, rows)| rows.len() == 1).count() as i128;
    let (sums, guests) = round(&case, |batch| (batch.blocks.len() == 1 && batch.units[0] == 1).then(|| ones(batch)));
    assert_eq!((sums, guests as i128), (Ok(vec![single, 0]), 2 + units - single - i128::from(ends_last(&case))));
    // Too few, too many: nothing is taken twice, and nothing for another.
    for wrong in
        [|b: &BlockBatch| Some(ones(b).into_iter().skip(1).collect()), |b: &BlockBatch| Some([ones(b), ones(b)].concat())] as [Guest; 2]
    {
        let (sums, guests) = round(&case, wrong);
        assert_eq!((sums, guests as i128), (Ok(vec![0, 0]), units + 1));
    }
    let (sums, _) = round(&case, |b| Some(b.blocks.iter().map(|_| Contribution::Dense(Floats(vec![1e308, 0.0]))).collect()));
    assert_eq!(sums.unwrap()[0] / units, 999, "each cut to the bound");
}

#[test]
fn guests_that_keep_ending_end_the_fold() {
    let mut case = people();
    // More units than may end a guest.
    let n = 40;
    let mut rng = Rng(99);
    case.members[0].data[0] = (0..n).map(|i| text(&format!("P{i}"))).collect();
    for column in case.members[0].data.iter_mut().skip(1) {
        let some = column.clone();
        *column = (0..n).map(|_| some[rng.below(some.len() as u64) as usize].clone()).collect();
    }
    case.members[0].plan.rows = n;
    case.members[0].plan.consent_unit = None;
    case.members[0].plan.filters.clear();
    case.members[0].consents = None;
    case.plan.members[0] = case.members[0].plan.clone();
    case.plan.joins[0].kind = protocol::plan::JoinKind::Left;
    case.plan.joins[1].kind = protocol::plan::JoinKind::Left;
    let (sums, guests) = round(&case, |_| None);
    assert_eq!(sums, Err(EngineFailure::Fold(FoldError::Restarts)));
    assert_eq!(guests as u32, Limits::STANDARD.fold_restarts_max + 1);
}
