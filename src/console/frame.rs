//! What surrounds every page: who is signed in, where they can go, in which language.

use super::alerts::WATCHES;
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
/// Roles that read the log and orders: all but those who administer.
pub(super) const READS_LOG: &[Role] = &[AU, PR, OP, RE, CH, AD];
/// Roles that stop releases.
pub(super) const FREEZES: &[Role] = &[AU, PR, SE];

/// A line of the navigation: address, words, roles (none named: every role).
type Line = (&'static str, fn(Lang) -> &'static str, &'static [Role]);

/// Every place, in the order of the navigation. The first that a role sees is its home.
const PLACES: &[Line] = &[
    ("/console/overview", |l| l.words().overview, LISTS),
    ("/console/releases", |l| l.words().releases, LISTS),
    ("/console/alerts", |l| l.watch().alerts, WATCHES),
    ("/console/jobs", |l| l.words().jobs, LISTS),
    ("/console/modules", |l| l.words().modules, MODULES),
    ("/console/papers", |l| l.words().papers, LISTS),
    ("/console/accounts", |l| l.words().accounts, &[SE]),
    ("/console/machine", |l| l.words().machine, &[SY, SE]),
    ("/console/orders", |l| l.watch().orders, READS_LOG),
    ("/console/freeze", |l| l.words().freeze, FREEZES),
    ("/console/indicators", |l| l.watch().indicators, WATCHES),
    ("/console/log", |l| l.watch().log, READS_LOG),
    ("/console/data", |l| l.words().data, &[]),
    ("/console/keys", |l| l.reviews().keys, &[CH, SE, AU, AD]),
    ("/console/clauses", |l| l.words().clauses_legend, &[]),
];

fn sees(line: &Line, role: Role) -> bool {
    line.2.is_empty() || line.2.contains(&role)
}

/// Places of a role; `path` is the present page's.
pub(super) fn nav(lang: Lang, role: Role, path: &str) -> Vec<NavItem> {
    let path = path.split('?').next().unwrap_or_default();
    let here = |href: &str| path.strip_prefix(href).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PLACES.iter().filter(|line| sees(line, role)).map(|(href, text, _)| NavItem { href, text: text(lang), here: here(href) }).collect()
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
            let items = nav(Lang::En, *role, &format!("{}/x?y=/console/data", home(*role)));
            assert_eq!(items.iter().filter(|item| item.here).map(|item| item.href).collect::<Vec<_>>(), [home(*role)], "{role}");
        }
    }
}
