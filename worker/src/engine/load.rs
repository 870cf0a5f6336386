//! Sealed segments to checked columns in memory. Texts are interned once, identifiers digested once per distinct value, and
//! then every key is gone.

use std::os::fd::OwnedFd;

use polars::prelude::PlHashMap;
use protocol::column::{AlignedBytes, Column, Physical};
use protocol::limits::Limits;
use protocol::message::{EngineFailure, SecretKey, Source, SourceColumn};
use protocol::plan::{ColumnRef, FusePlan, IdentityColumn, Transform};
use protocol::schema::{ColumnSchema, ColumnType, LinkageKey};
use protocol::seal::{SealKey, open_file};
use ring::hmac;

use super::identity;
use super::parallel::parallel;

/// The keys of a fusion that are not a segment's. Wiped when dropped.
pub(super) struct Keys {
    /// Of the project's pseudonyms.
    pub pseudonym: SecretKey,
    /// Of the namespace's ordinals.
    pub namespace: SecretKey,
}

/// Everything a plan reads, in memory, and no key.
pub(super) struct Loaded {
    members: Vec<Vec<Segment>>,
    consents: Vec<Option<[Segment; 3]>>,
    /// By distinct value of the column; only where an output asks for pseudonyms.
    pub pseudonyms: Vec<(ColumnRef, Vec<i64>)>,
    /// By distinct value of the unit's column.
    pub ordinals: Vec<i64>,
    /// By row of the member that the plan's identity names.
    pub identities: Vec<i64>,
    /// Spreads ordinals into the project's own order of rows.
    pub order: [u64; 2],
}

/// One column's plaintext; for texts also a code a row and the first row of each code.
struct Segment {
    bytes: AlignedBytes,
    interned: Option<(Vec<u32>, Vec<u32>)>,
}

/// A checked column. Text and category values are codes: equal where the values are.
pub(super) struct Field<'a> {
    column: Column<'a>,
    codes: &'a [u32],
    ints: &'a [i64],
    labels: Labels<'a>,
}

enum Labels<'a> {
    Dictionary(Vec<&'a str>),
    FirstRow(&'a [u32]),
}

impl<'a> Field<'a> {
    fn new(segment: &'a Segment) -> Result<Self, EngineFailure> {
        let column = Column::parse(segment.bytes.as_slice()).map_err(|_| EngineFailure::Column)?;
        let (codes, labels) = match &segment.interned {
            Some((codes, first)) => (codes.as_slice(), Labels::FirstRow(first)),
            None => (column.codes().unwrap_or(&[]), Labels::Dictionary(column.labels())),
        };
        Ok(Self { column, codes, ints: column.i64s().unwrap_or(&[]), labels })
    }
    /// Rows.
    pub(super) fn rows(&self) -> u32 {
        u32::try_from(self.column.rows()).unwrap_or(u32::MAX)
    }
    /// Code of a text or category; `None` where missing.
    pub(super) fn code(&self, row: u32) -> Option<u32> {
        let i = row as usize;
        self.codes.get(i).copied().filter(|_| self.column.is_valid(i))
    }
    /// Stored integer; `None` where missing.
    pub(super) fn int(&self, row: u32) -> Option<i64> {
        let i = row as usize;
        self.ints.get(i).copied().filter(|_| self.column.is_valid(i))
    }
    /// Whether its values are codes.
    pub(super) fn is_text(&self) -> bool {
        self.column.shape().physical != Physical::I64
    }
    /// How many codes there are.
    pub(super) fn distinct(&self) -> usize {
        match &self.labels {
            Labels::Dictionary(d) => d.len(),
            Labels::FirstRow(f) => f.len(),
        }
    }
    /// The text of a code.
    pub(super) fn label(&self, code: usize) -> &'a str {
        match &self.labels {
            Labels::Dictionary(d) => d.get(code).copied().unwrap_or(""),
            Labels::FirstRow(f) => f.get(code).and_then(|row| self.column.text(*row as usize)).unwrap_or(""),
        }
    }
    /// `test` of every code.
    pub(super) fn by_code<T>(&self, mut test: impl FnMut(&'a str) -> T) -> Vec<T> {
        (0..self.distinct()).map(|code| test(self.label(code))).collect()
    }
}

impl Loaded {
    /// The columns of each member, in the plan's order.
    pub(super) fn fields(&self) -> Result<Vec<Vec<Field<'_>>>, EngineFailure> {
        self.members.iter().map(|m| m.iter().map(Field::new).collect()).collect()
    }
    /// Unit, purpose and expiry of the consent records of each member.
    pub(super) fn consents(&self) -> Result<Vec<Option<[Field<'_>; 3]>>, EngineFailure> {
        let records = self.consents.iter().map(|consent| match consent {
            Some([unit, purpose, expiry]) => Ok(Some([Field::new(unit)?, Field::new(purpose)?, Field::new(expiry)?])),
            None => Ok(None),
        });
        records.collect()
    }
}

