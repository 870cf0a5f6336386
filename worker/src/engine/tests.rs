//! The engine against a naive computation of the same thing: nested loops over decoded rows, floating nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};

use protocol::column::{Column, Parts, write_column};
use protocol::frame::Channel;
use protocol::manifest::{DerivedColumn, DerivedType};
use protocol::memfd::{SealedFd, sealed};
use protocol::message::{EngineFailure, EngineReply, EngineRequest, SecretKey, Source, SourceColumn};
use protocol::plan::*;
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey, Role};
use protocol::seal::{SealKey, seal};
use protocol::table::*;
use ring::hmac;

use super::fuse::{Fused, fuse};
use super::load::Keys;
use super::view::View;
use super::{output, table};

/// A value, decoded: codes as their labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Val {
    Int(i64),
    Text(String),
}
pub(super) type Opt = Option<Val>;

fn int(v: i64) -> Opt {
    Some(Val::Int(v))
}
pub(super) fn text(v: &str) -> Opt {
    Some(Val::Text(v.to_owned()))
}

/// xorshift: the tests' only randomness, seeded.
pub(super) struct Rng(pub(super) u64);
impl Rng {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

fn encode(values: &[Opt], ty: &ColumnType) -> Vec<u8> {
    let bits = || {
        let mut bits = vec![0u8; values.len().div_ceil(8)];
        for i in values.iter().enumerate().filter(|(_, v)| v.is_some()).map(|(i, _)| i) {
            bits[i / 8] |= 1 << (i % 8);
        }
        values.iter().any(Option::is_none).then_some(bits)
    };
    let as_int = |v: &Opt| match v {
        Some(Val::Int(i)) => *i,
        _ => 0,
    };
    let as_text = |v: &Opt| match v {
        Some(Val::Text(t)) => t.clone(),
        _ => String::new(),
    };
    let mut out = Vec::new();
    let offsets = |texts: &[String]| -> Vec<u32> {
        std::iter::once(0)
            .chain(texts.iter().scan(0, |at, t| {
                *at += t.len() as u32;
                Some(*at)
            }))
            .collect()
    };
    let validity = bits();
    match ty {
        ColumnType::Category { domain } => {
            let code = |v: &Opt| domain.iter().position(|d| *d == as_text(v)).unwrap_or(0) as u32;
            let codes: Vec<u32> = values.iter().map(code).collect();
            write_column(Parts::Code(&codes, &offsets(domain), domain.concat().as_bytes()), validity.as_deref(), &mut out).unwrap();
        }
        ColumnType::Text { .. } => {
            let texts: Vec<String> = values.iter().map(as_text).collect();
            write_column(Parts::Text(&offsets(&texts), texts.concat().as_bytes()), validity.as_deref(), &mut out).unwrap();
        }
        _ => {
            let ints: Vec<i64> = values.iter().map(as_int).collect();
            write_column(Parts::I64(&ints), validity.as_deref(), &mut out).unwrap();
        }
    }
    out
}

fn decode(fd: &OwnedFd) -> Vec<Opt> {
    let bytes = SealedFd::verify(fd.try_clone().unwrap(), 1 << 30).unwrap().read().unwrap();
    let column = Column::parse(bytes.as_slice()).unwrap();
    column.validate().unwrap();
    let labels = column.labels();
    (0..column.rows() as usize)
        .map(|i| match (column.i64s(), column.codes()) {
            _ if !column.is_valid(i) => None,
            (Some(v), _) => int(v[i]),
            (_, Some(c)) => text(labels[c[i] as usize]),
            _ => panic!("a text in a view"),
        })
        .collect()
}

fn raw(fd: &OwnedFd) -> Vec<u8> {
    SealedFd::verify(fd.try_clone().unwrap(), 1 << 30).unwrap().read().unwrap().as_slice().to_vec()
}

/// A member with its data: `data[column][row]`.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) plan: PlanMember,
    pub(super) data: Vec<Vec<Opt>>,
    pub(super) consents: Option<[Vec<Opt>; 3]>,
}

#[derive(Clone)]
pub(super) struct Case {
    pub(super) members: Vec<Member>,
    pub(super) plan: FusePlan,
    pseudonym: [u8; 32],
}

pub(super) const NAMESPACE: [u8; 32] = [9; 32];

