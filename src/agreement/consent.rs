//! The consent token: one subject lets one operator ask one question once. Pure.
//!
//! A token is a JSON object `{"token": {…}, "signature": "…"}`. What is signed (Ed25519, base64) is [`CONTEXT`] followed by the canonical JSON
//! of `token` (RFC 8785: no white space, keys sorted), so that the signature is good for nothing else and every byte is covered. The issuer
//! who signs is somebody whom a provider or the authority registered, never an operator.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::linkage::canonical;
use protocol::schema::LinkageKey;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{AgreementId, ModuleDigest, Name, OrgId};
use crate::refusal::{self, Refused};

/// What precedes the canonical bytes in the signed message.
pub const CONTEXT: &[u8] = b"fusebox-consent-v1\0";

/// What a subject consents to. Every field is bound by the signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a consent token")]
pub struct ConsentToken {
    /// Who signed it: a registered issuer.
    pub issuer: Name,
    /// Kind of identifier of the subject, as the plan names it.
    pub namespace: Name,
    /// The subject's identifier in its canonical spelling. Exactly one.
    pub subject: String,
    /// Who may ask.
    pub operator: OrgId,
    /// Under which agreement.
    pub agreement: AgreementId,
    /// For which purpose.
    pub purpose: Name,
    /// Which question: the digest of the module.
    pub module: ModuleDigest,
    /// From when on it is good for nothing.
    pub expires_at: Timestamp,
    /// 32 hexadecimal digits, never used before by this issuer.
    pub nonce: String,
}

/// A token with its signature.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "a signed consent token")]
pub struct SignedToken {
    /// What is signed.
    pub token: ConsentToken,
    /// Ed25519, base64.
    pub signature: String,
}

/// What a question is asked with; a token has to be for exactly this.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks.
    pub operator: &'a OrgId,
    /// Under which agreement.
    pub agreement: &'a AgreementId,
    /// For which purpose.
    pub purpose: &'a Name,
    /// With which module.
    pub module: &'a ModuleDigest,
    /// About whom: the namespace of the plan.
    pub namespace: &'a Name,
    /// The form of the identifier that the plan's unit has.
    pub linkage: Option<LinkageKey>,
    /// The present time.
    pub now: Timestamp,
}

// A token names a person: nothing of it is ever printed.
impl std::fmt::Debug for ConsentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConsentToken")
    }
}

impl std::fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedToken")
    }
}

impl ConsentToken {
    /// The signed message. Texts only, so it always has a canonical form.
    pub fn message(&self) -> Vec<u8> {
        [CONTEXT, &protocol::canonical::to_canonical_json(self).unwrap_or_default()].concat()
    }

    /// Signs it.
    pub fn sign(self, key: &Ed25519KeyPair) -> SignedToken {
        let signature = STANDARD.encode(key.sign(&self.message()).as_ref());
        SignedToken { token: self, signature }
    }
}

impl SignedToken {
    /// Verifies the signature under the issuer's public key.
    ///
    /// # Errors
    /// `token.signature`.
    pub fn verify(&self, public_key: &[u8]) -> Result<(), Refused> {
        let refused = || Refused::new(&refusal::TOKEN_SIGNATURE);
        let signature = STANDARD.decode(&self.signature).map_err(|_| refused())?;
        UnparsedPublicKey::new(&ED25519, public_key).verify(&self.token.message(), &signature).map_err(|_| refused())
    }

