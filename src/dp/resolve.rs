//! From a fold as it is asked for, and the columns that the plan grants, to what the engine gets and how its sums are read. From public
//! declarations alone: no row, no label found in data.

use protocol::fold::{Blocks, BuiltIn, Clip, FoldMap, Isolation, Norm, readable};
use protocol::limits::Limits;
use protocol::manifest::FoldManifest;
use protocol::plan::{FusePlan, Transform, ViewType};
use protocol::schema::ColumnType;
use protocol::value::{parse_date, parse_decimal, parse_hour};

use super::request::{BlocksDocument, ClipDocument, FoldDocument, MapDocument, MechanismKind, ModuleMap};
use crate::refusal::{self, Refused};

/// Labels or bins of one histogram.
const BINS_MAX: usize = 4096;
/// Quantiles of one answer.
const QUANTILES_MAX: usize = 99;

/// A column that a plan grants, as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedColumn {
    /// Its name in the view.
    pub name: String,
    /// Its type.
    pub ty: ViewType,
    /// Labels that are declared; empty for other types, and where labels are found in the data.
    pub labels: Vec<String>,
}

/// The granted columns of a resolved plan.
pub fn granted_columns(plan: &FusePlan) -> Vec<GrantedColumn> {
    let granted = plan.outputs.iter().filter_map(|output| {
        let member = plan.members.get(usize::from(output.from.member))?;
        let ty = &member.columns.get(usize::from(output.from.column))?.ty;
        let labels = match (&output.transform, ty) {
            (Transform::Bands { labels, .. }, _) => labels.clone(),
            (Transform::Keep | Transform::Mask, ColumnType::Category { domain }) => domain.clone(),
            _ => Vec::new(),
        };
        Some(GrantedColumn { name: output.name.clone(), ty: ViewType::after(ty, &output.transform)?, labels })
    });
    granted.collect()
}

/// A fold with nothing left to decide but its cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedFold {
    /// How units become blocks.
    pub blocks: Blocks,
    /// How blocks are kept from each other.
    pub isolation: Isolation,
    /// Rows of a unit that take part.
    pub rows_per_unit_max: u32,
    /// Rounds.
    pub rounds: u32,
    /// The bound of a contribution.
    pub clip: Clip,
    /// What is computed.
    pub map: FoldMap,
    /// How the sums are read.
    pub reading: Reading,
}

/// How noised sums become an answer: post-processing, which costs nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// A module's state after the last update.
    State {
        /// The state of the first round.
        initial: Vec<f64>,
        /// Fuel of one block, and of one update.
        fuel: u64,
    },
    /// One number.
    Number,
    /// Sum of distances from `centre`, and a count times `weight`, steps.
    Mean {
        /// Steps.
        centre: i64,
        /// Steps.
        weight: i64,
    },
    /// A count each.
    Labels(Vec<String>),
    /// A count each: bin i ends below `cuts[i]`, steps of the column.
    Bins {
        /// Decimal digits of the column.
        scale: u8,
        /// Rising cut points.
        cuts: Vec<i64>,
        /// As what the cut points are written.
        ty: BinType,
    },
    /// Order statistics from counts in equal bins over `min..=max`, steps of the column.
    Quantiles {
        /// Decimal digits of the column.
        scale: u8,
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Rising cut points.
        cuts: Vec<i64>,
        /// Which, rising.
        permille: Vec<u16>,
    },
}

