//! Container metrics for Prometheus: a drop-in for cAdvisor on Linux.
//!
//! | module | what it does |
//! |---|---|
//! | [`settings`] | the command line |
//! | [`containers`] | which cgroups there are and what the kernel accounts to them, joined with what the runtimes say |
//! | [`families`] | the table of families about containers; [`scrape`] writes them |
//! | [`metadata`], [`docker`] | what Docker and Podman say of containers, kept by their events |
//! | [`machine`] | the machine, and the families about it |
//! | [`network`], [`processes`], [`disks`], [`filesystems`] | readers of what the cgroups do not tell |
//! | [`pages`], [`validate`] | what people look at in a browser, and what is wrong with the set-up |
//! | [`usage`] | the size of writable layers, measured in the background |
//! | [`history`] | readings of the last while, while somebody looks |
//! | [`site`] | which path is answered by what: [`api`], [`pages`], [`validate`] |

use std::sync::{Arc, Mutex};

use exporter::app::{Product, Service, Task};
use exporter::flags::Style;
use exporter::own::Build;
use exporter::{FlagError, Flags};

pub mod api;
pub mod containers;
pub mod disks;
pub mod docker;
pub mod families;
pub mod filesystems;
pub mod history;
pub mod identity;
pub mod kinds;
pub mod labels;
pub mod machine;
pub mod metadata;
pub mod network;
pub mod pages;
pub mod processes;
pub mod scrape;
pub mod settings;
pub mod site;
pub mod usage;
pub mod validate;
pub mod view;

use containers::Containers;
use history::History;
use metadata::{Directory, Runtime};
use settings::Settings;
use site::{Site, State};

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, or empty.
pub const REVISION: &str = match option_env!("BUILD_REVISION") {
    Some(revision) => revision,
    None => "",
};

/// This exporter.
pub const PRODUCT: Product = Product {
    name: "container-advisor",
    title: "Container Advisor",
    about: "Metrics of this machine's containers for Prometheus.",
    build: Build {
        family: "container_advisor_build_info",
        version: VERSION,
        revision: REVISION,
        branch: match option_env!("BUILD_BRANCH") {
            Some(branch) => branch,
            None => "",
        },
    },
    namespace: "container_advisor",
    style: Style::Go,
    listen: &[":8080"],
    flags: settings::FLAGS,
    settle: settings::settle,
    entries: &[],
    lacking: &[],
    service,
};

/// Puts the parts together.
fn service(flags: &Flags) -> Result<Service, FlagError> {
    let settings = Arc::new(Settings::new(flags)?);
    for warning in &settings.warnings {
        exporter::log!(Warn, warning);
    }
    let directory = Arc::new(Directory::default());
    let mut tasks: Vec<Task> = Vec::new();
    for (flag, runtime, address) in
        [("docker", Runtime::Docker, &settings.docker), ("podman", Runtime::Podman, &settings.podman)]
    {
        let Some(address) = address else { continue };
        let mut watched = docker::Settings::new(runtime, address).map_err(|why| flags.error(flag, why))?;
        watched.env_prefixes.clone_from(&settings.env_prefixes);
        watched.is_default = !flags.is_given(flag);
        tasks.push(Box::pin(docker::watch(watched, Arc::clone(&directory))));
    }
    let filesystems = Arc::new(filesystems::Filesystems::new(&settings.proc, &settings.rootfs));
    let usage = Arc::new(usage::Usage::new(&settings.rootfs, settings.usage.clone()));
    let machine = machine::Machine::new(
        &settings.proc,
        &settings.sys,
        &settings.rootfs,
        settings.machine.clone(),
        Arc::clone(&filesystems),
    );
    let containers = Containers::new(
        Arc::clone(&settings),
        Arc::clone(&directory),
        Arc::clone(&filesystems),
        Arc::clone(&usage),
    );
    let containers: scrape::Shared = Arc::new(Mutex::new(containers));
    let scrape = scrape::Scrape { containers: Arc::clone(&containers), choice: settings.choice };
    let machine = Arc::new(machine);
    let about = machine::MachineCollector::new(
        Arc::clone(&machine),
        Arc::clone(&directory),
        settings.choice.kinds.has(kinds::Kind::CpuTopology),
        VERSION,
        REVISION,
    );
    let history = History::new(Arc::clone(&containers), settings.history);
    let state = State { settings, directory, containers, history, machine, filesystems, usage };
    Ok(Service {
        collectors: vec![("containers", Box::new(scrape)), ("machine", Box::new(about))],
        pages: Some(Arc::new(Site::new(Arc::new(state)))),
        tasks,
    })
}
