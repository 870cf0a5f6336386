//! Parameters as they are released: few significant decimal digits, within fixed magnitudes. Deterministic.

use std::ops::RangeInclusive;

use protocol::model::Model;

use super::super::exact;

/// Decimal exponents of parameters that are released. Smaller ones become zero, larger ones are refused: an exponent without bounds would
/// carry nine bits and more by itself.
pub const MAGNITUDES: RangeInclusive<i32> = -9..=9;

/// Numbers that a parameter of so many significant digits can be: zero; else a sign, the digits, an exponent.
pub(super) fn possible(digits: u8) -> u64 {
    let figures = 9 * 10u64.saturating_pow(u32::from(digits.max(1)) - 1);
    figures.saturating_mul(2 * MAGNITUDES.count() as u64).saturating_add(1)
}

/// The decimal text of a parameter as it is released. `None` where it is not finite or too large.
pub(super) fn text(value: f64, digits: u8) -> Option<String> {
    let text = exact::significant(value, digits)?;
    let near: f64 = text.parse().ok()?;
    if near.abs() < 10f64.powi(*MAGNITUDES.start()) {
        return Some("0".to_owned());
    }
    // Written out, so that the bound is the decimal itself.
    (near.abs() < 10f64.powi(*MAGNITUDES.end() + 1)).then_some(text)
}

/// The model with every parameter as it is released. `None` where one is too large.
pub(super) fn round(model: &Model, digits: u8) -> Option<Model> {
    let (mut rounded, mut all) = (model.clone(), true);
    rounded.for_each_parameter(&mut |value| match text(*value, digits).and_then(|text| text.parse().ok()) {
        Some(near) => *value = near,
        None => all = false,
    });
    all.then_some(rounded)
}