impl Case {
    fn sources(&self) -> (Vec<Source>, Vec<OwnedFd>) {
        let mut out = Vec::new();
        let mut put = |member: usize, column: SourceColumn, values: &[Opt], ty: &ColumnType| {
            let key = SealKey::random().unwrap();
            let context = format!("c{member}{column:?}");
            let fd = sealed("s", &seal(&key, context.as_bytes(), &encode(values, ty)).unwrap()).unwrap();
            out.push((Source { member: member as u16, column, key: SecretKey(*key.as_bytes()), context }, fd));
        };
        for (m, member) in self.members.iter().enumerate() {
            for (c, (schema, values)) in member.plan.columns.iter().zip(&member.data).enumerate() {
                put(m, SourceColumn::Data(c as u16), values, &schema.ty);
            }
            if let Some([units, purposes, expiries]) = &member.consents {
                put(m, SourceColumn::ConsentUnit, units, &TEXT);
                put(m, SourceColumn::ConsentPurpose, purposes, &TEXT);
                put(m, SourceColumn::ConsentExpiry, expiries, &ColumnType::Date);
            }
        }
        out.into_iter().unzip()
    }
    fn keys(&self) -> Keys {
        Keys { pseudonym: SecretKey(self.pseudonym), namespace: SecretKey(NAMESPACE) }
    }
    pub(super) fn fuse(&self, threads: u16) -> Result<Fused, EngineFailure> {
        let mut plan = self.plan.clone();
        plan.threads = threads;
        plan.identity.member = plan.carriers().first().copied().unwrap_or(plan.unit.member);
        let columns = &plan.members[usize::from(plan.identity.member)].columns;
        plan.identity.columns =
            if plan.carriers().is_empty() { Vec::new() } else { (0..columns.len() as u16).map(IdentityColumn::Loaded).collect() };
        let (sources, fds) = self.sources();
        fuse(&plan, sources, fds, self.keys(), 10_000)
    }
}

const TEXT: ColumnType = ColumnType::Text { bytes_max: 64 };

fn column(name: &str, role: Role, ty: ColumnType, linkage: Option<LinkageKey>) -> ColumnSchema {
    ColumnSchema { name: name.to_owned(), role, ty, linkage, nullable: true }
}
fn category(labels: &[&str]) -> ColumnType {
    ColumnType::Category { domain: labels.iter().map(|s| (*s).to_owned()).collect() }
}
fn member(alias: &str, columns: Vec<ColumnSchema>, data: Vec<Vec<Opt>>) -> Member {
    let plan = PlanMember {
        alias: alias.to_owned(),
        columns,
        rows: data[0].len() as u64,
        operator_owned: false,
        consent_unit: None,
        filters: Vec::new(),
    };
    Member { plan, data, consents: None }
}
pub(super) fn at(member: u16, column: u16) -> ColumnRef {
    ColumnRef { member, column }
}
fn out(name: &str, from: ColumnRef, transform: Transform) -> PlanOutput {
    PlanOutput { name: name.to_owned(), from, transform }
}

