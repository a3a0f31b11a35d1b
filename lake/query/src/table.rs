//! Answers for people.

use std::io::{self, Write};

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::output::Answer;

/// The longest cell in characters where the width is limited.
const CELL_CHARS: usize = 60;

/// Writes the rows of `answer`, which are the first of `count`, and what was left out to fit into `width`.
pub(crate) fn write(answer: &Answer, count: u64, width: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
    if answer.columns.is_empty() {
        return Ok(());
    }
    // A plan is a drawing of its own.
    if answer.columns == ["explain_key", "explain_value"] {
        return answer.rows.iter().try_for_each(|row| writeln!(out, "{}", row[1].as_deref().unwrap_or_default()));
    }
    let kept = write_grid(answer, width, out)?;
    write!(out, "{} {}", grouped(count), if count == 1 { "row" } else { "rows" })?;
    if (answer.rows.len() as u64) < count {
        write!(out, ", the first {} shown", grouped(answer.rows.len() as u64))?;
    }
    if kept < answer.columns.len() {
        write!(out, "; {} columns, {kept} shown", answer.columns.len())?;
    }
    writeln!(out)
}

/// Writes rows and columns alone; gives the number of columns that were kept.
pub(crate) fn write_grid(answer: &Answer, width: Option<usize>, out: &mut dyn Write) -> io::Result<usize> {
    let limit = if width.is_some() { CELL_CHARS } else { usize::MAX };
    let header: Vec<String> = answer.columns.iter().map(|name| shown(name, limit)).collect();
    let body: Vec<Vec<String>> = answer
        .rows
        .iter()
        .map(|row| row.iter().map(|cell| cell.as_deref().map_or_else(|| "NULL".to_owned(), |text| shown(text, limit))).collect())
        .collect();
    let kept = columns_that_fit(&header, &body, width);
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let numeric: Vec<bool> = (0..header.len()).map(|i| answer.types.get(i).is_some_and(|t| is_number(t))).collect();
    let line = |texts: &[String]| -> Vec<Cell> {
        let cell = |i: &Option<usize>| match *i {
            Some(i) if numeric[i] => Cell::new(&texts[i]).set_alignment(CellAlignment::Right),
            Some(i) => Cell::new(&texts[i]),
            None => Cell::new("…"),
        };
        kept.iter().map(cell).collect()
    };
    table.set_header(line(&header));
    for row in &body {
        table.add_row(line(row));
    }
    writeln!(out, "{table}")?;
    Ok(kept.iter().flatten().count())
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The text on one line, with control characters escaped so that no value can drive the terminal.
fn shown(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for (i, c) in text.chars().enumerate() {
        if i >= limit {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// The columns to show; `None` stands for those that are left out in the middle.
fn columns_that_fit(header: &[String], body: &[Vec<String>], width: Option<usize>) -> Vec<Option<usize>> {
    let chars = |text: &String| text.chars().count();
    // A cell has a space on each side and a border.
    let widths: Vec<usize> =
        (0..header.len()).map(|i| 3 + body.iter().map(|row| chars(&row[i])).chain([chars(&header[i])]).max().unwrap_or(0)).collect();
    let limit = width.unwrap_or(usize::MAX);
    if widths.iter().sum::<usize>() < limit || header.len() < 3 {
        return (0..header.len()).map(Some).collect();
    }
    // From both ends in turn, as the shell of DuckDB does; the mark and the last border take 5.
    let (mut left, mut right, mut used) = (0, header.len(), 5);
    while left < right {
        let next = if left <= header.len() - right { left } else { right - 1 };
        if used + widths[next] > limit && left > 0 {
            break;
        }
        used += widths[next];
        if next == left { left += 1 } else { right -= 1 }
    }
    (0..left).map(Some).chain([None]).chain((right..header.len()).map(Some)).collect()
}

fn is_number(sql_type: &str) -> bool {
    let plain = sql_type.trim_start_matches('U');
    ["TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"].contains(&plain)
        || sql_type.starts_with("DECIMAL(") && !sql_type.ends_with(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(columns: &[&str], types: &[&str], rows: &[&[Option<&str>]], count: u64, width: Option<usize>) -> String {
        let own = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let rows = rows.iter().map(|r| r.iter().map(|c| c.map(str::to_owned)).collect()).collect();
        let mut out = Vec::new();
        write(&Answer { columns: own(columns), types: own(types), rows }, count, width, &mut out).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn numbers_stand_right_and_nulls_are_shown() {
        let text =
            written(&["name", "n"], &["VARCHAR", "BIGINT"], &[&[Some("a\u{1b}[1m"), Some("5")], &[None, Some("1234")]], 12_345, None);
        assert_eq!(
            text,
            "┌────────────┬──────┐\n│ name       ┆    n │\n╞════════════╪══════╡\n│ a\\u{1b}[1m ┆    5 │\n│ NULL       ┆ 1234 │\n\
             └────────────┴──────┘\n12,345 rows, the first 2 shown\n"
        );
    }

    #[test]
    fn wide_answers_lose_columns_in_the_middle() {
        let names: Vec<String> = (0..10).map(|i| format!("column_{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let row: Vec<Option<&str>> = names.iter().map(|_| Some("1")).collect();
        let text = written(&names, &[], &[&row], 1, Some(60));
        assert!(text.lines().all(|l| l.chars().count() <= 60), "{text}");
        assert!(text.contains("column_0") && text.contains("column_9") && !text.contains("column_5"), "{text}");
        assert!(text.ends_with("1 row; 10 columns, 5 shown\n"), "{text}");
        assert!(written(&names, &[], &[&row], 1, None).contains("column_5"));
    }
}
