//! What passes between `fusebox` and `fusebox-worker`.
//!
//! Every decoder of hostile bytes of the project is here, without `unsafe`: a worker is hostile input to the server, an
//! upload or a guest is hostile input to a worker.
//!
//! | module | what it is |
//! |---|---|
//! | [`limits`] | every bound, in one documented struct |
//! | [`jail`] | layers of a worker's jail, how one is started and how it ended |
//! | [`frame`] | length-prefixed frames and descriptors over a Unix socket |
//! | [`memfd`] | sealed shared memory: made, checked, read |
//! | [`column`] | one column in Arrow's buffer layout |
//! | [`schema`] | what a column means: role, type, linkage key |
//! | [`plan`] | a fusion plan as the engine gets it, and its report |
//! | [`table`] | table requests, exact cells and their evidence |
//! | [`model`] | typed models |
//! | [`fold`] | blocks of privacy units, clipped contributions |
//! | [`verify`] | one closed question about one subject |
//! | [`neighbour`] | units measured, and a view without one, for the neighbour-replay probe |
//! | [`manifest`] | what a module declares about itself |
//! | [`message`] | one enum a direction and role |
//! | [`secret`] | keys on their way to a worker |
//! | [`seal`] | segments encrypted in chunks |
//! | [`linkage`] | identifiers: canonical spelling and check digits |
//! | [`value`] | decimals, dates and hours to stored integers |
//! | [`canonical`] | canonical JSON for digests |
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods))]

pub mod canonical;
pub mod column;
pub mod contributors;
pub mod fold;
pub mod frame;
pub mod jail;
pub mod limits;
pub mod linkage;
pub mod manifest;
pub mod memfd;
pub mod message;
pub mod model;
pub mod neighbour;
pub mod plan;
pub mod schema;
pub mod seal;
pub mod secret;
pub mod table;
pub mod value;
pub mod verify;
