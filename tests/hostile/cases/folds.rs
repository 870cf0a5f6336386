//! Folds and verifications that are refused before they run. What they do when they run is tried block by block in the worker's own tests
//! (`worker/tests/fold_process`), where a process is spoken to as the engine speaks to it.

use super::Class::{Import, Memory, TypesAndNames};
use super::Expect::{Refused, RefusedImport, RefusedLimit};
use super::Source::{Fold, Generated, Manifest, Verify};
use super::{Case, Generated as G, case};

const GOOD: &str = "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[],\"dimension\":1,\"state\":1}}";

/// 33 labels.
const MANY_LABELS: &str = "{\"name\":\"v\",\"version\":\"1\",\"verify\":{\"columns\":[],\"answer\":{\"band\":[\
    \"aa\",\"ab\",\"ac\",\"ad\",\"ae\",\"af\",\"ag\",\"ah\",\"ai\",\"aj\",\"ak\",\"al\",\"am\",\"an\",\"ao\",\"ap\",\"aq\",\"ar\",\"as\",\"at\",\"au\",\"av\",\"aw\",\"ax\",\"ay\",\"az\",\"ba\",\"bb\",\"bc\",\"bd\",\"be\",\"bf\",\"bg\"]}}}";
const YES_NO: &str = "{\"name\":\"v\",\"version\":\"1\",\"verify\":{\"columns\":[],\"answer\":\"yes_no\"}}";

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case("fold-with-many-columns", TypesAndNames, &[], Generated(G::FoldColumns { count: 129 }), RefusedLimit("fold_columns_max")),
    case("fold-with-a-long-contribution", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[],\"dimension\":100001,\"state\":1}}"),
        RefusedLimit("fold_dimension_max")),
    case("fold-with-a-long-state", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[],\"dimension\":1,\"state\":100001}}"),
        RefusedLimit("fold_state_max")),
    case("fold-with-a-length-of-nothing", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[],\"dimension\":0,\"state\":1}}"), Refused("Manifest")),
    case("fold-with-a-length-below-nothing", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[],\"dimension\":-1,\"state\":1}}"), Refused("MissingExport")),
    case("fold-with-a-column-twice", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[{\"name\":\"a\",\"type\":\"date\"},\
            {\"name\":\"a\",\"type\":\"hour\"}],\"dimension\":1,\"state\":1}}"), Refused("Manifest")),
    case("fold-with-a-label-twice", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[{\"name\":\"a\",\"type\":\"category\",\"labels\":[\"x\",\"x\"]}],\
            \"dimension\":1,\"state\":1}}"), Refused("Manifest")),
    case("fold-that-derives-a-column", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"derived\":[{\"name\":\"a\",\"type\":\"number\",\"scale\":0,\"min\":0,\"max\":1}],\
            \"fold\":{\"columns\":[],\"dimension\":1,\"state\":1}}"), Refused("Manifest")),
    case("fold-with-much-memory-to-begin-with", Memory, &[], Fold("(memory $m (export \"memory\") 1025)", GOOD),
        RefusedLimit("fold_memory_bytes_max")),
    case("fold-that-asks-for-a-seed", Import, &[],
        Fold("(import \"fusebox:analysis/job@0.3.0\" \"seed\" (func (result i64)))", GOOD),
        RefusedImport("fusebox:analysis/job@0.3.0#seed")),
    case("fold-that-asks-for-a-clock", Import, &[],
        Fold("(import \"wasi_snapshot_preview1\" \"clock_time_get\" (func (param i32 i64 i32) (result i32)))", GOOD),
        RefusedImport("wasi_snapshot_preview1#clock_time_get")),
    case("fold-that-runs-as-an-analysis", TypesAndNames, &[], Manifest(GOOD), Refused("MissingExport")),
    case("verification-with-many-labels", TypesAndNames, &[], Verify("", MANY_LABELS), RefusedLimit("answer_labels_max")),
    case("verification-with-a-text-as-its-answer", TypesAndNames, &[],
        Verify("", "{\"name\":\"v\",\"version\":\"1\",\"verify\":{\"columns\":[],\"answer\":\"text\"}}"), Refused("MissingExport")),
    case("verification-with-one-label", TypesAndNames, &[],
        Verify("", "{\"name\":\"v\",\"version\":\"1\",\"verify\":{\"columns\":[],\"answer\":{\"band\":[\"a\"]}}}"), Refused("Manifest")),
    case("verification-and-fold-at-once", TypesAndNames, &[],
        Fold("", "{\"name\":\"f\",\"version\":\"1\",\"fold\":{\"columns\":[],\"dimension\":1,\"state\":1},\
            \"verify\":{\"columns\":[],\"answer\":\"yes_no\"}}"), Refused("Manifest")),
    case("verification-with-much-memory-to-begin-with", Memory, &[], Verify("(memory $m (export \"memory\") 1025)", YES_NO),
        RefusedLimit("fold_memory_bytes_max")),
    case("verification-that-asks-for-a-seed", Import, &[],
        Verify("(import \"fusebox:analysis/job@0.1.0\" \"seed\" (func (result i64)))", YES_NO),
        RefusedImport("fusebox:analysis/job@0.1.0#seed")),
    case("verification-that-runs-as-an-analysis", TypesAndNames, &[], Manifest(YES_NO), Refused("MissingExport")),
    case("analysis-that-maps-as-a-fold", TypesAndNames, &[], Fold("", "{\"name\":\"f\",\"version\":\"1\"}"), Refused("MissingExport")),
];
