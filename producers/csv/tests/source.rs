//! The connector: files of a folder, positions, and what becomes of files.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lakefeed_core::{
    Budget, Config, ConfigDef, ErrorKind, Key, KeyKind, Make, ManualClock, Output, Polled, Position, Result, Source, SourceOffsets,
    TaskContext, TaskMetrics,
};
use lakefeed_csv::PLUGIN;

/// Stored offsets, shared by the incarnations of a task.
#[derive(Debug, Default, Clone)]
struct Stored(Arc<Mutex<HashMap<String, String>>>);

impl SourceOffsets for Stored {
    fn get(&self, partition: &str) -> Option<String> {
        self.0.lock().expect("one thread").get(partition).cloned()
    }
}

struct Task {
    source: Box<dyn Source>,
    stored: Stored,
    clock: Arc<ManualClock>,
    out: Output,
}

fn parse(pairs: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let values: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let common = ConfigDef::new().keys(&[Key::new("connector.class", KeyKind::Class, "The class.")]);
    let texts = |errors: Vec<lakefeed_core::ConfigError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let config = (PLUGIN.def)().merge(common).parse(&values).map_err(texts)?;
    match (PLUGIN.validate)(&config) {
        errors if errors.is_empty() => Ok(config),
        errors => Err(texts(errors)),
    }
}

fn start_as(task: u32, tasks: u32, folder: &Path, more: &[(&str, &str)], stored: &Stored) -> Result<Task> {
    let folder = folder.to_str().expect("UTF-8");
    let mut pairs = vec![("topic", "t"), ("input.path", folder), ("batch.size", "2"), ("empty.poll.wait.ms", "0")];
    pairs.extend_from_slice(more);
    if more.iter().any(|(k, _)| *k == "input.file") {
        pairs.retain(|(k, _)| *k != "input.path");
    }
    let config = parse(&pairs).expect("valid keys");
    let clock = Arc::new(ManualClock::new(i64::MAX / 2));
    let context = TaskContext {
        connector: "csv".into(),
        task,
        tasks,
        clock: Arc::clone(&clock) as _,
        budget: Budget::new(1 << 20),
        incarnation: "1".into(),
        metrics: TaskMetrics::new(Arc::default(), "c".into(), 0),
        offsets: Arc::new(stored.clone()),
    };
    let Make::Source(make) = PLUGIN.make else { panic!("a source") };
    Ok(Task { source: make(&config, &context)?, stored: stored.clone(), clock, out: Output::default() })
}

fn start(folder: &Path, more: &[(&str, &str)], stored: &Stored) -> Task {
    start_as(0, 1, folder, more, stored).expect("starts")
}

impl Task {
    /// One poll: what it wanted, the values of its rows, and its position.
    fn poll(&mut self) -> (Polled, Vec<String>, Option<Position>) {
        self.out.clear();
        let polled = self.source.poll(&mut self.out).expect("polls");
        let rows = self.out.rows().iter();
        let values = rows.map(|row| String::from_utf8_lossy(self.out.value(row).unwrap_or_default()).into_owned()).collect();
        (polled, values, self.out.position.take())
    }

    fn commit(&mut self, position: &Position) {
        self.stored.0.lock().expect("one thread").insert(position.partition.clone(), position.offset.clone());
        self.source.commit(position).expect("commits");
    }

    /// Polls until there is nothing, and acknowledges each poll.
    fn drain(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let (polled, values, position) = self.poll();
            all.extend(values);
            if let Some(position) = position {
                self.commit(&position);
            }
            if polled != Polled::More {
                return all;
            }
        }
    }
}

fn a_rows(from: u32, to: u32) -> Vec<String> {
    (from..=to).map(|a| format!("{{\"a\":{a}}}")).collect()
}

fn write_rows(path: &Path, from: u32, to: u32) {
    let rows: String = (from..=to).map(|a| format!("{a}\n")).collect();
    fs::write(path, format!("a\n{rows}")).expect("written");
}

