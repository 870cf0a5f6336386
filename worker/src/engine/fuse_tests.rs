//! Fusion against a naive one: nested loops over decoded rows, floating nothing.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use protocol::column::Column;
use protocol::memfd::sealed;
use protocol::message::{EngineFailure, SecretKey, Source};
use protocol::plan::*;
use protocol::schema::{ColumnType, LinkageKey, Role};

use super::fuse::fuse;
use super::output;
use super::testing::*;

struct Naive {
    rows: Vec<Row>,
    matched: Vec<u64>,
    consented: Vec<u64>,
    filtered: Vec<u64>,
}

impl Naive {
    fn of(case: &Case) -> Self {
        let plan = &case.plan;
        let cell = |m: usize, c: u16, row: usize| case.members[m].data[usize::from(c)][row].clone();
        let consented = |m: usize, row: usize| match &case.members[m].consents {
            None => true,
            Some([u, p, e]) => cell(m, 0, row)
                .is_some_and(|unit| (0..u.len()).any(|i| u[i] == Some(unit.clone()) && p[i] == text("credit") && e[i] >= int(100))),
        };
        let passes = |m: usize, row: usize| {
            plan.members[m].filters.iter().all(|f| {
                let Some(v) = cell(m, f.column, row) else { return false };
                f.values.iter().any(|l| {
                    let l = match l {
                        Literal::Int(i) => Val::Int(*i),
                        Literal::Text(t) => Val::Text(t.clone()),
                    };
                    match f.op {
                        FilterOp::Eq | FilterOp::In => v == l,
                        FilterOp::Ne => v != l,
                        FilterOp::Lt => v < l,
                        FilterOp::Le => v <= l,
                        FilterOp::Gt => v > l,
                        FilterOp::Ge => v >= l,
                    }
                })
            })
        };
        let rows = |m: usize, filtered: bool| -> Vec<usize> {
            (0..case.members[m].data[0].len()).filter(|r| consented(m, *r) && (!filtered || passes(m, *r))).collect()
        };
        let joined = |filtered: bool, all_left: bool| -> Vec<Vec<Option<usize>>> {
            let mut joined: Vec<Vec<Option<usize>>> = rows(0, filtered).into_iter().map(|r| vec![Some(r)]).collect();
            for (j, join) in plan.joins.iter().enumerate() {
                let mut next = Vec::new();
                for row in joined {
                    let equal = |r: &usize| {
                        join.on.iter().all(|(from, to)| {
                            let a = row[usize::from(from.member)].and_then(|i| cell(from.member.into(), from.column, i));
                            a.is_some() && a == cell(j + 1, *to, *r)
                        })
                    };
                    let partners: Vec<usize> = rows(j + 1, filtered).into_iter().filter(equal).collect();
                    for p in &partners {
                        next.push([row.clone(), vec![Some(*p)]].concat());
                    }
                    if partners.is_empty() && (all_left || join.kind == JoinKind::Left) {
                        next.push([row.clone(), vec![None]].concat());
                    }
                }
                joined = next;
            }
            joined
        };
        let unfiltered = joined(false, true);
        let matched = |m: usize| unfiltered.iter().filter(|r| r[m].is_some()).map(|r| r[0]).collect::<BTreeSet<_>>().len() as u64;
        let mut out = Vec::new();
        for row in joined(true, false) {
            let get = |from: ColumnRef| row[usize::from(from.member)].and_then(|i| cell(from.member.into(), from.column, i));
            let Some(unit) = get(plan.unit) else { continue };
            let values = plan.outputs.iter().map(|o| get(o.from).and_then(|v| transform(case, &o.transform, v))).collect();
            let foreign = {
                let carriers = plan.carriers();
                let counts = |m: usize| if carriers.is_empty() { !plan.members[m].operator_owned } else { carriers.contains(&(m as u16)) };
                row.iter().enumerate().any(|(m, r)| r.is_some() && counts(m))
            };
            out.push((values, unit, foreign));
        }
        let count = |filtered| (0..3).map(|m| rows(m, filtered).len() as u64).collect();
        Self { rows: out, matched: (0..3).map(matched).collect(), consented: count(false), filtered: count(true) }
    }
}

