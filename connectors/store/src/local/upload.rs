//! An upload in parts: one temporary file, to which the parts are appended as they arrive.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use lakefeed_core::{Error, Result};

use super::error::failed;
use super::temp::TempFile;
use crate::{Part, Put, UploadGone};

/// The temporary file is removed when the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct LocalUpload(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// `None` once the upload has ended.
    temp: Option<TempFile>,
    /// Where each part lies in the file.
    parts: BTreeMap<i32, Range<u64>>,
    end: u64,
}

impl LocalUpload {
    pub(super) fn new(temp: TempFile) -> Self {
        Self(Arc::new(Mutex::new(State { temp: Some(temp), parts: BTreeMap::new(), end: 0 })))
    }

    /// Runs `work` on the state. Blocks while another part is being written.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        // A writer that panicked has not moved `end`, so the state is sound.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn write(&self, number: i32, data: &[Bytes]) -> Result<()> {
        self.with(|state| {
            let temp = state.temp.as_mut().ok_or_else(ended)?;
            let length: u64 = data.iter().map(|bytes| bytes.len() as u64).sum();
            // A part that failed before may have left bytes after `end`; they are written over.
            let seek = temp.file().seek(SeekFrom::Start(state.end));
            let written = seek.and_then(|_| data.iter().try_for_each(|bytes| temp.file().write_all(bytes)));
            written.map_err(|error| failed("write", temp.path(), error))?;
            state.parts.insert(number, state.end..state.end + length);
            state.end += length;
            Ok(())
        })
    }

    pub(super) fn complete(&self, parts: &[Part], path: &Path) -> Result<Put> {
        self.with(|state| {
            let wanted = state.ranges(parts, path)?;
            let mut temp = state.temp.take().ok_or_else(ended)?;
            if let Err(error) = arrange(&mut temp, &wanted, path) {
                // The parts are untouched: the call can be made again when the disk has room.
                state.temp = Some(temp);
                return Err(failed("write", path, error));
            }
            // If this fails the upload has ended: after a failed fsync nobody knows what the disk holds of the file.
            super::publish(&mut temp, path)
        })
    }

    pub(super) fn abort(&self) -> Result<()> {
        self.with(|state| {
            state.temp = None;
            Ok(())
        })
    }
}

impl State {
    fn ranges(&self, parts: &[Part], path: &Path) -> Result<Vec<Range<u64>>> {
        let range = |part: &Part| {
            let missing = || Error::fatal(format!("can't write {}: part {} was not uploaded", path.display(), part.number));
            self.parts.get(&part.number).cloned().ok_or_else(missing)
        };
        parts.iter().map(range).collect()
    }
}

/// Makes the file consist of `wanted` and nothing else. Nearly always it does so already, or but for a tail that failed to be written.
fn arrange(temp: &mut TempFile, wanted: &[Range<u64>], path: &Path) -> io::Result<()> {
    let mut end = 0;
    let in_order = wanted.iter().all(|range| {
        let follows = range.start == end;
        end = range.end;
        follows
    });
    if in_order {
        return temp.file().set_len(end);
    }
    let mut copy = TempFile::create(path.parent().unwrap_or(path))?;
    for range in wanted {
        temp.file().seek(SeekFrom::Start(range.start))?;
        io::copy(&mut temp.file().take(range.end - range.start), copy.file())?;
    }
    *temp = copy;
    Ok(())
}

fn ended() -> Error {
    Error::retry("this upload has ended; write the object again from its beginning").with_source(UploadGone(None))
}
