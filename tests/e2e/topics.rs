//! Topics that lose records, come late or are made again, and a lake that goes away.

use std::fs;
use std::process::Command;

use lakefeed_kit::{kafka, run, wait_until};

use crate::converters::send_csv;
use crate::scene::{PATIENCE, Scene, stack, stop};

/// Deletes the records of partition 0 before an offset.
fn delete_records(scene: &Scene, before: u64) {
    let file = scene.dir.path().join("delete.json");
    let text = format!(r#"{{"version":1,"partitions":[{{"topic":"{}","partition":0,"offset":{before}}}]}}"#, scene.topic);
    fs::write(&file, text).expect("written");
    let script = ". \"$0/common.sh\"; exec \"$(find_java)\" -cp \"$kafka_libs/*\" org.apache.kafka.tools.DeleteRecordsCommand \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(stack()).args(["--bootstrap-server", &kafka().bootstrap, "--offset-json-file"]).arg(file);
    assert!(run(&mut command, PATIENCE).success().contains(&format!("low_watermark: {before}")));
}

#[test]
fn records_that_were_deleted_are_counted_and_reading_goes_on() {
    let scene = Scene::local("deleted", 1);
    scene.produce(0..1000, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the first rows", 1000);
    stop(&mut worker);
    // While no worker runs.
    scene.produce(1000..2000, 10);
    delete_records(&scene, 1500);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the rows that are left", 1500);
    assert!(worker.log().contains("from=1000 to=1500 records=500"), "{worker}");
    // While it reads; frozen, so that the deletion is first.
    worker.signal("STOP");
    scene.produce(2000..22_000, 10);
    delete_records(&scene, 21_000);
    worker.signal("CONT");
    scene.wait_for_rows(&mut worker, "the rows that are left again", 2500);
    assert!(worker.log().contains("to=21000") && worker.is_running(), "{worker}");
    stop(&mut worker);
    // The group goes back to what is left: all of it is in the lake.
    let group = format!("connect-{}", scene.topic);
    kafka().tool("consumer-groups", &["--reset-offsets", "--to-earliest", "--all-topics", "--execute", "--group", &group]).success();
    let mut worker = scene.worker("again", &scene.small_files());
    worker.wait_for_log("position=21000", PATIENCE);
    wait_until("the offsets at the end again", PATIENCE, || scene.committed() == 22_000);
    stop(&mut worker);
    assert!(worker.log().contains("Records were in the lake already") && worker.log().contains("records=1000"), "{worker}");
    // What the frozen worker had fetched before the deletion it may have written as well.
    let found = scene.read();
    assert!(found["ids"].as_u64().is_some_and(|ids| ids >= 2500), "{found}");
    assert_eq!(found["double"], serde_json::json!([]), "{found}");
}

#[test]
fn topics_and_partitions_that_come_later_are_read() {
    let scene = Scene::without_topic("later");
    let mut worker = scene.worker("worker", &scene.small_files());
    worker.wait_for_log("topic not available", PATIENCE);
    kafka().create_topic(&scene.topic, 2);
    scene.produce(0..100, 10);
    scene.wait_for_rows(&mut worker, "the rows of the new topic", 100);
    kafka().tool("topics", &["--alter", "--topic", &scene.topic, "--partitions", "4"]).success();
    worker.wait_for_log(&format!("partition={}-3 position=0", scene.topic), PATIENCE);
    scene.produce(100..300, 10);
    scene.wait_for_rows(&mut worker, "the rows of the new partitions", 300);
    stop(&mut worker);
    scene.assert_each_once(0..300);
}

/// A topic of 700 rows whose rows are all in the lake is deleted, made again, and gets others.
fn made_again(name: &str, rows: u64) -> (Scene, lakefeed_kit::Process) {
    let scene = Scene::local(name, 1);
    scene.produce(0..700, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the rows of the old topic", 700);
    stop(&mut worker);
    kafka().tool("topics", &["--delete", "--topic", &scene.topic]).success();
    wait_until("the end of the old topic", PATIENCE, || !kafka().topics().contains(&scene.topic));
    kafka().create_topic(&scene.topic, 1);
    scene.produce(1000..1000 + rows, 10);
    let mut worker = scene.worker("again", &scene.small_files());
    wait_until("an end with a message", PATIENCE, || !worker.is_running());
    assert!(worker.log().contains("deleted and made again"), "{worker}");
    assert_eq!(scene.committed(), 0, "nothing may count as read");
    // As the message says: the old files go, and everything arrives.
    fs::rename(&scene.lake, scene.dir.path().join("old")).expect("moved");
    let mut worker = scene.worker("moved", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the rows of the new topic", rows);
    (scene, worker)
}

#[test]
fn rows_of_a_topic_that_was_made_anew_are_not_taken_for_old_ones() {
    let (scene, mut worker) = made_again("longer", 900);
    stop(&mut worker);
    scene.assert_each_once(1000..1900);
}

#[test]
fn nor_are_those_of_one_that_is_shorter_than_the_old_one() {
    let (scene, mut worker) = made_again("shorter", 300);
    stop(&mut worker);
    scene.assert_each_once(1000..1300);
}

#[test]
fn a_local_lake_that_is_removed_while_the_sink_runs_comes_back() {
    let scene = Scene::local("removed", 1);
    scene.produce(0..1000, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the first rows", 1000);
    wait_until("the offsets", PATIENCE, || scene.committed() == 1000);
    fs::remove_dir_all(&scene.lake).expect("removed");
    scene.produce(1000..2000, 10);
    scene.wait_for_rows(&mut worker, "the rows after", 1000);
    stop(&mut worker);
    scene.assert_each_once(1000..2000);
}

#[test]
fn a_layout_that_changed_after_a_crash_is_told() {
    const TOLD: &str = "did not stop cleanly, and says now that rows go elsewhere";
    let scene = Scene::local("moving", 1);
    scene.produce(0..700, 10);
    let mut killed = scene.worker("killed", &scene.small_files());
    wait_until("offsets are committed", PATIENCE, || scene.committed() > 0);
    killed.kill();
    let mut moved = scene.worker("moved", "partition.by=id\nrotate.age.ms=300\n");
    moved.wait_for_log(TOLD, PATIENCE);
    wait_until("everything is committed", PATIENCE, || scene.committed() == 700);
    stop(&mut moved);
    // That was clean: another change is none of anybody's business.
    let mut back = scene.worker("back", &scene.small_files());
    back.wait_for_log("Assigned", PATIENCE);
    stop(&mut back);
    assert!(!back.log().contains(TOLD), "{back}");
}

#[test]
fn a_source_makes_its_topic_as_topic_creation_says() {
    let scene = Scene::without_topic("created");
    let keys = "topic.creation.groups=others,mine\ntopic.creation.default.partitions=2\ntopic.creation.default.replication.factor=1\n\
                topic.creation.others.include=nothing.*\ntopic.creation.mine.include=created.*\ntopic.creation.mine.partitions=3\n\
                topic.creation.mine.cleanup.policy=compact\n";
    // A compacted topic takes no records without a key, and no repetition helps.
    let said = send_csv(&scene, "id,pm,name,on\n1,0.5,a,true\n", keys).code(1).stderr;
    assert!(said.contains("was not accepted (it has no key, which a compacted topic wants)"), "{said}");
    let described = kafka().tool("topics", &["--describe", "--topic", &scene.topic]).success();
    assert!(described.contains("PartitionCount: 3") && described.contains("cleanup.policy=compact"), "{described}");
    let said = send_csv(&scene, "id\n1\n", "exactly.once.support=required\n").code(1).stderr;
    assert!(said.contains("exactly.once.support = 'required': sources write in transactions on a worker of a cluster only"), "{said}");
}
