//! The charts of any table.

use lakefeed_core::Result;
use lakefeed_query::quote_identifier;

use crate::chart::{Labels, bars};
use crate::page::{Figure, table};
use crate::{Source, number, text};

/// The bars of a chart; more can't be told apart.
const BARS: usize = 60;

pub(crate) fn figures(source: &Source<'_>) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for column in &source.table.partition_columns {
        figures.push(rows_by(source, &column.name)?);
    }
    figures.push(ranges(source)?);
    Ok(figures)
}

fn rows_by(source: &Source<'_>, column: &str) -> Result<Figure> {
    let name = quote_identifier(column);
    let rows = source.rows(&format!(
        "SELECT value, count, total FROM (SELECT {name} AS value, count(*) AS count, count(*) OVER () AS total FROM {{t}} GROUP BY ALL \
         ORDER BY 2 DESC, 1 LIMIT {BARS}) ORDER BY value"
    ))?;
    let values: Vec<(String, f64)> = rows.iter().filter_map(|r| Some((text(r, 0).to_owned(), number(r, 1)?))).collect();
    let all = rows.first().map_or("0", |r| text(r, 2));
    let title = format!("Rows by {column}");
    let note = if rows.len() < BARS { format!("{all} values.") } else { format!("The {BARS} values with the most rows, of {all}.") };
    let html = bars(Labels { title: &title, x: column, y: "rows" }, &values);
    Ok(Figure { title, note, html })
}

/// Count, minimum, mean and maximum of each column of numbers.
fn ranges(source: &Source<'_>) -> Result<Figure> {
    let numeric: Vec<&str> = source.columns.iter().filter(|(_, sql_type)| is_number(sql_type)).map(|(name, _)| name.as_str()).collect();
    let mut list = "count(*)".to_owned();
    for name in numeric.iter().copied().map(quote_identifier) {
        list += &format!(", count({name}), min({name}), avg({name}), max({name})");
    }
    let answer = source.rows(&format!("SELECT {list} FROM {{t}}"))?;
    let cells = answer.into_iter().next().unwrap_or_default();
    let count = text(&cells, 0).to_owned();
    let rows: Vec<Vec<Option<String>>> = numeric
        .iter()
        .zip(cells.get(1..).unwrap_or_default().chunks_exact(4))
        .map(|(name, range)| [Some((*name).to_owned())].into_iter().chain(range.iter().cloned()).collect())
        .collect();
    Ok(Figure {
        title: "Columns of numbers".into(),
        note: format!("{count} rows; {} of {} columns hold numbers.", numeric.len(), source.columns.len()),
        html: table(&["column", "values", "min", "mean", "max"], &rows),
    })
}

fn is_number(sql_type: &str) -> bool {
    let plain = sql_type.trim_start_matches('U');
    let simple = ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"].contains(&plain);
    simple || (sql_type.starts_with("DECIMAL(") && sql_type.ends_with(')'))
}
