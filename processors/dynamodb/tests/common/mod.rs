//! A worker in small: a state in memory, records in, stream records out.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakefeed_core::{
    Budget, Config, ConfigError, Make, ManualClock, Output, Processor, Records, RecordsBuilder, Rejected, Result, SourceOffsets, State,
    TaskContext, TaskMetrics,
};
use lakefeed_dynamodb::PLUGIN;
use serde_json::Value;

/// The state of a partition.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct MemoryState(pub(crate) BTreeMap<Vec<u8>, Vec<u8>>);

impl State for MemoryState {
    fn get(&mut self, key: &[u8], value: &mut Vec<u8>) -> Result<bool> {
        value.clear();
        value.extend(self.0.get(key).into_iter().flatten());
        Ok(self.0.contains_key(key))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}

struct NoOffsets;

impl SourceOffsets for NoOffsets {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// The parsed keys; `topics` stands for those that the worker declares.
pub(crate) fn config(pairs: &[(&str, &str)]) -> Result<Config, Vec<ConfigError>> {
    use lakefeed_core::{ConfigDef, Key, KeyKind};
    let worker =
        ConfigDef::new().keys(&[Key::new("topics", KeyKind::List, "Topics."), Key::new("topics.regex", KeyKind::String, "Topics.")]);
    let config = (PLUGIN.def)().merge(worker).parse(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())?;
    let errors = (PLUGIN.validate)(&config);
    if errors.is_empty() { Ok(config) } else { Err(errors) }
}

/// A processor.
pub(crate) fn processor(pairs: &[(&str, &str)]) -> Box<dyn Processor> {
    let context = TaskContext {
        connector: "test".into(),
        task: 0,
        tasks: 1,
        clock: Arc::new(ManualClock::new(0)),
        budget: Budget::new(1 << 20),
        incarnation: "test".into(),
        metrics: TaskMetrics::new(Arc::default(), "c".into(), 0),
        offsets: Arc::new(NoOffsets),
    };
    let Make::Processor(make) = PLUGIN.make else { panic!("it is a processor") };
    make(&config(pairs).expect("valid keys"), &context).expect("a processor")
}

/// A record: key and value.
pub(crate) type Write<'a> = (Option<&'a str>, Option<&'a str>);

/// Records of partition 3 of `measures`, from offset 100 and 1693997155999 ms on.
pub(crate) fn records(writes: &[Write<'_>]) -> Records {
    let mut builder = RecordsBuilder::with_capacity("measures".into(), 3, writes.len(), 0);
    for (index, (key, value)) in writes.iter().enumerate() {
        let index = index as i64;
        builder.push(100 + index, 1_693_997_155_999 + index, key.map(str::as_bytes), value.map(str::as_bytes));
    }
    builder.finish()
}

/// What came out of a processor.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Emitted {
    pub(crate) keys: Vec<String>,
    pub(crate) texts: Vec<String>,
    pub(crate) records: Vec<Value>,
    pub(crate) topics: Vec<String>,
    pub(crate) timestamps: Vec<Option<i64>>,
    pub(crate) rejected: Vec<Rejected>,
}

impl Emitted {
    /// The events' names.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.records.iter().map(|r| r["eventName"].as_str().expect("a name")).collect()
    }
}

/// Runs records through a processor.
pub(crate) fn process(processor: &mut dyn Processor, state: &mut MemoryState, records: &Records) -> Emitted {
    let mut out = Output::default();
    processor.process(records, state, &mut out).expect("the task goes on");
    emitted(&out)
}

/// What an output holds.
pub(crate) fn emitted(out: &Output) -> Emitted {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("present").to_vec()).expect("UTF-8");
    let mut all = Emitted { rejected: out.rejected.clone(), ..Emitted::default() };
    for row in out.rows() {
        all.topics.push(out.topic(row).to_owned());
        all.keys.push(text(out.key(row)));
        all.texts.push(text(out.value(row)));
        all.timestamps.push(row.timestamp_ms);
        all.records.push(serde_json::from_str(all.texts.last().expect("pushed")).expect("JSON"));
    }
    all
}

/// Runs writes through a new processor with an empty state.
pub(crate) fn run(pairs: &[(&str, &str)], writes: &[Write<'_>]) -> Emitted {
    process(&mut *processor(pairs), &mut MemoryState::default(), &records(writes))
}
