//! A lake: its tables as views of a DuckDB in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use duckdb::Connection;
use lakefeed_catalog::{Catalog, FileFormat, Table, escape_glob, quote_identifier, quote_literal};
use lakefeed_core::{Error, ErrorKind, Result};

use crate::error::{first_lines, kind, of_ours};
use crate::output::Answer;
use crate::settings::S3Settings;

/// The folder of DuckDB's extensions, before all other places.
const EXTENSIONS_VARIABLE: &str = "LAKEFEED_DUCKDB_EXTENSIONS";
const HTTPFS: &str = "httpfs.duckdb_extension";
/// The name of a catalog file while it is written.
const ATTACHED: &str = "lakefeed_catalog";

/// An open lake.
#[derive(Debug)]
pub struct Lake {
    pub(crate) connection: Connection,
    pub(crate) width: Option<usize>,
    location: Location,
    catalog: Catalog,
    views: Vec<View>,
    unreadable: Vec<Unreadable>,
}

/// A table whose files DuckDB can't read together.
#[derive(Debug)]
pub struct Unreadable {
    /// Its name.
    pub table: String,
    /// What is wrong.
    pub error: Error,
}

/// Stops a running query from another thread.
#[derive(Clone)]
pub struct Interrupt(Arc<duckdb::InterruptHandle>);

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupt")
    }
}

impl Interrupt {
    /// Ends the query that is running, if there is one, with an error.
    pub fn interrupt(&self) {
        self.0.interrupt();
    }
}

#[derive(Debug)]
struct View {
    name: String,
    select: String,
}

#[derive(Debug)]
enum Location {
    Directory { root: String },
    S3 { root: String, endpoint: String },
}

impl Lake {
    /// Opens the lake at `location`, a directory or an `s3://` (or `file://`) URL, and makes each table a view.
    ///
    /// # Errors
    /// There is no such lake, it holds no table, the store can't be reached (worth another try) or refuses the credentials.
    pub fn open(location: &str, settings: &S3Settings) -> Result<Self> {
        let location = Location::parse(location, settings)?;
        let connection = Connection::open_in_memory().map_err(|e| of_ours("can't start DuckDB", &e))?;
        connection.execute_batch("SET enable_progress_bar = false").map_err(|e| of_ours("can't set DuckDB up", &e))?;
        if let Location::S3 { .. } = location {
            load_httpfs(&connection)?;
            // DuckDB's message could quote the statement, which holds the secrets.
            connection.execute_batch(&settings.create_secret()).map_err(|_| Error::config("DuckDB does not take the S3 settings"))?;
        }
        let catalog = Catalog::find(location.root(), location.list(&connection)?);
        if catalog.tables.is_empty() {
            return Err(Error::config(format!(
                "the lake {} has no table: no folder in it holds files of tables (*.parquet, *.json, *.avro). Fill it with `lakefeed connect` and an S3 sink \
                 first, or pass the folder that is `topics.dir` of the sink",
                location.shown()
            )));
        }
        let mut lake = Self { connection, width: None, location, catalog, views: Vec::new(), unreadable: Vec::new() };
        lake.create_views()?;
        Ok(lake)
    }

