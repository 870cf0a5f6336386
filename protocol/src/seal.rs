//! Sealed segments: encryption at rest that opens in parallel and at random.
//!
//! A STREAM-like construction (Hoang, Reyhanitabar, Rogaway, Vizár, *Online Authenticated-Encryption and its Nonce-Reuse
//! Misuse-Resistance*, 2015) over AES-256-GCM:
//!
//! ```text
//! header (64 bytes, associated data of every chunk)
//!   0  8  magic "FBXSEG01"
//!   8  1  algorithm (1 = AES-256-GCM)
//!   9  1  log2 of the chunk's plaintext bytes (16)
//!  10  6  zero
//!  16  8  plaintext bytes, little-endian
//!  24 32  random file salt
//!  56  8  zero
//! chunk i, at 64 + i·(65536 + 16): ciphertext, then its 16-byte tag
//! ```
//!
//! The key of a file is HKDF-SHA256 (RFC 5869) of the data key, the file's salt and the caller's context, so a file moved to
//! another place does not open. The nonce is the chunk's number and a last-chunk flag; with the length in the associated data,
//! truncation, extension, exchange and any flipped bit are refused. An empty plaintext has one empty chunk.
//!
//! Limits: [`SealKey`] is wiped when dropped, ring's expanded copy of a file key is not.

mod file;

use std::io::Write;
use std::ops::Range;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

pub use file::open_file;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Plaintext bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 1 << CHUNK_LOG2;
/// Bytes of a chunk's tag.
pub const TAG_BYTES: usize = 16;
const CHUNK_LOG2: u8 = 16;
const STRIDE_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const MAGIC: &[u8; 8] = b"FBXSEG01";
const SALT_BYTES: usize = 32;
const KEY_BYTES: usize = 32;

/// Why something could not be sealed or opened. The texts name no key, place or content.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The bytes do not begin with a header of ours.
    #[error("not a sealed segment")]
    NotSealed,
    /// The header names an algorithm that this build does not hold.
    #[error("sealed with algorithm {0}, which this build does not know; open it with a build that does")]
    UnknownAlgorithm(u8),
    /// The header is of ours but its fields do not hold.
    #[error("the header of the sealed segment is malformed")]
    Header,
    /// The sealed bytes, or the room for the plaintext, are not as long as the header says.
    #[error("the sealed segment is not as long as its header says")]
    Length,
    /// Authentication failed: changed bytes, another key or another context.
    #[error("the sealed segment was altered, or key or context are not those it was sealed with")]
    Altered,
    /// Not as many plaintext bytes were written as announced.
    #[error("the plaintext is not as long as announced")]
    PlaintextLength,
    /// The system gave no randomness.
    #[error("the system's random source failed")]
    Random,
    /// A worker thread could not be started or ended by a fault.
    #[error("a decrypting thread failed")]
    Thread,
    /// The writer below failed.
    #[error("writing the sealed segment failed")]
    Io(#[from] std::io::Error),
}

/// How a segment is encrypted. One byte of the header, so that national algorithms can stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// AES-256-GCM with HKDF-SHA256.
    Aes256Gcm = 1,
}

impl Algorithm {
    fn parse(byte: u8) -> Result<Self, SealError> {
        match byte {
            1 => Ok(Self::Aes256Gcm),
            other => Err(SealError::UnknownAlgorithm(other)),
        }
    }
}

/// A 32-byte secret. Wiped when dropped; no `Debug`, no `Clone`, no serialisation.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SealKey([u8; KEY_BYTES]);

impl SealKey {
    /// A fresh random key.
    pub fn random() -> Result<Self, SealError> {
        let mut key = Self([0; KEY_BYTES]);
        SystemRandom::new().fill(&mut key.0).map_err(|_| SealError::Random)?;
        Ok(key)
    }

    /// The key made of these bytes. The caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(*bytes)
    }

    /// The key in a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; KEY_BYTES]>::try_from(bytes).ok().map(Self)
    }

    /// The bytes, for wrapping or for handing to the engine.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// An independent key for `label`, by HKDF-SHA256: one data key gives one key per column.
    #[must_use]
    pub fn derive(&self, label: &str) -> SealKey {
        let mut key = Self([0; KEY_BYTES]);
        hkdf(&self.0, b"fusebox derive v1", &[b"label\0", label.as_bytes()], &mut key.0);
        key
    }
}

