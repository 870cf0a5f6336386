//! Checkpoints, <https://c2sp.org/tlog-checkpoint>: a signed note over origin, tree size and root hash.
//!
//! The origin is the key's name, and extension lines (which no monitor can check) are refused.

use super::{
    merkle::Hash,
    note::{Note, NoteError, Signer, Verifier},
};
use serde::Serialize;

/// What a log says of itself at one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
}

/// Why a checkpoint was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointError {
    /// The note or its signature.
    #[error(transparent)]
    Note(NoteError),
    /// The text is not origin, size and root.
    #[error("the text is not an origin, a size and a root")]
    Malformed,
    /// The origin is not the key's name.
    #[error("the origin is not the name of the key")]
    Origin,
}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        Self::Note(error)
    }
}

/// A checkpoint whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Signature lines of other keys, which were not looked at.
    pub unknown_signatures: usize,
}

impl Checkpoint {
    /// Signs (`size`, `root`) under the signer's name as origin; the bytes of the file `checkpoint`.
    ///
    /// The caller must have made sure that the tree extends every tree signed before.
    pub fn sign(signer: &Signer, size: u64, root: Hash) -> Result<String, NoteError> {
        let origin = signer.verifier().name().to_owned();
        signer.sign(&Self { origin, size, root }.text())
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root)
    }

    /// Reads the text that is signed.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed);
        };
        let size = size.parse().map_err(|_| CheckpointError::Malformed)?;
        let root = Hash::parse(root).ok_or(CheckpointError::Malformed)?;
        let checkpoint = Self { origin: origin.to_owned(), size, root };
        // One spelling only: no leading zero or sign, no other line end.
        if origin.is_empty() || checkpoint.text() != text { Err(CheckpointError::Malformed) } else { Ok(checkpoint) }
    }

    /// Reads a signed checkpoint and verifies the signature by `key`.
    pub fn verify(bytes: &[u8], key: &Verifier) -> Result<Verified, CheckpointError> {
        let note = Note::parse(bytes)?;
        let (text, unknown_signatures) = note.verify(key)?;
        let checkpoint = Self::parse(text)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin);
        }
        Ok(Verified { checkpoint, unknown_signatures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::empty_root;

    /// The example of the specification.
    #[test]
    fn specification_text() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::parse(text).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.text(), text);
    }

    #[test]
    fn signed_and_verified() {
        let signer = Signer::from_seed("log.example/a", &[1; 32]).unwrap();
        let note = Checkpoint::sign(&signer, 0, empty_root()).unwrap();
        let verified = Checkpoint::verify(note.as_bytes(), signer.verifier()).unwrap();
        assert_eq!(verified.checkpoint, Checkpoint { origin: "log.example/a".into(), size: 0, root: empty_root() });
        let other = signer.sign(&format!("log.example/b\n0\n{}\n", empty_root())).unwrap();
        assert_eq!(Checkpoint::verify(other.as_bytes(), signer.verifier()), Err(CheckpointError::Origin));
    }

    #[test]
    fn one_spelling_only() {
        let root = empty_root();
        for text in [
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("a\n1\n{root}\nextension\n"),
            format!("a\n18446744073709551616\n{root}\n"),
            "a\n1\nAAAA\n".to_owned(),
        ] {
            assert_eq!(Checkpoint::parse(&text), Err(CheckpointError::Malformed), "{text:?}");
        }
    }
}
