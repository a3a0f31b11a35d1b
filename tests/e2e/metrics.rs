//! What a worker tells of itself at `/metrics`, beside what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use lakefeed_kit::{http, minio, wait_until};

use crate::scene::{PATIENCE, Scene, stop};

/// The values by name with labels, as they stand in the text.
fn scrape(address: &str) -> BTreeMap<String, f64> {
    let answer = http(address, "GET", "/metrics", &[], None, Duration::from_secs(20)).expect("an answer");
    assert_eq!((answer.status, answer.header("content-type").map(|t| t.starts_with("application/openmetrics-text"))), (200, Some(true)));
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

/// The sum over all labels that have this text in them.
fn sum(values: &BTreeMap<String, f64>, name: &str, label: &str) -> f64 {
    values.iter().filter(|(n, _)| n.split('{').next() == Some(name) && n.contains(label)).map(|(_, value)| value).sum()
}

fn documented() -> BTreeSet<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).expect("the page");
    page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned)).collect()
}

#[test]
fn metrics_say_what_a_sink_did_and_each_is_documented() {
    let scene = Scene::s3("metrics", 2, &minio().endpoint);
    scene.produce(0..10_000, 10);
    let keys = scene.small_files() + "errors.tolerance=all\nerrors.deadletterqueue.topic.name=" + &scene.topic + ".dead\n";
    let mut worker = scene.worker_with("metrics", &keys, "listeners=http://127.0.0.1:0\n");
    let line = worker.wait_for_log("REST calls are answered at http://", PATIENCE);
    let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address").to_owned();
    scene.produce_values(&["no JSON".to_owned()]);
    scene.wait_for_rows(&mut worker, "all rows", 10_000);
    let caught_up = |values: &BTreeMap<String, f64>| {
        let lag = values.keys().filter(|name| name.starts_with("lakefeed_consumer_lag_records")).count();
        lag == 2 && sum(values, "lakefeed_consumer_lag_records", "") == 0.0 && sum(values, "lakefeed_s3_open_files", "") == 0.0
    };
    let mut values = BTreeMap::new();
    wait_until("the lag of both partitions, at 0", PATIENCE, || {
        values = scrape(&address);
        caught_up(&values)
    });
    let of = |name: &str, label: &str| sum(&values, name, label);
    assert_eq!((of("lakefeed_records_in_total", ""), of("lakefeed_rows_out_total", "")), (10_001.0, 10_000.0));
    assert_eq!((of("lakefeed_dead_letters_total", ""), of("lakefeed_records_lost_total", "")), (1.0, 0.0));
    // 2 topic partitions, 7 lake partitions, 50 rows a file; what is left is closed by its age.
    let files = of("lakefeed_s3_files_closed_total", "");
    assert_eq!(files, of("lakefeed_s3_objects_published_total", ""));
    assert!(of("lakefeed_s3_files_closed_total", "cause=\"rows\"") >= 180.0 && files <= 250.0, "{values:#?}");
    assert_eq!(files, of("lakefeed_s3_files_closed_total", "cause=\"rows\"") + of("lakefeed_s3_files_closed_total", "cause=\"age\""));
    assert!(of("lakefeed_s3_requests_total", "operation=\"PutObject\"") >= files, "{values:#?}");
    assert!(of("lakefeed_s3_file_bytes_total", "cause=\"rows\"") > 100_000.0, "{values:#?}");
    assert_eq!(of("lakefeed_task_state", "state=\"running\""), 1.0);
    assert_eq!(of("lakefeed_memory_budget_bytes", ""), f64::from(192 << 20));
    let told: BTreeSet<String> = values.keys().map(|name| name.split('{').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(told, documented());
    stop(&mut worker);
}