/// Firms (base), their loans, and texts by grade; everything about them random.
pub(super) fn case(seed: u64) -> Case {
    let mut r = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let unit = |r: &mut Rng| if r.chance(12) { None } else { text(&format!("U{}", r.below(7))) };
    let number = |r: &mut Rng, lo: i64, span: u64| if r.chance(6) { None } else { int(lo + r.below(span) as i64) };
    let label = |r: &mut Rng, of: &[&str]| if r.chance(7) { None } else { text(r.pick::<&str>(of)) };
    let id = || column("id", Role::DirectIdentifier, TEXT, Some(LinkageKey::Uscc));
    let (n0, n1, n2) = (r.below(60) as usize, r.below(30) as usize, r.below(6) as usize);
    let mut firms = member(
        "firm",
        vec![
            id(),
            column("grade", Role::Category, category(&["A", "B", "C"]), None),
            column("arrears", Role::Measure, ColumnType::Number { scale: 2, min: 0, max: 1000 }, None),
            column("opened", Role::Category, ColumnType::Date, None),
        ],
        vec![
            (0..n0).map(|_| unit(&mut r)).collect(),
            (0..n0).map(|_| label(&mut r, &["A", "B", "C"])).collect(),
            (0..n0).map(|_| number(&mut r, 0, 1001)).collect(),
            (0..n0).map(|_| number(&mut r, -40, 90)).collect(),
        ],
    );
    let mut loans = member(
        "loan",
        vec![
            id(),
            column("amount", Role::Measure, ColumnType::Number { scale: 0, min: -50, max: 50 }, None),
            column("grade", Role::Category, category(&["C", "X", "A"]), None),
        ],
        vec![
            (0..n1).map(|_| unit(&mut r)).collect(),
            (0..n1).map(|_| number(&mut r, -50, 101)).collect(),
            (0..n1).map(|_| label(&mut r, &["C", "X", "A"])).collect(),
        ],
    );
    let grades = member(
        "note",
        vec![column("grade", Role::Category, TEXT, None), column("words", Role::Category, TEXT, None)],
        vec![
            (0..n2).map(|_| label(&mut r, &["A", "C", "Z", "X"])).collect(),
            (0..n2).map(|_| label(&mut r, &["甲乙", "甲丙", "丁"])).collect(),
        ],
    );
    firms.plan.operator_owned = r.chance(2);
    loans.plan.operator_owned = r.chance(2);
    for m in [&mut firms, &mut loans] {
        if r.chance(3) {
            m.plan.consent_unit = Some(0);
            let n = r.below(24) as usize;
            m.consents = Some([
                (0..n).map(|_| unit(&mut r)).collect(),
                (0..n).map(|_| label(&mut r, &["credit", "credit", "other"])).collect(),
                (0..n).map(|_| number(&mut r, 99, 3)).collect(),
            ]);
        }
    }
    if r.chance(2) {
        let op = *r.pick(&[FilterOp::Eq, FilterOp::Ne, FilterOp::Lt, FilterOp::Le, FilterOp::Gt, FilterOp::Ge]);
        firms.plan.filters.push(RowFilter { column: 2, op, values: vec![Literal::Int(r.below(1000) as i64)] });
    }
    if r.chance(3) {
        let values = vec![Literal::Text("A".to_owned()), Literal::Text("C".to_owned())];
        firms.plan.filters.push(RowFilter { column: 1, op: FilterOp::In, values });
    }
    if r.chance(3) {
        let values = vec![Literal::Text("C".to_owned())];
        loans.plan.filters.push(RowFilter { column: 2, op: *r.pick(&[FilterOp::Ne, FilterOp::Ge, FilterOp::Lt]), values });
    }
    let kind = |r: &mut Rng| if r.chance(2) { JoinKind::Inner } else { JoinKind::Left };
    let mut on = vec![(at(0, 0), 0)];
    if r.chance(4) {
        on.push((at(0, 1), 2));
    }
    let note = if r.chance(2) { at(0, 1) } else { at(1, 2) };
    let joins = vec![PlanJoin { kind: kind(&mut r), on }, PlanJoin { kind: kind(&mut r), on: vec![(note, 0)] }];
    let bands = Transform::Bands { cuts: vec![100, 500], labels: vec!["low".into(), "mid".into(), "high".into()] };
    let plan = FusePlan {
        members: vec![firms.plan.clone(), loans.plan.clone(), grades.plan.clone()],
        joins,
        outputs: vec![
            out("who", at(0, 0), Transform::Pseudonym),
            out("grade", at(0, 1), Transform::Keep),
            out("arrears", at(0, 2), Transform::Clamp { min: 10, max: 900 }),
            out("band", at(0, 2), bands),
            out("opened", at(0, 3), Transform::Bucket(DateBucket::Month)),
            out("amount", at(1, 1), Transform::Keep),
            out("words", at(2, 1), Transform::Prefix { characters: 1 }),
            out("gone", at(1, 2), Transform::Mask),
        ],
        unit: if r.chance(4) { at(1, 0) } else { at(0, 0) },
        purpose: "credit".to_owned(),
        today: 100,
        identity: RowIdentity { member: 0, dataset: "d".to_owned(), columns: Vec::new() },
        threads: 1,
    };
    Case { members: vec![firms, loans, grades], plan, pseudonym: [seed as u8; 32] }
}

/// The case without one unit: all its rows and its consents gone.
pub(super) fn without(case: &Case, unit: &str) -> Case {
    let mut less = case.clone();
    for member in &mut less.members[..2] {
        let gone: Vec<bool> = member.data[0].iter().map(|v| *v == text(unit)).collect();
        for column in &mut member.data {
            let mut row = 0..;
            column.retain(|_| !gone[row.next().unwrap()]);
        }
        member.plan.rows = member.data[0].len() as u64;
        if let Some([units, purposes, expiries]) = &mut member.consents {
            let gone: Vec<bool> = units.iter().map(|v| *v == text(unit)).collect();
            for column in [units, purposes, expiries] {
                let mut row = 0..;
                column.retain(|_| !gone[row.next().unwrap()]);
            }
        }
    }
    for (planned, member) in less.plan.members.iter_mut().zip(&less.members) {
        *planned = member.plan.clone();
    }
    less
}

/// A naive view row: granted values, the unit, whether it is foreign.
pub(super) type Row = (Vec<Opt>, Val, bool);

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

pub(super) fn digest(key: &[u8; 32], value: &str) -> i64 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, &[&[2], value.as_bytes()].concat());
    (u64::from_be_bytes(tag.as_ref()[..8].try_into().unwrap()) >> 1) as i64
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

