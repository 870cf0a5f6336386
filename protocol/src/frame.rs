//! Length-prefixed frames and descriptors over a Unix stream socket.
//!
//! ```text
//! header: payload length u32 LE · descriptors u16 LE · zero u16      payload: postcard of one message
//! ```
//! Descriptors ride on the header (SCM_RIGHTS). The reader bounds length, descriptors and the number of frames before it
//! allocates, closes what it did not ask for, and treats every byte as hostile. Wire format: <https://postcard.jamesmunns.com>.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
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
    /// The payload is no message of this conversation.
    #[error("a frame is not of the documented form")]
    Malformed,
    /// The kernel's refusal.
    #[error("socket: {0}")]
    Io(std::io::Error),
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

/// One end of a conversation.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
    received: std::collections::VecDeque<OwnedFd>,
    frames: u64,
    frames_max: u64,
    deadline: Option<Instant>,
}

impl Channel {
    /// A conversation over `socket`, bounded by the standard limits.
    pub fn new(socket: UnixStream) -> Self {
        Self { socket, received: std::collections::VecDeque::new(), frames: 0, frames_max: Limits::STANDARD.frames_max, deadline: None }
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

    fn arm(&self) -> Result<(), FrameError> {
        let left = match self.deadline {
            None => None,
            // A zero timeout means "for ever" to the kernel: the deadline has passed instead.
            Some(at) => {
                Some(at.checked_duration_since(Instant::now()).filter(|d| *d > Duration::from_micros(1)).ok_or(FrameError::Timeout)?)
            }
        };
        self.socket.set_read_timeout(left).map_err(FrameError::Io)?;
        self.socket.set_write_timeout(left).map_err(FrameError::Io)
    }

    /// Sends one message with its descriptors (which stay the caller's).
    ///
    /// # Errors
    /// [`FrameError::TooLarge`], [`FrameError::Descriptors`] before anything is sent; else what the socket says.
    pub fn send(&mut self, message: &impl Serialize, descriptors: &[BorrowedFd<'_>]) -> Result<(), FrameError> {
        let payload = zeroize::Zeroizing::new(postcard::to_stdvec(message).map_err(|_| FrameError::Malformed)?);
        let limit = Limits::STANDARD.frame_bytes_max;
        let len = u32::try_from(payload.len()).ok().filter(|l| *l <= limit).ok_or(FrameError::TooLarge(payload.len() as u64))?;
        let count = u16::try_from(descriptors.len())
            .ok()
            .filter(|c| *c <= Limits::STANDARD.frame_descriptors_max)
            .ok_or(FrameError::Descriptors)?;
        self.arm()?;
        let mut header = [0u8; 8];
        for (to, from) in header.iter_mut().zip(len.to_le_bytes().into_iter().chain(count.to_le_bytes())) {
            *to = from;
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(FrameError::Descriptors);
        }
        let sent = retry(|| sendmsg(&self.socket, &[IoSlice::new(&header)], &mut ancillary, SendFlags::NOSIGNAL))?;
        self.send_all(header.get(sent..).unwrap_or(&[]))?;
        self.send_all(&payload)
    }

    fn send_all(&self, mut bytes: &[u8]) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            let n = retry(|| rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL))?;
            bytes = bytes.get(n..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Receives one message and exactly the descriptors that its header announces.
    ///
    /// # Errors
    /// Anything that is not a well-formed frame within the bounds.
    pub fn receive<T: DeserializeOwned>(&mut self) -> Result<(T, Vec<OwnedFd>), FrameError> {
        self.frames += 1;
        if self.frames > self.frames_max {
            return Err(FrameError::TooMany);
        }
        let mut header = [0u8; 8];
        self.receive_exact(&mut header, true)?;
        let [a, b, c, d, e, f, zero1, zero2] = header;
        let (len, count) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]));
        if len > Limits::STANDARD.frame_bytes_max {
            return Err(FrameError::TooLarge(u64::from(len)));
        }
        if count > Limits::STANDARD.frame_descriptors_max || zero1 != 0 || zero2 != 0 {
            return Err(FrameError::Descriptors);
        }
        // Some messages carry keys: what was received is wiped once it is read.
        let mut payload = zeroize::Zeroizing::new(vec![0u8; len as usize]);
        self.receive_exact(&mut payload, false)?;
        if self.received.len() != usize::from(count) {
            return Err(FrameError::Descriptors);
        }
        let (message, rest) = postcard::take_from_bytes(&payload).map_err(|_| FrameError::Malformed)?;
        if !rest.is_empty() {
            return Err(FrameError::Malformed);
        }
        Ok((message, self.received.drain(..).collect()))
    }

    fn receive_exact(&mut self, mut buf: &mut [u8], first: bool) -> Result<(), FrameError> {
        let mut nothing_yet = first;
        while !buf.is_empty() {
            self.arm()?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let got = retry(|| recvmsg(&self.socket, &mut [IoSliceMut::new(buf)], &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.received.extend(fds);
                }
            }
            if got.flags.contains(rustix::net::ReturnFlags::CTRUNC)
                || self.received.len() > usize::from(Limits::STANDARD.frame_descriptors_max)
            {
                return Err(FrameError::Descriptors);
            }
            if got.bytes == 0 {
                return Err(if nothing_yet { FrameError::Closed } else { FrameError::Truncated });
            }
            nothing_yet = false;
            buf = buf.get_mut(got.bytes..).unwrap_or(&mut []);
        }
        Ok(())
    }
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
mod tests {
    use super::*;
    use std::io::Write;

