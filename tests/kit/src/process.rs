//! Programs under test.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::server::script;
use crate::wait_for;

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output of a command that must have ended with exit code 0.
    ///
    /// # Panics
    /// When it did not, with all that it printed.
    #[track_caller]
    pub fn success(self) -> String {
        self.code(0).stdout
    }

    /// Itself, if it ended with exit code `expected`.
    ///
    /// # Panics
    /// When it did not, with all that it printed.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        let Self { command, code, stdout, stderr } = &self;
        assert!(*code == Some(expected), "exit code {code:?} instead of {expected}: {command}\nstdout: {stdout}\nstderr: {stderr}");
        self
    }
}

/// Runs a command to its end, without standard input.
///
/// # Panics
/// When it can't be started, or has not ended at the deadline (it is killed then).
pub fn run(command: &mut Command, deadline: Duration) -> Output {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("can't run {name}: {error}"));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait_child(&mut child, deadline);
    let (Some(status), stdout, stderr) = (status, text(stdout), text(stderr)) else {
        panic!("not ended within {deadline:?}, killed: {name}");
    };
    Output { command: name, code: status.code(), stdout, stderr }
}

/// Reads a pipe in a thread of its own, so that a full pipe can't stop the command.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read until an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

/// Waits for the end; none at the deadline, and the process is killed.
fn wait_child(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < deadline => thread::sleep(Duration::from_millis(10)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            Err(error) => panic!("a process can't be waited for: {error}"),
        }
    }
}

/// Runs a Python program (its text) with the arguments, in the environment that has pyarrow, and gives what it printed.
///
/// # Panics
/// When there is no such Python (the message says what to do), or the program fails.
pub fn python(program: &str, arguments: &[&str]) -> String {
    python_with(program, arguments, &[])
}

/// As [`python`], with variables in the environment: see [`Minio::environment`](crate::Minio::environment).
///
/// # Panics
/// As [`python`].
pub fn python_with(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(script("python.sh"));
    command.arg("-c").arg(program).args(arguments).envs(environment.iter().copied());
    run(&mut command, Duration::from_secs(600)).success()
}

/// A program that runs beside the test, with standard output and error in a file. It is killed when this is dropped; if the test is
/// failing by then, the end of its log is shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    command: String,
    log: PathBuf,
}

impl Process {
    /// Starts a command; its log is added to the end of the file.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(command: &mut Command, log: impl Into<PathBuf>) -> Self {
        let (name, log) = (format!("{command:?}"), log.into());
        let open = || {
            File::options().create(true).append(true).open(&log).unwrap_or_else(|error| panic!("can't write {}: {error}", log.display()))
        };
        let child =
            command.stdin(Stdio::null()).stdout(open()).stderr(open()).spawn().unwrap_or_else(|error| panic!("can't run {name}: {error}"));
        Self { child, command: name, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far, that of earlier processes with the same file included.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by its name without SIG, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Panics
    /// When it can't be sent, as to a process that has ended.
    pub fn signal(&mut self, name: &str) {
        assert!(self.is_running(), "SIG{name} for a process that has ended: {self}");
        // The shell's own `kill`: the standard library can send SIGKILL only.
        let output = run(Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.id().to_string()]), Duration::from_secs(10));
        output.success();
    }

    /// Kills it with SIGKILL, as a crash of the machine would, and waits for its end.
    pub fn kill(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    ///
    /// # Panics
    /// When it has not ended at the deadline.
    pub fn terminate(&mut self, deadline: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(deadline)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended at the deadline (it is killed then).
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let Some(status) = wait_child(&mut self.child, deadline) else {
            panic!("not ended within {deadline:?}, killed: {self}");
        };
        status
    }

    /// The first line of its log that has `text` in it.
    ///
    /// # Panics
    /// When none has at the deadline, or at the end of the process.
    pub fn wait_for_log(&mut self, text: &str, deadline: Duration) -> String {
        wait_for(&format!("'{text}' in the log of {}", self.command), deadline, || {
            // In this order: what it wrote before its end is seen.
            let running = self.is_running();
            let line = self.log().lines().find(|line| line.contains(text)).map(str::to_owned);
            assert!(line.is_some() || running, "ended without '{text}' in its log: {self}");
            line
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            // Nothing better can be done with an error while a panic is under way.
            let _ = writeln!(std::io::stderr().lock(), "{self}");
        }
    }
}

/// The command and the end of its log.
impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        writeln!(f, "{}; the end of its log ({}):", self.command, self.log.display())?;
        lines[lines.len().saturating_sub(60)..].iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
