//! Who calls, as a handler gets it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::error::ApiError;
use crate::policy::Caller;
use crate::refusal::{self, Refused};

/// The verified caller. A route outside the audit has none, so a handler that asks for one there refuses every call.
pub(super) struct Signed(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for Signed {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(|| Refused::new(&refusal::UNAUTHENTICATED).into())
    }
}

/// The token that was presented, for its rotation.
#[derive(Clone)]
pub(super) struct Presented(pub zeroize::Zeroizing<String>);

impl<S: Send + Sync> FromRequestParts<S> for Presented {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refused::new(&refusal::UNAUTHENTICATED).into())
    }
}
