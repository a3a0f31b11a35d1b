//! Lakes of Parquet files that DuckDB writes, read back through the public doors.

use std::path::Path;

use duckdb::Connection;
use lakefeed_core::ErrorKind;
use lakefeed_query::{Answer, Format, Lake, S3Settings, motor_queries, quote_literal};

/// Writes a lake: (path below it, the rows as SQL).
fn lake_of(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let connection = Connection::open_in_memory().expect("DuckDB");
    for (path, rows) in files {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        connection
            .execute_batch(&format!("COPY ({rows}) TO {} (FORMAT parquet)", quote_literal(file.to_str().expect("text"))))
            .expect("a file");
    }
    dir
}

fn open(dir: &Path) -> Lake {
    Lake::open(dir.to_str().expect("text"), &S3Settings::default()).expect("a lake")
}

fn run(lake: &Lake, sql: &str, format: Format) -> String {
    let mut out = Vec::new();
    lake.run(sql, format, &mut out).unwrap_or_else(|e| panic!("{sql}: {}", e.chain()));
    String::from_utf8(out).expect("text")
}

fn csv(lake: &Lake, sql: &str) -> String {
    run(lake, sql, Format::Csv)
}

/// Writes files of a lake as they are.
fn files_of(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (path, bytes) in files {
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(file, bytes).expect("written");
    }
    dir
}

#[test]
fn json_lines_are_tables_and_avro_files_are_named() {
    // A column that first comes after the rows of DuckDB's usual sample, and more files than it samples.
    let mut late: String = (0..25_000).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    late.push_str("{\"id\":25000,\"late\":1.5}\n");
    let mut files: Vec<(String, Vec<u8>)> =
        (0..40).map(|n| (format!("many/k={n}/f.json"), format!("{{\"c{n}\":1}}\n").into_bytes())).collect();
    files.push(("late/f.json".into(), late.into_bytes()));
    files.push((
        "odd/f.json".into(),
        b"{\"t\":\"2024-02-29T01:02:03.004Z\",\"o\":{\"l\":[1,2.5]},\"u\":\"\\u0000\\ud83d\\ude00\"}\n{}\n".to_vec(),
    ));
    files.push(("hidden/.lakefeed-0.tmp".into(), Vec::new()));
    files.push(("a/f.avro".into(), b"Obj\x01".to_vec()));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let dir = files_of(&files);
    let lake = open(dir.path());
    let unreadable: Vec<String> = lake.unreadable().iter().map(|u| format!("{}: {}", u.table, u.error.chain())).collect();
    assert!(unreadable.len() == 1 && unreadable[0].starts_with("a: the files of the table a are Avro"), "{unreadable:?}");
    for (sql, rows) in [
        ("SELECT count(*), max(late) FROM late", "count_star(),max(late)\n25001,1.5\n"),
        (
            "SELECT count(*), count(c0), count(c39), count(k), max(k) FROM many",
            "count_star(),count(c0),count(c39),count(k),max(k)\n40,1,1,40,39\n",
        ),
        (
            "SELECT typeof(t), o.l, length(u), count(*) OVER () AS n FROM odd LIMIT 1",
            "typeof(t),l,length(u),n\nTIMESTAMP,\"[1.0, 2.5]\",2,2\n",
        ),
    ] {
        assert_eq!(csv(&lake, sql), rows, "{sql}");
    }
}

