//! To be written.

use std::sync::Arc;

use exporter::web::{Call, Page, StatusCode, text};

use crate::site::State;

/// The answer.
pub async fn answer(_state: &Arc<State>, _call: &Call) -> Page {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}
