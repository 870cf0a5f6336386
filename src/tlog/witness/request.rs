//! `add-checkpoint`: what a log sends to a witness, and whether it is cosigned.

use crate::tlog::checkpoint::{Checkpoint, CheckpointError};
use crate::tlog::merkle::{Hash, verify_consistency};
use crate::tlog::note::{NOTE_BYTES_MAX, Note, NoteError, Verifier};

/// Lines of a consistency proof: a tree has fewer than 2^64 leaves.
const PROOF_LINES_MAX: usize = 63;
/// Largest body read: a note, a size line, and the proof's lines of 44 characters.
pub const BODY_BYTES_MAX: usize = NOTE_BYTES_MAX + 64 * 64;

/// What a log sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness cosigned last, as the log remembers it; 0 for none.
    pub old: u64,
    /// That the new tree extends it (RFC 6962 §2.1.2).
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed.
    pub note: String,
}

/// Why a checkpoint was not cosigned. Statuses are those of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// Not of the form (400).
    #[error("the request is not a size line, proof lines, an empty line and a signed checkpoint")]
    Malformed,
    /// The old size is larger than the new one (400).
    #[error("the old size is larger than the checkpoint's")]
    OldBeyond,
    /// No key is known for this log (404).
    #[error("this witness does not know the log")]
    UnknownLog,
    /// No signature holds under the log's key (403).
    #[error("the checkpoint is not signed by the log's key")]
    Unsigned,
    /// Another size was cosigned last (409, with that size).
    #[error("the checkpoint cosigned last has {size} leaves")]
    OtherSize {
        /// Leaves of the checkpoint cosigned last.
        size: u64,
    },
    /// Of the same size, but another tree was cosigned (409, with that size).
    #[error("another tree of {size} leaves was cosigned")]
    OtherRoot {
        /// Leaves of both.
        size: u64,
    },
    /// The proof does not hold: it is no extension of the tree cosigned last (422).
    #[error("the consistency proof does not hold")]
    Inconsistent,
}

impl AddCheckpoint {
    /// Reads a body of at most [`BODY_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`WitnessRefusal::Malformed`].
    pub fn parse(body: &[u8]) -> Result<Self, WitnessRefusal> {
        let no = WitnessRefusal::Malformed;
        let text = std::str::from_utf8(body).map_err(|_| no)?;
        let (head, note) = text.split_once("\n\n").filter(|_| body.len() <= BODY_BYTES_MAX).ok_or(no)?;
        let mut lines = head.split('\n');
        let size = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(no)?;
        let old: u64 = size.parse().map_err(|_| no)?;
        // One spelling only.
        if old.to_string() != size {
            return Err(no);
        }
        let proof = lines.map(Hash::parse).collect::<Option<Vec<_>>>().filter(|proof| proof.len() <= PROOF_LINES_MAX).ok_or(no)?;
        Ok(Self { old, proof, note: note.to_owned() })
    }

    /// The body that is sent.
    pub fn to_text(&self) -> String {
        let proof = self.proof.iter().fold(String::new(), |text, hash| format!("{text}{hash}\n"));
        format!("old {}\n{proof}\n{}", self.old, self.note)
    }
}

