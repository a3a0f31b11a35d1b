//! The shell: SQL line by line, with history and completion.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use lakefeed_core::{Error, Result};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, DefaultEditor, Editor, Helper};

use crate::error::of_ours;
use crate::lake::Lake;
use crate::output::Format;
use crate::statements::is_complete;

const HELP: &str = "\
SQL ends with ; and may go over several lines. TAB completes keywords, tables and columns.
.tables              the tables of the lake
.schema [TABLE]      the columns of a table, or of all
.mode table|csv|json how answers are written
.timer on|off        whether the time of each answer is shown
.help                this
.quit                leave, as Ctrl-D does; Ctrl-C drops the line or stops the query
";

const META: [&str; 6] = [".tables", ".schema", ".mode", ".timer", ".help", ".quit"];

/// The columns of the terminal that stdout is, if it is one.
pub fn terminal_width() -> Option<usize> {
    let (columns, _) = DefaultEditor::new().ok()?.dimensions()?;
    Some(usize::from(columns)).filter(|c| *c > 0)
}

impl Lake {
    /// Reads statements from the terminal until the end of input; answers go to `out`, what is wrong to `err`.
    ///
    /// # Errors
    /// The terminal can't be read or written. A statement that fails does not end the shell.
    pub fn shell(&mut self, out: &mut dyn Write, err: &mut dyn Write) -> Result<()> {
        let unreadable = |e: ReadlineError| Error::config("can't use the terminal").with_source(e);
        let mut editor: Editor<Prompt, DefaultHistory> = Editor::new().map_err(unreadable)?;
        editor.set_helper(Some(Prompt { words: self.words()? }));
        let history = history_file();
        if let Some(file) = &history {
            // The first session has none.
            let _ = editor.load_history(file);
        }
        let mut session = Session { format: Format::Table, timer: false };
        loop {
            if let Some((columns, _)) = editor.dimensions() {
                self.set_width(Some(usize::from(columns)));
            }
            match editor.readline("lakefeed> ") {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) => {
                    // A full history is no reason to stop.
                    let _ = editor.add_history_entry(line.trim());
                    match session.line(self, &line, out) {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(error) => writeln!(err, "{}", error.chain()).map_err(|e| unreadable(e.into()))?,
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(unreadable(error)),
            }
        }
        if let Some(file) = &history {
            let saved = file.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(ReadlineError::from);
            if let Err(error) = saved.and_then(|()| editor.save_history(file)) {
                // The answers are what counts: a history that can't be kept is only told.
                let _ = writeln!(err, "the history can't be saved to {}: {error}", file.display());
            }
        }
        Ok(())
    }

    /// What can be completed: keywords, tables, columns.
    fn words(&self) -> Result<BTreeSet<String>> {
        let sql = "SELECT keyword_name FROM duckdb_keywords() UNION SELECT table_name FROM duckdb_columns() WHERE NOT internal \
                   UNION SELECT column_name FROM duckdb_columns() WHERE NOT internal";
        let mut statement = self.connection.prepare(sql).map_err(|e| of_ours("can't list the names of the lake", &e))?;
        let words = statement.query_map([], |row| row.get::<_, String>(0)).and_then(Iterator::collect);
        words.map_err(|e| of_ours("can't list the names of the lake", &e))
    }
}

/// What a shell remembers from line to line.
struct Session {
    format: Format,
    timer: bool,
}

impl Session {
    /// Does what a line says; `false` ends the shell.
    fn line(&mut self, lake: &Lake, line: &str, out: &mut dyn Write) -> Result<bool> {
        let mut words = line.split_whitespace();
        match (words.next().unwrap_or_default(), words.next()) {
            (".quit" | ".exit", _) => return Ok(false),
            (".help", _) => out.write_all(HELP.as_bytes()).map_err(|e| Error::config("can't write the answer").with_source(e))?,
            (".tables", _) => lake.run("SELECT view_name AS name FROM duckdb_views() WHERE NOT internal ORDER BY ALL", self.format, out)?,
            (".schema", table) => {
                let only =
                    table.map(|t| format!("AND lower(table_name) = lower({})", lakefeed_catalog::quote_literal(t.trim_end_matches(';'))));
                let sql = format!(
                    "SELECT table_name AS \"table\", column_name AS \"column\", data_type AS type FROM duckdb_columns() \
                     WHERE NOT internal {} ORDER BY table_name, column_index",
                    only.unwrap_or_default()
                );
                lake.run(&sql, self.format, out)?;
            }
            (".mode", Some(name)) => match name.parse()? {
                Format::Parquet => return Err(Error::config("the shell writes table, csv or json; parquet needs `lakefeed sql -o FILE`")),
                format => self.format = format,
            },
            (".timer", Some(state @ ("on" | "off"))) => self.timer = state == "on",
            (word, _) if word.starts_with('.') => {
                return Err(Error::config(format!("there is no command '{}'; .help lists them", line.trim())));
            }
            _ => self.sql(lake, line, out)?,
        }
        Ok(true)
    }