pub(super) fn decoded(fused: &Fused) -> Vec<Row> {
    let columns: Vec<Vec<Opt>> = fused.descriptors.iter().map(decode).collect();
    let granted = columns.len() - 3;
    (0..columns[0].len())
        .map(|i| {
            let values = columns[..granted].iter().map(|c| c[i].clone()).collect();
            (values, columns[granted][i].clone().unwrap(), columns[granted + 1][i] == int(1))
        })
        .collect()
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

fn request(keys: &[&str], measures: &[(MeasureOp, Option<&str>)]) -> TableRequest {
    let measures = measures.iter().enumerate();
    TableRequest {
        name: "t".to_owned(),
        keys: keys.iter().map(|k| (*k).to_owned()).collect(),
        measures: measures
            .map(|(i, (op, column))| MeasureRequest { name: format!("m{i}"), op: *op, column: column.map(str::to_owned) })
            .collect(),
        margins: Margins::None,
    }
}

/// Rows as `name → value`, with unit and foreign flag.
fn naive_table(names: &[String], rows: &[Row], declared: &BTreeMap<&str, Vec<String>>, request: &TableRequest) -> Vec<(Vec<Opt>, Cell)> {
    let col = |name: &str| names.iter().position(|n| n == name).unwrap();
    let mut cells: BTreeMap<Vec<Opt>, Vec<&Row>> = BTreeMap::new();
    if request.keys.iter().all(|k| declared.contains_key(k.as_str())) {
        let mut domain: Vec<Vec<Opt>> = vec![Vec::new()];
        for key in &request.keys {
            let labels = &declared[key.as_str()];
            domain = domain.iter().flat_map(|d| labels.iter().map(move |l| [d.clone(), vec![text(l)]].concat())).collect();
        }
        cells.extend(domain.into_iter().map(|d| (d, Vec::new())));
    }
    for row in rows {
        let key: Vec<Opt> = request.keys.iter().map(|k| row.0[col(k)].clone()).collect();
        cells.entry(key).or_default().push(row);
    }
    let distinct = |rows: &[&Row]| rows.iter().map(|r| &r.1).collect::<BTreeSet<_>>().len() as u64;
    let foreign = |rows: &[&Row]| distinct(&rows.iter().copied().filter(|r| r.2).collect::<Vec<_>>());
    let measure = |m: &MeasureRequest, rows: &[&Row]| {
        let c = col(m.column.as_deref()?);
        let rows: Vec<&Row> = rows.iter().copied().filter(|r| r.0[c].is_some()).collect();
        let value = |r: &Row| match r.0[c] {
            Some(Val::Int(v)) => v,
            _ => panic!(),
        };
        let mut sorted: Vec<i64> = rows.iter().map(|r| value(r)).collect();
        sorted.sort_unstable();
        let mut totals: BTreeMap<&Val, i128> = BTreeMap::new();
        rows.iter().for_each(|r| *totals.entry(&r.1).or_default() += i128::from(value(r)));
        let mut totals: Vec<i128> = totals.into_values().map(i128::abs).collect();
        totals.sort_unstable_by(|a, b| b.cmp(a));
        let n = sorted.len();
        Some(MeasureEvidence {
            n: n as u64,
            units: foreign(&rows),
            sum: sorted.iter().map(|v| i128::from(*v)).sum(),
            sum_of_squares: if m.op == MeasureOp::Variance { sorted.iter().map(|v| i128::from(*v) * i128::from(*v)).sum() } else { 0 },
            order: match m.op {
                MeasureOp::Min => sorted.first().copied(),
                MeasureOp::Max => sorted.last().copied(),
                MeasureOp::Quantile { permille } => {
                    let rank = (1..=n.max(1)).find(|k| k * 1000 >= n * usize::from(permille)).unwrap();
                    sorted.get(rank - 1).copied()
                }
                _ => None,
            },
            largest: totals.first().copied().unwrap_or(0),
            second: totals.get(1).copied().unwrap_or(0),
            total: totals.iter().sum(),
            top: Vec::new(),
            own: None,
        })
    };
    let cell = |rows: &[&Row]| Cell {
        totals: 0,
        contributors: 0,
        keys: Vec::new(),
        rows: rows.len() as u64,
        units: distinct(rows),
        units_counting: foreign(rows),
        measures: request.measures.iter().map(|m| measure(m, rows)).collect(),
    };
    cells.into_iter().map(|(key, rows)| (key, cell(&rows))).collect()
}

fn compare(output: &TableOutput, mut expected: Vec<(Vec<Opt>, Cell)>, context: &str) {
    assert_eq!(output.header.cells as usize, output.cells.len());
    assert!(output.cells.is_sorted_by(|a, b| (a.totals, &a.keys) < (b.totals, &b.keys)), "{context}");
    let named = |domain: &KeyDomain, v: i64| match domain {
        KeyDomain::Declared(l) | KeyDomain::Found(l) => Val::Text(l[v as usize].clone()),
        _ => Val::Int(v),
    };
    let mut got: Vec<(Vec<Opt>, Cell)> = Vec::new();
    for cell in &output.cells {
        let key = cell.keys.iter().zip(&output.header.domains).map(|(k, d)| k.map(|v| named(d, v))).collect();
        // The digest is compared apart: `contributors_tell_sets_of_rows_apart`.
        got.push((key, Cell { totals: 0, keys: Vec::new(), contributors: 0, ..cell.clone() }));
    }
    got.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(got, expected, "{context}");
}

pub(super) fn view_of(fused: Fused, threads: u16) -> View {
    View::map(fused.columns, fused.descriptors, threads, fused.report.units).unwrap()
}

fn all_measures<'a>(r: &mut Rng) -> Vec<(MeasureOp, Option<&'a str>)> {
    let permille = *r.pick(&[0, 1, 250, 500, 900, 1000]);
    vec![
        (MeasureOp::Count, None),
        (MeasureOp::Units, None),
        (MeasureOp::Sum, Some("arrears")),
        (MeasureOp::Variance, Some("amount")),
        (MeasureOp::Mean, Some("amount")),
        (MeasureOp::Quantile { permille }, Some("arrears")),
        (MeasureOp::Min, Some("amount")),
        (MeasureOp::Max, Some("arrears")),
    ]
}

