//! Modules: uploaded with an operator's signature over the digest, compiled once, reviewed by someone of another organisation.

use std::os::fd::OwnedFd;

use protocol::jail::Ending;
use protocol::limits::Limits;
use protocol::manifest::Manifest;
use protocol::message::{ModuleRefusal, WorkerRole};
use protocol::seal::{self, SealKey};
use ring::signature::{ED25519, UnparsedPublicKey};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{JobError, overloaded};
use crate::clock::Timestamp;
use crate::id::{ModuleDigest, Name, OrgId, PrincipalId};
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{KeyUse, Store, StoreError, Tx};
use crate::tlog::{Journal, LeafKind};
use crate::workers::{CompileError, Compiled, KillSwitch, Patience, WorkerError, Workers};

/// What the operator signs: this prefix, then the 32 bytes of the digest. So the signature is good for nothing else.
pub const SIGNATURE_CONTEXT: &[u8] = b"fusebox-module-v1\0";

/// State of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    /// Nobody has read it: synthetic data only.
    Unreviewed,
    /// A checker approved it.
    Approved,
    /// A checker denied it.
    Denied,
}

impl ModuleState {
    fn word(self) -> &'static str {
        match self {
            Self::Unreviewed => "unreviewed",
            Self::Approved => "approved",
            Self::Denied => "denied",
        }
    }
}

/// A module, without its bytes.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ModuleRow {
    /// SHA-256 of the bytes.
    pub digest: ModuleDigest,
    /// Whose module.
    pub org: OrgId,
    /// Who uploaded it.
    pub principal: PrincipalId,
    /// Its name.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// What it declares.
    #[schema(value_type = Object)]
    pub manifest: Manifest,
    /// What it imports: its capabilities.
    pub imports: Vec<String>,
    /// Its state.
    pub state: ModuleState,
    /// Who reviewed it.
    pub reviewer: Option<PrincipalId>,
    /// With what reason.
    pub reason: Option<String>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

/// A public key with which an organisation signs modules.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SigningKeyRow {
    /// Its name.
    pub id: Name,
    /// Whose key.
    pub org: OrgId,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Registers an Ed25519 public key.
///
/// # Errors
/// `request.malformed` where it is not 32 bytes, `request.conflict` where the name is taken.
pub fn register_key(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::KeyRegister>,
    public_key: &[u8],
    now: Timestamp,
) -> Result<SigningKeyRow, JobError> {
    let key: [u8; 32] = public_key.try_into().map_err(|_| Refused::new(&refusal::MALFORMED).subject("public_key"))?;
    let (id, org) = (permit.resource().id.clone(), permit.resource().org.clone());
    if signing_key(tx, &id)?.is_some() {
        return Err(Refused::new(&refusal::CONFLICT).subject(id.as_str()).into());
    }
    tx.execute("INSERT INTO signing_key (id, org, public_key, created_at) VALUES (?1, ?2, ?3, ?4)", params![id, org, key, now])?;
    let body = serde_json::json!({ "key": id, "org": org, "public_key": crate::gate::hex(&key), "by": permit.caller().principal().id });
    let _ = journal.append(tx, LeafKind::KeyChange, &body, &[&org])?;
    Ok(SigningKeyRow { id, org, created_at: now, revoked_at: None })
}

/// Revokes a key: nothing new is accepted under it.
///
/// # Errors
/// `request.not_found`.
pub fn revoke_key(tx: &Tx<'_>, journal: &Journal, permit: Permit<actions::KeyRevoke>, now: Timestamp) -> Result<(), JobError> {
    let id = &permit.resource().id;
    let changed = tx.execute("UPDATE signing_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL", params![id, now])?;
    if changed == 0 {
        return Err(Refused::new(&refusal::NOT_FOUND).subject(id.as_str()).into());
    }
    let body = serde_json::json!({ "key": id, "revoked": true, "by": permit.caller().principal().id });
    let _ = journal.append(tx, LeafKind::KeyChange, &body, &[&permit.resource().org])?;
    Ok(())
}

