use std::collections::BTreeSet;
use serde::{Deserialize, Serialize};
use protocol::{table::TableOutput, model::LinearModel, plan::ViewColumn};
use crate::policy::release::{TableRules, ModelRules};
use crate::refusal::Refused;
#[derive(Debug, Clone, Serialize, Deserialize)] pub struct Check {}
pub struct T { pub table: String, pub evidence: String, pub checks: Vec<Check> }
pub struct M { pub model: String, pub evidence: String, pub checks: Vec<Check> }
pub fn decide_table(_: &TableOutput, _: &TableRules, _: u64, _: &BTreeSet<String>) -> Result<T, Refused> { Err(Refused::new(&crate::refusal::NOT_FOUND)) }
pub fn decide_model(_: &LinearModel, _: &ModelRules, _: u64, _: &[ViewColumn]) -> Result<M, Refused> { Err(Refused::new(&crate::refusal::NOT_FOUND)) }
