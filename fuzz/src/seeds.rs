//! What the decoders take: from here mutations begin.

use std::num::NonZeroU64;

use fusebox::tlog::merkle::{Nodes, root_at};
use fusebox::tlog::tile::changed;
use fusebox::tlog::{Checkpoint, Leaf, LeafKind};
use protocol::column::{Parts, write_column};
use protocol::limits::LimitExceeded;
use protocol::manifest::{DerivedColumn, DerivedType, Manifest, ManifestError};
use protocol::message::{
    CompileReply, CompileRequest, EngineFailure, EngineReply, EngineRequest, GuestFailure, GuestOpening, GuestReply, GuestRequest,
    IngestFailure, IngestReply, IngestRequest, ModuleRefusal, RejectedRow, RowRule, UploadFormat,
};
use protocol::model::{Feature, LinearModel, Link, Model, Node, TreesModel};
use protocol::neighbour::{Measured, RankRequest, Ranked};
use protocol::plan::{FusionReport, ViewColumn, ViewType, Visibility};
use protocol::seal::{SealKey, seal};
use protocol::table::{Margins, MeasureOp, MeasureRequest, TableRequest};
use serde::Serialize;

use super::targets::{CONTEXT, KEY, signer, upload_schema};

/// The seeds of a target. `column` makes one from its parts; modules and Parquet files are given by whoever has some.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "frame" => messages().into_iter().map(|message| framed(&message)).chain([frames()]).collect(),
        "message" => messages(),
        "column" => columns(),
        "sealed" => [0, 1, 100, 70_000].map(|bytes| seal(&SealKey::from_bytes(&KEY), CONTEXT, &vec![7; bytes]).expect("a file")).to_vec(),
        "json" => texts(&[r#"{"b":1,"a":[true,null,-7,18446744073709551615],"中":"\n\"\\/"}"#, r#"[[[[[{"":{}}]]]],1.5,1e9]"#]),
        "manifest" => texts(&[
            r#"{"name":"m","version":"1","derived":[{"name":"a","type":"number","scale":2,"min":-1,"max":1},{"name":"b","type":"category","labels":["x"]}]}"#,
            r#"{"name":"t","keys":["a"],"measures":[{"name":"n","op":"count","column":null}]}"#,
        ]),
        "note" => logs().into_iter().map(|(_, checkpoint)| checkpoint).chain([signer().verifier().to_string().into_bytes()]).collect(),
        "tile" => tiles(),
        "log" => logs().into_iter().map(|(files, _)| files).collect(),
        "plan" => texts(&[include_str!("../../examples/credit/plan.toml"), include_str!("../../examples/flights/plan.toml")]),
        "entry" => texts(&[
            include_str!("../../examples/credit/entries/credit.toml"),
            include_str!("../../examples/credit/entries/tax.toml"),
            include_str!("../../examples/flights/entries/flights.toml"),
        ]),
        "policy" => texts(&[
            include_str!("../../policies/release/standard.toml"),
            include_str!("../../policies/examples/tables-only.toml"),
            include_str!("../../policies/city/xiamen.toml"),
        ]),
        "paper" => texts(&[
            include_str!("../../examples/credit/agreement.toml"),
            include_str!("../../examples/credit/application.toml"),
            include_str!("../../examples/credit/authorisation.toml"),
        ]),
        "module" => vec![b"\0asm\x01\0\0\0".to_vec(), b"\0asm\x0d\0\x01\0".to_vec()],
        "upload" => texts(&["\0a,b,c,d\n1.5,x,乙,2024-02-29\n-3,\"a,\"\"\",,\n", "\u{1}d,c,b,a\r\n,x,,\r\n2024-01-01,x,y,0.10\r\n"]),
        "value" => texts(&[
            "harbour-bank",
            "2024-02-29",
            "2024-02-29T23:59:59Z",
            "-12.500",
            "11010519491231002X",
            "91350100M000100Y43",
            "350203001",
            "闽D·12345",
            "2024-01-01 07",
        ]),
        other => panic!("no target {other}"),
    }
}

fn message(kind: u8, message: &impl Serialize) -> Vec<u8> {
    [vec![kind], postcard::to_stdvec(message).expect("a message")].concat()
}