/// A key by name.
///
/// # Errors
/// What the store says.
pub fn signing_key(connection: &Connection, id: &Name) -> Result<Option<SigningKeyRow>, StoreError> {
    let sql = "SELECT id, org, created_at, revoked_at FROM signing_key WHERE id = ?1";
    let read = |r: &Row<'_>| Ok(SigningKeyRow { id: r.get(0)?, org: r.get(1)?, created_at: r.get(2)?, revoked_at: r.get(3)? });
    Ok(connection.query_row(sql, [id], read).optional()?)
}

/// Bytes whose signature under a key of `org` was verified. Only [`verify`] makes one.
#[derive(Debug)]
pub struct VerifiedModule {
    bytes: Vec<u8>,
    digest: ModuleDigest,
    org: OrgId,
}

/// Verifies digest and signature of an upload.
///
/// # Errors
/// `module.digest` where the bytes are not those announced, `module.signature` where no key of the operator signed them.
pub fn verify(
    connection: &Connection,
    org: &OrgId,
    bytes: Vec<u8>,
    announced: Option<&ModuleDigest>,
    signature: &[u8],
) -> Result<VerifiedModule, JobError> {
    let digest = ModuleDigest::of(&bytes);
    if announced.is_some_and(|a| *a != digest) {
        return Err(Refused::new(&refusal::MODULE_DIGEST).into());
    }
    let mut signed = SIGNATURE_CONTEXT.to_vec();
    signed.extend_from_slice(&digest.bytes());
    let mut keys = connection.prepare_cached("SELECT public_key FROM signing_key WHERE org = ?1 AND revoked_at IS NULL")?;
    let keys = keys.query_map([org], |r| r.get::<_, Vec<u8>>(0))?.collect::<Result<Vec<_>, _>>()?;
    if !keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&signed, signature).is_ok()) {
        return Err(Refused::new(&refusal::MODULE_SIGNATURE).into());
    }
    Ok(VerifiedModule { bytes, digest, org: org.clone() })
}

impl VerifiedModule {
    /// Its digest.
    pub fn digest(&self) -> &ModuleDigest {
        &self.digest
    }

    /// Validates and compiles it in a worker. Blocks.
    ///
    /// # Errors
    /// `module.*`, naming what the author can mend; `request.overloaded`.
    pub fn compile(self, workers: &Workers) -> Result<CompiledModule, JobError> {
        match workers.compile(&self.bytes, Patience::Call, &KillSwitch::default()) {
            Ok(compiled) => Ok(CompiledModule { verified: self, compiled }),
            Err(CompileError::Refused(refusal)) => Err(refused(&refusal).into()),
            Err(CompileError::Worker(WorkerError::Busy)) => Err(overloaded().into()),
            Err(CompileError::Worker(WorkerError::Spawn(error))) => Err(error.into()),
            // A compiler that dies or hangs on a module counts against the module.
            Err(CompileError::Worker(error)) => {
                tracing::warn!(%error, module = %self.digest, "the compile worker ended without an answer");
                Err(unfinished(&error).into())
            }
        }
    }
}

/// The bound that a compilation met from outside.
fn unfinished(error: &WorkerError) -> Refused {
    let (limits, role) = (&Limits::STANDARD, WorkerRole::Compile);
    let over = |subject: &str| Refused::new(&refusal::MODULE_LIMIT).subject(subject);
    match error {
        WorkerError::Ended(Ending::Memory) => over("compile_memory_bytes_max").threshold(limits.memory_bytes_max(role).to_string()),
        WorkerError::Ended(Ending::Processor) => over("compile_cpu_seconds_max").threshold(limits.cpu_seconds_max(role).to_string()),
        _ => over("compile"),
    }
}

