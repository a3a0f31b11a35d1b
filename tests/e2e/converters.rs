//! Converters: Avro of a real Schema Registry as fastavro writes it, JSON with schemas, values without structure.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use lakefeed_core::{Output, TopicPartition};
use lakefeed_kafka::{ClientSettings, Producer, RangeReader};
use lakefeed_kit::{kafka, minio, python, registry, run, wait_until};
use serde_json::{Value, json};

use crate::motor::lakefeed;
use crate::scene::{PATIENCE, Scene, stop};

/// Registers two schemas under TOPIC-value and prints their ids, records of both in turn as hexadecimal, and what they say, as `READ` of the scene
/// prints rows: maps as lists of pairs.
const WRITE: &str = r#"
import sys, io, json, struct, datetime, decimal, uuid, urllib.request
import fastavro
url, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
fields = [
    {"name": "id", "type": "int"},
    {"name": "pm", "type": ["null", "double"]},
    {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "who", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ON", "OFF"]}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "more", "type": {"type": "map", "values": "float"}},
    {"name": "part", "type": ["null", {"type": "record", "name": "Part", "fields": [{"name": "no", "type": "long"}]}]},
    {"name": "either", "type": ["null", "string", "long"]},
]
old = {"type": "record", "name": "Motor", "namespace": "io.example", "fields": fields}
new = dict(old, fields=[dict(fields[0], type="long"), *fields[1:], {"name": "added", "type": ["null", "string"], "default": None}])
def register(schema):
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.load(opener.open(urllib.request.Request(f"{url}/subjects/{topic}-value/versions", body, headers)))["id"]
parsed = [(register(schema), fastavro.parse_schema(schema)) for schema in (old, new)]
utc = datetime.timezone.utc
values, rows = [], []
for i in range(count):
    id, schema = parsed[i % 2]
    row = {
        "id": i, "pm": i * 0.37 if i % 3 else None,
        "seen": datetime.datetime(2024, 1, 1, tzinfo=utc) + datetime.timedelta(microseconds=i * 1000003),
        "ms": datetime.datetime(2024, 1, 1, tzinfo=utc) + datetime.timedelta(milliseconds=i),
        "day": datetime.date(2024, 1, 1) + datetime.timedelta(days=i % 50),
        "price": decimal.Decimal(i - 50).scaleb(-2), "who": uuid.UUID(int=i), "state": ["ON", "OFF"][i % 2],
        "tags": [f"t{n}" for n in range(i % 4)], "more": {f"k{n}": n + 0.5 for n in range(i % 3)},
        "part": {"no": i} if i % 5 else None, "either": [None, f"s{i}", i][i % 3],
    }
    if i % 2:
        row["added"] = f"new {i}"
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, row)
    values.append((struct.pack(">bI", 0, id) + out.getvalue()).hex())
    row["either"] = {"string": row["either"]} if i % 3 == 1 else {"long": i} if i % 3 == 2 else None
    row["more"] = list(row["more"].items())
    rows.append({k: v for k, v in row.items() if v is not None})
print(json.dumps({"ids": [id for id, _ in parsed], "values": values, "rows": rows}, default=str))
"#;

struct Written {
    id: u32,
    values: Vec<Vec<u8>>,
    rows: Value,
}

fn write(topic: &str, count: usize) -> Written {
    let written: Value = serde_json::from_str(&python(WRITE, &[&registry().url, topic, &count.to_string()])).expect("JSON");
    let values = written["values"].as_array().expect("values").iter().map(|hex| {
        let hex = hex.as_str().expect("hexadecimal").as_bytes();
        hex.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("digits")).collect()
    });
    let id = written["ids"][0].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
    Written { id, values: values.collect(), rows: written["rows"].clone() }
}

fn send(topic: &str, values: &[Vec<u8>]) {
    let producer = Producer::new(&ClientSettings::new(&kafka().bootstrap)).expect("a producer");
    let mut out = Output::default();
    out.to_topic(&topic.into());
    values.iter().for_each(|value| out.push(None, Some(value), None));
    producer.send(&out).expect("sent");
    producer.flush(PATIENCE).expect("acknowledged");
}

