//! Wakes that come before the subscription they are for.
//!
//! A subscription counts for publishers as soon as it is committed, and a wake may be here before
//! the store's own answer. While rows are on their way into memory, wakes for what nobody watches
//! yet are kept.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use presently_pool::{ResourceId, Version};

#[derive(Debug, Default)]
pub(super) struct Early {
    /// Operations under way whose outcome brings subscriptions.
    arriving: usize,
    heard: HashMap<ResourceId, Version, RandomState>,
    is_overrun: bool,
}

impl Early {
    /// An operation begins whose outcome may bring subscriptions.
    pub(super) fn begin(&mut self) {
        self.arriving += 1;
    }

    /// Its outcome is in memory.
    pub(super) fn end(&mut self) {
        self.arriving = self.arriving.saturating_sub(1);
        if self.arriving == 0 {
            self.heard.clear();
        }
    }

    /// Keeps a wake for what nobody watches yet, if somebody may be about to. At the bound it is
    /// lost, and the next sweep reads all.
    pub(super) fn note(&mut self, resource: &ResourceId, version: Version) {
        if self.arriving == 0 {
            return;
        }
        if let Some(heard) = self.heard.get_mut(resource) {
            *heard = version.max(*heard);
        } else if self.heard.len() < EARLY_MAX {
            self.heard.insert(resource.clone(), version);
        } else {
            self.is_overrun = true;
        }
    }

    /// The highest version heard of `resource`; 0 when none.
    pub(super) fn heard(&self, resource: &ResourceId) -> Version {
        self.heard.get(resource).copied().unwrap_or_default()
    }

    /// Whether a wake was lost since this was asked last.
    pub(super) fn take_overrun(&mut self) -> bool {
        std::mem::take(&mut self.is_overrun)
    }
}

/// Wakes kept: some hundred kilobytes.
const EARLY_MAX: usize = 4_096;
