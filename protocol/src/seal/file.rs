//! A sealed file opened from its descriptor: each thread reads its chunks into a buffer that stays in its core's cache and opens
//! them there, so the sealed bytes never stand whole in memory.

use std::os::fd::{AsFd, BorrowedFd};

use zeroize::{Zeroize, Zeroizing};

use super::{CHUNK_BYTES, HEADER_BYTES, Opener, STRIDE_BYTES, SealError, SealKey, sealed_bytes};
use crate::column::AlignedBytes;
use crate::memfd::read_exact_at;

/// Opens the whole sealed file `fd`, whose plaintext is at most `bytes_max` long. `threads` beyond the first are started for the
/// call.
///
/// # Errors
/// [`SealError`]; what was opened by then is wiped.
pub fn open_file(key: &SealKey, context: &[u8], fd: impl AsFd, bytes_max: u64, threads: usize) -> Result<AlignedBytes, SealError> {
    let fd = fd.as_fd();
    let file_bytes = rustix::fs::fstat(fd).map_err(std::io::Error::from)?.st_size;
    let mut header = [0u8; HEADER_BYTES];
    if file_bytes < HEADER_BYTES as i64 {
        return Err(SealError::NotSealed);
    }
    read_exact_at(fd, &mut header, 0)?;
    let opener = Opener::new(key, context, &header)?;
    // The length is not authenticated yet: it must fit the file before memory is reserved for it.
    let bytes = opener.plaintext_bytes();
    if bytes > bytes_max || sealed_bytes(bytes).and_then(|n| i64::try_from(n).ok()) != Some(file_bytes) {
        return Err(SealError::Length);
    }
    let mut out = AlignedBytes::zeroed(usize::try_from(bytes).map_err(|_| SealError::Length)?);
    let opened = open_shares(&opener, fd, out.as_mut_slice(), threads);
    if opened.is_err() {
        out.as_mut_slice().zeroize();
    }
    opened.map(|()| out)
}

fn open_shares(opener: &Opener, fd: BorrowedFd<'_>, out: &mut [u8], threads: usize) -> Result<(), SealError> {
    if out.is_empty() {
        // The one chunk of an empty plaintext has no place in `out`, and is authenticated all the same.
        return open_run(opener, fd, 0, std::iter::once(&mut [][..]));
    }
    let chunks = usize::try_from(opener.chunks()).map_err(|_| SealError::Length)?;
    let share = chunks.div_ceil(threads.clamp(1, 64));
    std::thread::scope(|scope| {
        let mut shares = (0u64..).step_by(share).zip(out.chunks_mut(share * CHUNK_BYTES));
        let mine = shares.next();
        let mut others = Vec::with_capacity(threads.min(64));
        for (first, out) in shares {
            let run = std::thread::Builder::new().spawn_scoped(scope, move || open_run(opener, fd, first, out.chunks_mut(CHUNK_BYTES)));
            others.push(run.map_err(|_| SealError::Thread)?);
        }
        let own = mine.map_or(Ok(()), |(first, out)| open_run(opener, fd, first, out.chunks_mut(CHUNK_BYTES)));
        others.into_iter().map(|run| run.join().unwrap_or(Err(SealError::Thread))).fold(own, Result::and)
    })
}

/// Opens the chunks from `first` on, one for each of `outs`.
fn open_run<'a>(opener: &Opener, fd: BorrowedFd<'_>, first: u64, outs: impl Iterator<Item = &'a mut [u8]>) -> Result<(), SealError> {
    let mut buffer = Zeroizing::new(vec![0u8; STRIDE_BYTES]);
    for (i, out) in (first..).zip(outs) {
        let span = opener.chunk_span(i).ok_or(SealError::Length)?;
        let bytes = usize::try_from(span.end - span.start).map_err(|_| SealError::Length)?;
        let sealed = buffer.get_mut(..bytes).ok_or(SealError::Length)?;
        read_exact_at(fd, sealed, span.start)?;
        let plain = opener.open_chunk(i, sealed)?;
        if plain.len() != out.len() {
            return Err(SealError::Length);
        }
        out.copy_from_slice(plain);
    }
    Ok(())
}
