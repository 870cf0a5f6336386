//! Every bound of the product that does not depend on a policy, in one place, with units.

use serde::{Deserialize, Serialize};

use crate::message::WorkerRole;

/// Where a limit is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Between server and worker, on every frame.
    Conversation,
    /// On uploads, datasets and views.
    Data,
    /// On an uploaded module, before it is compiled and as it is.
    Module,
    /// On a run of a module, by its host.
    Run,
    /// On a fold as it is asked for, and on how it is carried out: no module can reach them.
    Fold,
    /// On what a run hands back.
    Output,
    /// On a worker as a process.
    Process,
}

/// One struct, its standard values and its list from one table, so that none of the three can miss a limit.
macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $scope:ident $name:ident: $unit:ty = $value:expr;)+) => {
        /// Bounds that hold between the processes, for uploads, for modules and for what they hand back. All are upper bounds;
        /// none can be switched off.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $unit,)+
        }

        impl Limits {
            /// The limits that hold unless configuration lowers one.
            pub const STANDARD: Self = Self { $($name: $value,)+ };

            /// Every limit: where it is enforced, its name, its value.
            pub fn all(&self) -> impl Iterator<Item = (Scope, &'static str, u64)> {
                [$((Scope::$scope, stringify!($name), u64::from(self.$name)),)+].into_iter()
            }
        }
    };
}

