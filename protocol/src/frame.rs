//! Length-prefixed frames and descriptors over a Unix stream socket.
//!
//! ```text
//! header: payload length u32 LE · descriptors u16 LE · zero u16      payload: postcard of one message
//! ```
//! Descriptors ride on the header (SCM_RIGHTS). The reader bounds length, descriptors, number, rate and the bytes of all frames
//! before it allocates, closes what it did not ask for, and treats every byte as hostile. A peer can neither keep it at work nor make it
//! wait beyond the deadline, in whatever pieces it sends or takes. Wire format: <https://postcard.jamesmunns.com>.
//!
//! A plain channel ([`Channel::plain`]) has the same frames without descriptors.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::Limits;

/// What went wrong on the socket. Fatal for the conversation: there is no way back into step.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer closed between frames.
    #[error("the peer closed the conversation")]
    Closed,
    /// The peer closed inside a frame.
    #[error("the peer closed inside a frame")]
    Truncated,
    /// Nothing came in time.
    #[error("the peer did not answer in time")]
    Timeout,
    /// Longer than allowed.
    #[error("a frame of {0} bytes is larger than allowed")]
    TooLarge(u64),
    /// More descriptors than announced, fewer, or more than allowed.
    #[error("the descriptors are not as announced")]
    Descriptors,
    /// More frames than one job may send.
    #[error("too many frames")]
    TooMany,
    /// More bytes than one conversation may have, all frames together.
    #[error("too many bytes in all frames")]
    TooManyBytes,
    /// Frames, or pieces of frames, faster than a worker with something to tell would send them.
    #[error("frames come too fast")]
    TooFast,
    /// The payload is no message of this conversation.
    #[error("a frame is not of the documented form")]
    Malformed,
    /// The kernel's refusal.
    #[error("socket: {0}")]
    Io(std::io::Error),
}

impl FrameError {
    /// The kind in fixed words: nothing of what was received, nothing of the system.
    pub fn closed(&self) -> &'static str {
        match self {
            Self::Closed => "the worker closed the conversation",
            Self::Truncated => "the worker closed inside a frame",
            Self::Timeout => "the worker did not answer in time",
            Self::TooLarge(_) => "a frame was larger than allowed",
            Self::Descriptors => "the descriptors were not as announced",
            Self::TooMany => "too many frames",
            Self::TooManyBytes => "too many bytes in all frames",
            Self::TooFast => "frames came too fast",
            Self::Malformed => "a frame was not of the documented form",
            Self::Io(_) => "the socket failed",
        }
    }
}

impl From<Errno> for FrameError {
    fn from(e: Errno) -> Self {
        match e {
            Errno::AGAIN => Self::Timeout,
            Errno::PIPE | Errno::CONNRESET => Self::Closed,
            other => Self::Io(other.into()),
        }
    }
}

/// What a peer may still send: a bucket of reads that refills with time, and totals that do not.
#[derive(Debug)]
struct Allowance {
    frames: u64,
    bytes: u64,
    reads: u32,
    filled: Instant,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        let l = &Limits::STANDARD;
        Self { frames: l.frames_max, bytes: l.frames_bytes_max, reads: l.frame_reads_burst_max, filled: now }
    }

    fn frame(&mut self) -> Result<(), FrameError> {
        self.frames = self.frames.checked_sub(1).ok_or(FrameError::TooMany)?;
        Ok(())
    }

    fn bytes(&mut self, len: u64) -> Result<(), FrameError> {
        self.bytes = self.bytes.checked_sub(len).ok_or(FrameError::TooManyBytes)?;
        Ok(())
    }

    fn read(&mut self, now: Instant) -> Result<(), FrameError> {
        let l = &Limits::STANDARD;
        let per_second = u128::from(l.frame_reads_per_second_max);
        let earned = now.saturating_duration_since(self.filled).as_micros() * per_second / 1_000_000;
        // Counted from the last whole read earned: what is short of one is not lost.
        if let Some(earned) = u32::try_from(earned).ok().filter(|n| *n > 0) {
            self.reads = self.reads.saturating_add(earned).min(l.frame_reads_burst_max);
            self.filled += Duration::from_micros(u64::from(earned) * 1_000_000 / u64::from(l.frame_reads_per_second_max));
        }
        self.reads = self.reads.checked_sub(1).ok_or(FrameError::TooFast)?;
        Ok(())
    }
}

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    received: std::collections::VecDeque<OwnedFd>,
    /// None: question and answer, bounded by what is asked.
    allowance: Option<Allowance>,
    deadline: Option<Instant>,
}

