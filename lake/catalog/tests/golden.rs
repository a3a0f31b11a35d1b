//! Listings and the tables that come out of them.

use lakefeed_catalog::{Catalog, escape_glob, quote_identifier, quote_literal};

/// (the case, the root, the objects, the tables as `name(partition columns) files/partitions`).
type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("an empty lake has no tables", "/lake", &[], &[]),
    ("the sink's layout", "/lake/topics",
        &["pmsm_temperature.stream/profile_id=17/t+0+0000000000.snappy.parquet", "pmsm_temperature.stream/profile_id=4/t+0+0000000003.snappy.parquet"],
        &["pmsm_temperature_stream(profile_id BIGINT) 2/2"]),
    ("Glue: sales by year, month and day below the include path", "s3://sales",
        &["year=2019/month=Jan/day=1/a.parquet", "year=2019/month=Jan/day=2/a.parquet", "year=2019/month=Feb/day=1/a.parquet", "year=2019/month=Feb/day=2/a.parquet"],
        &["sales(year BIGINT, month VARCHAR, day BIGINT) 4/4"]),
    ("Glue: the default folders of Firehose", "s3://b",
        &["data/2018/08/27/10/a.parquet", "data/2018/08/27/11/a.parquet"],
        &["data(partition_0 BIGINT, partition_1 VARCHAR, partition_2 BIGINT, partition_3 BIGINT) 2/2"]),
    ("several tables, files on several levels", "/lake",
        &["b/x.parquet", "a/x.parquet", "a/y.parquet", "a/k=1/x.parquet"],
        &["a(k BIGINT) 3/2", "b() 1/1"]),
    ("files in the root and beside other tables", "/data/My Lake",
        &["x.parquet", "t/x.parquet"],
        &["my_lake() 1/1", "t() 1/1"]),
    ("what begins with _ or . is not there", "/lake",
        &["t/x.parquet", "_tmp/x.parquet", "t/_tmp/x.parquet", "t/.x.parquet", "t/_x.parquet", ".git/x.parquet", "t/k=1/_SUCCESS"],
        &["t() 1/1"]),
    ("a format is a table", "/lake",
        &["t/a.parquet", "t/k=1/b.json", "t/k=1/c.json.gz", "t/d.avro", "j/a.json.zst", "a/k=2/x.avro"],
        &["a(k BIGINT) 1/1", "j() 1/1", "t() 1/1", "t_avro() 1/1", "t_json(k BIGINT) 2/1"]),
    ("other files do not count", "/lake", &["t/x.csv", "t/x.jsonx", "t/x.gz", "catalog.duckdb", "t/parquet", "u/x.parquet.tmp", "v/a.snappy.parquet", "w//a.parquet"],
        &["v() 1/1"]),
    ("types: leading zeros, signs and what does not fit stay text", "/lake",
        &["a/k=01/x.parquet", "b/k=+1/x.parquet", "c/k=-1/x.parquet", "d/k=9223372036854775807/x.parquet", "e/k=9223372036854775808/x.parquet", "f/k=-0/x.parquet", "g/k=/x.parquet"],
        &["a(k VARCHAR) 1/1", "b(k VARCHAR) 1/1", "c(k BIGINT) 1/1", "d(k BIGINT) 1/1", "e(k VARCHAR) 1/1", "f(k VARCHAR) 1/1", "g(k VARCHAR) 1/1"]),
    ("types: dates of the calendar", "/lake",
        &["a/d=2024-02-29/x.parquet", "b/d=2023-02-29/x.parquet", "c/d=2024-01-01/x.parquet", "c/d=today/x.parquet", "d/d=1900-02-29/x.parquet", "e/d=24-01-01/x.parquet"],
        &["a(d DATE) 1/1", "b(d VARCHAR) 1/1", "c(d VARCHAR) 2/2", "d(d VARCHAR) 1/1", "e(d VARCHAR) 1/1"]),
    ("types: null markers do not count", "/lake",
        &["a/k=null/x.parquet", "a/k=5/x.parquet", "b/k=__HIVE_DEFAULT_PARTITION__/x.parquet", "b/k=5/x.parquet", "c/k=NULL/x.parquet"],
        &["a(k BIGINT) 2/2", "b(k BIGINT) 2/2", "c(k VARCHAR) 1/1"]),
    ("names are lower case, keys are decoded", "/lake",
        &["T/Year=2024/My%20Key=a/x.parquet"],
        &["t(year BIGINT, my key VARCHAR) 1/1"]),
    ("a clash of names gets a suffix", "/lake",
        &["a b/x.parquet", "a-b/x.parquet", "A_B/x.parquet"],
        &["a_b() 1/1", "a_b_10a3f9f2() 1/1", "a_b_2a89df63() 1/1"]),
    ("the same key in two spellings and on two levels is one column", "/lake",
        &["t/K=1/x.parquet", "t/a/k=2/x.parquet"],
        &["t(k BIGINT, partition_0 VARCHAR) 2/2"]),
];

