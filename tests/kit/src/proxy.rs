//! A TCP proxy before an HTTP server, which misbehaves when told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What a proxy does to the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Breaks every connection.
    Refuse,
    /// The server does its work, and its answer is lost.
    LoseAnswer,
    /// Breaks the connection in the middle of a request.
    ResetInBody,
    /// Answers in the server's place with an S3 error of this status and code.
    Answer(u16, &'static str),
    /// Nothing moves.
    Stall,
    /// About 10 KB a second.
    Slow,
}

/// A proxy on a loopback port of its own; it runs until the test process ends.
#[derive(Debug)]
pub struct Proxy {
    /// Its URL.
    pub endpoint: String,
    wire: Arc<Wire>,
}

#[derive(Debug)]
struct Wire {
    fault: Mutex<Fault>,
    faults: AtomicU64,
    parts: AtomicU64,
    objects: Mutex<Vec<Instant>>,
}

/// The two directions of a connection.
#[derive(Debug, Clone)]
struct Line {
    wire: Arc<Wire>,
    /// The request whose answer is waited for makes an object visible.
    publishes: Arc<AtomicBool>,
}

impl Proxy {
    /// Starts before the server of this URL.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = format!("http://{}", listener.local_addr().expect("an address"));
        let wire = Arc::new(Wire {
            fault: Mutex::new(Fault::None),
            faults: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            objects: Mutex::default(),
        });
        let proxy = Self { endpoint: own, wire: Arc::clone(&wire) };
        let server = endpoint.trim_start_matches("http://").to_owned();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { continue };
                let there = Line { wire: Arc::clone(&wire), publishes: Arc::default() };
                let back = there.clone();
                thread::spawn(move || there.carry(client, server, false));
                thread::spawn(move || back.carry(server_too, client_too, true));
            }
        });
        proxy
    }

    /// From now on it does this.
    pub fn set(&self, fault: Fault) {
        *self.wire.fault.lock().unwrap_or_else(|e| e.into_inner()) = fault;
    }

    /// How often it has misbehaved.
    pub fn faults(&self) -> u64 {
        self.wire.faults.load(Ordering::Acquire)
    }

    /// When the server said that it has a new object, for each, in order: a PUT or the completion of an upload.
    pub fn objects(&self) -> Vec<Instant> {
        self.wire.objects().clone()
    }

    /// Parts of multipart uploads that were begun.
    pub fn parts(&self) -> u64 {
        self.wire.parts.load(Ordering::Acquire)
    }
}

impl Wire {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn objects(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.objects.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Line {
    /// Copies one direction until it ends.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, answers: bool) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let bytes = &buffer[..read];
            if answers {
                self.watch_answer(bytes);
            } else {
                self.watch_request(bytes);
            }
            if !self.pass(bytes, &mut from, &mut to, answers) {
                break;
            }
        }
        // The other side may have closed it already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn watch_request(&self, bytes: &[u8]) {
        let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
        let has = |text: &[u8]| line.windows(text.len()).any(|part| part == text);
        if has(b"partNumber=") {
            self.wire.parts.fetch_add(1, Ordering::AcqRel);
        } else if line.starts_with(b"PUT ") && has(b".parquet") || line.starts_with(b"POST ") && has(b"uploadId=") {
            self.publishes.store(true, Ordering::Release);
        }
    }

    fn watch_answer(&self, bytes: &[u8]) {
        if bytes.starts_with(b"HTTP/1.1 ") && self.publishes.swap(false, Ordering::AcqRel) && bytes[9..].starts_with(b"200") {
            self.wire.objects().push(Instant::now());
        }
    }

    /// Passes bytes on, or does what it was told; false ends the connection.
    fn pass(&self, bytes: &[u8], from: &mut TcpStream, to: &mut TcpStream, answers: bool) -> bool {
        let fault = self.wire.fault();
        if fault != Fault::None {
            self.wire.faults.fetch_add(1, Ordering::AcqRel);
        }
        match fault {
            Fault::Refuse => false,
            Fault::LoseAnswer if answers => false,
            Fault::ResetInBody if !answers => {
                // Broken either way.
                let _ = to.write_all(&bytes[..bytes.len() / 2]);
                false
            }
            Fault::Answer(status, code) if !answers => {
                refuse(from, status, code);
                false
            }
            Fault::Stall => {
                while self.wire.fault() == Fault::Stall {
                    thread::sleep(Duration::from_millis(10));
                }
                to.write_all(bytes).is_ok()
            }
            Fault::Slow => bytes.chunks(1024).all(|chunk| {
                if self.wire.fault() == Fault::Slow {
                    thread::sleep(Duration::from_millis(100));
                }
                to.write_all(chunk).is_ok()
            }),
            _ => to.write_all(bytes).is_ok(),
        }
    }
}

/// Answers a request that is still being sent.
fn refuse(client: &mut TcpStream, status: u16, code: &str) {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
    let answer = format!(
        "HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // The client may be gone. What it still sends is read, or it would see a reset in the place of the answer.
    let _ = client.write_all(answer.as_bytes());
    let _ = client.shutdown(Shutdown::Write);
    let _ = client.set_read_timeout(Some(Duration::from_millis(200)));
    let mut rest = [0; 64 << 10];
    while let Ok(1..) = client.read(&mut rest) {}
}
