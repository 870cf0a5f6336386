//! Tables of the airlock.

use crate::store::Migration;

/// A vote lies sealed until both are in; then the round holds both (`votes`, JSON). `origin` is `request` or `appeal`.
pub const MIGRATION: Migration = Migration {
    name: "gate-review-1",
    sql: "CREATE TABLE reviewer_key (
              id TEXT PRIMARY KEY, principal TEXT NOT NULL, org TEXT NOT NULL, public_key BLOB NOT NULL UNIQUE,
              enrolled_at INTEGER NOT NULL, confirmed_at INTEGER, revoked_at INTEGER) STRICT;
          CREATE INDEX reviewer_key_principal ON reviewer_key (principal);
          CREATE TABLE release_round (
              release TEXT NOT NULL, round INTEGER NOT NULL, origin TEXT NOT NULL, statement TEXT NOT NULL, filed_by TEXT NOT NULL,
              filed_at INTEGER NOT NULL, working_days INTEGER NOT NULL, extension TEXT, outcome TEXT, votes TEXT, ended_at INTEGER,
              window_days INTEGER, leaf INTEGER NOT NULL, review_leaf INTEGER, PRIMARY KEY (release, round)) STRICT, WITHOUT ROWID;
          CREATE TABLE release_vote (
              release TEXT NOT NULL, round INTEGER NOT NULL, reviewer TEXT NOT NULL, key TEXT NOT NULL, sealed BLOB NOT NULL,
              leaf INTEGER NOT NULL, cast_at INTEGER NOT NULL, PRIMARY KEY (release, round, reviewer)) STRICT, WITHOUT ROWID;
          CREATE TABLE release_appeal (
              release TEXT PRIMARY KEY, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL,
              outcome TEXT, decided_by TEXT, decided_reason TEXT, decided_at INTEGER) STRICT;
          CREATE TABLE release_waiver (
              release TEXT NOT NULL, org TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (release, org)) STRICT, WITHOUT ROWID;
          CREATE INDEX release_pending ON release (state) WHERE state = 'approved_pending';",
};
