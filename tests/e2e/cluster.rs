//! Workers that are one cluster: connectors in Kafka's topics, tasks that move, calls on any worker.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lakefeed_kit::{Process, kafka, minio, run, unique, wait_for, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::motor::lakefeed;
use crate::rest::Client;
use crate::scene::{MISSED_SOON, PATIENCE, Scene, console_produce, stop};

/// A group of workers with topics of its own.
struct Cluster {
    dir: TempDir,
    group: String,
    started: AtomicU64,
}

/// A worker, and its REST interface.
struct Member {
    process: Process,
    client: Client,
}

impl Cluster {
    fn new(name: &str) -> Self {
        Self { dir: TempDir::new().expect("temporary folder"), group: unique(name), started: AtomicU64::new(0) }
    }

    fn process(&self, files: &[&str]) -> Process {
        // A log, and a place for state, of its own.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let (home, group, bootstrap) = (self.dir.path().display(), &self.group, &kafka().bootstrap);
        let file = self.dir.path().join(format!("w{number}.properties"));
        let text = format!(
            "bootstrap.servers={bootstrap}\ngroup.id={group}\nconfig.storage.topic={group}-configs\noffset.storage.topic={group}-offsets\n\
             status.storage.topic={group}-status\nsession.timeout.ms=6000\nheartbeat.interval.ms=1000\nlisteners=http://127.0.0.1:0\n\
             state.dir={home}/w{number}.state\noffset.flush.interval.ms=200\ntask.shutdown.graceful.timeout.ms=5000\n"
        );
        fs::write(&file, text).expect("written");
        let file = file.to_string_lossy();
        let arguments: Vec<&str> = ["connect", &*file].into_iter().chain(files.iter().copied()).collect();
        Process::spawn(&mut lakefeed(&arguments), self.dir.path().join(format!("w{number}.log")))
    }

    fn start(&self) -> Member {
        let mut process = self.process(&[]);
        let client = Client::of(&mut process);
        Member { process, client }
    }

    fn three(&self) -> Vec<Member> {
        // The first makes the topics.
        let first = self.start();
        wait_until("a healthy worker", PATIENCE, || first.client.call("GET", "/health", None).0 == 200);
        vec![first, self.start(), self.start()]
    }
}

impl Member {
    fn status(&self, name: &str) -> Value {
        self.client.get(&format!("/connectors/{name}/status"))
    }
}

/// The workers of the tasks, once all of them run.
fn owners(member: &Member, name: &str, tasks: usize) -> Vec<String> {
    wait_for(&format!("{tasks} running tasks of {name}"), PATIENCE, || {
        let status = member.status(name);
        let tasks = status["tasks"].as_array().filter(|found| found.len() == tasks)?;
        tasks.iter().map(|task| (task["state"] == "RUNNING").then(|| task["worker_id"].as_str().unwrap_or_default().to_owned())).collect()
    })
}

fn stdout_sink(topic: &str) -> Value {
    json!({"connector.class": "StdoutSinkConnector", "topics": topic, "consumer.override.session.timeout.ms": "6000"})
}

/// The same answer from all workers, soon.
fn agree(members: &[Member], path: &str, expected: &Value) {
    for member in members {
        let mut answer = Value::Null;
        let agreed = || {
            answer = member.client.get(path);
            answer == *expected
        };
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until(path, PATIENCE, agreed)));
        assert!(found.is_ok(), "{path} on {}: {answer}, expected {expected}", member.process);
    }
}

