//! From the API's words to ours: <https://docs.docker.com/reference/api/engine/>, of which `bollard` has the types.
//!
//! Labels and environment variables come from whoever starts a container, and go into each line of a scrape: so they are bounded here.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum,
    Health as HealthCheck, HealthStatusEnum, HostConfig,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::metadata::{ENV_MOST, Health, LABEL_MOST, LABELS_MOST, Metadata, Network, Runtime, State};

/// What an inspection says. The id is the one that was asked for.
pub(super) fn metadata(
    id: &str,
    runtime: Runtime,
    env_prefixes: &[String],
    said: ContainerInspectResponse,
) -> Metadata {
    let state = said.state.unwrap_or_default();
    let config = said.config.unwrap_or_default();
    let (mut storage_driver, mut writable_layer) = (String::new(), None);
    if let Some(mut driver) = said.graph_driver {
        storage_driver = driver.name;
        writable_layer = driver.data.remove("UpperDir").filter(|dir| !dir.is_empty());
    }
    let snapshotter = said.storage.and_then(|storage| storage.root_fs?.snapshot?.name);
    for other in [snapshotter, said.driver].into_iter().flatten() {
        if storage_driver.is_empty() {
            storage_driver = other;
        }
    }
    Metadata {
        id: id.to_owned(),
        runtime,
        name: said.name.as_deref().map(bare_name).unwrap_or_default().to_owned(),
        image: config.image.unwrap_or_default(),
        labels: labels(config.labels.unwrap_or_default()),
        env: env(config.env.unwrap_or_default(), env_prefixes),
        created: said.created.as_deref().and_then(seconds),
        started: state.started_at.as_deref().and_then(seconds),
        finished: state.finished_at.as_deref().and_then(seconds),
        state: life(&state),
        health: state.health.and_then(|health| health.status).and_then(|status| health(status.as_ref())),
        restart_count: said.restart_count.map(|count| count.max(0).unsigned_abs()),
        exit_code: state.exit_code,
        oom_killed: state.oom_killed,
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
        network: network(said.host_config.and_then(|config| config.network_mode).as_deref().unwrap_or("")),
        writable_layer,
        storage_driver,
    }
}

/// What can be understood of an inspection that has words or types which `bollard` refuses. `None` if it is no inspection at all.
pub(super) fn salvage(said: Value) -> Option<ContainerInspectResponse> {
    let Value::Object(mut said) = said else { return None };
    let mut state = object(&mut said, "State");
    let mut health = object(&mut state, "Health");
    let mut config = object(&mut said, "Config");
    let mut host = object(&mut said, "HostConfig");
    let labels = object(&mut config, "Labels").into_iter();
    let strings = labels
        .filter_map(|(key, value)| if let Value::String(value) = value { Some((key, value)) } else { None });
    let status = take::<String>(&mut state, "Status").and_then(|word| self::state(&word));
    let is_known = |wanted| (status == Some(wanted)).then_some(true);
    let said = ContainerInspectResponse {
        state: Some(ContainerState {
            status: status.map(|status| match status {
                State::Created => ContainerStateStatusEnum::CREATED,
                State::Running => ContainerStateStatusEnum::RUNNING,
                State::Paused => ContainerStateStatusEnum::PAUSED,
                State::Restarting => ContainerStateStatusEnum::RESTARTING,
                State::Removing => ContainerStateStatusEnum::REMOVING,
                State::Exited => ContainerStateStatusEnum::EXITED,
                State::Dead => ContainerStateStatusEnum::DEAD,
            }),
            running: take(&mut state, "Running").or(is_known(State::Running)),
            paused: take(&mut state, "Paused"),
            restarting: take(&mut state, "Restarting"),
            dead: take(&mut state, "Dead"),
            oom_killed: take(&mut state, "OOMKilled"),
            pid: take(&mut state, "Pid"),
            exit_code: take(&mut state, "ExitCode"),
            started_at: take(&mut state, "StartedAt"),
            finished_at: take(&mut state, "FinishedAt"),
            health: Some(HealthCheck {
                status: take::<HealthStatusEnum>(&mut health, "Status"),
                ..HealthCheck::default()
            }),
            ..ContainerState::default()
        }),
        config: Some(ContainerConfig {
            labels: Some(strings.collect()),
            image: take(&mut config, "Image"),
            env: take(&mut config, "Env"),
            ..ContainerConfig::default()
        }),
        host_config: Some(HostConfig {
            network_mode: take(&mut host, "NetworkMode"),
            ..HostConfig::default()
        }),
        id: take(&mut said, "Id"),
        name: take(&mut said, "Name"),
        created: take(&mut said, "Created"),
        restart_count: take(&mut said, "RestartCount"),
        driver: take(&mut said, "Driver"),
        graph_driver: take(&mut said, "GraphDriver"),
        storage: take(&mut said, "Storage"),
        ..ContainerInspectResponse::default()
    };
    (said.id.is_some() || said.name.is_some()).then_some(said)
}