    fn sql(&self, lake: &Lake, line: &str, out: &mut dyn Write) -> Result<()> {
        let start = Instant::now();
        lake.run(line, self.format, out)?;
        if self.timer {
            let seconds = start.elapsed().as_secs_f64();
            writeln!(out, "{seconds:.3} s").map_err(|e| Error::config("can't write the answer").with_source(e))?;
        }
        Ok(())
    }
}

/// `$XDG_STATE_HOME/lakefeed/sql_history`, by default in `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(state.join("lakefeed/sql_history"))
}

struct Prompt {
    words: BTreeSet<String>,
}

impl Completer for Prompt {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.words, line, pos))
    }
}

/// Where the word before `pos` begins, and what it can become.
fn complete(words: &BTreeSet<String>, line: &str, pos: usize) -> (usize, Vec<String>) {
    let before = &line[..pos];
    if before.starts_with('.') && !before.contains(' ') {
        return (0, META.iter().filter(|m| m.starts_with(before)).map(|m| (*m).to_owned()).collect());
    }
    let start =
        before.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
    let part = &before[start..];
    if part.is_empty() {
        return (start, Vec::new());
    }
    let upper = part.chars().any(char::is_uppercase);
    let folded = part.to_lowercase();
    let fits = words.iter().filter(|w| w.to_lowercase().starts_with(&folded));
    (start, fits.map(|w| if upper { w.to_uppercase() } else { w.clone() }).collect())
}

impl Validator for Prompt {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        let done = input.trim_start().starts_with('.') || is_complete(input);
        Ok(if done { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Highlighter for Prompt {}

impl Hinter for Prompt {
    type Hint = String;
}

impl Helper for Prompt {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_in_the_case_they_are_typed_in() {
        let words = ["select", "pm", "pmsm_temperature_stream"].map(str::to_owned).into();
        let completed = |line: &str| complete(&words, line, line.len());
        assert_eq!(completed("SEL"), (0, vec!["SELECT".to_owned()]));
        assert_eq!(completed("select (pmsm"), (8, vec!["pmsm_temperature_stream".to_owned()]));
        assert_eq!(completed("select "), (7, vec![]));
        assert_eq!(completed(".mo"), (0, vec![".mode".to_owned()]));
        assert_eq!(completed("ü pm").1.len(), 2);
    }

    #[test]
    fn the_session_follows_its_commands() {
        let dir = tempfile::tempdir().expect("a folder");
        let table = dir.path().join("motor");
        std::fs::create_dir(&table).expect("a folder");
        let file = table.join("a.parquet");
        duckdb::Connection::open_in_memory()
            .and_then(|c| c.execute_batch(&format!("COPY (SELECT 1 AS id, 2.5 AS pm) TO '{}'", file.display())))
            .expect("a table");
        let lake = Lake::open(&dir.path().to_string_lossy(), &crate::S3Settings::default()).expect("a lake");
        let mut session = Session { format: Format::Table, timer: false };
        let mut said = |line: &str| {
            let mut out = Vec::new();
            let done = session.line(&lake, line, &mut out).map_err(|e| e.chain());
            (done, String::from_utf8(out).expect("text"))
        };
        assert!(said(".tables").1.contains("motor"));
        assert_eq!(said(".mode csv"), (Ok(true), String::new()));
        assert_eq!(said(".schema MOTOR;").1, "table,column,type\nmotor,id,INTEGER\nmotor,pm,\"DECIMAL(2,1)\"\n");
        assert_eq!(said("SELECT pm\nFROM motor;").1, "pm\n2.5\n");
        assert_eq!(said(".timer on").0, Ok(true));
        assert!(said("SELECT 1 AS a;").1.ends_with(" s\n"));
        assert!(said(".mode parquet").0.is_err() && said(".what").0.is_err() && said("SELECT nothing;").0.is_err());
        assert!(said(".help").1.contains(".timer on|off"));
        assert_eq!(said(".quit").0, Ok(false));
        assert!(lake.words().expect("words").contains("motor"));
    }
}
