//! Privacy budgets, and what a fold would cost and be worth before anything is spent.

use axum::Json;
use axum::extract::State;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::plans;
use super::signed::Signed;
use super::state::App;
use crate::agreement::records;
use crate::catalog::store;
use crate::catalog::{CatalogueEntry, FusionPlan};
use crate::dp::preview::{BlockPlan, ExpectedError, Shape, Statistic, Target};
use crate::dp::{Cost, Epsilon, FoldDocument, MapDocument, Reading, ResolvedFold, granted_columns};
use crate::gate::{self, Budget, NamespaceBudget, Remaining, Spent};
use crate::id::{AgreementId, DatasetId, Name, PlanId};
use crate::policy::resource;
use crate::policy::{actions, release};
use crate::refusal::{self, Refused};
use protocol::fold::{Blocks, BuiltIn, FoldMap};
use protocol::manifest::FoldManifest;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read, set)).routes(routes!(preview))
}

/// A privacy budget, what was spent of it, and what remains.
#[derive(Serialize, utoipa::ToSchema)]
struct BudgetView {
    /// Kind of identifier.
    namespace: Name,
    /// What may be spent in all; nothing: nothing may.
    budget: Option<NamespaceBudget>,
    /// What was spent, by all operators.
    spent: Spent,
    /// What remains.
    remaining: Option<Remaining>,
}

/// A privacy budget to set.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewBudget {
    /// Most ε, a decimal: of everything that was and will be spent, never of a period.
    epsilon: Epsilon,
    /// δ = 10^-this; that of the platform's release policy where it is not given.
    #[serde(default)]
    delta_exponent: Option<u8>,
    /// Why.
    reason: String,
}

fn view(connection: &Connection, namespace: Name) -> Result<BudgetView, ApiError> {
    let budget = gate::namespace_budget(connection, &namespace)?;
    let spent = gate::spent_on(connection, &namespace)?;
    let remaining = gate::remaining_on(connection, &namespace)?;
    Ok(BudgetView { namespace, budget, spent, remaining })
}

/// A budget and what remains of it. Both are public among operators: they share it.
#[utoipa::path(get, path = "/v1/namespaces/{namespace}/budget", tag = "private",
    params(("namespace" = String, Path, description = "kind of identifier")), responses((status = 200, body = BudgetView)))]
async fn read(State(app): State<App>, Signed(caller): Signed, Id(namespace): Id<Name>) -> Result<Json<BudgetView>, ApiError> {
    let _permit = app.permit::<actions::BudgetRead>(&caller, resource::Budget { namespace: namespace.clone() })?;
    Ok(Json(app.read(move |_, c| view(c, namespace)).await?))
}

/// Sets a budget. What was spent stays spent.
#[utoipa::path(put, path = "/v1/namespaces/{namespace}/budget", tag = "private", request_body = NewBudget,
    params(("namespace" = String, Path, description = "kind of identifier")), responses((status = 200, body = BudgetView)))]
async fn set(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(namespace): Id<Name>,
    JsonBody(new): JsonBody<NewBudget>,
) -> Result<Json<BudgetView>, ApiError> {
    let permit = app.permit::<actions::BudgetSet>(&caller, resource::Budget { namespace: namespace.clone() })?;
    if new.reason.trim().is_empty() {
        return Err(malformed("reason"));
    }
    let delta_exponent = match new.delta_exponent {
        Some(given) => given,
        None => app.read(|_, c| floor(c)).await?,
    };
    let budget = Budget::new(new.epsilon, delta_exponent)?;
    let set = app.write(move |app, tx| {
        let _set = gate::set_budget(tx, &app.journal, permit, &budget, &new.reason, app.now())?;
        view(tx, namespace)
    });
    Ok(Json(set.await?))
}

fn floor(connection: &Connection) -> Result<u8, ApiError> {
    let floor = release::floor(connection)?.ok_or(Refused::new(&refusal::POLICY_MISSING))?;
    Ok(floor.private.delta_exponent)
}

/// A fold to preview. No data is looked at.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPreview {
    /// The plan whose columns it reads.
    plan: PlanId,
    /// The fold.
    fold: FoldDocument,
    /// The agreement whose budget is to pay.
    #[serde(default)]
    agreement: Option<AgreementId>,
    /// Length of a contribution, where a module computes it.
    #[serde(default)]
    dimension: Option<u32>,
    /// Privacy units that are expected, for a mean and for planning blocks; the declared rows of the unit's dataset without it.
    #[serde(default)]
    units: Option<u64>,
    /// The error that would do.
    #[serde(default)]
    target_error: Option<NewTarget>,
}

