//! `lakefeed demo`.

use std::time::Duration;

use lakefeed_kit::run;

use crate::motor::lakefeed;

#[test]
fn the_demo_answers_right_twice_in_a_row() {
    let dir = tempfile::tempdir().expect("temporary folder");
    let home = dir.path().join("demo");
    let home = home.to_string_lossy();
    let mut answers = Vec::new();
    for _ in 0..2 {
        let text = run(&mut lakefeed(&["demo", "--rows", "20000", "--dir", &home]), Duration::from_secs(120)).success();
        for stage in ["csv", "dynamodb", "s3 sink"] {
            let line = text.lines().find(|line| line.starts_with(stage)).unwrap_or_else(|| panic!("a line for {stage}:\n{text}"));
            assert!(line.contains("20000"), "{line}");
        }
        let start = text.find("The first readings").expect("the answers");
        let end = text.find("The lake stays in").expect("the next steps");
        answers.push(text[start..end].split_whitespace().map(rounded).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], answers[1], "the second run starts clean");
    let count =
        ["sql", "--lake", &format!("{home}/lake"), "--format", "csv", "SELECT count(*), count(DISTINCT id) FROM pmsm_temperature_stream"];
    let count = run(&mut lakefeed(&count), Duration::from_secs(60)).success();
    assert_eq!(count.lines().nth(1), Some("20000,20000"));
}

#[test]
fn the_demo_leaves_a_folder_alone_that_is_not_its_own() {
    let dir = tempfile::tempdir().expect("temporary folder");
    std::fs::write(dir.path().join("thesis.txt"), "years of work").expect("written");
    let output = run(&mut lakefeed(&["demo", "--dir", &dir.path().to_string_lossy()]), Duration::from_secs(60)).code(1);
    assert!(output.stderr.contains("not of an earlier demo"), "{}", output.stderr);
    assert!(dir.path().join("thesis.txt").exists());
}

/// A number without its last digits: sums of doubles depend on the order, and DuckDB adds on two threads.
fn rounded(word: &str) -> String {
    word.parse::<f64>().map_or_else(|_| word.to_owned(), |number| format!("{number:.9e}"))
}
