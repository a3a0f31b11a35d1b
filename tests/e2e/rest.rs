//! The REST interface, beside what Apache Kafka Connect 4.3.1 answered, and connectors that change while they run.

use std::fs;
use std::time::Duration;

use lakefeed_kit::{HttpAnswer, Process, http, kafka, unique, wait_for, wait_until};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::motor::lakefeed;
use crate::scene::{Dice, PATIENCE, Scene, stop};

/// One call, with its answer as JSON (null where there is no body).
pub(crate) struct Client(String);

impl Client {
    /// The interface of a worker that has said where it is.
    pub(crate) fn of(worker: &mut Process) -> Self {
        let line = worker.wait_for_log("REST calls are answered at http://", PATIENCE);
        Self(line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address").to_owned())
    }

    /// Host and port: its `worker_id`.
    pub(crate) fn address(&self) -> &str {
        &self.0
    }

    #[track_caller]
    fn raw(&self, method: &str, path: &str, body: Option<&[u8]>) -> HttpAnswer {
        let headers: &[_] = if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        self.with_headers(method, path, headers, body)
    }

    #[track_caller]
    fn with_headers(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> HttpAnswer {
        http(&self.0, method, path, headers, body, Duration::from_secs(20)).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let text = body.map(ToString::to_string);
        let answer = self.raw(method, path, text.as_deref().map(str::as_bytes));
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.call("GET", path, None).1
    }

    #[track_caller]
    pub(crate) fn done(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, path, body);
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// Waits until the first task is in a state; its trace.
    #[track_caller]
    pub(crate) fn wait_for_task(&self, name: &str, state: &str) -> String {
        wait_for(&format!("{name}-0 in the state {state}"), PATIENCE, || {
            let status = self.get(&format!("/connectors/{name}/status"));
            (status["tasks"][0]["state"] == state).then(|| status["tasks"][0]["trace"].as_str().unwrap_or_default().to_owned())
        })
    }
}

/// A worker without connectors.
pub(crate) fn empty_worker(dir: &TempDir) -> Process {
    worker_with(dir, "")
}

fn worker_with(dir: &TempDir, keys: &str) -> Process {
    let (home, file) = (dir.path().display(), dir.path().join("worker.properties"));
    let bootstrap = &kafka().bootstrap;
    let text = format!(
        "bootstrap.servers={bootstrap}\nlisteners=http://127.0.0.1:0\noffset.storage.file.filename={home}/offsets\nstate.dir={home}/state\n\
         offset.flush.interval.ms=200\n{keys}"
    );
    fs::write(&file, text).expect("written");
    Process::spawn(&mut lakefeed(&["connect", &file.to_string_lossy()]), dir.path().join("log"))
}

/// Leaves out of an answer what is text for people or an order, and keys of connectors that the expectation does not name.
fn comparable(mut answer: Value, expected: &Value) -> Value {
    fn plain(definition: &mut Value) {
        if let Some(object) = definition.as_object_mut() {
            object.remove("documentation");
            object.remove("order_in_group");
        }
    }
    let named = |list: &Value, name: &dyn Fn(&Value) -> Value, entry: &Value| {
        list.as_array().is_some_and(|l| l.iter().any(|e| name(e) == name(entry)))
    };
    if let Some(configs) = answer.get_mut("configs").and_then(Value::as_array_mut) {
        let name = |entry: &Value| entry["definition"]["name"].clone();
        configs.retain(|entry| named(&expected["configs"], &name, entry));
        configs.iter_mut().for_each(|entry| plain(&mut entry["definition"]));
        sort(configs, &expected["configs"], &name);
    } else if let Some(definitions) = answer.as_array_mut().filter(|a| a.iter().any(|d| d.get("documentation").is_some())) {
        let name = |entry: &Value| entry["name"].clone();
        definitions.retain(|entry| named(expected, &name, entry));
        definitions.iter_mut().for_each(plain);
        sort(definitions, expected, &name);
    }
    answer
}

/// In the order of the expectation.
fn sort(entries: &mut [Value], expected: &Value, name: &dyn Fn(&Value) -> Value) {
    let place = |entry: &Value| expected.as_array().and_then(|l| l.iter().position(|e| name(e) == name(entry)));
    entries.sort_by_key(place);
}

#[test]
fn the_answers_are_those_of_apache_kafka_connect() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let (name, topic) = (unique("c1"), unique("orders"));
    kafka().create_topic(&topic, 1);
    let cluster = client.get("/")["kafka_cluster_id"].as_str().expect("the id of the cluster").to_owned();
    let golden = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rest.json")).expect("the golden data");
    let filled = [
        ("{name}", &*name),
        ("{topic}", &*topic),
        ("{worker}", &client.0),
        ("{cluster}", &cluster),
        ("{version}", env!("CARGO_PKG_VERSION")),
    ];
    let golden = filled.iter().fold(golden, |text, (name, value)| text.replace(name, value));
    let golden: Value = serde_json::from_str(&golden).expect("JSON");
    let listed = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kafka-connect.md")).expect("the list of differences");
    let calls = golden["calls"].as_array().expect("calls");
    assert!(calls.len() >= 46, "{} calls", calls.len());
    for call in calls {
        let text = |key: &str| call[key].as_str().unwrap_or_default();
        if let Some(reason) = call.get("differs") {
            let line = format!("\n| `{}` |", reason.as_str().unwrap_or_default());
            assert!(listed.contains(&line), "docs/kafka-connect.md does not list it: {call}");
            assert_ne!(call["ours"], call["answer"], "there is no difference: {call}");
        }
        let expected = call.get("ours").unwrap_or(&call["answer"]);
        let body = call.get("text").map(|_| text("text").to_owned()).or_else(|| Some(call.get("body")?.to_string()));
        let ask = || client.raw(text("method"), text("path"), body.as_deref().map(str::as_bytes));
        let of = |answer: &HttpAnswer| comparable(serde_json::from_str(&answer.body).unwrap_or_default(), expected);
        let mut answer = ask();
        // Connectors change beside the calls that tell them to: a question is asked again until it is answered as expected.
        let asked_at = std::time::Instant::now();
        while text("method") == "GET" && of(&answer) != *expected && asked_at.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
            answer = ask();
        }
        let what = format!("{} {}", text("method"), text("path"));
        assert_eq!(of(&answer), *expected, "{what}");
        assert_eq!(Value::from(answer.status), call["status"], "{what}");
        assert_eq!(answer.header("location").is_some(), call["location"] == true, "{what}");
    }
    stop(&mut worker);
}

