//! What a module declares about itself, in its custom section `fusebox.manifest` (JSON), so that the signed digest covers it.
//!
//! A derived column's labels stand here, fixed before any data is seen: a module cannot write values into labels.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{LimitExceeded, Limits};
use crate::message::World;
use crate::plan::ViewType;
use crate::schema::is_name;
use crate::table::{TableError, TableRequest};
use crate::verify::VerifyManifest;

/// Name of the custom section.
pub const SECTION: &str = "fusebox.manifest";

/// A module's declaration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Name, `[a-z][a-z0-9_]*`.
    pub name: String,
    /// The author's version.
    pub version: String,
    /// Columns it will derive, at most once each; none where it is a fold or a verification.
    #[serde(default)]
    pub derived: Vec<DerivedColumn>,
    /// Names of the models it may hand in, at most once each: fixed before any data is seen, so that no name carries any.
    #[serde(default)]
    pub models: Vec<String>,
    /// The tables that it may ask for, at most once each, with the names of their measures: likewise fixed before any data is seen.
    #[serde(default)]
    pub tables: Vec<DeclaredTable>,
    /// Set where the module is a fold.
    #[serde(default)]
    pub fold: Option<FoldManifest>,
    /// Set where the module is a verification.
    #[serde(default)]
    pub verify: Option<VerifyManifest>,
}

/// Names of a table. Which keys, columns and figures are behind them is said when it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTable {
    /// Its name.
    pub name: String,
    /// Names of its measures, in their order.
    pub measures: Vec<String>,
}

/// What a fold declares: fixed before any data is seen, so that neither a length nor a label can depend on any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldManifest {
    /// Columns of the view that it reads, in its order.
    pub columns: Vec<FoldColumn>,
    /// Length of a contribution.
    pub dimension: u32,
    /// Length of the state.
    pub state: u32,
}

/// A column that a fold reads. In JSON one flat object, as [`DerivedColumn`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldColumn {
    /// Its name in the view.
    pub name: String,
    /// Its type.
    pub ty: FoldType,
}

/// Type of a column that a fold reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoldType {
    /// Stored integers of 10^-scale.
    Number {
        /// Decimal digits after the point (0 to 9); those of the view's column.
        scale: u8,
    },
    /// Numbers of these labels; -1 where the value is none of them.
    Category {
        /// The labels.
        labels: Vec<String>,
    },
    /// Days since 1970-01-01.
    Date,
    /// Hours since 1970-01-01T00.
    Hour,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
enum FlatFold {
    Number { name: String, scale: u8 },
    Category { name: String, labels: Vec<String> },
    Date { name: String },
    Hour { name: String },
}

impl Serialize for FoldColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (&self.name, &self.ty).serialize(serializer);
        }
        let name = self.name.clone();
        match self.ty.clone() {
            FoldType::Number { scale } => FlatFold::Number { name, scale },
            FoldType::Category { labels } => FlatFold::Category { name, labels },
            FoldType::Date => FlatFold::Date { name },
            FoldType::Hour => FlatFold::Hour { name },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FoldColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <(String, FoldType)>::deserialize(deserializer).map(|(name, ty)| Self { name, ty });
        }
        let (name, ty) = match FlatFold::deserialize(deserializer)? {
            FlatFold::Number { name, scale } => (name, FoldType::Number { scale }),
            FlatFold::Category { name, labels } => (name, FoldType::Category { labels }),
            FlatFold::Date { name } => (name, FoldType::Date),
            FlatFold::Hour { name } => (name, FoldType::Hour),
        };
        Ok(Self { name, ty })
    }
}

/// A column that a module derives. In JSON one flat object, `{"name": …, "type": "number", "scale": …, "min": …, "max": …}` or
/// `{"name": …, "type": "category", "labels": […]}`; between processes name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedColumn {
    /// Name; may not be that of a granted column.
    pub name: String,
    /// Its type.
    pub ty: DerivedType,
}

/// The flat object of JSON. A frame's format describes nothing of itself, so it can hold no tag inside an object.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
enum Flat {
    Number { name: String, scale: u8, min: i64, max: i64 },
    Category { name: String, labels: Vec<String> },
}

impl Serialize for DerivedColumn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (&self.name, &self.ty).serialize(serializer);
        }
        let name = self.name.clone();
        match self.ty.clone() {
            DerivedType::Number { scale, min, max } => Flat::Number { name, scale, min, max }.serialize(serializer),
            DerivedType::Category { labels } => Flat::Category { name, labels }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DerivedColumn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <(String, DerivedType)>::deserialize(deserializer).map(|(name, ty)| Self { name, ty });
        }
        Ok(match Flat::deserialize(deserializer)? {
            Flat::Number { name, scale, min, max } => Self { name, ty: DerivedType::Number { scale, min, max } },
            Flat::Category { name, labels } => Self { name, ty: DerivedType::Category { labels } },
        })
    }
}