limits! {
    /// Payload of one frame.
    Conversation frame_bytes_max: u32 = 1 << 20;
    /// Descriptors that may ride on one frame.
    Conversation frame_descriptors_max: u16 = 200;
    /// Frames one worker may send in one conversation: an import of `rows_max` rows tells its progress 32,768 times.
    Conversation frames_max: u64 = 1 << 16;
    /// Bytes of all frames of one conversation, descriptors aside: the widest table (100,000 cells of 16 measures) has 214 MB.
    Conversation frames_bytes_max: u64 = 256 << 20;
    /// Reads off the socket that may come at once: `frames_bytes_max` in the kernel's pieces of 32 KiB, and two for each of the 3,300
    /// frames that sixteen of the widest tables need, are 15,000.
    Conversation frame_reads_burst_max: u32 = 1 << 14;
    /// Reads a second beyond that, for as long as it lasts: an import tells its progress some 100 times a second, in two reads each.
    Conversation frame_reads_per_second_max: u32 = 512;

    /// Bytes of one column as it crosses in shared memory.
    Data column_bytes_max: u64 = 8 << 30;
    /// Rows of a dataset version or a fused view.
    Data rows_max: u64 = 1 << 31;
    /// Columns of a dataset or a view.
    Data columns_max: u32 = 190;
    /// Entries of a category's domain or dictionary.
    Data dictionary_entries_max: u32 = 1 << 20;
    /// Bytes of one text value or label.
    Data text_bytes_max: u32 = 4096;
    /// Bytes of one uploaded data file, as sent.
    Data upload_bytes_max: u64 = 4 << 30;
    /// Bytes of one uploaded data file after decompression.
    Data upload_expanded_bytes_max: u64 = 16 << 30;
    /// Memory that the columns of one import take while they are built; with a row group within `ingest_memory_bytes_max`.
    Data import_bytes_max: u64 = 1280 << 20;
    /// Bytes that one row group of a Parquet file takes when it is decoded.
    Data row_group_bytes_max: u64 = 512 << 20;
    /// Rejected rows that an import reports one by one; more are counted.
    Data rejected_rows_reported_max: u32 = 1000;

    /// Bytes of an uploaded module, a core module or a component. A whole Python runtime with its libraries takes 18 MB.
    Module module_bytes_max: u64 = 64 << 20;
    /// Core modules and components inside the upload, itself included.
    Module module_parts_max: u64 = 128;
    /// Components inside each other.
    Module module_nesting_max: u64 = 16;
    /// Functions with a body, of all parts together.
    Module module_functions_max: u64 = 200_000;
    /// Types with their fields, cases and declarations, of all parts together.
    Module module_types_max: u64 = 100_000;
    /// Bytes of one section of component types that can open a type inside a type: more cannot lie inside each other, and the
    /// decoder goes down level by level on its stack.
    Module module_type_openings_max: u64 = 1_500;
    /// Parameters and results of all function types and all functions together: each exported function gets an entry whose code
    /// grows with them.
    Module module_signature_values_max: u64 = 2_000_000;
    /// Imports of all parts together; what a module may import is the world's alone, its parts import from each other.
    Module module_imports_max: u64 = 50_000;
    /// Exports of all parts together.
    Module module_exports_max: u64 = 100_000;
    /// Globals of all parts together.
    Module module_globals_max: u64 = 50_000;
    /// Data and element segments of all parts together.
    Module module_segments_max: u64 = 100_000;
    /// Items of all element segments together.
    Module module_segment_items_max: u64 = 1_000_000;
    /// Aliases, canonical functions, core instances put together by hand and custom sections, of all parts together.
    Module module_entries_max: u64 = 200_000;
    /// Bytes of the name of one import or export.
    Module module_name_bytes_max: u64 = 2048;
    /// Bytes of one function.
    Module function_bytes_max: u64 = 1 << 20;
    /// Parameters and locals of one function.
    Module function_locals_max: u64 = 10_000;
    /// Blocks of one function inside each other.
    Module function_nesting_max: u64 = 20_000;
    /// Values that the calls, blocks and branches of one function name by their types: two bytes of a call can make 1,000, and each
    /// takes the compiler half a KiB.
    Module function_values_max: u64 = 500_000;
    /// (Parameters + locals + 1) × (blocks + branch targets + 1) of one function: a compiler's time grows with it.
    Module function_locals_times_blocks_max: u64 = 8_000_000;
    /// The same over all functions.
    Module module_locals_times_blocks_max: u64 = 100_000_000;
    /// Bytes of the manifest.
    Module manifest_bytes_max: u64 = 256 << 10;
    /// Bytes of compiled code.
    Module code_bytes_max: u64 = 256 << 20;

    /// Linear memory of a guest, of all its instances together.
    Run guest_memory_bytes_max: u64 = 1 << 30;
    /// Stack of a guest.
    Run guest_stack_bytes_max: u64 = 1 << 20;
    /// Elements of a guest's tables together.
    Run guest_table_elements_max: u64 = 100_000;
    /// Core instances of a guest: counted in the module, where an instance of a part stands for all that the part makes.
    Run guest_instances_max: u64 = 256;
    /// Tables of a guest's instances.
    Run guest_tables_max: u64 = 256;
    /// Memories of a guest's instances; each reserves 4 GiB of addresses.
    Run guest_memories_max: u64 = 16;
    /// Rows that one call may take or bring.
    Run chunk_rows_max: u32 = 1 << 20;
    /// Bytes that one call may make the host allocate for texts and lists of texts.
    Run hostcall_bytes_max: u64 = 16 << 20;

    /// Columns that a fold or a verification reads.
    Run fold_columns_max: u32 = 128;
    /// Length of a contribution: one fits a frame.
    Run fold_dimension_max: u32 = 100_000;
    /// Length of a fold's state.
    Run fold_state_max: u32 = 100_000;
    /// Rounds of a fold.
    Fold fold_rounds_max: u32 = 1000;
    /// Shared blocks.
    Fold fold_blocks_max: u32 = 1 << 20;
    /// Shared blocks that get a process each.
    Fold fold_process_blocks_max: u32 = 256;
    /// Rows of one privacy unit.
    Fold fold_unit_rows_max: u32 = 1 << 16;
    /// Rows of one block: the rows beyond are left out, those with the largest hash first.
    Fold fold_block_rows_max: u32 = 1 << 20;
    /// Bytes of one frame between an engine and the guest that maps its blocks: a block travels whole.
    Fold fold_frame_bytes_max: u32 = 48 << 20;
    /// Guest processes that may end under one job before the job ends.
    Fold fold_restarts_max: u32 = 16;
    /// Fuel of one block, or of one update.
    Fold fold_fuel_max: u64 = 10_000_000_000;
    /// Linear memory of one instance of a fold or a verification.
    Run fold_memory_bytes_max: u64 = 64 << 20;

    /// Rows of one subject that a verification sees; with more it answers as of an unknown one.
    Data subject_rows_max: u32 = 1 << 16;

    /// Labels of a verification's answer.
    Output answer_labels_max: u32 = 32;
    /// Columns a module may derive.
    Output derived_columns_max: u32 = 32;
    /// Labels of a derived category.
    Output derived_labels_max: u32 = 256;
    /// Bytes of a label of a derived category.
    Output derived_label_bytes_max: u32 = 64;
    /// Bytes of all derived columns of a run.
    Output output_bytes_max: u64 = 4 << 30;
    /// Tables a module may ask for in one run.
    Output tables_max: u32 = 16;
    /// Group keys of one table.
    Output table_keys_max: u32 = 6;
    /// Measures of one table.
    Output table_measures_max: u32 = 16;
    /// Cells of one table, hidden ones included.
    Output table_cells_max: u64 = 100_000;
    /// Models a module may hand in.
    Output models_max: u32 = 4;
    /// Real-valued parameters of one model, one aside, and its features.
    Output model_coefficients_max: u32 = 4096;
    /// Trees of one model.
    Output model_trees_max: u32 = 256;
    /// Nodes of all trees of one model.
    Output model_nodes_max: u32 = 4096;
    /// Splits between the root of a tree and a leaf.
    Output model_depth_max: u32 = 16;
    /// Layers of one network.
    Output model_layers_max: u32 = 4;
    /// Bytes of log text a module may write on synthetic data; more is dropped.
    Output log_bytes_max: u32 = 64 << 10;
    /// Bytes of the text of a module's own error, on synthetic data; more is dropped.
    Output error_bytes_max: u32 = 4096;

    /// Time of one step of a worker, from a request to the end of its answer. Configuration may lower it.
    Process wall_ms_max: u64 = 600_000;
    /// Processor time of a worker, all threads together.
    Process cpu_seconds_max: u64 = 1200;
    /// Processor time of a compilation.
    Process compile_cpu_seconds_max: u64 = 120;
    /// Private memory of an import.
    Process ingest_memory_bytes_max: u64 = 2 << 30;
    /// Private memory of a compilation.
    Process compile_memory_bytes_max: u64 = 2 << 30;
    /// Private memory of an engine; lowered where the memory for all workers is small.
    Process engine_memory_bytes_max: u64 = 16 << 30;
    /// Private memory of a guest process on top of the guest's linear memory.
    Process guest_memory_overhead_bytes_max: u64 = 512 << 20;
}

