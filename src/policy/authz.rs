//! The one authorisation function. Cedar decides; what no policy permits, and what Cedar cannot evaluate, is denied.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, Request,
    RestrictedExpression, Schema, ValidationMode, Validator,
};

use super::action::{Action, ActionType};
use super::caller::Caller;
use super::resource::Resource;
use crate::refusal::{self, Refused};

const POLICIES: &str = include_str!("../../policies/authz.cedar");
const SCHEMA: &str = include_str!("../../policies/authz.cedarschema");

/// Why the authorisation policies cannot be used. The server does not start.
#[derive(Debug, thiserror::Error)]
#[error("the authorisation policies are not valid; correct what is named: {0}")]
pub struct AuthzError(String);

/// Proof that a caller was permitted one action on one thing. Made here only, used once: whoever acts takes it by value, and
/// acts on the thing it names.
///
/// ```compile_fail,E0451
/// use fusebox::policy::{Permit, actions, resource};
/// fn forge(caller: fusebox::policy::Caller) -> Permit<actions::JobList> {
///     Permit { caller, resource: resource::Platform {}, action: std::marker::PhantomData }
/// }
/// ```
///
/// ```compile_fail,E0382
/// use fusebox::policy::{Permit, actions};
/// fn twice(permit: Permit<actions::JobList>) -> (Permit<actions::JobList>, Permit<actions::JobList>) {
///     (permit, permit)
/// }
/// ```
#[must_use = "a permit is used by the function that acts"]
pub struct Permit<A: ActionType> {
    caller: Caller,
    resource: A::Resource,
    action: PhantomData<A>,
}

impl<A: ActionType> Permit<A> {
    /// What was permitted.
    pub fn action(&self) -> Action {
        A::ACTION
    }
    /// Who was permitted.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
    /// On what, as it was judged.
    pub fn resource(&self) -> &A::Resource {
        &self.resource
    }
}

/// The authorisation policies, checked.
pub struct Authz {
    cedar: Authorizer,
    policies: PolicySet,
    schema: Schema,
    /// Parsed once: parsing a type name costs more than a decision.
    types: HashMap<&'static str, EntityTypeName>,
}

impl Authz {
    /// The policies of this version.
    ///
    /// # Errors
    /// Where they do not pass strict validation.
    pub fn new() -> Result<Self, AuthzError> {
        Self::load(None)
    }

    /// The policies of this version and further ones that may only forbid.
    ///
    /// # Errors
    /// Where anything does not pass strict validation, or a further policy permits.
    pub fn with_forbids(text: &str) -> Result<Self, AuthzError> {
        Self::load(Some(text))
    }

