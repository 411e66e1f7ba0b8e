//! What a host is given when it starts.

use crate::limits;
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

/// What a host is given when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// A line for `sh -c` that gets every failure as JSON on its standard input.
    pub alert: Option<String>,
    /// Chunks that may be handled at the same time, over all rebuilds; [`limits::POOL_INSTANCES`] by default, and at most.
    pub permits: usize,
    /// Instances that work for one rebuild, where its projection is partitioned by stream; [`limits::instances_of_one`] by
    /// default.
    pub instances: usize,
    /// See [`crate::pipeline::InstancePool::keeping_owners`]; not by default.
    pub keep_owners: bool,
    /// The file with the settings, read each time something of it is needed; none by default.
    pub settings: Option<PathBuf>,
    /// Raised when the host ends: nothing begins any more.
    pub closing: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            alert: None,
            permits: limits::POOL_INSTANCES,
            instances: limits::instances_of_one(),
            keep_owners: false,
            settings: None,
            closing: Arc::default(),
        }
    }
}