#[test]
fn a_connector_that_is_changed_paused_and_restarted_under_load_loses_nothing() {
    let scene = Scene::local("rest-load", 2);
    let mut worker = scene.worker("worker", &scene.small_files());
    let client = Client::of(&mut worker);
    let path = format!("/connectors/{}", scene.topic);
    client.wait_for_task(&scene.topic, "RUNNING");
    for round in 0..6_u64 {
        scene.produce(round * 1000..(round + 1) * 1000, 50);
        match round {
            0 => drop(client.done("PATCH", &format!("{path}/config"), Some(&json!({"flush.size": "70"})))),
            1 => drop(client.done("PUT", &format!("{path}/pause"), None)),
            2 => drop(client.done("PUT", &format!("{path}/resume"), None)),
            3 => drop(client.done("POST", &format!("{path}/restart?includeTasks=true"), None)),
            4 => {
                client.done("PUT", &format!("{path}/stop"), None);
                assert_eq!(client.get(&format!("{path}/status"))["tasks"], json!([]));
                client.done("PUT", &format!("{path}/resume"), None);
            }
            _ => drop(client.done("PATCH", &format!("{path}/config"), Some(&json!({"tasks.max": "2", "flush.size": null})))),
        }
    }
    scene.wait_for_rows(&mut worker, "all rows", 6000);
    let read = || client.get(&format!("{path}/offsets"));
    wait_until("the offsets of all rows", PATIENCE, || {
        let offsets = read();
        let of = |entry: &Value| entry["offset"]["kafka_offset"].as_u64().unwrap_or(0);
        offsets["offsets"].as_array().map_or(0, |list| list.iter().map(of).sum()) == 6000
    });
    assert_eq!(client.get(&format!("{path}/topics"))[&scene.topic]["topics"], json!([scene.topic]));
    assert_eq!(client.get(&format!("{path}/config"))["tasks.max"], "2");
    // The offsets go back to the start: what the lake has is recognised.
    client.done("PUT", &format!("{path}/stop"), None);
    client.done("DELETE", &format!("{path}/offsets"), None);
    assert_eq!(read(), json!({"offsets": []}));
    let offset =
        |partition: u32, offset: Value| json!({"partition": {"kafka_topic": scene.topic, "kafka_partition": partition}, "offset": offset});
    let three = json!({"kafka_offset": "3"});
    client.done("PATCH", &format!("{path}/offsets"), Some(&json!({"offsets": [offset(0, three.clone()), offset(1, three.clone())]})));
    client.done("PATCH", &format!("{path}/offsets"), Some(&json!({"offsets": [offset(0, Value::Null)]})));
    assert_eq!(read(), json!({"offsets": [offset(1, json!({"kafka_offset": 3}))]}));
    client.done("PUT", &format!("{path}/resume"), None);
    wait_until("the offsets again", PATIENCE, || scene.committed() == 6000);
    stop(&mut worker);
    scene.assert_each_once(0..6000);
}

