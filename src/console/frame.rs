//! What surrounds every page: who is signed in, where they can go, in which language.

use super::words::{Lang, Words};
use crate::policy::Role;

/// Who is signed in.
pub(super) struct Who {
    /// Account.
    pub name: String,
    /// Organisation.
    pub org: String,
    /// Role, in words.
    pub role: String,
}

/// A place to go to.
pub(super) struct NavItem {
    /// Address.
    pub href: &'static str,
    /// Words.
    pub text: &'static str,
    /// Whether the page lies there.
    pub here: bool,
}

/// What surrounds a page.
pub(super) struct Frame {
    /// Language.
    pub lang: Lang,
    /// Its words.
    pub w: &'static Words,
    /// Places to go to.
    pub nav: Vec<NavItem>,
    /// Who is signed in.
    pub who: Option<Who>,
    /// What forms carry.
    pub mark: String,
    /// Address of the page.
    pub path: String,
    /// Whether all releases are stopped.
    pub frozen: bool,
}

impl Frame {
    /// The page's address as a value in another one.
    pub fn path_escaped(&self) -> String {
        form_urlencoded::byte_serialize(self.path.as_bytes()).collect()
    }
}

const AU: Role = Role::Authority;
const PR: Role = Role::Provider;
const OP: Role = Role::Operator;
const RE: Role = Role::Researcher;
const CH: Role = Role::OutputChecker;
const SY: Role = Role::SystemAdmin;
const SE: Role = Role::SecurityAdmin;
const AD: Role = Role::Auditor;

/// Roles whose lists the interface shows.
pub(super) const LISTS: &[Role] = &[AU, PR, OP, RE, CH];
/// Roles that see modules.
pub(super) const MODULES: &[Role] = &[AU, OP, RE, CH];
/// Roles that stop releases.
pub(super) const FREEZES: &[Role] = &[AU, PR, SE];

/// A line of the navigation: address, words, roles (none named: every role).
type Line = (&'static str, fn(&Words) -> &'static str, &'static [Role]);

/// Every place, in the order of the navigation. The first that a role sees is its home.
const PLACES: &[Line] = &[
    ("/console/overview", |w| w.overview, LISTS),
    ("/console/releases", |w| w.releases, LISTS),
    ("/console/jobs", |w| w.jobs, LISTS),
    ("/console/modules", |w| w.modules, MODULES),
    ("/console/papers", |w| w.papers, LISTS),
    ("/console/accounts", |w| w.accounts, &[SE]),
    ("/console/machine", |w| w.machine, &[SY, SE]),
    ("/console/freeze", |w| w.freeze, FREEZES),
    ("/console/data", |w| w.data, &[]),
    ("/console/keys", |w| w.signing_keys, &[CH, SE, AU, AD]),
    ("/console/clauses", |w| w.clauses_legend, &[]),
];

fn sees(line: &Line, role: Role) -> bool {
    line.2.is_empty() || line.2.contains(&role)
}

/// Places of a role; `path` is the present page's.
pub(super) fn nav(w: &'static Words, role: Role, path: &str) -> Vec<NavItem> {
    let path = path.split('?').next().unwrap_or_default();
    let here = |href: &str| path.strip_prefix(href).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PLACES.iter().filter(|line| sees(line, role)).map(|(href, text, _)| NavItem { href, text: text(w), here: here(href) }).collect()
}

/// Where a role begins.
pub(super) fn home(role: Role) -> &'static str {
    PLACES.iter().find(|line| sees(line, role)).map_or("/console/data", |(href, ..)| href)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_has_a_home_and_one_present_place() {
        for role in Role::ALL {
            let items = nav(Lang::En.words(), *role, &format!("{}/x?y=/console/data", home(*role)));
            assert_eq!(items.iter().filter(|item| item.here).map(|item| item.href).collect::<Vec<_>>(), [home(*role)], "{role}");
        }
    }
}
