//! The command line: the original's flags, those it has lost, and a few new ones; and what follows from them.

use std::path::Path;
use std::time::Duration;

use exporter::{Flag, FlagError, Flags};
use hostfs::Root;

use crate::families::Choice;
use crate::kinds::{self, Kinds};
use crate::labels::Kept;
use crate::view::View;

/// Where cAdvisor's container has the host's files.
const HOST: &str = "/rootfs";

/// Every flag but the shared ones.
pub const FLAGS: &[Flag] = &[
    Flag::text("listen_ip", "", "Address to listen on; empty is every address."),
    Flag::text("port", "8080", "Port to listen on."),
    Flag::text("prometheus_endpoint", "/metrics", "Path of the metrics."),
    Flag::text("url_base_prefix", "", "What every path begins with, for a reverse proxy."),
    Flag::text("http_auth_file", "", "htpasswd file; with it, every path asks for a name and a password."),
    Flag::text("http_auth_realm", "localhost", "Realm that the browser shows when it asks for them."),
    Flag::text("http_digest_file", "", "Not supported: the start is refused if it is given."),
    Flag::text("http_digest_realm", "localhost", "Not supported, as -http_digest_file.").hidden(),
    Flag::text("disable_metrics", kinds::OFF, "Kinds of metrics to leave out, in place of the default list."),
    Flag::text("enable_metrics", "", "The only kinds of metrics to write; overrides -disable_metrics."),
    Flag::switch(
        "extended_metrics",
        true,
        "Write the families that the original lacks: state, restarts, exit codes, memory events.",
    ),
    Flag::switch("docker_only", false, "Leave out cgroups that are no containers, but for the root."),
    Flag::text(
        "raw_cgroup_prefix_whitelist",
        "",
        "The only cgroups that are no containers to report: paths or their beginnings, with commas.",
    ),
    Flag::switch("disable_root_cgroup_stats", false, "Leave out the root cgroup."),
    Flag::switch("store_container_labels", true, "Turn labels of containers into labels of metrics."),
    Flag::text(
        "whitelisted_container_labels",
        "",
        "With -store_container_labels=false: the keys to turn into labels all the same, with commas.",
    ),
    Flag::text(
        "env_metadata_whitelist",
        "",
        "Beginnings of names of environment variables to turn into labels, with commas.",
    ),
    Flag::renamed("docker_env_metadata_whitelist", "env_metadata_whitelist"),
    Flag::renamed("containerd_env_metadata_whitelist", "env_metadata_whitelist"),
    Flag::text("docker", "unix:///var/run/docker.sock", "Docker's API; empty is none."),
    Flag::text("podman", "unix:///var/run/podman/podman.sock", "Podman's API; empty is none."),
    Flag::switch(
        "enable_load_reader",
        false,
        "Read the state of every process, for container_tasks_state and container_cpu_load_average_10s.",
    ),
    Flag::switch(
        "host_network_metrics",
        false,
        "Repeat the machine's traffic under each container that uses the machine's network.",
    ),
    Flag::switch(
        "disk_usage",
        true,
        "Measure writable layers and logs in the background, with idle priority.",
    ),
    Flag::text("disk_usage_interval", "60s", "Least time between two measurements."),
    Flag::text(
        "last_seen_retention",
        "10m",
        "How long container_last_seen goes on for a container that is gone.",
    ),
    Flag::text(
        "storage_duration",
        "2m",
        "How much history is kept for pages and the API while somebody looks.",
    ),
    Flag::text("update_machine_info_interval", "5m", "How long what is read of the machine is good for."),
    Flag::text(
        "machine_id_file",
        "/etc/machine-id,/var/lib/dbus/machine-id",
        "Files that may hold the machine's id, with commas; the first that is there counts.",
    ),
    Flag::text(
        "boot_id_file",
        "/proc/sys/kernel/random/boot_id",
        "Files that may hold the id of the boot, with commas.",
    ),
    Flag::text("path.rootfs", "", "Where the host's / is [default: /rootfs if it is there, else /]."),
    Flag::text("path.procfs", "", "Where the host's /proc is [default: proc below the host's /]."),
    Flag::text(
        "path.sysfs",
        "",
        "Where the host's /sys is [default: /sys if it is there, else sys below the host's /].",
    ),
    Flag::text("path.cgroup", "", "Where the host's cgroups are [default: fs/cgroup below the host's /sys]."),
    // What the original's polling, its storage drivers and its other inputs needed.
    Flag::ignored("allow_dynamic_housekeeping", false),
    Flag::ignored("application_metrics_count_limit", true),
    Flag::ignored("bq_account", true),
    Flag::ignored("bq_credentials_file", true),
    Flag::ignored("bq_id", true),
    Flag::ignored("bq_project_id", true),
    Flag::ignored("bq_secret", true),
    Flag::ignored("collector_cert", true),
    Flag::ignored("collector_key", true),
    Flag::ignored("container_hints", true),
    Flag::ignored("containerd", true),
    Flag::ignored("containerd-namespace", true),
    Flag::ignored("crio_client_timeout", true),
    Flag::ignored("docker-tls", false),
    Flag::ignored("docker-tls-ca", true),
    Flag::ignored("docker-tls-cert", true),
    Flag::ignored("docker-tls-key", true),
    Flag::ignored("docker_root", true),
    Flag::ignored("event_storage_age_limit", true),
    Flag::ignored("event_storage_event_limit", true),
    Flag::ignored("global_housekeeping_interval", true),
    Flag::ignored("housekeeping_interval", true),
    Flag::ignored("initial_splay_factor", true),
    Flag::ignored("jitter_factor", true),
    Flag::ignored("log_cadvisor_usage", false),
    Flag::ignored("max_housekeeping_interval", true),
    Flag::ignored("max_procs", true),
    Flag::ignored("mesos_agent", true),
    Flag::ignored("mesos_agent_timeout", true),
    Flag::ignored("nvidia_driver_version", true),
    Flag::ignored("nosystemd", false),
    Flag::ignored("perf_events_config", true),
    Flag::ignored("profiling", false),
    Flag::ignored("referenced_read_interval", true),
    Flag::ignored("referenced_reset_interval", true),
    Flag::ignored("resctrl_interval", true),
    Flag::ignored("storage_driver", true),
    Flag::ignored("storage_driver_buffer_duration", true),
    Flag::ignored("storage_driver_db", true),
    Flag::ignored("storage_driver_es_enable_sniffer", false),
    Flag::ignored("storage_driver_es_host", true),
    Flag::ignored("storage_driver_es_index", true),
    Flag::ignored("storage_driver_es_type", true),
    Flag::ignored("storage_driver_host", true),
    Flag::ignored("storage_driver_influxdb_retention_policy", true),
    Flag::ignored("storage_driver_kafka_broker_list", true),
    Flag::ignored("storage_driver_kafka_ssl_ca", true),
    Flag::ignored("storage_driver_kafka_ssl_cert", true),
    Flag::ignored("storage_driver_kafka_ssl_key", true),
    Flag::ignored("storage_driver_kafka_ssl_verify", false),
    Flag::ignored("storage_driver_kafka_topic", true),
    Flag::ignored("storage_driver_password", true),
    Flag::ignored("storage_driver_secure", false),
    Flag::ignored("storage_driver_table", true),
    Flag::ignored("storage_driver_user", true),
    Flag::ignored("update_machine_info", true),
    // klog's, which every compose file passes.
    Flag::ignored("add_dir_header", false).quiet(),
    Flag::ignored("alsologtostderr", false).quiet(),
    Flag::ignored("log_backtrace_at", true).quiet(),
    Flag::ignored("log_dir", true).quiet(),
    Flag::ignored("log_file", true).quiet(),
    Flag::ignored("log_file_max_size", true).quiet(),
    Flag::ignored("logtostderr", false).quiet(),
    Flag::ignored("one_output", false).quiet(),
    Flag::ignored("skip_headers", false).quiet(),
    Flag::ignored("skip_log_headers", false).quiet(),
    Flag::ignored("stderrthreshold", true).quiet(),
    Flag::ignored("v", true).quiet(),
    Flag::ignored("vmodule", true).quiet(),
];

