//! The verification door: one answer about one consenting subject.
//!
//! ```text
//! token, papers, budgets ──reserve──▶ Asking (nonce, count and leaf committed: spent, whatever comes) ──▶ the run ──conclude──▶ Answered
//! ```
//! Invariants: nothing looks at data before the nonce is spent and the count and its leaf are durable; what is counted depends on tokens
//! alone, never on data; an answer is in the log before it is sent, as a sealed body under a salted commitment; a freeze that came meanwhile
//! keeps it. No row, digest or identifier of the subject is kept: a keyed hash counts what was asked about it.

use std::collections::BTreeSet;

use protocol::seal::SealKey;
use protocol::verify::AnswerType;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::decide::DecideError;
use super::freeze::{self, Reach};
use super::{issuers, used_up};
use crate::agreement::consent::{Asked, SignedToken};
use crate::clock::{CHINA_UTC_OFFSET_S, Timestamp};
use crate::id::{AgreementId, DatasetId, ModuleDigest, Name, OrgId, PlanId, PrincipalId, VerificationId};
use crate::policy::release::VerificationRules;
use crate::policy::{Permit, actions};
use crate::refusal::{self, Refused};
use crate::store::{Migration, StoreError, Tx};
use crate::tlog::{Journal, LeafKind};

/// Tables of the verification door.
pub const VERIFICATION: Migration = Migration {
    name: "gate-verification-1",
    sql: "CREATE TABLE issuer (
              id TEXT PRIMARY KEY, org TEXT NOT NULL, public_key BLOB NOT NULL, registered_org TEXT NOT NULL, registered_by TEXT NOT NULL,
              registered_at INTEGER NOT NULL, valid_from INTEGER NOT NULL, valid_until INTEGER NOT NULL, revoked_at INTEGER) STRICT;
          CREATE TABLE verification (
              id TEXT PRIMARY KEY, issuer TEXT NOT NULL, nonce TEXT NOT NULL, subject BLOB NOT NULL, org TEXT NOT NULL, principal TEXT NOT NULL,
              author_org TEXT NOT NULL, providers TEXT NOT NULL, agreement TEXT NOT NULL, plan TEXT NOT NULL, module TEXT NOT NULL,
              purpose TEXT NOT NULL, millibits INTEGER NOT NULL, state TEXT NOT NULL, asked_at INTEGER NOT NULL, leaf INTEGER NOT NULL,
              answer_leaf INTEGER, cause TEXT, UNIQUE (issuer, nonce)) STRICT;
          CREATE INDEX verification_subject ON verification (agreement, subject);
          CREATE INDEX verification_org ON verification (org, asked_at);",
};

/// A question as it is judged.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who asks, for whom.
    pub principal: PrincipalId,
    /// The operator.
    pub org: OrgId,
    /// The agreement.
    pub agreement: AgreementId,
    /// Its plan.
    pub plan: PlanId,
    /// The module.
    pub module: ModuleDigest,
    /// Organisation of the module's author.
    pub author_org: OrgId,
    /// The purpose.
    pub purpose: Name,
    /// Owners of the inputs, the operator left out.
    pub providers: BTreeSet<OrgId>,
    /// The catalogue entries that are read.
    pub datasets: BTreeSet<DatasetId>,
    /// Kind of identifier of the subject.
    pub namespace: Name,
    /// Its form.
    pub linkage: Option<protocol::schema::LinkageKey>,
    /// What can be answered.
    pub answer: AnswerType,
    /// The policy's rules.
    pub rules: VerificationRules,
}

impl Question {
    fn reach(&self) -> Reach<'_> {
        Reach { providers: &self.providers, operator: &self.org, datasets: self.datasets.iter().collect() }
    }
}

/// A question that is paid for: spent, whatever comes of it.
#[derive(Debug)]
#[must_use = "it was paid for"]
pub struct Asking {
    id: VerificationId,
    question: Question,
    leaf: u64,
}

/// An answer that may be sent: its leaf is in the log. Only the gate makes one.
#[derive(Debug, Serialize)]
pub struct Answered {
    id: VerificationId,
    answer: String,
    leaf: u64,
}

impl Answered {
    /// The question.
    pub fn id(&self) -> &VerificationId {
        &self.id
    }
    /// The label.
    pub fn answer(&self) -> &str {
        &self.answer
    }
    /// The leaf of the answer.
    pub fn leaf(&self) -> u64 {
        self.leaf
    }
}

