//! The connection to a broker, and its thread.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use arrow_buffer::Buffer;
use lakefeed_core::Error;

use crate::answers::Answers;
use crate::batch::{Fault, Place, Set, Walker};
use crate::lanes::{CHECKSUM_ATTEMPTS, Rest, Shared, Trouble, Work};
use crate::wire::{self, Answer, Ask, Limits, Part, code};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is bounded by `fetch.max.bytes` and one batch beyond it; this is for peers that are no brokers.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// In front of each answer.
const CORRELATION_BYTES: usize = 4;
/// So many empty answers in a row are a topic that is read to its end.
const IDLE_ANSWERS: usize = 10;

/// Serves the partitions that a broker leads, until it leads none that is wanted or the connection ends.
pub(crate) fn run(thread: u64, address: &str, shared: &Shared) {
    let served = Connection::open(thread, address, shared).and_then(|connection| Server::new(thread, connection, shared).run());
    let Err(error) = served else { return };
    if error.kind() == io::ErrorKind::Unsupported {
        shared.unusable(thread, &format!("the broker at {address} can't be read: {error}"));
    } else if shared.disconnected(thread) {
        tracing::warn!(target: "lakefeed", address, %error, "Reading from the broker failed; asking who leads its partitions");
    } else {
        tracing::debug!(target: "lakefeed", address, %error, "Reading from the broker failed");
    }
}

/// A connection. Memory: see [`Answers`].
struct Connection {
    stream: TcpStream,
    client_id: String,
    timeout: Duration,
    correlation: i32,
    request: Vec<u8>,
    answers: Answers,
}

impl Connection {
    fn open(thread: u64, address: &str, shared: &Shared) -> io::Result<Self> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for resolved in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&resolved, CONNECT_TIMEOUT) {
                Ok(stream) => return Self::over(stream, thread, shared),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn over(stream: TcpStream, thread: u64, shared: &Shared) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(shared.settings.timeout))?;
        if !shared.connected(thread, stream.try_clone()?) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let (client_id, timeout) = (shared.settings.client_id.clone(), shared.settings.timeout);
        let mut connection = Self { stream, client_id, timeout, correlation: 0, request: Vec::new(), answers: Answers::default() };
        let answer = connection.ask((wire::API_VERSIONS, 0), Duration::ZERO, |_| ())?;
        match wire::fetch_versions(&answer[CORRELATION_BYTES..]).map_err(|_| damaged())? {
            Some((lowest, highest)) if (lowest..=highest).contains(&wire::FETCH_VERSION) => Ok(connection),
            other => {
                let spoken = other.map_or("none that it tells".to_owned(), |(lowest, highest)| format!("versions {lowest} to {highest}"));
                let wanted = wire::FETCH_VERSION;
                let said = format!("of the Fetch request it speaks {spoken}, not version {wanted}: set consumer.fetch.client=librdkafka");
                Err(io::Error::new(io::ErrorKind::Unsupported, said))
            }
        }
    }

    /// Sends a request and waits for its answer, which may take `wait` longer than usual. What it says is behind its correlation id.
    fn ask(&mut self, api: (i16, i16), wait: Duration, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<Buffer> {
        self.correlation = self.correlation.wrapping_add(1);
        wire::request(&mut self.request, api, self.correlation, &self.client_id, body);
        self.stream.set_read_timeout(Some(self.timeout + wait))?;
        self.stream.write_all(&self.request)?;
        let mut len = [0; 4];
        self.stream.read_exact(&mut len)?;
        let len = u32::from_be_bytes(len) as usize;
        if !(CORRELATION_BYTES..=ANSWER_BYTES_MAX).contains(&len) {
            return Err(invalid(format!("an answer of {len} bytes: there is no Kafka broker")));
        }
        let stream = &mut self.stream;
        let answer = self.answers.read(len, |room| stream.read_exact(room))?;
        if answer[..CORRELATION_BYTES] != self.correlation.to_be_bytes() {
            return Err(invalid("the answer is to another request".into()));
        }
        Ok(answer)
    }
}

struct Server<'a> {
    thread: u64,
    connection: Connection,
    walker: Walker,
    /// Empty answers in a row.
    empty: usize,
    shared: &'a Shared,
}

impl<'a> Server<'a> {
    fn new(thread: u64, connection: Connection, shared: &'a Shared) -> Self {
        Self { thread, connection, walker: Walker::new(shared.settings.check_crcs), empty: 0, shared }
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            match self.shared.work(self.thread) {
                Work::End => return Ok(()),
                Work::Walk(rests) => {
                    for (ask, Rest { set, place }, room_bytes) in rests {
                        let piece = Piece { set: &set, buffer: None, place, room_bytes, end: None, alone: false };
                        walk(&mut self.walker, self.shared, &ask, piece)?;
                    }
                }
                Work::Fetch(asks, max_wait_ms) => self.fetch(&asks, max_wait_ms)?,
            }
        }
    }

    fn fetch(&mut self, asks: &[Ask], max_wait_ms: i32) -> io::Result<()> {
        let s = &self.shared.settings;
        let limits = Limits {
            max_wait_ms,
            min_bytes: s.min_bytes,
            max_bytes: s.max_bytes,
            partition_bytes: s.partition_bytes,
            read_committed: s.read_committed,
        };
        let api = (wire::FETCH, wire::FETCH_VERSION);
        let wait = Duration::from_millis(u64::try_from(max_wait_ms).unwrap_or(0));
        let bytes = self.connection.ask(api, wait, |out| wire::fetch(out, limits, asks))?;
        let answer = wire::answer(&bytes[CORRELATION_BYTES..]).map_err(|_| damaged())?;
        let pause = take(&answer, &bytes, asks, &mut self.walker, self.shared)?;
        let empty = answer.parts.iter().all(|part| part.set.is_empty());
        self.empty = if empty { self.empty + 1 } else { 0 };
        if self.empty == IDLE_ANSWERS {
            self.connection.answers = Answers::default();
        }
        // What a quota asks for (KIP-219).
        self.shared.pause(pause);
        Ok(())
    }
}