/// As what cut points are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinType {
    /// Decimals.
    Number,
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD HH`.
    Hour,
}

fn invalid(element: &str, why: &str) -> Refused {
    Refused::new(&refusal::PRIVACY_INVALID).subject(&format!("{element}: {why}"))
}

impl FoldDocument {
    /// Resolves the fold over what a plan grants; `manifest` is the module's, where there is one.
    ///
    /// # Errors
    /// `private.invalid`, naming the element.
    pub fn resolve(&self, granted: &[GrantedColumn], manifest: Option<&FoldManifest>) -> Result<ResolvedFold, Refused> {
        let l = &Limits::STANDARD;
        let (blocks, isolation) = match self.blocks {
            BlocksDocument::PerUnit => (Blocks::PerUnit, Isolation::Instance),
            BlocksDocument::Shared { count, isolation } => {
                let most = if isolation == Isolation::Process { l.fold_process_blocks_max } else { l.fold_blocks_max };
                if !(1..=most).contains(&count) {
                    return Err(invalid("blocks.shared.count", "out of range").threshold(format!("1 to {most}")));
                }
                (Blocks::Shared(count), isolation)
            }
        };
        if !(1..=l.fold_unit_rows_max).contains(&self.rows_per_unit_max) {
            return Err(invalid("rows_per_unit_max", "out of range").threshold(format!("1 to {}", l.fold_unit_rows_max)));
        }
        if !(1..=l.fold_rounds_max).contains(&self.rounds) {
            return Err(invalid("rounds", "out of range").threshold(format!("1 to {}", l.fold_rounds_max)));
        }
        let (clip, map, reading) = match (&self.map, manifest) {
            (MapDocument::Module(module), Some(manifest)) => of_module(module, manifest, granted)?,
            (MapDocument::Module(_), None) => return Err(invalid("map.module", "the job names no module of the world `fold`")),
            (_, Some(_)) => return Err(invalid("module", "what is built in needs none")),
            (_, None) if blocks != Blocks::PerUnit => return Err(invalid("blocks", "what is built in has one block a unit")),
            (_, None) if self.rounds != 1 => return Err(invalid("rounds", "what is built in has one")),
            (map, None) => self.of_built_in(map, granted)?,
        };
        if !clip.is_valid() {
            return Err(invalid("clip", "the bound is out of range").threshold(format!("1 to {} steps", Clip::BOUND_MAX)));
        }
        Ok(ResolvedFold { blocks, isolation, rows_per_unit_max: self.rows_per_unit_max, rounds: self.rounds, clip, map, reading })
    }

    fn of_built_in(&self, map: &MapDocument, granted: &[GrantedColumn]) -> Result<(Clip, FoldMap, Reading), Refused> {
        let rows = i64::from(self.rows_per_unit_max);
        // One unit's rows all in one coordinate: the same bound in every norm.
        let counts =
            |dimension: usize| Clip { dimension: u32::try_from(dimension).unwrap_or(u32::MAX), norm: self.norm(), bound: rows, scale: 0 };
        let (clip, map, reading) = match map {
            MapDocument::Module(_) => return Err(invalid("map.module", "the job names no module")),
            MapDocument::Count {} => (counts(1), BuiltIn::Count, Reading::Number),
            MapDocument::Sum { column, min, max } => {
                let range = Range::of(granted, column, min.as_deref(), max.as_deref())?;
                let bound = range.min.unsigned_abs().max(range.max.unsigned_abs());
                let bound = i64::try_from(bound).unwrap_or(i64::MAX).saturating_mul(rows);
                // A column of zeros has nothing to hide, but a bound of nothing has no noise either.
                let clip = Clip { dimension: 1, norm: self.norm(), bound: bound.max(1), scale: range.scale };
                (clip, BuiltIn::Sum { column: column.clone(), min: range.min, max: range.max }, Reading::Number)
            }
            MapDocument::Mean { column, min, max } => self.mean(column, &Range::of(granted, column, min.as_deref(), max.as_deref())?),
            MapDocument::Histogram { column, labels, cuts } => {
                let (map, reading) = histogram(find(granted, column)?, labels.as_deref(), cuts.as_deref())?;
                let dimension = match &reading {
                    Reading::Labels(labels) => labels.len(),
                    Reading::Bins { cuts, .. } => cuts.len() + 1,
                    _ => 0,
                };
                (counts(dimension), map, reading)
            }
            MapDocument::Quantile { column, permille, bins, min, max } => {
                let range = Range::of(granted, column, min.as_deref(), max.as_deref())?;
                let cuts = range.cuts(*bins)?;
                if permille.is_empty()
                    || permille.len() > QUANTILES_MAX
                    || !permille.is_sorted_by(|a, b| a < b)
                    || permille.iter().any(|p| *p > 1000)
                {
                    return Err(invalid("permille", "not 1 to 99 rising numbers up to 1000"));
                }
                let reading = Reading::Quantiles {
                    scale: range.scale,
                    min: range.min,
                    max: range.max,
                    cuts: cuts.clone(),
                    permille: permille.clone(),
                };
                (counts(cuts.len() + 1), BuiltIn::Bins { column: column.clone(), cuts }, reading)
            }
        };
        Ok((clip, FoldMap::BuiltIn(map), reading))
    }

    /// The norm that the noise is scaled to.
    fn norm(&self) -> Norm {
        match self.mechanism {
            MechanismKind::Gaussian => Norm::L2,
            MechanismKind::Laplace => Norm::L1,
        }
    }

    /// Distances from the middle of the range are summed: they are half as large as the values at most, so the noise is too. A count
    /// in the same vector, weighted by two thirds of half the range, keeps the error of the quotient near its least.
    fn mean(&self, column: &str, range: &Range) -> (Clip, BuiltIn, Reading) {
        let rows = i128::from(self.rows_per_unit_max);
        let centre = range.min.midpoint(range.max);
        let half = (i128::from(range.max) - i128::from(centre)).max(i128::from(centre) - i128::from(range.min));
        let weight = (half * 2 / 3).max(1);
        let row = match self.norm() {
            Norm::L2 => (half * half + weight * weight).unsigned_abs().isqrt().cast_signed() + 1,
            Norm::L1 | Norm::Max => half + weight,
        };
        let bound = i64::try_from(row.saturating_mul(rows)).unwrap_or(i64::MAX);
        let weight = i64::try_from(weight).unwrap_or(i64::MAX);
        let clip = Clip { dimension: 2, norm: self.norm(), bound, scale: range.scale };
        let map = BuiltIn::Mean { column: column.to_owned(), min: range.min, max: range.max, centre, weight };
        (clip, map, Reading::Mean { centre, weight })
    }
}

fn find<'a>(granted: &'a [GrantedColumn], name: &str) -> Result<&'a GrantedColumn, Refused> {
    granted.iter().find(|c| c.name == name).ok_or_else(|| invalid(&format!("column `{name}`"), "not granted by the plan"))
}

/// Values of a number column, stored integers.
struct Range {
    scale: u8,
    min: i64,
    max: i64,
}

impl Range {
    /// The catalogue's bounds, or narrower ones.
    fn of(granted: &[GrantedColumn], name: &str, min: Option<&str>, max: Option<&str>) -> Result<Self, Refused> {
        let ViewType::Number { scale, min: least, max: most } = find(granted, name)?.ty else {
            return Err(invalid(&format!("column `{name}`"), "not a number"));
        };
        let bound = |element: &str, text: Option<&str>, declared: i64| match text {
            None => Ok(declared),
            Some(text) => parse_decimal(text, scale).ok_or_else(|| invalid(element, "not a decimal of the column's resolution")),
        };
        let (min, max) = (bound("min", min, least)?, bound("max", max, most)?);
        if min < least || max > most || min > max {
            return Err(invalid("min, max", "not within the declared bounds"));
        }
        // Twice the bound still is one: distances from a centre stay whole steps.
        if min < -Clip::BOUND_MAX || max > Clip::BOUND_MAX {
            return Err(invalid("min, max", "too far apart").threshold(format!("{} steps", Clip::BOUND_MAX)));
        }
        Ok(Self { scale, min, max })
    }

    /// Cut points of `bins` equal bins.
    fn cuts(&self, bins: u32) -> Result<Vec<i64>, Refused> {
        let values = i128::from(self.max) - i128::from(self.min) + 1;
        if !(2..=BINS_MAX as u32).contains(&bins) || i128::from(bins) > values {
            return Err(invalid("bins", "out of range").threshold(format!("2 to {BINS_MAX}, and no more than there are values")));
        }
        let cut = |i: u32| i64::try_from(i128::from(self.min) + values * i128::from(i) / i128::from(bins)).unwrap_or(i64::MAX);
        Ok((1..bins).map(cut).collect())
    }
}

fn histogram(column: &GrantedColumn, labels: Option<&[String]>, cuts: Option<&[String]>) -> Result<(BuiltIn, Reading), Refused> {
    let name = column.name.clone();
    match (&column.ty, labels, cuts) {
        (ViewType::Category { .. }, labels, None) => {
            let labels = labels.unwrap_or(&column.labels).to_vec();
            let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
            if labels.is_empty() || labels.len() > BINS_MAX || distinct.len() != labels.len() {
                return Err(invalid("labels", "none declared and none given, too many, or one twice"));
            }
            Ok((BuiltIn::Labels { column: name, labels: labels.clone() }, Reading::Labels(labels)))
        }
        (ty, None, Some(cuts)) => {
            let (scale, written) = match ty {
                ViewType::Number { scale, .. } => (*scale, BinType::Number),
                ViewType::Date => (0, BinType::Date),
                ViewType::Hour => (0, BinType::Hour),
                ViewType::Category { .. } | ViewType::Pseudonym => return Err(invalid("cuts", "for numbers, dates and hours")),
            };
            let parse = |text: &String| match written {
                BinType::Number => parse_decimal(text, scale),
                BinType::Date => parse_date(text),
                BinType::Hour => parse_hour(text),
            };
            let cuts: Option<Vec<i64>> = cuts.iter().map(parse).collect();
            let cuts = cuts.filter(|c| !c.is_empty() && c.len() < BINS_MAX && c.is_sorted_by(|a, b| a < b));
            let cuts = cuts.ok_or_else(|| invalid("cuts", "none, too many, not rising, or not of the column's form"))?;
            Ok((BuiltIn::Bins { column: name, cuts: cuts.clone() }, Reading::Bins { scale, cuts, ty: written }))
        }
        _ => Err(invalid(&format!("column `{name}`"), "a category takes `labels`, another column `cuts`")),
    }
}

fn of_module(module: &ModuleMap, manifest: &FoldManifest, granted: &[GrantedColumn]) -> Result<(Clip, FoldMap, Reading), Refused> {
    let l = &Limits::STANDARD;
    for column in &manifest.columns {
        if !readable(&column.ty, &find(granted, &column.name)?.ty) {
            return Err(invalid(
                &format!("column `{}`", column.name),
                "the plan grants it with another type or resolution than the module reads",
            ));
        }
    }
    if !(1..=l.fold_fuel_max).contains(&module.fuel) {
        return Err(invalid("map.module.fuel", "out of range").threshold(format!("1 to {}", l.fold_fuel_max)));
    }
    let ClipDocument { norm, bound, scale } = &module.clip;
    let bound = parse_decimal(bound, *scale).filter(|b| *b > 0);
    let bound = bound.ok_or_else(|| invalid("map.module.clip.bound", "not a positive decimal of the scale"))?;
    let states = manifest.state as usize;
    let initial: Option<Vec<f64>> = match module.initial.len() {
        0 => Some(vec![0.0; states]),
        given if given == states => module.initial.iter().map(|text| text.parse().ok().filter(|v: &f64| v.is_finite())).collect(),
        _ => None,
    };
    let initial = initial.ok_or_else(|| invalid("map.module.initial", "not one decimal for each element of the module's state"))?;
    let clip = Clip { dimension: manifest.dimension, norm: *norm, bound, scale: *scale };
    Ok((clip, FoldMap::Module { columns: manifest.columns.clone() }, Reading::State { initial, fuel: module.fuel }))
}