#[test]
fn a_failed_task_says_where_and_what_to_do_and_a_change_mends_it() {
    let scene = Scene::local("rest-failed", 1);
    scene.produce_values(&[r#"{"id":1}"#.into(), r#"{"id":"x"}"#.into(), r#"{"id":3}"#.into()]);
    let mut worker = empty_worker(&scene.dir);
    let client = Client::of(&mut worker);
    let name = unique("sink");
    let path = format!("/connectors/{name}");
    let config = json!({
        "connector.class": "io.confluent.connect.s3.S3SinkConnector", "topics": scene.topic, "store.url": format!("file:{}", scene.lake),
        "topics.dir": "", "schema.columns": "id BIGINT", "rotate.age.ms": "300",
    });
    client.done("POST", "/connectors", Some(&json!({"name": name, "config": config})));
    let trace = client.wait_for_task(&name, "FAILED");
    for part in [&*format!("topic {}, partition 0, offset 1, field id", scene.topic), "errors.tolerance=all"] {
        assert!(trace.contains(part), "{trace}");
    }
    assert_eq!(client.get(&format!("{path}/status"))["connector"]["state"], "RUNNING");
    let again = client.done("POST", &format!("{path}/restart?includeTasks=true&onlyFailed=true"), None);
    assert_eq!(again["tasks"][0]["state"], "RESTARTING");
    client.wait_for_task(&name, "FAILED");
    client.done("PATCH", &format!("{path}/config"), Some(&json!({"errors.tolerance": "all"})));
    client.wait_for_task(&name, "RUNNING");
    wait_until("the good rows", PATIENCE, || scene.count() == 2);
    // The worker does not end because of a connector that somebody tends.
    assert!(worker.is_running());
    stop(&mut worker);
}

#[test]
fn a_source_that_can_not_do_with_the_workers_converter_is_refused() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = worker_with(&dir, "value.converter=org.apache.kafka.connect.converters.LongConverter\n");
    let client = Client::of(&mut worker);
    let config = json!({"connector.class": "CsvSourceConnector", "topic": "t", "input.path": dir.path(), "input.file.pattern": "x"});
    let (status, said) = client.call("PUT", "/connectors/csv/config", Some(&config));
    let said = said["message"].as_str().unwrap_or_default();
    assert!(status == 400 && said.contains("csv: the worker's converter") && said.contains("use JsonConverter"), "{status} {said}");
    assert_eq!(client.get("/connectors"), json!([]));
    stop(&mut worker);
}

#[test]
fn a_source_is_read_again_from_where_its_offsets_are_set() {
    let dir = TempDir::new().expect("temporary folder");
    let (topic, input) = (unique("rest-csv"), dir.path().join("input"));
    fs::create_dir(&input).expect("a folder");
    fs::write(input.join("a.csv"), "id\n1\n2\n3\n").expect("written");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let config = json!({
        "connector.class": "CsvSourceConnector", "topic": topic, "input.path": input, "input.file.pattern": ".*\\.csv", "cleanup.policy": "NONE",
        "csv.first.row.as.header": "true",
    });
    client.done("PUT", "/connectors/csv%20files/config", Some(&config));
    let offsets = wait_for("the offsets", PATIENCE, || {
        let offsets = client.get("/connectors/csv%20files/offsets");
        offsets["offsets"][0]["partition"].is_object().then_some(offsets)
    });
    assert_eq!(kafka().end_offsets(&topic).iter().sum::<u64>(), 3);
    let (status, refused) = client.call("PATCH", "/connectors/csv%20files/offsets", Some(&offsets));
    assert!(status == 400 && refused["message"].as_str().is_some_and(|m| m.contains("must be in the STOPPED state")), "{refused}");
    client.done("PUT", "/connectors/csv%20files/stop", None);
    client.done(
        "PATCH",
        "/connectors/csv%20files/offsets",
        Some(&json!({"offsets": [{"partition": offsets["offsets"][0]["partition"], "offset": null}]})),
    );
    assert_eq!(client.get("/connectors/csv%20files/offsets"), json!({"offsets": []}));
    client.done("PUT", "/connectors/csv%20files/resume", None);
    wait_until("the rows once more", PATIENCE, || kafka().end_offsets(&topic).iter().sum::<u64>() == 6);
    stop(&mut worker);
}

#[test]
fn secrets_stay_where_they_are() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let secrets = dir.path().join("secrets");
    fs::write(&secrets, "key=hidden-in-a-file\n").expect("written");
    let variable = format!("${{file:{}:key}}", secrets.display());
    let config = json!({
        "connector.class": "S3SinkConnector", "topics": "t", "store.url": format!("file:{}", dir.path().display()),
        "aws.access.key.id": "a", "aws.secret.access.key": "written-out",
    });
    let infos = client.done("PUT", "/connector-plugins/S3SinkConnector/config/validate", Some(&config)).to_string();
    assert!(infos.contains("[hidden]") && !infos.contains("written-out"), "{infos}");
    let mut config = config;
    config["aws.secret.access.key"] = variable.clone().into();
    let infos = client.done("PUT", "/connector-plugins/S3SinkConnector/config/validate", Some(&config)).to_string();
    let made = client.done("POST", "/connectors", Some(&json!({"name": "s", "config": config, "initial_state": "stopped"})));
    assert_eq!(made["config"]["aws.secret.access.key"], variable, "as in Kafka Connect, a variable is shown and not what it stands for");
    assert_eq!(client.get("/connectors/s/status")["connector"]["state"], "STOPPED");
    let all = format!("{infos}{made}{}{}", client.get("/connectors?expand=info"), client.get("/connectors/s/tasks"));
    assert!(!all.contains("hidden-in-a-file"), "{all}");
    config["tasks.max"] = variable.clone().into();
    let (_, wrong) = client.call("PUT", "/connectors/s/config", Some(&config));
    let said = wrong["message"].as_str().unwrap_or_default();
    assert!(said.contains(&format!("Invalid value {variable} for configuration tasks.max")), "{wrong}");
    stop(&mut worker);
    assert!(!worker.log().contains("hidden-in-a-file") && !worker.log().contains("written-out"), "{worker}");
}

