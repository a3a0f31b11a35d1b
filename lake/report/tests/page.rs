//! Pages of small lakes.

use std::path::Path;

use lakefeed_query::{Format, Lake, S3Settings};

/// Writes a table of a lake, by a lake that is there already.
fn add(writer: &Lake, dir: &Path, path: &str, rows: &str) {
    let file = dir.join(path);
    std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
    let mut out = Vec::new();
    writer.run(rows, Format::Parquet, &mut out).unwrap_or_else(|e| panic!("{rows}: {}", e.chain()));
    std::fs::write(file, out).expect("a file");
}

/// A lake needs a table to be opened: an empty one, written by hand, is the smallest Parquet file that DuckDB reads.
fn writer() -> (tempfile::TempDir, Lake) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("seed")).expect("a folder");
    std::fs::write(dir.path().join("seed/no.parquet"), "not read: the table is only not there").expect("a file");
    let lake = open(dir.path());
    (dir, lake)
}

fn open(dir: &Path) -> Lake {
    Lake::open(dir.to_str().expect("text"), &S3Settings::default()).expect("a lake")
}

fn page(dir: &Path, table: Option<&str>) -> String {
    let mut out = Vec::new();
    lakefeed_report::write(&open(dir), table, &mut out).unwrap_or_else(|e| panic!("{}", e.chain()));
    String::from_utf8(out).expect("text")
}

fn motor(profile: i32, rows: i32, speed: i32) -> String {
    format!(
        "SELECT i AS id, 20 + sin(i / 40.0) AS coolant, 40 + i / 100.0 AS stator_winding, 35 + i / 120.0 AS stator_tooth, \
         30 + i / 140.0 AS stator_yoke, ({speed} * (1 + cos(i / 90.0)))::DOUBLE AS motor_speed, ({profile} + i / 150.0)::DOUBLE AS pm, \
         CASE WHEN i % 50 = 0 THEN 'nan'::DOUBLE WHEN i % 51 = 0 THEN NULL ELSE 24 + cos(i) END AS ambient FROM range({rows}) r(i)"
    )
}

#[test]
fn motor_data_get_their_charts() {
    let (_seed, writer) = writer();
    let dir = tempfile::tempdir().expect("a folder");
    add(&writer, dir.path(), "a/other.parquet", "SELECT 1 AS x");
    add(&writer, dir.path(), "motor/profile_id=4/f.parquet", &motor(4, 3000, 2000));
    add(&writer, dir.path(), "motor/profile_id=17/f.parquet", &motor(17, 500, 2000));
    let html = page(dir.path(), None);
    for part in [
        "<h1>motor</h1>",
        "Readings per profile",
        "Stator temperatures, profile 4",
        "Magnet temperature and motor speed, profile 4",
        "Coolant against magnet temperature",
        "Ambient against magnet temperature",
        "Ambient against coolant temperature",
        "Magnet temperature per profile",
        "pm [°C]",
        "motor_speed [rpm]",
        "time [min]",
        "<td class=\"number\">3000</td>",
        "A sample of 1500 readings",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    assert_eq!(html.matches("<svg").count(), 8);
    // The session is drawn as 600 means: one move and 599 lines.
    let line = html.split("class=\"line s0\" d=\"").nth(1).and_then(|p| p.split('"').next()).expect("a line");
    assert_eq!(line.matches('L').count(), 599);
    assert!(!html.contains("NaN") && !html.contains("inf ") && !html.contains("<script") && !html.contains("http"));
    assert_eq!(html, page(dir.path(), Some("MOTOR")), "the same data give the same page");
}

#[test]
fn standardised_motor_data_have_no_physical_units() {
    let (_seed, writer) = writer();
    let dir = tempfile::tempdir().expect("a folder");
    add(&writer, dir.path(), "motor/profile_id=4/f.parquet", &motor(1, 3, 1));
    let html = page(dir.path(), None);
    assert!(html.contains("pm [standardised]") && !html.contains("rpm"));
}

#[test]
fn any_other_table_gets_general_charts_with_everything_escaped() {
    let (_seed, writer) = writer();
    let dir = tempfile::tempdir().expect("a folder");
    for value in ["%3Cb%3E%26%22", "plain"] {
        add(&writer, dir.path(), &format!("sales/shop={value}/f.parquet"), "SELECT i AS \"<n>\", 'x' AS t FROM range(3) r(i)");
    }
    let html = page(dir.path(), Some("sales"));
    for part in [
        "Rows by shop",
        "&lt;b&gt;&amp;&quot;",
        "<td>&lt;n&gt;</td>",
        "6 rows; 1 of 3 columns hold numbers",
        "<td class=\"number\">1.0</td>",
    ] {
        assert!(html.contains(part), "{part} is missing in {html}");
    }
    assert!(!html.contains("<b>") && !html.contains("<n>"));
}

#[test]
fn a_table_that_is_not_there_is_named_with_those_that_are() {
    let (_seed, writer) = writer();
    let dir = tempfile::tempdir().expect("a folder");
    add(&writer, dir.path(), "sales/f.parquet", "SELECT 1 AS a");
    let error = lakefeed_report::write(&open(dir.path()), Some("sale"), &mut Vec::new()).expect_err("there is none");
    assert_eq!(error.to_string(), "there is no readable table 'sale' in the lake; it has sales");
}