#[test]
fn tables_equal_a_naive_computation() {
    for seed in 100..180 {
        let case = case(seed);
        let fused = case.fuse(1).unwrap();
        let rows = decoded(&fused);
        let names: Vec<String> = fused.columns.iter().map(|c| c.name.clone()).collect();
        let labels = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let declared = BTreeMap::from([
            ("grade", labels(&["A", "B", "C"])),
            ("band", labels(&["low", "mid", "high"])),
            ("gone", labels(&["C", "X", "A"])),
        ]);
        let view = view_of(fused, 2);
        let mut r = Rng(seed | 1);
        for keys in [&[][..], &["grade"], &["band", "grade"], &["gone"], &["words", "opened"], &["opened", "amount", "grade"], &["arrears"]]
        {
            let request = request(keys, &all_measures(&mut r));
            let output = compute(&view, &request).unwrap();
            compare(&output, naive_table(&names, &rows, &declared, &request), &format!("seed {seed} keys {keys:?}"));
            margins_equal_a_table_over_the_kept_keys(&view, &request, &output, &format!("seed {seed} keys {keys:?}"));
        }
    }
}

fn compute(view: &View, request: &TableRequest) -> Result<TableOutput, EngineFailure> {
    table::compute(&table::Asked { view, derived: &[], own: &[], top: false }, request)
}

/// A cell's rows by its labels, totalled keys left out.
fn rows_of<'a>(rows: &'a [Row], names: &[String], keys: &[&str], output: &TableOutput, cell: &Cell) -> Vec<&'a Row> {
    let col = |name: &str| names.iter().position(|n| n == name).unwrap();
    let value = |k: usize| match (cell.keys[k], &output.header.domains[k]) {
        (Some(v), KeyDomain::Declared(l) | KeyDomain::Found(l)) => text(&l[v as usize]),
        (v, _) => v.map(Val::Int),
    };
    let inside = |row: &&Row| (0..keys.len()).all(|k| cell.is_total(k) || row.0[col(keys[k])] == value(k));
    rows.iter().filter(inside).collect()
}

#[test]
fn spreads_of_own_values_and_largest_units_equal_naive_ones() {
    let (mut spread, mut named) = (0, 0);
    for seed in 100..160 {
        let fused = case(seed).fuse(1).unwrap();
        let (rows, names) = (decoded(&fused), fused.columns.iter().map(|c| c.name.clone()).collect::<Vec<_>>());
        let view = view_of(fused, 2);
        let (column, own) = (names.iter().position(|n| n == "arrears").unwrap(), ["arrears".to_owned()]);
        for keys in [&[][..], &["grade"], &["band", "grade"], &["words", "opened"], &["arrears"]] {
            let request = TableRequest { margins: Margins::Cube, ..request(keys, &[(MeasureOp::Sum, Some("arrears"))]) };
            let asked = table::Asked { view: &view, derived: &[], own: &own, top: true };
            let output = table::compute(&asked, &request).unwrap();
            let nonnegative = output.header.columns[0].as_ref().unwrap().min >= 0;
            let values: BTreeSet<&Opt> = rows.iter().map(|r| &r.0[column]).filter(|v| v.is_some()).collect();
            for cell in &output.cells {
                let inside = rows_of(&rows, &names, keys, &output, cell);
                let (mut units, mut totals) = (BTreeMap::<&Opt, BTreeSet<&Val>>::new(), BTreeMap::<&Val, i128>::new());
                for row in &inside {
                    let of_value = units.entry(&row.0[column]).or_default();
                    if row.2 {
                        of_value.insert(&row.1);
                    }
                    if let Some(Val::Int(v)) = &row.0[column] {
                        *totals.entry(&row.1).or_default() += i128::from(*v);
                    }
                }
                let least = units.values().map(|u| u.len() as u64).min().unwrap_or(u64::MAX);
                let absent = values.iter().any(|v| !units.contains_key(*v));
                let e = cell.measures[0].as_ref().unwrap();
                assert_eq!(e.own, Some(OwnSpread { least, absent }), "seed {seed} {keys:?} {cell:?}");
                spread += usize::from(inside.len() > 1);
                if nonnegative {
                    let ordinal = |v: &Val| match v {
                        Val::Int(unit) => *unit,
                        Val::Text(_) => panic!(),
                    };
                    let mut top: Vec<UnitShare> =
                        totals.iter().map(|(unit, total)| UnitShare { unit: ordinal(unit), total: *total }).collect();
                    top.sort_by_key(|s| (std::cmp::Reverse(s.total), s.unit));
                    top.truncate(TOP_UNITS);
                    assert_eq!(e.top, top, "seed {seed} {keys:?}");
                    named += top.len();
                }
            }
        }
    }
    assert!(spread > 100 && named > 100, "{spread} cells, {named} units");
}

