//! What an operator has: the log as JSON, values on the command line, `check` for programs, reference pages, tries with an end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lakefeed_kit::{Process, kafka, run, unique};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::motor::lakefeed;
use crate::rest::{Client, empty_worker};
use crate::scene::{PATIENCE, console_produce, stop};

/// The lines of a log, all of which are objects of the log.
fn lines(log: &str) -> Vec<Value> {
    let parsed: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    for line in &parsed {
        let texts = ["timestamp", "level", "target"].map(|key| line[key].as_str().unwrap_or_default());
        assert!(texts.iter().all(|text| !text.is_empty()) && line["fields"]["message"].is_string(), "{line}");
    }
    parsed
}

#[test]
fn every_line_of_the_log_is_json() {
    let dir = TempDir::new().expect("temporary folder");
    let (file, home, topic) = (dir.path().join("worker.properties"), dir.path().display(), unique("json-log"));
    kafka().create_topic(&topic, 1);
    fs::write(
        &file,
        format!("bootstrap.servers={}\nlisteners=http://127.0.0.1:0\noffset.storage.file.filename={home}/offsets\n", kafka().bootstrap),
    )
    .expect("written");
    let connector = dir.path().join("sink.properties");
    fs::write(&connector, format!("name=a \"b\"\nconnector.class=StdoutSinkConnector\ntopics={topic}\n")).expect("written");
    let mut command = lakefeed(&["connect", "--log-format", "json", &file.to_string_lossy(), &connector.to_string_lossy()]);
    let mut worker = Process::spawn(command.env("LAKEFEED_LOG", "debug"), dir.path().join("log"));
    worker.wait_for_log("\"Assigned\"", PATIENCE);
    stop(&mut worker);
    let said = lines(&worker.log());
    let assigned = said.iter().find(|line| line["fields"]["message"] == "Assigned").expect("the line");
    assert_eq!(
        (&assigned["level"], &assigned["target"], &assigned["fields"]["connector"]),
        (&json!("INFO"), &json!("lakefeed"), &json!("a \"b\""))
    );
    assert_eq!(assigned["fields"]["partition"], json!(format!("{topic}-0")));
    // What ends a command is a line too, also of one that says nothing else.
    let output = run(lakefeed(&["plugins", "Nope"]).env("LAKEFEED_LOG_FORMAT", "json").env("LAKEFEED_LOG", "off"), PATIENCE).code(1);
    let said = lines(&output.stderr);
    assert!(said.len() == 1 && said[0]["fields"]["message"] == "no plugin is called 'Nope'", "{said:?}");
}

#[test]
fn values_of_the_command_line_take_the_place_of_those_in_files() {
    let dir = TempDir::new().expect("temporary folder");
    let place = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let worker = place("worker.properties", "bootstrap.servers=127.0.0.1:1\nlisteners=nonsense\n");
    let connector = place("c.properties", "name=c\nconnector.class=StdoutSinkConnector\ntasks.max=none\n");
    let topic = unique("set");
    kafka().create_topic(&topic, 1);
    let home = dir.path().display();
    let sets = [
        format!("bootstrap.servers={}", kafka().bootstrap),
        "listeners=http://127.0.0.1:0".to_owned(),
        format!("offset.storage.file.filename={home}/offsets"),
        format!("c:topics={topic}"),
        "c:tasks.max=${env:LAKEFEED_TEST_TASKS}".to_owned(),
    ];
    let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    run(lakefeed(&["check", &worker, &connector]).args(&arguments).env("LAKEFEED_TEST_TASKS", "2"), PATIENCE).success();
    let mut command = lakefeed(&["connect", &worker, &connector]);
    let mut process = Process::spawn(command.args(&arguments).env("LAKEFEED_TEST_TASKS", "2"), dir.path().join("log"));
    let client = Client::of(&mut process);
    assert_eq!(client.get("/connectors/c/tasks").as_array().map(Vec::len), Some(2));
    assert_eq!(client.get("/connectors/c/config")["tasks.max"], "${env:LAKEFEED_TEST_TASKS}");
    stop(&mut process);
    let output = run(&mut lakefeed(&["connect", &worker, &connector, "--set", "d:topics=t"]), PATIENCE).code(1);
    assert!(output.stderr.contains("no connector is called 'd'; there are: c"), "{}", output.stderr);
}

