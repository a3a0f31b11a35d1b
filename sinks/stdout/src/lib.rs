//! The model sink: prints rows as JSON lines.
//!
//! What to copy from here: a plugin is a [`Plugin`] constant, a function that makes the part that runs in a task, and a [`Sink`] that
//! calls an offset durable only when the rows below it have left its hands.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use lakefeed_core::{Assignment, Batch, Config, ConfigDef, Error, Make, Plugin, Result, Sink, SinkContext, TaskContext, TopicPartition};
use lakefeed_formats::{Nulls, write_json_lines};

/// Prints each row as a JSON object on a line of its own.
pub const PLUGIN: Plugin = Plugin {
    class: "StdoutSinkConnector",
    aliases: &[],
    doc: "Prints each row to standard output as a JSON object on a line of its own.",
    def: ConfigDef::new,
    validate: |_| Vec::new(),
    warnings: |_| Vec::new(),
    make: Make::Sink(make),
};

fn make(_config: &Config, _context: &TaskContext) -> Result<Box<dyn Sink>> {
    Ok(Box::new(StdoutSink::new(io::stdout())))
}

/// Writes lines to `out`, and remembers how far it has come in each partition.
struct StdoutSink<W> {
    out: W,
    /// The rows of one batch. Only whole batches are written, so that tasks do not cut into each other's lines.
    lines: Vec<u8>,
    positions: HashMap<TopicPartition, i64>,
}

impl<W: Write> StdoutSink<W> {
    fn new(out: W) -> Self {
        Self { out, lines: Vec::new(), positions: HashMap::new() }
    }
}

impl<W: Write + Send> Sink for StdoutSink<W> {
    fn assigned(&mut self, partitions: &[Assignment]) -> Result<()> {
        self.positions.extend(partitions.iter().map(|a| (a.partition.clone(), a.position)));
        Ok(())
    }

    fn put(&mut self, batch: Batch, _ctx: &mut SinkContext) -> Result<()> {
        self.lines.clear();
        let written = write_json_lines(&batch.rows, Nulls::Written, &mut self.lines);
        let written = written.and_then(|()| self.out.write_all(&self.lines)).and_then(|()| self.out.flush());
        written.map_err(|e| Error::fatal(fault(&e)).with_source(e))?;
        self.positions.insert(batch.partition, batch.next_offset);
        Ok(())
    }

    fn poll(&mut self, _ctx: &mut SinkContext) -> Result<()> {
        Ok(())
    }

    fn durable(&mut self) -> Vec<(TopicPartition, i64)> {
        self.positions.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }

    fn revoked(&mut self, partitions: &[TopicPartition], _deadline: Duration) -> Result<Vec<(TopicPartition, i64)>> {
        Ok(partitions.iter().filter_map(|partition| self.positions.remove_entry(partition)).collect())
    }
}

fn fault(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::BrokenPipe => "standard output was closed by its reader: the rows not yet printed come again after a restart",
        _ => "can't write to standard output",
    }
}

#[cfg(test)]
mod tests;