/// An error in real units: one of both.
#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum NewTarget {
    /// Root of the mean square.
    Rmse(f64),
    /// 95% of answers lie within.
    #[serde(rename = "half_width_95")]
    HalfWidth95(f64),
}

/// What a fold costs, what its answer is worth, and whether the budgets cover it.
#[derive(Serialize, utoipa::ToSchema)]
struct Preview {
    /// Its cost, all rounds.
    cost: Cost,
    /// ε of that at the policy's δ; the pure one where that is smaller.
    epsilon: Epsilon,
    /// δ = 10^-this.
    delta_exponent: u8,
    /// What the error is of.
    error_of: ErrorOf,
    /// What noise alone makes of the answer.
    expected_error: ExpectedError,
    /// Most ε of one job.
    epsilon_per_job_max: Epsilon,
    /// What remains on the namespace; nothing: no budget is set.
    namespace: Option<Remaining>,
    /// What remains under the agreement; nothing: none was named, or it has no budget.
    agreement: Option<Remaining>,
    /// Whether every one of them covers it.
    covered: bool,
    /// What would reach the target.
    plan: Option<TargetPlan>,
}

/// What an expected error is of.
#[derive(Clone, Copy, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum ErrorOf {
    /// Each coordinate of the answer.
    Coordinate,
    /// The mean, at worst (a mean at its bound) and for the units expected.
    Mean,
    /// The rank of a quantile, in rows; that of its bin comes on top.
    Rank,
    /// The mean of the blocks' contributions, coordinate by coordinate.
    BlockMean,
}

/// What would reach a target error.
#[derive(Serialize, utoipa::ToSchema)]
struct TargetPlan {
    /// The least ε, all else as asked; nothing: none does.
    epsilon: Option<Epsilon>,
    /// For shared blocks at the asked ε: how many, so that each is as large as can be; nothing: no number does.
    blocks: Option<BlockPlan>,
}

/// Cost, expected error and remaining budgets of a fold, and what a target error would need: from public parameters alone.
#[utoipa::path(post, path = "/v1/private/preview", tag = "private", request_body = NewPreview, responses((status = 200, body = Preview)))]
async fn preview(State(app): State<App>, Signed(caller): Signed, JsonBody(new): JsonBody<NewPreview>) -> Result<Json<Preview>, ApiError> {
    let made = app.read(move |app, c| {
        let row = store::plan(c, &new.plan)?.ok_or_else(|| not_found(new.plan.as_str()))?;
        let thing = plans::resource(c, &row.plan, &row.org)?;
        let owners = thing.providers.iter().chain([&row.org]).cloned().collect();
        let _plan = app.permit::<actions::PlanRead>(&caller, thing)?;
        let namespace = row.plan.namespace.clone();
        let _budget = app.permit::<actions::BudgetRead>(&caller, resource::Budget { namespace: namespace.clone() })?;
        let rules = release::active(c, &owners)?.rules().private;
        let agreement = new.agreement.as_ref().map(|id| {
            let found = records::agreement(c, id)?.ok_or_else(|| not_found(id.as_str()))?;
            let terms = &found.terms;
            let thing = resource::Agreement { id: id.clone(), org: terms.agreement.operator.clone(), providers: terms.providers.clone() };
            let _agreement = app.permit::<actions::AgreementRead>(&caller, thing)?;
            remaining(c, id, terms.agreement.budgets.privacy_epsilon, rules.delta_exponent)
        });
        let agreement = agreement.transpose()?.flatten();
        let namespace = gate::remaining_on(c, &namespace)?;
        let members = plans::members(c, &row.plan)?;
        let told = look(&new, &row.plan, &members, rules.delta_exponent)?;
        let (cost, epsilon) = (told.cost, told.epsilon);
        let covers = |r: &Option<Remaining>| r.is_some_and(|r| r.covers(&cost));
        Ok(Preview {
            cost,
            epsilon,
            delta_exponent: rules.delta_exponent,
            error_of: told.error_of,
            expected_error: told.error,
            epsilon_per_job_max: rules.epsilon_per_job_max,
            covered: covers(&namespace) && covers(&agreement) && told.asked <= rules.epsilon_per_job_max,
            namespace,
            agreement,
            plan: told.plan,
        })
    });
    Ok(Json(made.await?))
}