/// HKDF-SHA256 into 32 bytes. It fails only for outputs over 8,160 bytes, which this is not; were that ever wrong, the output
/// stays zero, so it is checked here and the process stops rather than run with a known key.
fn hkdf(secret: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8; KEY_BYTES]) {
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    let done = prk.expand(info, HKDF_SHA256).and_then(|okm| okm.fill(out));
    if done.is_err() {
        std::process::abort();
    }
}

/// The context of a column segment: who seals builds it from names, who opens is told it.
///
/// The dataset's length stands before it, so that no two triples give the same text.
pub fn segment_context(dataset: &str, version: u32, column: &str) -> String {
    format!("segment/{}:{dataset}/{version}/{column}", dataset.len())
}

fn chunk_count(plaintext_bytes: u64) -> u64 {
    plaintext_bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

/// Sealed length of `plaintext_bytes` bytes; `None` past 2⁶⁴.
pub fn sealed_bytes(plaintext_bytes: u64) -> Option<u64> {
    chunk_count(plaintext_bytes).checked_mul(TAG_BYTES as u64)?.checked_add(plaintext_bytes)?.checked_add(HEADER_BYTES as u64)
}

/// The key of one file, with what authenticates each of its chunks.
struct FileKey {
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    plaintext_bytes: u64,
    chunks: u64,
}

impl FileKey {
    fn create(key: &SealKey, context: &[u8], plaintext_bytes: u64) -> Result<Self, SealError> {
        let mut salt = [0u8; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| SealError::Random)?;
        let mut header = [0u8; HEADER_BYTES];
        let fields: [&[u8]; 5] = [MAGIC, &[Algorithm::Aes256Gcm as u8, CHUNK_LOG2], &[0; 6], &plaintext_bytes.to_le_bytes(), &salt];
        for (to, from) in header.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        Self::parse(key, context, &header)
    }

    fn parse(key: &SealKey, context: &[u8], bytes: &[u8]) -> Result<Self, SealError> {
        let header: [u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES).and_then(|h| h.try_into().ok()).ok_or(SealError::NotSealed)?;
        let rest = header.strip_prefix(MAGIC.as_slice()).ok_or(SealError::NotSealed)?;
        let [algorithm, chunk_log2, rest @ ..] = rest else { return Err(SealError::Header) };
        let Algorithm::Aes256Gcm = Algorithm::parse(*algorithm)?;
        let (Some((zero, rest)), true) = (rest.split_at_checked(6), *chunk_log2 == CHUNK_LOG2) else {
            return Err(SealError::Header);
        };
        let (Some((length, rest)), true) = (rest.split_first_chunk::<8>(), zero.iter().all(|b| *b == 0)) else {
            return Err(SealError::Header);
        };
        let Some((salt, tail)) = rest.split_first_chunk::<SALT_BYTES>() else { return Err(SealError::Header) };
        let plaintext_bytes = u64::from_le_bytes(*length);
        if tail.iter().any(|b| *b != 0) || sealed_bytes(plaintext_bytes).is_none() {
            return Err(SealError::Header);
        }
        let mut file_key = Zeroizing::new([0u8; KEY_BYTES]);
        hkdf(&key.0, salt, &[b"fusebox seal v1\0", context], &mut file_key);
        let unbound = UnboundKey::new(&AES_256_GCM, file_key.as_slice()).map_err(|_| SealError::Header)?;
        Ok(Self { key: LessSafeKey::new(unbound), header, plaintext_bytes, chunks: chunk_count(plaintext_bytes) })
    }

    fn nonce(&self, chunk: u64) -> Nonce {
        let mut nonce = [0u8; 12];
        let last = u8::from(chunk + 1 == self.chunks);
        for (to, from) in nonce.iter_mut().zip(chunk.to_le_bytes().iter().chain(&[0, 0, 0, last])) {
            *to = *from;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Plaintext bytes of `chunk`; `None` where there is no such chunk.
    fn chunk_bytes(&self, chunk: u64) -> Option<usize> {
        let start = chunk.checked_mul(CHUNK_BYTES as u64)?;
        let bytes = self.plaintext_bytes.saturating_sub(start).min(CHUNK_BYTES as u64);
        (chunk < self.chunks).then_some(usize::try_from(bytes).ok()?)
    }

    fn seal_chunk(&self, chunk: u64, plaintext: &mut [u8]) -> Result<Tag, SealError> {
        self.key.seal_in_place_separate_tag(self.nonce(chunk), Aad::from(&self.header), plaintext).map_err(|_| SealError::Altered)
    }

    fn open_chunk(&self, chunk: u64, ciphertext: &mut [u8], tag: [u8; TAG_BYTES]) -> Result<(), SealError> {
        self.key
            .open_in_place_separate_tag(self.nonce(chunk), Aad::from(&self.header), Tag::from(tag), ciphertext, 0..)
            .map(|_| ())
            .map_err(|_| SealError::Altered)
    }
}

/// Opens a sealed file chunk by chunk, in any order, from any number of threads.
pub struct Opener(FileKey);

impl Opener {
    /// Reads the header (the file's first [`HEADER_BYTES`] bytes; more may follow). That it is genuine is known once a chunk
    /// opened.
    pub fn new(key: &SealKey, context: &[u8], header: &[u8]) -> Result<Self, SealError> {
        FileKey::parse(key, context, header).map(Self)
    }

    /// Bytes of the whole plaintext.
    pub fn plaintext_bytes(&self) -> u64 {
        self.0.plaintext_bytes
    }

    /// Number of chunks, at least one.
    pub fn chunks(&self) -> u64 {
        self.0.chunks
    }

    /// Where chunk `i` lies in the file, tag included.
    pub fn chunk_span(&self, i: u64) -> Option<Range<u64>> {
        let bytes = self.0.chunk_bytes(i)? as u64 + TAG_BYTES as u64;
        let start = i.checked_mul(STRIDE_BYTES as u64)?.checked_add(HEADER_BYTES as u64)?;
        Some(start..start.checked_add(bytes)?)
    }

    /// Opens chunk `i` in place: `buf` holds ciphertext and tag, what is returned is its plaintext part.
    pub fn open_chunk<'b>(&self, i: u64, buf: &'b mut [u8]) -> Result<&'b mut [u8], SealError> {
        let (body, tag) = buf.split_last_chunk_mut::<TAG_BYTES>().ok_or(SealError::Length)?;
        if self.0.chunk_bytes(i) != Some(body.len()) {
            return Err(SealError::Length);
        }
        self.0.open_chunk(i, body, *tag)?;
        Ok(body)
    }

    /// Opens the chunks `first..` of `sealed` (whole chunks, no header) into `out`.
    fn open_run(&self, first: u64, sealed: &[u8], out: &mut [u8]) -> Result<(), SealError> {
        let mut outs = out.chunks_mut(CHUNK_BYTES);
        for (i, chunk) in (first..).zip(sealed.chunks(STRIDE_BYTES)) {
            let (body, tag) = chunk.split_last_chunk::<TAG_BYTES>().ok_or(SealError::Length)?;
            // Only the single chunk of an empty plaintext finds no room waiting for it.
            let to = outs.next().unwrap_or_default();
            if to.len() != body.len() {
                return Err(SealError::Length);
            }
            to.copy_from_slice(body);
            self.0.open_chunk(i, to, *tag)?;
        }
        outs.next().map_or(Ok(()), |_| Err(SealError::Length))
    }
}

/// Opens a whole sealed file into `out`, whose length must be that of the plaintext. `threads` beyond the first are started
/// for the call; with 1 none is. On an error `out` is wiped.
pub fn open_into(key: &SealKey, context: &[u8], sealed: &[u8], out: &mut [u8], threads: usize) -> Result<(), SealError> {
    let opened = open_parallel(&Opener::new(key, context, sealed)?, sealed, out, threads);
    if opened.is_err() {
        out.zeroize();
    }
    opened
}

fn open_parallel(opener: &Opener, sealed: &[u8], out: &mut [u8], threads: usize) -> Result<(), SealError> {
    if sealed_bytes(opener.plaintext_bytes()) != Some(sealed.len() as u64) || opener.plaintext_bytes() != out.len() as u64 {
        return Err(SealError::Length);
    }
    let body = sealed.get(HEADER_BYTES..).ok_or(SealError::Length)?;
    let chunks = usize::try_from(opener.chunks()).map_err(|_| SealError::Length)?;
    let share = chunks.div_ceil(threads.clamp(1, 64));
    if share >= chunks {
        return opener.open_run(0, body, out);
    }
    std::thread::scope(|scope| {
        let shares = body.chunks(share * STRIDE_BYTES).zip(out.chunks_mut(share * CHUNK_BYTES));
        let mut runs = (0u64..).step_by(share).zip(shares);
        let mine = runs.next();
        let mut others = Vec::with_capacity(threads);
        for (first, (from, to)) in runs {
            let run = std::thread::Builder::new().spawn_scoped(scope, move || opener.open_run(first, from, to));
            others.push(run.map_err(|_| SealError::Thread)?);
        }
        let own = mine.map_or(Ok(()), |(first, (from, to))| opener.open_run(first, from, to));
        others.into_iter().map(|run| run.join().unwrap_or(Err(SealError::Thread))).fold(own, Result::and)
    })
}

/// Opens a whole sealed file into a buffer that is wiped when dropped.
pub fn open_all(key: &SealKey, context: &[u8], sealed: &[u8], threads: usize) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let opener = Opener::new(key, context, sealed)?;
    // Checked before anything is allocated: the length is not authenticated yet.
    if sealed_bytes(opener.plaintext_bytes()) != Some(sealed.len() as u64) {
        return Err(SealError::Length);
    }
    let bytes = usize::try_from(opener.plaintext_bytes()).map_err(|_| SealError::Length)?;
    let mut out = Zeroizing::new(vec![0u8; bytes]);
    open_parallel(&opener, sealed, &mut out, threads)?;
    Ok(out)
}

