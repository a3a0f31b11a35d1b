//! What a process costs, as Linux counts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lakefeed_core::{Error, Result};

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

/// Watches a child of this process until it ends. Nobody may wait for the child before: then its times would be gone.
pub(crate) fn watch(id: u32) -> JoinHandle<Result<Usage>> {
    let process = PathBuf::from(format!("/proc/{id}"));
    thread::spawn(move || {
        let mut usage = Usage::default();
        loop {
            let (state, cpu_s) = stat(&process)?;
            usage.cpu_s = cpu_s;
            usage.peak_bytes = peak_bytes(&process).unwrap_or(0).max(usage.peak_bytes);
            // A zombie: it has ended, its parent has not asked for its end, and its times are final.
            if state == "Z" {
                return Ok(usage);
            }
            thread::sleep(INTERVAL);
        }
    })
}

/// The CPU time that this process has taken so far, all threads.
pub(crate) fn own_cpu_s() -> Result<f64> {
    Ok(stat(Path::new("/proc/self"))?.1)
}

/// The state and the CPU seconds of a process.
fn stat(process: &Path) -> Result<(String, f64)> {
    let path = process.join("stat");
    let unreadable = || Error::fatal(format!("{}: can't be read; CPU times are read from Linux's /proc", path.display()));
    let text = fs::read_to_string(&path).map_err(|e| unreadable().with_source(e))?;
    // The second field is the name in parentheses, which may hold anything. After it: the state, ten others, user and system time (proc(5)).
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).ok_or_else(unreadable);
    Ok((fields.first().copied().unwrap_or_default().to_owned(), (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
}

/// The most memory that a process had resident so far; `None` once it has ended.
fn peak_bytes(process: &Path) -> Option<u64> {
    status_bytes(process, "VmHWM:")
}

/// The memory that a process has resident; `None` once it has ended.
pub(crate) fn resident_bytes(id: u32) -> Option<u64> {
    status_bytes(Path::new(&format!("/proc/{id}")), "VmRSS:")
}

fn status_bytes(process: &Path, field: &str) -> Option<u64> {
    let text = fs::read_to_string(process.join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