/// What the flags say, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The host's `/`.
    pub rootfs: Root,
    /// The host's `/proc`.
    pub proc: Root,
    /// The host's `/sys`.
    pub sys: Root,
    /// The host's cgroups.
    pub cgroup: Root,
    /// What of these is the host's indeed.
    pub view: View,
    /// Which families there are.
    pub choice: Choice,
    /// Which labels of containers become labels.
    pub kept: Kept,
    /// Which environment variables become labels: beginnings of their names.
    pub env_prefixes: Vec<String>,
    /// Only containers and the root.
    pub containers_only: bool,
    /// Beginnings of the paths of other cgroups that are reported all the same, or alone; all of them if empty.
    pub raw_prefixes: Vec<String>,
    /// Whether the root is reported.
    pub root: bool,
    /// Whether containers on the machine's network repeat its traffic.
    pub host_network: bool,
    /// Docker's API, if any.
    pub docker: Option<String>,
    /// Podman's API, if any.
    pub podman: Option<String>,
    /// How writable layers are measured.
    pub usage: crate::usage::Settings,
    /// How the machine's names are found.
    pub machine: crate::machine::Settings,
    /// How long a container that is gone is spoken of.
    pub retention: Duration,
    /// How much history is kept while somebody looks.
    pub history: Duration,
    /// What is to be logged about the flags.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Reads the flags.
    ///
    /// # Errors
    /// The first value that is wrong.
    pub fn new(flags: &Flags) -> Result<Self, FlagError> {
        let given = |name: &str| Some(flags.text(name)).filter(|path| !path.is_empty()).map(Root::new);
        for name in ["path.rootfs", "path.procfs", "path.sysfs", "path.cgroup"] {
            if given(name).is_some_and(|root| !root.path().is_dir()) {
                return Err(flags.error(name, "is no directory: give the place where it is mounted"));
            }
        }
        // As the original: in its container the host is at /rootfs.
        let has_host = Path::new(HOST).join("proc/1").exists();
        let rootfs = given("path.rootfs").unwrap_or_else(|| Root::new(if has_host { HOST } else { "/" }));
        let proc = given("path.procfs").unwrap_or_else(|| Root::new(rootfs.join("proc")));
        let sys = given("path.sysfs").unwrap_or_else(|| {
            if Path::new("/sys/fs/cgroup").exists() {
                Root::new("/sys")
            } else {
                Root::new(rootfs.join("sys"))
            }
        });
        let cgroup = given("path.cgroup").unwrap_or_else(|| Root::new(sys.join("fs/cgroup")));
        let list = |name: &str| -> Vec<String> {
            flags
                .text(name)
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let (kinds, warnings) = Kinds::from_flags(flags);
        let choice = Choice {
            kinds,
            load: flags.switch("enable_load_reader"),
            extended: flags.switch("extended_metrics"),
        };
        let kept = if flags.switch("store_container_labels") {
            Kept::All
        } else {
            Kept::These(list("whitelisted_container_labels"))
        };
        let address = |name: &str| Some(flags.text(name).to_owned()).filter(|address| !address.is_empty());
        let usage = crate::usage::Settings {
            enabled: flags.switch("disk_usage") && kinds.has(kinds::Kind::Disk),
            interval: flags.duration("disk_usage_interval")?,
            ..Default::default()
        };
        let machine = crate::machine::Settings {
            machine_id_files: list("machine_id_file").into_iter().map(Into::into).collect(),
            boot_id_files: list("boot_id_file").into_iter().map(Into::into).collect(),
            update_interval: flags.duration("update_machine_info_interval")?,
        };
        let view = View::new(proc.path(), rootfs.path());
        Ok(Settings {
            view,
            rootfs,
            proc,
            sys,
            cgroup,
            choice,
            kept,
            env_prefixes: list("env_metadata_whitelist"),
            containers_only: flags.switch("docker_only"),
            raw_prefixes: list("raw_cgroup_prefix_whitelist"),
            root: !flags.switch("disable_root_cgroup_stats"),
            host_network: flags.switch("host_network_metrics"),
            docker: address("docker"),
            podman: address("podman"),
            usage,
            machine,
            retention: flags.duration("last_seen_retention")?,
            history: flags.duration("storage_duration")?,
            warnings,
        })
    }
}

/// Sets the shared flags from the original's: where to listen, and the path of the metrics.
///
/// # Errors
/// A port that is none.
pub fn settle(flags: &mut Flags) -> Result<(), FlagError> {
    let Ok(port) = flags.text("port").parse::<u16>() else {
        return Err(flags.error("port", "must be a number up to 65535"));
    };
    if !flags.is_given("web.listen-address") {
        let ip = flags.text("listen_ip");
        let address = if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
        flags.set_list("web.listen-address", vec![address]);
    }
    if !flags.is_given("web.telemetry-path") {
        let path = flags.text("prometheus_endpoint").to_owned();
        flags.set("web.telemetry-path", &path);
    }
    Ok(())
}
