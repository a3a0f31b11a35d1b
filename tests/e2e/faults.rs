//! The sink under fire: frozen workers, rebalances, kills, a store that fails or loses answers.
//!
//! After each of them another reader, pyarrow, must find every row once.

use std::thread;
use std::time::Duration;

use lakefeed_kit::{Fault, Process, Proxy, minio, wait_until};

use crate::scene::{Dice, KIP_848, MISSED_SOON, PATIENCE, SMALL_FILES, Scene, stop};

/// Returns the worker that was frozen, after its end.
fn frozen_worker(scene: &Scene, keys: &str) -> Process {
    scene.produce(0..60_000, 10);
    let mut frozen = scene.worker("frozen", keys);
    scene.wait_for_rows(&mut frozen, "the first files", 1);
    frozen.signal("STOP");
    let taken = |worker: &Process| worker.log().matches("Assigned").count();
    let before = taken(&frozen);
    // Whatever the frozen one had done already: these are the heir's.
    scene.produce(60_000..70_000, 10);
    let mut heir = scene.worker("heir", keys);
    scene.wait_for_rows(&mut heir, "everything by the other worker", 70_000);
    frozen.signal("CONT");
    wait_until("it has missed its session and joins again", PATIENCE, || taken(&frozen) > before);
    // Awake it works on as a member like any other.
    stop(&mut heir);
    scene.produce(70_000..71_000, 10);
    scene.wait_for_rows(&mut frozen, "the rows after", 71_000);
    stop(&mut frozen);
    scene.assert_each_once(0..71_000);
    frozen
}

#[test]
fn a_worker_that_was_frozen_writes_nothing_twice() {
    let scene = Scene::local("frozen", 2);
    let frozen = frozen_worker(&scene, &scene.small_files());
    assert!(frozen.log().contains("session timed out"), "{frozen}");
}

#[test]
fn a_worker_that_was_frozen_writes_nothing_twice_on_s3() {
    let scene = Scene::s3("frozen", 2, &minio().endpoint);
    let frozen = frozen_worker(&scene, &scene.small_files());
    assert!(frozen.log().contains("session timed out"), "{frozen}");
}

#[test]
fn a_frozen_member_of_a_kip_848_group_writes_nothing_twice() {
    frozen_worker(&Scene::local("frozen", 2), &[SMALL_FILES, KIP_848].concat());
}

#[test]
fn rows_come_once_through_rebalances_and_ends_of_all_kinds() {
    moves(&[SMALL_FILES, MISSED_SOON].concat());
}

#[test]
fn rows_come_once_through_rebalances_of_a_kip_848_group() {
    moves(&[SMALL_FILES, KIP_848].concat());
}

