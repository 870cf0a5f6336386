//! Signed notes, <https://c2sp.org/signed-note>, with Ed25519 keys (signature type 0x01) only.
//!
//! A verifier key is written `name+hash+base64`: the key name, its ID in 8 hexadecimal digits, and the base64 of 0x01 and the
//! 32-byte public key, as the Go checksum database does.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use serde::Serialize;

/// Largest note read, in bytes: the specification asks for room for 16 signatures of up to 5 kB.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;
/// Ed25519 in the specification's table of signature types.
pub const TYPE_ED25519: u8 = 1;

/// Why a note, a key or a signature was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note")]
    Malformed,
    /// A key name is empty or has a space, a plus or a control character.
    #[error("a key name must not be empty and must have no space and no plus")]
    Name,
    /// Not a verifier key, or its ID does not fit it, or not Ed25519.
    #[error("not an Ed25519 verifier key of the form name+hash+base64")]
    Key,
    /// No signature line is by this key.
    #[error("no signature is by this key")]
    Unsigned,
    /// A signature line by this key does not verify.
    #[error("the signature by this key is wrong")]
    Signature,
}

/// A name of a key: non-empty, no Unicode space, no plus, no control character.
fn valid_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// SHA-256(name || 0x0A || type || public key)[:4].
fn key_id(kind: u8, name: &str, key: &[u8; 32]) -> [u8; 4] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [name.as_bytes(), b"\n", &[kind], key] {
        context.update(part);
    }
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// A public Ed25519 key with its name, for signatures of one type of the specification's table: one of another type is never taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey<const TYPE: u8> {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

/// A key that signs notes.
pub type Verifier = PublicKey<TYPE_ED25519>;

impl<const TYPE: u8> PublicKey<TYPE> {
    /// Of an Ed25519 public key (RFC 8032, 32 bytes).
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !valid_name(name) {
            return Err(NoteError::Name);
        }
        Ok(Self { name: name.to_owned(), id: key_id(TYPE, name, &key), key })
    }

    /// Reads `name+hash+base64`.
    ///
    /// # Errors
    /// [`NoteError::Key`] where it is of another form, another type, or spelled in another way.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(NoteError::Key) };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let Some((_, key)) = key.split_first().filter(|(kind, _)| **kind == TYPE) else { return Err(NoteError::Key) };
        let parsed = Self::new(name, key.try_into().map_err(|_| NoteError::Key)?)?;
        // One spelling only, and the hash must be the key's own.
        if parsed.to_string() == text { Ok(parsed) } else { Err(NoteError::Key) }
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Signatures, without key IDs, of the lines of `note` that name this key.
    pub(super) fn on<'a>(&'a self, note: &'a Note) -> impl Iterator<Item = &'a [u8]> {
        note.signatures_by(&self.name, self.id)
    }

    /// Whether a signature is this key's over `message`.
    pub(super) fn signed(&self, message: &str, signature: &[u8]) -> Result<(), NoteError> {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(message.as_bytes(), signature).map_err(|_| NoteError::Signature)
    }

    /// `— name base64(id || signature)`, with its line end.
    pub(super) fn line(&self, signature: &[u8]) -> String {
        format!("— {} {}\n", self.name, STANDARD.encode([&self.id, signature].concat()))
    }
}

impl<const TYPE: u8> std::fmt::Display for PublicKey<TYPE> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key: Vec<u8> = std::iter::once(TYPE).chain(self.key).collect();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), STANDARD.encode(key))
    }
}

impl<const TYPE: u8> std::str::FromStr for PublicKey<TYPE> {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        Self::parse(text)
    }
}

/// A private key with its name. Neither shown nor cloned.
pub struct PrivateKey<const TYPE: u8> {
    pair: Ed25519KeyPair,
    public: PublicKey<TYPE>,
}

/// The private half of a [`Verifier`].
pub type Signer = PrivateKey<TYPE_ED25519>;

impl<const TYPE: u8> PrivateKey<TYPE> {
    /// The key of a 32-byte Ed25519 seed; the caller keeps the seed secret and wipes it.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError::Key)?;
        Ok(Self { pair, public: PublicKey::new(name, key)? })
    }

    /// The public half.
    pub fn verifier(&self) -> &PublicKey<TYPE> {
        &self.public
    }

    /// The signature of a message, without key ID.
    pub(super) fn signature(&self, message: &str) -> Vec<u8> {
        self.pair.sign(message.as_bytes()).as_ref().to_vec()
    }
}

impl Signer {
    /// The note over `text`, signed by this key. The text must end with a newline and have no other control character.
    ///
    /// # Errors
    /// [`NoteError::Malformed`].
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        if !valid_text(text) {
            return Err(NoteError::Malformed);
        }
        Ok(format!("{text}\n{}", self.public.line(&self.signature(text))))
    }
}

fn valid_text(text: &str) -> bool {
    text.ends_with('\n') && !text.contains(|c: char| c < ' ' && c != '\n')
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SignatureLine {
    name: String,
    id: [u8; 4],
    signature: Vec<u8>,
}

/// A note that was read. Its text counts for nothing until [`Note::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    lines: Vec<SignatureLine>,
}

