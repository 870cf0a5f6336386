//! What an operator may do with others' data, on paper: three papers, and all three must be in force for a job on real data.
//!
//! 1. [`Authorisation`]: the authority authorises an operator for datasets and a term (X31, S15, H18).
//! 2. [`Application`]: the operator applies, with purpose, basis, scope, method, use case and three commitments; every provider
//!    decides for its own data, a refusal with reason and basis (X27, C16).
//! 3. [`Agreement`]: plan, purposes, recipients, doors, columns, term, budgets, disposal, counter-signed by every provider over
//!    the digest of its terms (C19).
//!
//! Besides, a subject consents to one question of one operator by a token ([`consent`]).
//!
//! [`in_force()`] judges all three for one job and gives an [`InForce`], without which no job is submitted. [`records`] keeps
//! them. Terms are dates in China Standard Time, the last day included.

pub mod consent;
pub mod document;
mod in_force;
pub mod records;

pub use document::{
    AgreementDocument, AgreementTerms, ApplicationDocument, AuthorisationDocument, Budgets, Columns, Commitments, Digest, Door, Term,
};
pub use in_force::{Agreement, Application, Authorisation, Countersignature, Ending, InForce, JobFacts, ProviderDecision, in_force};
pub use records::MIGRATIONS;