/// Workers that come, end and are killed.
fn moves(group: &str) {
    let seed = std::env::var("FAULTS_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from(std::process::id()));
    let mut dice = Dice(seed);
    let scene = Scene::local("moved", 4);
    let keys = format!("{group}tasks.max=2\n");
    let mut produced = 0;
    let mut workers = vec![scene.worker("w0", &keys)];
    let mut said = format!("FAULTS_SEED={seed}:");
    for round in 1..=6 {
        scene.produce(produced..produced + 10_000, 10);
        produced += 10_000;
        thread::sleep(Duration::from_millis(dice.below(700)));
        let victim = dice.below(workers.len() as u64) as usize;
        let action = dice.below(3);
        said += &format!(" {}", ["join", "term", "kill"][action as usize]);
        match action {
            1 => stop(&mut workers.swap_remove(victim)),
            2 => workers.swap_remove(victim).kill(),
            _ => {}
        }
        if action == 0 || workers.is_empty() {
            workers.push(scene.worker(&format!("w{round}"), &keys));
        }
    }
    let last = workers.last_mut().expect("a worker");
    scene.wait_for_rows(last, &said, produced);
    workers.iter_mut().for_each(stop);
    let found = scene.read();
    assert_eq!((found["ids"].as_u64(), &found["double"]), (Some(produced), &serde_json::json!([])), "{said}: {found}");
}

#[test]
fn a_fixed_place_in_a_kip_848_group_is_taken_again_after_a_kill() {
    let scene = Scene::local("fixed", 2);
    let keys = [SMALL_FILES, KIP_848, "consumer.override.group.instance.id=one\n"].concat();
    scene.produce(0..20_000, 10);
    let mut worker = scene.worker("killed", &keys);
    scene.wait_for_rows(&mut worker, "the first files", 1);
    worker.kill();
    // The broker refuses the heir until the session of the killed one has run out.
    let mut heir = scene.worker("heir", &keys);
    scene.wait_for_rows(&mut heir, "everything", 20_000);
    assert!(heir.log().contains("starts over"), "{heir}");
    stop(&mut heir);
    scene.assert_each_once(0..20_000);
}

#[test]
fn kills_in_the_middle_of_multipart_uploads_lose_nothing() {
    let proxy = Proxy::start(&minio().endpoint);
    let scene = Scene::s3("parts", 1, &proxy.endpoint);
    // One Kafka partition, one lake partition: files of about 13 MB, in parts of 5 MiB. A static member is missed by nobody: no waits.
    let keys = "partitioner.class=DefaultPartitioner\nflush.size=60000\nparquet.codec=none\nparquet.row.group.bytes=2097152\n\
                s3.part.size=5242880\nrotate.age.ms=2000\nconsumer.override.group.instance.id=one\n";
    scene.produce(0..200_000, 200);
    for round in 0..3 {
        let before = proxy.parts();
        let mut worker = scene.worker("worker", keys);
        wait_until("parts of an upload", PATIENCE, || {
            assert!(worker.is_running(), "{worker}");
            proxy.parts() > before + round
        });
        worker.kill();
    }
    let mut worker = scene.worker("worker", keys);
    scene.wait_for_rows(&mut worker, "everything", 200_000);
    stop(&mut worker);
    scene.assert_each_once(0..200_000);
}

#[test]
fn answers_that_are_lost_lose_and_double_nothing() {
    let proxy = Proxy::start(&minio().endpoint);
    let scene = Scene::s3("answers", 2, &proxy.endpoint);
    scene.produce(0..30_000, 10);
    let mut worker = scene.worker("worker", &(scene.small_files() + "s3.part.retries=0\n"));
    worker.wait_for_log("Assigned", PATIENCE);
    for burst in 1..=6 {
        proxy.set(Fault::LoseAnswer);
        wait_until("answers that are lost", PATIENCE, || proxy.faults() >= burst * 20);
        proxy.set(Fault::None);
        scene.produce(30_000 + (burst - 1) * 1000..30_000 + burst * 1000, 10);
    }
    scene.wait_for_rows(&mut worker, "everything", 36_000);
    stop(&mut worker);
    scene.assert_each_once(0..36_000);
}

#[test]
fn an_outage_of_the_store_is_waited_out_and_a_stop_in_it_ends_in_time() {
    let proxy = Proxy::start(&minio().endpoint);
    let scene = Scene::s3("outage", 2, &proxy.endpoint);
    scene.produce(0..20_000, 10);
    let mut worker = scene.worker("worker", &scene.small_files());
    scene.wait_for_rows(&mut worker, "the first files", 1);
    proxy.set(Fault::Refuse);
    scene.produce(20_000..30_000, 10);
    worker.wait_for_log("Requests to the store fail", PATIENCE);
    // 5 s to publish, 5 s to clean up, and then it ends without what the store did not take.
    assert!(worker.terminate(Duration::from_secs(20)).success(), "{worker}");
    assert!(worker.log().contains("read again from the committed offsets"), "{worker}");
    let committed = scene.committed();
    proxy.set(Fault::None);
    let there = scene.read()["ids"].as_u64().expect("a number");
    assert!(committed <= there, "{committed} records are committed, {there} are there");
    let mut worker = scene.worker("again", &scene.small_files());
    scene.wait_for_rows(&mut worker, "everything", 30_000);
    stop(&mut worker);
    scene.assert_each_once(0..30_000);
}
