//! fusebox: the trusted side. This page is the architecture.
//!
//! # Map
//!
//! Each module imports only what stands above it (`tests/tidy` keeps the order). Bounds that hold between the processes are in
//! [`protocol::limits`].
//!
//! | module | what it is |
//! |---|---|
//! | [`id`], [`clock`], [`refusal`] | names, time, closed reasons |
//! | [`store`] | SQLite state with group commit, sealed segments and artefacts, keys |
//! | [`tlog`], [`policy`], [`catalog`], [`agreement`], [`sdc`], [`dp`] | release log; authorisation and release policy; datasets and plans; the three papers; disclosure rules; differential privacy |
//! | [`gate`] | the one exit: decides, logs, releases |
//! | [`workers`] | the untrusted processes and what is said to them |
//! | [`jobs`] | queue and life of a job, imports, modules, disposal |
//! | [`supervision`] | alerts, orders and figures for supervisors |
//! | [`api`] | HTTP; alone knows status codes |
//! | [`console`] | pages: a client of [`api`] in the same process, with the token of whoever signed in |
//! | [`config`], [`cli`] | settings and commands |
//!
//! # Flow of a job
//!
//! ```text
//! api ─▶ jobs: module approved, papers in force, digests pinned ─▶ queued (leaf)
//! jobs ─▶ workers: engine fuses sealed segments ─(sealed memfds, one a column)─▶ view, cached, never mapped here
//!                  guest runs the module over the granted columns ─▶ derived columns, table requests, models
//!                  engine reduces ─▶ exact cells with evidence
//! jobs ─▶ gate: RawOutput is opened, disclosure rules decide over the job's tables together, an audit judges them beside all that was
//!               released before; one transaction judges the papers again, writes rows, artefacts and leaves, ends the job; the
//!               commit signs one checkpoint
//! a model is held: jobs run it again without one unit, for some units; what that moves stands in the evidence
//! held: the operator says what it is for ─▶ two reviewers, blind to each other, sign ─▶ released (or after the providers' days)
//! api ◀─ gate: what was released, by permit (where a witness is required: once it cosigned); a bundle that proves it
//! ```
//!
//! # Flow of a private job
//!
//! ```text
//! api ─▶ gate: the whole cost reserved with the submission, with a leaf: before any look at data and any draw of noise
//! gate: noise of a round drawn ─▶ engine: units ─▶ blocks ─(a socket of their own)─▶ guest: one instance a block ─▶ contributions
//!                                 engine: clipped, cut to the grid, checked in integers, summed exactly ─▶ RawSums
//! gate: sums + noise ─▶ another guest, which never held data: next state ─▶ next round, or the certificate; the end on the time quantum
//! ```
//! What a reservation was made for is spent, whatever ends the job.
//!
//! # Flow of a verification
//!
//! ```text
//! api ─▶ jobs: the issuer's token, papers, budgets judged ─▶ gate: nonce, count and leaf committed: spent, whatever comes
//! jobs ─▶ view (cached or fused) ─▶ guest loaded ─▶ │ time of the answer fixed │ ─▶ the one subject's rows, or none ─▶ a closed answer
//! jobs ─▶ gate: at the end of the window, whatever the guest did: leaf committed ─▶ the answer is sent at the fixed time
//! ```
//! A subject that nobody knows, a trap and a guest that is late are all *no*.
//!
//! # Invariants
//!
//! - What leaves was decided by [`gate`] and its leaf is in the log before anyone can read it: row, artefact and leaf are one commit.
//! - Whoever acts holds a [`policy::Permit`] for that action on that thing; the storage function takes it by value. Default deny.
//! - A job on real data holds an [`agreement::InForce`]; it is judged at submission, before the run and in the releasing transaction.
//! - Noise is drawn, and sums are opened, under a reservation only ([`gate::Spend`]); nothing gives a reservation back; a unit's block
//!   depends on its own rows, the key and the public state alone.
//! - What was told is remembered outside the database before it is told: a database that was put back from an older copy is found at the start,
//!   and gives no budget back ([`gate::recover`]).
//! - A worker is hostile, and jailed before it reads a byte (`worker/src/jail`): no server starts where a layer that is not waived is
//!   missing. Frames are bounded and typed, descriptors verified, columns copied before they are validated.
//! - No value of a dataset stands in clear in a file: segments, artefacts and log bodies are sealed; the log's public leaf is a
//!   header and a salted commitment.
//! - A page shows what the interface answers to the token of whoever looks, and nothing else: [`console`] holds no permit, no store, no
//!   key. So what is hidden from a caller is hidden from their screen, and what is denied them there is a leaf too.
//! - A release verifies offline, from the log's key down to each byte of its bundle; a witness with another key signs one history only.
//! - Errors have two texts: the caller's holds no data, no paths, no type names; the log's holds no data.
//!
//! # Deliberately absent
//!
//! No polars and no wasmtime in this package, no parser of uploaded files, no compiler. No text and no untyped blob has a door. No
//! operator sees why a cell is suppressed, when a block trapped, or how long a run took. No option turns a rule off.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods))]

pub mod agreement;
pub mod api;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod dp;
pub mod gate;
pub mod id;
pub mod jobs;
pub mod policy;
pub mod refusal;
pub mod sdc;
pub mod store;
pub mod supervision;
pub mod tlog;
pub mod workers;
