//! docker/compose.yaml and docker/Dockerfile: their schema, the files that are mounted, the images, ports and limits, and that `lakefeed check`
//! accepts the connector files of the workers' commands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lakefeed_kit::{Output, run};
use serde_json::Value;

use crate::{DEADLINE, assert_known, check_files, checker, list, listener_port, number, read, root, shutdown_ms, texts, yaml};

/// These make something and end.
const ONCE: [&str; 3] = ["bucket", "motor-data", "topics"];
const WORKERS: [&str; 3] = ["lakefeed-1", "lakefeed-2", "lakefeed-3"];

fn check(file: &Path) -> Output {
    run(checker().arg(file), DEADLINE)
}

pub(crate) fn services() -> Vec<Value> {
    let printed = check(&root().join("docker/compose.yaml")).success();
    serde_json::from_str::<Value>(&printed).expect("the checker prints JSON").as_array().expect("a list of services").clone()
}

pub(crate) fn name(service: &Value) -> &str {
    service["name"].as_str().expect("a service has a name")
}

/// The file or folder of the repository that is seen at `path` in the container.
pub(crate) fn mounted(service: &Value, path: &str) -> Option<PathBuf> {
    list(&service["mounts"]).find_map(|mount| {
        let (source, target) = (mount["source"].as_str()?, mount["target"].as_str()?);
        let inside = Path::new(path).strip_prefix(target).ok()?;
        Some(if inside.as_os_str().is_empty() { source.into() } else { Path::new(source).join(inside) })
    })
}

/// The services that run our image.
fn ours() -> Vec<Value> {
    services().into_iter().filter(|service| service["dockerfile"].is_string()).collect()
}

/// Those that run `lakefeed connect`.
pub(crate) fn workers() -> Vec<Value> {
    ours().into_iter().filter(|service| texts(&service["command"]).first() == Some(&"connect")).collect()
}

#[test]
fn the_pipeline_is_whole() {
    let services = services();
    let names: Vec<&str> = services.iter().map(name).collect();
    let servers = ["console", "grafana", "minio", "prometheus", "redpanda"];
    let expected: BTreeSet<&str> = servers.into_iter().chain(ONCE).chain(WORKERS).collect();
    assert_eq!(names, expected.into_iter().collect::<Vec<_>>());
    for service in &services {
        let once = ONCE.contains(&name(service));
        let restart = if once { "no" } else { "unless-stopped" };
        assert_eq!(service["restart"], restart, "{}: restart", name(service));
        assert!(once || service["healthcheck"] == true, "{} has no health check", name(service));
        assert!(service["memory_bytes"].is_i64(), "{} has no mem_limit", name(service));
    }
}

#[test]
fn every_image_is_pinned() {
    for service in services() {
        let image = service["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{}: image '{image}' wants the tag of a version", name(&service));
    }
    let dockerfile = read("docker/Dockerfile");
    for line in dockerfile.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(line.contains(':') && !line.contains(":latest"), "docker/Dockerfile: '{line}' wants the tag of a version");
    }
    let toolchain = read("rust-toolchain.toml");
    let version = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a channel");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "docker/Dockerfile builds with another Rust than {version}");
}

/// Passwords of examples and REST interfaces without any are for this host alone.
#[test]
fn ports_are_open_to_this_host_only() {
    let mut published = BTreeMap::new();
    for service in services() {
        for port in list(&service["ports"]) {
            assert_eq!(port["host_ip"], "127.0.0.1", "{}: {port}", name(&service));
            let host: u16 = port["published"].as_str().and_then(|port| port.parse().ok()).expect("one port of the host");
            assert_eq!(
                published.insert(host, (name(&service).to_owned(), number(&port["target"]))),
                None,
                "port {host} is published twice"
            );
        }
    }
    let port = i64::from(listener_port(&read("connectors/config/docker-worker.properties")));
    for (host, worker) in (8083..).zip(WORKERS) {
        assert_eq!(published.get(&host), Some(&(worker.to_owned(), port)), "port {host}");
    }
}

#[test]
fn everything_that_is_mounted_or_built_from_is_there() {
    for service in services() {
        for mount in list(&service["mounts"]) {
            let source = mount["source"].as_str().expect("a mount has a source");
            assert!(Path::new(source).exists(), "{}: {source} is mounted and not there", name(&service));
        }
        if let (Some(context), Some(file)) = (service["context"].as_str(), service["dockerfile"].as_str()) {
            let file = Path::new(context).join(file);
            assert!(file.is_file(), "{}: {} is not there", name(&service), file.display());
        }
    }
}

/// The files of `connect` as they lie in the repository.
fn files(worker: &Value) -> Vec<PathBuf> {
    let place = |path: &&str| mounted(worker, path).unwrap_or_else(|| panic!("{}: {path} is not mounted", name(worker)));
    texts(&worker["command"]).iter().skip(1).map(place).collect()
}

#[test]
fn lakefeed_accepts_the_connector_files() {
    let workers = workers();
    assert_eq!(workers.iter().map(name).collect::<Vec<_>>(), WORKERS);
    for worker in &workers {
        let environment = serde_json::from_value(worker["environment"].clone()).expect("variables");
        check_files(&files(worker), &environment).success();
    }
}

/// They are one cluster, so any of them may run the source: all see its files, and those of the connectors are the same.
#[test]
fn workers_are_alike() {
    let whole = yaml("docker/compose.yaml");
    let mut alike = BTreeSet::new();
    for worker in workers() {
        let volumes = texts(&whole[0]["services"][name(&worker)]["volumes"]);
        assert!(volumes.contains(&"motor-data:/var/lib/lakefeed/input"), "{}: {volumes:?}", name(&worker));
        alike.insert((files(&worker), worker["environment"].to_string()));
    }
    assert_eq!(alike.len(), 1, "{alike:?}");
    let file = read("connectors/config/docker-worker.properties");
    for key in ["group.id=", "config.storage.topic=", "offset.storage.topic=", "status.storage.topic="] {
        assert!(file.lines().any(|line| line.starts_with(key)), "{key} makes them a cluster");
    }
}

#[test]
fn workers_have_time_to_stop() {
    for worker in workers() {
        let grace = number(&worker["stop_grace_ms"]);
        assert!(grace >= shutdown_ms() + 10_000, "{}: stop_grace_period is {grace} ms", name(&worker));
    }
}

#[test]
fn lakefeed_knows_the_commands() {
    for service in ours() {
        assert_known(&texts(&service["command"]));
    }
}

/// The checker is worth something only if it refuses.
#[test]
fn a_wrong_file_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases = [
        ("an unknown key", "services: {a: {image: 'x:1', dependz_on: [b]}}", "dependz_on"),
        ("an undefined service", "services: {a: {image: 'x:1', depends_on: [b]}}", "undefined service"),
        ("a bad port", "services: {a: {image: 'x:1', ports: ['9092:x']}}", "ort"),
    ];
    let file = folder.path().join("compose.yaml");
    for (what, text, message) in cases {
        std::fs::write(&file, format!("name: wrong\n{text}\n")).expect("the folder can be written");
        let output = check(&file).code(1);
        assert!(output.stderr.contains(message), "{what}: '{message}' is expected in: {}", output.stderr);
    }
    std::fs::write(&file, "a: 1\nb: 2\na: 3\n").expect("the folder can be written");
    let output = run(checker().arg("--yaml").arg(&file), DEADLINE).code(1);
    assert!(output.stderr.contains("already defined"), "{}", output.stderr);
}
