//! Modules that are small to send and large to compile or to link.

use super::Class::CompileBomb;
use super::Covers::Limit;
use super::Expect::{Refused, RefusedLimit};
use super::Source::{Beside, Generated};
use super::{Case, Generated as G, case};

pub const CASES: &[Case] = &[
    // 459 KiB; 35 seconds of processor time and 1.7 GiB where nothing bounds them.
    case(
        "bomb-of-ifs-over-locals",
        CompileBomb,
        &[],
        Generated(G::Ifs { ifs: 30_000, locals: 1_500 }),
        RefusedLimit("function_locals_times_blocks_max"),
    ),
    case(
        "bomb-of-a-branch-table",
        CompileBomb,
        &[],
        Generated(G::BranchTable { targets: 30_000, locals: 1_500 }),
        RefusedLimit("function_locals_times_blocks_max"),
    ),
    case(
        "bomb-of-many-lesser-ones",
        CompileBomb,
        &[],
        Generated(G::Ifful { functions: 25 }),
        RefusedLimit("module_locals_times_blocks_max"),
    ),
    case("bomb-of-deep-blocks", CompileBomb, &[], Generated(G::Nested { blocks: 30_000 }), RefusedLimit("function_nesting_max")),
    case("bomb-of-one-giant-function", CompileBomb, &[], Generated(G::Giant { bytes: 2 << 20 }), RefusedLimit("function_bytes_max")),
    case("bomb-of-many-functions", CompileBomb, &[], Generated(G::Functions { count: 200_001 }), RefusedLimit("module_functions_max")),
    case("bomb-of-locals", CompileBomb, &[], Generated(G::Ifs { ifs: 0, locals: 40_000 }), RefusedLimit("function_locals_max")),
    case(
        "bomb-of-calls-with-a-thousand-results",
        CompileBomb,
        &[],
        Generated(G::Calls { count: 100_000 }),
        RefusedLimit("function_values_max"),
    ),
    case(
        "bomb-of-branches-with-a-thousand-values",
        CompileBomb,
        &[],
        Generated(G::Branches { count: 5_000 }),
        RefusedLimit("function_values_max"),
    ),
    case(
        "bomb-of-signatures",
        CompileBomb,
        &[],
        Generated(G::Signatures { functions: 3_000 }),
        RefusedLimit("module_signature_values_max"),
    ),
    case("bomb-of-types", CompileBomb, &[], Generated(G::Types { count: 100_001 }), RefusedLimit("module_types_max")),
    case("bomb-of-imports", CompileBomb, &[], Generated(G::Imports { count: 50_001 }), RefusedLimit("module_imports_max")),
    case("bomb-of-exports", CompileBomb, &[], Generated(G::Exports { count: 100_001 }), RefusedLimit("module_exports_max")),
    case("bomb-of-globals", CompileBomb, &[], Generated(G::Globals { count: 50_001 }), RefusedLimit("module_globals_max")),
    case("bomb-of-data-segments", CompileBomb, &[], Generated(G::DataSegments { count: 100_001 }), RefusedLimit("module_segments_max")),
    case(
        "bomb-of-element-items",
        CompileBomb,
        &[],
        Generated(G::ElementItems { count: 1_000_001 }),
        RefusedLimit("module_segment_items_max"),
    ),
    case("bomb-of-custom-sections", CompileBomb, &[], Generated(G::CustomSections { count: 200_001 }), RefusedLimit("module_entries_max")),
    case("bomb-of-parts", CompileBomb, &[], Generated(G::Parts { count: 128 }), RefusedLimit("module_parts_max")),
    case("bomb-of-components-in-components", CompileBomb, &[], Generated(G::Components { depth: 17 }), RefusedLimit("module_nesting_max")),
    case(
        "bomb-of-instances-that-double",
        CompileBomb,
        &[],
        Generated(G::InstancesOfInstances { levels: 30 }),
        RefusedLimit("guest_instances_max"),
    ),
    case(
        "bomb-of-instances",
        CompileBomb,
        &[],
        Generated(G::Instances { tables: 0, memories: 0, count: 300 }),
        RefusedLimit("guest_instances_max"),
    ),
    case(
        "bomb-of-components-handed-in",
        CompileBomb,
        &[],
        Beside(
            "(component $x (import \"c\" (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
            (component $e) (instance (instantiate $x (with \"c\" (component $e))))",
        ),
        Refused("Invalid"),
    ),
    // What the compiler would write to copy values from one component's memory to another's needs a feature that is off.
    case("bomb-of-adapters", CompileBomb, &[], Generated(G::Adapters { strings: 4_000, functions: 10 }), Refused("Compiler")),
    case(
        "upload-too-large",
        CompileBomb,
        &[Limit("module_bytes_max")],
        Generated(G::Padding { bytes: (64 << 20) + 1 }),
        RefusedLimit("module_bytes_max"),
    ),
];
