//! A run through the workers: code, fused view, guest, tables. Blocks.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use protocol::message::{SecretKey, Source, SourceColumn, WorkerRole};
use protocol::plan::{FusePlan, IdentityColumn, Transform, ViewColumn, Visibility};
use protocol::seal::SealKey;

use super::modules;
use super::prepare::Prepared;
use super::run::RunError;
use super::service::Jobs;
use super::spec::JobSpec;
use crate::agreement::Door;
use crate::catalog::ResolvedPlan;
use crate::catalog::store::VersionKind;
use crate::gate::{Conditions, DERIVED, RawOutput};
use crate::id::ModuleDigest;
use crate::policy::ActivePolicy;
use crate::store::{KeyUse, StoreError};
use crate::workers::{
    CompileError, EngineSession, FuseInput, GuestInput, GuestOutput, KillSwitch, Patience, Share, View, WorkerError, Workers,
};

/// Which workers a run uses, how it waits for them, and whether a cached view will do.
pub(super) struct Way<'a> {
    pub(super) workers: &'a Workers,
    pub(super) patience: Patience,
    pub(super) cached: bool,
}

/// What the workers brought, before the gate.
pub(super) struct Produced {
    pub(super) raw: RawOutput,
    pub(super) doors: BTreeSet<Door>,
    pub(super) report: serde_json::Value,
    pub(super) log: String,
}

impl Jobs {
    /// Fuses (or takes the cached view), runs the module, reduces. Models are judged under `policy`; without one nothing can be decided of
    /// them.
    pub(super) fn produce(
        &self,
        spec: &JobSpec,
        prepared: &Prepared,
        job_key: &SealKey,
        way: &Way<'_>,
        switch: &KillSwitch,
        policy: Option<&ActivePolicy>,
    ) -> Result<Produced, RunError> {
        // May compile: before any memory is held.
        let (Some(digest), Some(module)) = (&spec.module, &prepared.module) else { return Err(StoreError::Fault.into()) };
        let code = self.code(digest, way.patience, switch)?;
        let [engine, guest] = way.workers.reserve([WorkerRole::Engine, WorkerRole::Guest], way.patience, switch)?;
        let (mut engine, view) = self.view(spec, prepared, way, engine, switch)?;
        let input =
            GuestInput { code: &code, view: &view, manifest: module.manifest.clone(), seed: JobSpec::seed(job_key), synthetic: false };
        let output = way.workers.run(&input, guest, switch).map_err(|(error, _)| error)?;
        let conditions = Conditions::of(&prepared.resolved, Some(digest));
        self.reduce(&mut engine, &view, output, &prepared.resolved, (conditions, policy))
    }

    /// Exact tables of what the module asked for.
    pub(super) fn reduce(
        &self,
        engine: &mut EngineSession,
        view: &View,
        output: GuestOutput,
        plan: &ResolvedPlan,
        (conditions, policy): (Conditions, Option<&ActivePolicy>),
    ) -> Result<Produced, RunError> {
        let GuestOutput { derived, tables, models, log } = output;
        let mut doors = BTreeSet::new();
        if !tables.is_empty() {
            doors.insert(Door::Table);
        }
        if !models.is_empty() {
            doors.insert(Door::Artefact);
        }
        let mut columns: Vec<ViewColumn> = view.granted().map(|(c, _)| c.clone()).collect();
        columns.extend(derived.iter().map(|(d, _)| derived_column(d)));
        let judged =
            policy.filter(|_| !models.is_empty()).map(|policy| super::models::judge(engine, &models, &derived, policy)).transpose()?;
        let (tables, contributors) =
            if tables.is_empty() { (Vec::new(), None) } else { engine.reduce(tables, derived, conditions.own())? };
        let report = serde_json::to_value(view.report()).unwrap_or_default();
        let raw = RawOutput::seal(tables, models, columns, coded_columns(&plan.fuse), view.report().units);
        let raw = raw.with_contributors(plan.namespace.clone(), plan.fuse.identity.dataset.clone(), contributors, conditions);
        let raw = if let Some(judged) = judged { raw.with_judged(judged) } else { raw };
        Ok(Produced { raw, doors, report, log })
    }

