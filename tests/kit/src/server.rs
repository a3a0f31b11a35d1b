//! Starts a server with a script of `tests/stack`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::{unique, wait_for};

/// Covers the first run of all, which builds MinIO.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// A server that lives as long as this process: its script stops it when the pipe closes.
pub(crate) struct Server {
    pub(crate) address: String,
    _pipe: ChildStdin,
}

/// The path of a script of `tests/stack`.
pub(crate) fn script(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "stack", name].iter().collect()
}

/// Starts `tests/stack/NAME.sh` and waits for the address that it writes.
pub(crate) fn start(name: &str) -> Result<Server, String> {
    let folder = env::temp_dir().join(unique(&format!("lakefeed-{name}")));
    let program = script(&format!("{name}.sh"));
    let mut child = Command::new(&program)
        .arg("--attached")
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("can't run {}: {error}", program.display()))?;
    let pipe = child.stdin.take().ok_or("the script has no standard input")?;
    let file = folder.join("address");
    let address = wait_for(&format!("the address of {name}"), DEADLINE, || answer(name, &mut child, &file))?;
    Ok(Server { address, _pipe: pipe })
}

fn answer(name: &str, child: &mut Child, file: &PathBuf) -> Option<Result<String, String>> {
    match fs::read_to_string(file) {
        Ok(address) => Some(Ok(address.trim().to_owned())),
        Err(_) => match child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(Err(format!(
                "{name} could not be started ({status}, its message is above): run scripts/setup.sh test, or name running servers in \
                 KAFKA_BOOTSTRAP and S3_ENDPOINT"
            ))),
            Err(error) => Some(Err(format!("{name} can't be watched: {error}"))),
        },
    }
}

/// The value of a variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