/// The checkpoint that may be cosigned. `known` gives the one that was cosigned last for an origin.
///
/// # Errors
/// The first thing that is wrong, in the order of the specification.
pub fn judge(
    request: &AddCheckpoint,
    logs: &[Verifier],
    known: impl FnOnce(&str) -> Option<Checkpoint>,
) -> Result<Checkpoint, WitnessRefusal> {
    let note = Note::parse(request.note.as_bytes()).map_err(|_| WitnessRefusal::Malformed)?;
    let claimed = Checkpoint::parse(note.unverified_text()).map_err(|_| WitnessRefusal::Malformed)?;
    let log = logs.iter().find(|log| log.name() == claimed.origin).ok_or(WitnessRefusal::UnknownLog)?;
    let verified = Checkpoint::verify(request.note.as_bytes(), log).map_err(|error| match error {
        CheckpointError::Note(NoteError::Unsigned | NoteError::Signature) => WitnessRefusal::Unsigned,
        _ => WitnessRefusal::Malformed,
    })?;
    let new = verified.checkpoint;
    if request.old > new.size {
        return Err(WitnessRefusal::OldBeyond);
    }
    let Some(last) = known(&new.origin) else {
        // From nothing everything follows, and nothing has to be proved.
        let fresh = request.old == 0;
        return match (fresh, request.proof.is_empty()) {
            (true, true) => Ok(new),
            (true, false) => Err(WitnessRefusal::Inconsistent),
            (false, _) => Err(WitnessRefusal::OtherSize { size: 0 }),
        };
    };
    if request.old != last.size {
        return Err(WitnessRefusal::OtherSize { size: last.size });
    }
    if new.size == last.size && new.root != last.root {
        return Err(WitnessRefusal::OtherRoot { size: last.size });
    }
    verify_consistency(last.size, &last.root, new.size, &new.root, &request.proof).map_err(|_| WitnessRefusal::Inconsistent)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::merkle::{Nodes, consistency, leaf_hash, root_at};
    use crate::tlog::note::Signer;
    use proptest::prelude::*;

    fn signer() -> Signer {
        Signer::from_seed("log.example/a", &[1; 32]).unwrap()
    }

    /// A log whose leaf `i` is `i`, another from `fork` on.
    fn nodes(size: u64, fork: u64) -> Nodes {
        Nodes::from_leaves((0..size).map(|i| leaf_hash(format!("{i} {}", i >= fork).as_bytes())))
    }

    fn checkpoint(nodes: &Nodes, size: u64) -> Checkpoint {
        Checkpoint { origin: "log.example/a".into(), size, root: root_at(size, |l, i| nodes.node(l, i)).unwrap() }
    }

    fn request(nodes: &Nodes, old: u64, new: u64) -> AddCheckpoint {
        let proof = consistency(old, new, |l, i| nodes.node(l, i)).unwrap();
        AddCheckpoint { old, proof, note: Checkpoint::sign(&signer(), new, checkpoint(nodes, new).root).unwrap() }
    }

    fn ask(request: &AddCheckpoint, known: Option<Checkpoint>) -> Result<Checkpoint, WitnessRefusal> {
        judge(request, &[signer().verifier().clone()], |_| known)
    }

    #[test]
    fn one_spelling_only() {
        let log = nodes(5, 9);
        let good = request(&log, 2, 5);
        assert_eq!(AddCheckpoint::parse(good.to_text().as_bytes()), Ok(good.clone()));
        let text = good.to_text();
        for bad in [
            text.replacen("old 2", "old 02", 1),
            text.replacen("old 2", "old +2", 1),
            text.replacen("old 2", "old  2", 1),
            text.replacen("old 2", "Old 2", 1),
            text.replacen("old 2\n", "old 2\n\n", 1),
            text.replacen('\n', "\r\n", 1),
            text.replacen("old 2\n", &format!("old 2\n{}", format!("{}\n", good.proof[0]).repeat(64)), 1),
            String::new(),
        ] {
            let told = AddCheckpoint::parse(bad.as_bytes()).and_then(|r| ask(&r, Some(checkpoint(&log, 2))));
            assert_eq!(told, Err(WitnessRefusal::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn each_refusal_of_the_specification() {
        let (log, fork) = (nodes(9, 99), nodes(9, 3));
        let at = |size| Some(checkpoint(&log, size));
        assert_eq!(ask(&request(&log, 0, 4), None), Ok(checkpoint(&log, 4)));
        assert_eq!(ask(&request(&log, 4, 9), at(4)), Ok(checkpoint(&log, 9)));
        assert_eq!(ask(&request(&log, 4, 4), at(4)), Ok(checkpoint(&log, 4)), "once more");
        assert_eq!(ask(&request(&log, 4, 9), at(5)), Err(WitnessRefusal::OtherSize { size: 5 }));
        assert_eq!(ask(&request(&log, 4, 9), None), Err(WitnessRefusal::OtherSize { size: 0 }));
        assert_eq!(ask(&request(&log, 0, 4), at(9)), Err(WitnessRefusal::OtherSize { size: 9 }), "a rollback");
        let backwards = AddCheckpoint { old: 9, proof: Vec::new(), ..request(&log, 0, 4) };
        assert_eq!(ask(&backwards, at(9)), Err(WitnessRefusal::OldBeyond), "a rollback");
        assert_eq!(ask(&request(&fork, 4, 9), at(4)), Err(WitnessRefusal::Inconsistent), "a fork");
        assert_eq!(ask(&request(&fork, 4, 4), at(4)), Err(WitnessRefusal::OtherRoot { size: 4 }), "a fork");
        let proved = AddCheckpoint { proof: request(&log, 4, 9).proof, ..request(&log, 0, 4) };
        assert_eq!(ask(&proved, None), Err(WitnessRefusal::Inconsistent));
        let other = Signer::from_seed("log.example/b", &[1; 32]).unwrap();
        assert_eq!(judge(&request(&log, 0, 4), &[other.verifier().clone()], |_| None), Err(WitnessRefusal::UnknownLog));
        let thief = Signer::from_seed("log.example/a", &[9; 32]).unwrap();
        assert_eq!(judge(&request(&log, 0, 4), &[thief.verifier().clone()], |_| None), Err(WitnessRefusal::Unsigned));
    }

    proptest! {
        /// What a witness signs one after the other are beginnings of one history, whatever is asked of it.
        #[test]
        fn only_one_history_is_cosigned(asked in prop::collection::vec((0_u64..40, 0_u64..40, any::<bool>()), 1..12), split in 1_u64..40) {
            let logs = [nodes(40, 99), nodes(40, split)];
            let mut known: Option<Checkpoint> = None;
            let mut signed = Vec::new();
            for (a, b, second) in asked {
                let (old, new) = (a.min(b), a.max(b));
                let log = &logs[usize::from(second)];
                if let Ok(checkpoint) = ask(&request(log, old, new), known.clone()) {
                    known = Some(checkpoint.clone());
                    signed.push(checkpoint);
                }
            }
            let one = |log: &Nodes| signed.iter().all(|c| checkpoint(log, c.size) == *c);
            prop_assert!(one(&logs[0]) || one(&logs[1]));
            prop_assert!(signed.windows(2).all(|w| w[0].size <= w[1].size));
        }
    }
}