#[test]
fn tables_are_views_whatever_their_folders_look_like() {
    let dir = lake_of(&[
        ("hive/b=2/a=x%20y/f.parquet", "SELECT 1 AS id, 9 AS b"),
        ("hive/b=null/a=z/f.parquet", "SELECT 2 AS id, 'late' AS extra"),
        ("hive/b=__HIVE_DEFAULT_PARTITION__/a=z/f.parquet", "SELECT 3 AS id"),
        ("hive/_tmp/a=z/f.parquet", "SELECT 4 AS id"),
        ("hive/b=5/a=z/.f.parquet", "SELECT 5 AS id"),
        ("bare/2024/01/f.parquet", "SELECT 1 AS id, 'mine' AS filename"),
        ("bare/2025/02/f.parquet", "SELECT 2 AS id, 'mine' AS filename"),
        ("mixed/f.parquet", "SELECT 1 AS id"),
        ("mixed/K=7/f.parquet", "SELECT 2 AS id"),
        ("mixed/k=NULL/day/f.parquet", "SELECT 3 AS id"),
        ("Odd [1]*'/d=2024-02-29/k=1/f=1.parquet", "SELECT 1 AS id"),
    ]);
    let lake = open(dir.path());
    assert!(lake.unreadable().is_empty(), "{:?}", lake.unreadable());
    for (sql, rows) in [
        ("FROM hive ORDER BY id", "id,extra,b,a\n1,,2,x y\n2,late,,z\n3,,,z\n"),
        ("SELECT typeof(b), typeof(a) FROM hive LIMIT 1", "typeof(b),typeof(a)\nBIGINT,VARCHAR\n"),
        ("FROM bare ORDER BY id", "id,filename,partition_0,partition_1\n1,mine,2024,01\n2,mine,2025,02\n"),
        ("SELECT id FROM bare WHERE partition_0 = 2025 AND partition_1 = '02'", "id\n2\n"),
        ("FROM mixed ORDER BY id", "id,k,partition_1\n1,,\n2,7,\n3,,day\n"),
        ("SELECT *, typeof(d) AS t FROM odd__1___", "id,d,k,t\n1,2024-02-29,1,DATE\n"),
    ] {
        assert_eq!(csv(&lake, sql), rows, "{sql}");
    }
}

#[test]
fn a_filter_on_a_partition_column_skips_files() {
    let dir = lake_of(&[
        ("t/k=1/f.parquet", "SELECT 1 AS id"),
        ("t/k=2/f.parquet", "SELECT 2 AS id"),
        ("u/1/f.parquet", "SELECT 1 AS id"),
        ("u/2/f.parquet", "SELECT 2 AS id"),
    ]);
    let lake = open(dir.path());
    for sql in ["EXPLAIN ANALYZE FROM t WHERE k = 2", "EXPLAIN ANALYZE FROM u WHERE partition_0 = 2"] {
        let plan = run(&lake, sql, Format::Table);
        assert!(plan.contains("Scanning Files: 1/2"), "{plan}");
    }
}

#[test]
fn a_root_whose_path_has_an_equals_sign_is_no_partition() {
    let dir = lake_of(&[("env=prod/lake/t/k=1/f.parquet", "SELECT 1 AS id")]);
    let lake = open(&dir.path().join("env=prod/lake"));
    assert_eq!(csv(&lake, "FROM t"), "id,k\n1,1\n");
    // The folder of a table is a lake too.
    let lake = open(&dir.path().join("env=prod/lake/t"));
    assert_eq!(csv(&lake, "FROM t"), "id,k\n1,1\n");
}

const EVERY_TYPE: &str = "SELECT 9223372036854775807 AS big, 170141183460469231731687303715884105727::HUGEINT AS huge, 12.340::DECIMAL(9, 3) AS dec, \
     1.5::FLOAT AS f, 'nan'::DOUBLE AS nan, DATE '2024-02-29' AS d, TIMESTAMP '2024-01-02 03:04:05.678901' AS ts, TIME '01:02:03' AS t, \
     INTERVAL 1 DAY AS i, [1, NULL] AS l, {'a': 'x', 'b': [1.5]} AS s, MAP {'k': 1} AS m, '\\xAA'::BLOB AS bl, \
     '00000000-0000-0000-0000-000000000001'::UUID AS u, 'e'::ENUM('e') AS e, true AS b, NULL AS n, 'a,\"b\"' AS txt";

