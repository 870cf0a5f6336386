//! Shared memory, mapped read-only after its seals were verified.
#![allow(unsafe_code)]

use std::ops::Deref;

use memmap2::{Mmap, MmapOptions};
use protocol::memfd::SealedFd;

/// Sealed memory, mapped read-only; unmapped when dropped.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// Maps the whole of `memory`. The descriptor may be closed afterwards.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn new(memory: &SealedFd) -> std::io::Result<Self> {
        let len = usize::try_from(memory.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        // SAFETY: a shared mapping may be read as a slice as long as nobody changes the bytes or cuts the file under it.
        // `SealedFd` exists only for a descriptor on which F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL were read
        // back; the kernel sets F_SEAL_WRITE only while no writable mapping exists, and F_SEAL_SEAL makes all four final.
        // `len` is the length read after that.
        let map = unsafe { MmapOptions::new().len(len).map(memory.fd()) }?;
        Ok(Self(map))
    }
}

impl Deref for Mapped {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_outlives_its_descriptor() {
        let sealed = SealedFd::verify(protocol::memfd::sealed("t", b"abc").unwrap(), 3).unwrap();
        let mapped = Mapped::new(&sealed).unwrap();
        drop(sealed);
        assert_eq!(&*mapped, b"abc");
    }
}