/// Words that bodies are made of: most bodies are JSON of the wrong kind, some are right, some are no JSON.
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "true",
    "17",
    "-1e999",
    "\"\"",
    "\"name\"",
    "\"config\"",
    "\"connector.class\"",
    "\"offsets\"",
    "\"StdoutSinkConnector\"",
    "\"S3SinkConnector\"",
    "\"topics\"",
    "\"tasks.max\"",
    "\"level\"",
    "\"partition\"",
    "\"\\u0000\"",
    "\"a/b\"",
    "{\"name\":\"x\",\"config\":{}}",
    "{\"a\":{\"b\":[]}}",
    "\"${env:NO_SUCH_VARIABLE_HERE}\"",
    "\u{0}",
    "\"é\"",
    "{\"level\":\"debug\"}",
];

fn word(dice: &mut Dice) -> &'static str {
    WORDS[usize::try_from(dice.below(WORDS.len() as u64)).expect("small")]
}

fn random_body(dice: &mut Dice) -> String {
    match dice.below(4) {
        // An object whose keys and values are words: mostly JSON.
        0 | 1 => {
            let quoted: Vec<_> = (0..dice.below(6)).map(|_| (word(dice), word(dice))).filter(|(key, _)| key.starts_with('"')).collect();
            format!("{{{}}}", quoted.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(","))
        }
        2 => (0..dice.below(12)).map(|_| word(dice)).collect(),
        _ => "[".repeat(usize::try_from(dice.below(3000)).expect("small")),
    }
}