#[test]
fn every_type_is_written_in_every_format() {
    let dir = lake_of(&[("t/f.parquet", "SELECT 1 AS id")]);
    let lake = open(dir.path());
    assert_eq!(
        csv(&lake, EVERY_TYPE),
        "big,huge,dec,f,nan,d,ts,t,i,l,s,m,bl,u,e,b,n,txt\n9223372036854775807,170141183460469231731687303715884105727,12.340,1.5,nan,2024-02-29,\
         2024-01-02 03:04:05.678901,01:02:03,1 day,\"[1, NULL]\",\"{'a': x, 'b': [1.5]}\",{k=1},\\xAA,00000000-0000-0000-0000-000000000001,e,true,,\
         \"a,\"\"b\"\"\"\n"
    );
    assert_eq!(
        run(&lake, EVERY_TYPE, Format::Json),
        "[{\"big\":9223372036854775807,\"huge\":170141183460469231731687303715884105727,\"dec\":12.34,\"f\":1.5,\"nan\":null,\
         \"d\":\"2024-02-29\",\"ts\":\"2024-01-02 03:04:05.678901\",\"t\":\"01:02:03\",\"i\":\"1 day\",\"l\":[1,null],\
         \"s\":{\"a\":\"x\",\"b\":[1.5]},\"m\":{\"k\":1},\"bl\":\"\\\\xAA\",\"u\":\"00000000-0000-0000-0000-000000000001\",\"e\":\"e\",\
         \"b\":true,\"n\":null,\"txt\":\"a,\\\"b\\\"\"}]\n"
    );
    let table = run(&lake, EVERY_TYPE, Format::Table);
    assert!(table.contains("170141183460469231731687303715884105727") && table.ends_with("1 row\n"), "{table}");
    let mut parquet = Vec::new();
    lake.run("SET threads = 1; SELECT 1 AS a", Format::Parquet, &mut parquet).expect("a file");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[test]
fn scripts_run_in_order_and_effects_print_nothing() {
    let dir = lake_of(&[("t/f.parquet", "SELECT 1 AS id")]);
    let lake = open(dir.path());
    let script = "CREATE TEMP TABLE x AS SELECT 3 AS a; -- made\nSET threads = 1; SELECT a FROM x; SELECT 1 AS a, 2 AS a WHERE false;";
    assert_eq!(csv(&lake, script), "a\n3\na,a_1\n");
    assert_eq!(run(&lake, "DROP TABLE x; SELECT 3 AS a; SELECT 1 WHERE false", Format::Json), "[{\"a\":3}]\n[]\n");
}

#[test]
fn statements_that_are_no_queries_are_answered_too() {
    let dir = lake_of(&[("t/f.parquet", "SELECT i AS id FROM range(5) r(i)")]);
    let lake = open(dir.path());
    assert_eq!(csv(&lake, "SHOW TABLES"), "name\nt\n");
    assert!(csv(&lake, "DESCRIBE t").contains("id,BIGINT"));
    assert!(csv(&lake, "SUMMARIZE t").contains("id,BIGINT,0,4"));
    assert!(csv(&lake, "PRAGMA table_info('t')").contains("0,id,BIGINT,false"));
    assert!(run(&lake, "PRAGMA table_info('t')", Format::Json).contains("\"name\":\"id\""));
    assert!(run(&lake, "EXPLAIN FROM t", Format::Table).contains("READ_PARQUET"));
    assert_eq!(csv(&lake, "PIVOT (SELECT id % 2 AS k, id FROM t) ON k USING sum(id)"), "0,1\n6,4\n");
    assert_eq!(csv(&lake, "WITH x AS (SELECT 1 AS a) FROM x -- the end"), "a\n1\n");
    assert_eq!(csv(&lake, "SELECT id FROM t ORDER BY id DESC LIMIT 2"), "id\n4\n3\n");
    assert_eq!(csv(&lake, "CREATE TEMP TABLE y(a INT); INSERT INTO y VALUES (1), (2); SELECT sum(a) AS a FROM y"), "a\n3\n");
    assert_eq!(
        lake.query("SELECT id, CAST(NULL AS INTEGER) AS n FROM t WHERE id = 3").expect("an answer"),
        Answer {
            columns: vec!["id".into(), "n".into()],
            types: vec!["BIGINT".into(), "INTEGER".into()],
            rows: vec![vec![Some("3".into()), None]]
        }
    );
}

#[test]
fn what_is_wrong_is_said_in_the_words_of_the_user() {
    let dir = lake_of(&[("t/f.parquet", "SELECT 1 AS id"), ("broken/f.parquet", "SELECT 1 AS id")]);
    std::fs::write(dir.path().join("broken/f.parquet"), "no parquet").expect("a file");
    let lake = open(dir.path());
    assert_eq!(lake.unreadable()[0].table, "broken");
    for (sql, says) in [
        ("SELECT nothing FROM t", "SELECT nothing FROM t"),
        ("SELEC 1", "syntax error"),
        ("SELECT 1) x, (SELECT 2", "syntax error"),
        ("SELECT CAST(id || 'x' AS INTEGER) FROM t", "Could not convert string '1x'"),
        ("SELECT error('mine') FROM range(100000) r(i) WHERE i > 99990", "mine"),
        ("SELECT ?", "arameter"),
        ("SELECT 'open", "unterminated"),
        ("SELECT 'a\0b'", "nul"),
        (" -- nothing", "no SQL statement"),
    ] {
        for format in [Format::Csv, Format::Json, Format::Table, Format::Parquet] {
            let error = lake.run(sql, format, &mut Vec::new()).expect_err(sql);
            assert!(error.chain().contains(says) && !error.chain().contains("lakefeed_answer"), "{sql} ({format:?}): {}", error.chain());
            assert_eq!(error.kind(), ErrorKind::Config);
        }
    }
}

#[test]
fn a_lake_that_is_not_there_is_a_clear_error() {
    let empty = tempfile::tempdir().expect("a folder");
    let file = empty.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    for (location, says) in [
        (text(&empty.path().join("missing")), "there is no lake at"),
        (text(&file), "is a file"),
        (text(empty.path()), "has no table"),
        (format!("file://{}", text(empty.path())), "has no table"),
        ("s3://".to_owned(), "names no bucket"),
        ("gs://bucket".to_owned(), "neither a directory"),
    ] {
        let error = Lake::open(&location, &S3Settings::default()).expect_err(&location);
        assert!(error.to_string().contains(says) && error.kind() == ErrorKind::Config, "{location}: {error:?}");
    }
}

#[test]
fn a_store_that_is_not_there_is_worth_another_try() {
    let settings = S3Settings {
        endpoint: Some("http://127.0.0.1:1".into()),
        access_key_id: Some("key".into()),
        secret_access_key: Some("hidden-secret".into()),
        ..S3Settings::default()
    };
    let error = Lake::open("s3://bucket/lake", &settings).expect_err("nothing listens");
    assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
    assert!(error.to_string().contains("can't reach the object store at http://127.0.0.1:1"), "{error:?}");
    assert!(!error.chain().contains("hidden-secret"));
}

#[test]
fn the_catalog_opens_in_plain_duckdb_and_is_made_again() {
    let dir = lake_of(&[("t/k=1/f.parquet", "SELECT 1 AS id"), ("u/1/f.parquet", "SELECT 1 AS id, 'x' AS filename")]);
    let file = dir.path().join("catalog.duckdb");
    open(dir.path()).write_catalog(&file).expect("a catalog");
    let rows = |sql: &str| -> Vec<(i64, i64)> {
        let connection = Connection::open(&file).expect("a database");
        let mut statement = connection.prepare(sql).expect("a view");
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).expect("rows");
        rows.collect::<Result<_, _>>().expect("rows")
    };
    assert_eq!(rows("SELECT id, k FROM t"), [(1, 1)]);
    assert_eq!(rows("SELECT id, partition_0 FROM u"), [(1, 1)]);
    // New files of known folders are there at once, new folders after the next crawl.
    let more = lake_of(&[("f.parquet", "SELECT 2 AS id")]);
    for folder in ["t/k=2", "new"] {
        std::fs::create_dir_all(dir.path().join(folder)).expect("a folder");
        std::fs::copy(more.path().join("f.parquet"), dir.path().join(folder).join("g.parquet")).expect("a file");
    }
    assert_eq!(rows("SELECT id, k FROM t ORDER BY id"), [(1, 1), (2, 2)]);
    open(dir.path()).write_catalog(&file).expect("a catalog");
    assert_eq!(rows("SELECT id, id FROM new"), [(2, 2)]);
    let names: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").map(|f| f.expect("a file").file_name()).collect();
    assert!(names.iter().all(|n| !n.to_string_lossy().contains(".tmp")), "{names:?}");
}

