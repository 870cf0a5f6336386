//! What a supervisor's list says of an output beside the output itself: papers, sources, keys, module. Names and levels, no values.

use std::collections::{BTreeSet, HashMap};

use rusqlite::Connection;
use serde::Serialize;

use super::error::ApiError;
use crate::agreement::records;
use crate::catalog::store as catalogue;
use crate::catalog::{AccessClass, SecurityLevel};
use crate::clock::Date;
use crate::gate::{ReleaseRow, SourceFact};
use crate::id::{AgreementId, DatasetId, ModuleDigest, OrgId, PlanId, PrincipalId};
use crate::jobs::modules;

/// A source of an output, as its catalogue entry has it now.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SourceLine {
    /// The entry.
    pub dataset: DatasetId,
    /// Its title.
    pub title: String,
    /// Its owner.
    pub owner: OrgId,
    /// Its security level.
    pub security_level: Option<SecurityLevel>,
    /// Its sharing class.
    pub sharing: Option<AccessClass>,
    /// Its opening class.
    pub opening: Option<AccessClass>,
    /// Whether it holds personal information.
    pub personal_information: bool,
    /// The consent version that was looked up, where consent was needed.
    pub consent_version: Option<u32>,
}

/// The module behind an output.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModuleLine {
    /// Its digest.
    pub digest: ModuleDigest,
    /// Its name.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// Who approved it.
    pub approver: Option<PrincipalId>,
    /// What it may do.
    pub imports: Vec<String>,
}

/// Columns of the supervisor's list.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Listing {
    /// Last day of the agreement.
    pub agreement_until: Option<Date>,
    /// Use case, as the application has it.
    pub use_case: Option<String>,
    /// Legal basis, as the application has it.
    pub legal_basis: Option<String>,
    /// Columns that the members are joined on.
    pub fusion_keys: BTreeSet<String>,
    /// Highest level of its sources.
    pub security_level: Option<SecurityLevel>,
    /// Whether a source holds personal information.
    pub personal_information: bool,
    /// The module; nothing where a fold is built in.
    pub module: Option<ModuleLine>,
    /// The sources.
    pub sources: Vec<SourceLine>,
}

#[derive(Clone, Default)]
struct Paper {
    until: Option<Date>,
    use_case: Option<String>,
    legal_basis: Option<String>,
}

/// Looks things up once for a whole list.
#[derive(Default)]
pub(crate) struct Lister {
    papers: HashMap<AgreementId, Paper>,
    keys: HashMap<PlanId, BTreeSet<String>>,
    modules: HashMap<ModuleDigest, Option<ModuleLine>>,
    sources: HashMap<DatasetId, SourceLine>,
}

impl Lister {
    /// The columns for one output.
    pub(crate) fn of(&mut self, c: &Connection, row: &ReleaseRow) -> Result<Listing, ApiError> {
        let facts = &row.facts;
        let paper = facts.agreement.as_ref().map(|id| self.paper(c, id)).transpose()?.unwrap_or_default();
        let sources = facts.sources.iter().map(|s| self.source(c, s)).collect::<Result<Vec<_>, _>>()?;
        Ok(Listing {
            agreement_until: paper.until,
            use_case: paper.use_case,
            legal_basis: paper.legal_basis,
            fusion_keys: self.keys(c, &facts.plan)?,
            security_level: sources.iter().filter_map(|s| s.security_level).max(),
            personal_information: sources.iter().any(|s| s.personal_information),
            module: facts.module.as_ref().map(|m| self.module(c, m)).transpose()?.flatten(),
            sources,
        })
    }

    fn paper(&mut self, c: &Connection, id: &AgreementId) -> Result<Paper, ApiError> {
        if let Some(known) = self.papers.get(id) {
            return Ok(known.clone());
        }
        let mut paper = Paper::default();
        if let Some(agreement) = records::agreement(c, id)? {
            let terms = agreement.terms.agreement;
            paper.until = Some(terms.term.until);
            if let Some(application) = records::application(c, &terms.application)? {
                paper.use_case = Some(application.document.use_case);
                paper.legal_basis = Some(application.document.legal_basis);
            }
        }
        self.papers.insert(id.clone(), paper.clone());
        Ok(paper)
    }

    fn keys(&mut self, c: &Connection, id: &PlanId) -> Result<BTreeSet<String>, ApiError> {
        if let Some(known) = self.keys.get(id) {
            return Ok(known.clone());
        }
        let plan = catalogue::plan(c, id)?;
        let keys: BTreeSet<String> =
            plan.iter().flat_map(|p| &p.plan.joins).flat_map(|j| &j.on).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
        self.keys.insert(id.clone(), keys.clone());
        Ok(keys)
    }

    fn module(&mut self, c: &Connection, digest: &ModuleDigest) -> Result<Option<ModuleLine>, ApiError> {
        if let Some(known) = self.modules.get(digest) {
            return Ok(known.clone());
        }
        let line = modules::find(c, digest)?.map(|m| ModuleLine {
            digest: m.digest,
            name: m.name,
            version: m.version,
            approver: m.reviewer,
            imports: m.imports,
        });
        self.modules.insert(digest.clone(), line.clone());
        Ok(line)
    }

    fn source(&mut self, c: &Connection, fact: &SourceFact) -> Result<SourceLine, ApiError> {
        let known = match self.sources.get(&fact.dataset) {
            Some(known) => known.clone(),
            None => {
                let entry = catalogue::entry(c, &fact.dataset)?.map(|row| row.entry);
                let line = SourceLine {
                    dataset: fact.dataset.clone(),
                    title: entry.as_ref().map(|e| e.title.clone()).unwrap_or_default(),
                    owner: fact.owner.clone(),
                    security_level: entry.as_ref().map(|e| e.security_level),
                    sharing: entry.as_ref().map(|e| e.sharing.class),
                    opening: entry.as_ref().map(|e| e.opening.class),
                    personal_information: entry.as_ref().is_some_and(|e| e.personal_information),
                    consent_version: None,
                };
                self.sources.insert(fact.dataset.clone(), line.clone());
                line
            }
        };
        Ok(SourceLine { consent_version: fact.consent_version, ..known })
    }
}
