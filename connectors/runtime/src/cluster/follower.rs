//! Follows the three topics, and does what they say in their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lakefeed_core::{ErrorKind, printable};
use lakefeed_kafka::{LogRecord, Tail};

use crate::cluster::log::{Log, Of};
use crate::cluster::records::{Change, StatusKey, read_change};
use crate::files::TargetState;
use crate::herder::{Herder, Refusal};

/// How long a record is waited for; an order to end is seen after that.
const WAIT: Duration = Duration::from_millis(100);
/// The wait after trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// Applies records.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    pub(crate) log: Arc<Log>,
    pub(crate) herder: Herder,
}

impl Follower {
    /// Goes on until it is told to end. Trouble is waited out: the tasks that run go on meanwhile.
    pub(crate) fn run(&self, end: &AtomicBool) {
        let mut tail = None;
        while !end.load(Ordering::Acquire) {
            let next = match &mut tail {
                None => Tail::new(self.log.reader(), &self.log.positions()).map(|made| {
                    tail = Some(made);
                    None
                }),
                Some(tail) => tail.next(WAIT),
            };
            match next {
                Ok(Some(record)) => self.apply(&record, true),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(target: "lakefeed", error = %error.chain(), "The topics of the cluster can't be followed; trying again");
                    tail = None;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Does what a record says. `live`: it has come after the start; a restart before that has been done, and levels of the log are those of its file again.
    pub(crate) fn apply(&self, record: &LogRecord, live: bool) {
        let Some(of) = self.log.of(record) else { return };
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        let value = record.value.as_deref();
        let taken = match of {
            Of::Config => self.change(&key, value, record.offset, live),
            Of::Offset => self.log.take_offset(&key, value),
            Of::Status => {
                // Before the log's view forgets it: who tells what the view does not show would tell it again.
                if let (Some(StatusKey::Topic(connector, topic)), None) = (StatusKey::parse(&key), value) {
                    self.herder.forget_topic(&connector, &topic);
                }
                self.log.take_status(&key, value)
            }
        };
        if let Err(what) = taken {
            tracing::warn!(target: "lakefeed", partition = %record.partition, offset = record.offset, key = %printable(&key), "A record of the cluster can't be used: {what}");
        }
        self.log.applied(of, record);
    }

    fn change(&self, key: &str, value: Option<&[u8]>, offset: i64, live: bool) -> Result<(), String> {
        let done = match read_change(key, value)? {
            None => Ok(()),
            Some(Change::Connector(name, Ok(None))) => {
                self.herder.drop_connector(&name);
                Ok(())
            }
            Some(Change::Connector(name, config)) => {
                let target = self.log.view().targets.get(&name).copied().unwrap_or_default();
                let origin = format!("topic {}, offset {offset}", self.log.topic(Of::Config));
                return self.herder.take_connector(&origin, &name, config.map(Option::unwrap_or_default), target, offset);
            }
            Some(Change::Target(name, target)) => {
                match target {
                    Some(target) => self.log.view().targets.insert(name.clone(), target),
                    None => self.log.view().targets.remove(&name),
                };
                self.herder.aim(&name, target.unwrap_or(TargetState::Running))
            }
            Some(Change::Restart(name, which)) if live => self.herder.restart(&name, which).map(|_| ()),
            Some(Change::Level(part, level)) if live => return self.herder.shared.levels.set(&part, &level),
            Some(Change::Restart(..) | Change::Level(..)) => Ok(()),
        };
        match done {
            // A connector that is not there any more, or a task of somebody else's.
            Ok(()) | Err(Refusal::Unknown | Refusal::UnknownTask) => Ok(()),
            // The worker stops: whoever starts next reads the record again.
            Err(Refusal::Failed(error)) if error.kind() == ErrorKind::Retry => Ok(()),
            Err(Refusal::Failed(error)) => Err(error.chain()),
            Err(other) => Err(format!("{other:?}")),
        }
    }
}