#[test]
fn the_summary_counts_what_is_there() {
    let dir = lake_of(&[("t/k=1/f.parquet", "SELECT i AS id FROM range(7) r(i)"), ("t/k=2/f.parquet", "SELECT 1 AS id")]);
    let summary = open(dir.path()).summary().expect("a summary");
    let cells: Vec<&str> = summary.rows[0].iter().flatten().map(String::as_str).collect();
    assert_eq!((cells.len(), &cells[..4], cells[5]), (6, &["t", "2", "k BIGINT", "2"][..], "8"));
    let bytes: u64 = ["1", "2"].map(|k| dir.path().join(format!("t/k={k}/f.parquet")).metadata().expect("a file").len()).iter().sum();
    assert_eq!(cells[4], bytes.to_string());
}

#[test]
fn a_database_of_the_user_is_not_overwritten() {
    let dir = lake_of(&[("t/f.parquet", "SELECT 1 AS id")]);
    let lake = open(dir.path());
    let file = dir.path().join("mine.duckdb");
    Connection::open(&file).and_then(|c| c.execute_batch("CREATE TABLE mine AS SELECT 42 AS a")).expect("a database");
    let error = lake.write_catalog(&file).expect_err("it has a table");
    assert!(error.to_string().contains("1 tables of its own"), "{error:?}");
    let text = dir.path().join("text.duckdb");
    std::fs::write(&text, "a text").expect("a file");
    assert!(lake.write_catalog(&text).expect_err("no database").to_string().contains("is no catalog"));
    assert_eq!(std::fs::read_to_string(&text).expect("a file"), "a text");
}

