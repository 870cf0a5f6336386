//! Statistical disclosure control: exact figures with their evidence become a table or model that may be shown. Pure.
//!
//! [`decide_table`] applies, cell by cell, the minimum frequency, (n,k) dominance, the p% rule, and the rule for zero and full cells;
//! [`decide_model`] bounds and rounds a linear model. Sources: Hundepool et al., *Statistical Disclosure Control* (2012), ch. 4;
//! Griffiths et al., *Handbook on Statistical Disclosure Control for Outputs* (2019).
//!
//! # What this protects, and what not
//!
//! A cell that is shown has enough units behind it and no dominating one; a hidden cell's cause is not told; a label that stands for
//! too few units, and was not declared beforehand, is not named at all.
//!
//! Suppression here is primary only. No table carries totals, so a hidden cell cannot be computed from *its own* table. It may be
//! computed from *another* table of the same data that is a margin of it, or that differs from it by a few units: complementary
//! suppression and the audit across releases are not part of this module. [`shares_margin`] tells whether two requests are related
//! in the plainest of these ways. Neither are bounds on a hidden cell, prior knowledge, and what a released minimum or maximum tells
//! when it lies inside its coding.

mod derived;
mod exact;
mod model;
mod primary;
mod table;

pub use derived::judge_derived;
pub use model::{DecidedModel, ModelTerm, decide_model};
pub use primary::{Cause, CauseRule};
pub use table::{
    CellEvidence, Coding, DecidedCell, DecidedRow, DecidedTable, Fate, NotReleased, TableEvidence, decide_table, shares_margin,
};