    /// What was found in the lake.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The tables that could not be made a view.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// The tables that can be read: name, number of columns, partition columns, files, bytes, and rows as the files' footers give them.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn summary(&self) -> Result<Answer> {
        let columns = ["table", "columns", "partition columns", "files", "bytes", "rows"];
        let types = ["VARCHAR", "BIGINT", "VARCHAR", "BIGINT", "BIGINT", "BIGINT"];
        let own = |texts: [&str; 6]| texts.map(str::to_owned).to_vec();
        let readable = self.catalog.tables.iter().filter(|t| self.views.iter().any(|v| v.name == t.name));
        let rows = readable.map(|table| {
            let sql = format!(
                "SELECT (SELECT count(*) FROM duckdb_columns() WHERE NOT internal AND table_name = {}), (SELECT count(*) FROM {})",
                quote_literal(&table.name),
                quote_identifier(&table.name)
            );
            let failed = |e| of_ours(format!("can't read the table {}", table.name), &e);
            let (columns, rows) =
                self.connection.query_row(&sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).map_err(failed)?;
            let partitions: Vec<String> = table.partition_columns.iter().map(|c| format!("{} {}", c.name, c.sql_type)).collect();
            let (files, bytes) = (table.files.to_string(), table.bytes.to_string());
            let cells = [table.name.clone(), columns.to_string(), partitions.join(", "), files, bytes, rows.to_string()];
            Ok(cells.map(Some).to_vec())
        });
        Ok(Answer { columns: own(columns), types: own(types), rows: rows.collect::<Result<_>>()? })
    }

    /// The lake as a directory, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        match &self.location {
            Location::Directory { root } => Some(Path::new(if root.is_empty() { "/" } else { root })),
            Location::S3 { .. } => None,
        }
    }

    /// The columns that a terminal has: tables of the format [`Format::Table`](crate::Format::Table) are cut to them. `None`: never cut.
    pub fn set_width(&mut self, width: Option<usize>) {
        self.width = width;
    }

    /// What stops a running query.
    pub fn interrupt_handle(&self) -> Interrupt {
        Interrupt(self.connection.interrupt_handle())
    }

    /// Writes the views to a DuckDB database that the plain `duckdb` shell opens. It is complete under its name or not there.
    ///
    /// # Errors
    /// The file can't be written, or one is there that holds more than views.
    pub fn write_catalog(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        if path.exists() {
            self.refuse_foreign(path)?;
        }
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| Error::config(format!("{shown} is no name for a file")))?;
        let temporary = path.with_file_name(format!(".{name}.tmp-{}", std::process::id()));
        let done = self.write_views(&temporary).and_then(|()| {
            std::fs::rename(&temporary, path).map_err(|e| Error::config(format!("can't write the catalog {shown}")).with_source(e))
        });
        if done.is_err() {
            // The first error is the one to report.
            let _ = std::fs::remove_file(&temporary);
        }
        done
    }

    fn write_views(&self, file: &Path) -> Result<()> {
        let failed = |e: duckdb::Error| of_ours(format!("can't write the catalog {}", file.display()), &e);
        // One that was left by a killed process with the same id is in the way.
        let _ = std::fs::remove_file(file);
        self.connection.execute_batch(&format!("ATTACH {} AS {ATTACHED}", path_literal(file)?)).map_err(failed)?;
        let views: String =
            self.views.iter().map(|v| format!("CREATE VIEW {ATTACHED}.main.{} AS {};", quote_identifier(&v.name), v.select)).collect();
        let written = self.connection.execute_batch(&views);
        let detached = self.connection.execute_batch(&format!("DETACH {ATTACHED}"));
        written.and(detached).map_err(failed)
    }

    /// A catalog can be made again from the lake; a database with tables of its own can't.
    fn refuse_foreign(&self, path: &Path) -> Result<()> {
        let other =
            |why: String| Error::config(format!("{} is there and {why}: it is not overwritten; name another file with -o", path.display()));
        let attach = format!("ATTACH {} AS {ATTACHED} (READ_ONLY)", path_literal(path)?);
        self.connection.execute_batch(&attach).map_err(|e| {
            let text = e.to_string();
            let locked = text.contains("lock");
            other(if locked { "another process has it open".into() } else { "is no catalog".to_owned() }).with_source(first_lines(&text))
        })?;
        let count = format!("SELECT count(*) FROM duckdb_tables() WHERE database_name = '{ATTACHED}'");
        let tables = self.connection.query_row(&count, [], |row| row.get::<_, i64>(0));
        self.connection.execute_batch(&format!("DETACH {ATTACHED}")).map_err(|e| of_ours("can't close the old catalog", &e))?;
        match tables {
            Ok(0) => Ok(()),
            Ok(n) => Err(other(format!("is a database with {n} tables of its own"))),
            Err(e) => Err(of_ours("can't read the old catalog", &e)),
        }
    }

    fn create_views(&mut self) -> Result<()> {
        for table in &self.catalog.tables {
            match self.create_view(table) {
                Ok(view) => self.views.push(view),
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                Err(error) => self.unreadable.push(Unreadable { table: table.name.clone(), error }),
            }
        }
        Ok(())
    }

    fn create_view(&self, table: &Table) -> Result<View> {
        if table.format == FileFormat::Avro {
            return Err(Error::config(format!(
                "the files of the table {} are Avro, which DuckDB reads with an extension that Lakefeed does not bring: read them with \
                 Spark, Trino or fastavro, or write format.class=ParquetFormat",
                table.name
            )));
        }
        let create = |path_column| {
            let select = table.select(path_column);
            let sql = format!("CREATE VIEW {} AS {select}", quote_identifier(&table.name));
            self.connection.execute_batch(&sql).map(|()| View { name: table.name.clone(), select })
        };
        create("filename")
            // The files have a column of that name.
            .or_else(|e| if e.to_string().contains("Option filename adds column") { create("lakefeed_path") } else { Err(e) })
            .map_err(|e| of_ours(format!("can't read the table {}", table.name), &e))
    }
}

