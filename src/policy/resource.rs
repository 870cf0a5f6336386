//! What an action is done to: the facts that the authorisation policies look at, one type a kind of thing.

use std::collections::BTreeSet;

use cedar_policy::RestrictedExpression;

use super::caller::Role;
use crate::id::{AgreementId, DatasetId, JobId, ModuleDigest, Name, OrgId, PlanId, PrincipalId, ReleaseId, VerificationId};

/// Something an action is done to.
pub trait Resource {
    /// Its entity type in `policies/authz.cedarschema`.
    const KIND: &'static str;
    /// Identifier of the one thing.
    fn key(&self) -> String;
    /// What the policies may look at. An absent fact is left out.
    fn facts(&self) -> Vec<(&'static str, RestrictedExpression)>;
}

/// A fact as Cedar sees it.
trait Fact {
    fn fact(&self) -> Option<RestrictedExpression>;
}

impl Fact for OrgId {
    fn fact(&self) -> Option<RestrictedExpression> {
        Some(RestrictedExpression::new_string(self.to_string()))
    }
}

impl Fact for PrincipalId {
    fn fact(&self) -> Option<RestrictedExpression> {
        Some(RestrictedExpression::new_string(self.to_string()))
    }
}

impl Fact for Role {
    fn fact(&self) -> Option<RestrictedExpression> {
        Some(RestrictedExpression::new_string(self.as_str().to_owned()))
    }
}

impl Fact for bool {
    fn fact(&self) -> Option<RestrictedExpression> {
        Some(RestrictedExpression::new_bool(*self))
    }
}

impl Fact for BTreeSet<OrgId> {
    fn fact(&self) -> Option<RestrictedExpression> {
        Some(RestrictedExpression::new_set(self.iter().filter_map(Fact::fact)))
    }
}

impl<T: Fact> Fact for Option<T> {
    fn fact(&self) -> Option<RestrictedExpression> {
        self.as_ref().and_then(Fact::fact)
    }
}

macro_rules! resources {
    ($($(#[$doc:meta])* $t:ident [$($(#[$key_doc:meta])* $key:ident: $key_type:ty)?] {
        $($(#[$fact_doc:meta])* $fact:ident: $fact_type:ty),* $(,)?
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $t {
            $($(#[$key_doc])* pub $key: $key_type,)?
            $($(#[$fact_doc])* pub $fact: $fact_type,)*
        }
        impl Resource for $t {
            const KIND: &'static str = stringify!($t);
            fn key(&self) -> String {
                let parts: &[String] = &[$(self.$key.to_string())?];
                parts.concat()
            }
            fn facts(&self) -> Vec<(&'static str, RestrictedExpression)> {
                [$((stringify!($fact), self.$fact.fact())),*].into_iter().filter_map(|(name, fact): (_, Option<_>)| Some((name, fact?))).collect()
            }
        }
    )*};
}

resources! {
    /// The platform as a whole.
    Platform [] {}
    /// A principal and its tokens.
    Account [] {
        /// Whose account.
        name: PrincipalId,
        /// Of which organisation.
        org: OrgId,
        /// With which role.
        role: Role,
    }
    /// A public key with which an organisation signs modules.
    SigningKey [
        /// The key's name.
        id: Name
    ] {
        /// Whose key.
        org: OrgId,
    }
    /// A public key with which a reviewer signs votes.
    ReviewerKey [
        /// The key's name.
        id: Name
    ] {
        /// Whose key.
        name: PrincipalId,
        /// Of which organisation.
        org: OrgId,
    }
    /// A catalogue entry.
    Dataset [
        /// The entry.
        id: DatasetId
    ] {
        /// Whose data.
        org: OrgId,
        /// Whether it is public data (公共数据).
        public: bool,
    }
    /// A fusion plan.
    Plan [
        /// The plan.
        id: PlanId
    ] {
        /// The operator that submits it.
        org: OrgId,
        /// Owners of its members, the operator left out.
        providers: BTreeSet<OrgId>,
    }
    /// An operator's authorisation.
    Authorisation [
        /// The authorisation.
        id: Name
    ] {
        /// The operator.
        org: OrgId,
    }
    /// An application for data.
    Application [
        /// The application.
        id: Name
    ] {
        /// The operator that applies.
        org: OrgId,
        /// Those who decide.
        providers: BTreeSet<OrgId>,
    }
    /// A data use agreement.
    Agreement [
        /// The agreement.
        id: AgreementId
    ] {
        /// The operator.
        org: OrgId,
        /// Those who counter-sign.
        providers: BTreeSet<OrgId>,
    }
    /// An uploaded module.
    Module [
        /// Digest of its bytes.
        id: ModuleDigest
    ] {
        /// Who uploads or uploaded it.
        org: OrgId,
    }
    /// A job.
    Job [
        /// The job.
        id: JobId
    ] {
        /// The operator it runs for.
        org: OrgId,
        /// Owners of its inputs, the operator left out.
        providers: BTreeSet<OrgId>,
        /// Whether its module is approved.
        approved: bool,
    }
    /// An output held for review, or a release.
    Release [
        /// The release.
        id: ReleaseId
    ] {
        /// The operator whose job made it.
        org: OrgId,
        /// Owners of the job's inputs, the operator left out.
        providers: BTreeSet<OrgId>,
    }
    /// An issuer of consent tokens.
    Issuer [
        /// Its name.
        id: Name
    ] {
        /// The organisation that signs.
        org: OrgId,
        /// The organisation that registers or registered it.
        registered_org: OrgId,
    }
    /// A question about one subject.
    Verification [
        /// The question.
        id: VerificationId
    ] {
        /// The operator that asks.
        org: OrgId,
        /// Owners of the inputs, the operator left out.
        providers: BTreeSet<OrgId>,
    }
    /// The body of one entry of the release log.
    LogEntry [
        /// Number of the leaf.
        id: u64
    ] {
        /// Organisations that the entry is about.
        parties: BTreeSet<OrgId>,
    }
    /// A stop on releases.
    Freeze [] {
        /// Releases with data of this organisation; `None`: all releases.
        org: Option<OrgId>,
        /// Who set it; `None` while it is being set.
        set_by: Option<OrgId>,
    }
    /// An order to put something right (整改).
    RectificationOrder [] {
        /// To whom.
        org: OrgId,
    }
    /// The privacy budget of a kind of identifier.
    Budget [
        /// The kind.
        namespace: Name
    ] {}
    /// Where a release policy applies.
    PolicyScope [] {
        /// To jobs with data of this organisation; `None`: to all.
        org: Option<OrgId>,
    }
}
