//! Every operation that needs permission, as a closed list: a value ([`Action`]) and a type ([`actions`]) each.

use serde::Serialize;

use super::resource::{self, Resource};

/// The type of one action, so that `Permit<A>` is a type of its own.
pub trait ActionType: Send + Sync + 'static {
    /// The action.
    const ACTION: Action;
    /// What it is done to.
    type Resource: Resource;
}

macro_rules! actions {
    ($($resource:ident { $($(#[$doc:meta])* $name:ident,)* })*) => {
        /// An operation that needs permission.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum Action { $($($(#[$doc])* $name,)*)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// Its name in the policies and in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// The kind of thing it is done to.
            pub const fn resource_kind(self) -> &'static str {
                match self { $($(Self::$name => <resource::$resource as Resource>::KIND,)*)* }
            }
        }

        /// The type of each action. None has a value.
        pub mod actions {
            use super::{Action, ActionType, resource};
            $($(
                $(#[$doc])*
                #[derive(Debug)]
                pub enum $name {}
                impl ActionType for $name {
                    const ACTION: Action = Action::$name;
                    type Resource = resource::$resource;
                }
            )*)*
        }
    };
}

actions! {
    Platform {
        /// List accounts.
        PrincipalList,
        /// List the catalogue.
        DatasetList,
        /// List plans.
        PlanList,
        /// List authorisations.
        AuthorisationList,
        /// List applications.
        ApplicationList,
        /// List agreements.
        AgreementList,
        /// List modules.
        ModuleList,
        /// List jobs.
        JobList,
        /// List held outputs and releases.
        ReleaseList,
        /// List issuers of consent tokens.
        IssuerList,
        /// List questions about subjects.
        VerificationList,
        /// List reviewers' keys.
        ReviewerKeyList,
        /// Read the release policies.
        PolicyRead,
        /// Read the state of the machine.
        DoctorRead,
        /// Read the log's headers, tiles and checkpoints.
        LogRead,
        /// See the alerts that stand.
        AlertList,
        /// Note that an alert was seen.
        AlertAcknowledge,
        /// See the figures of a period.
        IndicatorsRead,
        /// List orders to put something right.
        OrderList,
        /// See whether the database was found behind what is remembered of its log.
        RecoveryRead,
        /// Sign for a database that was, and for the tables that are not known since.
        RecoverySign,
    }
    Account {
        /// Make an account.
        PrincipalCreate,
        /// See an account.
        PrincipalRead,
        /// Close an account; its tokens end.
        PrincipalDeactivate,
        /// Issue a token.
        TokenIssue,
        /// Change one's own token for a new one.
        TokenRotate,
        /// Revoke all tokens of an account.
        TokenRevoke,
    }
    SigningKey {
        /// Register a public key.
        KeyRegister,
        /// Revoke a public key.
        KeyRevoke,
        /// See a public key.
        KeyRead,
    }
    ReviewerKey {
        /// Enrol one's own key.
        ReviewerKeyEnrol,
        /// Confirm a reviewer's key.
        ReviewerKeyConfirm,
        /// Revoke a reviewer's key.
        ReviewerKeyRevoke,
        /// See a reviewer's key.
        ReviewerKeyRead,
    }
    Dataset {
        /// Register a catalogue entry.
        DatasetRegister,
        /// Change an entry's levels and classes.
        DatasetGrade,
        /// See a catalogue entry.
        DatasetRead,
        /// Import a version.
        DatasetImport,
        /// See what an import rejected.
        ImportRead,
        /// Import or withdraw consent.
        ConsentImport,
    }
    Plan {
        /// Submit a fusion plan.
        PlanSubmit,
        /// See a plan.
        PlanRead,
        /// See the band of each member's match rate.
        MatchBandRead,
        /// See exact match figures.
        MatchReportRead,
    }
    Authorisation {
        /// Authorise an operator.
        AuthorisationGrant,
        /// Revoke an authorisation.
        AuthorisationRevoke,
        /// See an authorisation.
        AuthorisationRead,
    }
    Application {
        /// Apply for data.
        ApplicationSubmit,
        /// Decide an application for one's own data.
        ApplicationDecide,
        /// See an application.
        ApplicationRead,
    }
    Agreement {
        /// Draft an agreement.
        AgreementDraft,
        /// Counter-sign an agreement on one's own data.
        AgreementCountersign,
        /// Terminate an agreement.
        AgreementTerminate,
        /// See an agreement.
        AgreementRead,
    }
    Module {
        /// Upload a module.
        ModuleUpload,
        /// See a module's record.
        ModuleRead,
        /// Fetch a module's bytes.
        ModuleBytesRead,
        /// Approve or deny a module.
        ModuleReview,
    }
    Job {
        /// Run on real data.
        JobSubmit,
        /// Run on synthetic data.
        JobSubmitSynthetic,
        /// See a job's phase.
        JobRead,
        /// See a job's traps, limits and durations.
        JobEvidenceRead,
        /// Cancel a job.
        JobCancel,
        /// Run a job again and compare the commitment.
        JobReplay,
    }
    Release {
        /// Fetch what was released.
        ReleaseRead,
        /// See a held output and its evidence.
        ReleaseEvidenceRead,
        /// Vote on a held output.
        ReleaseReview,
        /// Object to a release with one's own data.
        ReleaseVeto,
        /// Say that one will not object to an approved output.
        ReleaseWaive,
        /// File what a held output is for.
        ReleaseRequestFile,
        /// Give a review more time.
        ReleaseExtend,
        /// Appeal against a denial.
        ReleaseAppeal,
        /// Decide an appeal.
        ReleaseAppealDecide,
    }
    Issuer {
        /// Register an issuer of consent tokens.
        IssuerRegister,
        /// Revoke an issuer.
        IssuerRevoke,
        /// See an issuer.
        IssuerRead,
    }
    Verification {
        /// Ask one question about one consenting subject.
        VerificationAsk,
        /// See that a question was asked.
        VerificationRead,
        /// See why a module gave no answer.
        VerificationEvidenceRead,
    }
    Freeze {
        /// Stop releases.
        FreezeSet,
        /// Let releases go on.
        FreezeLift,
    }
    LogEntry {
        /// Read the body of a log entry.
        LogBodyRead,
    }
    RectificationOrder {
        /// See an order to put something right.
        OrderRead,
        /// Order something to be put right.
        OrderIssue,
        /// Close an order.
        OrderClose,
    }
    Budget {
        /// See a privacy budget and what remains of it.
        BudgetRead,
        /// Set a privacy budget.
        BudgetSet,
    }
    PolicyScope {
        /// Set the platform's release policy.
        PolicyFloorSet,
        /// Tighten the release policy for one's own data.
        PolicyTighten,
    }
}
