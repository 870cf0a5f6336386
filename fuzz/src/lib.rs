//! Fuzz targets of every decoder of bytes from outside. `fuzz_targets/` hands them to libFuzzer; the test `hostile_bytes` of
//! `fusebox-worker` runs them over a corpus that grows from [`seeds`].

pub mod seeds;
pub mod targets;