pub(crate) fn avro(url: &str) -> String {
    converter("avro.AvroConverter", url)
}

/// The keys of one of Confluent's converters.
pub(crate) fn converter(class: &str, url: &str) -> String {
    format!("value.converter=io.confluent.connect.{class}\nvalue.converter.schema.registry.url={url}\n")
}

#[test]
fn avro_rows_of_two_schemas_come_as_they_were_written() {
    let scene = Scene::s3("avro", 1, &minio().endpoint);
    let mut written = write(&scene.topic, 300);
    let good = written.values.clone();
    // Between good records: no prefix, an id that nobody has, a record that is cut off.
    written.values.insert(10, b"{\"id\":1}".to_vec());
    written.values.insert(100, [&[0, 0x7f, 0, 0, 1][..], b"x"].concat());
    written.values.insert(200, good[0][..12].to_vec());
    send(&scene.topic, &written.values);
    // The first address is none: the next one is asked.
    let keys = avro(&format!("http://127.0.0.1:1,{}", registry().url)) + "flush.size=100\nrotate.idle.ms=500\n" + &scene.tolerant();
    let mut worker = scene.worker("worker", &keys);
    scene.wait_for_rows(&mut worker, "all rows", 300);
    let letters = scene.dead_letters(3);
    stop(&mut worker);
    assert_eq!(scene.rows(), written.rows);
    let types = scene.sql(
        "SELECT typeof(any_value(id)), typeof(any_value(seen)), typeof(any_value(day)), typeof(any_value(price)), \
                           typeof(any_value(state)), typeof(any_value(more)), typeof(any_value(either)) FROM ROWS",
    );
    let types = types.success();
    let expected =
        "BIGINT,TIMESTAMP WITH TIME ZONE,DATE,\"DECIMAL(12,2)\",VARCHAR,\"MAP(VARCHAR, FLOAT)\",\"STRUCT(string VARCHAR, long BIGINT)\"";
    assert_eq!(types.lines().nth(1), Some(expected), "{types}");
    let subject = format!("schema id {} of subject {}-value", written.id, scene.topic);
    for (offset, why) in [(10, "begins with the byte 123"), (100, "no schema with id 2130706433"), (200, &subject)] {
        let at = format!("offset {offset}");
        assert!(letters.iter().any(|letter| letter.contains(&at) && letter.contains(why)), "{at}: {why}: {letters:#?}");
    }
    assert!(letters.iter().all(|letter| letter.contains("VALUE_CONVERTER")), "{letters:#?}");
}

/// Passes connections on to the registry, for the rest of the process.
fn forward(listener: TcpListener) {
    let target = registry().url.split('/').nth(2).expect("an address").to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&target).expect("the registry");
            for (mut from, mut to) in
                [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))].map(|(a, b)| (a.expect("a"), b.expect("b")))
            {
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
}

#[test]
fn a_registry_that_is_down_is_waited_for() {
    let scene = Scene::local("down", 1);
    let written = write(&scene.topic, 20);
    send(&scene.topic, &written.values);
    // A port that refuses connections until the test listens there.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let url = format!("http://{address}/{}", registry().url.splitn(4, '/').nth(3).expect("a path"));
    let mut worker = scene.worker("worker", &(avro(&url) + "rotate.idle.ms=300\n" + &scene.tolerant()));
    worker.wait_for_log("The Schema Registry does not answer", PATIENCE);
    std::thread::sleep(Duration::from_secs(2));
    assert!(worker.is_running() && scene.count() == 0, "{worker}");
    assert_eq!(worker.log().matches("does not answer").count(), 1, "one message for an outage: {worker}");
    forward(TcpListener::bind(address).expect("the port is still free"));
    scene.wait_for_rows(&mut worker, "all rows", 20);
    stop(&mut worker);
    assert!(worker.log().contains("answers again"), "{worker}");
    assert_eq!(scene.rows(), written.rows);
    assert!(!kafka().topics().contains(&format!("{}.dead", scene.topic)) || kafka().end_offsets(&format!("{}.dead", scene.topic)) == [0]);
}

