//! For the engine's tests: random plans with their data, sealed as a server does it, and views decoded again.

use std::os::fd::OwnedFd;

use protocol::column::{Column, Parts, write_column};
use protocol::memfd::{SealedFd, sealed};
use protocol::message::{EngineFailure, SecretKey, Source, SourceColumn};
use protocol::plan::*;
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey, Role};
use protocol::seal::{SealKey, seal};
use protocol::table::{Margins, MeasureOp, MeasureRequest, TableRequest};
use ring::hmac;

use super::fuse::{Fused, fuse};
use super::load::Keys;
use super::view::View;

/// A value, decoded: codes as their labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Val {
    Int(i64),
    Text(String),
}
pub(super) type Opt = Option<Val>;

pub(super) fn int(v: i64) -> Opt {
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
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
    pub(super) fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

pub(super) fn encode(values: &[Opt], ty: &ColumnType) -> Vec<u8> {
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

pub(super) fn decode(fd: &OwnedFd) -> Vec<Opt> {
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

pub(super) fn raw(fd: &OwnedFd) -> Vec<u8> {
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
    pub(super) pseudonym: [u8; 32],
}

pub(super) const NAMESPACE: [u8; 32] = [9; 32];

impl Case {
    pub(super) fn sources(&self) -> (Vec<Source>, Vec<OwnedFd>) {
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
    pub(super) fn keys(&self) -> Keys {
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

pub(super) const TEXT: ColumnType = ColumnType::Text { bytes_max: 64 };

pub(super) fn column(name: &str, role: Role, ty: ColumnType, linkage: Option<LinkageKey>) -> ColumnSchema {
    ColumnSchema { name: name.to_owned(), role, ty, linkage, nullable: true }
}
pub(super) fn category(labels: &[&str]) -> ColumnType {
    ColumnType::Category { domain: labels.iter().map(|s| (*s).to_owned()).collect() }
}
pub(super) fn member(alias: &str, columns: Vec<ColumnSchema>, data: Vec<Vec<Opt>>) -> Member {
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
pub(super) fn out(name: &str, from: ColumnRef, transform: Transform) -> PlanOutput {
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

/// Units with many rows each, or one; sparse keys; rows enough for threads and blocks.
pub(super) fn big_case(units: u64, rows: usize) -> Case {
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

pub(super) fn digest(key: &[u8; 32], value: &str) -> i64 {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, &[&[2], value.as_bytes()].concat());
    (u64::from_be_bytes(tag.as_ref()[..8].try_into().unwrap()) >> 1) as i64
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

pub(super) fn view_of(fused: Fused, threads: u16) -> View {
    View::map(fused.columns, fused.descriptors, threads, fused.report.units).unwrap()
}

pub(super) fn request(keys: &[&str], measures: &[(MeasureOp, Option<&str>)]) -> TableRequest {
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