/// Opens every source, checks it against the plan, digests identifiers, and drops every key.
///
/// # Errors
/// [`EngineFailure::Segment`], [`EngineFailure::Column`]; [`EngineFailure::Plan`] where a source is missing or one too many.
pub(super) fn load(plan: &FusePlan, sources: Vec<Source>, fds: Vec<OwnedFd>, keys: Keys) -> Result<Loaded, EngineFailure> {
    if sources.len() != fds.len() {
        return Err(EngineFailure::Plan);
    }
    let threads = usize::from(plan.threads);
    let mut opened = Vec::with_capacity(sources.len());
    for (source, fd) in sources.into_iter().zip(fds) {
        let bytes = open(&source, fd, threads)?;
        opened.push((source.member, source.column, bytes));
        // `source` ends here, and its key with it.
    }
    let segments = parallel(threads, opened.len(), |i| {
        let (member, column, bytes) = opened.get(i).ok_or(EngineFailure::Internal)?;
        check(plan, *member, *column, bytes)
    })?;
    let mut slots: PlHashMap<(u16, SourceKey), Segment> = PlHashMap::default();
    for ((member, column, bytes), interned) in opened.into_iter().zip(segments) {
        if slots.insert((member, SourceKey::from(column)), Segment { bytes, interned }).is_some() {
            return Err(EngineFailure::Plan);
        }
    }
    let (members, consents, pseudonyms, ordinals, identities) = Default::default();
    let mut loaded = Loaded { members, consents, pseudonyms, ordinals, identities, order: [0, 1] };
    for (m, member) in (0u16..).zip(&plan.members) {
        let mut take = |key| slots.remove(&(m, key)).ok_or(EngineFailure::Plan);
        let columns = (0u16..).zip(&member.columns).map(|(c, _)| take(SourceKey::Data(c))).collect::<Result<_, _>>()?;
        loaded.members.push(columns);
        loaded.consents.push(match member.consent_unit {
            Some(_) => Some([take(SourceKey::Unit)?, take(SourceKey::Purpose)?, take(SourceKey::Expiry)?]),
            None => None,
        });
    }
    let extra = |(i, column): (u16, &IdentityColumn)| match column {
        IdentityColumn::Loaded(_) => Ok(None),
        IdentityColumn::Extra(_) => slots.remove(&(plan.identity.member, SourceKey::Identity(i))).map(Some).ok_or(EngineFailure::Plan),
    };
    let extra = (0u16..).zip(&plan.identity.columns).map(extra).collect::<Result<Vec<_>, _>>()?;
    if !slots.is_empty() {
        return Err(EngineFailure::Plan);
    }
    digest(plan, &mut loaded, &extra, &keys)?;
    drop((keys, extra));
    Ok(loaded)
}