/// Gives a file another time of change than it has.
fn touch(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
    fs::File::options().append(true).open(path).and_then(|f| f.set_modified(time)).expect("touched");
}

#[test]
fn files_are_moved_only_when_all_their_rows_are_acknowledged() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let finished = dir.path().join("finished");
    write_rows(&dir.path().join("1.csv"), 1, 3);
    write_rows(&dir.path().join("2.csv"), 4, 5);
    fs::write(dir.path().join("other.txt"), "x").expect("written");
    let mut task = start(dir.path(), &[("finished.path", finished.to_str().expect("UTF-8"))], &Stored::default());
    let (_, rows, first) = task.poll();
    assert_eq!(rows, a_rows(1, 2));
    let (_, rows, second) = task.poll();
    assert_eq!(rows, a_rows(3, 3));
    let (_, rows, third) = task.poll();
    assert_eq!(rows, a_rows(4, 5));
    assert_eq!(task.poll().0, Polled::Idle);
    let there = |name: &str| (dir.path().join(name).exists(), finished.join(name).exists());
    task.commit(&first.expect("a position"));
    assert_eq!(there("1.csv"), (true, false));
    let (second, third) = (second.expect("a position"), third.expect("a position"));
    assert!(second.partition == r#"{"fileName":"1.csv"}"# && second.offset.starts_with(r#"{"offset":3,"byte":8,"line":5,"#), "{second:?}");
    // The second position is left out: the third says that all before it is acknowledged.
    task.commit(&third);
    assert_eq!((there("1.csv"), there("2.csv")), ((false, true), (false, true)));
    assert!(dir.path().join("other.txt").exists());
    // A new file under an old name is a new file.
    write_rows(&dir.path().join("1.csv"), 7, 7);
    assert_eq!(task.drain(), a_rows(7, 7));
    assert!(finished.join("1.csv.1").exists());
}

#[test]
fn a_restart_goes_on_after_what_was_committed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("m.csv");
    write_rows(&path, 1, 7);
    let stored = Stored::default();
    let mut task = start(dir.path(), &[], &stored);
    let (_, rows, position) = task.poll();
    assert_eq!(rows, a_rows(1, 2));
    task.commit(&position.expect("a position"));
    assert_eq!(task.poll().1, a_rows(3, 4));
    // Rows 3 and 4 were not acknowledged.
    assert_eq!(start(dir.path(), &[], &stored).drain(), a_rows(3, 7));
    assert_eq!(start(dir.path(), &[], &stored).drain(), Vec::<String>::new());
    // Rows appended are read, a file replaced is read again.
    let text = fs::read_to_string(&path).expect("there");
    fs::write(&path, format!("{text}8\n")).expect("written");
    assert_eq!(start(dir.path(), &[], &stored).drain(), a_rows(8, 8));
    write_rows(&path, 1, 2);
    assert_eq!(start(dir.path(), &[], &stored).drain(), a_rows(1, 2));
    touch(&path, 5);
    assert_eq!(start(dir.path(), &[], &stored).drain(), a_rows(1, 2));
}

#[test]
fn a_crash_between_commit_and_move_reads_nothing_twice() {
    let dir = tempfile::tempdir().expect("temporary folder");
    write_rows(&dir.path().join("m.csv"), 1, 2);
    let finished = dir.path().join("finished");
    let keys = [("finished.path", finished.to_str().expect("UTF-8"))];
    let stored = Stored::default();
    let (_, _, position) = start(dir.path(), &keys, &stored).poll();
    let position = position.expect("a position");
    stored.0.lock().expect("one thread").insert(position.partition, position.offset);
    assert_eq!(start(dir.path(), &keys, &stored).drain(), Vec::<String>::new());
    assert!(finished.join("m.csv").exists());
}

