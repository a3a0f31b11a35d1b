//! `lakefeed`: the command line.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the input or the configuration is wrong, 2 usage, 3 a
//! dependency could not be reached.

mod commands;
#[cfg(feature = "embedded")]
mod embedded;
mod logging;
mod plugins;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lakefeed_core::{Error, ErrorKind};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Kafka-compatible plugins that feed a data lake: CSV to topics, DynamoDB streams, exactly-once Parquet, DuckDB over it.
#[derive(Debug, Parser)]
#[command(name = "lakefeed", version, max_term_width = 120, disable_help_subcommand = true)]
struct Cli {
    /// How the log on stderr is written
    #[arg(
        long,
        global = true,
        env = "LAKEFEED_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        hide_default_value = true,
        help_heading = "Log"
    )]
    log_format: logging::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(commands::check::Args),
    Connect(commands::connect::Args),
    Crawl(commands::crawl::Args),
    Demo(commands::demo::Args),
    #[command(subcommand)]
    Generate(commands::generate::Generate),
    Plugins(commands::plugins::Args),
    #[command(subcommand)]
    Produce(commands::produce::Produce),
    Report(commands::report::Args),
    Sql(commands::sql::Args),
    Top(commands::top::Args),
}

/// A query may begin with a comment of SQL, `-- text`, which is no option: no option has a blank behind its dashes.
fn comment(argument: OsString) -> OsString {
    match argument.to_str() {
        Some(text) if text.strip_prefix("--").is_some_and(|rest| rest.starts_with(char::is_whitespace)) => format!("\n{text}").into(),
        _ => argument,
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().map(comment));
    let levels = logging::start(!matches!(cli.command, Command::Connect(_)), cli.log_format);
    let done = match cli.command {
        Command::Check(args) => commands::check::run(args),
        Command::Connect(args) => commands::connect::run(args, levels),
        Command::Crawl(args) => commands::crawl::run(args),
        Command::Demo(args) => commands::demo::run(args),
        Command::Generate(args) => commands::generate::run(args),
        Command::Plugins(args) => commands::plugins::run(args),
        Command::Produce(args) => commands::produce::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Sql(args) => commands::sql::run(args),
        Command::Top(args) => commands::top::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            logging::error(&error);
            exit_code(&error)
        }
    }
}

fn exit_code(error: &Error) -> ExitCode {
    match error.kind() {
        ErrorKind::Retry => ExitCode::from(3),
        ErrorKind::Reject | ErrorKind::Config | ErrorKind::Fatal => ExitCode::from(1),
    }
}
