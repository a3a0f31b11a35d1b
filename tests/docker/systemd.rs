//! docker/lakefeed.service: what it says of Lakefeed.

use crate::{assert_known, read, shutdown_ms};

/// The values of a key, in their order.
fn values<'u>(unit: &'u str, key: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn value<'u>(unit: &'u str, key: &str) -> &'u str {
    match values(unit, key)[..] {
        [value] => value,
        ref others => panic!("{key} is there {} times, once is expected", others.len()),
    }
}

#[test]
fn the_unit_starts_a_worker() {
    let unit = read("docker/lakefeed.service");
    let words: Vec<&str> = value(&unit, "ExecStart").split(' ').collect();
    assert_eq!(words[0], "/usr/local/bin/lakefeed");
    // The variable stands for files.
    assert_known(
        &words[1..].iter().map(|word| if *word == "$CONNECTORS" { "/etc/lakefeed/a.properties" } else { *word }).collect::<Vec<_>>(),
    );
    assert!(unit.contains("#   CONNECTORS=/etc/lakefeed/"), "the head says what CONNECTORS is");
}

#[test]
fn the_unit_stops_a_worker_cleanly() {
    let unit = read("docker/lakefeed.service");
    assert_eq!((value(&unit, "KillSignal"), values(&unit, "KillMode").len()), ("SIGTERM", 0));
    let seconds: i64 = value(&unit, "TimeoutStopSec").parse().expect("seconds");
    assert!(seconds * 1000 >= shutdown_ms() + 10_000, "TimeoutStopSec is {seconds} s, the worker takes {} ms", shutdown_ms());
}

/// README.md, exit codes: 1 the input or the configuration is wrong, 2 usage, 3 a dependency could not be reached.
#[test]
fn what_needs_a_person_is_not_started_again() {
    let unit = read("docker/lakefeed.service");
    assert_eq!((value(&unit, "Restart"), value(&unit, "RestartPreventExitStatus")), ("on-failure", "1 2"));
}