fn take<T: DeserializeOwned>(object: &mut Map<String, Value>, key: &str) -> Option<T> {
    serde_json::from_value(object.remove(key)?).ok()
}

fn object(object: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    take(object, key).unwrap_or_default()
}

/// Without the slash before it.
pub(super) fn bare_name(name: &str) -> &str {
    name.strip_prefix('/').unwrap_or(name)
}

/// What a word for a container's life means; Podman has some of its own.
pub(super) fn state(word: &str) -> Option<State> {
    Some(match word {
        "created" | "configured" | "initialized" => State::Created,
        "running" | "stopping" => State::Running,
        "paused" => State::Paused,
        "restarting" => State::Restarting,
        "removing" => State::Removing,
        "exited" | "stopped" => State::Exited,
        "dead" => State::Dead,
        _ => return None,
    })
}

/// What a word for a health check's result means.
pub(super) fn health(word: &str) -> Option<Health> {
    Some(match word {
        "starting" => Health::Starting,
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        _ => return None,
    })
}

fn life(said: &ContainerState) -> State {
    if let Some(state) = said.status.and_then(|status| state(status.as_ref())) {
        return state;
    }
    let is = |flag: Option<bool>| flag == Some(true);
    match () {
        () if is(said.paused) => State::Paused,
        () if is(said.restarting) => State::Restarting,
        () if is(said.running) => State::Running,
        () if is(said.dead) => State::Dead,
        () if said.started_at.as_deref().and_then(seconds).is_none() => State::Created,
        () => State::Exited,
    }
}

fn network(mode: &str) -> Network {
    match mode.split(':').next() {
        Some("host") => Network::Host,
        Some("none") => Network::None,
        // `ns:` is a path to a namespace that something else made, and `pod` that of Podman's pod.
        Some("container" | "ns" | "pod") => Network::Container,
        _ => Network::Own,
    }
}

fn labels(said: HashMap<String, String>) -> Vec<(String, String)> {
    let mut labels: Vec<_> = said.into_iter().filter(|(key, _)| key.len() <= LABEL_MOST).collect();
    labels.sort_unstable();
    labels.truncate(LABELS_MOST);
    for (_, value) in &mut labels {
        cut(value, LABEL_MOST);
    }
    labels.shrink_to_fit();
    labels
}

/// As cAdvisor has it for Docker: those whose name begins with a prefix, by their names in small letters, of which the last holds.
fn env(said: Vec<String>, prefixes: &[String]) -> Vec<(String, String)> {
    let is_wanted = |name: &str| prefixes.iter().any(|prefix| !prefix.is_empty() && name.starts_with(prefix));
    let mut env = BTreeMap::new();
    for variable in said {
        let Some((name, value)) = variable.split_once('=') else { continue };
        if is_wanted(name) && name.len() <= LABEL_MOST {
            let mut value = value.to_owned();
            cut(&mut value, ENV_MOST);
            env.insert(name.to_lowercase(), value);
        }
    }
    env.into_iter().take(LABELS_MOST).collect()
}

fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.shrink_to_fit();
    }
}

/// Seconds since 1970 of an RFC 3339 time. `None` for what is none, and for the year 1, by which the API means never.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let bytes = text.as_bytes();
    let is = |place: usize, b: u8| bytes.get(place).is_some_and(|found| found.eq_ignore_ascii_case(&b));
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
        || year <= 1
    {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanoseconds = 0_u64;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        nanoseconds = (0..9).fold(0, |sum, place| {
            sum * 10
                + fraction
                    .as_bytes()
                    .get(place)
                    .filter(|_| place < digits)
                    .map_or(0, |digit| u64::from(digit - b'0'))
        });
        rest = fraction.get(digits..)?;
    }
    let offset = match rest.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let at = text.len() - rest.len();
            let (hours, minutes) = (number(at + 1..at + 3)?, number(at + 4..at + 6)?);
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let since = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(since as f64 + nanoseconds as f64 / 1e9)
}

