//! The bundle of a release: one file that says what left, why, and that the log holds it; checked offline with public keys only.
//!
//! ```text
//! manifest.json    what follows in short: catalogue entries, providers, digests of module, plan, policy, engine, agreement and files
//! artefact.json    what was released
//! decision.json    body of the decision's leaf: each rule with threshold, clause and outcome
//! release.json     body of the release's leaf
//! review.json      body of the review's leaf, where it was held: both votes with their signatures
//! agreement.json   the terms it rests on
//! proof.json       the leaves with their salts, the artefact's salt, inclusion proofs
//! checkpoint       the log's signed note, with the witness's cosignature where there is one
//! ```
//! Every byte is bound. The log's key signs the root; proofs lead from it to the leaves; a leaf commits to its body; the decision's body
//! commits to the artefact and names the agreement's digest; reviewers' keys sign the artefact's commitment. The manifest follows from the other
//! files, and the zip (stored, no times, this order) from all of them: both are made again and compared.
//!
//! | file | what it is |
//! |---|---|
//! | `container` | the canonical zip |
//! | `form` | the files' forms, and the manifest that follows from them |
//! | `make` | a bundle out of the store |
//! | `check` | a bundle judged: pure, every byte hostile |
//! | `fault` | what can be wrong, in both languages |

mod check;
mod container;
mod fault;
mod form;
mod make;
#[cfg(test)]
mod tests;

pub use check::{Checked, verify};
pub use fault::{Cause, Fault};
pub use make::{Bundle, bundle};

use serde::Serialize;

/// Largest bundle, in bytes: the largest answer of the private door has 100,000 numbers, some MiB of text.
pub const BUNDLE_BYTES_MAX: usize = 16 << 20;
/// First field of the manifest.
const FORMAT: &str = "fusebox-bundle-v1";

/// A file of a bundle, or the zip around them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The zip: headers, directory, order.
    Zip,
    /// What follows in short.
    Manifest,
    /// What was released.
    Artefact,
    /// Body of the decision's leaf.
    Decision,
    /// Body of the release's leaf.
    Release,
    /// Body of the review's leaf.
    Review,
    /// The terms.
    Agreement,
    /// Leaves, salts and proofs.
    Proof,
    /// The signed note.
    Checkpoint,
}

impl Part {
    /// The files, in their order.
    pub const FILES: [Self; 8] =
        [Self::Manifest, Self::Artefact, Self::Decision, Self::Release, Self::Review, Self::Agreement, Self::Proof, Self::Checkpoint];

    /// Its name in the zip.
    pub fn file(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Manifest => "manifest.json",
            Self::Artefact => "artefact.json",
            Self::Decision => "decision.json",
            Self::Release => "release.json",
            Self::Review => "review.json",
            Self::Agreement => "agreement.json",
            Self::Proof => "proof.json",
            Self::Checkpoint => "checkpoint",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::FILES.into_iter().find(|part| part.file() == name)
    }
}