impl Asking {
    /// The question's identifier.
    pub fn id(&self) -> &VerificationId {
        &self.id
    }
    /// What is asked.
    pub fn question(&self) -> &Question {
        &self.question
    }
}

/// Judges token and budgets without effect.
///
/// # Errors
/// `token.*`, `issuer.operator`, `release.frozen`, `log.rolled_back`, `verification.*`.
pub fn judge_question(
    connection: &Connection,
    question: &Question,
    signed: &SignedToken,
    key: &SealKey,
    now: Timestamp,
) -> Result<(), DecideError> {
    // The signature first: what nobody signed is not read any further.
    signed.verify(&issuers::key_in_force(connection, &signed.token.issuer, now)?)?;
    let asked = Asked {
        operator: &question.org,
        agreement: &question.agreement,
        purpose: &question.purpose,
        module: &question.module,
        namespace: &question.namespace,
        linkage: question.linkage,
        now,
    };
    signed.binds(&asked)?;
    let (issuer, nonce) = (&signed.token.issuer, &signed.token.nonce);
    let count = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<u64, StoreError> {
        Ok(connection.prepare_cached(sql)?.query_row(values, |r| r.get(0))?)
    };
    if count("SELECT count(*) FROM verification WHERE issuer = ?1 AND nonce = ?2", &[issuer, nonce])? > 0 {
        return Err(Refused::new(&refusal::TOKEN_REPLAYED).into());
    }
    if let Some(refused) = freeze::stopped(connection, &question.reach())? {
        return Err(refused.into());
    }
    if used_up::answers_used_up(connection, &question.agreement)? {
        return Err(Refused::new(&refusal::VERIFICATION_BITS).into());
    }
    let (rules, subject) = (&question.rules, subject_hash(key, question, &signed.token.subject));
    let sql = "SELECT coalesce(sum(millibits), 0) FROM verification WHERE agreement = ?1 AND subject = ?2";
    let spent = count(sql, &[&question.agreement, &subject.as_slice()])?;
    if spent + u64::from(question.answer.millibits()) > u64::from(rules.bits_per_subject_max) * 1000 {
        return Err(Refused::new(&refusal::VERIFICATION_BITS).threshold(format!("{} bits", rules.bits_per_subject_max)).into());
    }
    let today = now.date(CHINA_UTC_OFFSET_S).start(CHINA_UTC_OFFSET_S);
    let asked = count("SELECT count(*) FROM verification WHERE org = ?1 AND asked_at >= ?2", &[&question.org, &today])?;
    if asked >= u64::from(rules.answers_per_day_max) {
        return Err(Refused::new(&refusal::VERIFICATION_RATE).threshold(format!("{} answers a day", rules.answers_per_day_max)).into());
    }
    Ok(())
}

/// HMAC-SHA-256(key, namespace ‖ 0 ‖ identifier): one subject is counted once, whatever the token. Says nothing without the key.
fn subject_hash(key: &SealKey, question: &Question, subject: &str) -> [u8; 32] {
    let bytes = [question.namespace.as_str().as_bytes(), b"\0", subject.as_bytes()].concat();
    super::decide::mac(key, &bytes)
}

/// Spends the token and what the answer can tell, with a leaf: before any look at data. A repeated nonce meets the table's own uniqueness too.
///
/// # Errors
/// As [`judge_question`].
pub fn reserve_answer(
    tx: &Tx<'_>,
    journal: &Journal,
    permit: Permit<actions::VerificationAsk>,
    question: Question,
    signed: &SignedToken,
    key: &SealKey,
    now: Timestamp,
) -> Result<Asking, DecideError> {
    let (id, who) = (permit.resource().id.clone(), permit.caller().principal());
    if who.org != question.org || permit.resource().org != question.org {
        return Err(Refused::new(&refusal::FORBIDDEN).into());
    }
    judge_question(tx, &question, signed, key, now)?;
    let millibits = question.answer.millibits();
    let body = serde_json::json!({
        "event": "verification.asked", "verification": id, "by": who.id, "org": question.org, "agreement": question.agreement,
        "plan": question.plan, "module": question.module, "purpose": question.purpose, "issuer": signed.token.issuer,
        "nonce": signed.token.nonce, "millibits": millibits,
    });
    let readers: Vec<&OrgId> = question.providers.iter().chain([&question.org]).collect();
    let leaf = journal.append(tx, LeafKind::Reservation, &body, &readers)?.number();
    let subject = subject_hash(key, &question, &signed.token.subject);
    let providers = question.providers.iter().fold("|".to_owned(), |text, org| format!("{text}{org}|"));
    let sql = "INSERT INTO verification (id, issuer, nonce, subject, org, principal, author_org, providers, agreement, plan, module, purpose, millibits, state, asked_at, leaf)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'spent', ?14, ?15)";
    let values = params![
        id,
        signed.token.issuer,
        signed.token.nonce,
        subject,
        question.org,
        question.principal,
        question.author_org,
        providers,
        question.agreement,
        question.plan,
        question.module,
        question.purpose,
        millibits,
        now,
        leaf
    ];
    tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map_err(StoreError::from)?;
    Ok(Asking { id, question, leaf })
}

