//! The bytes of an upload, each layer bounded before the next sees it.

use std::cell::Cell;
use std::io::{Error, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use encoding_rs::{Decoder, DecoderResult, GB18030};
use protocol::limits::{LimitExceeded, Limits};
use protocol::memfd::SealedFd;
use protocol::message::IngestFailure;

use crate::map::Mapped;

/// Bytes of one step of decoding.
const STEP_BYTES: usize = 1 << 16;

/// The upload as it was sent.
pub(super) struct Upload {
    fd: OwnedFd,
    at: u64,
    bytes: u64,
}

impl Upload {
    /// Takes the descriptor and checks its length.
    pub(super) fn open(fd: OwnedFd, limits: &Limits) -> Result<Self, IngestFailure> {
        let stat = rustix::fs::fstat(&fd).map_err(|_| IngestFailure::Internal)?;
        let bytes = u64::try_from(stat.st_size).map_err(|_| IngestFailure::Internal)?;
        LimitExceeded::check("upload_bytes_max", limits.upload_bytes_max, 0, bytes)?;
        Ok(Self { fd, at: 0, bytes })
    }

    /// All bytes, mapped: what a sealed memory holds is no memory of this process.
    pub(super) fn map(self) -> Result<Mapped, IngestFailure> {
        let sealed = SealedFd::verify(self.fd, self.bytes).map_err(|_| IngestFailure::Internal)?;
        if sealed.is_empty() {
            return Err(IngestFailure::Format);
        }
        Mapped::new(&sealed).map_err(|_| IngestFailure::Internal)
    }
}

impl Read for Upload {
    /// Positional, so that a shared offset does not matter; what is appended after [`Upload::open`] is not read.
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        let Some(buf) = buf.get_mut(..wanted).filter(|b| !b.is_empty()) else { return Ok(0) };
        loop {
            match rustix::io::pread(&self.fd, &mut *buf, self.at) {
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Err(failed(IngestFailure::Internal)),
                Ok(n) => {
                    self.at += n as u64;
                    return Ok(n);
                }
            }
        }
    }
}

/// A failure that travels through `Read`.
fn failed(failure: IngestFailure) -> Error {
    Error::other(failure)
}

/// The failure in an error of a reader; what did not come from here was a decoder's word about the format.
pub(super) fn failure_of(error: &Error) -> IngestFailure {
    error.get_ref().and_then(|e| e.downcast_ref::<IngestFailure>()).cloned().unwrap_or(IngestFailure::Format)
}

/// At most so many bytes in all.
pub(super) struct Bounded<R> {
    inner: R,
    name: &'static str,
    taken: u64,
    limit: u64,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R, name: &'static str, limit: u64) -> Self {
        Self { inner, name, taken: 0, limit }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        LimitExceeded::check(self.name, self.limit, self.taken, n as u64).map_err(|l| failed(l.into()))?;
        self.taken += n as u64;
        Ok(n)
    }
}

/// At most so many bytes until someone says that a record ended: an unclosed quote cannot fill the memory.
pub(super) struct PerRecord<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> PerRecord<R> {
    pub(super) fn new(inner: R, left: Rc<Cell<u64>>) -> Self {
        Self { inner, left }
    }
}

impl<R: Read> Read for PerRecord<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        let left = self.left.get().checked_sub(n as u64).ok_or_else(|| failed(IngestFailure::Format))?;
        self.left.set(left);
        Ok(n)
    }
}

/// GB18030 to UTF-8. Bytes that are none are [`IngestFailure::Encoding`], never replaced.
pub(super) struct Gb18030<R> {
    inner: R,
    decoder: Decoder,
    input: Vec<u8>,
    start: usize,
    ended: bool,
    /// The decoder said its last word: it must not be asked again.
    finished: bool,
}

impl<R: Read> Gb18030<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, decoder: GB18030.new_decoder_without_bom_handling(), input: Vec::new(), start: 0, ended: false, finished: false }
    }
}

impl<R: Read> Read for Gb18030<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while !self.finished {
            if self.start >= self.input.len() && !self.ended {
                self.input.resize(STEP_BYTES, 0);
                let n = self.inner.read(&mut self.input)?;
                self.input.truncate(n);
                self.start = 0;
                self.ended = n == 0;
            }
            let from = self.input.get(self.start..).unwrap_or(&[]);
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(from, buf, self.ended);
            self.start += read;
            self.finished = self.ended && result == DecoderResult::InputEmpty;
            match result {
                DecoderResult::Malformed(..) => return Err(failed(IngestFailure::Encoding)),
                _ if written > 0 => return Ok(written),
                // A caller whose buffer holds no character.
                DecoderResult::OutputFull => return Err(failed(IngestFailure::Internal)),
                DecoderResult::InputEmpty => {}
            }
        }
        Ok(0)
    }
}