#[test]
fn rows_that_come_while_a_file_is_read_are_not_lost() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let (path, finished) = (dir.path().join("m.csv"), dir.path().join("finished"));
    for (keys, expected) in [(vec![], a_rows(3, 3)), (vec![("finished.path", finished.to_str().expect("UTF-8"))], a_rows(1, 3))] {
        write_rows(&path, 1, 2);
        touch(&path, 1);
        let mut task = start(dir.path(), &keys, &Stored::default());
        let (_, rows, position) = task.poll();
        assert_eq!(rows, a_rows(1, 2));
        write_rows(&path, 1, 3);
        task.commit(&position.expect("a position"));
        assert_eq!(task.drain(), expected);
    }
    assert!(finished.join("m.csv").exists());
}

#[test]
fn a_file_that_is_no_csv_ends_the_task_or_goes_aside() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let bad = dir.path().join("bad");
    fs::write(dir.path().join("1.csv"), "").expect("written");
    write_rows(&dir.path().join("2.csv"), 1, 1);
    let mut task = start(dir.path(), &[], &Stored::default());
    let error = task.source.poll(&mut Output::default()).expect_err("an empty file");
    assert!(
        error.kind() == ErrorKind::Config
            && error.to_string().ends_with("1.csv: the file is empty; expected a header line with the names of the columns")
    );
    assert_eq!(start(dir.path(), &[("halt.on.error", "false")], &Stored::default()).drain(), a_rows(1, 1));
    assert!(dir.path().join("1.csv").exists());
    let keys = [("halt.on.error", "false"), ("error.path", bad.to_str().expect("UTF-8")), ("cleanup.policy", "DELETE")];
    assert_eq!(start(dir.path(), &keys, &Stored::default()).drain(), a_rows(1, 1));
    assert!(bad.join("1.csv").exists() && !dir.path().join("1.csv").exists() && !dir.path().join("2.csv").exists());
}

#[test]
fn bad_rows_are_rejected_and_their_position_is_committed() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::write(dir.path().join("m.csv"), "a,b\n1\n2\n").expect("written");
    let mut task = start(dir.path(), &[("cleanup.policy", "DELETE")], &Stored::default());
    let (_, rows, position) = task.poll();
    assert!(rows.is_empty());
    assert_eq!(task.out.source_rejects.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3]);
    task.commit(&position.expect("a position"));
    assert!(!dir.path().join("m.csv").exists());
}

#[test]
fn tasks_share_the_files_and_folders_are_walked_in_the_order_asked_for() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::create_dir_all(dir.path().join("sub/deep")).expect("made");
    for (number, name) in (1..).zip(["c.csv", "sub/a.csv", "sub/deep/b.csv", "d.csv", "e.csv"]) {
        write_rows(&dir.path().join(name), number, number);
    }
    let walk = ("input.path.walk.recursively", "true");
    let by_name = start(dir.path(), &[walk, ("files.sort.attributes", "LengthAsc,NameDesc")], &Stored::default()).drain();
    assert_eq!(by_name, [a_rows(3, 3), a_rows(2, 2), a_rows(5, 5), a_rows(4, 4), a_rows(1, 1)].concat());
    let mut shared: Vec<String> =
        (0..3).flat_map(|task| start_as(task, 3, dir.path(), &[walk], &Stored::default()).expect("starts").drain()).collect();
    shared.sort();
    assert_eq!(shared, a_rows(1, 5));
}

#[test]
fn one_file_and_then_done() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("m.csv");
    write_rows(&path, 1, 3);
    let keys = [("input.file", path.to_str().expect("UTF-8")), ("exit.when.done", "true"), ("key.fields", "a")];
    let mut task = start(dir.path(), &keys, &Stored::default());
    assert_eq!((task.poll().0, task.poll().0, task.poll().0), (Polled::More, Polled::More, Polled::Done));
    fs::remove_file(&path).expect("removed");
    let error = start(dir.path(), &keys, &Stored::default()).source.poll(&mut Output::default()).expect_err("no file");
    assert!(error.to_string().contains("input.file = ") && error.kind() == ErrorKind::Config);
    let missing = dir.path().join("missing");
    let error = start_as(0, 1, &missing, &[], &Stored::default()).map(|_| ()).expect_err("no folder");
    assert!(error.to_string().contains("there is no such folder; make it or change the key"), "{error}");
}

