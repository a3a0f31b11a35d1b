//! The page around the charts.

use std::io::{self, Write};

use crate::Source;
use crate::scale::label;

const STYLE: &str = include_str!("page.css");

/// A piece of the page: a title, a sentence on what is seen, and a chart or table as HTML.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) html: String,
}

/// A table of texts and numbers; numbers stand right.
pub(crate) fn table(header: &[&str], rows: &[Vec<Option<String>>]) -> String {
    let mut html = "<div class=\"chart\"><table><thead><tr>".to_owned();
    let is_number = |cell: Option<&Option<String>>| cell.and_then(|c| c.as_deref()).is_some_and(|text| text.parse::<f64>().is_ok());
    let class = |number| if number { " class=\"number\"" } else { "" };
    for (i, name) in header.iter().enumerate() {
        html += &format!("<th{}>{}</th>", class(is_number(rows.first().and_then(|row| row.get(i)))), escape(name));
    }
    html += "</tr></thead><tbody>";
    for row in rows {
        html += "<tr>";
        for cell in row {
            html += &format!("<td{}>{}</td>", class(is_number(Some(cell))), escape(cell.as_deref().unwrap_or("null")));
        }
        html += "</tr>";
    }
    html + "</tbody></table></div>"
}

/// Writes the page.
pub(crate) fn write(source: &Source<'_>, figures: &[Figure], out: &mut dyn Write) -> io::Result<()> {
    let title = escape(&source.table.name);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
         <h1>{title}</h1>\n<p>{} files in {} partitions, {} bytes. Made by lakefeed report.</p>\n</header>\n<main>\n",
        label(source.table.files as f64, 0),
        label(source.table.partitions as f64, 0),
        label(source.table.bytes as f64, 0)
    )?;
    for figure in figures {
        writeln!(out, "<section>\n<h2>{}</h2>\n<p>{}</p>\n{}\n</section>", escape(&figure.title), escape(&figure.note), figure.html)?;
    }
    out.write_all(b"</main>\n</body>\n</html>\n")?;
    out.flush()
}

/// Text as HTML, also inside an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
