use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Float64Array, RecordBatch};
use lakefeed_core::{ErrorKind, PluginKind};

use super::*;

fn batch(partition: &TopicPartition, next_offset: i64) -> Batch {
    let pm: ArrayRef = Arc::new(Float64Array::from(vec![Some(24.5), None]));
    Batch {
        partition: partition.clone(),
        rows: RecordBatch::try_from_iter([("pm", pm)]).expect("a batch"),
        offsets: vec![next_offset - 2, next_offset - 1].into(),
        timestamps: vec![-1, -1].into(),
        keys: BinaryArray::from(vec![None, None]),
        headers: None,
        tombstones: Vec::new(),
        next_offset,
    }
}

/// A pipe whose reader has gone.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn rows_are_durable_once_they_are_printed() {
    let (a, b) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
    let mut sink = StdoutSink::new(Vec::new());
    let at = |partition: &TopicPartition| Assignment { partition: partition.clone(), position: 5 };
    sink.assigned(&[at(&a), at(&b)]).expect("assigned");
    sink.put(batch(&a, 7), &mut SinkContext::default()).expect("put");
    let mut durable = sink.durable();
    durable.sort();
    assert_eq!(durable, [(a.clone(), 7), (b.clone(), 5)]);
    assert_eq!(sink.out, b"{\"pm\":24.5}\n{\"pm\":null}\n");
    assert_eq!(sink.revoked(std::slice::from_ref(&a), Duration::ZERO).expect("revoked"), [(a, 7)]);
    assert_eq!(sink.durable(), [(b, 5)]);
}

#[test]
fn a_closed_pipe_ends_the_task_and_nothing_is_durable() {
    let partition = TopicPartition::new("t", 0);
    let mut sink = StdoutSink::new(Closed);
    sink.assigned(&[Assignment { partition: partition.clone(), position: 5 }]).expect("assigned");
    let error = sink.put(batch(&partition, 7), &mut SinkContext::default()).expect_err("a closed pipe");
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert!(error.to_string().starts_with("standard output was closed by its reader"), "{error}");
    assert_eq!(sink.durable(), [(partition, 5)]);
}

#[test]
fn the_plugin_is_found_by_its_names() {
    assert_eq!(PLUGIN.kind(), PluginKind::Sink);
    assert!(["StdoutSinkConnector", "StdoutSink", "io.lakefeed.StdoutSinkConnector"].iter().all(|name| PLUGIN.is_named(name)));
}
