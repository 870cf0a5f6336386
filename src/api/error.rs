//! Refusals and failures as answers.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gate::DecideError;
use crate::jobs::JobError;
use crate::policy::PolicyError;
use crate::refusal::{self, Refused};
use crate::store::StoreError;

/// Seconds after which a caller may try again when more is under way than allowed.
const RETRY_AFTER_S: &str = "5";

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Refused under a rule; told to the caller.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Refused under a rule, with more to tell: rows by number, column and rule, never a value.
    #[error("{0}")]
    Detailed(Refused, Box<serde_json::Value>),
    /// A failure of ours; the text is for the log.
    #[error("{0}")]
    Internal(String),
}

/// What a refusal looks like. `subject` is a name that the caller itself gave.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Refusal {
    /// Stable identifier of the rule.
    pub rule: String,
    /// Articles it answers to.
    pub clauses: Vec<String>,
    /// The policy setting that was not met, with its unit.
    pub threshold: Option<String>,
    /// What was refused, in the caller's own words.
    pub subject: Option<String>,
    /// What happened, in English.
    pub en: String,
    /// What happened, in Chinese.
    pub zh: String,
    /// What to do, in English.
    pub remedy_en: String,
    /// What to do, in Chinese.
    pub remedy_zh: String,
}

/// Body of every answer that is not a success.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// The refusal.
    pub error: Refusal,
    /// For a refused upload: its rejected rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<serde_json::Value>,
}

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        let rule = refused.rule();
        Self {
            rule: rule.id.into(),
            clauses: rule.clauses.iter().map(|c| (*c).to_owned()).collect(),
            threshold: refused.threshold_text().map(str::to_owned),
            subject: refused.subject_text().map(str::to_owned),
            en: rule.en.into(),
            zh: rule.zh.into(),
            remedy_en: rule.remedy_en.into(),
            remedy_zh: rule.remedy_zh.into(),
        }
    }
}

/// The status of a rule.
fn status(rule: &str) -> StatusCode {
    match rule {
        "auth.unauthenticated" => StatusCode::UNAUTHORIZED,
        "request.not_found" => StatusCode::NOT_FOUND,
        "request.conflict" | "recovery.other" | "release.unwitnessed" => StatusCode::CONFLICT,
        "request.too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "request.busy" | "request.overloaded" => StatusCode::TOO_MANY_REQUESTS,
        "request.form" => StatusCode::FORBIDDEN,
        "review.separation" | "review.no_duty" | "review.key" => StatusCode::FORBIDDEN,
        "privacy.no_budget" | "privacy.budget" | "privacy.job_max" => StatusCode::FORBIDDEN,
        "module.unreviewed" | "module.denied" | "dataset.sharing_none" | "dataset.core" | "dataset.public_by_operator" => {
            StatusCode::FORBIDDEN
        }
        _ => match rule.split('.').next().unwrap_or_default() {
            "auth" | "authorisation" | "agreement" | "application" | "policy" | "release" | "token" | "issuer" | "verification" | "log" => {
                StatusCode::FORBIDDEN
            }
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        },
    }
}

/// The answer to a refusal. It carries the refusal itself beside its body, so that the audit sees what was refused.
fn refused(refused: Refused, detail: Option<serde_json::Value>) -> Response {
    let status = status(refused.rule().id);
    let mut response = (status, Json(ErrorBody { error: Refusal::from(&refused), detail })).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, axum::http::HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static(RETRY_AFTER_S));
    }
    response.extensions_mut().insert(refused);
    response
}

/// The constant answer to every failure of ours.
pub(super) fn internal() -> Response {
    let error = Refusal {
        rule: "internal".into(),
        clauses: Vec::new(),
        threshold: None,
        subject: None,
        en: "the server failed; nothing was released by this call".into(),
        zh: "服务器内部错误，本次调用未释放任何数据".into(),
        remedy_en: "try again; if it happens again, give the administrator the request id of this answer".into(),
        remedy_zh: "请重试；如再次出现，请将本次应答的请求编号告知管理员".into(),
    };
    (StatusCode::INTERNAL_SERVER_ERROR, Json(ErrorBody { error, detail: None })).into_response()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => refused(refusal, None),
            Self::Detailed(refusal, detail) => refused(refusal, Some(*detail)),
            Self::Internal(cause) => {
                tracing::error!(cause, "a call failed");
                internal()
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.log_text())
    }
}

impl From<rusqlite::Error> for ApiError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<crate::id::IdError> for ApiError {
    fn from(error: crate::id::IdError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<PolicyError> for ApiError {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::Refused(refused) => Self::Refused(refused),
            PolicyError::Store(error) => error.into(),
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Refused(refused) => Self::Refused(refused),
            JobError::Store(error) => error.into(),
        }
    }
}

impl From<DecideError> for ApiError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Refused(refused) => Self::Refused(refused),
            DecideError::Store(error) => error.into(),
        }
    }
}

/// `request.not_found` for what the caller named.
pub(super) fn not_found(subject: &str) -> ApiError {
    Refused::new(&refusal::NOT_FOUND).subject(subject).into()
}

/// `request.malformed`, naming the element.
pub(super) fn malformed(subject: &str) -> ApiError {
    Refused::new(&refusal::MALFORMED).subject(subject).into()
}

/// What is asked for at an address that is none.
pub(super) async fn no_such_route() -> ApiError {
    Refused::new(&refusal::NOT_FOUND).into()
}

/// What is asked for with a method that the address does not have.
pub(super) async fn no_such_method() -> Response {
    let mut response = refused(Refused::new(&refusal::NOT_FOUND), None);
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_one_form_wherever_it_is_told() {
        let refused = Refused::new(&refusal::TABLE_CELLS).threshold("10 cells").subject("by grade");
        assert_eq!(serde_json::to_value(&refused).unwrap(), serde_json::to_value(Refusal::from(&refused)).unwrap());
    }

    #[test]
    fn who_is_told_to_come_back_is_told_when() {
        for rule in refusal::RULES {
            let answer = ApiError::from(Refused::new(rule)).into_response();
            let seconds = answer.headers().get(header::RETRY_AFTER).map(|s| s.to_str().unwrap().parse::<u64>().unwrap());
            assert_eq!(seconds.is_some_and(|s| s > 0), answer.status() == StatusCode::TOO_MANY_REQUESTS, "{}", rule.id);
        }
    }

    #[test]
    fn every_rule_has_a_status_of_the_contract() {
        for rule in refusal::RULES {
            let status = status(rule.id).as_u16();
            assert!([401, 403, 404, 409, 413, 422, 429].contains(&status), "{}: {status}", rule.id);
        }
        for (rule, wanted) in [
            ("auth.role", 403),
            ("auth.own_review", 403),
            ("agreement.expired", 403),
            ("authorisation.revoked", 403),
            ("application.undecided", 403),
            ("module.unreviewed", 403),
            ("dataset.core", 403),
            ("privacy.budget", 403),
            ("privacy.invalid", 422),
            ("dataset.incomplete", 422),
            ("module.import", 422),
            ("request.malformed", 422),
            ("request.busy", 429),
            ("request.overloaded", 429),
        ] {
            assert!(refusal::RULES.iter().any(|r| r.id == rule), "{rule}");
            assert_eq!(status(rule).as_u16(), wanted, "{rule}");
        }
    }
}