/// Seals a whole plaintext.
pub fn seal(key: &SealKey, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    let bytes = sealed_bytes(plaintext.len() as u64).and_then(|n| usize::try_from(n).ok()).ok_or(SealError::PlaintextLength)?;
    let mut sealer = Sealer::new(key, context, plaintext.len() as u64, Vec::with_capacity(bytes))?;
    sealer.push(plaintext)?;
    sealer.finish()
}

/// Seals a plaintext of announced length, piece by piece, into a writer.
pub struct Sealer<W: Write> {
    file: FileKey,
    buf: Zeroizing<Vec<u8>>,
    taken: u64,
    chunk: u64,
    out: W,
}

impl<W: Write> Sealer<W> {
    /// Writes the header for `plaintext_bytes` bytes to come.
    pub fn new(key: &SealKey, context: &[u8], plaintext_bytes: u64, mut out: W) -> Result<Self, SealError> {
        let file = FileKey::create(key, context, plaintext_bytes)?;
        out.write_all(&file.header)?;
        // No larger than what comes: all of it is wiped at the end, byte by byte.
        let room = usize::try_from(plaintext_bytes).map_or(CHUNK_BYTES, |bytes| bytes.min(CHUNK_BYTES));
        Ok(Self { file, buf: Zeroizing::new(Vec::with_capacity(room)), taken: 0, chunk: 0, out })
    }