    /// Checks that it is for what is asked, and in its time.
    ///
    /// # Errors
    /// `token.expired`; `token.binding`, naming the element that is another; `request.malformed` where subject or nonce is none.
    pub fn binds(&self, asked: &Asked<'_>) -> Result<(), Refused> {
        let token = &self.token;
        let elements = [
            ("operator", token.operator == *asked.operator),
            ("agreement", token.agreement == *asked.agreement),
            ("purpose", token.purpose == *asked.purpose),
            ("module", token.module == *asked.module),
            ("namespace", token.namespace == *asked.namespace),
        ];
        if let Some((element, _)) = elements.iter().find(|(_, same)| !same) {
            return Err(Refused::new(&refusal::TOKEN_BINDING).subject(element));
        }
        if asked.now >= token.expires_at {
            return Err(Refused::new(&refusal::TOKEN_EXPIRED).threshold(token.expires_at.to_string()));
        }
        let spelled = asked.linkage.and_then(|kind| canonical(kind, &token.subject));
        if spelled.as_deref() != Some(token.subject.as_str()) {
            return Err(Refused::new(&refusal::MALFORMED).subject("token.subject: not one identifier in its canonical spelling"));
        }
        let nonce = token.nonce.len() == 32 && token.nonce.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if nonce { Ok(()) } else { Err(Refused::new(&refusal::MALFORMED).subject("token.nonce: 32 hexadecimal digits")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair;

    fn token() -> ConsentToken {
        ConsentToken {
            issuer: "bureau-app".parse().unwrap(),
            namespace: "person".parse().unwrap(),
            subject: "11010519491231002X".into(),
            operator: "landlords".parse().unwrap(),
            agreement: "tenancy-2026".parse().unwrap(),
            purpose: "tenancy_check".parse().unwrap(),
            module: ModuleDigest::of(b"module"),
            expires_at: "2026-12-31T00:00:00Z".parse().unwrap(),
            nonce: "0123456789abcdef0123456789abcdef".into(),
        }
    }

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    #[test]
    fn every_field_is_covered_by_the_signature() {
        let (key, signed) = (key(), token().sign(&key()));
        signed.verify(key.public_key().as_ref()).unwrap();
        let fields = serde_json::to_value(&signed.token).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            let changed = match name.as_str() {
                "expires_at" => "2027-12-31T00:00:00Z".to_owned(),
                "module" => ModuleDigest::of(b"other").to_string(),
                _ => format!("{}x", value.as_str().unwrap()),
            };
            let mut other = fields.clone();
            other[name] = changed.into();
            let other = SignedToken { token: serde_json::from_value(other).unwrap(), signature: signed.signature.clone() };
            assert_eq!(other.verify(key.public_key().as_ref()).unwrap_err().rule().id, "token.signature", "{name}");
        }
        let other = SignedToken { signature: STANDARD.encode([0; 64]), ..signed.clone() };
        assert!(other.verify(key.public_key().as_ref()).is_err() && signed.verify(&[0; 32]).is_err());
    }

    #[test]
    fn a_token_is_for_one_question_of_one_operator_about_one_subject() {
        let signed = token().sign(&key());
        let [operator, other]: [OrgId; 2] = ["landlords".parse().unwrap(), "others".parse().unwrap()];
        let t = &signed.token;
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let (agreement, purpose, module, namespace) = (&t.agreement, &t.purpose, &t.module, &t.namespace);
        let asked = Asked { operator: &operator, agreement, purpose, module, namespace, linkage: Some(LinkageKey::ResidentId), now };
        signed.binds(&asked).unwrap();
        let why = |asked: &Asked<'_>| {
            let refused = signed.binds(asked).unwrap_err();
            (refused.rule().id, refused.subject_text().unwrap_or_default().to_owned())
        };
        assert_eq!(why(&Asked { operator: &other, ..asked }), ("token.binding", "operator".to_owned()));
        assert_eq!(why(&Asked { agreement: &"a".parse().unwrap(), ..asked }), ("token.binding", "agreement".to_owned()));
        assert_eq!(why(&Asked { purpose: &"p".parse().unwrap(), ..asked }), ("token.binding", "purpose".to_owned()));
        assert_eq!(why(&Asked { module: &ModuleDigest::of(b""), ..asked }), ("token.binding", "module".to_owned()));
        assert_eq!(why(&Asked { namespace: &"firm".parse().unwrap(), ..asked }), ("token.binding", "namespace".to_owned()));
        assert_eq!(why(&Asked { now: t.expires_at, ..asked }).0, "token.expired");
        for subject in ["11010519491231002x", "11010519491231002X,440524188001010014", " 11010519491231002X", ""] {
            let other = ConsentToken { subject: subject.into(), ..token() }.sign(&key());
            assert_eq!(other.binds(&asked).unwrap_err().rule().id, "request.malformed", "{subject}");
        }
        assert_eq!(format!("{signed:?}"), "SignedToken");
    }
}
