//! The collector: one reading of all containers, written as families.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use exporter::{Collector, Error, Kind, Text};

use crate::containers::Containers;
use crate::families::{self, Choice};

/// Containers, which scrapes, pages and the API read in turn.
pub type Shared = Arc<Mutex<Containers>>;

/// Writes the families of containers, and `container_scrape_error`.
pub struct Scrape {
    /// What is read.
    pub containers: Shared,
    /// Which families there are.
    pub choice: Choice,
}

impl Collector for Scrape {
    fn collect(&mut self, out: &mut Text, deadline: Instant) -> Result<(), Error> {
        // A reading that panicked left no container half read: the next one begins anew.
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let result = containers.refresh(deadline);
        out.single(
            "container_scrape_error",
            Kind::Gauge,
            "1 if the cgroups could not be read, else 0.",
            result.is_err(),
        );
        result?;
        families::write(out, &containers, &self.choice);
        Ok(())
    }
}