fn messages() -> Vec<Vec<u8>> {
    let limit = || LimitExceeded { name: "rows_max".into(), limit: 1, current: 2, requested: 3 };
    let measure = |op, column: Option<&str>| MeasureRequest { name: "n".into(), op, column: column.map(Into::into) };
    let quantile = measure(MeasureOp::Quantile { permille: 500 }, Some("x"));
    let table = TableRequest {
        name: "t".into(),
        keys: vec!["k".into()],
        measures: vec![measure(MeasureOp::Count, None), quantile],
        margins: Margins::Cube,
    };
    let features = || vec![Feature { column: "x".into(), level: None }, Feature { column: "k".into(), level: Some(1) }];
    let model =
        LinearModel { name: "m".into(), link: Link::Logit, features: features(), coefficients: vec![0.5, -1.0], intercept: f64::NAN };
    let split = |feature, threshold| Node::Split { feature, threshold };
    let tree = vec![split(0, 1.5), Node::Leaf { value: 1.0 }, split(1, 0.5), Node::Leaf { value: -1.0 }, Node::Leaf { value: 0.0 }];
    let trees = TreesModel { name: "f".into(), link: Link::Log, features: features(), base: 0.0, trees: vec![tree] };
    let derived = vec![
        DerivedColumn { name: "d".into(), ty: DerivedType::Number { scale: 0, min: i64::MIN, max: 9 } },
        DerivedColumn { name: "e".into(), ty: DerivedType::Category { labels: vec!["x".into(), "乙".into()] } },
    ];
    let manifest = Manifest {
        name: "m".into(),
        version: "1".into(),
        derived: derived.clone(),
        models: vec!["m".into()],
        tables: Vec::new(),
        fold: None,
        verify: None,
    };
    let ty = ViewType::Number { scale: 1, min: -1, max: 1 };
    let columns = vec![ViewColumn { name: "c".into(), ty, visibility: Visibility::Foreign, provenance: "a.c".into() }];
    let rejected = RejectedRow { row: 1, column: Some(2), rule: RowRule::LinkageKey };
    let unit = Measured { unit: 1, rows: 2, mean_permille: 3, largest_permille: 4 };
    vec![
        message(0, &GuestReply::Table(table.clone())),
        message(0, &GuestReply::Model(Model::Linear(model))),
        message(0, &GuestReply::Model(Model::Trees(trees))),
        message(0, &GuestReply::Failed(GuestFailure::Limit(limit()))),
        message(0, &GuestReply::Log("text".into())),
        message(1, &EngineReply::Fused { columns: columns.clone(), report: FusionReport { members: vec![], rows: 1, units: 1 } }),
        message(1, &EngineReply::Failed(EngineFailure::Derived("x".into()))),
        message(1, &EngineReply::Ranked(Ranked { named: vec![unit], most_rows: vec![unit], farthest: vec![] })),
        message(1, &EngineReply::Rest { rows: 7 }),
        message(2, &IngestReply::Rejected(rejected)),
        message(2, &IngestReply::Failed(IngestFailure::Limit(limit()))),
        message(3, &CompileReply::Compiled { manifest: manifest.clone(), imports: vec!["i".into()], engine: [9; 32] }),
        message(3, &CompileReply::Refused(ModuleRefusal::Manifest(ManifestError::Column("c".into())))),
        message(4, &EngineRequest::View { columns: columns.clone(), threads: 1, units: 3 }),
        message(4, &EngineRequest::Reduce { tables: vec![table], derived, own: vec!["w".into()], contributors: true }),
        message(4, &EngineRequest::Rank(RankRequest { columns: vec!["c".into()], units: vec![1], most_rows: 2, farthest: 3 })),
        message(4, &EngineRequest::Without { unit: 7 }),
        message(5, &GuestOpening::Run(GuestRequest { columns, rows: 1, manifest, seed: 1, synthetic: true, memory_bytes_max: 1 })),
        message(6, &IngestRequest { format: UploadFormat::CsvGz, schema: upload_schema(), unique: vec![0, 3] }),
        message(7, &CompileRequest {}),
    ]
}

fn framed(message: &[u8]) -> Vec<u8> {
    let payload = message.get(1..).unwrap_or_default();
    [&u32::try_from(payload.len()).expect("short").to_le_bytes(), &[0u8; 4][..], payload].concat()
}

/// A conversation of several frames.
fn frames() -> Vec<u8> {
    messages().iter().take(4).flat_map(|message| framed(message)).collect()
}

fn columns() -> Vec<Vec<u8>> {
    let write = |parts, validity: Option<&[u8]>| {
        let mut bytes = Vec::new();
        write_column(parts, validity, &mut bytes).expect("a column");
        bytes
    };
    vec![
        write(Parts::I64(&[1, -2, i64::MAX]), None),
        write(Parts::I64(&[0, 5]), Some(&[2])),
        write(Parts::I64(&[]), None),
        write(Parts::Code(&[0, 1, 1, 0], &[0, 1, 4], "x乙".as_bytes()), Some(&[0b0111])),
        write(Parts::Text(&[0, 0, 3, 5], "乙ab".as_bytes()), Some(&[0b110])),
    ]
}

/// Logs of several sizes as files, each with its checkpoint; in each a checkpoint from before is remembered.
fn logs() -> Vec<(Vec<u8>, Vec<u8>)> {
    let quantum = NonZeroU64::new(3600).expect("not zero");
    let kind = |i: usize| LeafKind::ALL[i % LeafKind::ALL.len()];
    let leaves: Vec<Leaf> =
        (0..300).map(|i| Leaf::new(kind(i), 1_700_000_000 + 600 * i as u64, quantum, i as u64, &[i as u8; 32], b"body")).collect();
    let nodes = Nodes::from_leaves(leaves.iter().map(Leaf::hash));
    let checkpoint =
        |size| Checkpoint::sign(&signer(), size, root_at(size, |l, i| nodes.node(l, i)).expect("a root")).expect("signed").into_bytes();
    let file = |path: &str, content: &[u8]| {
        let length = u32::try_from(content.len()).expect("short").to_le_bytes();
        [&[u8::try_from(path.len()).expect("short")][..], path.as_bytes(), &length, content].concat()
    };
    [1u64, 3, 300]
        .map(|size| {
            let mut files = [file("checkpoint", &checkpoint(size)), file("remembered", &checkpoint(size.min(2)))].concat();
            for tile in changed(0, size) {
                let entry = |i: u64| leaves.get(usize::try_from(i).ok()?).map(Leaf::to_bytes);
                files.extend(file(&tile.to_string(), &tile.bytes(|l, i| nodes.node(l, i), entry).expect("a tile")));
            }
            (files, checkpoint(size))
        })
        .to_vec()
}

fn tiles() -> Vec<Vec<u8>> {
    let leaf = Leaf::new(LeafKind::ALL[0], 1_700_000_000, NonZeroU64::new(60).expect("not zero"), 7, &[1; 32], b"body").to_bytes();
    let bundle = [&(leaf.len() as u16).to_be_bytes()[..], &leaf].concat();
    let paths = ["tile/0/x001/x234/067", "tile/entries/000.p/5", "tile/7/000"].map(|path| path.as_bytes().to_vec());
    paths.into_iter().chain([leaf.to_vec(), bundle.repeat(3)]).collect()
}