fn refused(why: &ModuleRefusal) -> Refused {
    match why {
        ModuleRefusal::UndeclaredImport(name) => Refused::new(&refusal::MODULE_IMPORT).subject(name),
        ModuleRefusal::Limit(limit) => {
            let asked = limit.current.saturating_add(limit.requested);
            Refused::new(&refusal::MODULE_LIMIT).subject(&format!("{}: {asked}", limit.name)).threshold(limit.limit.to_string())
        }
        other => Refused::new(&refusal::MODULE_INVALID).subject(&other.to_string()),
    }
}

/// A verified module with its code.
#[derive(Debug)]
pub struct CompiledModule {
    verified: VerifiedModule,
    compiled: Compiled,
}

impl CompiledModule {
    /// Its digest.
    pub fn digest(&self) -> &ModuleDigest {
        &self.verified.digest
    }

    /// Stores it unreviewed; an upload that repeats another is that one.
    ///
    /// # Errors
    /// `request.conflict` where another organisation uploaded the same bytes.
    pub fn store(
        self,
        tx: &Tx<'_>,
        store: &Store,
        journal: &Journal,
        permit: Permit<actions::ModuleUpload>,
        now: Timestamp,
    ) -> Result<ModuleRow, JobError> {
        let Self { verified, compiled } = self;
        if permit.resource().org != verified.org || permit.resource().id != verified.digest {
            return Err(Refused::new(&refusal::FORBIDDEN).into());
        }
        if let Some(row) = find(tx, &verified.digest)? {
            return if row.org == verified.org { Ok(row) } else { Err(Refused::new(&refusal::CONFLICT).into()) };
        }
        let key = store.keyring.derive(KeyUse::ModuleMac);
        let engine = crate::gate::hex(&compiled.engine);
        let bytes = seal::seal(&key, bytes_context(&verified.digest).as_bytes(), &verified.bytes).map_err(StoreError::from)?;
        let code = seal::seal(&key, code_context(&verified.digest, &engine).as_bytes(), &compiled.code).map_err(StoreError::from)?;
        let who = permit.caller().principal();
        let manifest = serde_json::to_string(&compiled.manifest).map_err(|_| StoreError::Fault)?;
        let imports = serde_json::to_string(&compiled.imports).map_err(|_| StoreError::Fault)?;
        let sql = "INSERT INTO module (digest, org, principal, name, version, manifest, imports, state, bytes, engine, code, created_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        tx.execute(
            sql,
            params![
                verified.digest,
                verified.org,
                who.id,
                compiled.manifest.name,
                compiled.manifest.version,
                manifest,
                imports,
                ModuleState::Unreviewed.word(),
                bytes,
                engine,
                code,
                now
            ],
        )?;
        let body = serde_json::json!({
            "module": verified.digest, "org": verified.org, "by": who.id, "imports": compiled.imports, "engine": engine, "manifest": compiled.manifest,
        });
        let _ = journal.append(tx, LeafKind::ModuleUpload, &body, &[&verified.org])?;
        find(tx, &verified.digest)?.ok_or(StoreError::Fault.into())
    }
}

fn bytes_context(digest: &ModuleDigest) -> String {
    format!("module/{digest}")
}

fn code_context(digest: &ModuleDigest, engine: &str) -> String {
    format!("code/{digest}/{engine}")
}

const COLUMNS: &str = "digest, org, principal, name, version, manifest, imports, state, reviewer, reason, created_at";

fn row(r: &Row<'_>) -> rusqlite::Result<Option<ModuleRow>> {
    let (manifest, imports, state): (String, String, String) = (r.get(5)?, r.get(6)?, r.get(7)?);
    let state = [ModuleState::Unreviewed, ModuleState::Approved, ModuleState::Denied].into_iter().find(|s| s.word() == state);
    let (Ok(manifest), Ok(imports), Some(state)) = (serde_json::from_str(&manifest), serde_json::from_str(&imports), state) else {
        return Ok(None);
    };
    Ok(Some(ModuleRow {
        digest: r.get(0)?,
        org: r.get(1)?,
        principal: r.get(2)?,
        name: r.get(3)?,
        version: r.get(4)?,
        manifest,
        imports,
        state,
        reviewer: r.get(8)?,
        reason: r.get(9)?,
        created_at: r.get(10)?,
    }))
}