/// [`SourceColumn`], hashable.
#[derive(PartialEq, Eq, Hash)]
enum SourceKey {
    Data(u16),
    Identity(u16),
    Unit,
    Purpose,
    Expiry,
}

impl From<SourceColumn> for SourceKey {
    fn from(column: SourceColumn) -> Self {
        match column {
            SourceColumn::Data(i) => Self::Data(i),
            SourceColumn::Identity(i) => Self::Identity(i),
            SourceColumn::ConsentUnit => Self::Unit,
            SourceColumn::ConsentPurpose => Self::Purpose,
            SourceColumn::ConsentExpiry => Self::Expiry,
        }
    }
}

fn open(source: &Source, fd: OwnedFd, threads: usize) -> Result<AlignedBytes, EngineFailure> {
    let key = SealKey::from_bytes(&source.key.0);
    // Read, not mapped: a file can be cut short under a mapping.
    open_file(&key, source.context.as_bytes(), &fd, Limits::STANDARD.column_bytes_max, threads).map_err(|_| EngineFailure::Segment)
}

type Interned = Option<(Vec<u32>, Vec<u32>)>;

/// Validates one column against what the plan says of it, and interns texts.
fn check(plan: &FusePlan, member: u16, source: SourceColumn, bytes: &AlignedBytes) -> Result<Interned, EngineFailure> {
    let column = Column::parse(bytes.as_slice()).map_err(|_| EngineFailure::Column)?;
    column.validate().map_err(|_| EngineFailure::Column)?;
    let member = plan.members.get(usize::from(member)).ok_or(EngineFailure::Plan)?;
    let fits = match source {
        SourceColumn::Data(i) => {
            let schema = member.columns.get(usize::from(i)).ok_or(EngineFailure::Plan)?;
            column.rows() == member.rows && fits(&column, schema)
        }
        SourceColumn::Identity(i) => match plan.identity.columns.get(usize::from(i)) {
            Some(IdentityColumn::Extra(schema)) => column.rows() == member.rows && fits(&column, schema),
            _ => return Err(EngineFailure::Plan),
        },
        SourceColumn::ConsentUnit => column.shape().physical == Physical::Text,
        SourceColumn::ConsentPurpose => column.shape().physical != Physical::I64,
        SourceColumn::ConsentExpiry => column.shape().physical == Physical::I64,
    };
    if !fits {
        return Err(EngineFailure::Column);
    }
    Ok((column.shape().physical == Physical::Text).then(|| intern(&column)))
}

fn fits(column: &Column<'_>, schema: &ColumnSchema) -> bool {
    match (&schema.ty, column.shape().physical) {
        (ColumnType::Number { min, max, .. }, Physical::I64) => {
            // A missing slot holds zero, which may lie outside the bounds.
            let inside = |(i, v): (usize, &i64)| (min..=max).contains(&v) || !column.is_valid(i);
            column.i64s().is_some_and(|values| values.iter().enumerate().all(inside))
        }
        (ColumnType::Category { domain }, Physical::Code) => column.labels().iter().eq(domain.iter()),
        (ColumnType::Date | ColumnType::Hour, Physical::I64) | (ColumnType::Text { .. }, Physical::Text) => true,
        _ => false,
    }
}

/// A code a row (0 where missing) and the first row of each code.
fn intern(column: &Column<'_>) -> (Vec<u32>, Vec<u32>) {
    let Some((offsets, bytes)) = column.texts() else { return (Vec::new(), Vec::new()) };
    let mut known: PlHashMap<&[u8], u32> = PlHashMap::default();
    let (mut codes, mut first) = (Vec::with_capacity(offsets.len()), Vec::new());
    for (row, window) in (0u32..).zip(offsets.windows(2)) {
        let text = match window {
            [a, b] => bytes.get(*a as usize..*b as usize).unwrap_or(&[]),
            _ => &[],
        };
        let code = if column.is_valid(row as usize) {
            *known.entry(text).or_insert_with(|| {
                first.push(row);
                first.len() as u32 - 1
            })
        } else {
            0
        };
        codes.push(code);
    }
    (codes, first)
}

