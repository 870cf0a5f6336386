//! Who calls: one organisation and one role each (X31, C18; system, security and audit administration are three people, so nobody
//! has two roles).

use serde::{Deserialize, Serialize};

use crate::id::{OrgId, PrincipalId};
use crate::refusal::{self, Refused};

macro_rules! roles {
    ($($(#[$doc:meta])* $role:ident = $text:literal;)*) => {
        /// What a principal is for. The columns of the permission matrix.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Role { $($(#[$doc])* $role,)* }

        impl Role {
            /// Every role.
            pub const ALL: &'static [Self] = &[$(Self::$role),*];
            /// Its name in policies, requests and the store.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$role => $text),* }
            }
        }
    };
}

roles! {
    /// Competent data authority (大数据主管部门).
    Authority = "authority";
    /// Data provider (数源部门).
    Provider = "provider";
    /// Authorised operator (授权运营主体).
    Operator = "operator";
    /// Researcher of an operator.
    Researcher = "researcher";
    /// Output checker: reviews modules and outputs of other organisations.
    OutputChecker = "output_checker";
    /// System administrator.
    SystemAdmin = "system_admin";
    /// Security administrator: accounts, tokens, keys.
    SecurityAdmin = "security_admin";
    /// Auditor: reads the log.
    Auditor = "auditor";
}

impl std::str::FromStr for Role {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        Self::ALL.iter().find(|r| r.as_str() == text).copied().ok_or_else(|| Refused::new(&refusal::MALFORMED).subject("role"))
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Someone who may sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Principal {
    /// Name of the account.
    pub id: PrincipalId,
    /// Organisation.
    pub org: OrgId,
    /// Role.
    pub role: Role,
    /// Whether it may sign in; a closed account stays, so that the log's names keep their meaning.
    pub active: bool,
}

/// A principal whose token was verified. Made by [`super::token::authenticate`] only.
///
/// ```compile_fail,E0451
/// fn forge(principal: fusebox::policy::Principal) -> fusebox::policy::Caller {
///     fusebox::policy::Caller { principal }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    principal: Principal,
}

impl Caller {
    pub(super) fn verified(principal: Principal) -> Self {
        Self { principal }
    }
    /// Who calls.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
    /// A caller that no token stands behind.
    #[cfg(test)]
    pub fn for_tests(id: &str, org: &str, role: Role) -> Self {
        Self::verified(Principal { id: id.parse().unwrap(), org: org.parse().unwrap(), role, active: true })
    }
}
