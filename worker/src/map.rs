//! Shared memory, mapped read-only after its seals were verified.