#[test]
fn the_motor_queries_answer() {
    let rows = |profile: i32| {
        format!(
            "SELECT i AS id, 1.0::DOUBLE AS u_q, 20.0::DOUBLE AS coolant, 30.0::DOUBLE AS stator_winding, 0.0::DOUBLE AS u_d, \
             25.0::DOUBLE AS stator_tooth, 100.0::DOUBLE AS motor_speed, 0.0::DOUBLE AS i_d, 0.0::DOUBLE AS i_q, ({profile} + i % 2)::DOUBLE AS pm, \
             22.0::DOUBLE AS stator_yoke, 19.0::DOUBLE AS ambient, 0.5::DOUBLE AS torque FROM range(20) r(i)"
        )
    };
    let dir = lake_of(&[
        ("pmsm_temperature.stream/profile_id=4/f.parquet", &rows(4)),
        ("pmsm_temperature.stream/profile_id=17/f.parquet", &rows(17)),
    ]);
    let lake = open(dir.path());
    let answers = motor_queries().map(|(_, sql)| csv(&lake, sql));
    let lines: Vec<Vec<&str>> = answers.iter().map(|a| a.lines().collect()).collect();
    assert_eq!(lines[0][0], "id,u_q,coolant,stator_winding,u_d,stator_tooth,motor_speed,i_d,i_q,pm,stator_yoke,ambient,torque,profile_id");
    assert_eq!((lines[0].len(), lines[0][1].starts_with("0,") && lines[0][1].ends_with(",4")), (11, true));
    assert_eq!(lines[1][..2], ["pm,sum_pm,sum_stator_tooth,sum_stator_winding", "4.0,40.0,250.0,300.0"]);
    assert_eq!(lines[2], ["profile_id,readings", "4,20", "17,20"]);
    assert_eq!(lines[3][1], "4,2000.0,400.0,380.0");
}
