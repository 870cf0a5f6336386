//! What a supervisor watches: alerts, orders, figures of a period, the check of the published log.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Id, JsonBody};
use super::error::{ApiError, malformed, not_found};
use super::signed::Signed;
use super::state::App;
use crate::clock::{Date, Timestamp};
use crate::id::OrgId;
use crate::policy::actions;
use crate::policy::resource::{Platform, RectificationOrder};
use crate::supervision::{self, About, Acknowledged, Indicators, Order, Severity, Situation};

const DAY_S: i64 = 86_400;
/// Longest period that figures are made of.
const DAYS_MAX: u32 = 1100;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(alerts))
        .routes(routes!(acknowledge))
        .routes(routes!(indicators))
        .routes(routes!(orders, issue))
        .routes(routes!(close))
}

/// An alert that stands.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct AlertView {
    /// Which.
    pub rule: &'static str,
    /// What it is about.
    pub subject: String,
    /// Whom it is about.
    pub org: Option<OrgId>,
    /// How soon someone has to look.
    pub severity: Severity,
    /// Articles it answers to.
    pub clauses: Vec<String>,
    /// In English.
    pub en: &'static str,
    /// In Chinese.
    pub zh: &'static str,
    /// When it is raised, in English.
    pub when_en: &'static str,
    /// When it is raised, in Chinese.
    pub when_zh: &'static str,
    /// What to do, in English.
    pub remedy_en: &'static str,
    /// What to do, in Chinese.
    pub remedy_zh: &'static str,
    /// What kind of thing its subject is.
    pub about: About,
    /// What was found.
    pub value: String,
    /// From where on it is said.
    pub threshold: String,
    /// How far its cause has gone. A larger one is a new alert.
    pub extent: u64,
    /// Who has seen it.
    pub acknowledged: Option<Acknowledged>,
}

/// That an alert was seen.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// Which.
    rule: String,
    /// What it is about, as the list has it.
    subject: String,
    /// What was done about it.
    note: String,
}

/// A period.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Period {
    /// Its days, ending now: 1 to 1100; without it 30.
    days: Option<u32>,
}

/// An order to put something right.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOrder {
    /// To whom.
    org: OrgId,
    /// What is to be put right.
    text: String,
    /// The last day for it.
    due: Date,
}

/// What came of an order.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Closing {
    /// What was found.
    outcome: String,
}

/// The alerts that stand, the most urgent first.
pub(crate) fn standing(app: &App, connection: &rusqlite::Connection) -> Result<Vec<AlertView>, ApiError> {
    let situation = Situation { now: app.now(), city: &app.city };
    let view = |alert: supervision::Alert| {
        let rule = alert.rule;
        AlertView {
            rule: rule.id,
            subject: alert.subject,
            org: alert.org,
            severity: rule.severity,
            clauses: rule.clauses.iter().map(|c| (*c).to_owned()).collect(),
            en: rule.en,
            zh: rule.zh,
            when_en: rule.when_en,
            when_zh: rule.when_zh,
            remedy_en: rule.remedy_en,
            remedy_zh: rule.remedy_zh,
            about: alert.about,
            value: alert.value,
            threshold: alert.threshold,
            extent: alert.extent,
            acknowledged: alert.acknowledged,
        }
    };
    Ok(supervision::standing(connection, &situation)?.into_iter().map(view).collect())
}

/// Alerts that stand, those seen last.
#[utoipa::path(get, path = "/v1/alerts", tag = "supervision", responses((status = 200, body = Vec<AlertView>)))]
async fn alerts(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<AlertView>>, ApiError> {
    let _permit = app.permit::<actions::AlertList>(&caller, Platform {})?;
    Ok(Json(app.read(standing).await?))
}

/// Notes that an alert was seen; it stands again once its cause has grown.
#[utoipa::path(post, path = "/v1/alerts/acknowledge", tag = "supervision", request_body = Seen,
    responses((status = 201, body = Acknowledged)))]
async fn acknowledge(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(seen): JsonBody<Seen>,
) -> Result<(StatusCode, Json<Acknowledged>), ApiError> {
    let permit = app.permit::<actions::AlertAcknowledge>(&caller, Platform {})?;
    let noted = app.write(move |app, tx| {
        let situation = Situation { now: app.now(), city: &app.city };
        Ok(supervision::acknowledge(tx, &app.journal, permit, (&seen.rule, &seen.subject), &seen.note, &situation)?)
    });
    Ok((StatusCode::CREATED, Json(noted.await?)))
}

/// Figures of a period: releases by form and operator, replies in time, denials by rule, disposals.
#[utoipa::path(get, path = "/v1/indicators", tag = "supervision", params(Period), responses((status = 200, body = Indicators)))]
async fn indicators(State(app): State<App>, Signed(caller): Signed, Query(period): Query<Period>) -> Result<Json<Indicators>, ApiError> {
    let _permit = app.permit::<actions::IndicatorsRead>(&caller, Platform {})?;
    let days = period.days.unwrap_or(30);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(malformed("days: 1 to 1100"));
    }
    let figures = app.read(move |app, c| {
        let now = app.now();
        let from: Timestamp = now.plus_s(-i64::from(days) * DAY_S);
        Ok(supervision::figures(c, &Situation { now, city: &app.city }, from)?)
    });
    Ok(Json(figures.await?))
}

/// Orders that the caller may see.
#[utoipa::path(get, path = "/v1/orders", tag = "supervision", responses((status = 200, body = Vec<Order>)))]
async fn orders(State(app): State<App>, Signed(caller): Signed) -> Result<Json<Vec<Order>>, ApiError> {
    let _permit = app.permit::<actions::OrderList>(&caller, Platform {})?;
    let all = app.read(move |app, c| {
        let mut all = supervision::orders(c, app.now())?;
        all.retain(|o| app.authz.allows::<actions::OrderRead>(&caller, &RectificationOrder { org: o.org.clone() }));
        Ok(all)
    });
    Ok(Json(all.await?))
}

/// Orders an organisation to put something right by a day.
#[utoipa::path(post, path = "/v1/orders", tag = "supervision", request_body = NewOrder, responses((status = 201, body = Order)))]
async fn issue(
    State(app): State<App>,
    Signed(caller): Signed,
    JsonBody(new): JsonBody<NewOrder>,
) -> Result<(StatusCode, Json<Order>), ApiError> {
    let permit = app.permit::<actions::OrderIssue>(&caller, RectificationOrder { org: new.org })?;
    let order = app.write(move |app, tx| Ok(supervision::issue(tx, &app.journal, permit, &new.text, new.due, app.now())?));
    Ok((StatusCode::CREATED, Json(order.await?)))
}

/// Closes an order.
#[utoipa::path(post, path = "/v1/orders/{id}/close", tag = "supervision", params(("id" = i64, Path, description = "order")),
    request_body = Closing, responses((status = 204)))]
async fn close(
    State(app): State<App>,
    Signed(caller): Signed,
    Id(id): Id<i64>,
    JsonBody(closing): JsonBody<Closing>,
) -> Result<StatusCode, ApiError> {
    app.write(move |app, tx| {
        let order = supervision::orders(tx, app.now())?.into_iter().find(|o| o.id == id).ok_or_else(|| not_found("order"));
        // Whoever may close none is told that, whether or not it is there.
        let org = order.as_ref().map_or_else(|_| caller.principal().org.clone(), |o| o.org.clone());
        let permit = app.permit::<actions::OrderClose>(&caller, RectificationOrder { org })?;
        let order = order?;
        Ok(supervision::close(tx, &app.journal, permit, order.id, &closing.outcome, app.now())?)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