#[test]
fn a_call_on_any_worker_is_one_of_the_cluster() {
    let cluster = Cluster::new("cluster");
    let (topic, name) = (unique("cluster-in"), unique("c"));
    let at = |path: &str| format!("/connectors/{name}{path}");
    kafka().create_topic(&topic, 3);
    let mut members = cluster.three();
    let [one, two, three] = &members[..] else { panic!("three workers") };
    let mut config = stdout_sink(&topic);
    config["tasks.max"] = "3".into();
    // What one worker makes the others show, at once where it was made and soon elsewhere.
    one.client.done("POST", "/connectors", Some(&json!({"name": name, "config": config})));
    assert_eq!(one.client.get("/connectors"), json!([name]));
    agree(&members, "/connectors", &json!([name]));
    owners(one, &name, 3);
    let status = one.status(&name);
    agree(&members, &at("/status"), &status);
    // So is what it reads; and forgotten everywhere.
    console_produce(&topic, &[r#"{"id":1}"#.into()], &[]);
    agree(&members, &at("/topics"), &json!({&*name: {"topics": [topic]}}));
    three.client.done("PUT", &at("/topics/reset"), None);
    agree(&members, &at("/topics"), &json!({&*name: {"topics": []}}));
    // Of workers that make the same connector at the same time one is told that it exists.
    for round in 0..4 {
        let name = format!("race-{round}");
        let post = |member: &Member| {
            member.client.call(
                "POST",
                "/connectors",
                Some(&json!({"name": name, "config": stdout_sink(&topic), "initial_state": "STOPPED"})),
            )
        };
        let mut answers: Vec<(u16, Value)> = thread::scope(|scope| {
            let calls: Vec<_> = members.iter().map(|member| scope.spawn(|| post(member))).collect();
            calls.into_iter().map(|call| call.join().expect("an answer")).collect()
        });
        answers.sort_by_key(|(status, _)| *status);
        let statuses: Vec<u16> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [201, 409, 409], "{answers:?}");
        assert_eq!(answers[1].1["message"], format!("Connector {name} already exists"));
        // Of changes that are made at the same time none is lost.
        let path = &format!("/connectors/{name}/config");
        let keys = ["errors.retry.timeout", "errors.retry.delay.max.ms", "task.restart.backoff.ms"];
        let mut changed = stdout_sink(&topic);
        changed["name"] = name.clone().into();
        keys.iter().for_each(|key| changed[*key] = "1000".into());
        thread::scope(|scope| {
            for (member, key) in members.iter().zip(keys) {
                scope.spawn(move || member.client.done("PATCH", path, Some(&json!({key: "1000"}))));
            }
        });
        agree(&members, path, &changed);
        two.client.done("DELETE", &format!("/connectors/{name}"), None);
        assert_eq!(two.client.call("GET", &format!("/connectors/{name}"), None).0, 404);
    }
    // A change is known everywhere, and so is what the connector is told to do.
    config["tasks.max"] = "2".into();
    two.client.done("PUT", &at("/config"), Some(&config));
    config["name"] = name.clone().into();
    agree(&members, &at("/config"), &config);
    owners(three, &name, 2);
    three.client.done("PUT", &at("/pause"), None);
    let paused = wait_for("paused tasks", PATIENCE, || {
        let status = one.status(&name);
        status["tasks"].as_array()?.iter().all(|task| task["state"] == "PAUSED").then_some(status)
    });
    assert_eq!(paused["connector"]["state"], "PAUSED");
    one.client.done("PUT", &at("/resume"), None);
    owners(two, &name, 2);
    // One task is started over, wherever it runs.
    let restarted = || members.iter().filter(|member| member.process.log().contains("Tasks are restarted")).count();
    assert_eq!(restarted(), 0);
    for member in &members {
        member.client.done("POST", &at("/tasks/1/restart"), None);
    }
    assert_eq!(one.client.call("POST", &at("/tasks/2/restart"), None).0, 404);
    wait_until("the restart", PATIENCE, || restarted() == 1);
    owners(one, &name, 2);
    // Offsets are set on any worker when all tasks have ended, wherever they ran.
    let set = json!({"offsets": [{"partition": {"kafka_topic": topic, "kafka_partition": 1}, "offset": {"kafka_offset": 0}}]});
    assert_eq!(two.client.call("PATCH", &at("/offsets"), Some(&set)).0, 400);
    one.client.done("PUT", &at("/stop"), None);
    two.client.done("DELETE", &at("/offsets"), None);
    three.client.done("PATCH", &at("/offsets"), Some(&set));
    assert_eq!(two.client.get(&at("/offsets")), set);
    // The level of a part of the log is that of one worker, or of all.
    let level = |member: &Member| member.client.call("GET", "/admin/loggers/any.part", None).1["level"].clone();
    one.client.done("PUT", "/admin/loggers/any.part", Some(&json!({"level": "ERROR"})));
    assert_eq!(level(one), "ERROR");
    assert_eq!(two.client.call("GET", "/admin/loggers/any.part", None).0, 404);
    two.client.done("PUT", "/admin/loggers/any.part?scope=cluster", Some(&json!({"level": "DEBUG"})));
    assert_eq!(level(two), "DEBUG");
    wait_until("the level everywhere", PATIENCE, || members.iter().all(|member| level(member) == "DEBUG"));
    // It is all there after a restart of every worker.
    for member in &mut members {
        stop(&mut member.process);
    }
    let mut again = cluster.start();
    wait_until("a healthy worker", PATIENCE, || again.client.call("GET", "/health", None).0 == 200);
    assert_eq!(again.client.get(&at("/config")), config);
    assert_eq!(again.status(&name)["connector"]["state"], "STOPPED");
    again.client.done("PUT", &at("/resume"), None);
    owners(&again, &name, 2);
    again.client.done("DELETE", &at(""), None);
    assert_eq!(again.client.get("/connectors"), json!([]));
    stop(&mut again.process);
}

#[test]
fn a_record_that_can_not_be_used_harms_nobody() {
    let cluster = Cluster::new("cluster-odd");
    let mut member = cluster.start();
    wait_until("a healthy worker", PATIENCE, || member.client.call("GET", "/health", None).0 == 200);
    let records = [
        ("connector-newer", r#"{"properties":{"name":"newer","connector.class":"FromTheFutureConnector"}}"#),
        ("connector-damaged", "{\"properties\":"),
        ("target-state-newer", "[]"),
        ("restart-connector-x", "{}"),
        ("session-key", r#"{"key":"x","algorithm":"HmacSHA256","creation-timestamp":1}"#),
        ("connector-good", r#"{"properties":{"name":"good","connector.class":"StdoutSinkConnector","topics":"t","tasks.max":"1"}}"#),
    ];
    let lines: Vec<String> = records.iter().map(|(key, value)| format!("{key}|{value}")).collect();
    console_produce(&format!("{}-configs", cluster.group), &lines, &["parse.key=true", "key.separator=|"]);
    wait_until("the connectors", PATIENCE, || member.client.get("/connectors") == json!(["damaged", "good", "newer"]));
    for (name, said) in [("newer", "no such plugin; there are CsvSourceConnector"), ("damaged", "no JSON object")] {
        let status = member.status(name);
        let trace = status["connector"]["trace"].as_str().unwrap_or_default();
        assert!(status["connector"]["state"] == "FAILED" && trace.contains(said) && trace.contains("-configs, offset"), "{status}");
    }
    assert_eq!(member.client.get("/connectors/newer")["type"], "unknown");
    owners(&member, "good", 1);
    // A change mends it.
    member.client.done("PUT", "/connectors/damaged/config", Some(&stdout_sink("t")));
    owners(&member, "damaged", 1);
    member.client.done("DELETE", "/connectors/newer", None);
    // As large as a body may be is more than the topic takes.
    let mut large = stdout_sink("t");
    large["consumer.override.client.rack"] = "x".repeat(1_047_000).into();
    let (status, said) = member.client.call("PUT", "/connectors/large/config", Some(&large));
    assert!(status == 400 && said["message"].as_str().is_some_and(|m| m.contains("max.message.bytes")), "{status} {said}");
    assert_eq!(member.client.get("/connectors"), json!(["damaged", "good"]));
    stop(&mut member.process);
}

#[test]
fn consumers_of_the_workers_own_group_are_refused() {
    let cluster = Cluster { group: format!("connect-{}", unique("cluster-name")), ..Cluster::new("cluster-name") };
    let mut member = cluster.start();
    let name = cluster.group.trim_start_matches("connect-");
    let said = format!("conflicts with Connect worker group {}", cluster.group);
    let mut config = stdout_sink("t");
    let named = member.client.call("POST", "/connectors", Some(&json!({"name": name, "config": config})));
    config["consumer.override.group.id"] = cluster.group.clone().into();
    let told = member.client.call("POST", "/connectors", Some(&json!({"name": "other", "config": config})));
    for (status, answer) in [named, told] {
        assert!(status == 400 && answer["message"].as_str().is_some_and(|m| m.contains(&said)), "{status} {answer}");
    }
    config["name"] = "other".into();
    let (_, infos) = member.client.call("PUT", "/connector-plugins/StdoutSinkConnector/config/validate", Some(&config));
    assert!(infos["error_count"] == 1 && infos.to_string().contains(&said), "{infos}");
    assert_eq!(member.client.get("/connectors"), json!([]));
    stop(&mut member.process);
}

#[test]
fn the_ready_worker_file_is_accepted() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/connectors/config/cluster-worker.properties");
    run(&mut lakefeed(&["check", file]), PATIENCE).success();
}

#[test]
fn topics_that_do_not_fit_are_refused() {
    for (partitions, policy, said) in [("3", "compact", "has 3 partitions, expected 1"), ("1", "delete", "cleanup.policy is 'delete'")] {
        let cluster = Cluster::new("cluster-unfit");
        let topic = format!("{}-configs", cluster.group);
        let policy = format!("cleanup.policy={policy}");
        let arguments = ["--create", "--topic", &topic, "--partitions", partitions, "--replication-factor", "1", "--config", &policy];
        kafka().tool("topics", &arguments).success();
        let mut process = cluster.process(&[]);
        assert_eq!(process.wait(PATIENCE).code(), Some(1), "{process}");
        assert!(process.log().contains(said), "{process}");
    }
}

/// `BOUNCES=9`: as many of each kind.
fn bounces() -> u32 {
    std::env::var("BOUNCES").ok().map_or(3, |text| text.parse().expect("BOUNCES is a number"))
}

/// Rows go on coming while every worker is stopped and started, and then killed and started, one after the other.
#[test]
fn bounces_of_all_workers_lose_and_double_nothing() {
    let scene = Scene::s3("cluster-bounce", 6, &minio().endpoint);
    let cluster = Cluster::new("cluster-bounces");
    let file = scene.dir.path().join("sink.properties");
    let keys = format!("tasks.max=3\npartition.by=e\nflush.size=500\nrotate.age.ms=500\n{MISSED_SOON}");
    fs::write(&file, scene.connector(&keys)).expect("written");
    let file = file.to_string_lossy();
    // All are started with the same file, as a deployment does.
    let start = || {
        let mut process = cluster.process(&[&file]);
        let client = Client::of(&mut process);
        Member { process, client }
    };
    let mut members: Vec<Member> = (0..3).map(|_| start()).collect();
    owners(&members[0], &scene.topic, 3);
    let (end, produced) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !end.load(Ordering::Acquire) {
                let first = produced.load(Ordering::Acquire);
                scene.produce(first..first + 2_000, 100);
                produced.store(first + 2_000, Ordering::Release);
            }
        });
        // Whatever becomes of the bounces, the producer must end.
        let bounces = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for bounce in 0..2 * bounces() {
                let (mut member, began) = (members.remove(0), Instant::now());
                if bounce < bounces() {
                    stop(&mut member.process)
                } else {
                    member.process.kill()
                }
                members.push(start());
                // The tasks run again, all of them on workers that are there, while rows come.
                let living: Vec<&str> = members.iter().map(|member| member.client.address()).collect();
                wait_until("tasks on the workers that are left", PATIENCE, || {
                    owners(&members[2], &scene.topic, 3).iter().all(|owner| living.contains(&owner.as_str()))
                });
                let before = produced.load(Ordering::Acquire);
                wait_until("more rows", PATIENCE, || produced.load(Ordering::Acquire) >= before + 2_000);
                println!("bounce {bounce}: {:.1} s", began.elapsed().as_secs_f64());
                if bounce == bounces() / 2 {
                    // Under way the configuration changes.
                    members[1].client.done("PATCH", &format!("/connectors/{}/config", scene.topic), Some(&json!({"flush.size": "400"})));
                }
            }
        }));
        end.store(true, Ordering::Release);
        if let Err(cause) = bounces {
            std::panic::resume_unwind(cause);
        }
    });
    let rows = produced.load(Ordering::Acquire);
    assert_eq!(owners(&members[0], &scene.topic, 3).len(), 3);
    wait_until("all offsets", Duration::from_secs(90), || scene.committed() == rows);
    for member in &mut members {
        stop(&mut member.process);
    }
    println!("{rows} rows through {0} clean bounces and {0} kills", bounces());
    scene.assert_each_once(0..rows);
}