#[test]
fn young_files_and_looks_at_the_folder_wait() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("m.csv");
    write_rows(&path, 1, 1);
    touch(&path, 0);
    let mut task = start(dir.path(), &[("file.minimum.age.ms", "1000"), ("empty.poll.wait.ms", "500")], &Stored::default());
    // The clock of the test is far ahead of the file: it is old enough. A second file would be seen 500 ms later only.
    assert_eq!(task.drain(), a_rows(1, 1));
    write_rows(&dir.path().join("n.csv"), 2, 2);
    touch(&dir.path().join("n.csv"), 0);
    task.clock.advance(499);
    assert_eq!(task.drain(), Vec::<String>::new());
    task.clock.advance(1);
    assert_eq!(task.drain(), a_rows(2, 2));
}

#[test]
fn a_file_made_for_the_spooldir_connector_is_understood() {
    let dir = tempfile::tempdir().expect("temporary folder");
    fs::write(dir.path().join("m.csv"), "1,\"a\\\"b\",\n").expect("written");
    let keys = [
        ("connector.class", "com.github.jcustenborder.kafka.connect.spooldir.SpoolDirCsvSourceConnector"),
        ("input.file.pattern", r"m\.csv"),
        ("cleanup.policy", "NONE"),
        ("error.path", "/nowhere"),
        ("schema.generation.enabled", "true"),
        ("schema.generation.key.fields", "column01"),
        ("csv.file.charset", "UTF-8"),
        ("timestamp.mode", "PROCESS_TIME"),
        ("task.partitioner", "ByName"),
        ("processing.file.extension", ".PROCESSING"),
    ];
    assert!(PLUGIN.is_named(keys[0].1) && PLUGIN.is_named("SpoolDirCsvSource"));
    let mut task = start(dir.path(), &keys, &Stored::default());
    assert_eq!(task.poll().1, [r#"{"column01":1,"column02":"a\"b","column03":""}"#]);
    assert_eq!(task.out.key(&task.out.rows()[0]), Some(&b"1"[..]));
}

#[test]
fn wrong_keys_say_what_is_accepted() {
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[("topic", "t")], "input.path: give either input.path (a folder) or input.file"),
        (&[("input.path", "x")], "topic: is required."),
        (&[("input.pth", "x"), ("topic", "t")], "input.pth: unknown key; did you mean 'input.path'?"),
        (&[("topic", "t"), ("input.path", "x"), ("cleanup.policy", "MOVE")], "finished.path: is required with cleanup.policy=MOVE"),
        (&[("topic", "t"), ("input.path", "x"), ("csv.types", "a:int")], "csv.types = 'a:int': 'int' is no type: expected string,"),
        (&[("topic", "t"), ("input.path", "x"), ("csv.file.charset", "UTF-16")], "csv.file.charset = 'UTF-16': expected UTF-8, the only"),
        (&[("topic", "t"), ("input.path", "x"), ("csv.separator.char", "34")], "csv.quote.char = '34': is the same as csv.separator.char"),
        (&[("topic", "t"), ("input.path", "x"), ("input.file.pattern", "(")], "input.file.pattern = '(': expected a regular expression"),
        (&[("topic", "t"), ("input.path", "x"), ("files.sort.attributes", "Size")], "files.sort.attributes = 'Size': expected a list of"),
    ];
    for (pairs, message) in cases {
        let errors = parse(pairs).expect_err("wrong");
        assert!(errors.len() == 1 && errors[0].starts_with(message), "{errors:?}");
    }
}
