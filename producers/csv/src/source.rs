//! The source: the files of a folder, one after the other.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use lakefeed_core::{Config, Error, ErrorKind, Output, Polled, Position, Result, Source, TaskContext};

use crate::config::{Cleanup, Input, SourceConfig};
use crate::file::{CsvFile, Filled};
use crate::folder::{self, FoundFile, identity_of};
use crate::position::{FilePosition, Identity, Progress, partition_of};

/// Reads CSV files. A file is moved or deleted only in [`Source::commit`], when the broker has acknowledged all of its rows.
pub(crate) struct CsvSource {
    config: SourceConfig,
    context: TaskContext,
    topic: Arc<str>,
    /// Files found and not read yet.
    queue: VecDeque<FoundFile>,
    current: Option<Current>,
    /// Files read to their end whose rows are not acknowledged yet, in order.
    unacknowledged: VecDeque<FinishedFile>,
    /// Files of this run that need no reading, by partition; one entry per file that lies in the folder.
    seen: HashMap<String, Seen>,
    /// When the folder is looked at again; `None`: at once, for the first time.
    next_look_ms: Option<i64>,
}

struct Current {
    file: CsvFile<File>,
    found: FoundFile,
    partition: String,
}

struct FinishedFile {
    partition: String,
    found: FoundFile,
}

#[derive(Clone, Copy)]
enum Seen {
    Read(Progress),
    /// Can't be read as CSV, and stays where it is.
    Bad(Identity),
}

/// Makes the source of a task.
pub(crate) fn make(config: &Config, context: &TaskContext) -> Result<Box<dyn Source>> {
    Ok(Box::new(CsvSource::new(SourceConfig::new(config)?, context.clone())?))
}

impl CsvSource {
    fn new(config: SourceConfig, context: TaskContext) -> Result<Self> {
        if let Input::Folder(folder) = &config.input
            && !folder.is_dir()
        {
            return Err(Error::config(format!("input.path = '{}': there is no such folder; make it or change the key", folder.display())));
        }
        Ok(Self {
            topic: config.topic.as_str().into(),
            config,
            context,
            queue: VecDeque::new(),
            current: None,
            unacknowledged: VecDeque::new(),
            seen: HashMap::new(),
            next_look_ms: None,
        })
    }

    /// Fills the queue. Files of other tasks, and those that need no reading, are left out.
    fn look(&mut self, now_ms: i64) -> Result<()> {
        self.next_look_ms = Some(now_ms.saturating_add(self.config.empty_poll_wait_ms));
        let files = folder::list(&self.config, now_ms)?;
        let mut seen = std::mem::take(&mut self.seen);
        for found in files {
            if folder::task_of(&found.name, self.context.tasks) != self.context.task {
                continue;
            }
            let partition = partition_of(&found.name);
            match seen.remove(&partition) {
                Some(known) if known.needs_no_reading(found.identity) => {
                    self.seen.insert(partition, known);
                }
                Some(known) => {
                    self.seen.insert(partition, known);
                    self.queue.push_back(found);
                }
                None => self.queue.push_back(found),
            }
        }
        // Files read whose rows are not acknowledged must not be forgotten, even if someone has taken them away.
        self.seen.extend(seen.into_iter().filter(|(p, _)| self.unacknowledged.iter().any(|f| f.partition == *p)));
        Ok(())
    }

    /// Where nothing is moved away, rows may be appended to a file.
    fn may_grow(&self) -> bool {
        self.config.cleanup == Cleanup::None
    }

