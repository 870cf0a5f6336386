//! Cosignatures, <https://c2sp.org/tlog-cosignature>, with Ed25519 keys (signature type 0x04): a witness says that, at a time, this was the
//! largest tree it had seen of a log, and that it extends every one it had seen before.
//!
//! A verifier key is written `name+hash+base64`, the base64 of 0x04 and the 32-byte public key; so a log's key is never taken for one.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{Note, NoteError, PrivateKey, PublicKey, Verifier};

/// Ed25519 cosignature in the specification's table of signature types.
pub const TYPE_COSIGNATURE: u8 = 4;
/// Eight bytes of time, big-endian, and the signature.
const SIGNATURE_BYTES: usize = 8 + 64;

/// What a witness signs: two lines of its own, then the text of the checkpoint.
fn message(time_s: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// A key that cosignatures are checked with.
pub type WitnessKey = PublicKey<TYPE_COSIGNATURE>;

/// A witness's private key.
pub type Cosigner = PrivateKey<TYPE_COSIGNATURE>;

impl WitnessKey {
    /// Lines of `note` that name this witness.
    pub fn lines(&self, note: &Note) -> usize {
        self.on(note).count()
    }

    /// The time of the newest cosignature of this witness on `note`, in seconds since 1970.
    ///
    /// # Errors
    /// [`NoteError::Unsigned`] without one, [`NoteError::Signature`] where any of its lines is wrong.
    pub fn cosigned_at(&self, note: &Note) -> Result<u64, NoteError> {
        let mut newest = None;
        for signature in self.on(note) {
            let Some((time, signature)) = signature.split_first_chunk::<8>().filter(|_| signature.len() == SIGNATURE_BYTES) else {
                return Err(NoteError::Signature);
            };
            let time_s = u64::from_be_bytes(*time);
            // The specification ends time there.
            if i64::try_from(time_s).is_err() {
                return Err(NoteError::Signature);
            }
            self.signed(&message(time_s, note.unverified_text()), signature)?;
            newest = newest.max(Some(time_s));
        }
        newest.ok_or(NoteError::Unsigned)
    }
}

impl Cosigner {
    /// The signature line on `checkpoint` at `time_s`, with its line end. The caller has verified that the tree extends all it cosigned
    /// before, and made that durable.
    pub(crate) fn line(&self, checkpoint: &Checkpoint, time_s: u64) -> String {
        let signature = self.signature(&message(time_s, &checkpoint.text()));
        self.verifier().line(&[&time_s.to_be_bytes()[..], &signature].concat())
    }
}

/// A checkpoint that its log signed and a witness cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// When the witness cosigned it, seconds since 1970.
    pub time_s: u64,
}

impl Cosigned {
    /// Verifies both signatures of a note.
    ///
    /// # Errors
    /// Which of the two does not hold, as [`CosignedError`].
    pub fn verify(bytes: &[u8], log: &Verifier, witness: &WitnessKey) -> Result<Self, CosignedError> {
        let checkpoint = Checkpoint::verify(bytes, log).map_err(CosignedError::Log)?.checkpoint;
        let note = Note::parse(bytes).map_err(|e| CosignedError::Log(e.into()))?;
        let time_s = witness.cosigned_at(&note).map_err(CosignedError::Witness)?;
        Ok(Self { checkpoint, time_s })
    }
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CosignedError {
    /// The log's own signature.
    #[error("the log's signature: {0}")]
    Log(CheckpointError),
    /// The witness's.
    #[error("the witness's signature: {0}")]
    Witness(NoteError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::empty_root;
    use crate::tlog::note::Signer;

    fn world() -> (Signer, Cosigner, Checkpoint, String) {
        let log = Signer::from_seed("log.example/a", &[1; 32]).unwrap();
        let witness = Cosigner::from_seed("witness.example/w1", &[2; 32]).unwrap();
        let checkpoint = Checkpoint { origin: "log.example/a".into(), size: 7, root: empty_root() };
        let note = Checkpoint::sign(&log, 7, empty_root()).unwrap() + &witness.line(&checkpoint, 1_679_315_147);
        (log, witness, checkpoint, note)
    }

    /// The message of the specification, word for word; its example gives no public key, so its line is read only.
    #[test]
    fn specification_example() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(message(1_679_315_147, text), format!("cosignature/v1\ntime 1679315147\n{text}"));
        let line = "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";
        let note = Note::parse(format!("{text}\n{line}").as_bytes()).unwrap();
        let signature: Vec<_> = note.signatures_by("witness.example.com/w1", [0x8d, 0x66, 0xcf, 0x3f]).collect();
        assert_eq!((signature.len(), signature[0].len()), (1, SIGNATURE_BYTES));
        assert_eq!(u64::from_be_bytes(*signature[0].first_chunk().unwrap()), 1_679_315_147);
    }

    #[test]
    fn a_cosigned_checkpoint_holds_under_both_keys_and_no_other() {
        let (log, witness, checkpoint, note) = world();
        let found = Cosigned::verify(note.as_bytes(), log.verifier(), witness.verifier()).unwrap();
        assert_eq!(found, Cosigned { checkpoint, time_s: 1_679_315_147 });
        let other = Cosigner::from_seed("witness.example/w1", &[3; 32]).unwrap();
        let wrong = Cosigned::verify(note.as_bytes(), log.verifier(), other.verifier());
        assert_eq!(wrong, Err(CosignedError::Witness(NoteError::Unsigned)));
        let alone = Checkpoint::sign(&log, 7, empty_root()).unwrap();
        assert_eq!(
            Cosigned::verify(alone.as_bytes(), log.verifier(), witness.verifier()),
            Err(CosignedError::Witness(NoteError::Unsigned))
        );
    }

    #[test]
    fn every_changed_byte_of_the_line_is_found() {
        let (log, witness, _, note) = world();
        let from = note.rfind("— ").unwrap();
        for at in from..note.len() {
            let mut changed = note.clone().into_bytes();
            changed[at] ^= 1;
            assert!(Cosigned::verify(&changed, log.verifier(), witness.verifier()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn keys_of_a_log_and_of_a_witness_are_not_taken_for_each_other() {
        let (log, witness, ..) = world();
        assert_eq!(WitnessKey::parse(&witness.verifier().to_string()).as_ref(), Ok(witness.verifier()));
        assert_eq!(WitnessKey::parse(&log.verifier().to_string()), Err(NoteError::Key));
        assert!(Verifier::parse(&witness.verifier().to_string()).is_err());
        assert_eq!(WitnessKey::new("a b", [0; 32]), Err(NoteError::Name));
    }
}