impl Limits {
    /// Private memory of a worker (RLIMIT_DATA).
    pub const fn memory_bytes_max(&self, role: WorkerRole) -> u64 {
        match role {
            WorkerRole::Ingest => self.ingest_memory_bytes_max,
            WorkerRole::Compile => self.compile_memory_bytes_max,
            WorkerRole::Engine => self.engine_memory_bytes_max,
            WorkerRole::Guest => self.guest_memory_bytes_max + self.guest_memory_overhead_bytes_max,
        }
    }

    /// How many steps' time a conversation in `role` may take in all, however often a step restarts the clock. An engine fuses,
    /// waits for the guest and reduces; an import is one step for as long as it tells progress.
    pub const fn wall_steps_max(role: WorkerRole) -> u32 {
        match role {
            WorkerRole::Ingest | WorkerRole::Engine => 3,
            WorkerRole::Compile | WorkerRole::Guest => 1,
        }
    }

    /// Processor time of a worker (RLIMIT_CPU).
    pub const fn cpu_seconds_max(&self, role: WorkerRole) -> u64 {
        match role {
            WorkerRole::Compile => self.compile_cpu_seconds_max,
            WorkerRole::Ingest | WorkerRole::Engine | WorkerRole::Guest => self.cpu_seconds_max,
        }
    }
}

/// A bound that was met. Checkers see all of it; an author sees it at upload and on synthetic data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{name}: {current} held, {requested} more asked for, {limit} allowed")]
pub struct LimitExceeded {
    /// The field of [`Limits`]; for a row or column beyond what the view or the manifest has, what was counted.
    pub name: String,
    /// What is allowed.
    pub limit: u64,
    /// What was held already.
    pub current: u64,
    /// What was asked for on top.
    pub requested: u64,
}

impl LimitExceeded {
    /// `Ok` while `current + requested` stays within `limit`.
    ///
    /// # Errors
    /// The exceeded limit.
    pub fn check(name: &str, limit: u64, current: u64, requested: u64) -> Result<(), Self> {
        match current.checked_add(requested) {
            Some(sum) if sum <= limit => Ok(()),
            _ => Err(Self { name: name.to_owned(), limit, current, requested }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_listed_once_and_bounds_something() {
        let names: std::collections::BTreeSet<_> = Limits::STANDARD.all().map(|(_, name, _)| name).collect();
        assert_eq!(names.len(), Limits::STANDARD.all().count());
        assert!(Limits::STANDARD.all().all(|(_, _, value)| value > 0));
        let serde_json::Value::Object(fields) = serde_json::to_value(Limits::STANDARD).unwrap() else { panic!() };
        assert_eq!(fields.len(), names.len());
    }

    #[test]
    fn a_check_neither_passes_the_limit_nor_wraps() {
        assert!(LimitExceeded::check("x", 10, 4, 6).is_ok());
        assert_eq!(LimitExceeded::check("x", 10, 5, 6).unwrap_err().current, 5);
        assert!(LimitExceeded::check("x", u64::MAX, u64::MAX, 1).is_err());
    }
}
