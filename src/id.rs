//! Names and identifiers. Each is validated where it is made, so that whoever holds one holds a sound one.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;
/// Base32 characters of a random identifier: 80 bits.
const RANDOM_CHARS: usize = 16;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Why a text is no identifier. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a name.
    #[error("not a name: a lower-case letter, then up to 62 of a-z, 0-9, `_` and `-`")]
    Name,
    /// Not a random identifier of this kind.
    #[error("not an identifier of this kind: `{0}` and 16 of a-z, 2-7")]
    Random(&'static str),
    /// Not a digest.
    #[error("not a digest: `sha256:` and 64 of 0-9, a-f")]
    Digest,
    /// The system gave no randomness.
    #[error("the system's random source failed; try again")]
    NoRandom,
}

/// Serde, SQL, display and order of a type that is a validated text. `$t` has `as_str`, `FromStr<Err = IdError>`.
macro_rules! textual {
    ($t:ident, $example:literal) => {
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl AsRef<str> for $t {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        impl Borrow<str> for $t {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
        impl TryFrom<String> for $t {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
        impl ToSql for $t {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }
        impl FromSql for $t {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|e: IdError| FromSqlError::Other(Box::new(e)))
            }
        }
        impl utoipa::PartialSchema for $t {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .examples([serde_json::Value::from($example)])
                    .into()
            }
        }
        impl utoipa::ToSchema for $t {}
    };
}

/// A validated lower-case identifier, `[a-z][a-z0-9_-]{0,62}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = text.bytes();
        let sound = text.len() <= NAME_BYTES_MAX
            && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if sound { Ok(Self(text.into())) } else { Err(IdError::Name) }
    }
}

textual!(Name, "credit");

/// `prefix` and 16 random base32 characters.
pub(crate) fn random_name(prefix: &str) -> Result<Name, IdError> {
    let mut bytes = [0u8; RANDOM_CHARS];
    SystemRandom::new().fill(&mut bytes).map_err(|_| IdError::NoRandom)?;
    // Five bits of each byte, so every character is equally likely.
    let random = bytes.iter().filter_map(|b| BASE32.get(usize::from(b & 31))).map(|b| char::from(*b));
    prefix.chars().chain(random).collect::<String>().parse()
}

fn is_random_name(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == RANDOM_CHARS && rest.bytes().all(|b| BASE32.contains(&b)))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $t:ident $kind:ident $prefix:literal $example:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $t(Name);

        impl $t {
            /// The text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
            /// As a plain name.
            pub fn name(&self) -> &Name {
                &self.0
            }
        }
        ids!(@$kind $t $prefix);
        textual!($t, $example);
    )*};
    (@named $t:ident $prefix:literal) => {
        impl FromStr for $t {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self)
            }
        }
        impl From<Name> for $t {
            fn from(name: Name) -> Self {
                Self(name)
            }
        }
    };
    (@random $t:ident $prefix:literal) => {
        impl $t {
            /// A fresh identifier of 80 random bits.
            pub fn random() -> Result<Self, IdError> {
                random_name($prefix).map(Self)
            }
        }
        impl FromStr for $t {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_random_name(text, $prefix) { text.parse().map(Self) } else { Err(IdError::Random($prefix)) }
            }
        }
    };
}

ids! {
    /// An organisation: provider, operator or authority.
    OrgId named "" "tax-bureau";
    /// Someone who may sign in.
    PrincipalId named "" "checker-li";
    /// A catalogue entry.
    DatasetId named "" "tax_grades";
    /// A fusion plan.
    PlanId named "" "credit";
    /// A data use agreement.
    AgreementId named "" "credit-2026";
    /// A job.
    JobId random "job_" "job_k3m5q7abcdefgh2a";
    /// A release, and the held output that may become one.
    ReleaseId random "rel_" "rel_k3m5q7abcdefgh2a";
    /// A question of the verification door.
    VerificationId random "ver_" "ver_k3m5q7abcdefgh2a";
}

/// SHA-256 of a module's bytes as uploaded. Written `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleDigest(Box<str>);

impl ModuleDigest {
    /// The digest of these bytes.
    pub fn of(module: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, module);
        Self(digest.as_ref().iter().fold("sha256:".to_owned(), |text, b| format!("{text}{b:02x}")).into())
    }

    /// The text, algorithm first.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 bytes.
    pub fn bytes(&self) -> [u8; 32] {
        let nibble = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b.wrapping_sub(b'a').wrapping_add(10) & 15 };
        let mut out = [0; 32];
        let hex = self.0.as_bytes().get(7..).unwrap_or_default();
        for (to, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
            *to = pair.iter().fold(0, |byte, digit| byte << 4 | nibble(*digit));
        }
        out
    }
}

impl FromStr for ModuleDigest {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = text.strip_prefix("sha256:").ok_or(IdError::Digest)?;
        let sound = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if sound { Ok(Self(text.into())) } else { Err(IdError::Digest) }
    }
}

textual!(ModuleDigest, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_pattern_says() {
        for good in ["a", "tax_grades", "flights-2013", &"z".repeat(63)] {
            assert_eq!(good.parse::<Name>().unwrap().to_string(), good);
        }
        for bad in ["", "A", "1a", "_a", "a b", "a/b", "a.b", "a\0", "é", "..", &"z".repeat(64)] {
            assert_eq!(bad.parse::<Name>(), Err(IdError::Name), "{bad}");
            assert!(serde_json::from_value::<DatasetId>(bad.into()).is_err());
        }
    }

    #[test]
    fn random_identifiers_are_fresh_and_of_their_kind() {
        let (a, b) = (JobId::random().unwrap(), JobId::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<JobId>().unwrap(), a);
        assert_eq!(a.as_str().len(), 20);
        assert!(a.as_str().parse::<ReleaseId>().is_err());
        for bad in ["job_", "job_0000000000000000", "job_aaaaaaaaaaaaaaa", "rel_aaaaaaaaaaaaaaaa"] {
            assert!(bad.parse::<JobId>().is_err(), "{bad}");
        }
        let json = serde_json::to_string(&a).unwrap();
        assert_eq!(serde_json::from_str::<JobId>(&json).unwrap(), a);
    }

    #[test]
    fn digests_are_sha256() {
        // FIPS 180-2, appendix B.1.
        let abc = ModuleDigest::of(b"abc");
        assert_eq!(abc.as_str(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(abc.bytes(), ring::digest::digest(&ring::digest::SHA256, b"abc").as_ref());
        assert_eq!(abc.as_str().parse::<ModuleDigest>().unwrap(), abc);
        assert!(abc.as_str().to_uppercase().parse::<ModuleDigest>().is_err());
        assert!("ba7816bf".parse::<ModuleDigest>().is_err());
    }
}