#[test]
fn check_tells_programs_where_what_is_wrong_and_what_is_right() {
    let dir = TempDir::new().expect("temporary folder");
    let place = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    };
    let properties = place(
        "a.properties",
        "name=a\n# a comment\nconnector.class=S3SinkConnector\ntopics=t\nstore.url=file:/tmp/x\nflush.size=\\\n  ${env:LAKEFEED_TEST_SECRET}\n\
         errors.tolerance=some\nrotate.agems=5\naws.access.key.id=key\n",
    );
    let json = place(
        "b.json",
        "{\"name\": \"b\",\n \"config\": {\"connector.class\": \"StdoutSinkConnector\", \"topics\": \"t\",\n\n  \"tasks.max\": \"0\"}}",
    );
    let worker = place("w.properties", "bootstrap.servers=b:1\ntopic.creation.enable=yes\n");
    let mut command = lakefeed(&["check", "--json", &properties, &json, &worker, "--set", "a:s3.part.size=much"]);
    let said = run(command.env("LAKEFEED_TEST_SECRET", "hidden-in-a-variable"), PATIENCE).code(1).stdout;
    assert!(!said.contains("hidden-in-a-variable"), "{said}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let of = |file: usize, key: &str| {
        let errors = said[file]["errors"].as_array().expect("errors");
        let error = errors.iter().find(|error| error["key"] == key).unwrap_or_else(|| panic!("{key}: {errors:?}"));
        (error["line"].clone(), error["value"].clone(), error["accepted"].clone(), error["nearest"].clone())
    };
    assert_eq!(of(0, "flush.size"), (json!(6), json!("${env:LAKEFEED_TEST_SECRET}"), json!([]), Value::Null));
    assert_eq!(of(0, "errors.tolerance"), (json!(8), json!("some"), json!(["none", "all"]), Value::Null));
    assert_eq!(of(0, "rotate.agems"), (json!(9), Value::Null, json!([]), json!("rotate.age.ms")));
    assert_eq!(of(0, "s3.part.size"), (Value::Null, json!("much"), json!([]), Value::Null));
    assert_eq!(of(1, "tasks.max"), (json!(4), json!("0"), json!([]), Value::Null));
    assert_eq!(of(2, "topic.creation.enable"), (json!(2), json!("yes"), json!(["true", "false"]), Value::Null));
    let text = run(lakefeed(&["check", &json]).env_remove("LAKEFEED_TEST_SECRET"), PATIENCE).code(1).stdout;
    assert!(text.contains("line 4: tasks.max = '0': expected at least 1"), "{text}");
}

#[test]
fn the_reference_pages_are_what_the_binary_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/keys");
    let plugins: Value = serde_json::from_str(&run(&mut lakefeed(&["plugins", "--json"]), PATIENCE).success()).expect("JSON");
    let classes = plugins.as_array().expect("plugins").iter().map(|plugin| plugin["class"].as_str().expect("a class").to_owned());
    let pages: BTreeSet<String> = classes.chain(["worker".to_owned(), "transforms".to_owned()]).collect();
    for page in &pages {
        let said = run(&mut lakefeed(&["plugins", page, "--markdown"]), PATIENCE).success();
        let kept = fs::read_to_string(folder.join(format!("{page}.md"))).unwrap_or_default();
        assert!(said == kept, "docs/keys/{page}.md is not what the binary says: run make docs-pages");
    }
    let kept = fs::read_dir(&folder).expect("docs/keys").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    assert_eq!(kept.collect::<BTreeSet<_>>(), pages.iter().map(|page| format!("{page}.md")).collect());
}

