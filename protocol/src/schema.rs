//! What a column means. Shared by the catalogue (which declares it), ingest (which enforces it) and the engine.

use serde::{Deserialize, Serialize};

/// Role of a column in disclosure control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Points at a subject by itself (resident ID number, USCC, plate). Never leaves the engine but as a pseudonym.
    DirectIdentifier,
    /// Points at a subject together with others.
    QuasiIdentifier,
    /// What must not become known of a subject.
    Sensitive,
    /// A number with bounds and resolution.
    Measure,
    /// A value of a declared domain.
    Category,
}

/// Which identifier a column joins on, and how its values are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkageKey {
    /// Citizen identification number, GB 11643-1999: 18 characters, check digit ISO 7064 MOD 11-2.
    ResidentId,
    /// Unified social credit code, GB 32100-2015: 18 characters, check digit MOD 31.
    Uscc,
    /// Geocode: administrative division code (GB/T 2260 and street / community digits), 2 to 12 digits, even length or 9.
    Geocode,
    /// Vehicle registration plate.
    Plate,
    /// An identifier with no public form; compared byte for byte after trimming.
    Opaque,
}

/// Type of a column's values. Numbers are fixed-point: value = stored integer × 10^-scale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Fixed-point number within inclusive bounds, all three in units of 10^-scale. Stored as `i64`.
    Number {
        /// Decimal digits after the point (0 to 9).
        scale: u8,
        /// Smallest stored integer.
        min: i64,
        /// Largest stored integer.
        max: i64,
    },
    /// One of the declared labels. Stored as `u32` index into `domain`.
    Category {
        /// The labels, unique, in declared order.
        domain: Vec<String>,
    },
    /// Calendar day. Stored as `i64` days since 1970-01-01.
    Date,
    /// Hour of local civil time. Stored as `i64` hours since 1970-01-01T00.
    Hour,
    /// UTF-8 text up to `bytes_max` bytes. Identifiers and geocodes.
    Text {
        /// Longest value.
        bytes_max: u32,
    },
}

/// One declared column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSchema {
    /// Name, `[a-z][a-z0-9_]{0,62}`.
    pub name: String,
    /// Disclosure role.
    pub role: Role,
    /// Type of its values.
    pub ty: ColumnType,
    /// Set when it may be joined on.
    pub linkage: Option<LinkageKey>,
    /// Whether values may be missing.
    pub nullable: bool,
}

/// Whether `name` is a column, alias or table name: `[a-z][a-z0-9_]{0,62}`.
pub fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 63
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}
