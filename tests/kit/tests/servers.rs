//! The servers are real, and they go when the test process goes.

use std::process::Command;
use std::time::Duration;

use lakefeed_kit::{Process, kafka, minio, python_with, run, unique};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn kafka_keeps_what_it_is_given() {
    let topic = unique("kit");
    kafka().create_topic(&topic, 1);
    assert!(kafka().topics().contains(&topic));
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/../stack/kafka-tool.sh");
    let produce = format!("printf 'one\\ntwo\\n' | '{tool}' console-producer --bootstrap-server {} --topic {topic}", kafka().bootstrap);
    run(Command::new("sh").args(["-c", &produce]), Duration::from_secs(60)).success();
    assert_eq!(kafka().end_offsets(&topic), [2]);
    assert_eq!(kafka().console_consumer(&topic, 2), ["one", "two"]);
}

#[test]
fn the_store_and_pyarrow_understand_each_other() {
    let bucket = minio().bucket();
    let program = r#"
import sys, pyarrow, pyarrow.fs, pyarrow.parquet
endpoint, bucket = sys.argv[1:]
s3 = pyarrow.fs.S3FileSystem(endpoint_override=endpoint)
pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2, 3]}), f"{bucket}/a.parquet", filesystem=s3)
print(pyarrow.parquet.read_table(f"{bucket}/a.parquet", filesystem=s3)["n"].to_pylist())
"#;
    assert_eq!(python_with(program, &[&minio().endpoint, &bucket], &minio().environment()), "[1, 2, 3]\n");
    minio().create_bucket(&bucket);
}

#[test]
fn a_process_is_watched_signalled_and_killed() {
    let log = std::env::temp_dir().join(unique("kit-process"));
    let loops = "trap 'echo stopped; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut process = Process::spawn(Command::new("sh").args(["-c", loops]), &log);
    assert_eq!(process.wait_for_log("ready", SOON), "ready");
    assert_eq!(process.terminate(SOON).code(), Some(5));
    assert_eq!(process.log(), "ready\nstopped\n");

    let mut process = Process::spawn(Command::new("sh").args(["-c", "echo up; exec sleep 60"]), &log);
    process.wait_for_log("up", SOON);
    process.kill();
    assert!(!process.is_running());
    std::fs::remove_file(&log).expect("the log is there");
}

#[test]
#[should_panic(expected = "exit code Some(3) instead of 0")]
fn a_command_that_fails_fails_the_test() {
    run(Command::new("sh").args(["-c", "echo why >&2; exit 3"]), SOON).success();
}
