//! What a host is given when it starts.

use super::AlertRoute;
use crate::limits;
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

/// What a host is given when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who is told of what goes wrong; whoever was told before, and later again, where absent.
    pub alerts: Option<Vec<AlertRoute>>,
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
            alerts: None,
            permits: limits::POOL_INSTANCES,
            instances: limits::instances_of_one(),
            keep_owners: false,
            settings: None,
            closing: Arc::default(),
        }
    }
}
