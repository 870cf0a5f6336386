//! Tables of the privacy ledger, and the triggers that keep a spend.

use crate::store::Migration;

/// Tables of the ledger.
pub const MIGRATION: Migration = Migration {
    name: "gate-ledger-1",
    sql: "CREATE TABLE privacy_budget (
              namespace TEXT PRIMARY KEY, epsilon_max INTEGER NOT NULL, rho_max INTEGER NOT NULL, delta_exponent INTEGER NOT NULL,
              set_by TEXT NOT NULL, reason TEXT NOT NULL, leaf INTEGER NOT NULL, set_at INTEGER NOT NULL,
              CHECK (epsilon_max >= 0 AND rho_max >= 0)) STRICT, WITHOUT ROWID;
          CREATE TABLE privacy_spend (
              job TEXT PRIMARY KEY, namespace TEXT NOT NULL, agreement TEXT NOT NULL, rho INTEGER NOT NULL, epsilon INTEGER,
              state TEXT NOT NULL, leaf INTEGER NOT NULL, spent_leaf INTEGER, at INTEGER NOT NULL,
              CHECK (rho > 0 AND (epsilon IS NULL OR epsilon > 0)),
              CHECK (state = 'reserved' AND spent_leaf IS NULL OR state = 'spent' AND spent_leaf IS NOT NULL)) STRICT, WITHOUT ROWID;
          CREATE INDEX privacy_spend_namespace ON privacy_spend (namespace, rho, epsilon);
          CREATE INDEX privacy_spend_agreement ON privacy_spend (agreement, rho, epsilon);
          CREATE TRIGGER privacy_spend_kept BEFORE DELETE ON privacy_spend BEGIN SELECT RAISE(ABORT, 'a spend stays'); END;
          CREATE TRIGGER privacy_spend_fixed BEFORE UPDATE OF job, namespace, agreement, rho, epsilon, leaf, at ON privacy_spend
              BEGIN SELECT RAISE(ABORT, 'a spend stays'); END;
          CREATE TRIGGER privacy_spend_final BEFORE UPDATE ON privacy_spend WHEN OLD.state = 'spent'
              BEGIN SELECT RAISE(ABORT, 'a spend stays'); END;",
};