/// Pseudonyms for the outputs that ask for them, ordinals of the units, the order of rows: all that needs a key.
fn digest(plan: &FusePlan, loaded: &mut Loaded, extra: &[Option<Segment>], keys: &Keys) -> Result<(), EngineFailure> {
    let pseudonym_key = hmac::Key::new(hmac::HMAC_SHA256, &keys.pseudonym.0);
    let namespace_key = hmac::Key::new(hmac::HMAC_SHA256, &keys.namespace.0);
    let mut wanted: Vec<ColumnRef> = plan.outputs.iter().filter(|o| o.transform == Transform::Pseudonym).map(|o| o.from).collect();
    wanted.sort_unstable_by_key(|r| (r.member, r.column));
    wanted.dedup();
    let fields = loaded.fields()?;
    let threads = usize::from(plan.threads);
    let digests = |at: ColumnRef, key: &hmac::Key| -> Result<Vec<i64>, EngineFailure> {
        let (member, column) = (usize::from(at.member), usize::from(at.column));
        let field = fields.get(member).and_then(|m| m.get(column)).ok_or(EngineFailure::Plan)?;
        let schema = plan.members.get(member).and_then(|m| m.columns.get(column)).ok_or(EngineFailure::Plan)?;
        keyed(field, schema.linkage, key, threads)
    };
    let mut pseudonyms = Vec::with_capacity(wanted.len());
    for at in wanted {
        pseudonyms.push((at, digests(at, &pseudonym_key)?));
    }
    let ordinals = digests(plan.unit, &namespace_key)?;
    let identity_key = hmac::sign(&namespace_key, b"identity of rows");
    let identity_key = hmac::Key::new(hmac::HMAC_SHA256, identity_key.as_ref());
    let extra = extra.iter().map(|e| e.as_ref().map(Field::new).transpose()).collect::<Result<Vec<_>, _>>()?;
    let identities = identity::identities(plan, &fields, &extra, &identity_key)?;
    let tag = hmac::sign(&pseudonym_key, b"order of rows");
    let word = |at: usize| tag.as_ref().get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    (loaded.order, loaded.pseudonyms, loaded.ordinals) = ([word(0), word(8) | 1], pseudonyms, ordinals);
    loaded.identities = identities;
    Ok(())
}

/// The first 63 bits of HMAC-SHA-256(key, linkage kind ‖ canonical identifier) of every distinct value.
fn keyed(field: &Field<'_>, kind: Option<LinkageKey>, key: &hmac::Key, threads: usize) -> Result<Vec<i64>, EngineFailure> {
    const BATCH: usize = 1 << 14;
    let batches = parallel(threads, field.distinct().div_ceil(BATCH), |batch| {
        let codes = batch * BATCH..((batch + 1) * BATCH).min(field.distinct());
        Ok(codes.map(|code| digest_of(field.label(code), kind, key)).collect::<Vec<i64>>())
    })?;
    Ok(batches.concat())
}

/// The same of one identifier.
pub(super) fn digest_of(identifier: &str, kind: Option<LinkageKey>, key: &hmac::Key) -> i64 {
    let kind = match kind {
        None => 0u8,
        Some(LinkageKey::ResidentId) => 1,
        Some(LinkageKey::Uscc) => 2,
        Some(LinkageKey::Geocode) => 3,
        Some(LinkageKey::Plate) => 4,
        Some(LinkageKey::Opaque) => 5,
    };
    let mut context = hmac::Context::with_key(key);
    context.update(&[kind]);
    context.update(identifier.as_bytes());
    let tag = context.sign();
    let first = tag.as_ref().first_chunk().map_or(0, |b| u64::from_be_bytes(*b));
    i64::try_from(first >> 1).unwrap_or(0)
}
