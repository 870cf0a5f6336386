//! Who signed in: a random cookie here, the token it stands for in this process's memory, and nowhere else.
//!
//! A session gives no right of its own: each call is made with its token, so a token that ended ends it too. It ends by itself after
//! [`IDLE_S`] without a page or [`LIFE_S`] in all, and with the process.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::clock::Timestamp;

/// Seconds without a page after which a session ends.
const IDLE_S: i64 = 30 * 60;
/// Seconds after which a session ends in any case.
const LIFE_S: i64 = 8 * 3_600;
/// Sessions at one time; beyond, the one that was idle longest ends.
const SESSIONS_MAX: usize = 4_096;
/// Random bytes of a cookie and of a mark.
const RANDOM_BYTES: usize = 32;

/// A session.
pub(super) struct Session {
    /// The token it was opened with.
    pub token: Zeroizing<String>,
    /// What every form of this session carries: another site cannot know it.
    pub mark: String,
    begun: Timestamp,
    seen: AtomicI64,
}

impl Session {
    fn ended(&self, now: Timestamp) -> bool {
        now.unix_s() >= self.begun.plus_s(LIFE_S).unix_s() || now.unix_s() - self.seen.load(Ordering::Relaxed) >= IDLE_S
    }
}

/// Every session, under the digest of its cookie.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<[u8; 32], Arc<Session>>>);

/// The random text could not be made.
#[derive(Debug)]
pub(super) struct NoRandomness;

/// A random text of 256 bits.
pub(super) fn random_text() -> Result<String, NoRandomness> {
    let mut bytes = Zeroizing::new([0u8; RANDOM_BYTES]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_ref()))
}

fn sha256(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap_or_default()
}

/// Whether two secrets are the same: digests are compared, so that how long it takes says nothing of either.
pub(super) fn same(a: &str, b: &str) -> bool {
    !a.is_empty() && sha256(a) == sha256(b)
}

impl Sessions {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session; the cookie's value.
    ///
    /// # Errors
    /// Without randomness none is opened.
    pub fn open(&self, token: Zeroizing<String>, now: Timestamp) -> Result<String, NoRandomness> {
        let (cookie, mark) = (random_text()?, random_text()?);
        let session = Session { token, mark, begun: now, seen: AtomicI64::new(now.unix_s()) };
        let mut all = self.all();
        all.retain(|_, s| !s.ended(now));
        if all.len() >= SESSIONS_MAX {
            let idlest = all.iter().min_by_key(|(_, s)| s.seen.load(Ordering::Relaxed)).map(|(id, _)| *id);
            idlest.map(|id| all.remove(&id));
        }
        all.insert(sha256(&cookie), Arc::new(session));
        Ok(cookie)
    }

    /// The session of a cookie, unless it ended.
    pub fn find(&self, cookie: &str, now: Timestamp) -> Option<Arc<Session>> {
        let mut all = self.all();
        let id = sha256(cookie);
        let found = all.get(&id)?;
        if found.ended(now) {
            all.remove(&id);
            return None;
        }
        found.seen.store(now.unix_s(), Ordering::Relaxed);
        Some(Arc::clone(found))
    }

    /// Ends a session.
    pub fn close(&self, cookie: &str) {
        self.all().remove(&sha256(cookie));
    }
}

/// A cookie of the console.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cookie {
    /// The session.
    Session,
    /// The mark of the form with which one signs in.
    Form,
    /// The language.
    Language,
}

impl Cookie {
    /// Its name. Over TLS a browser takes the first two from this host and path alone, and over TLS alone.
    fn name(self, tls: bool) -> &'static str {
        match (self, tls) {
            (Self::Session, true) => "__Host-fusebox",
            (Self::Session, false) => "fusebox",
            (Self::Form, true) => "__Host-fusebox-form",
            (Self::Form, false) => "fusebox-form",
            (Self::Language, _) => "fusebox-language",
        }
    }

    /// Its value in a request.
    pub fn read(self, headers: &HeaderMap, tls: bool) -> Option<String> {
        let pairs = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|text| text.split(';'));
        let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(name, _)| *name == self.name(tls));
        values.next().map(|(_, value)| value.to_owned())
    }

    /// The header that sets it; an empty value ends it.
    pub fn set(self, value: &str, tls: bool) -> Option<HeaderValue> {
        let secure = if tls { "; Secure" } else { "" };
        let age = match self {
            _ if value.is_empty() => "; Max-Age=0",
            // The others end with the browser.
            Self::Language => "; Max-Age=31536000",
            Self::Session | Self::Form => "",
        };
        HeaderValue::from_str(&format!("{}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}", self.name(tls))).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(1_000_000 + s)
    }

    fn open(sessions: &Sessions, now: Timestamp) -> String {
        sessions.open(Zeroizing::new("token".to_owned()), now).unwrap()
    }

    #[test]
    fn a_session_ends_idle_and_in_any_case() {
        let sessions = Sessions::default();
        let cookie = open(&sessions, at(0));
        assert!(sessions.find(&cookie, at(IDLE_S - 1)).is_some());
        assert!(sessions.find(&cookie, at(2 * IDLE_S - 1)).is_none(), "idle");
        assert!(sessions.find(&cookie, at(1)).is_none(), "what ended does not come back");
        let cookie = open(&sessions, at(0));
        let pages = (0..LIFE_S).step_by(600);
        assert!(pages.clone().all(|s| sessions.find(&cookie, at(s)).is_some()));
        assert!(sessions.find(&cookie, at(LIFE_S)).is_none(), "its life is over");
        let cookie = open(&sessions, at(0));
        sessions.close(&cookie);
        assert!(sessions.find(&cookie, at(1)).is_none());
    }

    #[test]
    fn cookies_and_marks_are_of_their_own() {
        let sessions = Sessions::default();
        let (a, b) = (open(&sessions, at(0)), open(&sessions, at(0)));
        let marks = [&a, &b].map(|c| sessions.find(c, at(1)).unwrap().mark.clone());
        assert!(a != b && marks[0] != marks[1] && !marks.contains(&a));
        assert!(sessions.find("", at(1)).is_none() && !same("", "") && same("x", "x") && !same("x", "y"));
    }

    #[test]
    fn the_idlest_makes_room() {
        let sessions = Sessions::default();
        let first = open(&sessions, at(0));
        let rest: Vec<String> = (1..SESSIONS_MAX).map(|_| open(&sessions, at(1))).collect();
        let last = open(&sessions, at(2));
        assert!(sessions.find(&first, at(3)).is_none());
        assert!(rest.iter().chain([&last]).all(|c| sessions.find(c, at(3)).is_some()));
    }

    #[test]
    fn cookies_are_kept_from_scripts_and_other_sites() {
        for (cookie, tls) in [(Cookie::Session, true), (Cookie::Session, false), (Cookie::Form, true)] {
            let set = cookie.set("v", tls).unwrap();
            let set = set.to_str().unwrap();
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && set.contains("Path=/"), "{set}");
            assert_eq!(set.contains("Secure") && set.starts_with("__Host-"), tls, "{set}");
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(&format!("a=b; {}", set.split(';').next().unwrap())).unwrap());
            assert_eq!(cookie.read(&headers, tls).as_deref(), Some("v"));
            assert_eq!(cookie.read(&headers, !tls), None);
        }
    }
}