    fn load(further: Option<&str>) -> Result<Self, AuthzError> {
        let error = |e: &dyn std::fmt::Display| AuthzError(e.to_string());
        let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| error(&e))?;
        if let Some(warning) = { warnings }.next() {
            return Err(error(&warning));
        }
        let mut policies = PolicySet::new();
        for (text, may_permit) in std::iter::once((POLICIES, true)).chain(further.map(|t| (t, false))) {
            for policy in PolicySet::from_str(text).map_err(|e| error(&e))?.policies() {
                if policy.effect() == Effect::Permit && !may_permit {
                    return Err(AuthzError(format!("policy {} permits; a further policy may only forbid", policy.id())));
                }
                policies.add(named(policy)?).map_err(|e| error(&e))?;
            }
        }
        let result = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        let wrong = result.validation_errors().map(ToString::to_string).chain(result.validation_warnings().map(ToString::to_string));
        if let Some(first) = { wrong }.next() {
            return Err(AuthzError(first));
        }
        if !result.validation_passed_without_warnings() {
            return Err(AuthzError("validation did not pass".into()));
        }
        let kinds = Action::ALL.iter().map(|a| a.resource_kind()).chain(["User", "Role", "Action"]);
        let types =
            kinds.map(|kind| Ok((kind, EntityTypeName::from_str(kind).map_err(|e| error(&e))?))).collect::<Result<_, AuthzError>>()?;
        Ok(Self { cedar: Authorizer::new(), policies, schema, types })
    }

    /// Decides whether `caller` may do `A` to `resource`.
    ///
    /// # Errors
    /// `auth.role`, or the rule that the forbidding policy names. A fault of ours is a denial too, and logged.
    pub fn authorize<A: ActionType>(&self, caller: &Caller, resource: A::Resource) -> Result<Permit<A>, Refused> {
        self.decide(caller, A::ACTION, &resource)?;
        Ok(Permit { caller: caller.clone(), resource, action: PhantomData })
    }

    /// Whether `caller` may do `A` to `resource`, without a permit: for leaving out of lists what the caller may not see.
    pub fn allows<A: ActionType>(&self, caller: &Caller, resource: &A::Resource) -> bool {
        self.decide(caller, A::ACTION, resource).is_ok()
    }

    fn decide<R: Resource>(&self, caller: &Caller, action: Action, resource: &R) -> Result<(), Refused> {
        let (request, entities) = self.question(caller, action, resource).map_err(|error| {
            tracing::error!(action = action.as_str(), error, "an authorisation question could not be put; denied");
            Refused::new(&refusal::FORBIDDEN)
        })?;
        let response = self.cedar.is_authorized(&request, &self.policies, &entities);
        let mut errors = response.diagnostics().errors().peekable();
        if errors.peek().is_some() {
            // A forbid that could not be evaluated would not forbid: so an error denies whatever was decided.
            for error in errors {
                tracing::error!(action = action.as_str(), %error, "an authorisation policy could not be evaluated; denied");
            }
            return Err(Refused::new(&refusal::FORBIDDEN));
        }
        match response.decision() {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(Refused::new(self.told(response.diagnostics().reason()))),
        }
    }

    /// The rule told for a denial by these forbidding policies.
    fn told<'a>(&self, mut reasons: impl Iterator<Item = &'a PolicyId>) -> &'static refusal::Rule {
        let told = reasons.find_map(|id| self.policies.annotation(id, "refusal"));
        told.and_then(|id| refusal::RULES.iter().find(|r| r.id == id)).copied().unwrap_or(&refusal::FORBIDDEN)
    }

    fn question<R: Resource>(&self, caller: &Caller, action: Action, resource: &R) -> Result<(Request, Entities), String> {
        let who = caller.principal();
        let user = self.uid("User", who.id.as_str())?;
        let thing = self.uid(R::KIND, &resource.key())?;
        let text = |t: &str| RestrictedExpression::new_string(t.to_owned());
        let own = HashMap::from([("name".to_owned(), text(who.id.as_str())), ("org".to_owned(), text(who.org.as_str()))]);
        let role = HashSet::from([self.uid("Role", who.role.as_str())?]);
        let facts = resource.facts().into_iter().map(|(name, fact)| (name.to_owned(), fact)).collect();
        let entities = [
            Entity::new(user.clone(), own, role).map_err(|e| e.to_string())?,
            Entity::new(thing.clone(), facts, HashSet::new()).map_err(|e| e.to_string())?,
        ];
        let action = self.uid("Action", action.as_str())?;
        let request = Request::new(user, action, thing, Context::empty(), Some(&self.schema)).map_err(|e| e.to_string())?;
        // Without the schema, which would add every action each time; a test checks each kind of entity against it.
        let entities = Entities::from_entities(entities, None).map_err(|e| e.to_string())?;
        Ok((request, entities))
    }

    fn uid(&self, kind: &'static str, id: &str) -> Result<EntityUid, String> {
        let kind = self.types.get(kind).ok_or("unknown kind")?;
        Ok(EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id)))
    }
}

/// The policy under the name of its `@id`; each must have one, a clause, and, where it names one, a rule that exists.
fn named(policy: &Policy) -> Result<Policy, AuthzError> {
    let id = policy.annotation("id").filter(|id| !id.is_empty());
    let clause = policy.annotation("clause").filter(|c| !c.is_empty());
    let (Some(id), Some(_)) = (id, clause) else {
        return Err(AuthzError(format!("policy {} needs @id and @clause", policy.id())));
    };
    if policy.annotation("refusal").is_some_and(|told| !refusal::RULES.iter().any(|r| r.id == told)) {
        return Err(AuthzError(format!("policy {id} names an unknown rule")));
    }
    Ok(policy.new_id(PolicyId::new(id)))
}

#[cfg(test)]
mod tests;