impl Note {
    /// Reads a note of at most [`NOTE_BYTES_MAX`] bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        if bytes.len() > NOTE_BYTES_MAX || !valid_text(note) {
            return Err(NoteError::Malformed);
        }
        // Text, the last empty line, signature lines; the text keeps its own newline.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let lines = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let lines = lines.split('\n').map(signature_line).collect::<Option<Vec<_>>>().ok_or(NoteError::Malformed)?;
        Ok(Self { text: format!("{text}\n"), lines })
    }

    /// The text, which nothing vouches for yet.
    pub(super) fn unverified_text(&self) -> &str {
        &self.text
    }

    /// Signatures, without key IDs, of the lines with this key name and ID.
    pub(super) fn signatures_by<'a>(&'a self, name: &'a str, id: [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |line| line.name == name && line.id == id).map(|line| line.signature.as_slice())
    }

    /// The note with one signature line, `key`'s first, and no other; `None` where it has none. Whether that holds is for [`Note::verify`].
    pub(super) fn with_line_of(&self, key: &Verifier) -> Option<String> {
        key.on(self).next().map(|signature| format!("{}\n{}", self.text, key.line(signature)))
    }

    /// The text, if at least one signature is by `key` and all that are by it hold. Lines of other keys (witnesses, an older
    /// key) are not looked at: the second value counts them.
    pub fn verify(&self, key: &Verifier) -> Result<(&str, usize), NoteError> {
        let mut known = 0_usize;
        for signature in key.on(self) {
            key.signed(&self.text, signature)?;
            known += 1;
        }
        if known == 0 { Err(NoteError::Unsigned) } else { Ok((&self.text, self.lines.len() - known)) }
    }
}

/// `— name base64(id || signature)`.
fn signature_line(line: &str) -> Option<SignatureLine> {
    let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
    let signature = STANDARD.decode(signature).ok()?;
    let (id, signature) = signature.split_first_chunk::<4>()?;
    (valid_name(name) && !signature.is_empty()).then(|| SignatureLine { name: name.to_owned(), id: *id, signature: signature.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of golang.org/x/mod/sumdb/note.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const SEED: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer() -> Signer {
        let seed = STANDARD.decode(SEED).unwrap();
        Signer::from_seed("PeterNeumann", seed[1..].try_into().unwrap()).unwrap()
    }

    #[test]
    fn known_note() {
        let key = Verifier::parse(KEY).unwrap();
        assert_eq!(key.to_string(), KEY);
        assert_eq!(signer().verifier(), &key);
        let note = format!("{TEXT}\n{LINE}");
        assert_eq!(signer().sign(TEXT).unwrap(), note);
        assert_eq!(Note::parse(note.as_bytes()).unwrap().verify(&key), Ok((TEXT, 0)));
    }

    /// The example of the specification: its public key is not given, so it is read only.
    #[test]
    fn specification_note_is_read() {
        let note = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
        let note = Note::parse(note.as_bytes()).unwrap();
        assert!(note.text.ends_with("ed è subito sera.\n") && note.text.contains("\n\n"));
        assert_eq!(note.verify(&Verifier::parse(KEY).unwrap()), Err(NoteError::Unsigned));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = Verifier::parse(KEY).unwrap();
        let note = format!("{TEXT}\n{LINE}").into_bytes();
        for at in 0..note.len() * 8 {
            let mut bytes = note.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(Note::parse(&bytes).and_then(|n| n.verify(&key).map(|_| ())).is_err(), "bit {at}");
        }
    }

    #[test]
    fn other_keys_are_counted_and_not_believed() {
        let key = Verifier::parse(KEY).unwrap();
        let witness = Signer::from_seed("witness.example/w1", &[9; 32]).unwrap();
        let cosigned = witness.sign(TEXT).unwrap();
        let line = cosigned.strip_prefix(TEXT).unwrap().trim_start_matches('\n');
        let note = format!("{TEXT}\n{LINE}{line}");
        let note = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(note.verify(&key), Ok((TEXT, 1)));
        assert_eq!(note.verify(witness.verifier()), Ok((TEXT, 1)));
        assert_eq!(Note::parse(cosigned.as_bytes()).unwrap().verify(&key), Err(NoteError::Unsigned));
        // The same name over another key.
        let other = Signer::from_seed("PeterNeumann", &[9; 32]).unwrap();
        assert_eq!(Note::parse(other.sign(TEXT).unwrap().as_bytes()).unwrap().verify(&key), Err(NoteError::Unsigned));
    }

    #[test]
    fn odd_forms_are_refused() {
        for note in
            ["", "\n", "text\n", "text\n\n", "text\n\nline\n", "text\n\n— name\n", "text\n\n— name AAAA\n", "te\rxt\n\n— n AAAAAAAA\n"]
        {
            assert_eq!(Note::parse(note.as_bytes()), Err(NoteError::Malformed), "{note:?}");
        }
        for key in ["", "a+b", "a b+c74f20a3+AR", &KEY.replace("c74f", "c74e"), &KEY.replace("c74f", "C74F"), &KEY.replace("+AR", "+BR")] {
            assert!(Verifier::parse(key).is_err(), "{key:?}");
        }
        assert!(Signer::from_seed("a b", &[0; 32]).is_err());
        assert_eq!(signer().sign("no newline"), Err(NoteError::Malformed));
    }
}