/// Each margin of a cube holds the cells, with evidence and digest, of the table over the keys that are not totalled; its own cells
/// are those of the table without margins; a rollup is a part of the cube.
fn margins_equal_a_table_over_the_kept_keys(view: &View, request: &TableRequest, plain: &TableOutput, context: &str) {
    let with = |margins| compute(view, &TableRequest { margins, ..request.clone() }).unwrap();
    let named = |output: &TableOutput, cell: &Cell| {
        let value = |(k, domain): (Option<i64>, &KeyDomain)| match (k, domain) {
            (Some(v), KeyDomain::Declared(l) | KeyDomain::Found(l)) => Some(l[v as usize].clone()),
            (v, _) => v.map(|v| v.to_string()),
        };
        cell.keys.iter().copied().zip(&output.header.domains).map(value).collect::<Vec<_>>()
    };
    let (cube, rollup) = (with(Margins::Cube), with(Margins::Rollup));
    assert!(cube.cells.is_sorted_by(|a, b| (a.totals, &a.keys) < (b.totals, &b.keys)), "{context}");
    for totals in Margins::Cube.totals(request.keys.len()) {
        let kept: Vec<usize> = (0..request.keys.len()).filter(|k| totals >> k & 1 == 0).collect();
        let keys = kept.iter().map(|k| request.keys[*k].clone()).collect();
        let over = compute(view, &TableRequest { keys, ..request.clone() }).unwrap();
        let expected: Vec<_> = over.cells.iter().map(|c| (named(&over, c), c.contributors, c.clone())).collect();
        for (output, whole) in [(&cube, true), (&rollup, Margins::Rollup.totals(request.keys.len()).contains(&totals))] {
            let found: Vec<_> = output.cells.iter().filter(|c| c.totals == totals).collect();
            assert_eq!(found.len(), if whole { expected.len() } else { 0 }, "{context} totals {totals:b}");
            for (cell, (labels, contributors, other)) in found.iter().zip(&expected) {
                let all = named(output, cell);
                assert_eq!(&kept.iter().map(|k| all[*k].clone()).collect::<Vec<_>>(), labels, "{context} totals {totals:b}");
                assert_eq!((cell.contributors, &cell.measures, cell.units), (*contributors, &other.measures, other.units), "{context}");
            }
        }
    }
    assert_eq!(cube.cells.iter().filter(|c| c.totals == 0).count(), plain.cells.len(), "{context}");
}

#[test]
fn contributors_tell_sets_of_rows_apart() {
    let (mut cells, mut shared) = (0, 0);
    for seed in 100..140 {
        let fused = case(seed).fuse(1).unwrap();
        let identity: Vec<i64> = decode(fused.descriptors.last().unwrap())
            .into_iter()
            .map(|v| match v {
                Some(Val::Int(v)) => v,
                other => panic!("{other:?}"),
            })
            .collect();
        let view = view_of(fused, 2);
        // Digest of a cell's contributors by the base rows behind it, each as often as it is there.
        let (mut sets, mut totals) = (BTreeMap::<Vec<i64>, u128>::new(), Vec::new());
        for key in ["grade", "opened"] {
            let request = request(&[key], &[(MeasureOp::Count, None)]);
            let told = compute(&view, &request).unwrap().cells;
            let of_rows = table::cell_of_rows(&view, &[], &request).unwrap();
            totals.push(told.iter().fold(0u128, |sum, c| sum.wrapping_add(c.contributors)));
            for (at, cell) in told.iter().enumerate().filter(|(_, c)| c.rows > 0) {
                let mut rows: Vec<i64> = of_rows.iter().zip(&identity).filter(|(c, _)| **c as usize == at).map(|(_, id)| *id).collect();
                rows.sort_unstable();
                cells += 1;
                shared += usize::from(sets.insert(rows, cell.contributors).is_some_and(|before| {
                    assert_eq!(before, cell.contributors, "seed {seed}: one set, two digests");
                    true
                }));
            }
        }
        // Any partition of the rows sums to the same, and different sets differ.
        assert_eq!(totals[0], totals[1], "seed {seed}");
        assert_eq!(sets.values().collect::<BTreeSet<_>>().len(), sets.len(), "seed {seed}: two sets, one digest");
    }
    println!("{cells} cells, {shared} of them over the same base rows as another");
    assert!(cells > 100, "{cells} cells");
}

