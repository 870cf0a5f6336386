//! What a reviewer signs, and whether a signature holds: pure, so that a bundle can be checked offline by the same function.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::id::{Name, OrgId, PrincipalId, ReleaseId};

/// First line of the signed message, so that a signature is good for nothing else.
pub const REVIEW_CONTEXT: &str = "fusebox-review-v1";

/// What a reviewer decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// It may leave.
    Approve,
    /// It stays.
    Deny,
    /// Back to the operator, who may file again with changes.
    Return,
}

impl Choice {
    /// Its word in the signed message.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Return => "return",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $approves:literal, [$($clause:literal),*];)*) => {
        /// The closed list of reasons, with the articles that they rest on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum ReviewReason { $($(#[$doc])* $name,)* }

        impl ReviewReason {
            /// Its word in the signed message.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
            /// Whether it stands beside an approval; every other one stands beside a denial or a return.
            pub const fn approves(self) -> bool {
                match self { $(Self::$name => $approves,)* }
            }
            /// The articles it rests on.
            pub const fn clauses(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($clause),*],)* }
            }
        }

        /// Every reason, whether it approves, and its articles.
        pub const REASONS: &[(ReviewReason, bool, &[&str])] = &[$((ReviewReason::$name, $approves, &[$($clause),*]),)*];
    };
}

reasons! {
    /// Fit for its purpose and disclosive of nobody.
    Sound = "sound", true, ["Q41", "X31"];
    /// May disclose a unit.
    Disclosive = "disclosive", false, ["C26", "X55"];
    /// Not what the purpose needs.
    BeyondPurpose = "beyond_purpose", false, ["X27"];
    /// More numbers than the purpose needs.
    Capacity = "capacity", false, ["Q35", "X27"];
    /// Statement or context missing.
    Unexplained = "unexplained", false, ["X27", "C16"];
    /// Data quality does not carry it.
    Quality = "quality", false, ["X23"];
}

/// The message that a reviewer signs: UTF-8, one line each, the last one ended too.
pub fn review_message(release: &ReleaseId, round: u32, artefact_commitment: &str, decision: Choice, reason: ReviewReason) -> String {
    format!("{REVIEW_CONTEXT}\n{release}\n{round}\n{artefact_commitment}\n{}\n{}\n", decision.word(), reason.word())
}

/// A vote with its signature. Public key (32 bytes) and signature (64 bytes) in base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignedVote {
    /// The output.
    pub release: ReleaseId,
    /// The round, from 1.
    pub round: u32,
    /// Commitment to the artefact that was read, hexadecimal.
    pub artefact_commitment: String,
    /// What was decided.
    pub decision: Choice,
    /// Why.
    pub reason: ReviewReason,
    /// Who.
    pub by: PrincipalId,
    /// Of which organisation.
    pub org: OrgId,
    /// Name of the enrolled key.
    pub key: Name,
    /// The key.
    pub public_key: String,
    /// The signature.
    pub signature: String,
}

impl SignedVote {
    /// Whether the signature is the key's over exactly this vote. That the key is an enrolled reviewer's is for the caller.
    pub fn verify(&self) -> bool {
        let (Ok(key), Ok(signature)) = (STANDARD.decode(&self.public_key), STANDARD.decode(&self.signature)) else { return false };
        let message = review_message(&self.release, self.round, &self.artefact_commitment, self.decision, self.reason);
        key.len() == 32 && UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).is_ok()
    }
}

/// A vote once both are in: what its leaf committed to, with the salt that opens it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CountedVote {
    /// The vote.
    #[serde(flatten)]
    pub vote: SignedVote,
    /// Articles that its reason rests on.
    pub clauses: Vec<String>,
    /// Leaf that showed that it was cast.
    pub leaf: u64,
    /// Salt of that leaf's commitment, hexadecimal: HMAC-SHA-256(salt, canonical JSON of the vote without clauses, leaf and salt).
    pub salt: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    #[test]
    fn the_message_is_exactly_as_it_is_written_down() {
        let id: ReleaseId = "rel_aaaaaaaaaaaaaaaa".parse().unwrap();
        let message = review_message(&id, 2, "00ff", Choice::Return, ReviewReason::BeyondPurpose);
        assert_eq!(message, "fusebox-review-v1\nrel_aaaaaaaaaaaaaaaa\n2\n00ff\nreturn\nbeyond_purpose\n");
        for (reason, approves, clauses) in REASONS {
            assert_eq!(serde_json::json!(reason), reason.word());
            assert_eq!((reason.approves(), reason.clauses()), (*approves, *clauses));
        }
        for choice in [Choice::Approve, Choice::Deny, Choice::Return] {
            assert_eq!(serde_json::json!(choice), choice.word());
        }
    }

    #[test]
    fn a_signature_holds_for_its_vote_and_for_no_other() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let id: ReleaseId = "rel_aaaaaaaaaaaaaaaa".parse().unwrap();
        let message = review_message(&id, 1, "c0", Choice::Approve, ReviewReason::Sound);
        let vote = SignedVote {
            release: id,
            round: 1,
            artefact_commitment: "c0".into(),
            decision: Choice::Approve,
            reason: ReviewReason::Sound,
            by: "li".parse().unwrap(),
            org: "centre".parse().unwrap(),
            key: "key-1".parse().unwrap(),
            public_key: STANDARD.encode(pair.public_key().as_ref()),
            signature: STANDARD.encode(pair.sign(message.as_bytes()).as_ref()),
        };
        assert!(vote.verify());
        let other = |change: fn(&mut SignedVote)| {
            let mut other = vote.clone();
            change(&mut other);
            !other.verify()
        };
        assert!(other(|v| v.release = "rel_bbbbbbbbbbbbbbbb".parse().unwrap()));
        assert!(other(|v| v.round = 2));
        assert!(other(|v| v.artefact_commitment = "c1".into()));
        assert!(other(|v| v.decision = Choice::Deny));
        assert!(other(|v| v.reason = ReviewReason::Quality));
        assert!(other(|v| v.public_key = STANDARD.encode([1u8; 32])));
        assert!(other(|v| v.public_key.clear()));
        assert!(other(|v| v.signature = STANDARD.encode([0u8; 64])));
        assert!(other(|v| v.signature = "?".into()));
    }
}