#[test]
fn no_body_and_no_name_brings_the_interface_down() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = empty_worker(&dir);
    let client = Client::of(&mut worker);
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_121);
    let mut dice = Dice(seed);
    let names = ["c", "a%2Fb", "%00", "%ff", "..", "%2e%2e", "%20", "%7B%7D", "%F0%9F%A6%80", "c%0d%0aX:%201"];
    let calls = [
        ("POST", "/connectors"),
        ("PUT", "/connectors/NAME/config"),
        ("PATCH", "/connectors/NAME/config"),
        ("PATCH", "/connectors/NAME/offsets"),
        ("PUT", "/connector-plugins/StdoutSinkConnector/config/validate"),
        ("PUT", "/connector-plugins/NAME/config/validate"),
        ("PUT", "/admin/loggers/NAME"),
        ("GET", "/connectors/NAME/status"),
        ("GET", "/connectors/NAME/tasks/NAME/status"),
        ("POST", "/connectors/NAME/restart?includeTasks=NAME&onlyFailed=true"),
        ("DELETE", "/connectors/NAME"),
    ];
    let pick = |dice: &mut Dice, n: usize| usize::try_from(dice.below(n as u64)).expect("small");
    for round in 0..1500 {
        let (method, path) = calls[pick(&mut dice, calls.len())];
        let path = path.replace("NAME", names[pick(&mut dice, names.len())]);
        let body = random_body(&mut dice);
        let answer = client.raw(method, &path, Some(body.as_bytes()));
        // Kafka Connect answers 500 to a body that is no JSON; nothing else is our fault.
        let no_json = answer.status == 500 && answer.body.contains("not valid JSON") && serde_json::from_str::<Value>(&body).is_err();
        assert!(answer.status < 500 || no_json, "SEED={seed}, round {round}: {method} {path} {body}: {answer:?}");
        let error: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert!(answer.status < 400 || error["error_code"] == answer.status && error["message"].is_string(), "{method} {path}: {answer:?}");
    }
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(client.raw("POST", "/connectors", Some(large.as_bytes())).status, 413);
    let (status, said) = client.call("POST", "/connectors", Some(&json!({"name": "c", "config": {"connector.class": "S3SnkConnector"}})));
    let said = said["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        status == 400 && said.contains("available connectors are: CsvSourceConnector") && said.contains("did you mean S3SinkConnector?"),
        "{said}"
    );
    let (status, said) = client.call(
        "POST",
        "/connectors",
        Some(&json!({"name": "a\u{1}", "config": {"connector.class": "StdoutSinkConnector", "topics": "t"}})),
    );
    assert!(status == 400 && said["message"].as_str().is_some_and(|m| m.contains("control characters")), "{said}");
    assert_eq!(client.get("/health")["status"], "healthy");
    stop(&mut worker);
}

#[test]
fn only_pages_that_are_named_may_call_and_only_with_json() {
    let dir = TempDir::new().expect("temporary folder");
    let mut worker = worker_with(
        &dir,
        "access.control.allow.origin=http://console:8080\naccess.control.allow.methods=GET,PUT\ntopic.tracking.enable=false\n",
    );
    let client = Client::of(&mut worker);
    let ask =
        |origin: &str| client.with_headers("OPTIONS", "/connectors", &[("Origin", origin), ("Access-Control-Request-Method", "PUT")], None);
    let allowed = ask("http://console:8080");
    assert_eq!((allowed.status, allowed.header("access-control-allow-methods")), (200, Some("GET,PUT")));
    let other = ask("http://elsewhere");
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None));
    let seen = client.with_headers("GET", "/connectors", &[("Origin", "http://console:8080")], None);
    assert_eq!((seen.status, seen.header("access-control-allow-origin")), (200, Some("http://console:8080")));
    // What a page may send without the browser's question.
    let plain = client.with_headers("POST", "/connectors", &[("Content-Type", "text/plain")], Some(b"{}"));
    assert_eq!(plain.status, 415);
    assert_eq!(client.call("GET", "/connectors/c/topics", None).0, 403);
    stop(&mut worker);
}