impl Channel {
    /// A conversation over `socket`, bounded by the standard limits.
    pub fn new(socket: UnixStream) -> Self {
        Self { socket, received: std::collections::VecDeque::new(), allowance: Some(Allowance::full(Instant::now())), deadline: None }
    }

    /// Questions and answers without descriptors, over recvfrom(2) and sendto(2) alone: no descriptor can come out of it, whatever the
    /// peer sends. A frame has its limit; how many there are is bounded by who asks. Frames carry rows and no keys, so they are not
    /// wiped.
    pub fn plain(socket: UnixStream) -> Self {
        Self { socket, received: std::collections::VecDeque::new(), allowance: None, deadline: None }
    }

    /// A connected pair.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn pair() -> std::io::Result<(Self, UnixStream)> {
        let (a, b) = UnixStream::pair()?;
        Ok((Self::new(a), b))
    }

    /// From now on sending and receiving fail with [`FrameError::Timeout`] after `at`. `None`: wait for ever (workers wait for
    /// work that way; the server never does).
    pub fn set_deadline(&mut self, at: Option<Instant>) {
        self.deadline = at;
    }

    /// Waits until the socket is ready for `events`, no longer than to the deadline. The socket's own timeouts would begin anew with
    /// every piece that a peer takes or sends.
    fn ready(&self, at: Instant, events: PollFlags) -> Result<(), FrameError> {
        loop {
            let left = at.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()).ok_or(FrameError::Timeout)?;
            let left = Timespec::try_from(left).map_err(|_| FrameError::Timeout)?;
            match poll(&mut [PollFd::new(&self.socket, events)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(e) => return Err(FrameError::Io(e.into())),
            }
        }
    }

    /// Makes `call` once the socket is ready for it: at once where it is, by the deadline where there is one.
    fn within_deadline<T>(&self, events: PollFlags, mut call: impl FnMut(bool) -> rustix::io::Result<T>) -> Result<T, FrameError> {
        let Some(at) = self.deadline else { return Ok(retry(|| call(false))?) };
        loop {
            // A peer that always has something ready is held to it too.
            if Instant::now() >= at {
                return Err(FrameError::Timeout);
            }
            match retry(|| call(true)) {
                Err(Errno::AGAIN) => self.ready(at, events)?,
                other => return Ok(other?),
            }
        }
    }

    /// A block travels whole, so a plain frame may be larger.
    fn frame_bytes_max(&self) -> u32 {
        if self.allowance.is_none() { Limits::STANDARD.fold_frame_bytes_max } else { Limits::STANDARD.frame_bytes_max }
    }

    /// Sends one message with its descriptors (which stay the caller's).
    ///
    /// # Errors
    /// [`FrameError::TooLarge`], [`FrameError::Descriptors`] before anything is sent; else what the socket says.
    pub fn send(&mut self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> Result<(), FrameError> {
        if self.allowance.is_none() {
            return if descriptors.is_empty() { self.send_plain(message) } else { Err(FrameError::Descriptors) };
        }
        let payload = zeroize::Zeroizing::new(postcard::to_stdvec(message).map_err(|_| FrameError::Malformed)?);
        let limit = Limits::STANDARD.frame_bytes_max;
        let len = u32::try_from(payload.len()).ok().filter(|l| *l <= limit).ok_or(FrameError::TooLarge(payload.len() as u64))?;
        let count = u16::try_from(descriptors.len())
            .ok()
            .filter(|c| *c <= Limits::STANDARD.frame_descriptors_max)
            .ok_or(FrameError::Descriptors)?;
        let header = header(len, count);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(FrameError::Descriptors);
        }
        let sent = self.within_deadline(PollFlags::OUT, |now| {
            let flags = if now { SendFlags::NOSIGNAL | SendFlags::DONTWAIT } else { SendFlags::NOSIGNAL };
            sendmsg(&self.socket, &[IoSlice::new(&header)], &mut ancillary, flags)
        })?;
        self.send_all(header.get(sent..).unwrap_or(&[]))?;
        self.send_all(&payload)
    }

    /// Header and payload in one piece.
    fn send_plain(&self, message: &impl Serialize) -> Result<(), FrameError> {
        let mut frame = postcard::to_extend(message, vec![0u8; HEADER_BYTES]).map_err(|_| FrameError::Malformed)?;
        let payload = frame.len().saturating_sub(HEADER_BYTES);
        let limit = self.frame_bytes_max();
        let len = u32::try_from(payload).ok().filter(|l| *l <= limit).ok_or(FrameError::TooLarge(payload as u64))?;
        frame.iter_mut().zip(header(len, 0)).for_each(|(to, from)| *to = from);
        self.send_all(&frame)
    }

    fn send_all(&self, mut bytes: &[u8]) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            let n = self.within_deadline(PollFlags::OUT, |now| {
                let flags = if now { SendFlags::NOSIGNAL | SendFlags::DONTWAIT } else { SendFlags::NOSIGNAL };
                rustix::net::send(&self.socket, bytes, flags)
            })?;
            bytes = bytes.get(n..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Receives one message and exactly the descriptors that its header announces.
    ///
    /// # Errors
    /// Anything that is not a well-formed frame within the bounds.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), FrameError> {
        if let Some(allowance) = &mut self.allowance {
            allowance.frame()?;
        }
        let mut header = [0u8; HEADER_BYTES];
        self.receive_exact(&mut header, true)?;
        let [a, b, c, d, e, f, zero1, zero2] = header;
        let (len, count) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
        if len > self.frame_bytes_max() {
            return Err(FrameError::TooLarge(u64::from(len)));
        }
        if count > Limits::STANDARD.frame_descriptors_max || zero1 != 0 || zero2 != 0 {
            return Err(FrameError::Descriptors);
        }
        let mut payload = vec![0u8; len as usize];
        let Some(allowance) = &mut self.allowance else {
            self.receive_exact(&mut payload, false)?;
            return if count == 0 { Ok((parse(&payload)?, Vec::new())) } else { Err(FrameError::Descriptors) };
        };
        allowance.bytes(u64::from(len) + header.len() as u64)?;
        // Some messages carry keys: what was received is wiped once it is read.
        let mut payload = zeroize::Zeroizing::new(payload);
        self.receive_exact(&mut payload, false)?;
        if self.received.len() != usize::from(count) {
            return Err(FrameError::Descriptors);
        }
        Ok((parse(&payload)?, self.received.drain(..).collect()))
    }

    fn receive_exact(&mut self, mut buf: &mut [u8], first: bool) -> Result<(), FrameError> {
        let mut nothing_yet = first;
        while !buf.is_empty() {
            let got = self.receive_piece(buf)?;
            if got == 0 {
                return Err(if nothing_yet { FrameError::Closed } else { FrameError::Truncated });
            }
            nothing_yet = false;
            buf = buf.get_mut(got..).unwrap_or(&mut []);
        }
        Ok(())
    }

    /// What is there, of at most so many bytes.
    fn receive_piece(&mut self, buf: &mut [u8]) -> Result<usize, FrameError> {
        let Some(allowance) = &mut self.allowance else {
            return self.within_deadline(PollFlags::IN, |now| {
                let flags = if now { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
                recv(&self.socket, &mut *buf, flags).map(|(_, got)| got)
            });
        };
        allowance.read(Instant::now())?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = self.within_deadline(PollFlags::IN, |now| {
            let flags = if now { RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT } else { RecvFlags::CMSG_CLOEXEC };
            recvmsg(&self.socket, &mut [IoSliceMut::new(buf)], &mut ancillary, flags)
        })?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.received.extend(fds);
            }
        }
        if got.flags.contains(rustix::net::ReturnFlags::CTRUNC) || self.received.len() > usize::from(Limits::STANDARD.frame_descriptors_max)
        {
            return Err(FrameError::Descriptors);
        }
        Ok(got.bytes)
    }
}

/// Length of a header.
const HEADER_BYTES: usize = 8;

fn header(len: u32, descriptors: u16) -> [u8; HEADER_BYTES] {
    let ([a, b, c, d], [e, f]) = (len.to_le_bytes(), descriptors.to_le_bytes());
    [a, b, c, d, e, f, 0, 0]
}

fn parse<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(payload).map_err(|_| FrameError::Malformed)?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Malformed) }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
