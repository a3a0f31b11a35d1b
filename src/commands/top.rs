//! `lakefeed top`: what the tasks of a worker do now, from its `/metrics`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lakefeed_core::{Error, Result, printable};

/// How long the worker has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const ANSWER_BYTES: u64 = 64 << 20;
/// What is shown of a name.
const NAME_WIDTH: usize = 32;

/// Shows what the tasks of a running worker do, until Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the worker answers REST calls
    #[arg(default_value = "http://127.0.0.1:8083", value_name = "URL")]
    url: String,
    /// Seconds between two looks
    #[arg(long, default_value_t = 2.0, value_parser = interval, value_name = "SECONDS")]
    interval: f64,
    /// Show it once: the rates of one interval
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|seconds| (0.1..=3600.0).contains(seconds)).ok_or_else(|| "expected seconds from 0.1 to 3600".into())
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let address = address(&args.url)?;
    let (mut before, mut then) = (scrape(&address)?, Instant::now());
    let screen = std::io::stdout().is_terminal() && !args.once;
    loop {
        std::thread::sleep(Duration::from_secs_f64(args.interval));
        let (now, at) = (scrape(&address)?, Instant::now());
        // From the upper left corner of an empty screen.
        let clear = if screen { "\x1b[H\x1b[2J" } else { "" };
        let text = format!("{clear}{}", table(&before, &now, (at - then).as_secs_f64()));
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| Error::fatal("can't write to stdout").with_source(e))?;
        if args.once {
            return Ok(ExitCode::SUCCESS);
        }
        (before, then) = (now, at);
    }
}

/// Host and port.
fn address(url: &str) -> Result<String> {
    let wrong = || Error::config(format!("'{}': expected http://HOST:PORT", printable(url)));
    let host = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '@']) {
        return Err(wrong());
    }
    Ok(if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) { host.to_owned() } else { format!("{host}:8083") })
}

/// Numbers by metric and labels.
type Metrics = Vec<(String, BTreeMap<String, String>, f64)>;

fn scrape(address: &str) -> Result<Metrics> {
    let away = |e| Error::retry(format!("no worker answers at http://{address}: check that it runs, and its listeners")).with_source(e);
    let answer = get(address).map_err(away)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.lines().filter_map(sample).collect()),
        status => {
            Err(Error::config(format!("http://{address}/metrics answers {}; expected a Lakefeed worker", status.unwrap_or("nothing"))))
        }
    }
}

fn get(address: &str) -> std::io::Result<String> {
    let mut failed = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for place in address.to_socket_addrs()? {
        let mut stream = match TcpStream::connect_timeout(&place, TIMEOUT) {
            Ok(stream) => stream,
            Err(error) => {
                failed = error;
                continue;
            }
        };
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // By HTTP/1.0 the answer comes in one piece.
        stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
        return Ok(String::from_utf8_lossy(&answer).into_owned());
    }
    Err(failed)
}

/// A line of OpenMetrics text; `None`: a comment.
fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let name_end = line.find(['{', ' ']).filter(|_| !line.starts_with('#'))?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while let Some((key, text)) = rest.split_once("=\"") {
            let (value, behind) = quoted(text)?;
            labels.insert(key.trim_start_matches(',').to_owned(), value);
            rest = behind;
            if rest.starts_with('}') {
                break;
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    Some((name.to_owned(), labels, rest.split_whitespace().next()?.parse().ok()?))
}

/// The text up to a quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// What a metric says of a task, all its further labels taken together.
fn of(metrics: &Metrics, name: &str, connector: &str, task: &str) -> Option<f64> {
    let mine = |labels: &BTreeMap<String, String>| {
        labels.get("connector").is_some_and(|c| c == connector) && labels.get("task").is_some_and(|t| t == task)
    };
    metrics.iter().filter(|(n, labels, _)| n == name && mine(labels)).map(|(.., value)| *value).reduce(|a, b| a + b)
}

fn table(before: &Metrics, now: &Metrics, seconds: f64) -> String {
    let head = ["CONNECTOR", "TASK", "STATE", "IN/S", "OUT/S", "LAG", "AGE S", "FILES", "DEAD", "LOST", "RESTARTS"];
    let mut rows = vec![head.map(str::to_owned)];
    for (_, labels, _) in now.iter().filter(|(name, ..)| name == "lakefeed_task_state") {
        let label = |key: &str| labels.get(key).map(String::as_str).unwrap_or_default();
        let (connector, task) = (label("connector"), label("task"));
        let value = |name: &str| of(now, name, connector, task);
        let shown = |name: &str| value(name).map_or_else(|| "-".to_owned(), whole);
        let rate = |name: &str| {
            let grown = value(name).zip(of(before, name, connector, task)).map(|(now, before)| (now - before).max(0.0));
            grown.map_or_else(|| "-".to_owned(), |grown| whole(grown / seconds))
        };
        rows.push([
            printable(connector).chars().take(NAME_WIDTH).collect(),
            task.to_owned(),
            label("state").to_owned(),
            rate("lakefeed_records_in_total"),
            rate("lakefeed_rows_out_total"),
            shown("lakefeed_consumer_lag_records"),
            shown("lakefeed_record_age_seconds"),
            shown("lakefeed_s3_open_files"),
            shown("lakefeed_dead_letters_total"),
            shown("lakefeed_records_lost_total"),
            shown("lakefeed_task_restarts_total"),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let memory = |name: &str| now.iter().find(|(n, ..)| n == name).map_or(0.0, |(.., value)| value / f64::from(1 << 20));
    let mut text = format!(
        "{} tasks, {:.1} of {:.1} MiB buffered\n",
        rows.len() - 1,
        memory("lakefeed_memory_budget_used_bytes"),
        memory("lakefeed_memory_budget_bytes")
    );
    for row in &rows {
        // Names to the left, numbers to the right.
        let cell = |(i, cell): (usize, &String)| {
            if matches!(i, 0 | 2) { format!("{cell:<0$}", widths[i]) } else { format!("{cell:>0$}", widths[i]) }
        };
        let line: Vec<_> = row.iter().enumerate().map(cell).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_rates_and_sums_of_each_task() {
        let scraped = |records: u64| -> Metrics {
            let text = format!(
                "# HELP lakefeed_task_state x\nlakefeed_task_state{{connector=\"a\\\"b}}\",task=\"0\",state=\"running\"}} 1\n\
                 lakefeed_records_in_total{{connector=\"a\\\"b}}\",task=\"0\"}} {records}\n\
                 lakefeed_consumer_lag_records{{connector=\"a\\\"b}}\",task=\"0\",partition=\"0\"}} 4.0\n\
                 lakefeed_consumer_lag_records{{connector=\"a\\\"b}}\",task=\"0\",partition=\"1\"}} 3\n\
                 lakefeed_memory_budget_bytes{{}} 2097152\nlakefeed_memory_budget_used_bytes 524288\n# EOF\n"
            );
            text.lines().filter_map(sample).collect()
        };
        let text = table(&scraped(10), &scraped(1010), 2.0);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0].join(" "), "1 tasks, 0.5 of 2.0 MiB buffered");
        assert_eq!(lines[2], ["a\"b}", "0", "running", "500", "-", "7", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn an_address_is_http_with_a_host() {
        assert_eq!(address("http://a:1/").expect("an address"), "a:1");
        assert_eq!(address("http://a").expect("an address"), "a:8083");
        for wrong in ["https://a:1", "a:1", "http://", "http://a:1/connectors", "http://u:p@a:1"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
