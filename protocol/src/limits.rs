//! Every bound of the product that does not depend on a policy, in one place, with units.

use serde::{Deserialize, Serialize};

use crate::message::WorkerRole;

/// Bounds that hold between the processes and for uploads. All are upper bounds; none can be switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Payload of one frame.
    pub frame_bytes_max: u32,
    /// Descriptors that may ride on one frame.
    pub frame_descriptors_max: u16,
    /// Frames one worker may send in one conversation: an import of `rows_max` rows tells its progress 32,768 times.
    pub frames_max: u64,
    /// Bytes of all frames of one conversation, descriptors aside: the widest table (100,000 cells of 16 measures) has 214 MB.
    pub frames_bytes_max: u64,
    /// Reads off the socket that may come at once: `frames_bytes_max` in the kernel's pieces of 32 KiB, and two for each of the 3,300
    /// frames that sixteen of the widest tables need, are 15,000.
    pub frame_reads_burst_max: u32,
    /// Reads a second beyond that, for as long as it lasts: an import tells its progress some 100 times a second, in two reads each.
    pub frame_reads_per_second_max: u32,
    /// Bytes of one column as it crosses in shared memory.
    pub column_bytes_max: u64,
    /// Rows of a dataset version or a fused view.
    pub rows_max: u64,
    /// Columns of a dataset or a view.
    pub columns_max: u32,
    /// Entries of a category's domain or dictionary.
    pub dictionary_entries_max: u32,
    /// Bytes of one text value or label.
    pub text_bytes_max: u32,
    /// Bytes of an uploaded module.
    pub module_bytes_max: u64,
    /// Bytes of compiled code.
    pub code_bytes_max: u64,
    /// Bytes of one uploaded data file, as sent.
    pub upload_bytes_max: u64,
    /// Bytes of one uploaded data file after decompression.
    pub upload_expanded_bytes_max: u64,
    /// Bytes that the columns of one import take while they are built.
    pub import_bytes_max: u64,
    /// Bytes that one row group of a Parquet file takes when it is decoded.
    pub row_group_bytes_max: u64,
    /// Rejected rows that an import reports one by one; more are counted.
    pub rejected_rows_reported_max: u32,
    /// Columns a module may derive.
    pub derived_columns_max: u32,
    /// Tables a module may ask for in one run.
    pub tables_max: u32,
    /// Group keys of one table.
    pub table_keys_max: u32,
    /// Measures of one table.
    pub table_measures_max: u32,
    /// Cells of one table, hidden ones included.
    pub table_cells_max: u64,
    /// Models a module may hand in.
    pub models_max: u32,
    /// Coefficients of one linear model.
    pub model_coefficients_max: u32,
    /// Bytes of log text a module may write on synthetic data.
    pub log_bytes_max: u32,
    /// Linear memory of a guest.
    pub guest_memory_bytes_max: u64,
    /// Stack of a guest.
    pub guest_stack_bytes_max: u64,
    /// Elements of a guest's tables.
    pub guest_table_elements_max: u64,
    /// Time of one step of a worker, from a request to the end of its answer. Configuration may lower it.
    pub wall_ms_max: u64,
    /// Processor time of a worker, all threads together.
    pub cpu_seconds_max: u64,
    /// Processor time of a compilation.
    pub compile_cpu_seconds_max: u64,
    /// Private memory of an import.
    pub ingest_memory_bytes_max: u64,
    /// Private memory of a compilation.
    pub compile_memory_bytes_max: u64,
    /// Private memory of an engine; lowered where the memory for all workers is small.
    pub engine_memory_bytes_max: u64,
    /// Private memory of a guest process on top of the guest's linear memory.
    pub guest_memory_overhead_bytes_max: u64,
}

impl Limits {
    /// The limits that hold unless configuration lowers one.
    pub const STANDARD: Self = Self {
        frame_bytes_max: 1 << 20,
        frame_descriptors_max: 200,
        frames_max: 1 << 16,
        frames_bytes_max: 256 << 20,
        frame_reads_burst_max: 1 << 14,
        frame_reads_per_second_max: 512,
        column_bytes_max: 8 << 30,
        rows_max: 1 << 31,
        columns_max: 190,
        dictionary_entries_max: 1 << 20,
        text_bytes_max: 4096,
        module_bytes_max: 64 << 20,
        code_bytes_max: 256 << 20,
        upload_bytes_max: 4 << 30,
        upload_expanded_bytes_max: 16 << 30,
        import_bytes_max: 8 << 30,
        row_group_bytes_max: 4 << 30,
        rejected_rows_reported_max: 1000,
        derived_columns_max: 32,
        tables_max: 16,
        table_keys_max: 6,
        table_measures_max: 16,
        table_cells_max: 100_000,
        models_max: 4,
        model_coefficients_max: 4096,
        log_bytes_max: 64 << 10,
        guest_memory_bytes_max: 1 << 30,
        guest_stack_bytes_max: 1 << 20,
        guest_table_elements_max: 100_000,
        wall_ms_max: 600_000,
        cpu_seconds_max: 1200,
        compile_cpu_seconds_max: 120,
        ingest_memory_bytes_max: 2 << 30,
        compile_memory_bytes_max: 2 << 30,
        engine_memory_bytes_max: 16 << 30,
        guest_memory_overhead_bytes_max: 512 << 20,
    };

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
    /// The field of [`Limits`] or, for wasm validation, the limit's name.
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
