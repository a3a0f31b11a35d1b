//! The demo's connector files on real Kafka and MinIO.

use std::time::Duration;

use lakefeed_kit::{kafka, wait_until};

use crate::motor::Motor;

const PATIENCE: Duration = Duration::from_secs(180);
const FILES: &[&str] = &["motor-csv-source.properties", "motor-dynamodb.properties", "motor-lake-s3.properties"];

#[test]
fn the_demos_files_give_the_same_answers_on_kafka_and_minio() {
    let motor = Motor::new(20_000);
    let lake = format!("s3://{}", motor.bucket);
    kafka().create_topic(&motor.table, 3);
    let mut worker = motor.worker(FILES);
    wait_until("the lake is complete", PATIENCE, || {
        assert!(worker.is_running(), "the worker has ended");
        motor.count(&lake) >= motor.rows
    });
    assert!(worker.terminate(PATIENCE).success(), "{}", worker.log());
    motor.assert_answers(&lake);
    motor.assert_each_row_once(&lake);

    let records = kafka().console_consumer(&motor.stream(), 5);
    for record in records {
        let record: serde_json::Value = serde_json::from_str(&record).expect("a stream record is JSON");
        assert_eq!(record["eventName"], "INSERT");
        assert_eq!(record["dynamodb"]["StreamViewType"], "NEW_IMAGE");
        assert!(record["dynamodb"]["NewImage"]["pm"]["N"].is_string(), "numbers travel as text: {record}");
        assert!(record["dynamodb"]["Keys"]["id"]["N"].is_string());
    }
}

#[test]
fn rows_come_once_through_kills_of_the_worker() {
    let motor = Motor::new(60_000);
    let lake = format!("s3://{}", motor.bucket);
    kafka().create_topic(&motor.table, 3);
    for (round, mark) in [(1, "Assigned"), (2, "Assigned"), (3, "Assigned")] {
        let mut worker = motor.worker(FILES);
        worker.wait_for_log(mark, PATIENCE);
        // Each time a little later: while reading, while processing, while writing.
        std::thread::sleep(Duration::from_millis(400 * round));
        worker.kill();
    }
    let mut worker = motor.worker(FILES);
    wait_until("the lake is complete", PATIENCE, || {
        assert!(worker.is_running(), "the worker has ended");
        motor.count(&lake) >= motor.rows
    });
    assert!(worker.terminate(PATIENCE).success(), "{}", worker.log());
    motor.assert_each_row_once(&lake);
    motor.assert_answers(&lake);
}