fn remaining(c: &Connection, id: &AgreementId, epsilon: Epsilon, delta_exponent: u8) -> Result<Option<Remaining>, ApiError> {
    if epsilon == Epsilon::ZERO {
        return Ok(None);
    }
    Ok(Some(gate::remaining_under(c, id, &Budget::new(epsilon, delta_exponent)?)?))
}

/// What is told of a fold without looking at data or budgets.
struct Told {
    cost: Cost,
    asked: Epsilon,
    epsilon: Epsilon,
    error_of: ErrorOf,
    error: ExpectedError,
    plan: Option<TargetPlan>,
}

type Members = std::collections::BTreeMap<DatasetId, CatalogueEntry>;

fn look(new: &NewPreview, plan: &FusionPlan, members: &Members, delta_exponent: u8) -> Result<Told, ApiError> {
    let catalogue = members.iter().map(|(id, entry)| (id.clone(), entry)).collect();
    plan.qualify(&catalogue)?;
    let granted = granted_columns(&plan.validate(&catalogue)?.fuse);
    let fold = new.fold.resolve(&granted, manifest(new)?.as_ref())?;
    let invalid = |what: &str| Refused::new(&refusal::PRIVACY_INVALID).subject(what);
    let asked = Epsilon::parse(&new.fold.epsilon).map_err(|_| invalid("epsilon"))?;
    let shape = Shape { mechanism: new.fold.mechanism, delta_exponent, rounds: fold.rounds, clip: fold.clip, blocks: fold.blocks };
    let units = new.units.or_else(|| declared(plan, members)).unwrap_or(0);
    let (error_of, statistic) = statistic(&fold, units);
    let calibration = shape.at(asked)?;
    let target = new.target_error.map(|target| match target {
        NewTarget::Rmse(error) => Target::Rmse(error),
        NewTarget::HalfWidth95(error) => Target::HalfWidth95(error),
    });
    let reach = |target| -> Result<TargetPlan, Refused> {
        let epsilon = reachable(shape.epsilon_for(statistic, target))?;
        let blocks = match fold.blocks {
            Blocks::Shared(_) => reachable(shape.blocks_for(asked, units, target))?,
            Blocks::PerUnit => None,
        };
        Ok(TargetPlan { epsilon, blocks })
    };
    Ok(Told {
        cost: calibration.cost(),
        asked,
        epsilon: calibration.epsilon_at(delta_exponent)?,
        error_of,
        error: ExpectedError::of(&calibration, statistic),
        plan: target.map(reach).transpose()?,
    })
}

/// That no ε and no number of blocks does is an answer.
fn reachable<T>(found: Result<T, Refused>) -> Result<Option<T>, Refused> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(refused) if refused.rule() == &refusal::PRIVACY_UNREACHABLE => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// Of a module only the length of its vectors matters here; which columns it reads is judged when the job is submitted.
fn manifest(new: &NewPreview) -> Result<Option<FoldManifest>, Refused> {
    let MapDocument::Module(module) = &new.fold.map else { return Ok(None) };
    let dimension = new.dimension.ok_or_else(|| Refused::new(&refusal::PRIVACY_INVALID).subject("dimension"))?;
    let state = u32::try_from(module.initial.len().max(1)).unwrap_or(u32::MAX);
    Ok(Some(FoldManifest { columns: Vec::new(), dimension, state }))
}

/// Rows that the provider of the unit's dataset declared: public, and not counted.
fn declared(plan: &FusionPlan, members: &Members) -> Option<u64> {
    let (alias, _) = plan.unit.split_once('.')?;
    let member = plan.members.iter().find(|m| m.alias == alias)?;
    Some(members.get(&member.dataset)?.declared_rows)
}

fn statistic(fold: &ResolvedFold, units: u64) -> (ErrorOf, Statistic) {
    if let FoldMap::BuiltIn(BuiltIn::Mean { min, max, centre, weight, .. }) = &fold.map {
        let half_range = max.saturating_sub(*centre).max(centre.saturating_sub(*min));
        return (ErrorOf::Mean, Statistic::Mean { weight: *weight, half_range, rows: units });
    }
    match (&fold.reading, fold.blocks) {
        (Reading::State { .. }, Blocks::Shared(_)) => (ErrorOf::BlockMean, Statistic::BlockMean),
        (Reading::Quantiles { cuts, .. }, _) => {
            (ErrorOf::Rank, Statistic::Quantile { bins: u32::try_from(cuts.len()).unwrap_or(u32::MAX).saturating_add(1) })
        }
        _ => (ErrorOf::Coordinate, Statistic::Coordinates),
    }
}
