//! What is served beside the metrics. Routes, each behind the prefix:
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | `ok` as long as the process serves |
//! | `/validate/` | [`validate`](crate::validate) |
//! | `/api/…` | [`api`] |
//! | `/containers/…`, `/docker/…`, `/podman/…`, `/static/…`, `/live/…` | [`pages`] |
//! | one of these without its slash | 301 to it |
//! | any other, and `/` | 307 to `/containers/` |
//!
//! The paths and redirects are the original's; `/live/` is ours.

use std::pin::Pin;
use std::sync::Arc;

use exporter::web::{Call, Page, Pages, StatusCode, redirect, text};
use tokio::sync::Semaphore;

use crate::api;
use crate::filesystems::Filesystems;
use crate::history::History;
use crate::machine::Machine;
use crate::metadata::Directory;
use crate::pages;
use crate::scrape::Shared;
use crate::settings::Settings;
use crate::usage::Usage;
use crate::validate::Validate;

/// What all answers are made from.
#[derive(Debug)]
pub struct State {
    /// The command line.
    pub settings: Arc<Settings>,
    /// What the runtimes say.
    pub directory: Arc<Directory>,
    /// What the kernel says. It is locked for as long as a scrape takes: not on the event loop.
    pub containers: Shared,
    /// Readings of the last while.
    pub history: Arc<History>,
    /// The machine.
    pub machine: Arc<Machine>,
    /// Its filesystems.
    pub filesystems: Arc<Filesystems>,
    /// The size of writable layers.
    pub usage: Arc<Usage>,
}

/// Pages and checks that are made at once: each may hold what a scrape waits for.
static MAKERS: Semaphore = Semaphore::const_new(2);

/// The pages, the API and the rest.
#[derive(Debug)]
pub struct Site {
    state: Arc<State>,
    pages: pages::Pages,
    validate: Validate,
}

impl Site {
    /// Answers from the state.
    pub fn new(state: Arc<State>) -> Self {
        let State { settings, directory, containers, history, usage, .. } = &*state;
        let settings = || Arc::clone(settings);
        let directory = || Arc::clone(directory);
        let containers = || Arc::clone(containers);
        let pages = pages::Pages::new(settings(), directory(), containers(), Arc::clone(history));
        let validate = Validate::new(settings(), directory(), containers(), Arc::clone(usage));
        Site { state, pages, validate }
    }
}

impl Pages for Site {
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Page> + Send + '_>> {
        Box::pin(async move {
            match Route::of(&call.path) {
                Route::Health => text(StatusCode::OK, "ok"),
                Route::Api => api::answer(&self.state, &call).await,
                Route::Validate => {
                    let _place = MAKERS.acquire().await;
                    self.validate.answer().await
                }
                Route::Pages => {
                    let _place = MAKERS.acquire().await;
                    match self.pages.answer(&call).await {
                        Some(page) => page,
                        None => home(&call),
                    }
                }
                Route::Slash => moved(&format!("{}{}/", call.prefix, call.path)),
                Route::Home => home(&call),
            }
        })
    }
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Health,
    Validate,
    Api,
    Pages,
    /// The path lacks a slash.
    Slash,
    Home,
}

impl Route {
    fn of(path: &str) -> Self {
        let Some(path) = path.strip_prefix('/') else { return Route::Home };
        let (first, is_below) = match path.split_once('/') {
            Some((first, _)) => (first, true),
            None => (path, false),
        };
        let route = match first {
            "healthz" if !is_below => return Route::Health,
            "validate" => Route::Validate,
            "api" => Route::Api,
            "containers" | "docker" | "podman" | "static" | "live" => Route::Pages,
            _ => return Route::Home,
        };
        if is_below { route } else { Route::Slash }
    }
}

fn home(call: &Call) -> Page {
    redirect(&format!("{}/containers/", call.prefix))
}

/// Sends the peer elsewhere for good (301). `location` is as in [`redirect`].
fn moved(location: &str) -> Page {
    let mut page = redirect(location);
    if page.status() == StatusCode::TEMPORARY_REDIRECT {
        *page.status_mut() = StatusCode::MOVED_PERMANENTLY;
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_an_answer() {
        for (path, route) in [
            ("/", Route::Home),
            ("", Route::Home),
            ("*", Route::Home),
            ("//", Route::Home),
            ("//containers/", Route::Home),
            ("/nope", Route::Home),
            ("/favicon.ico", Route::Home),
            ("/Containers/", Route::Home),
            ("/containersx/", Route::Home),
            ("/healthz", Route::Health),
            ("/healthz/", Route::Home),
            ("/healthz/x", Route::Home),
            ("/validate", Route::Slash),
            ("/validate/", Route::Validate),
            ("/validate/x", Route::Validate),
            ("/api", Route::Slash),
            ("/api/", Route::Api),
            ("/api/v1.3/machine", Route::Api),
            ("/containers", Route::Slash),
            ("/containers/", Route::Pages),
            ("/containers/docker/x", Route::Pages),
            ("/docker", Route::Slash),
            ("/docker/", Route::Pages),
            ("/docker/web", Route::Pages),
            ("/podman", Route::Slash),
            ("/podman/", Route::Pages),
            ("/static", Route::Slash),
            ("/static/x.css", Route::Pages),
            ("/live/x", Route::Pages),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn redirects() {
        let page = moved("/prefix/api/");
        assert_eq!(
            (page.status(), &page.headers()["location"]),
            (StatusCode::MOVED_PERMANENTLY, &"/prefix/api/".parse().unwrap())
        );
        assert_eq!(moved("//evil/").status(), StatusCode::BAD_REQUEST);
    }
}