#[test]
fn every_answer_has_the_headers_of_the_worker_file() {
    let dir = TempDir::new().expect("temporary folder");
    let mut wrong = worker_with(&dir, "response.http.headers.config=put X-A: b\n");
    assert_eq!(wrong.wait(PATIENCE).code(), Some(1), "{wrong}");
    assert!(wrong.log().contains("expected one of the actions set, add, setDate, addDate, found 'put'"), "{wrong}");
    fs::remove_file(dir.path().join("log")).expect("removed");
    let rules = r#"set X-Frame-Options: DENY, "add Cache-Control: no-cache, no-store", add Cache-Control: private, setDate Expires: -1000"#;
    let mut worker = worker_with(&dir, &format!("response.http.headers.config={rules}\n"));
    let client = Client::of(&mut worker);
    // Good answers, bad ones, and what no path is.
    for (path, status) in [("/health", None), ("/connectors", Some(200)), ("/connectors/none", Some(404)), ("/none", Some(404))] {
        let answer = client.raw("GET", path, None);
        assert!(status.is_none_or(|status| answer.status == status), "{path}: {answer:?}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}: {answer:?}");
        let all: Vec<&str> = answer.headers.iter().filter(|(name, _)| name == "cache-control").map(|(_, value)| &**value).collect();
        assert_eq!(all, ["no-cache, no-store", "private"], "{path}");
        let expires = answer.header("expires").expect("a date");
        assert!(expires.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len() && expires.ends_with(" GMT"), "{path}: {expires}");
    }
    stop(&mut worker);
}

#[test]
fn calls_need_a_password_where_one_is_asked_for() {
    let dir = TempDir::new().expect("temporary folder");
    let users = dir.path().join("users");
    fs::write(&users, "alice=wonder:land\n").expect("written");
    let asked = "rest.extension.classes=org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension\n";
    let mut unclear = worker_with(&dir, asked);
    assert_eq!(unclear.wait(PATIENCE).code(), Some(1), "{unclear}");
    assert!(unclear.log().contains("rest.basic.auth.file: is required"), "{unclear}");
    fs::remove_file(dir.path().join("log")).expect("removed");
    let mut worker = worker_with(&dir, &format!("{asked}rest.basic.auth.file={}\n", users.display()));
    let client = Client::of(&mut worker);
    let with = |value: &str| client.with_headers("GET", "/connectors", &[("Authorization", value)], None);
    // alice:wonder:land, also without the end of its Base64; alice:wonder:lane, bob:
    for (value, status) in [
        ("Basic YWxpY2U6d29uZGVyOmxhbmQ=", 200),
        ("Basic YWxpY2U6d29uZGVyOmxhbmQ", 200),
        ("Basic YWxpY2U6d29uZGVyOmxhbmU=", 401),
        ("Basic Ym9iOg==", 401),
        ("Basic *", 401),
    ] {
        assert_eq!(with(value).status, status, "{value}");
    }
    let refused = client.raw("DELETE", "/connectors/c", None);
    assert!(refused.status == 401 && refused.header("www-authenticate").is_some_and(|h| h.starts_with("Basic")), "{refused:?}");
    stop(&mut worker);
}

#[test]
fn a_signal_while_the_worker_starts_ends_it_cleanly() {
    let dir = TempDir::new().expect("temporary folder");
    let file = dir.path().join("worker.properties");
    // Nobody answers there: the start waits for the brokers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let home = dir.path().display();
    let address = silent.local_addr().expect("an address");
    fs::write(&file, format!("bootstrap.servers={address}\nlisteners=http://127.0.0.1:0\noffset.storage.file.filename={home}/offsets\n"))
        .expect("written");
    let mut worker = Process::spawn(&mut lakefeed(&["connect", &file.to_string_lossy()]), dir.path().join("log"));
    // It has come to the brokers: signals are listened for before that.
    let _connection = silent.accept().expect("a connection");
    let client = Client::of(&mut worker);
    assert_eq!(client.call("GET", "/health", None), (503, json!({"status": "starting", "message": "Worker is still starting up."})));
    assert!(worker.terminate(Duration::from_secs(10)).success(), "{worker}");
    assert!(worker.log().contains("Stopped before the worker had started"), "{worker}");
}
