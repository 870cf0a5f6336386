//! Fused views as sealed memory, bounded in bytes, the least recently used out first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::engine::View;

/// Digest over all that a view depends on: plan, versions, consent snapshot, pseudonym key, engine.
pub type CacheKey = [u8; 32];

/// The cache. Holding a descriptor keeps its memory; dropping the last one frees it.
#[derive(Debug)]
pub struct ViewCache {
    bytes_max: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clock: u64,
    views: HashMap<CacheKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    view: View,
    tags: BTreeSet<String>,
    used: u64,
}

impl ViewCache {
    /// Holds at most `bytes_max` bytes of shared memory.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max, inner: Mutex::default() }
    }

    /// The view of this key, if it is held.
    pub fn get(&self, key: &CacheKey) -> Option<View> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clock += 1;
        let now = inner.clock;
        let entry = inner.views.get_mut(key)?;
        entry.used = now;
        Some(entry.view.clone())
    }

    /// Holds a view under the names of what it depends on (datasets, agreement, operator). One larger than the bound is not held.
    pub fn put(&self, key: CacheKey, view: View, tags: BTreeSet<String>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if view.bytes() > self.bytes_max {
            return;
        }
        inner.clock += 1;
        let used = inner.clock;
        inner.views.insert(key, Entry { view, tags, used });
        while inner.views.values().map(|e| e.view.bytes()).sum::<u64>() > self.bytes_max {
            let Some(oldest) = inner.views.iter().min_by_key(|(_, e)| e.used).map(|(k, _)| *k) else { return };
            inner.views.remove(&oldest);
        }
    }

    /// Drops every view that depends on `tag`: on revocation, withdrawal, freeze, disposal.
    pub fn evict(&self, tag: &str) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).views.retain(|_, e| !e.tags.contains(tag));
    }

    /// Drops all.
    pub fn clear(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).views.clear();
    }
}