    /// Takes the next bytes of the plaintext.
    pub fn push(&mut self, mut plaintext: &[u8]) -> Result<(), SealError> {
        self.taken = self.taken.saturating_add(plaintext.len() as u64);
        if self.taken > self.file.plaintext_bytes {
            return Err(SealError::PlaintextLength);
        }
        while !plaintext.is_empty() {
            let room = CHUNK_BYTES.saturating_sub(self.buf.len()).min(plaintext.len());
            let (now, later) = plaintext.split_at_checked(room).ok_or(SealError::PlaintextLength)?;
            self.buf.extend_from_slice(now);
            plaintext = later;
            if self.buf.len() == CHUNK_BYTES {
                self.flush_chunk()?;
            }
        }
        Ok(())
    }

    /// Writes the last chunk and gives the writer back. Durability (fsync) is the caller's.
    pub fn finish(mut self) -> Result<W, SealError> {
        if self.taken != self.file.plaintext_bytes {
            return Err(SealError::PlaintextLength);
        }
        if self.chunk < self.file.chunks {
            self.flush_chunk()?;
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn flush_chunk(&mut self) -> Result<(), SealError> {
        let tag = self.file.seal_chunk(self.chunk, &mut self.buf)?;
        self.out.write_all(&self.buf)?;
        self.out.write_all(tag.as_ref())?;
        self.buf.clear();
        self.chunk += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
