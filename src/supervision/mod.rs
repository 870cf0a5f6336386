//! What a supervisor watches: alerts that rules raise, orders to put something right, and the figures of a report. Nothing here
//! holds a value of a dataset.
//!
//! | file | what it is |
//! |---|---|
//! | `rules` | the closed list of alerts, each with its articles |
//! | `watch` | which alerts stand now, from papers, releases, denials and the log |
//! | `exits` | those about what leaves: differences between tables, frequent questions, requests without a reply |
//! | `acknowledge` | who has seen one, with a leaf |
//! | `orders` | orders with a deadline (整改) |
//! | `indicators` | figures of a period |
//! | `denials` | how often which rule denied whom |
//!
//! An alert is not stored: it stands while its cause does. What is stored is that someone has seen it; a cause that comes again, or
//! grows, raises a new one.

mod acknowledge;
mod denials;
mod exits;
mod indicators;
mod orders;
mod rules;
mod watch;

pub use acknowledge::{Acknowledged, acknowledge};
pub use denials::denied;
pub use indicators::{Indicators, OperatorFigures, figures};
pub use orders::{Order, OrderState, close, issue, list as orders};
pub use rules::{ALERTS, AlertRule, SEVERITIES, Severity};
pub use watch::{About, Alert, LogCheck, Situation, record_log_check, standing};

use crate::store::Migration;

/// Tables of supervision.
pub const MIGRATION: Migration = Migration {
    name: "supervision-1",
    sql: "CREATE TABLE denial_count (day INTEGER NOT NULL, org TEXT NOT NULL, rule TEXT NOT NULL, count INTEGER NOT NULL,
              PRIMARY KEY (day, org, rule)) STRICT, WITHOUT ROWID;
          CREATE TABLE alert_seen (
              rule TEXT NOT NULL, subject TEXT NOT NULL, extent INTEGER NOT NULL, seen_by TEXT NOT NULL, org TEXT NOT NULL, note TEXT NOT NULL,
              at INTEGER NOT NULL, PRIMARY KEY (rule, subject, extent)) STRICT, WITHOUT ROWID;
          CREATE TABLE rectification (
              id INTEGER PRIMARY KEY, org TEXT NOT NULL, text TEXT NOT NULL, due TEXT NOT NULL, issued_by TEXT NOT NULL, issued_at INTEGER NOT NULL,
              closed_by TEXT, closed_at INTEGER, outcome TEXT) STRICT;
          CREATE TABLE log_check (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL, leaves INTEGER NOT NULL, fault TEXT) STRICT;",
};
