//! What a process of ours costs, as Linux counts it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result};
use lakefeed_kit::run;

/// The unit of CPU times in /proc: USER_HZ, which is 100 on every architecture that Rust's standard library runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often a process is looked at. What its memory grows by in its last moment is missed, its CPU time is exact.
const INTERVAL: Duration = Duration::from_millis(10);

/// What a process took until its end.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu_s: f64,
    /// The most memory that it had resident.
    pub(crate) peak_bytes: u64,
}

/// The CPU time that this process has taken so far, all threads.
pub(crate) fn own_cpu_s() -> Result<f64> {
    Ok(stat(Path::new("/proc/self"))?.1)
}

/// The state and the CPU seconds of a process. A process that has ended is a zombie (`Z`) until its parent asks for its end, and its times
/// are final then.
fn stat(process: &Path) -> Result<(char, f64)> {
    let path = process.join("stat");
    let unreadable = || Error::fatal(format!("{}: can't be read; CPU times are read from Linux's /proc", path.display()));
    let text = fs::read_to_string(&path).map_err(|e| unreadable().with_source(e))?;
    // The second field is the name in parentheses, which may hold anything. After it: the state, ten others, user and system time (proc(5)).
    let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let state = fields.next().and_then(|field| field.chars().next());
    let times: Vec<f64> = fields.skip(10).take(2).filter_map(|field| field.parse().ok()).collect();
    match (state, &times[..]) {
        (Some(state), [user, system]) => Ok((state, (user + system) / TICKS_PER_SECOND)),
        _ => Err(unreadable()),
    }
}

/// The most memory that a process had resident so far; `None` once it has ended.
fn peak_bytes(process: &Path) -> Option<u64> {
    let text = fs::read_to_string(process.join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// A process whose cost is counted, with its output in a file. It is killed if this is dropped before its end.
#[derive(Debug)]
pub(crate) struct Measured {
    child: Child,
    log: PathBuf,
    watch: Option<JoinHandle<Result<Usage>>>,
}

impl Measured {
    pub(crate) fn spawn(command: &mut Command, log: PathBuf) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |e| Error::config(format!("{name}: can't be started")).with_source(e);
        let open = || File::options().create(true).append(true).open(&log);
        let streams = open().and_then(|out| Ok((out, open()?)));
        let (out, err) = streams.map_err(|e| Error::fatal(format!("{}: can't be written", log.display())).with_source(e))?;
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().map_err(failed)?;
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let watch = Some(thread::spawn(move || watch(&process)));
        Ok(Self { child, log, watch })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.watch.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop, as an operator would.
    pub(crate) fn terminate(&self) {
        // The shell's own `kill`: the standard library can send SIGKILL only. The process is there: nobody has asked for its end.
        let id = self.child.id().to_string();
        run(Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &id]), Duration::from_secs(10));
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended within `limit`, or not with success.
    pub(crate) fn end(mut self, limit: Duration) -> Result<(Usage, String)> {
        let deadline = Instant::now() + limit;
        while !self.has_ended() {
            if Instant::now() > deadline {
                return Err(self.failure(&format!("has not ended within {} s", limit.as_secs())));
            }
            thread::sleep(INTERVAL);
        }
        let usage = self.watch.take().and_then(|watch| watch.join().ok());
        let status = self.child.wait().map_err(|e| Error::fatal("a process can't be waited for").with_source(e))?;
        match usage {
            Some(usage) if status.success() => Ok((usage?, self.log())),
            _ => Err(self.failure(&format!("has failed ({status})"))),
        }
    }

    /// An error with the end of its log.
    pub(crate) fn failure(&self, what: &str) -> Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n  ");
        Error::fatal(format!("lakefeed {what}; the end of its log:\n  {end}"))
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // Errors say that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn watch(process: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    loop {
        let (state, cpu_s) = stat(process)?;
        usage.cpu_s = cpu_s;
        usage.peak_bytes = peak_bytes(process).unwrap_or(0).max(usage.peak_bytes);
        if state == 'Z' {
            return Ok(usage);
        }
        thread::sleep(INTERVAL);
    }
}