fn transform(case: &Case, transform: &Transform, value: Val) -> Opt {
    match (transform, value) {
        (Transform::Keep, v) => Some(v),
        (Transform::Pseudonym, Val::Text(t)) => int(digest(&case.pseudonym, &t)),
        (Transform::Clamp { .. }, Val::Int(v)) => int(v.clamp(10, 900)),
        (Transform::Bands { .. }, Val::Int(v)) => text(if v < 100 {
            "low"
        } else if v < 500 {
            "mid"
        } else {
            "high"
        }),
        (Transform::Bucket(_), Val::Int(day)) => int(match day {
            ..-31 => -61,
            -31..0 => -31,
            0..31 => 0,
            _ => 31,
        }),
        (Transform::Prefix { .. }, Val::Text(t)) => text(&t.chars().take(1).collect::<String>()),
        (Transform::Mask, _) => None,
        (t, v) => panic!("{t:?} of {v:?}"),
    }
}

#[test]
fn views_equal_a_naive_fusion_on_any_number_of_threads() {
    let mut rows = 0;
    for seed in 0..80 {
        let case = case(seed);
        let naive = Naive::of(&case);
        let fused = case.fuse(1).unwrap();
        let mut expected: Vec<Row> = naive.rows;
        for row in &mut expected {
            let Val::Text(unit) = &row.1 else { panic!() };
            row.1 = Val::Int(digest(&NAMESPACE, unit));
        }
        let mut got = decoded(&fused);
        rows += got.len();
        // Rows of a unit stand together.
        let mut units: Vec<Val> = got.iter().map(|r| r.1.clone()).collect();
        units.dedup();
        assert_eq!(units.len() as u64, fused.report.units, "seed {seed}");
        assert_eq!(units.iter().collect::<BTreeSet<_>>().len(), units.len(), "seed {seed}");
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "seed {seed}");
        let report = |f: &dyn Fn(&MemberReport) -> u64| fused.report.members.iter().map(f).collect::<Vec<_>>();
        assert_eq!(report(&|m| m.base_rows_matched), naive.matched, "seed {seed}");
        assert_eq!(report(&|m| m.rows_consented), naive.consented, "seed {seed}");
        assert_eq!(report(&|m| m.rows_filtered), naive.filtered, "seed {seed}");
        let again = case.fuse(3).unwrap();
        assert_eq!(again.columns, fused.columns);
        for (a, b) in again.descriptors.iter().zip(&fused.descriptors) {
            assert_eq!(raw(a), raw(b), "seed {seed}");
        }
        // Category dictionaries: declared ones whole, found ones sorted and used.
        let words = decode(&fused.descriptors[6]).into_iter().flatten().collect::<BTreeSet<_>>();
        let bytes = raw(&fused.descriptors[6]);
        let aligned = protocol::column::AlignedBytes::from(bytes.as_slice());
        let labels = Column::parse(aligned.as_slice()).unwrap().labels().iter().map(|l| Val::Text((*l).to_owned())).collect::<Vec<_>>();
        assert_eq!(labels, words.into_iter().collect::<Vec<_>>());
    }
    assert!(rows > 500, "the cases say nothing: {rows} rows");
}

#[test]
fn pseudonyms_are_the_projects_own() {
    let mut a = case(5);
    let mut b = a.clone();
    a.pseudonym = [1; 32];
    b.pseudonym = [2; 32];
    let who = |c: &Case| decode(&c.fuse(1).unwrap().descriptors[0]).into_iter().flatten().collect::<BTreeSet<_>>();
    let (mine, theirs) = (who(&a), who(&b));
    assert!(!mine.is_empty() && mine.is_disjoint(&theirs));
    assert_eq!(mine, who(&a));
    let units = |c: &Case| decode(&c.fuse(1).unwrap().descriptors[8]).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(units(&a), units(&b));
}