#[test]
fn a_task_starts_over_as_often_as_is_said_and_then_says_what_to_do() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let config = json!({
        "connector.class": "S3SinkConnector", "topics": "t", "s3.bucket.name": "nowhere", "s3.region": "us-east-1", "store.url": "http://127.0.0.1:1",
        "aws.access.key.id": "a", "aws.secret.access.key": "b", "task.restart.max.attempts": "2", "task.restart.backoff.ms": "10",
    });
    client.done("PUT", "/connectors/away/config", Some(&config));
    let trace = client.wait_for_task("away", "FAILED");
    for part in ["started over 2 times (task.restart.max.attempts)", "127.0.0.1:1", "Next step: "] {
        assert!(trace.contains(part), "{trace}");
    }
    assert_eq!(worker.log().matches("the task starts over").count(), 2, "{worker}");
    assert!(worker.is_running());
    let top = run(&mut lakefeed(&["top", &format!("http://{}", client.address()), "--once", "--interval", "0.2"]), PATIENCE).success();
    let line = top.lines().find(|line| line.starts_with("away")).unwrap_or_else(|| panic!("{top}"));
    let cells: Vec<_> = line.split_whitespace().collect();
    assert_eq!((cells[2], cells.last()), ("failed", Some(&"2")), "{top}");
    assert_eq!(worker.terminate(PATIENCE).code(), Some(3), "{worker}");
    let away = run(&mut lakefeed(&["top", &format!("http://{}", client.address())]), PATIENCE).code(3).stderr;
    assert!(away.contains("no worker answers at http://"), "{away}");
}

#[test]
fn a_failed_task_says_where_whatever_its_kind() {
    let dir = TempDir::new().expect("temporary folder");
    let (input, topic) = (dir.path().join("input"), unique("failed"));
    fs::create_dir(&input).expect("a folder");
    fs::write(input.join("a.csv"), "id,x\n1,2\n3,4,5\n").expect("written");
    kafka().create_topic(&topic, 1);
    console_produce(&topic, &[r#"{"id":1,"v":7}"#.into(), r#"{"id":2,"v":700}"#.into(), "no JSON".into()], &[]);
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let at = |offset: u32| format!("topic {topic}, partition 0, offset {offset}");
    let transformed = json!({
        "connector.class": "StdoutSinkConnector", "topics": topic, "transforms": "c", "transforms.c.type": "Cast$Value", "transforms.c.spec": "v:int8",
    });
    let source = json!({
        "connector.class": "CsvSourceConnector", "topic": format!("{topic}-rows"), "input.path": input, "input.file.pattern": ".*",
        "csv.first.row.as.header": "true", "cleanup.policy": "NONE",
    });
    let processor = json!({"connector.class": "DynamoDbProcessorConnector", "topics": topic, "key.fields": "id"});
    for (name, config, place) in [
        ("transformed", transformed, format!("{}, field v", at(1))),
        ("sink", json!({"connector.class": "StdoutSinkConnector", "topics": topic}), at(2)),
        ("source", source, "a.csv, line 3".to_owned()),
        ("processor", processor, at(2)),
    ] {
        client.done("PUT", &format!("/connectors/{name}/config"), Some(&config));
        let trace = client.wait_for_task(name, "FAILED");
        for part in [&*place, "errors.tolerance=all", "Next step: "] {
            assert!(trace.contains(part), "{name}: {part}: {trace}");
        }
        client.done("DELETE", &format!("/connectors/{name}"), None);
    }
    stop(&mut worker);
}

/// Wrong files, each with what `check` says of it beside it.
#[test]
fn wrong_files_are_told_in_the_words_beside_them() {
    assert!(told("bad", 1) >= 8);
}

/// Files that are right and may surprise.
#[test]
fn warnings_are_told_in_the_words_beside_them() {
    assert_eq!(told("warned", 0), 2);
}

/// Checks the files of a folder of `tests/golden`, and counts them.
fn told(folder: &str, code: i32) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let mut checked = 0;
    for entry in fs::read_dir(&folder).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "expected") {
            continue;
        }
        let output = run(lakefeed(&["check"]).arg(path.file_name().expect("a name")).current_dir(&folder), PATIENCE).code(code);
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
        assert_eq!(output.stdout, expected, "{}", path.display());
        checked += 1;
    }
    checked
}

/// Files as Kafka Connect's users have them, with every key that there is.
#[test]
fn files_with_every_key_of_kafka_connect_are_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/good");
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let said = run(lakefeed(&["check"]).args(&files), PATIENCE).success();
    assert_eq!(said.matches(": ok").count(), 4, "{said}");
}