fn shown(catalog: &Catalog) -> Vec<String> {
    let columns = |t: &lakefeed_catalog::Table| {
        t.partition_columns.iter().map(|c| format!("{} {}", c.name, c.sql_type)).collect::<Vec<_>>().join(", ")
    };
    catalog.tables.iter().map(|t| format!("{}({}) {}/{}", t.name, columns(t), t.files, t.partitions)).collect()
}

fn find(root: &str, objects: &[&str]) -> Catalog {
    Catalog::find(root, objects.iter().map(|path| (*path, 100)))
}

#[test]
fn tables_are_found_as_the_glue_crawler_finds_them() {
    for (case, root, objects, tables) in CASES {
        assert_eq!(shown(&find(root, objects)), *tables, "{case}");
    }
    assert_eq!(find("/lake", &["t/a.parquet", "t/k=1/b.parquet"]).tables[0].bytes, 200);
}

#[test]
fn views_read_what_was_found() {
    let cases = [
        (
            "/lake",
            vec!["t/x.parquet"],
            "SELECT * FROM read_parquet('/lake/t/[!_.]*.parquet', union_by_name = true, hive_partitioning = false)",
        ),
        (
            "s3://b/it's",
            vec!["t[1]/Year=2024/m=01/x.parquet"],
            "SELECT * EXCLUDE (\"Year\", \"m\"), \"Year\" AS \"year\", \"m\" FROM read_parquet('s3://b/it''s/t[[]1]/Year=*/m=*/[!_.]*.parquet', \
             union_by_name = true, hive_partitioning = true, hive_types = {'Year': BIGINT, 'm': VARCHAR})",
        ),
        (
            "/a.b",
            vec!["t/2024/x.parquet"],
            "SELECT COLUMNS(lambda c: lower(c) NOT IN ('partition_0', 'filename')), CAST(url_decode(nullif(nullif(nullif(\
             regexp_extract(\"filename\", '^/a\\.b/t/(?:[^/]*/){0}([^/]*)/', 1), ''), 'null'), '__HIVE_DEFAULT_PARTITION__')) AS BIGINT) \
             AS \"partition_0\" FROM read_parquet('/a.b/t/[!_.]*/[!_.]*.parquet', union_by_name = true, hive_partitioning = false, filename = true)",
        ),
    ];
    for (root, objects, sql) in cases {
        assert_eq!(find(root, &objects).tables[0].select("filename"), sql);
    }
    let lines = find("/l", &["t/k=1/a.json", "t/k=1/b.json.gz"]).tables.remove(0).select("p");
    assert_eq!(
        lines,
        "SELECT * EXCLUDE (\"k\"), \"k\" FROM read_json(['/l/t/k=*/[!_.]*.json', '/l/t/k=*/[!_.]*.json.gz'], union_by_name = true, \
         format = 'newline_delimited', records = true, sample_size = -1, map_inference_threshold = -1, field_appearance_threshold = 0, hive_partitioning = true, hive_types = {'k': BIGINT})"
    );
    let mixed = find("/l", &["k=NULL/x.parquet", "x.parquet", "t/x.parquet"]).tables.remove(0).select("p");
    assert!(mixed.contains("['/l/[!_.]*.parquet', '/l/[!_.]*=*/[!_.]*.parquet']"), "{mixed}");
    assert!(mixed.contains("'NULL')") && mixed.contains("filename = 'p'"), "{mixed}");
}

#[test]
fn names_and_texts_are_quoted() {
    assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
    assert_eq!(quote_literal("it's"), "'it''s'");
    assert_eq!(escape_glob("a*b?[c]\\"), "a[*]b[?][[]c][\\]");
}
