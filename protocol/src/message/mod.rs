//! What is said between server and worker: one enum a direction and role. Descriptors ride on the frame, in the order that
//! each variant's documentation gives. A worker handles one conversation and exits.

mod compile;
mod engine;
mod guest;
mod ingest;

use serde::{Deserialize, Serialize};

pub use crate::secret::SecretKey;
pub use compile::*;
pub use engine::*;
pub use guest::*;
pub use ingest::*;

/// Roles of a worker, as given on its command line. Its socket is its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WorkerRole {
    /// Parses uploads.
    Ingest,
    /// Validates and compiles modules.
    Compile,
    /// Fuses and aggregates.
    Engine,
    /// Runs a module.
    Guest,
}

impl WorkerRole {
    /// All.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Compile, Self::Engine, Self::Guest];

    /// The role of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }

    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Compile => "compile",
            Self::Engine => "engine",
            Self::Guest => "guest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::*;
    use crate::limits::LimitExceeded;
    use crate::manifest::{DeclaredTable, DerivedColumn, DerivedType, FoldColumn, FoldManifest, FoldType, Manifest, ManifestError};
    use crate::neighbour::{Measured, RankRequest, Ranked};
    use crate::plan::{
        ColumnRef, DateBucket, FilterOp, FusePlan, FusionReport, IdentityColumn, JoinKind, Literal, PlanJoin, PlanMember, PlanOutput,
        RowFilter, RowIdentity, Transform, ViewColumn, ViewType, Visibility,
    };
    use crate::schema::{ColumnSchema, ColumnType, LinkageKey, Role};
    use crate::secret::SecretText;
    use crate::verify::{AnswerType, SubjectPlan, SubjectReply, SubjectRows, VerifyManifest, VerifyReady, VerifyStart};
    use serde::de::DeserializeOwned;