/// A module by digest.
///
/// # Errors
/// What the store says.
pub fn find(connection: &Connection, digest: &ModuleDigest) -> Result<Option<ModuleRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM module WHERE digest = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([digest], row).optional()?.flatten())
}

/// All modules, newest first, at most 500.
///
/// # Errors
/// What the store says.
pub fn list(connection: &Connection) -> Result<Vec<ModuleRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM module ORDER BY created_at DESC, rowid DESC LIMIT 500");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], row)?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// A checker approves or denies a module. Never of the uploading organisation.
///
/// # Errors
/// `auth.own_review`, `review.reason` where a denial says nothing, `request.conflict` where it was reviewed before.
pub fn review(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::ModuleReview>,
    approve: bool,
    reason: &str,
    now: Timestamp,
) -> Result<ModuleRow, JobError> {
    let digest = permit.resource().id.clone();
    let found = find(tx, &digest)?.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let who = permit.caller().principal();
    if who.org == found.org {
        return Err(Refused::new(&refusal::OWN_REVIEW).into());
    }
    let reason: String = reason.trim().chars().filter(|c| !c.is_control()).take(500).collect();
    if reason.is_empty() && !approve {
        return Err(Refused::new(&refusal::REVIEW_REASON).into());
    }
    if found.state != ModuleState::Unreviewed {
        return Err(Refused::new(&refusal::CONFLICT).into());
    }
    let state = if approve { ModuleState::Approved } else { ModuleState::Denied };
    tx.execute(
        "UPDATE module SET state = ?2, reviewer = ?3, reason = ?4, reviewed_at = ?5 WHERE digest = ?1",
        params![digest, state.word(), who.id, reason, now],
    )?;
    let body = serde_json::json!({ "module": digest, "state": state, "by": who.id, "org": who.org, "reason": reason });
    let _ = journal.append(tx, LeafKind::Approval, &body, &[&found.org, &who.org])?;
    find(tx, &digest)?.ok_or(StoreError::Fault.into())
}

/// The uploaded bytes, for reviewers and for compiling anew.
///
/// # Errors
/// `request.not_found`, or what the store says.
pub fn bytes(connection: &Connection, store: &Store, digest: &ModuleDigest) -> Result<Vec<u8>, JobError> {
    let sealed: Option<Vec<u8>> = connection.query_row("SELECT bytes FROM module WHERE digest = ?1", [digest], |r| r.get(0)).optional()?;
    let sealed = sealed.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    Ok(seal::open_all(&mac_key(store), bytes_context(digest).as_bytes(), &sealed, 1).map_err(StoreError::from)?.to_vec())
}

fn mac_key(store: &Store) -> SealKey {
    store.keyring.derive(KeyUse::ModuleMac)
}

/// The compiled code of an approved or synthetic-only module, authenticated under module and engine digest, as sealed memory.
/// Blocks.
///
/// # Errors
/// `request.not_found`, or what the store says (code that was changed does not open).
pub fn code(connection: &Connection, store: &Store, digest: &ModuleDigest) -> Result<(OwnedFd, String), JobError> {
    let found: Option<(String, Vec<u8>)> =
        connection.query_row("SELECT engine, code FROM module WHERE digest = ?1", [digest], |r| Ok((r.get(0)?, r.get(1)?))).optional()?;
    let (engine, sealed) = found.ok_or(Refused::new(&refusal::NOT_FOUND))?;
    let code = seal::open_all(&mac_key(store), code_context(digest, &engine).as_bytes(), &sealed, 2).map_err(StoreError::from)?;
    Ok((protocol::memfd::sealed("code", &code)?, engine))
}
