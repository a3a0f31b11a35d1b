//! DuckDB over the lake, in the place of Athena.
//!
//! [`Lake::open`] lists a directory or an S3 prefix, finds the tables in it and makes each of them a view; [`Lake::run`] answers SQL in the
//! format asked for; [`Lake::shell`] does so line by line.

mod error;
mod lake;
mod output;
mod settings;
mod shell;
mod statements;
mod table;

pub use lake::{Interrupt, Lake, Unreadable};
pub use output::{Answer, Format};
pub use settings::S3Settings;
pub use shell::terminal_width;

pub use lakefeed_catalog::{Catalog, PartitionColumn, Table, quote_identifier, quote_literal};

/// The queries of the motor pipeline over the table `pmsm_temperature_stream`: a title and the SQL.
pub fn motor_queries() -> [(&'static str, &'static str); 4] {
    [
        ("The first readings", include_str!("../../queries/01_first_rows.sql")),
        ("Temperatures by magnet temperature", include_str!("../../queries/02_by_pm.sql")),
        ("Readings by profile", include_str!("../../queries/03_rows_by_profile.sql")),
        ("Speed, coolant and ambient by profile", include_str!("../../queries/04_sums_by_profile.sql")),
    ]
}