    fn pair() -> (Channel, Channel) {
        let (a, b) = Channel::pair().unwrap();
        let mut b = Channel::new(b);
        b.set_deadline(Some(Instant::now() + Duration::from_millis(500)));
        (a, b)
    }

    #[test]
    fn messages_and_descriptors_arrive_together() {
        let (mut a, mut b) = pair();
        let fd = crate::memfd::sealed("t", b"hello").unwrap();
        a.send(&"one", &[fd.as_fd(), fd.as_fd()]).unwrap();
        a.send(&"two", &[]).unwrap();
        let (m, fds) = b.receive::<String>().unwrap();
        assert_eq!((m.as_str(), fds.len()), ("one", 2));
        let (m, fds) = b.receive::<String>().unwrap();
        assert_eq!((m.as_str(), fds.len()), ("two", 0));
        assert!(matches!(b.receive::<String>(), Err(FrameError::Timeout)));
        drop(a);
        b.set_deadline(None);
        assert!(matches!(b.receive::<String>(), Err(FrameError::Closed)));
    }

    #[test]
    fn hostile_bytes_are_typed_errors() {
        let raw = |bytes: &[u8]| {
            let (a, b) = UnixStream::pair().unwrap();
            let mut b = Channel::new(b);
            (&a).write_all(bytes).unwrap();
            drop(a);
            b.receive::<String>().unwrap_err()
        };
        assert!(matches!(raw(&[255; 8]), FrameError::TooLarge(_)));
        assert!(matches!(raw(&[1, 0, 0, 0, 0, 0, 1, 0]), FrameError::Descriptors));
        assert!(matches!(raw(&[0, 0, 0, 0, 1, 0, 0, 0]), FrameError::Descriptors));
        assert!(matches!(raw(&[9, 0, 0, 0, 0, 0, 0, 0, 1]), FrameError::Truncated));
        assert!(matches!(raw(&[2, 0, 0, 0, 0, 0, 0, 0, 200, 1]), FrameError::Malformed));
        assert!(matches!(raw(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 1]), FrameError::Malformed));
        assert!(matches!(raw(&[1, 0]), FrameError::Truncated));
    }

    #[test]
    fn more_descriptors_than_announced_are_refused_and_closed() {
        let (a, b) = UnixStream::pair().unwrap();
        let fd = crate::memfd::sealed("t", b"x").unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut anc = SendAncillaryBuffer::new(&mut space);
        let fds = [fd.as_fd(); 3];
        assert!(anc.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(&a, &[IoSlice::new(&[1, 0, 0, 0, 0, 0, 0, 0, 0])], &mut anc, SendFlags::empty()).unwrap();
        assert!(matches!(Channel::new(b).receive::<String>(), Err(FrameError::Descriptors)));
    }
}