    /// Opens the next file at the place where it was left; `None` if it needs no reading or can't be read as CSV.
    fn open(&mut self, mut found: FoundFile) -> Result<Option<Current>> {
        let partition = partition_of(&found.name);
        let earlier = match self.seen.get(&partition) {
            Some(Seen::Read(progress)) => Some(*progress),
            Some(Seen::Bad(_)) => None,
            None => self.context.offsets.get(&partition).map(|offset| Progress::parse(&partition, &offset)).transpose()?,
        };
        let opened = File::open(&found.path).and_then(|file| Ok((identity_of(&found.path)?, file)));
        let (identity, file) = match opened {
            Ok(opened) => opened,
            // Someone took it away since the folder was looked at.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && matches!(self.config.input, Input::Folder(_)) => return Ok(None),
            Err(e) => return Err(Error::retry(format!("{}: can't be opened", found.path.display())).with_source(e)),
        };
        found.identity = identity;
        let resume = self.resume_from(&found, &partition, earlier)?;
        if let Some(progress) = resume
            && progress.done
            && progress.identity == identity
        {
            self.seen.insert(partition.clone(), Seen::Read(progress));
            self.clean_up(&FinishedFile { partition, found })?;
            return Ok(None);
        }
        let mut file = match CsvFile::open(found.path.to_string_lossy(), file, &self.config.csv) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::Config && !self.config.halt_on_error => {
                self.set_aside(&found, partition, &error)?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if let Some(progress) = resume {
            file.resume(progress.at)?;
        }
        Ok(Some(Current { file, found, partition }))
    }

    /// The stored progress, if the file is still the one that it was stored for.
    fn resume_from(&self, found: &FoundFile, partition: &str, earlier: Option<Progress>) -> Result<Option<Progress>> {
        match earlier {
            // Nothing was read: the header is read again in any case.
            Some(progress) if progress.at == FilePosition::default() => Ok(None),
            Some(progress) if progress.fits(found.identity, self.may_grow()) => Ok(Some(progress)),
            Some(progress) => {
                // Finished and then replaced is usual where files are moved away; changed half-way is not.
                if !progress.done || self.may_grow() {
                    tracing::warn!(
                        target: "lakefeed", connector = %self.context.connector, partition, rows = progress.at.rows,
                        "the file has changed since it was read; it is read again from its start"
                    );
                }
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// Puts a file that is no CSV out of the way.
    fn set_aside(&mut self, found: &FoundFile, partition: String, error: &Error) -> Result<()> {
        let moved = match &self.config.error_path {
            Some(folder) => Some(folder::move_into(&found.path, &found.name, folder)?),
            None => None,
        };
        let to = moved.as_deref().unwrap_or(&found.path).display();
        tracing::error!(target: "lakefeed", connector = %self.context.connector, file = %to, "bad file: {}", error.chain());
        self.seen.insert(partition, Seen::Bad(found.identity));
        Ok(())
    }

    /// Reads on in the current file.
    fn read(&mut self, out: &mut Output) -> Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        out.to_topic(&self.topic);
        let timestamp_ms = self.config.timestamp_of_file.then_some(current.found.identity.modified_ms);
        let filled = match current.file.fill(out, self.config.batch_rows, timestamp_ms) {
            Ok(filled) => filled,
            Err(error) => {
                // The next call opens it again where it was left.
                self.queue.push_front(current.found);
                return Err(error);
            }
        };
        let at = current.file.position();
        let done = filled == Filled::End || current.is_at_end(at);
        if done {
            current.found.identity = current.identity_at_end(at);
        }
        let progress = Progress { at, identity: current.found.identity, done };
        out.position = Some(progress.to_position(&current.partition));
        self.seen.insert(current.partition.clone(), Seen::Read(progress));
        if done {
            self.unacknowledged.push_back(FinishedFile { partition: current.partition, found: current.found });
        } else {
            self.current = Some(current);
        }
        Ok(())
    }

    fn clean_up(&self, finished: &FinishedFile) -> Result<()> {
        let path: &PathBuf = &finished.found.path;
        if self.config.cleanup != Cleanup::None && identity_of(path).is_ok_and(|now| now != finished.found.identity) {
            tracing::warn!(
                target: "lakefeed", connector = %self.context.connector, file = %path.display(),
                "the file was changed after it had been read; it stays and is read again from its start: write files under another name and \
                 rename them, or set file.minimum.age.ms"
            );
            return Ok(());
        }
        let done = match &self.config.cleanup {
            Cleanup::None => return Ok(()),
            Cleanup::Delete => fs::remove_file(path)
                .map_err(|e| Error::fatal(format!("can't delete {}; check the rights on its folder", path.display())).with_source(e)),
            Cleanup::Move(folder) => folder::move_into(path, &finished.found.name, folder).map(drop),
        };
        // A file that someone took away is out of the way.
        if path.exists() { done } else { Ok(()) }
    }
}

impl Current {
    /// Whether every byte was read of a file that has not changed meanwhile. With its last rows a position then already says that the file is
    /// done: there may be no later one.
    fn is_at_end(&self, at: FilePosition) -> bool {
        at.byte >= self.found.identity.length && identity_of(&self.found.path).is_ok_and(|now| now == self.found.identity)
    }

    /// The file as it was when its end was read. Rows that were appended since then make another identity, so that they are not overlooked.
    fn identity_at_end(&self, at: FilePosition) -> Identity {
        let now = identity_of(&self.found.path).ok().filter(|now| now.length == at.byte);
        now.unwrap_or(Identity { length: at.byte, ..self.found.identity })
    }
}

impl Seen {
    fn needs_no_reading(self, now: Identity) -> bool {
        match self {
            Self::Read(progress) => progress.done && progress.identity == now,
            Self::Bad(identity) => identity == now,
        }
    }
}

impl Source for CsvSource {
    fn poll(&mut self, out: &mut Output) -> Result<Polled> {
        if self.current.is_none() && self.queue.is_empty() {
            let now_ms = self.context.clock.now_ms();
            match self.next_look_ms {
                Some(_) if self.config.exit_when_done => return Ok(Polled::Done),
                Some(at) if now_ms < at => return Ok(Polled::Idle),
                _ => self.look(now_ms)?,
            }
        }
        while self.current.is_none() {
            let Some(found) = self.queue.pop_front() else {
                return Ok(if self.config.exit_when_done { Polled::Done } else { Polled::Idle });
            };
            self.current = self.open(found)?;
        }
        self.read(out)?;
        Ok(Polled::More)
    }

    fn commit(&mut self, position: &Position) -> Result<()> {
        // Rows are acknowledged in order: the files read before this one are complete too.
        let own = self.unacknowledged.iter().position(|file| file.partition == position.partition);
        let complete = match own {
            Some(index) => {
                let done = Progress::parse(&position.partition, &position.offset).is_ok_and(|progress| progress.done);
                index + usize::from(done)
            }
            None if self.current.as_ref().is_some_and(|current| current.partition == position.partition) => self.unacknowledged.len(),
            None => 0,
        };
        for finished in self.unacknowledged.drain(..complete).collect::<Vec<_>>() {
            self.clean_up(&finished)?;
            if self.config.cleanup != Cleanup::None {
                // A new file may come under the same name.
                self.seen.remove(&finished.partition);
            }
        }
        Ok(())
    }
}