/// Commits the answer: its leaf stands in the log before it is sent. `label` is what the engine told, `cause` why the guest gave none, in
/// closed words: for checkers.
///
/// # Errors
/// `release.frozen`; a fault of ours where the label is none.
pub fn conclude_answer(tx: &Tx<'_>, journal: &Journal, asking: Asking, label: u32, cause: Option<&str>) -> Result<Answered, DecideError> {
    let Asking { id, question, leaf: asked } = asking;
    if let Some(refused) = freeze::stopped(tx, &question.reach())? {
        return Err(refused.into());
    }
    let labels = question.answer.labels();
    let at = usize::try_from(label).map_err(|_| StoreError::Fault)?;
    let answer = (*labels.get(at).ok_or(StoreError::Fault)?).to_owned();
    // The operator hears the answer; providers learn that there was one.
    let body = serde_json::json!({ "event": "verification.answered", "verification": id, "asked": asked, "answer": answer });
    let leaf = journal.append(tx, LeafKind::Answer, &body, &[&question.org])?.number();
    let sql = "UPDATE verification SET state = 'answered', answer_leaf = ?2, cause = ?3 WHERE id = ?1 AND state = 'spent'";
    let changed = tx.prepare_cached(sql).and_then(|mut s| s.execute(params![id, leaf, cause])).map_err(StoreError::from)?;
    if changed == 1 { Ok(Answered { id, answer, leaf }) } else { Err(StoreError::Fault.into()) }
}

/// A question as lists and details show it. Holds no answer and nothing of the subject.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VerificationRow {
    /// The question.
    pub id: VerificationId,
    /// The operator.
    pub org: OrgId,
    /// Who asked.
    pub principal: PrincipalId,
    /// Organisation of the module's author.
    pub author_org: OrgId,
    /// Owners of the inputs.
    pub providers: BTreeSet<OrgId>,
    /// The agreement.
    pub agreement: AgreementId,
    /// Its plan.
    pub plan: PlanId,
    /// The module.
    pub module: ModuleDigest,
    /// The purpose.
    pub purpose: Name,
    /// Whose token it was.
    pub issuer: Name,
    /// What the answer can tell at most, in thousandths of a bit.
    pub millibits: u32,
    /// `answered`, or `spent`: paid for, without an answer.
    pub state: String,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Leaf of the reservation.
    pub leaf: u64,
    /// Leaf of the answer.
    pub answer_leaf: Option<u64>,
    /// Why the module gave no answer: for checkers and the authority.
    pub cause: Option<String>,
}

const COLUMNS: &str = "id, org, principal, author_org, providers, agreement, plan, module, purpose, issuer, millibits, state, asked_at, leaf, answer_leaf, cause";

fn row(r: &Row<'_>) -> rusqlite::Result<VerificationRow> {
    Ok(VerificationRow {
        id: r.get(0)?,
        org: r.get(1)?,
        principal: r.get(2)?,
        author_org: r.get(3)?,
        providers: r.get::<_, String>(4)?.split('|').filter_map(|org| org.parse().ok()).collect(),
        agreement: r.get(5)?,
        plan: r.get(6)?,
        module: r.get(7)?,
        purpose: r.get(8)?,
        issuer: r.get(9)?,
        millibits: r.get(10)?,
        state: r.get(11)?,
        asked_at: r.get(12)?,
        leaf: r.get(13)?,
        answer_leaf: r.get(14)?,
        cause: r.get(15)?,
    })
}

/// One question.
///
/// # Errors
/// What the store says.
pub fn verification(connection: &Connection, id: &VerificationId) -> Result<Option<VerificationRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM verification WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], row).optional()?)
}

/// Questions, newest first, at most 500. The caller leaves out what may not be seen.
///
/// # Errors
/// What the store says.
pub fn verifications(connection: &Connection) -> Result<Vec<VerificationRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM verification ORDER BY asked_at DESC, rowid DESC LIMIT 500");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map([], row)?.collect::<Result<_, _>>()?)
}
