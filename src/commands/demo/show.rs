//! What the demo prints.

use std::collections::BTreeMap;
use std::io::Write;

use lakefeed_core::{Error, Result};
use lakefeed_query::{Answer, Lake, motor_queries, terminal_width};
use lakefeed_store::{Store, StoreConfig};
use tokio::runtime::Runtime;

use super::folder::Folder;
use super::pipeline::Stage;

/// Rows of an answer, and lake partitions of the tree, that are shown.
const SHOWN: usize = 10;

/// One line that says what runs. Stderr, like everything that is no result.
pub(super) fn heading(cluster: &str) {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(std::io::stderr(), "lakefeed demo on {cluster}");
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| Error::fatal("can't write to stdout").with_source(e))
}

/// One line per stage.
pub(super) fn stages(stages: &[Stage; 3]) {
    let mut text = String::from("\nstage          rows         bytes        rows/s\n");
    for Stage { name, done } in stages {
        let bytes = if done.bytes_out > 0 { done.bytes_out } else { done.bytes_in };
        let rate = done.rows_out.saturating_mul(1000) / done.busy_ms.max(1);
        text.push_str(&format!("{name:<10} {:>8} {:>13} {rate:>13}\n", done.rows_out, human(bytes)));
        if done.rejected > 0 {
            text.push_str(&format!("           {} rows went to the dead letters\n", done.rejected));
        }
    }
    let _ = print(&text);
}

/// The lake as a tree: lake partitions with their files and bytes.
pub(super) fn tree(folder: &Folder, runtime: &Runtime) -> Result<()> {
    let config = StoreConfig::from_url(&folder.lake, |name| std::env::var(name).ok())?;
    let objects = runtime.block_on(Store::open(&config)?.list(""))?;
    let mut partitions: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for object in objects.iter().filter(|o| o.key.ends_with(".parquet")) {
        let (files, bytes) = partitions.entry(object.key.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default();
        (*files, *bytes) = (*files + 1, *bytes + object.size);
    }
    let (files, bytes) = partitions.values().fold((0, 0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
    let mut text = format!("\n{}: {} lake partitions, {files} files, {}\n", folder.lake, partitions.len(), human(bytes));
    for (name, (files, bytes)) in partitions.iter().take(SHOWN) {
        text.push_str(&format!("  {name:<52} {files:>3} files {:>10}\n", human(*bytes)));
    }
    if partitions.len() > SHOWN {
        text.push_str(&format!("  ... and {} more\n", partitions.len() - SHOWN));
    }
    print(&text)
}

/// The answers of the motor queries as tables; returns how many rows the lake holds.
pub(super) fn answers(lake: &Lake, table: &str) -> Result<u64> {
    let name = format!("{}_stream", lakefeed_layout::table_name(table));
    for (title, sql) in motor_queries() {
        let sql = sql.replace("pmsm_temperature_stream", &name);
        let statement: Vec<&str> = sql.lines().filter(|line| !line.starts_with("--")).collect();
        print(&format!("\n{title}\n{}\n", statement.join("\n")))?;
        let mut answer = lake.query(&sql)?;
        let more = answer.rows.len().saturating_sub(SHOWN);
        answer.rows.truncate(SHOWN);
        write(&answer)?;
        if more > 0 {
            print(&format!("... and {more} rows more\n"))?;
        }
    }
    let count = lake.query(&format!("SELECT count(*) FROM {name}"))?;
    let cell = count.rows.first().and_then(|row| row.first()).and_then(|cell| cell.as_deref());
    cell.and_then(|text| text.parse().ok()).ok_or_else(|| Error::fatal("DuckDB did not count the rows"))
}

fn write(answer: &Answer) -> Result<()> {
    answer.write_table(terminal_width(), &mut std::io::stdout().lock())
}

/// What to type next.
pub(super) fn next_steps(folder: &Folder, table: &str) {
    let lake = &folder.lake;
    // As it was called: from a checkout it is not on the PATH.
    let me = std::env::args().next().unwrap_or_else(|| "lakefeed".into());
    let table = format!("{}_stream", lakefeed_layout::table_name(table));
    let _ = print(&format!(
        "\nThe lake stays in {lake}; any Parquet reader opens it. Next:\n\
         \x20 {me} sql --lake {lake} \"SELECT profile_id, max(pm) FROM {table} GROUP BY ALL\"\n\
         \x20 {me} sql --lake {lake}                  a shell\n\
         \x20 {me} report {lake} -o report.html       charts\n\
         \x20 {me} crawl {lake}                       a catalog for the duckdb shell\n\
         The sample data is in {root}/input, the connector files that ran are in {root}/config.\n",
        root = folder.root.display()
    ));
}

/// Bytes for people.
fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}
