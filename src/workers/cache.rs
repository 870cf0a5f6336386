//! Fused views as sealed memory, bounded in bytes and descriptors, the least recently used out first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use super::engine::View;

/// Digest over all that a view depends on: plan, versions, consent snapshot, pseudonym key, engine.
pub type CacheKey = [u8; 32];

/// Descriptors that all cached views may hold: a process has few (RLIMIT_NOFILE), and a small view has as many as a large one.
const DESCRIPTORS_MAX: usize = 400;

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
        let full = |views: &HashMap<CacheKey, Entry>| {
            views.values().map(|e| e.view.bytes()).sum::<u64>() > self.bytes_max
                || views.values().map(|e| e.view.descriptors()).sum::<usize>() > DESCRIPTORS_MAX
        };
        while full(&inner.views) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::memfd::{SealedFd, sealed};
    use protocol::plan::{FusionReport, ViewColumn, ViewType, Visibility};

    fn view(columns: usize, bytes: usize) -> View {
        let column =
            |i| ViewColumn { name: format!("c{i}"), ty: ViewType::Date, visibility: Visibility::Granted, provenance: String::new() };
        let fd = || SealedFd::verify(sealed("v", &vec![0; bytes]).unwrap(), u64::MAX).unwrap();
        View::new((0..columns).map(|i| (column(i), fd())).collect(), FusionReport { members: Vec::new(), rows: 1, units: 1 })
    }

    #[test]
    fn small_views_are_bounded_in_number_and_large_ones_in_bytes() {
        let cache = ViewCache::new(1 << 20);
        for n in 0..200u8 {
            cache.put([n; 32], view(9, 8), BTreeSet::new());
        }
        let held = |cache: &ViewCache| (0..200u8).filter(|n| cache.get(&[*n; 32]).is_some()).collect::<Vec<_>>();
        let kept = held(&cache);
        assert_eq!((kept.len(), kept.last()), (DESCRIPTORS_MAX / 9, Some(&199)));
        cache.put([0; 32], view(2, 400 << 10), BTreeSet::from(["tax".to_owned()]));
        assert_eq!(held(&cache).first(), Some(&0), "the newest stays");
        cache.put([1; 32], view(2, 400 << 10), BTreeSet::new());
        assert!(cache.get(&[0; 32]).is_none() && cache.get(&[1; 32]).is_some());
        cache.put([2; 32], view(2, 1 << 20), BTreeSet::new());
        assert!(cache.get(&[2; 32]).is_none() && cache.get(&[1; 32]).is_some(), "what is too large is not held, and drives nothing out");
    }
}