/// Units with many rows each, or one; sparse keys; rows enough for threads and blocks.
fn big_case(units: u64, rows: usize) -> Case {
    let mut r = Rng(7);
    let values = |r: &mut Rng, lo: i64, span: u64| -> Vec<Opt> { (0..rows).map(|_| int(lo + r.below(span) as i64)).collect() };
    let ids = (0..rows).map(|i| text(&format!("U{}", if units == 0 { i as u64 } else { r.below(units) }))).collect();
    let number = |name, max: i64| column(name, Role::Measure, ColumnType::Number { scale: 0, min: -max, max }, None);
    let far = values(&mut r, 0, 40).into_iter().map(|v| match v {
        Some(Val::Int(v)) => int((v - 20) * 1_000_000_007),
        _ => None,
    });
    let data = vec![ids, values(&mut r, -500, 1000), values(&mut r, 0, 300), values(&mut r, 0, 300), far.collect()];
    let base = member(
        "base",
        vec![
            column("id", Role::DirectIdentifier, TEXT, Some(LinkageKey::Uscc)),
            number("v", 500),
            number("x", 300),
            number("y", 300),
            number("far", 1 << 40),
        ],
        data,
    );
    let keep = |name, c| out(name, at(0, c), Transform::Keep);
    let plan = FusePlan {
        members: vec![base.plan.clone()],
        joins: Vec::new(),
        outputs: vec![keep("v", 1), keep("x", 2), keep("y", 3), keep("far", 4)],
        unit: at(0, 0),
        purpose: String::new(),
        today: 0,
        identity: RowIdentity { member: 0, dataset: "d".to_owned(), columns: vec![IdentityColumn::Loaded(0)] },
        threads: 2,
    };
    Case { members: vec![base], plan, pseudonym: [1; 32] }
}

