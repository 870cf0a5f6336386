//! Sealed shared memory: made by one process, checked and read by another.
//!
//! A memfd is trusted for nothing: before use its seals are verified on the *received* descriptor, so that its content and
//! length can no longer change, by anyone (memfd_create(2), fcntl(2) F_ADD_SEALS).

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::column::AlignedBytes;

/// The seals a memfd must carry: no growing, no shrinking, no writing, no change of seals.
pub const SEALS: SealFlags = SealFlags::GROW.union(SealFlags::SHRINK).union(SealFlags::WRITE).union(SealFlags::SEAL);

/// A memfd being written.
#[derive(Debug)]
pub struct MemfdWriter {
    file: std::io::BufWriter<std::fs::File>,
}

impl MemfdWriter {
    /// A new, empty, unsealed memfd. `name` shows in `/proc` only: never a value.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn create(name: &str) -> std::io::Result<Self> {
        let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        Ok(Self { file: std::io::BufWriter::with_capacity(1 << 18, std::fs::File::from(fd)) })
    }
    /// Seals it and gives it up.
    ///
    /// # Errors
    /// A failed write or the kernel's refusal.
    pub fn seal(mut self) -> std::io::Result<OwnedFd> {
        self.file.flush()?;
        let (file, buffer) = self.file.into_parts();
        // It holds the last bytes that went through it.
        drop(buffer.map(zeroize::Zeroizing::new));
        let fd = OwnedFd::from(file);
        rustix::fs::fcntl_add_seals(&fd, SEALS)?;
        Ok(fd)
    }
}

impl Write for MemfdWriter {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.file.write(buf)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Why a received descriptor is not used.
#[derive(Debug, thiserror::Error)]
pub enum MemfdError {
    /// Not a memfd, or a seal is missing.
    #[error("the descriptor is not sealed shared memory")]
    Unsealed,
    /// Longer than the receiver allows.
    #[error("the shared memory is larger than allowed")]
    TooLarge,
    /// The kernel's refusal.
    #[error("shared memory: {0}")]
    Io(#[from] std::io::Error),
}

impl From<rustix::io::Errno> for MemfdError {
    fn from(e: rustix::io::Errno) -> Self {
        Self::Io(e.into())
    }
}

/// A descriptor whose seals were verified here; its content is constant from now on.
#[derive(Debug)]
pub struct SealedFd {
    fd: OwnedFd,
    len: u64,
}

impl SealedFd {
    /// Verifies the seals of `fd` and its length.
    ///
    /// # Errors
    /// [`MemfdError::Unsealed`] or [`MemfdError::TooLarge`].
    pub fn verify(fd: OwnedFd, bytes_max: u64) -> Result<Self, MemfdError> {
        let seals = rustix::fs::fcntl_get_seals(&fd).map_err(|_| MemfdError::Unsealed)?;
        if !seals.contains(SEALS) {
            return Err(MemfdError::Unsealed);
        }
        let len = u64::try_from(rustix::fs::fstat(&fd)?.st_size).map_err(|_| MemfdError::TooLarge)?;
        if len > bytes_max {
            return Err(MemfdError::TooLarge);
        }
        Ok(Self { fd, len })
    }
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }
    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// The descriptor.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }
    /// Another descriptor of the same memory.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, len: self.len })
    }
    /// Gives up the descriptor.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
    /// A private copy of the content.
    ///
    /// # Errors
    /// A failed read.
    pub fn read(&self) -> Result<AlignedBytes, MemfdError> {
        let len = usize::try_from(self.len).map_err(|_| MemfdError::TooLarge)?;
        let mut bytes = AlignedBytes::zeroed(len);
        read_exact_at(&self.fd, bytes.as_mut_slice(), 0)?;
        Ok(bytes)
    }
}

/// Fills `buf` from `fd` at `offset` without moving its position.
///
/// # Errors
/// A failed or short read.
pub fn read_exact_at(fd: impl AsFd, mut buf: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !buf.is_empty() {
        let n = match rustix::io::pread(&fd, &mut *buf, offset) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        offset += n as u64;
        buf = buf.get_mut(n..).unwrap_or(&mut []);
    }
    Ok(())
}

/// A sealed memfd holding `bytes`.
///
/// # Errors
/// The kernel's refusal.
pub fn sealed(name: &str, bytes: &[u8]) -> std::io::Result<OwnedFd> {
    let mut w = MemfdWriter::create(name)?;
    w.write_all(bytes)?;
    w.seal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sealed_memory_is_taken() {
        let s = SealedFd::verify(sealed("t", b"abc").unwrap(), 3).unwrap();
        assert_eq!(s.read().unwrap().as_slice(), b"abc");
        assert!(matches!(SealedFd::verify(sealed("t", b"abcd").unwrap(), 3), Err(MemfdError::TooLarge)));
        let open = rustix::fs::memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(matches!(SealedFd::verify(open, 3), Err(MemfdError::Unsealed)));
        let some = rustix::fs::memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::fcntl_add_seals(&some, SealFlags::WRITE | SealFlags::GROW).unwrap();
        assert!(matches!(SealedFd::verify(some, 3), Err(MemfdError::Unsealed)));
        assert!(rustix::io::write(s.fd(), b"x").is_err());
    }
}