    fn crosses<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: T) {
        let bytes = postcard::to_stdvec(&message).unwrap();
        assert_eq!(postcard::from_bytes::<T>(&bytes).unwrap(), message);
    }

    fn types() -> Vec<ColumnType> {
        let number = ColumnType::Number { scale: 2, min: i64::MIN, max: i64::MAX };
        vec![
            number,
            ColumnType::Category { domain: vec!["A".into()] },
            ColumnType::Date,
            ColumnType::Hour,
            ColumnType::Text { bytes_max: 18 },
        ]
    }

    fn schema() -> Vec<ColumnSchema> {
        let column = |ty| ColumnSchema { name: "c".into(), role: Role::Measure, ty, linkage: Some(LinkageKey::Uscc), nullable: true };
        types().into_iter().map(column).collect()
    }

    fn view() -> Vec<ViewColumn> {
        let number = ViewType::Number { scale: 1, min: -1, max: 1 };
        let types = [number, ViewType::Category { declared: true }, ViewType::Date, ViewType::Hour, ViewType::Pseudonym];
        let column = |ty| ViewColumn { name: "c".into(), ty, visibility: Visibility::Foreign, provenance: "a.c".into() };
        types.into_iter().map(column).collect()
    }

    fn fold() -> FoldManifest {
        let types = [FoldType::Number { scale: 1 }, FoldType::Category { labels: vec!["x".into()] }, FoldType::Date, FoldType::Hour];
        let columns = types.into_iter().map(|ty| FoldColumn { name: "c".into(), ty }).collect();
        FoldManifest { columns, dimension: 2, state: 1 }
    }

    fn verify() -> VerifyManifest {
        VerifyManifest { columns: fold().columns, answer: AnswerType::Band(vec!["none".into(), "A".into()]) }
    }

    /// The wire format describes nothing of itself: a type that needs to look ahead (flattened, tagged inside, untagged) would
    /// pass the compiler and fail on the wire.
    #[test]
    fn every_message_crosses() {
        crosses(IngestRequest { format: UploadFormat::CsvGz, schema: schema(), unique: vec![0, 4] });
        crosses(IngestReply::Rejected(RejectedRow { row: 1, column: Some(2), rule: RowRule::LinkageKey }));
        crosses(IngestReply::Failed(IngestFailure::Limit(LimitExceeded { name: "n".into(), limit: 1, current: 2, requested: 3 })));
        let transforms = [
            Transform::Keep,
            Transform::Pseudonym,
            Transform::Prefix { characters: 6 },
            Transform::Bands { cuts: vec![1], labels: vec!["a".into(), "b".into()] },
            Transform::Bucket(DateBucket::Quarter),
            Transform::Clamp { min: 0, max: 1 },
            Transform::Mask,
        ];
        let at = ColumnRef { member: 0, column: 1 };
        let plan = FusePlan {
            members: vec![PlanMember {
                alias: "a".into(),
                columns: schema(),
                rows: 9,
                operator_owned: true,
                consent_unit: Some(0),
                filters: vec![RowFilter { column: 0, op: FilterOp::In, values: vec![Literal::Int(1), Literal::Text("x".into())] }],
            }],
            joins: vec![PlanJoin { kind: JoinKind::Left, on: vec![(at, 3)] }],
            outputs: transforms.into_iter().map(|transform| PlanOutput { name: "o".into(), from: at, transform }).collect(),
            unit: at,
            purpose: "p".into(),
            today: 20_000,
            identity: RowIdentity {
                member: 0,
                dataset: "d".into(),
                columns: vec![IdentityColumn::Loaded(0), IdentityColumn::Extra(schema().remove(0))],
            },
            threads: 2,
        };
        let source = |column| Source { member: 0, column, key: SecretKey([7; 32]), context: "c".into() };
        crosses(EngineRequest::Fuse {
            plan,
            sources: vec![source(SourceColumn::Data(3)), source(SourceColumn::ConsentExpiry), source(SourceColumn::Identity(1))],
            pseudonym_key: SecretKey([1; 32]),
            namespace_key: SecretKey([2; 32]),
        });
        crosses(EngineRequest::View { columns: view(), threads: 1, units: 3 });
        let derived = vec![
            DerivedColumn { name: "d".into(), ty: DerivedType::Number { scale: 0, min: 0, max: 9 } },
            DerivedColumn { name: "e".into(), ty: DerivedType::Category { labels: vec!["x".into()] } },
        ];
        crosses(EngineRequest::Reduce { tables: vec![], derived: derived.clone(), own: vec!["w".into()], contributors: true });
        let report = FusionReport { members: vec![], rows: 1, units: 1 };
        crosses(EngineReply::Fused { columns: view(), report });
        let manifest = Manifest {
            name: "m".into(),
            version: "1".into(),
            derived,
            models: vec!["m".into()],
            tables: vec![DeclaredTable { name: "t".into(), measures: vec!["n".into()] }],
            fold: Some(fold()),
            verify: Some(verify()),
        };
        crosses(CompileReply::Compiled { manifest: manifest.clone(), imports: vec!["i".into()], engine: [9; 32] });
        crosses(CompileReply::Refused(ModuleRefusal::Manifest(ManifestError::Column("c".into()))));
        crosses(GuestOpening::Run(GuestRequest { columns: view(), rows: 1, manifest, seed: 1, synthetic: true, memory_bytes_max: 1 }));
        crosses(GuestReply::Failed(GuestFailure::Error(Some("e".into()))));
        let clip = Clip { dimension: 2, norm: Norm::L2, bound: 7, scale: 3 };
        let maps = [
            FoldMap::Module { columns: fold().columns },
            FoldMap::BuiltIn(BuiltIn::Mean { column: "c".into(), min: 0, max: 9, centre: 5, weight: 2 }),
            FoldMap::BuiltIn(BuiltIn::Labels { column: "c".into(), labels: vec!["x".into()] }),
        ];
        for map in maps {
            let (blocks, isolation) = (Blocks::Shared(4), Isolation::Process);
            crosses(EngineRequest::Fold(FoldPlan { blocks, isolation, rows_per_unit_max: 1, clip, map, key: SecretKey([3; 32]) }));
        }
        crosses(EngineRequest::Round(Floats(vec![0.5])));
        crosses(EngineReply::Sums(vec![i128::MIN, 1]));
        crosses(GuestOpening::Map(FoldStart { manifest: fold(), fuel: 1, memory_bytes_max: 2 }));
        crosses(MapRequest::Blocks(BlockBatch {
            blocks: vec![1],
            units: vec![2],
            values: Integers(vec![3, 4]),
            missing: Octets(vec![0, 1]),
        }));
        crosses(MapReply(vec![Contribution::Nothing, Contribution::Sparse(Indexes(vec![1]), Floats(vec![0.5]))]));
        crosses(UpdateReply(Some(Floats(vec![1.0]))));
        let subject = SecretText("11010519491231002X".into());
        let columns = verify().columns;
        crosses(EngineRequest::Subject(SubjectPlan {
            columns,
            labels: 2,
            subject,
            linkage: Some(LinkageKey::ResidentId),
            key: SecretKey([4; 32]),
        }));
        let named = vec![Measured { unit: 1, rows: 2, mean_permille: 3, largest_permille: 4 }];
        crosses(EngineRequest::Rank(RankRequest { columns: vec!["a".into()], units: vec![1], most_rows: 2, farthest: 3 }));
        crosses(EngineRequest::Without { unit: 7 });
        crosses(EngineReply::Ranked(Ranked { named, most_rows: vec![], farthest: vec![] }));
        crosses(EngineReply::Rest { rows: 9 });
        crosses(EngineReply::Answer { label: 1, failure: Some(GuestFailure::Trap) });
        crosses(GuestOpening::Answer(VerifyStart { manifest: verify(), fuel: 1, memory_bytes_max: 2 }));
        crosses(SubjectRows { rows: 2, values: Integers(vec![1, 2]), missing: Octets(vec![0, 1]) });
        crosses((SubjectReply(Ok(1)), SubjectReply(Err(GuestFailure::Trap)), VerifyReady {}));
    }
}