#[test]
fn what_is_wrong_is_told_as_what_it_is() {
    let case = case(5);
    type Change<'a> = &'a dyn Fn(&mut FusePlan, &mut Vec<Source>, &mut Vec<OwnedFd>);
    let go = |change: Change<'_>| {
        let (mut sources, mut fds) = case.sources();
        let mut plan = case.plan.clone();
        change(&mut plan, &mut sources, &mut fds);
        fuse(&plan, sources, fds, case.keys(), 10_000).map(|_| ()).unwrap_err()
    };
    assert_eq!(go(&|_, s, _| s[1].key = SecretKey([0; 32])), EngineFailure::Segment);
    assert_eq!(go(&|_, s, _| s[1].context.push('x')), EngineFailure::Segment);
    assert_eq!(go(&|_, _, f| f[0] = sealed("t", b"short").unwrap()), EngineFailure::Segment);
    assert_eq!(go(&|_, s, f| f.truncate(s.len() - 1)), EngineFailure::Plan);
    assert_eq!(
        go(&|_, s, f| {
            s.pop();
            f.pop();
        }),
        EngineFailure::Plan
    );
    assert_eq!(go(&|p, _, _| p.members[0].rows += 1), EngineFailure::Column);
    assert_eq!(go(&|p, _, _| p.members[0].columns[1].ty = category(&["A", "B", "D"])), EngineFailure::Column);
    assert_eq!(go(&|p, _, _| p.members[0].columns[2].ty = ColumnType::Number { scale: 2, min: 0, max: 1 }), EngineFailure::Column);
    assert_eq!(go(&|p, _, _| p.outputs[0].transform = Transform::Keep), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.outputs[0].transform = Transform::Prefix { characters: 99 }), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.outputs[2].transform = Transform::Clamp { min: 2, max: 1 }), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.outputs[4].transform = Transform::Pseudonym), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.joins[0].on[0].0 = at(1, 0)), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.joins[0].on = vec![(at(0, 2), 1)]), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.unit = at(0, 2)), EngineFailure::Plan);
    assert_eq!(go(&|p, _, _| p.outputs[1].from = at(7, 0)), EngineFailure::Plan);
}

#[test]
fn rows_that_multiply_are_bounded_before_they_are_made() {
    let ids = |n| vec![(0..n).map(|_| text("U")).collect::<Vec<_>>()];
    let id = || vec![column("id", Role::DirectIdentifier, TEXT, Some(LinkageKey::Uscc))];
    let (a, b) = (member("a", id(), ids(200)), member("b", id(), ids(200)));
    let plan = FusePlan {
        members: vec![a.plan.clone(), b.plan.clone()],
        joins: vec![PlanJoin { kind: JoinKind::Inner, on: vec![(at(0, 0), 0)] }],
        outputs: vec![out("who", at(0, 0), Transform::Pseudonym)],
        unit: at(0, 0),
        purpose: String::new(),
        today: 0,
        identity: RowIdentity { member: 0, dataset: "d".to_owned(), columns: vec![IdentityColumn::Loaded(0)] },
        threads: 1,
    };
    let failure = Case { members: vec![a, b], plan, pseudonym: [1; 32] }.fuse(1).map(|_| ()).unwrap_err();
    assert!(matches!(failure, EngineFailure::Limit(l) if l.name == "rows_max" && l.requested == 40_000));
}

#[test]
fn buckets_begin_where_the_calendar_says() {
    use DateBucket::*;
    // 2024-02-29 is day 19782, a Thursday.
    let first = |bucket| output::first_day(19_782, bucket);
    assert_eq!((first(Day), first(Week), first(Month), first(Quarter), first(Year)), (19_782, 19_779, 19_754, 19_723, 19_723));
    assert_eq!(output::first_day(-1, Year), -365);
    assert_eq!(output::first_day(-1, Week), -3);
    assert_eq!(output::first_day(11_016, Month), 10_988, "2000-02-29");
    for day in -800..800 {
        let months: Vec<i64> = [Month, Quarter, Year].iter().map(|b| output::first_day(day, *b)).collect();
        assert!(months[0] <= day && months[1] <= months[0] && months[2] <= months[1] && day - months[2] < 366);
    }
}