    /// The fused view: from the cache under everything it depends on, or fused now.
    pub(super) fn view(
        &self,
        spec: &JobSpec,
        prepared: &Prepared,
        way: &Way<'_>,
        share: Share,
        switch: &KillSwitch,
    ) -> Result<(EngineSession, View), RunError> {
        let agreement = spec.agreement.as_ref().ok_or(StoreError::Fault)?;
        let depends = serde_json::json!({
            "plan": spec.plan_digest, "sources": spec.sources, "agreement": agreement, "operator": spec.org, "purpose": spec.purpose,
            "today": spec.today, "engine": self.engine_digest(),
        });
        let bytes = protocol::canonical::to_canonical_json(&depends).map_err(|_| StoreError::Fault)?;
        let key = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let key: [u8; 32] = key.as_ref().try_into().map_err(|_| StoreError::Fault)?;
        if way.cached
            && let Some(view) = self.cache().get(&key)
        {
            return Ok((way.workers.attach(&view, share, switch)?, view));
        }
        let keyring = &self.store().keyring;
        let input = FuseInput {
            plan: prepared.resolved.fuse.clone(),
            sources: self.sources(spec, prepared)?,
            pseudonym_key: secret(&keyring.derive(KeyUse::PseudonymRoot).derive(agreement.as_str())),
            namespace_key: secret(&keyring.derive(KeyUse::NamespaceKey).derive(prepared.resolved.namespace.as_str())),
        };
        let (session, view) = way.workers.fuse(input, share, switch)?;
        if way.cached {
            let tags = spec.sources.iter().map(|s| s.dataset.to_string()).chain([agreement.to_string(), spec.org.to_string()]);
            self.cache().put(key, view.clone(), tags.collect());
        }
        Ok((session, view))
    }

    /// The sealed segments that the plan needs, each with the key of that column of that version.
    fn sources(&self, spec: &JobSpec, prepared: &Prepared) -> Result<Vec<(Source, OwnedFd)>, RunError> {
        let segments = self.store().segments.clone();
        let (fuse, members) = (prepared.resolved.fuse.clone(), prepared.resolved.members.clone());
        let pinned = spec.sources.clone();
        let opened = self.store().db.read_blocking(move |c| -> Result<_, StoreError> {
            let mut all = Vec::new();
            for ((index, member), plan) in (0u16..).zip(&members).zip(&fuse.members) {
                let source = pinned.iter().find(|s| s.dataset == member.dataset).ok_or(StoreError::Fault)?;
                let mut wanted: Vec<(SourceColumn, u32, String)> = (0u16..)
                    .zip(&plan.columns)
                    .map(|(i, col)| (SourceColumn::Data(i), source.version, VersionKind::Data.segment(&col.name)))
                    .collect();
                let extra = (0u16..).zip(&fuse.identity.columns).filter(|_| fuse.identity.member == index);
                wanted.extend(extra.filter_map(|(i, column)| match column {
                    IdentityColumn::Extra(schema) => {
                        Some((SourceColumn::Identity(i), source.version, VersionKind::Data.segment(&schema.name)))
                    }
                    IdentityColumn::Loaded(_) => None,
                }));
                if let (Some(_), Some(version)) = (plan.consent_unit, source.consent_version) {
                    for (what, name) in [
                        (SourceColumn::ConsentUnit, "unit"),
                        (SourceColumn::ConsentPurpose, "purpose"),
                        (SourceColumn::ConsentExpiry, "expiry"),
                    ] {
                        wanted.push((what, version, VersionKind::Consent.segment(name)));
                    }
                }
                for (column, version, segment) in wanted {
                    let file = segments.open_file(c, &member.dataset, version, &segment)?;
                    let key = secret(&segments.column_key(c, &member.dataset, version, &segment)?);
                    all.push((Source { member: index, column, key, context: file.context }, file.fd));
                }
            }
            Ok(all)
        })?;
        Ok(opened)
    }

    /// The module's code as sealed memory, authenticated once and then kept.
    pub(super) fn code(&self, module: &ModuleDigest, patience: Patience, switch: &KillSwitch) -> Result<Arc<OwnedFd>, RunError> {
        if let Some(code) = self.kept_code(module) {
            return Ok(code);
        }
        let (store, digest) = (self.store().clone(), module.clone());
        let (code, engine) = self.store().db.read_blocking(move |c| modules::code(c, &store, &digest))?;
        let code = if engine == self.engine_digest() {
            code
        } else {
            // Compiled for an engine of before: compiled anew from the uploaded bytes, which the signature covers.
            let (store, digest) = (self.store().clone(), module.clone());
            let bytes = self.store().db.read_blocking(move |c| modules::bytes(c, &store, &digest))?;
            let compiled = self.workers().compile(&bytes, patience, switch).map_err(|e| match e {
                CompileError::Worker(error) => error.into(),
                CompileError::Refused(_) => RunError::Failed(WorkerError::OutOfTurn("a module that was compiled before is refused now")),
            })?;
            protocol::memfd::sealed("code", &compiled.code).map_err(StoreError::from)?
        };
        Ok(self.keep_code(module, code))
    }
}

fn secret(key: &SealKey) -> SecretKey {
    SecretKey(*key.as_bytes())
}

/// Output columns that the plan bounds by constants: only these may show a minimum or maximum.
pub fn coded_columns(plan: &FusePlan) -> BTreeSet<String> {
    let clamped = |t: &Transform| matches!(t, Transform::Clamp { .. });
    plan.outputs.iter().filter(|o| clamped(&o.transform)).map(|o| o.name.clone()).collect()
}

/// A derived column as tables and models see it.
pub fn derived_column(declared: &protocol::manifest::DerivedColumn) -> ViewColumn {
    ViewColumn { name: declared.name.clone(), ty: declared.ty.view_type(), visibility: Visibility::Granted, provenance: DERIVED.to_owned() }
}