impl Location {
    fn parse(location: &str, settings: &S3Settings) -> Result<Self> {
        if let Some(rest) = location.strip_prefix("s3://") {
            let rest = rest.trim_end_matches('/');
            if rest.is_empty() || rest.starts_with('/') {
                return Err(Error::config(format!("the lake {location} names no bucket; expected s3://BUCKET or s3://BUCKET/PREFIX")));
            }
            let endpoint = settings.endpoint.clone().unwrap_or_else(|| "AWS".into());
            return Ok(Self::S3 { root: format!("s3://{rest}"), endpoint });
        }
        let path = match location.strip_prefix("file://") {
            Some(path) => lakefeed_layout::decode_value(path.strip_prefix("localhost").unwrap_or(path)),
            None if location.contains("://") => {
                return Err(Error::config(format!("the lake {location} is neither a directory nor an s3:// or file:// URL")));
            }
            None => location.to_owned(),
        };
        let missing = || format!("there is no lake at {path}; pass its directory or an s3:// URL");
        let root = std::fs::canonicalize(&path).map_err(|e| Error::config(missing()).with_source(e))?;
        if !root.is_dir() {
            return Err(Error::config(format!("the lake {path} is a file; pass its directory or an s3:// URL")));
        }
        let root = root.to_str().ok_or_else(|| Error::config(format!("the path of the lake {path} is not UTF-8")))?;
        Ok(Self::Directory { root: root.trim_end_matches('/').to_owned() })
    }

    /// As DuckDB reads it, without a delimiter at its end.
    fn root(&self) -> &str {
        match self {
            Self::Directory { root } | Self::S3 { root, .. } => root,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Directory { root } => root.clone(),
            Self::S3 { root, endpoint } => format!("{root} at {endpoint}"),
        }
    }

    /// The files below the root that may belong to a table, and their sizes. On S3 this is LIST requests alone.
    fn list(&self, connection: &Connection) -> Result<Vec<(String, u64)>> {
        // One listing for .parquet, .json, .gz, .zst and .avro. Not among them are the sink's temporary files, which can vanish meanwhile.
        let glob = format!("{}/**/[!_.]*[tnzo]", escape_glob(self.root()));
        let sql = format!("SELECT filename, size FROM read_blob({})", quote_literal(&glob));
        let prefix = format!("{}/", self.root());
        let files = connection.prepare(&sql).and_then(|mut statement| {
            let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
            rows.map(|row| row.map(|(path, size)| (path.strip_prefix(&prefix).unwrap_or(&path).to_owned(), size.unsigned_abs()))).collect()
        });
        files.map_err(|e| self.list_error(&e.to_string()))
    }

    fn list_error(&self, text: &str) -> Error {
        let Self::S3 { endpoint, .. } = self else {
            return Error::config(format!("can't list the lake {}", self.shown())).with_source(first_lines(text));
        };
        let message = if kind(text) == ErrorKind::Retry {
            format!("can't reach the object store at {endpoint}; is it up, and is AWS_ENDPOINT_URL right?")
        } else if text.contains("HTTP 404") {
            format!("there is no lake {}: the bucket is missing", self.shown())
        } else if text.contains("HTTP 403") || text.contains("HTTP 401") {
            format!(
                "the object store at {endpoint} refuses the credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and \
                 AWS_SESSION_TOKEN), or AWS_PROFILE"
            )
        } else {
            format!("can't list the lake {}; are AWS_REGION and AWS_ENDPOINT_URL right?", self.shown())
        };
        Error::new(kind(text), message).with_source(first_lines(text))
    }
}

fn path_literal(path: &Path) -> Result<String> {
    let text = path.to_str().ok_or_else(|| Error::config(format!("the path {} is not UTF-8", path.display())))?;
    Ok(quote_literal(text))
}

/// DuckDB's extension for S3: a file beside the binary or the library, else DuckDB fetches it.
fn load_httpfs(connection: &Connection) -> Result<()> {
    let mut tried = None;
    for file in extension_files() {
        match connection.execute_batch(&format!("LOAD {}", path_literal(&file)?)) {
            Ok(()) => return Ok(()),
            Err(e) => tried = Some(first_lines(&e.to_string())),
        }
    }
    connection.execute_batch("INSTALL httpfs; LOAD httpfs;").map_err(|e| {
        Error::config(format!(
            "can't load httpfs, DuckDB's extension for S3: put {HTTPFS} of DuckDB {} beside the lakefeed binary, or name its folder in \
             {EXTENSIONS_VARIABLE}",
            connection.version().unwrap_or_default()
        ))
        .with_source(tried.unwrap_or_else(|| first_lines(&e.to_string())))
    })
}

fn extension_files() -> Vec<PathBuf> {
    let named = std::env::var_os(EXTENSIONS_VARIABLE).map(PathBuf::from);
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
    let around = |dir: PathBuf| {
        let places = ["", "../lib", "../../third_party/libduckdb", "../../../third_party/libduckdb"];
        places.map(|place| dir.join(place))
    };
    named.into_iter().chain(beside.into_iter().flat_map(around)).map(|dir| dir.join(HTTPFS)).filter(|file| file.is_file()).collect()
}