/// Takes the parts of an answer, which lies in `buffer`; how long the broker wants to be left alone.
fn take(answer: &Answer<'_>, buffer: &Buffer, asks: &[Ask], walker: &mut Walker, shared: &Shared) -> io::Result<Duration> {
    if answer.error != code::NONE {
        return Err(invalid(format!("the request is refused with error code {}", answer.error)));
    }
    for (index, part) in answer.parts.iter().enumerate() {
        let is = |ask: &&Ask| ask.partition.partition == part.partition && *ask.partition.topic == *part.topic;
        // They come in the order of the request.
        let Some(ask) = asks.get(index).filter(is).or_else(|| asks.iter().find(is)) else { continue };
        match part.error {
            code::NONE => {
                let place = Place::new(ask.next, part.aborted.clone());
                // One that was compressed may be much larger: the rest of it waits for room.
                let room_bytes = (shared.settings.partition_bytes as usize).max(1);
                // Or a few records would hold a large buffer.
                let buffer = Some(buffer).filter(|buffer| part.set.len() >= buffer.len() / 2);
                let piece = Piece { set: part.set, buffer, place, room_bytes, end: Some(part.end), alone: asks.len() == 1 };
                walk(walker, shared, ask, piece)?;
            }
            error => refused(shared, ask, part, error),
        }
    }
    Ok(Duration::from_millis(u64::try_from(answer.throttle_ms).unwrap_or(0)).min(Duration::from_secs(5)))
}

/// A part of a partition's log that was read.
struct Piece<'a> {
    set: &'a [u8],
    /// Where it lies, if the records may hold that.
    buffer: Option<&'a Buffer>,
    place: Place,
    room_bytes: usize,
    /// The end of the log, if the broker has just told it.
    end: Option<i64>,
    /// Nothing else was asked for.
    alone: bool,
}

/// Walks what was read of a partition and hands it over.
fn walk(walker: &mut Walker, shared: &Shared, ask: &Ask, piece: Piece<'_>) -> io::Result<()> {
    let Piece { set, buffer, mut place, room_bytes, end, alone } = piece;
    let mut records = Vec::new();
    let walked = walker.walk(Set { partition: &ask.partition, bytes: set, buffer }, &mut place, room_bytes, &mut records);
    let next = place.next;
    // A broker sends the first batch of an answer whole, so that a lone partition comes on (KIP-74).
    let stands_still = walked.is_ok() && next == ask.next && alone && !set.is_empty();
    let rest = (walked.is_ok() && place.byte < set.len()).then(|| {
        let set = set[place.byte..].to_vec();
        place.byte = 0;
        Rest { set, place }
    });
    // What is damaged at its beginning has brought nothing, or it would never be believed.
    if walked.is_ok() || !records.is_empty() || next > ask.next {
        shared.deliver(ask, records, next, rest, end);
    }
    match walked {
        Ok(()) if stands_still => return Err(invalid(format!("{}: the broker sends less than one batch", ask.partition))),
        Ok(()) => {}
        Err(Fault::Lasting(error)) => shared.fail(ask, Trouble::Failed(error)),
        // On the way perhaps: read again over a new connection, unless that has been tried.
        Err(Fault::Checksum(error)) if shared.leaderless(ask) < CHECKSUM_ATTEMPTS => return Err(invalid(error.to_string())),
        Err(Fault::Checksum(error)) => shared.fail(ask, Trouble::Failed(error)),
    }
    Ok(())
}

/// What an error code means for a partition.
fn refused(shared: &Shared, ask: &Ask, part: &Part<'_>, error: i16) {
    let partition = &ask.partition;
    match error {
        code::OFFSET_OUT_OF_RANGE => shared.fail(ask, Trouble::OutOfRange),
        code::TOPIC_AUTHORIZATION_FAILED => {
            let denied = format!("{partition}: the client may not read the topic: grant it READ (kafka-acls --add --consumer)");
            shared.fail(ask, Trouble::Failed(Error::config(denied)));
        }
        code::CORRUPT_MESSAGE => {
            let damaged = format!("{partition}: the broker says that its log is damaged at offset {}: look at the broker's log", ask.next);
            shared.fail(ask, Trouble::Failed(Error::fatal(damaged)));
        }
        // Another broker leads, or this one has not caught up yet: all that is left is said to pass.
        passing => {
            if shared.leaderless(ask) == 1 {
                tracing::info!(target: "lakefeed", %partition, code = passing, end = part.end, "The broker can't serve the partition now; asking who leads it");
            }
        }
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn damaged() -> io::Error {
    invalid("the answer can't be read: there is no Kafka broker, or it speaks otherwise".into())
}
