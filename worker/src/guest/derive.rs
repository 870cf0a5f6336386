//! A derived column in the making: checked against its declaration as it comes, written once it is whole.

use std::os::fd::OwnedFd;

use protocol::column::{Parts, write_column};
use protocol::manifest::{DerivedColumn, DerivedType};
use protocol::memfd::MemfdWriter;
use protocol::message::GuestFailure;

/// Values of either kind.
enum Values {
    Integers(Vec<i64>),
    Codes(Vec<u32>),
}

/// A declared column and what came for it.
pub struct Derived {
    declared: DerivedColumn,
    rows: u64,
    values: Values,
    validity: Vec<u8>,
    missing: bool,
    whole: Option<OwnedFd>,
}

/// An element that a column stores.
pub trait Element: Copy + Default + Into<i128> {}
impl Element for i64 {}
impl Element for u32 {}

impl Derived {
    /// A column of `rows` rows, none of them there.
    pub fn new(declared: DerivedColumn, rows: u64) -> Self {
        let values = match declared.ty {
            DerivedType::Number { .. } => Values::Integers(Vec::new()),
            DerivedType::Category { .. } => Values::Codes(Vec::new()),
        };
        Self { declared, rows, values, validity: Vec::new(), missing: false, whole: None }
    }

    /// Its declared name.
    pub fn name(&self) -> &str {
        &self.declared.name
    }

    /// Its declared labels; none for a number.
    pub fn labels(&self) -> &[String] {
        match &self.declared.ty {
            DerivedType::Category { labels } => labels,
            DerivedType::Number { .. } => &[],
        }
    }

    /// Bytes that its values and their bitmap take once it is whole.
    pub fn bytes(&self) -> u64 {
        let width = match self.declared.ty {
            DerivedType::Number { .. } => 8,
            DerivedType::Category { .. } => 4,
        };
        self.rows.saturating_mul(width).saturating_add(self.rows.div_ceil(8))
    }

    /// Whether any of it came.
    pub fn has_begun(&self) -> bool {
        self.whole.is_some() || !self.validity.is_empty()
    }

    fn wrong(&self) -> GuestFailure {
        GuestFailure::Derived(self.declared.name.clone())
    }

    /// Appends stored integers of a number.
    pub fn integers(&mut self, values: &[i64], validity: &[u8]) -> Result<(), GuestFailure> {
        let DerivedType::Number { min, max, .. } = self.declared.ty else { return Err(self.wrong()) };
        self.append(values, validity, (min.into(), max.into()), |v| match v {
            Values::Integers(all) => Some(all),
            Values::Codes(_) => None,
        })
    }

    /// Appends codes of a category.
    pub fn codes(&mut self, codes: &[u32], validity: &[u8]) -> Result<(), GuestFailure> {
        let last = self.labels().len() as i128 - 1;
        self.append(codes, validity, (0, last), |v| match v {
            Values::Codes(all) => Some(all),
            Values::Integers(_) => None,
        })
    }

    fn append<T: Element + PartialOrd>(
        &mut self,
        values: &[T],
        validity: &[u8],
        (min, max): (i128, i128),
        of: impl Fn(&mut Values) -> Option<&mut Vec<T>>,
    ) -> Result<(), GuestFailure> {
        let wrong = self.wrong();
        let rows = self.rows;
        let Some(all) = of(&mut self.values) else { return Err(wrong) };
        let held = all.len() as u64;
        let fits = self.whole.is_none() && held.is_multiple_of(8) && held.checked_add(values.len() as u64).is_some_and(|sum| sum <= rows);
        if !fits || !(validity.is_empty() || validity.len() == values.len().div_ceil(8)) {
            return Err(wrong);
        }
        // All at once, so that a column grows without being moved; what is not there costs no memory.
        let capacity = usize::try_from(rows).map_err(|_| GuestFailure::Internal)?;
        all.try_reserve_exact(capacity.saturating_sub(all.len())).map_err(|_| GuestFailure::Internal)?;
        let within = |v: T| (min..=max).contains(&v.into());
        if validity.is_empty() {
            if !values.iter().all(|v| within(*v)) {
                return Err(wrong);
            }
            all.extend_from_slice(values);
            self.validity.resize(self.validity.len() + values.len().div_ceil(8), 0xFF);
        } else {
            for (eight, bits) in values.chunks(8).zip(validity) {
                for (i, value) in eight.iter().enumerate() {
                    let present = bits >> i & 1 == 1;
                    if present && !within(*value) {
                        return Err(wrong);
                    }
                    self.missing |= !present;
                    // Nothing hides behind a missing value.
                    all.push(if present { *value } else { T::default() });
                }
            }
            self.validity.extend_from_slice(validity);
        }
        let tail = values.len() % 8;
        if let (Some(last), true) = (self.validity.last_mut(), tail != 0) {
            *last &= (1 << tail) - 1;
        }
        if all.len() as u64 == rows { self.write() } else { Ok(()) }
    }

    /// Writes the whole column to sealed memory and lets its buffers go.
    fn write(&mut self) -> Result<(), GuestFailure> {
        let validity = std::mem::take(&mut self.validity);
        let validity = self.missing.then_some(validity.as_slice());
        let written = (|| {
            let mut memory = MemfdWriter::create("derived")?;
            match std::mem::replace(&mut self.values, Values::Codes(Vec::new())) {
                Values::Integers(values) => write_column(Parts::I64(&values), validity, &mut memory)?,
                Values::Codes(codes) => {
                    let mut offsets = vec![0u32];
                    let mut bytes = Vec::new();
                    for label in self.labels() {
                        bytes.extend_from_slice(label.as_bytes());
                        offsets.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                    }
                    write_column(Parts::Code(&codes, &offsets, &bytes), validity, &mut memory)?
                }
            };
            memory.seal()
        })();
        self.whole = Some(written.map_err(|_: std::io::Error| GuestFailure::Internal)?);
        Ok(())
    }

    /// The column, if it came; nothing if none of it did.
    ///
    /// # Errors
    /// Some rows came and others did not.
    pub fn finish(mut self) -> Result<Option<OwnedFd>, GuestFailure> {
        if self.rows == 0 && self.whole.is_none() {
            self.write()?;
        }
        match (&self.values, self.whole.take()) {
            (_, Some(whole)) => Ok(Some(whole)),
            (Values::Integers(v), None) if v.is_empty() => Ok(None),
            (Values::Codes(v), None) if v.is_empty() => Ok(None),
            _ => Err(self.wrong()),
        }
    }
}