/// Type of a derived column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DerivedType {
    /// Fixed-point number: stored integers of 10^-scale within the bounds.
    Number {
        /// Decimal digits after the point (0 to 9).
        scale: u8,
        /// Smallest stored integer.
        min: i64,
        /// Largest stored integer.
        max: i64,
    },
    /// One of these labels.
    Category {
        /// The labels.
        labels: Vec<String>,
    },
}

impl DerivedType {
    /// The type as tables and models see it.
    pub fn view_type(&self) -> ViewType {
        match self {
            Self::Number { scale, min, max } => ViewType::Number { scale: *scale, min: *min, max: *max },
            Self::Category { .. } => ViewType::Category { declared: true },
        }
    }
}

/// Why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON of the documented form.
    #[error("the module's manifest is missing or not of the documented form")]
    Malformed,
    /// A name.
    #[error("`{0}` is not a name, or is there twice")]
    Name(String),
    /// Labels empty, with control characters, or twice the same; or bounds in the wrong order.
    #[error("the declaration of column `{0}` is not valid")]
    Column(String),
    /// A limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl Manifest {
    /// The world that the module is for.
    pub fn world(&self) -> World {
        match (&self.fold, &self.verify) {
            (Some(_), _) => World::Fold,
            (None, Some(_)) => World::Verify,
            (None, None) => World::Analysis,
        }
    }

    /// Checks the declaration.
    ///
    /// # Errors
    /// The first thing wrong.
    pub fn validate(&self) -> Result<(), ManifestError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("derived_columns_max", l.derived_columns_max.into(), 0, self.derived.len() as u64)?;
        if !is_name(&self.name) || self.version.is_empty() || self.version.len() > 64 || self.version.chars().any(char::is_control) {
            return Err(ManifestError::Name(self.name.chars().take(64).collect()));
        }
        if let Some(fold) = &self.fold {
            fold.validate()?;
        }
        if let Some(verify) = &self.verify {
            // One world a module.
            if self.fold.is_some() {
                return Err(ManifestError::Column("verify".to_owned()));
            }
            verify.validate()?;
        }
        // Neither has a way to bring a column.
        if let (true, Some(derived)) = (self.world() != World::Analysis, self.derived.first()) {
            return Err(ManifestError::Column(derived.name.chars().take(64).collect()));
        }
        LimitExceeded::check("models_max", l.models_max.into(), 0, self.models.len() as u64)?;
        let mut names = std::collections::BTreeSet::new();
        if let Some(name) = self.models.iter().find(|name| self.world() != World::Analysis || !is_name(name) || !names.insert(*name)) {
            return Err(ManifestError::Name(name.chars().take(64).collect()));
        }
        self.validate_tables()?;
        let mut seen = std::collections::BTreeSet::new();
        for column in &self.derived {
            if !is_name(&column.name) || !seen.insert(&column.name) {
                return Err(ManifestError::Name(column.name.chars().take(64).collect()));
            }
            let good = match &column.ty {
                DerivedType::Number { scale, min, max } => *scale <= 9 && min <= max,
                DerivedType::Category { labels } => {
                    LimitExceeded::check("derived_labels_max", l.derived_labels_max.into(), 0, labels.len() as u64)?;
                    let longest = labels.iter().map(String::len).max().unwrap_or(0) as u64;
                    LimitExceeded::check("derived_label_bytes_max", l.derived_label_bytes_max.into(), 0, longest)?;
                    let distinct: std::collections::BTreeSet<_> = labels.iter().collect();
                    !labels.is_empty()
                        && distinct.len() == labels.len()
                        && labels.iter().all(|s| !s.is_empty() && !s.chars().any(char::is_control))
                }
            };
            if !good {
                return Err(ManifestError::Column(column.name.clone()));
            }
        }
        Ok(())
    }

    fn validate_tables(&self) -> Result<(), ManifestError> {
        let l = &Limits::STANDARD;
        LimitExceeded::check("tables_max", l.tables_max.into(), 0, self.tables.len() as u64)?;
        let mut names = std::collections::BTreeSet::new();
        for table in &self.tables {
            LimitExceeded::check("table_measures_max", l.table_measures_max.into(), 0, table.measures.len() as u64)?;
            if self.world() != World::Analysis || table.measures.is_empty() || !names.insert(&table.name) {
                return Err(ManifestError::Name(table.name.chars().take(64).collect()));
            }
            let mut measures = std::collections::BTreeSet::new();
            let wrong = std::iter::once(&table.name).chain(&table.measures).find(|name| !is_name(name));
            if let Some(name) = wrong.or_else(|| table.measures.iter().find(|name| !measures.insert(*name))) {
                return Err(ManifestError::Name(name.chars().take(64).collect()));
            }
        }
        Ok(())
    }

    /// Checks that a table and its measures bear the names that were declared for them.
    ///
    /// # Errors
    /// [`TableError::Undeclared`].
    pub fn names(&self, table: &TableRequest) -> Result<(), TableError> {
        let asked = || table.measures.iter().map(|m| &m.name);
        let declared = self.tables.iter().any(|t| t.name == table.name && t.measures.iter().eq(asked()));
        if declared { Ok(()) } else { Err(TableError::Undeclared(table.name.chars().take(64).collect())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_named_beforehand() {
        let of = |models: &str, world: &str| {
            serde_json::from_str::<Manifest>(&format!(r#"{{"name":"m","version":"1","models":{models}{world}}}"#)).unwrap().validate()
        };
        let name = |name: &str| Err(ManifestError::Name(name.to_owned()));
        assert_eq!(of(r#"["a","b","c","d"]"#, ""), Ok(()));
        assert_eq!((of(r#"["a","a"]"#, ""), of(r#"["A b"]"#, "")), (name("a"), name("A b")));
        assert!(matches!(of(r#"["a","b","c","d","e"]"#, ""), Err(ManifestError::Limit(l)) if l.name == "models_max"));
        assert_eq!(of(r#"["a"]"#, r#","fold":{"columns":[],"dimension":1,"state":1}"#), name("a"));
    }

    #[test]
    fn tables_and_their_measures_are_named_beforehand() {
        use crate::table::{MeasureOp, MeasureRequest};
        let of = |tables: &str, world: &str| -> Manifest {
            serde_json::from_str(&format!(r#"{{"name":"m","version":"1","tables":{tables}{world}}}"#)).unwrap()
        };
        let name = |name: &str| Err(ManifestError::Name(name.to_owned()));
        for (tables, world, told) in [
            (r#"[{"name":"a","measures":["x","y"]},{"name":"b","measures":["x"]}]"#, "", Ok(())),
            (r#"[{"name":"a","measures":["x"]},{"name":"a","measures":["y"]}]"#, "", name("a")),
            (r#"[{"name":"a","measures":["x","x"]}]"#, "", name("x")),
            (r#"[{"name":"a","measures":["x y"]}]"#, "", name("x y")),
            (r#"[{"name":"A","measures":["x"]}]"#, "", name("A")),
            (r#"[{"name":"a","measures":[]}]"#, "", name("a")),
            (r#"[{"name":"a","measures":["x"]}]"#, r#","fold":{"columns":[],"dimension":1,"state":1}"#, name("a")),
        ] {
            assert_eq!(of(tables, world).validate(), told, "{tables}");
        }
        let many = |n: usize| (0..n).map(|i| format!(r#"{{"name":"t{i}","measures":["x"]}}"#)).collect::<Vec<_>>().join(",");
        assert_eq!(of(&format!("[{}]", many(16)), "").validate(), Ok(()));
        assert!(matches!(of(&format!("[{}]", many(17)), "").validate(), Err(ManifestError::Limit(l)) if l.name == "tables_max"));

        let manifest = of(r#"[{"name":"a","measures":["x","y"]}]"#, "");
        let asked = |name: &str, measures: &[&str]| {
            let measures = measures.iter().map(|m| MeasureRequest { name: (*m).to_owned(), op: MeasureOp::Count, column: None }).collect();
            manifest.names(&TableRequest { name: name.to_owned(), keys: Vec::new(), measures, margins: Default::default() })
        };
        assert_eq!(asked("a", &["x", "y"]), Ok(()));
        let undeclared = |name: &str| Err(TableError::Undeclared(name.to_owned()));
        assert_eq!(
            (asked("b", &["x", "y"]), asked("a", &["x"]), asked("a", &["y", "x"])),
            (undeclared("b"), undeclared("a"), undeclared("a"))
        );
    }

    #[test]
    fn json_is_flat_and_strict() {
        let text = r#"{"name":"m","version":"1","derived":[{"name":"a","type":"number","scale":2,"min":-1,"max":1},{"name":"b","type":"category","labels":["x"]}]}"#;
        let manifest: Manifest = serde_json::from_str(text).unwrap();
        manifest.validate().unwrap();
        assert_eq!(serde_json::from_value::<Manifest>(serde_json::to_value(&manifest).unwrap()).unwrap(), manifest);
        for (from, to) in [("\"scale\":2", "\"scale\":2,\"more\":0"), ("\"type\":\"number\",", ""), ("\"version\"", "\"versio\"")] {
            assert!(serde_json::from_str::<Manifest>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