#[test]
fn records_wait_for_a_registry_as_long_as_is_said() {
    let scene = Scene::local("given-up", 1);
    let written = write(&scene.topic, 3);
    send(&scene.topic, &written.values);
    let times = "errors.retry.timeout=700\nerrors.retry.delay.max.ms=100\nerrors.log.enable=true\nerrors.log.include.messages=true\n";
    let mut worker = scene.worker("worker", &(avro("http://127.0.0.1:1") + times + &scene.tolerant()));
    let dead = format!("{}.dead", scene.topic);
    wait_until("the dead letters", PATIENCE, || kafka().topics().contains(&dead) && kafka().end_offsets(&dead) == [3]);
    let log = worker.log();
    for offset in 0..3 {
        let line = log.lines().find(|line| line.contains(&format!("offset {offset}: "))).unwrap_or_else(|| panic!("{log}"));
        for part in ["http://127.0.0.1:1 can't be reached", "asked for 700 ms (errors.retry.timeout)", "timestamp_ms=1"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    stop(&mut worker);
}

#[test]
fn the_workers_converter_is_used_where_a_connector_names_none() {
    let scene = Scene::local("schemas", 1);
    let row = |id: u64| {
        let fields = r#"[{"field":"id","type":"int32"},{"field":"seen","type":"int64","name":"org.apache.kafka.connect.data.Timestamp"}]"#;
        format!(r#"{{"schema":{{"type":"struct","fields":{fields}}},"payload":{{"id":{id},"seen":{}}}}}"#, 1_700_000_000_000 + id)
    };
    scene.produce_values(&[row(0), r#"{"id":7}"#.into(), row(1)]);
    let worker_keys =
        "key.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\n";
    let mut worker = scene.worker_with("worker", &("rotate.idle.ms=300\n".to_owned() + &scene.tolerant()), worker_keys);
    scene.wait_for_rows(&mut worker, "both rows", 2);
    let letters = scene.dead_letters(1);
    stop(&mut worker);
    assert!(letters[0].contains("value.converter.schemas.enable=false"), "{letters:?}");
    let types = scene.sql("SELECT typeof(id), typeof(seen), epoch_ms(seen) FROM ROWS ORDER BY id").success();
    let expected = ["INTEGER,TIMESTAMP WITH TIME ZONE,1700000000000", "INTEGER,TIMESTAMP WITH TIME ZONE,1700000000001"];
    assert_eq!(types.lines().skip(1).collect::<Vec<_>>(), expected);
}

#[test]
fn text_is_the_column_value() {
    let scene = Scene::local("text", 1);
    scene.produce_values(&["{\"id\":1}".into(), "ünï".into()]);
    let keys = "value.converter=org.apache.kafka.connect.storage.StringConverter\nformat.class=JsonFormat\nrotate.idle.ms=300\n";
    let mut worker = scene.worker("worker", keys);
    scene.wait_for_rows(&mut worker, "both rows", 2);
    stop(&mut worker);
    let rows = scene.sql("SELECT to_json(struct_pack(value)) FROM ROWS ORDER BY value").success();
    let rows: Vec<Value> =
        rows.lines().skip(1).map(|line| serde_json::from_str(&line.trim_matches('"').replace("\"\"", "\"")).expect("JSON")).collect();
    assert_eq!(rows, [json!({"value": "{\"id\":1}"}), json!({"value": "ünï"})]);
}

/// Prints the schemas and the rows of Avro values that are given as hexadecimal, as fastavro reads them.
const FASTAVRO: &str = r#"
import sys, io, json, struct, urllib.request
import fastavro
url, values = sys.argv[1], [bytes.fromhex(value) for value in sys.argv[2].split(",")]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
texts, rows = {}, []
for value in values:
    zero, id = struct.unpack(">bI", value[:5])
    assert zero == 0
    if id not in texts:
        texts[id] = json.load(opener.open(f"{url}/schemas/ids/{id}"))["schema"]
    rest = io.BytesIO(value[5:])
    rows.append(fastavro.schemaless_reader(rest, fastavro.parse_schema(json.loads(texts[id]))))
    assert not rest.read()
print(json.dumps({"schemas": [json.loads(text) for text in texts.values()], "rows": rows}))
"#;

/// Registers schemas, each a text, its type, its subject and the subjects of those that it refers to, by which it names them; prints the last one's id.
const REGISTER: &str = r#"
import sys, json, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for subject, kind, schema, references in json.loads(sys.argv[2]):
    references = [{"name": name, "subject": name, "version": 1} for name in references]
    body = json.dumps({"schema": schema, "schemaType": kind, "references": references}).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    answer = opener.open(urllib.request.Request(f"{sys.argv[1]}/subjects/{subject}/versions", body, headers))
    id = json.load(answer)["id"]
print(id)
"#;

fn register(schemas: &Value) -> u32 {
    python(REGISTER, &[&registry().url, &schemas.to_string()]).trim().parse().expect("an id")
}

const CSV: &str = "id,pm,name,on\n1,0.5,a b,true\n2,,ü,false\n3,7,12,\n";

/// Sends a CSV file by a worker of its own, which ends then.
pub(crate) fn send_csv(scene: &Scene, rows: &str, keys: &str) -> lakefeed_kit::Output {
    let home = scene.dir.path();
    fs::write(home.join("rows.csv"), rows).expect("written");
    let worker = format!(
        "bootstrap.servers={}\noffset.storage.file.filename={}/csv.offsets\nlisteners=http://127.0.0.1:0\n",
        kafka().bootstrap,
        home.display()
    );
    let connector = format!(
        "name={0}-csv\nconnector.class=CsvSourceConnector\ntopic={0}\ninput.file={1}/rows.csv\nexit.when.done=true\n\
         csv.types=id:long,pm:double,on:boolean\n{keys}",
        scene.topic,
        home.display()
    );
    let [worker, connector] = [("csv.worker", worker), ("csv", connector)].map(|(name, text)| {
        let path = home.join(format!("{name}.properties"));
        fs::write(&path, text).expect("written");
        path.to_string_lossy().into_owned()
    });
    run(&mut lakefeed(&["connect", &worker, &connector]), PATIENCE)
}

pub(crate) type Bytes = Option<Vec<u8>>;

/// Keys and values of partition 0 of the topic.
pub(crate) fn records(topic: &str, count: i64) -> Vec<(Bytes, Bytes)> {
    let partition = TopicPartition::new(topic, 0);
    let mut reader = RangeReader::new(&ClientSettings::new(&kafka().bootstrap), &partition, 0, count).expect("a reader");
    let mut all = Vec::new();
    while let Some(records) = reader.read().expect("records") {
        all.extend((0..records.len()).map(|row| (records.key(row).map(<[u8]>::to_vec), records.value(row).map(<[u8]>::to_vec))));
    }
    all
}

pub(crate) fn fastavro<'a>(values: impl Iterator<Item = &'a [u8]>) -> Value {
    let hex = |value: &[u8]| value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let values: Vec<_> = values.map(hex).collect();
    serde_json::from_str(&python(FASTAVRO, &[&registry().url, &values.join(",")])).expect("JSON")
}

#[test]
fn csv_rows_are_written_as_avro_and_come_back() {
    let scene = Scene::local("out", 1);
    let keys = avro(&registry().url)
        + &avro(&registry().url).replace("value.", "key.")
        + "key.fields=id,name\nschema.generation.value.name=io.example.Motor\n";
    send_csv(&scene, CSV, &keys).success();
    let sent = records(&scene.topic, 3);
    let read = fastavro(sent.iter().filter_map(|(_, value)| value.as_deref()));
    let rows = json!([
        {"id": 1, "pm": 0.5, "name": "a b", "on": true},
        {"id": 2, "pm": null, "name": "ü", "on": false},
        {"id": 3, "pm": 7.0, "name": "12", "on": null},
    ]);
    assert_eq!(read["rows"], rows);
    let field = |name: &str, kind: &str| json!({"name": name, "type": ["null", kind], "default": null});
    let fields = json!([field("id", "long"), field("pm", "double"), field("name", "string"), field("on", "boolean")]);
    assert_eq!(read["schemas"], json!([{"type": "record", "name": "Motor", "namespace": "io.example", "fields": fields}]));
    let read = fastavro(sent.iter().filter_map(|(key, _)| key.as_deref()));
    assert_eq!(read["rows"][1], json!({"id": 2, "name": "ü"}));
    assert_eq!(read["schemas"][0]["name"], "Key");

    let mut worker = scene.worker("sink", &(avro(&registry().url) + "rotate.idle.ms=300\n"));
    scene.wait_for_rows(&mut worker, "all rows", 3);
    stop(&mut worker);
    let types = scene.sql("SELECT typeof(any_value(id)), typeof(any_value(pm)), typeof(any_value(\"on\")) FROM ROWS").success();
    assert_eq!(types.lines().nth(1), Some("BIGINT,DOUBLE,BOOLEAN"), "{types}");
    let rows: Vec<_> = rows.as_array().expect("rows").iter().cloned().map(without_nulls).collect();
    assert_eq!(scene.rows(), Value::from(rows));
}

fn without_nulls(row: Value) -> Value {
    row.as_object()
        .expect("a row")
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[test]
fn the_newest_schema_of_a_subject_is_used_and_nothing_is_registered() {
    let scene = Scene::local("latest", 1);
    let subject = format!("{}-io.example.Motor", scene.topic);
    let fields = r#"[{"name":"pm","type":["double","null"]},{"name":"id","type":"int"},{"name":"on","type":["null","boolean"]},{"name":"name","type":["null","string"]},{"name":"more","type":["null","string"],"default":null}]"#;
    let schema = format!(r#"{{"type":"record","name":"Motor","namespace":"io.example","fields":{fields}}}"#);
    let keys = avro(&registry().url)
        + "value.converter.auto.register.schemas=false\nvalue.converter.use.latest.version=true\n\
           value.converter.value.subject.name.strategy=io.confluent.kafka.serializers.subject.TopicRecordNameStrategy\n\
           schema.generation.value.name=io.example.Motor\nkey.fields=id\n";
    let without = send_csv(&scene, CSV, &keys).code(1).stderr;
    assert!(without.contains(&format!("the registry has no subject {subject}")), "{without}");
    register(&json!([[subject, "AVRO", schema, []]]));
    send_csv(&scene, CSV, &keys).success();
    let sent = records(&scene.topic, 3);
    let read = fastavro(sent.iter().filter_map(|(_, value)| value.as_deref()));
    assert_eq!(read["rows"][0], json!({"pm": 0.5, "id": 1, "on": true, "name": "a b", "more": null}));
    assert_eq!(sent[0].0.as_deref(), Some(&b"1"[..]), "a key of one column is its text");
    // A column that the schema does not have.
    let refused = send_csv(&scene, "id,pm,name,on,new\n4,,,,x\n", &keys).code(1).stderr;
    assert!(refused.contains("has no field 'new'"), "{refused}");
}

#[test]
fn csv_rows_are_written_as_json_with_their_schema() {
    let scene = Scene::local("envelope", 1);
    let json = "value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=true\n";
    send_csv(&scene, CSV, &format!("{json}key.fields=id\nkey.converter=org.apache.kafka.connect.json.JsonConverter\n")).success();
    let sent = records(&scene.topic, 3);
    let value: Value = serde_json::from_slice(sent[2].1.as_deref().expect("a value")).expect("JSON");
    assert_eq!(value["payload"], json!({"id": 3, "pm": 7.0, "name": "12", "on": null}));
    assert_eq!(value["schema"]["fields"][1], json!({"type": "double", "optional": true, "field": "pm"}));
    assert_eq!(sent[0].0.as_deref(), Some(&b"\"1\""[..]));
    let mut worker = scene.worker("sink", &format!("{json}rotate.idle.ms=300\n"));
    scene.wait_for_rows(&mut worker, "all rows", 3);
    stop(&mut worker);
    assert_eq!(scene.rows()[2], json!({"id": 3, "pm": 7.0, "name": "12"}));
}

/// A value behind the id of its schema.
fn behind(id: u32, value: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], value].concat()
}

/// Sends values, waits for the rows of a sink with this converter, and returns its dead letters.
fn read_by(scene: &Scene, class: &str, values: &[Vec<u8>], rows: u64, letters: usize) -> Vec<String> {
    send(&scene.topic, values);
    let keys = converter(class, &registry().url);
    let mut worker = scene.worker("worker", &(keys + "rotate.idle.ms=300\n" + &scene.tolerant()));
    scene.wait_for_rows(&mut worker, "all rows", rows);
    let letters = scene.dead_letters(letters);
    stop(&mut worker);
    assert!(letters.iter().all(|letter| letter.contains("VALUE_CONVERTER")), "{letters:?}");
    letters
}

#[test]
fn protobuf_messages_of_a_registered_file_become_columns() {
    let scene = Scene::local("protobuf", 1);
    let name = format!("{}.proto", scene.topic);
    let imported = r#"syntax = "proto3"; package parts; enum State { ON = 0; OFF = 1; }"#;
    let schema = format!(
        r#"syntax = "proto3"; import "{name}"; import "google/protobuf/timestamp.proto";
        message Other {{ string x = 1; }}
        message Motor {{ int64 id = 1; optional double pm = 2; parts.State state = 3; google.protobuf.Timestamp seen = 4; repeated string tags = 5; }}"#
    );
    let id = register(&json!([[name, "PROTOBUF", imported, []], [format!("{}-value", scene.topic), "PROTOBUF", schema, [name]]]));
    // The second message of the file: one number, 1, as zig-zag.
    let full = [&[2, 2, 8, 1, 17][..], &0.5_f64.to_le_bytes(), &[24, 1, 34, 2, 8, 60, 42, 1, b'a', 42, 1, b'b']].concat();
    let values = [behind(id, &full), behind(id, &[2, 2, 8, 2]), behind(id, &[2, 2, 8]), b"{\"id\":3}".to_vec()];
    let letters = read_by(&scene, "protobuf.ProtobufConverter", &values, 2, 2);
    let why = format!("schema id {id} of subject {}-value: the value is no message Motor", scene.topic);
    assert!(letters.iter().any(|letter| letter.contains(&why)), "{letters:?}");
    let rows = scene.sql("SELECT id, pm, state, epoch(seen) AS seen, array_to_string(tags, '+') AS tags FROM ROWS ORDER BY id").success();
    assert_eq!(rows, "id,pm,state,seen,tags\n1,0.5,OFF,60.0,a+b\n2,,ON,,\"\"\n", "{rows}");
}

#[test]
fn json_of_a_registered_schema_has_its_types() {
    let scene = Scene::local("json-schema", 1);
    let schema = json!({"type": "object", "title": scene.topic, "properties": {
        "id": {"type": "integer", "connect.type": "int32", "connect.index": 0},
        "at": {"oneOf": [{"type": "null"}, {"type": "integer", "title": "org.apache.kafka.connect.data.Timestamp", "connect.type": "int64"}]},
    }});
    let id = register(&json!([[format!("{}-value", scene.topic), "JSON", schema.to_string(), []]]));
    let values = [r#"{"id":1,"at":1700000000000}"#, r#"{"id":2,"more":"x"}"#, r#"{"id":"three"}"#].map(|json| behind(id, json.as_bytes()));
    let letters = read_by(&scene, "json.JsonSchemaConverter", &values, 2, 1);
    let why = format!("field id: schema id {id} of subject {}-value", scene.topic);
    assert!(letters[0].contains(&why), "{letters:?}");
    let types = scene.sql("SELECT typeof(any_value(id)), epoch_ms(max(\"at\")), max(more) FROM ROWS").success();
    assert_eq!(types.lines().nth(1), Some("INTEGER,1700000000000,x"), "{types}");
}

/// Prints the type, the text, the id and the version of the newest schema of a subject.
const NEWEST: &str = r#"
import sys, json, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
newest = json.load(opener.open(f"{sys.argv[1]}/subjects/{sys.argv[2]}/versions/latest"))
print(json.dumps([newest["schemaType"], newest["schema"], newest["id"], newest["version"]]))
"#;

pub(crate) fn newest(subject: &str) -> Value {
    serde_json::from_str(&python(NEWEST, &[&registry().url, subject])).expect("JSON")
}

#[test]
fn csv_rows_are_written_by_json_schemas_and_as_protobuf_and_come_back() {
    let message: &[u8] =
        &[&[0, 8, 1, 17][..], &0.5_f64.to_le_bytes(), &[26, 3], b"a b", &[32, 1, 42, 7, 8, 208, 15, 16, 2, 24, 29, 50, 2, 8, 60]].concat();
    let object = br#"{"id":1,"pm":0.5,"name":"a b","on":true,"day":11016,"at":60000}"#;
    for (class, kind, first) in [("json.JsonSchemaConverter", "JSON", &object[..]), ("protobuf.ProtobufConverter", "PROTOBUF", message)] {
        let scene = Scene::local(&kind.to_lowercase(), 1);
        let values = converter(class, &registry().url);
        let time = |field: &str, target: &str, format: &str| {
            let alias = format!("transforms.{field}");
            format!("{alias}.type=TimestampConverter$Value\n{alias}.field={field}\n{alias}.target.type={target}\n{alias}.format={format}\n")
        };
        let keys =
            values.clone() + &values.replace("value.", "key.") + "key.fields=id,name\nschema.generation.value.name=io.example.Motor\n";
        let times = "transforms=day,at\n".to_owned() + &time("day", "Date", "yyyy-MM-dd") + &time("at", "Timestamp", "yyyy-MM-dd HH:mm:ss");
        let csv =
            "id,pm,name,on,day,at\n1,0.5,a b,true,2000-02-29,1970-01-01 00:01:00\n2,,ü,false,,\n3,7,12,,1969-12-31,1969-12-31 23:59:59\n";
        send_csv(&scene, csv, &(keys.clone() + &times)).success();
        let newest = |side: &str| newest(&format!("{}-{side}", scene.topic));
        let value = newest("value");
        assert_eq!((&value[0], &newest("key")[0]), (&json!(kind), &json!(kind)));
        let id = value[2].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
        let sent = records(&scene.topic, 3);
        assert_eq!(sent[0].1.as_deref(), Some(&behind(id, first)[..]), "{value}");

        // The schema that is there already, and nothing new in the registry.
        let latest = "value.converter.auto.register.schemas=false\nvalue.converter.use.latest.version=true\n\
                      key.converter.auto.register.schemas=false\n";
        send_csv(&scene, "name,on,pm,id\nx,,,4\n", &(keys + latest)).success();
        assert_eq!(
            (newest("value"), records(&scene.topic, 4)[3].1.as_deref().map(|value| value[..5].to_vec())),
            (value, Some(behind(id, b"")))
        );

        let mut worker = scene.worker("sink", &(values + "rotate.idle.ms=300\n"));
        scene.wait_for_rows(&mut worker, "all rows", 4);
        stop(&mut worker);
        let columns = ["id", "pm", "\"on\"", "day", "\"at\""].map(|column| format!("typeof(any_value({column}))")).join(", ");
        let types = scene.sql(&format!("SELECT {columns} FROM ROWS")).success();
        assert_eq!(types.lines().nth(1), Some("BIGINT,DOUBLE,BOOLEAN,DATE,TIMESTAMP WITH TIME ZONE"), "{types}");
        let rows = json!([
            {"id": 1, "pm": 0.5, "name": "a b", "on": true, "day": "2000-02-29", "at": "1970-01-01 00:01:00+00:00"},
            {"id": 2, "name": "ü", "on": false},
            {"id": 3, "pm": 7.0, "name": "12", "day": "1969-12-31", "at": "1969-12-31 23:59:59+00:00"},
            {"id": 4, "name": "x"},
        ]);
        assert_eq!(scene.rows(), rows);
    }
}