#[test]
fn blocks_threads_and_sparse_keys_change_nothing() {
    for units in [0, 3, 400] {
        let case = big_case(units, 70_000);
        let (sources, fds) = case.sources();
        let fused = fuse(&case.plan, sources, fds, case.keys(), 1 << 20).unwrap();
        let rows = decoded(&fused);
        let names: Vec<String> = fused.columns.iter().map(|c| c.name.clone()).collect();
        let mut view = view_of(fused, 1);
        // `x, y` has 90 601 places: numbered, not dense.
        for keys in [&["x"][..], &["far"], &["x", "y"]] {
            let request = request(keys, &[(MeasureOp::Sum, Some("v")), (MeasureOp::Quantile { permille: 333 }, Some("v"))]);
            view.threads = 1;
            let one = compute(&view, &request).unwrap();
            view.threads = 3;
            assert_eq!(compute(&view, &request).unwrap(), one);
            compare(&one, naive_table(&names, &rows, &BTreeMap::new(), &request), &format!("{units} {keys:?}"));
        }
        // Every value of three keys together: more cells than a table may have.
        let many = request(&["x", "y", "v"], &[(MeasureOp::Count, None)]);
        match compute(&view, &many) {
            Ok(output) => assert!(output.cells.len() <= 100_000),
            Err(e) => assert!(matches!(e, EngineFailure::Limit(l) if l.name == "table_cells_max")),
        }
        // A view that claims another number of units is not one of ours.
        view.units += 1;
        assert_eq!(compute(&view, &request(&["x"], &[(MeasureOp::Count, None)])).unwrap_err(), EngineFailure::Column);
    }
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

fn i64_column(values: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    write_column(Parts::I64(values), None, &mut out).unwrap();
    out
}

#[test]
fn derived_columns_are_hostile() {
    let case = big_case(5, 100);
    let view = view_of(case.fuse(1).unwrap(), 1);
    let number = DerivedColumn { name: "d".into(), ty: DerivedType::Number { scale: 0, min: 0, max: 9 } };
    let labels = DerivedColumn { name: "d".into(), ty: DerivedType::Category { labels: vec!["p".into(), "q".into()] } };
    let prepare = |declared: &DerivedColumn, fd: OwnedFd| {
        table::prepare(&view, &[], vec![declared.clone()], vec![fd])
            .map(|_| ())
            .map_err(|e| assert_eq!(e, EngineFailure::Derived("d".into())))
    };
    let memory = |bytes: &[u8]| sealed("d", bytes).unwrap();
    let codes = |codes: &[u32], dictionary: &[u32]| {
        let mut out = Vec::new();
        write_column(Parts::Code(codes, dictionary, b"xyz"), None, &mut out).unwrap();
        memory(&out)
    };
    assert!(prepare(&number, memory(&i64_column(&[9; 100]))).is_ok());
    assert!(prepare(&number, memory(&i64_column(&[9; 99]))).is_err());
    assert!(prepare(&number, memory(&i64_column(&[10; 100]))).is_err());
    assert!(prepare(&number, memory(&[0; 128])).is_err());
    assert!(prepare(&number, codes(&[1; 100], &[0, 3])).is_err());
    assert!(prepare(&labels, memory(&i64_column(&[1; 100]))).is_err());
    assert!(prepare(&labels, codes(&[1; 100], &[0, 3])).is_ok(), "its own dictionary is not read");
    assert!(prepare(&labels, codes(&[2; 100], &[0, 1, 2, 3])).is_err());
    let open = rustix::fs::memfd_create("d", rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::write(&open, &i64_column(&[9; 100])).unwrap();
    assert!(prepare(&number, open).is_err());
    let clash = DerivedColumn { name: "v".into(), ..number };
    let refused = table::prepare(&view, &[], vec![clash], vec![memory(&i64_column(&[9; 100]))]).map(|_| ()).unwrap_err();
    assert_eq!(refused, EngineFailure::Derived("v".into()));
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let view = view_of(case(5).fuse(1).unwrap(), 1);
    let error = |keys: &[&str], measure| compute(&view, &request(keys, &[measure])).unwrap_err();
    let count = (MeasureOp::Count, None);
    assert_eq!(error(&["who"], count), EngineFailure::Table(TableError::Type("who".into())));
    assert_eq!(error(&["unit_ordinal"], count), EngineFailure::Table(TableError::NotGranted("unit_ordinal".into())));
    assert_eq!(error(&["foreign"], count), EngineFailure::Table(TableError::NotGranted("foreign".into())));
    assert_eq!(error(&[], (MeasureOp::Sum, Some("grade"))), EngineFailure::Table(TableError::Type("grade".into())));
    assert_eq!(error(&[], (MeasureOp::Sum, Some("who"))), EngineFailure::Table(TableError::Type("who".into())));
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

#[test]
fn a_whole_conversation() {
    let case = big_case(5, 300);
    let (mut server, theirs) = Channel::pair().unwrap();
    let worker = std::thread::spawn(move || {
        super::serve(&mut Channel::new(theirs), &crate::jail::Jailed::for_tests(protocol::message::WorkerRole::Engine))
    });
    let (sources, fds) = case.sources();
    let keys = (SecretKey([1; 32]), SecretKey([2; 32]));
    let fuse = EngineRequest::Fuse { plan: case.plan.clone(), sources, pseudonym_key: keys.0, namespace_key: keys.1 };
    server.send(&fuse, &fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
    let (reply, view_fds) = server.receive::<EngineReply>().unwrap();
    let EngineReply::Fused { columns, report } = reply else { panic!("{reply:?}") };
    assert_eq!((columns.len(), view_fds.len(), report.rows, report.units), (7, 7, 300, 5));
    let tables = vec![TableRequest { name: "a".into(), ..request(&["flag"], &[(MeasureOp::Sum, Some("v"))]) }];
    let derived =
        vec![DerivedColumn { name: "flag".into(), ty: DerivedType::Category { labels: vec!["no".into(), "yes".into(), "never".into()] } }];
    let mut flag = Vec::new();
    write_column(Parts::Code(&(0..300).map(|i| i % 2).collect::<Vec<u32>>(), &[0], b""), None, &mut flag).unwrap();
    let flag = sealed("d", &flag).unwrap();
    let reduce = EngineRequest::Reduce { tables, derived, own: Vec::new(), contributors: true };
    let tables_of = |server: &mut Channel| {
        server.send(&reduce, &[flag.as_fd()]).unwrap();
        let mut out = Vec::new();
        loop {
            match server.receive::<EngineReply>().unwrap().0 {
                EngineReply::Table(header) => out.push(TableOutput { header, cells: Vec::new() }),
                EngineReply::Cells(cells) => out.last_mut().unwrap().cells.extend(cells),
                EngineReply::Contributors => {}
                EngineReply::Done => return out,
                other => panic!("{other:?}"),
            }
        }
    };
    let first = tables_of(&mut server);
    let cells: Vec<(Option<i64>, u64, u64)> = first[0].cells.iter().map(|c| (c.keys[0], c.rows, c.units)).collect();
    assert_eq!(cells, [(Some(0), 150, 5), (Some(1), 150, 5), (Some(2), 0, 0)]);
    assert_eq!(first[0].cells[2].measures[0].as_ref().unwrap().n, 0);
    assert_eq!(tables_of(&mut server), first);
    drop(server);
    assert!(matches!(worker.join().unwrap(), Err(protocol::frame::FrameError::Closed)));

    // The same view in another engine, which then fails in its own words and hangs up.
    let (mut server, theirs) = Channel::pair().unwrap();
    let worker = std::thread::spawn(move || {
        super::serve(&mut Channel::new(theirs), &crate::jail::Jailed::for_tests(protocol::message::WorkerRole::Engine))
    });
    let view = EngineRequest::View { columns, threads: 2, units: report.units };
    server.send(&view, &view_fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()).unwrap();
    assert_eq!(tables_of(&mut server), first);
    let bad = request(&["nothing"], &[(MeasureOp::Count, None)]);
    server.send(&EngineRequest::Reduce { tables: vec![bad], derived: Vec::new(), own: Vec::new(), contributors: false }, &[]).unwrap();
    let (reply, _) = server.receive::<EngineReply>().unwrap();
    assert_eq!(reply, EngineReply::Failed(EngineFailure::Table(TableError::NotGranted("nothing".into()))));
    worker.join().unwrap().unwrap();
}
