//! What this process and its children hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The worker: `FUSEBOX_WORKER`, else the one that cargo built beside this test.
pub fn worker() -> std::path::PathBuf {
    std::env::var_os("FUSEBOX_WORKER").map_or_else(|| env!("CARGO_BIN_EXE_fusebox-worker").into(), Into::into)
}

/// Descriptors that this process has open.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A line of `/proc/PID/status` in bytes.
pub fn memory(pid: &str, line: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let text = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
    text.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// Processes that descend from this one, threads of ours aside.
pub fn descendants() -> Vec<u32> {
    let mut parents = HashMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may hold anything; state and parent follow it.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        parents.insert(pid, rest.split_whitespace().nth(1).and_then(|p| p.parse::<u32>().ok()).unwrap_or(0));
    }
    let own = std::process::id();
    let descends = |mut pid: u32| {
        (0..16).any(|_| {
            pid = parents.get(&pid).copied().unwrap_or(0);
            pid == own
        })
    };
    parents.keys().copied().filter(|pid| descends(*pid)).collect()
}

/// The most memory that any child was seen to hold, looked up every few milliseconds: the kernel keeps the peak of each itself
/// (`VmHWM`), so only the last moments of a child can be missed.
pub struct Peak {
    seen: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Peak {
    pub fn watch() -> Self {
        let (seen, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (peak, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for pid in descendants().iter().map(u32::to_string) {
                    // Before it is a worker, a child is a copy of this process, memory and all.
                    let is_worker =
                        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("fusebox-worker"));
                    let bytes = if is_worker { memory(&pid, "VmHWM") } else { None };
                    peak.fetch_max(bytes.unwrap_or(0), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Waits for what the kernel does in its own time.
pub fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not come to pass: {:?} are there, {} descriptors", descendants(), descriptors());
}