/// Files go on coming while an owner of the source is frozen and another one killed: others go on where they were. The frozen one wakes up and takes itself for
/// the owner.
#[test]
fn a_source_whose_owner_dies_goes_on_elsewhere() {
    const FILES: u64 = 30;
    const ROWS: u64 = 3_000;
    let cluster = Cluster::new("cluster-source");
    let (topic, input) = (unique("cluster-csv"), cluster.dir.path().join("input"));
    fs::create_dir(&input).expect("a folder");
    kafka().create_topic(&topic, 2);
    let mut members = cluster.three();
    let config = json!({
        "connector.class": "CsvSourceConnector", "topic": topic, "input.path": input, "input.file.pattern": ".*\\.csv", "cleanup.policy": "NONE",
        "csv.first.row.as.header": "true", "tasks.max": "2", "empty.poll.wait.ms": "50",
    });
    members[0].client.done("PUT", "/connectors/csv/config", Some(&config));
    owners(&members[0], "csv", 2);
    let (mut killed, mut frozen) = (Vec::new(), Vec::new());
    for file in 0..FILES {
        let rows: String = (file * ROWS..(file + 1) * ROWS).map(|id| format!("{id},{}\n", "x".repeat(40))).collect();
        fs::write(input.join(format!("{file}.part")), format!("id,text\n{rows}")).expect("written");
        fs::rename(input.join(format!("{file}.part")), input.join(format!("{file}.csv"))).expect("renamed");
        thread::sleep(Duration::from_millis(100));
        if file % 10 == 5 && killed.len() < 2 {
            // A dead owner is shown until it is missed.
            let alive = || Some(owners(&members[0], "csv", 2).remove(0)).filter(|owner| !killed.contains(owner));
            let owner = wait_for("an owner that lives", PATIENCE, alive);
            let victim = members.iter().position(|member| member.client.address() == owner).expect("an owner");
            let mut member = members.remove(victim);
            if killed.is_empty() {
                member.process.signal("STOP");
                frozen.push(member);
                // It stays in the group for its session.
                members.push(cluster.start());
            } else {
                member.process.kill();
            }
            killed.push(owner);
        }
    }
    let done = |offset: &&Value| offset["offset"]["done"] == true;
    wait_until("the offsets of all files", PATIENCE, || {
        let offsets = members[0].client.get("/connectors/csv/offsets");
        offsets["offsets"].as_array().is_some_and(|list| list.iter().filter(done).count() as u64 == FILES)
    });
    let now = owners(&members[0], "csv", 2);
    assert!(now.iter().all(|owner| !killed.contains(owner)), "{now:?}, killed: {killed:?}");
    for mut member in frozen {
        member.process.signal("CONT");
        // It learns that its tasks are not its own any more, and becomes a member as any other.
        member.process.wait_for_log("lost=true", PATIENCE);
        members.push(member);
    }
    let arguments = ["--topic", &*topic, "--from-beginning", "--timeout-ms", "5000", "--isolation-level", "read_committed"];
    let said = kafka().tool("console-consumer", &arguments).stdout;
    let id = |line: &str| {
        serde_json::from_str::<Value>(line).ok().and_then(|row| row["id"].as_u64().or_else(|| row["id"].as_str()?.parse().ok()))
    };
    let ids: Vec<u64> = said.lines().map(|line| id(line).unwrap_or_else(|| panic!("no id in {line}"))).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len() as u64, FILES * ROWS, "rows are missing");
    assert_eq!(ids.len() as u64, FILES * ROWS, "rows came twice");
    // Offsets can be set by a worker that ran none of it.
    members[0].client.done("PUT", "/connectors/csv/stop", None);
    members[0].client.done("DELETE", "/connectors/csv/offsets", None);
    assert_eq!(members[0].client.get("/connectors/csv/offsets"), json!({"offsets": []}));
    for member in &mut members {
        stop(&mut member.process);
    }
}
