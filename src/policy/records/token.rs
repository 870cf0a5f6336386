//! Bearer tokens: `fbx_` and 32 random bytes in base64url. Only HMAC-SHA-256 under a server key is stored, so that neither a
//! copy of the database nor a guess at a hash lets anyone in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, OptionalExtension};
use zeroize::{Zeroize, Zeroizing};

use super::{PolicyError, principal};
use crate::clock::Timestamp;
use crate::id::{OrgId, PrincipalId};
use crate::policy::{Caller, Permit, Principal, Role, actions};
use crate::refusal::{self, Refused};
use crate::store::Tx;

const PREFIX: &str = "fbx_";
const SECRET_BYTES: usize = 32;
/// Bytes of the stored hash that name a token.
const ID_BYTES: usize = 10;
/// Longest life of a token: 90 days.
pub const LIFETIME_SECONDS_MAX: i64 = 90 * 86_400;
/// Longest time for which a rotated token stays valid beside the new one.
pub const OVERLAP_SECONDS_MAX: i64 = 86_400;

/// A token as it is handed to its holder, once. Not shown by `Debug`, wiped when dropped.
pub struct Token(Zeroizing<String>);

impl Token {
    fn random() -> Result<Self, PolicyError> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_| crate::id::IdError::NoRandom)?;
        let mut text = Zeroizing::new(PREFIX.to_owned());
        // Room for all of it, so that no reallocation leaves a copy behind.
        text.reserve(SECRET_BYTES * 2);
        URL_SAFE_NO_PAD.encode_string(secret, &mut text);
        secret.zeroize();
        Ok(Self(text))
    }
    /// The text, to be given to its holder and nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// Its name in accounts and log: `tok_` and 80 bits of its stored hash, which let nobody in.
    pub fn id(&self, pepper: &Pepper) -> String {
        pepper.hash(self.reveal()).as_ref().iter().take(ID_BYTES).fold("tok_".to_owned(), |text, b| format!("{text}{b:02x}"))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The server key under which tokens are hashed.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

impl Pepper {
    /// From 32 secret bytes that stay the same as long as tokens are to be valid.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
    fn hash(&self, token: &str) -> hmac::Tag {
        hmac::sign(&self.0, token.as_bytes())
    }
}

/// Verifies a presented token.
///
/// # Errors
/// `auth.unauthenticated` for every cause alike: not a token, unknown, expired, revoked, account closed.
pub fn authenticate(connection: &Connection, pepper: &Pepper, presented: &str, now: Timestamp) -> Result<Caller, PolicyError> {
    let refused = || Refused::new(&refusal::UNAUTHENTICATED);
    if !is_token(presented) {
        return Err(refused().into());
    }
    // Looked up by its keyed hash: how long the search takes tells nothing about the token. Compared again in constant time.
    let mut statement = connection
        .prepare_cached("SELECT hash, expires_at, id, org, role, active FROM token JOIN principal ON id = principal WHERE hash = ?1")?;
    let found = statement
        .query_row([pepper.hash(presented).as_ref()], |row| {
            Ok((row.get::<_, Vec<u8>>("hash")?, row.get::<_, Timestamp>("expires_at")?, principal::from_row(row)?))
        })
        .optional()?;
    match found {
        Some((hash, expires_at, principal))
            if hmac::verify(&pepper.0, presented.as_bytes(), &hash).is_ok() && now < expires_at && principal.active =>
        {
            Ok(Caller::verified(principal))
        }
        _ => Err(refused().into()),
    }
}

fn is_token(text: &str) -> bool {
    // 32 bytes are 43 characters of base64 without padding.
    text.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
}

/// Issues a token for the account that the permit is for.
///
/// # Errors
/// `request.not_found` where the account is closed or unknown, `request.malformed` for a lifetime out of range.
pub fn issue(
    tx: &Tx<'_>,
    pepper: &Pepper,
    permit: Permit<actions::TokenIssue>,
    lifetime_seconds: i64,
    now: Timestamp,
) -> Result<Token, PolicyError> {
    insert(tx, pepper, &permit.resource().name, lifetime_seconds, now)
}

/// Changes the presented token of the permitted account for a new one. The old one stays valid for `overlap_seconds` at most
/// (0: it ends now), never longer than it would have.
///
/// # Errors
/// `auth.unauthenticated` where the presented token is not one of that account, else as [`issue`].
pub fn rotate(
    tx: &Tx<'_>,
    pepper: &Pepper,
    permit: Permit<actions::TokenRotate>,
    presented: &str,
    lifetime_seconds: i64,
    overlap_seconds: i64,
    now: Timestamp,
) -> Result<Token, PolicyError> {
    if !(0..=OVERLAP_SECONDS_MAX).contains(&overlap_seconds) {
        return Err(Refused::new(&refusal::MALFORMED).subject("overlap_seconds").threshold(format!("0 to {OVERLAP_SECONDS_MAX} s")).into());
    }
    let id = &permit.resource().name;
    let caller = authenticate(tx, pepper, presented, now)?;
    if &caller.principal().id != id {
        return Err(Refused::new(&refusal::UNAUTHENTICATED).into());
    }
    tx.execute(
        "UPDATE token SET expires_at = min(expires_at, ?2) WHERE hash = ?1",
        (pepper.hash(presented).as_ref(), now.plus_s(overlap_seconds)),
    )?;
    insert(tx, pepper, id, lifetime_seconds, now)
}

/// Ends every token of the account that the permit is for; how many were valid.
pub fn revoke(tx: &Tx<'_>, permit: Permit<actions::TokenRevoke>, now: Timestamp) -> Result<usize, PolicyError> {
    let id = &permit.resource().name;
    let valid =
        tx.query_row("SELECT count(*) FROM token WHERE principal = ?1 AND expires_at > ?2", (id, now), |row| row.get::<_, i64>(0))?;
    tx.execute("DELETE FROM token WHERE principal = ?1", [id])?;
    Ok(usize::try_from(valid).unwrap_or(0))
}

/// The holder of the token of this name, if there is one.
pub fn holder(connection: &Connection, token_id: &str) -> Result<Option<Principal>, PolicyError> {
    let sql =
        "SELECT id, org, role, active FROM token JOIN principal ON id = principal WHERE 'tok_' || lower(hex(substr(hash, 1, 10))) = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([token_id], principal::from_row).optional()?)
}

/// Ends the token of this name of the account that the permit is for.
///
/// # Errors
/// `request.not_found` where the account has no such token.
pub fn revoke_one(tx: &Tx<'_>, permit: Permit<actions::TokenRevoke>, token_id: &str) -> Result<(), PolicyError> {
    let sql = "DELETE FROM token WHERE principal = ?1 AND 'tok_' || lower(hex(substr(hash, 1, 10))) = ?2";
    match tx.execute(sql, (&permit.resource().name, token_id))? {
        0 => Err(Refused::new(&refusal::NOT_FOUND).subject(token_id).into()),
        _ => Ok(()),
    }
}

/// Makes the first account, a security administrator, and its token, in a database that has no account yet.
///
/// # Errors
/// `request.conflict` where there is one.
pub fn bootstrap(
    tx: &Tx<'_>,
    pepper: &Pepper,
    id: PrincipalId,
    org: OrgId,
    lifetime_seconds: i64,
    now: Timestamp,
) -> Result<(Principal, Token), PolicyError> {
    if !principal::list(tx)?.is_empty() {
        return Err(Refused::new(&refusal::CONFLICT).into());
    }
    let first = Principal { id, org, role: Role::SecurityAdmin, active: true };
    principal::insert(tx, &first, now)?;
    let token = insert(tx, pepper, &first.id, lifetime_seconds, now)?;
    Ok((first, token))
}

fn insert(tx: &Tx<'_>, pepper: &Pepper, id: &PrincipalId, lifetime_seconds: i64, now: Timestamp) -> Result<Token, PolicyError> {
    if !(1..=LIFETIME_SECONDS_MAX).contains(&lifetime_seconds) {
        return Err(Refused::new(&refusal::MALFORMED)
            .subject("lifetime_seconds")
            .threshold(format!("1 to {LIFETIME_SECONDS_MAX} s"))
            .into());
    }
    if !principal::get(tx, id)?.is_some_and(|p| p.active) {
        return Err(Refused::new(&refusal::NOT_FOUND).subject(id.as_str()).into());
    }
    let token = Token::random()?;
    tx.execute("DELETE FROM token WHERE expires_at <= ?1", [now])?;
    tx.execute("INSERT INTO token VALUES (?1, ?2, ?3, ?4)", (pepper.hash(token.reveal()).as_ref(), id, now, now.plus_s(lifetime_seconds)))?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::records::MIGRATIONS;
    use crate::policy::{Authz, resource::Account};
    use crate::store::Db;
    use crate::store::testing::TempDir;

    struct Desk {
        db: Db,
        temp: TempDir,
        authz: Authz,
        pepper: Pepper,
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(1_800_000_000 + s)
    }

    impl Desk {
        fn new() -> (Self, Token) {
            let temp = TempDir::create();
            let db = Db::open(&temp.roots(), MIGRATIONS, 1).unwrap();
            let desk = Self { db, temp, authz: Authz::new().unwrap(), pepper: Pepper::new(&[7; 32]) };
            let pepper = desk.pepper.clone();
            let (_, token) = desk
                .db
                .write_blocking(move |tx| bootstrap(tx, &pepper, "admin".parse().unwrap(), "city".parse().unwrap(), 3600, at(0)))
                .unwrap();
            (desk, token)
        }
        fn who(&self, token: &str, now: Timestamp) -> Result<Caller, PolicyError> {
            self.db.read_blocking(|c| authenticate(c, &self.pepper, token, now))
        }
        fn account(&self, name: &str, role: Role) -> Account {
            Account { name: name.parse().unwrap(), org: "bank".parse().unwrap(), role }
        }
        fn issue(&self, admin: &Caller, name: &str) -> Result<Token, PolicyError> {
            let permit = self.authz.authorize(admin, self.account(name, Role::Operator)).unwrap();
            let pepper = self.pepper.clone();
            self.db.write_blocking(move |tx| issue(tx, &pepper, permit, 3600, at(0)))
        }
    }

    fn unauthenticated<T>(result: Result<T, PolicyError>) -> bool {
        matches!(result, Err(PolicyError::Refused(r)) if r.rule().id == "auth.unauthenticated")
    }

    #[test]
    fn a_token_lets_its_holder_in_until_it_expires_is_rotated_or_revoked() {
        let (desk, admin_token) = Desk::new();
        let admin = desk.who(admin_token.reveal(), at(1)).unwrap();
        assert_eq!(admin.principal().role, Role::SecurityAdmin);
        assert!(desk.issue(&admin, "op-a").is_err(), "no account yet");
        let permit = desk.authz.authorize(&admin, desk.account("op-a", Role::Operator)).unwrap();
        desk.db.write_blocking(move |tx| principal::create(tx, permit, at(0))).unwrap();
        let old = desk.issue(&admin, "op-a").unwrap();
        let op = desk.who(old.reveal(), at(3599)).unwrap();
        assert_eq!((op.principal().id.as_str(), op.principal().role), ("op-a", Role::Operator));
        assert!(unauthenticated(desk.who(old.reveal(), at(3600))));

        // Rotation: ten seconds beside each other.
        let permit = desk.authz.authorize(&op, desk.account("op-a", Role::Operator)).unwrap();
        let (pepper, presented) = (desk.pepper.clone(), old.reveal().to_owned());
        let new = desk.db.write_blocking(move |tx| rotate(tx, &pepper, permit, &presented, 3600, 10, at(5))).unwrap();
        assert!(desk.who(old.reveal(), at(14)).is_ok() && unauthenticated(desk.who(old.reveal(), at(15))));
        assert_eq!(desk.who(new.reveal(), at(3604)).unwrap(), op);

        // Nobody rotates with another's token.
        let permit = desk.authz.authorize(&op, desk.account("op-a", Role::Operator)).unwrap();
        let (pepper, presented) = (desk.pepper.clone(), admin_token.reveal().to_owned());
        assert!(unauthenticated(desk.db.write_blocking(move |tx| rotate(tx, &pepper, permit, &presented, 3600, 0, at(5)))));

        let permit = desk.authz.authorize(&admin, desk.account("op-a", Role::Operator)).unwrap();
        assert_eq!(desk.db.write_blocking(move |tx| revoke(tx, permit, at(20))).unwrap(), 1);
        assert!(unauthenticated(desk.who(new.reveal(), at(21))));

        // A closed account: its tokens end and none is issued.
        let again = desk.issue(&admin, "op-a").unwrap();
        let permit = desk.authz.authorize(&admin, desk.account("op-a", Role::Operator)).unwrap();
        desk.db.write_blocking(move |tx| principal::deactivate(tx, permit)).unwrap();
        assert!(unauthenticated(desk.who(again.reveal(), at(22))));
        assert!(desk.issue(&admin, "op-a").is_err());
    }

    #[test]
    fn no_file_holds_a_token_and_no_other_text_is_one() {
        let (desk, token) = Desk::new();
        let text = token.reveal().to_owned();
        assert!(is_token(&text) && !format!("{token:?}").contains(&text[4..]));
        assert_eq!(desk.temp.files_with(&text.as_bytes()[4..]), 0);
        for i in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[i] = if other[i] == b'A' { b'B' } else { b'A' };
            assert!(unauthenticated(desk.who(&String::from_utf8(other).unwrap(), at(1))), "{i}");
        }
        for bad in ["", "fbx_", &text[4..], &text[..46], &format!("{text}A"), &format!("{text} ")] {
            assert!(unauthenticated(desk.who(bad, at(1))));
        }
        assert!(unauthenticated(desk.db.read_blocking(|c| authenticate(c, &Pepper::new(&[8; 32]), &text, at(1)))));
    }

    #[test]
    fn the_first_account_is_made_once_and_the_last_administrator_stays() {
        let (desk, token) = Desk::new();
        let pepper = desk.pepper.clone();
        let again = desk.db.write_blocking(move |tx| bootstrap(tx, &pepper, "b".parse().unwrap(), "city".parse().unwrap(), 60, at(0)));
        assert!(matches!(again, Err(PolicyError::Refused(r)) if r.rule().id == "request.conflict"));
        let admin = desk.who(token.reveal(), at(1)).unwrap();
        let permit = desk.authz.authorize(&admin, desk.account("admin", Role::SecurityAdmin)).unwrap();
        let closed = desk.db.write_blocking(move |tx| principal::deactivate(tx, permit));
        assert!(matches!(closed, Err(PolicyError::Refused(r)) if r.rule().id == "request.conflict"));
    }
}
