//! docker/compose.yaml as far as it can be checked without an engine: its schema, the files that it mounts, the images, and that
//! `lakefeed check` accepts the connector files of its commands.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lakefeed_kit::{Output, run};
use serde_json::Value;

/// The first run builds the checker.
const DEADLINE: Duration = Duration::from_secs(600);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn check(file: &Path) -> Output {
    run(Command::new(root().join("tests/stack/compose-check.sh")).arg(file), DEADLINE)
}

fn services() -> Vec<Value> {
    let printed = check(&root().join("docker/compose.yaml")).success();
    serde_json::from_str::<Value>(&printed).expect("the checker prints JSON").as_array().expect("a list of services").clone()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn name(service: &Value) -> &str {
    service["name"].as_str().expect("a service has a name")
}

/// The services that run our image.
fn ours() -> Vec<Value> {
    services().into_iter().filter(|service| service["dockerfile"].is_string()).collect()
}

#[test]
fn the_pipeline_is_whole() {
    let services = services();
    let names: Vec<&str> = services.iter().map(name).collect();
    assert_eq!(names, ["bucket", "lakefeed", "minio", "motor-data", "redpanda"]);
    for server in services.iter().filter(|service| ["minio", "redpanda"].contains(&name(service))) {
        assert_eq!(server["healthcheck"], true, "{} has no health check, and others wait for it", name(server));
    }
}

#[test]
fn every_image_is_pinned() {
    for service in services() {
        let image = service["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{}: image '{image}' wants the tag of a version", name(&service));
    }
    let dockerfile = std::fs::read_to_string(root().join("docker/Dockerfile")).expect("docker/Dockerfile is there");
    for line in dockerfile.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(line.contains(':') && !line.contains(":latest"), "docker/Dockerfile: '{line}' wants the tag of a version");
    }
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml")).expect("rust-toolchain.toml is there");
    let version = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a channel");
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "docker/Dockerfile builds with another Rust than {version}");
}

#[test]
fn everything_that_is_mounted_or_built_from_is_there() {
    for service in services() {
        for mount in service["mounts"].as_array().into_iter().flatten() {
            let source = mount["source"].as_str().expect("a mount has a source");
            assert!(Path::new(source).exists(), "{}: {source} is mounted and not there", name(&service));
        }
        if let (Some(context), Some(file)) = (service["context"].as_str(), service["dockerfile"].as_str()) {
            let file = Path::new(context).join(file);
            assert!(file.is_file(), "{}: {} is not there", name(&service), file.display());
        }
    }
}

/// The files of `connect`, wherever they are mounted in the container, as they lie in the repository.
fn connector_files(service: &Value) -> Vec<PathBuf> {
    let command = texts(&service["command"]);
    match command.split_first() {
        Some((&"connect", files)) => files.iter().map(|file| root().join(file)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn lakefeed_accepts_the_connector_files() {
    let mut checked = 0;
    for service in ours() {
        let files = connector_files(&service);
        for file in &files {
            assert!(file.is_file(), "{}: {} is not there", name(&service), file.display());
        }
        if files.is_empty() {
            continue;
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_lakefeed"));
        command.arg("check").args(&files).current_dir(root());
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            command.env(variable, value.as_str().unwrap_or_default());
        }
        run(&mut command, DEADLINE).success();
        checked += 1;
    }
    assert_eq!(checked, 1, "one service runs `lakefeed connect`");
}

/// The command line is parsed before anything is done: `--help` behind the sub-command and options shows that they are known.
#[test]
fn lakefeed_knows_the_commands() {
    for service in ours() {
        let command = texts(&service["command"]);
        run(Command::new(env!("CARGO_BIN_EXE_lakefeed")).args(&command).arg("--help"), DEADLINE).success();
        let words: Vec<&str> = command.iter().copied().take_while(|word| !word.starts_with('-') && !word.contains('/')).collect();
        let help = run(Command::new(env!("CARGO_BIN_EXE_lakefeed")).args(&words).arg("--help"), DEADLINE).success();
        for option in command.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(option), "{}: `lakefeed {}` has no {option}", name(&service), words.join(" "));
        }
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
    for (what, text, message) in cases {
        let file = folder.path().join("compose.yaml");
        std::fs::write(&file, format!("name: wrong\n{text}\n")).expect("the folder can be written");
        let output = check(&file).code(1);
        assert!(output.stderr.contains(message), "{what}: '{message}' is expected in: {}", output.stderr);
    }
}
