//! Constants of a plan: texts to stored integers by the column's declaration.

use protocol::linkage::canonical;
use protocol::plan::{Literal, Transform};
use protocol::schema::{ColumnSchema, ColumnType};
use protocol::value::{parse_date, parse_decimal, parse_hour};

use super::document::are_labels;
use super::plan::{Constant, TransformDocument};
use crate::refusal::{PLAN_INVALID, PLAN_TRANSFORM, Refused, Rule};

/// A refusal that names the element and what is wrong with it.
pub(super) fn refuse(rule: &'static Rule, element: &str, why: &str) -> Refused {
    Refused::new(rule).subject(&format!("{element}: {why}"))
}

/// The stored form of a filter's constant.
pub(super) fn literal(element: &str, schema: &ColumnSchema, constant: &Constant) -> Result<Literal, Refused> {
    let bad = |why| refuse(&PLAN_INVALID, element, why);
    let text = constant.text();
    match &schema.ty {
        ColumnType::Number { scale, .. } => number(element, *scale, constant).map(Literal::Int),
        ColumnType::Date => parse_date(&text).map(Literal::Int).ok_or_else(|| bad("not a date YYYY-MM-DD")),
        ColumnType::Hour => parse_hour(&text).map(Literal::Int).ok_or_else(|| bad("not an hour YYYY-MM-DD HH")),
        ColumnType::Category { domain } if domain.contains(&text) => Ok(Literal::Text(text)),
        ColumnType::Category { .. } => Err(bad("a label outside the domain")),
        ColumnType::Text { .. } => match schema.linkage {
            None => Ok(Literal::Text(text)),
            Some(kind) => {
                canonical(kind, &text).map(|t| Literal::Text(t.into_owned())).ok_or_else(|| bad("not of the form of its linkage key"))
            }
        },
    }
}

impl Constant {
    fn text(&self) -> String {
        match self {
            Self::Integer(n) => n.to_string(),
            Self::Text(t) => t.clone(),
        }
    }
}

fn number(element: &str, scale: u8, constant: &Constant) -> Result<i64, Refused> {
    parse_decimal(&constant.text(), scale)
        .ok_or_else(|| refuse(&PLAN_INVALID, element, "a constant is not a decimal of the column's resolution"))
}

/// The transform over stored integers. Whether it applies to the column's type is for the caller.
pub(super) fn resolve_transform(name: &str, schema: &ColumnSchema, document: &TransformDocument) -> Result<Transform, Refused> {
    let element = format!("outputs.{name}");
    let bad = |why| refuse(&PLAN_TRANSFORM, &element, why);
    let scale = match schema.ty {
        ColumnType::Number { scale, .. } => Some(scale),
        _ => None,
    };
    let stored = |constant: &Constant| number(&element, scale.ok_or_else(|| bad("for numbers only"))?, constant);
    Ok(match document {
        TransformDocument::Keep => Transform::Keep,
        TransformDocument::Pseudonym if schema.linkage.is_some() => Transform::Pseudonym,
        TransformDocument::Pseudonym => return Err(bad("only a linkage key has a pseudonym")),
        TransformDocument::Mask => Transform::Mask,
        TransformDocument::Bucket(bucket) => Transform::Bucket(*bucket),
        TransformDocument::Prefix(0) => return Err(bad("keeps no character; use `mask`")),
        TransformDocument::Prefix(characters) => Transform::Prefix { characters: *characters },
        TransformDocument::Bands { cuts, labels } => {
            let cuts = cuts.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
            if cuts.is_empty() || !cuts.is_sorted_by(|a, b| a < b) || labels.len() != cuts.len() + 1 || !are_labels(labels) {
                return Err(bad("cut points must rise, with one distinct label more than cut points"));
            }
            Transform::Bands { cuts, labels: labels.clone() }
        }
        TransformDocument::Clamp { min, max } => {
            let (min, max) = (stored(min)?, stored(max)?);
            if min > max {
                return Err(bad("`min` lies above `max`"));
            }
            Transform::Clamp { min, max }
        }
    })
}
