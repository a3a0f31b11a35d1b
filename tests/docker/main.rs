//! What is in docker/, as far as it can be checked without an engine, a cluster or systemd: that the files are well-formed, fit together, and
//! say of Lakefeed only what is true. `scripts/check.sh` asks promtool and systemd-analyze too, where they are.

mod compose;
mod kubernetes;
mod monitoring;
mod systemd;

use std::collections::BTreeMap;
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

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("can't read {file}: {error}"))
}

fn checker() -> Command {
    Command::new(root().join("tests/stack/compose-check.sh"))
}

/// The documents of a YAML file of the repository.
fn yaml(file: &str) -> Vec<Value> {
    let printed = run(checker().arg("--yaml").arg(root().join(file)), DEADLINE).success();
    serde_json::from_str(&printed).expect("the checker prints a JSON array")
}

fn lakefeed() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lakefeed"))
}

/// Runs `lakefeed check` on files with variables in the environment.
fn check_files(files: &[PathBuf], environment: &BTreeMap<String, String>) -> Output {
    for file in files {
        assert!(file.is_file(), "{} is not there", file.display());
    }
    run(lakefeed().arg("check").args(files).envs(environment).current_dir(root()), DEADLINE)
}

/// Asserts that the command line is accepted. It is parsed before anything is done: `--help` behind the sub-command and options shows that they
/// are known.
fn assert_known(command: &[&str]) {
    run(lakefeed().args(command).arg("--help"), DEADLINE).success();
    let words: Vec<&str> = command.iter().copied().take_while(|word| !word.starts_with('-') && !word.contains('/')).collect();
    let help = run(lakefeed().args(&words).arg("--help"), DEADLINE).success();
    for option in command.iter().filter(|word| word.starts_with("--")) {
        assert!(help.contains(option), "`lakefeed {}` has no {option}", words.join(" "));
    }
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("a whole number is expected: {value}"))
}

/// How long a worker takes at most to publish what it holds when it is told to stop, unless its file says otherwise.
fn shutdown_ms() -> i64 {
    let worker = lakefeed_runtime::worker_definition();
    let key = worker.iter().find(|key| key.name == "task.shutdown.graceful.timeout.ms").expect("the key is there");
    key.default.and_then(|default| default.parse().ok()).expect("it has a default")
}

/// The port of `listeners` in a worker file.
fn listener_port(worker: &str) -> u16 {
    let line = worker.lines().find_map(|line| line.trim().strip_prefix("listeners=http://")).expect("the worker file has listeners");
    line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the listener has a port")
}
