//! The release log: an append-only Merkle tree that anyone with the public key can check offline.
//!
//! | file | source |
//! |---|---|
//! | [`leaf`] | our leaf: a fixed-size public header and a salted commitment (56 bytes) |
//! | [`merkle`] | RFC 6962 §2.1 hashes and trees; RFC 9162 §2.1.3–2.1.4 proofs |
//! | [`note`] | <https://c2sp.org/signed-note>, Ed25519 only |
//! | [`checkpoint`] | <https://c2sp.org/tlog-checkpoint> |
//! | [`tile`] | <https://c2sp.org/tlog-tiles> |
//! | [`verify`], [`report`] | offline verification of a tlog-tiles directory, and what it says |
//! | [`dir`] | reading and writing such a directory through cap-std |
//! | [`cosign`] | <https://c2sp.org/tlog-cosignature>, Ed25519 only |
//! | [`witness`] | <https://c2sp.org/tlog-witness>: what a witness signs, and its folder |
//! | [`cosigned`] | the newest cosigned checkpoint in the store, and what the witness said last |
//! | [`journal`] | leaves in the store, written with the event; the hook that signs, remembers and publishes |
//! | [`remembered`] | the newest checkpoint in a file of its own |
//! | [`rollback`] | whether the database is behind what is remembered of it |
//!
//! All but [`dir`], [`journal`], [`cosigned`], [`remembered`], [`rollback`] and the witness's folder is pure: no files, no clock, no
//! randomness. To append: make a [`Leaf`], store its bytes and the nodes that
//! [`Tree::append`] returns, sign a [`Checkpoint`] over [`Tree::root`], and write the tiles of [`tile::changed`].

pub mod checkpoint;
pub mod cosign;
pub mod cosigned;
pub mod dir;
pub mod journal;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod remembered;
pub mod report;
pub mod rollback;
pub mod tile;
pub mod verify;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use cosign::{Cosigned, Cosigner, WitnessKey};
pub use dir::LogDir;
pub use journal::{Appended, Journal, Reader};
pub use leaf::{LEAF_BYTES, Leaf, LeafError, LeafKind};
pub use merkle::{Hash, Tree};
pub use note::{Signer, Verifier};
pub use remembered::RememberedFile;
pub use report::{Cause, Fault, Remembered, Report};
pub use tile::Tile;
pub use verify::{Source, verify};