/// Days since 1970 of a Gregorian date: years are counted from March, so that a leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("1969-12-31T23:59:59.5Z", Some(-0.5)),
            ("2000-02-29T12:00:00Z", Some(951_825_600.0)),
            ("2026-11-20T14:52:00.678726604Z", Some(1_795_186_320.678_726_6)),
            ("2026-11-20T15:52:00.5+01:00", Some(1_795_186_320.5)),
            ("2026-11-20t10:22:00-04:30", Some(1_795_186_320.0)),
            ("2026-11-20T14:52:00.1234567891234Z", Some(1_795_186_320.123_456_7)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400.0)),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
            ("2026-11-20", None),
            ("2026-11-20T14:52:00", None),
            ("2026-11-20T14:52:00.Z", None),
            ("2026-13-20T14:52:00Z", None),
            ("2026-11-20T24:52:00Z", None),
            ("2026-11-20T14:52:0éZ", None),
            ("2026-11-20T14:52:00+1:00", None),
            ("2026-11-20T14:52:00+-1:00", None),
            ("+026-11-20T14:52:00Z", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        let whole = "2026-11-20T14:52:00.678726604+00:00";
        for end in 0..whole.len() {
            assert_eq!(seconds(&whole[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn networks() {
        for (mode, expected) in [
            ("", Network::Own),
            ("default", Network::Own),
            ("bridge", Network::Own),
            ("hostly", Network::Own),
            ("host", Network::Host),
            ("none", Network::None),
            ("container:0123", Network::Container),
            ("ns:/run/netns/x", Network::Container),
            ("pod", Network::Container),
            ("slirp4netns:port_handler=slirp4netns", Network::Own),
        ] {
            assert_eq!(network(mode), expected, "{mode}");
        }
    }

    #[test]
    fn variables_are_those_whose_names_begin_so() {
        let said =
            ["APP_ENV=prod", "APP_url=a=b", "MYAPP_X=1", "APP_ENV=late", "APP_", "APP_EMPTY=", "PATH=/bin"];
        let said = || said.iter().map(ToString::to_string).collect::<Vec<_>>();
        let pairs = [("app_empty", ""), ("app_env", "late"), ("app_url", "a=b")];
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(env(said(), &["APP_".to_owned()]), pairs);
        assert_eq!(env(said(), &[]), []);
        assert_eq!(env(said(), &[String::new()]), []);
        let long = env(vec![format!("A={}é", "x".repeat(ENV_MOST - 1))], &["A".to_owned()]);
        assert_eq!(long[0].1.len(), ENV_MOST - 1, "cut before the letter that does not fit");
    }

    #[test]
    fn labels_are_bounded() {
        let long = "é".repeat(1 << 19);
        let mut said = HashMap::from([
            ("b".to_owned(), "x".to_owned() + &long),
            ("a".to_owned(), "line\nbreak \"and\" quote".to_owned()),
            (long, "of a long key".to_owned()),
        ]);
        let few = labels(said.clone());
        assert_eq!(few.len(), 2);
        assert_eq!(few[0], ("a".to_owned(), "line\nbreak \"and\" quote".to_owned()));
        assert_eq!((few[1].0.as_str(), few[1].1.len()), ("b", LABEL_MOST - 1), "cut between letters");
        said.extend((0..5000).map(|n| (format!("n{n:04}"), String::new())));
        let many = labels(said);
        assert_eq!((many.len(), many[LABELS_MOST - 1].0.as_str()), (LABELS_MOST, "n1021"));
    }

    #[test]
    fn what_bollard_refuses_is_read_as_far_as_it_goes() {
        let said = serde_json::json!({
            "Id": "ab", "Name": "/web", "Created": 7, "RestartCount": "3", "Driver": "overlay",
            "State": {"Status": "stopped", "ExitCode": 7, "StartedAt": "1970-01-01T00:00:09Z", "Pid": -1, "Health": {"Status": "odd"}},
            "Config": {"Image": "i", "Labels": {"a": "1", "b": 2}, "Env": "A=1"},
            "HostConfig": {"NetworkMode": "host"}, "GraphDriver": [],
        });
        assert!(serde_json::from_value::<ContainerInspectResponse>(said.clone()).is_err());
        let id = "ab".repeat(32);
        let expected = Metadata {
            id: id.clone(),
            runtime: Runtime::Podman,
            name: "web".to_owned(),
            image: "i".to_owned(),
            labels: vec![("a".to_owned(), "1".to_owned())],
            env: Vec::new(),
            created: None,
            started: Some(9.0),
            finished: None,
            state: State::Exited,
            health: None,
            restart_count: None,
            exit_code: Some(7),
            oom_killed: None,
            pid: 0,
            network: Network::Host,
            writable_layer: None,
            storage_driver: "overlay".to_owned(),
        };
        let found =
            metadata(&id, Runtime::Podman, &[String::from("A")], salvage(said).expect("an inspection"));
        assert_eq!(found, expected);
        for no in
            [serde_json::json!([]), serde_json::json!({}), serde_json::json!({"message": "no"}), Value::Null]
        {
            assert!(salvage(no).is_none());
        }
    }

    #[test]
    fn containerds_image_store_has_no_graph_driver() {
        let said = serde_json::json!({
            "Id": "ab", "Name": "/web", "Driver": "overlayfs", "GraphDriver": null,
            "Storage": {"RootFS": {"Snapshot": {"Name": "stargz"}}}, "Config": {"Labels": null},
        });
        let said = serde_json::from_value(said).expect("bollard's own type");
        let found = metadata("ab", Runtime::Docker, &[], said);
        assert_eq!(
            (found.storage_driver.as_str(), found.writable_layer, found.labels.len()),
            ("stargz", None, 0)
        );
        assert_eq!(found.state, State::Created);
    }
}
