//! What closes files: each cause by itself, the first of several, and never a file of another lake partition.

use std::sync::Arc;

use crate::stage::Stage;
use arrow_array::StringArray;
use lakefeed_core::{Assignment, TopicPartition};

enum Step {
    /// A batch of rows: lake partition and timestamp.
    Put(&'static [(&'static str, i64)]),
    /// Milliseconds pass.
    Wait(i64),
}

use Step::{Put, Wait};

struct Case {
    what: &'static str,
    keys: &'static str,
    steps: &'static [Step],
    /// Files that are closed by then, and those that come when the partition is given up: lake partition and first offset.
    closed: &'static [(&'static str, i64)],
    rest: &'static [(&'static str, i64)],
}

const CASES: &[Case] = &[
    Case {
        what: "nothing but an end closes small files when all is switched off",
        keys: "rotate.age.ms=-1",
        steps: &[Put(&[("a", 0), ("b", 9_000_000), ("a", -1)]), Wait(900_000_000)],
        closed: &[],
        rest: &[("a", 0), ("b", 1)],
    },
    Case {
        what: "rows are counted in each file by itself",
        keys: "flush.size=3",
        steps: &[Put(&[("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 0), ("a", 0), ("a", 0), ("a", 0), ("a", 0)])],
        closed: &[("a", 0), ("a", 5)],
        rest: &[("a", 8), ("b", 1)],
    },
    Case { what: "bytes", keys: "flush.bytes=1", steps: &[Put(&[("a", 0)]), Put(&[("a", 0)])], closed: &[("a", 0), ("a", 1)], rest: &[] },
    Case {
        what: "event time: a row that is late closes nothing, and none closes another's file",
        keys: "rotate.interval.ms=1000",
        steps: &[Put(&[("a", 0), ("b", 0), ("a", 999)]), Put(&[("b", -50_000), ("a", -50_000), ("a", 1000), ("a", 0)]), Wait(5000)],
        closed: &[("a", 0)],
        rest: &[("a", 5), ("b", 1)],
    },
    Case {
        what: "age, from a file's first row on",
        keys: "rotate.age.ms=1000",
        steps: &[Put(&[("a", 0)]), Wait(500), Put(&[("a", 0), ("b", 0)]), Wait(500)],
        closed: &[("a", 0)],
        rest: &[("b", 2)],
    },
    Case {
        what: "idle time, from a file's last row on",
        keys: "rotate.idle.ms=1000",
        steps: &[Put(&[("a", 0), ("b", 0)]), Wait(600), Put(&[("a", 0)]), Wait(600)],
        closed: &[("b", 1)],
        rest: &[("a", 0)],
    },
    Case {
        what: "the wall clock's grid: not yet at .999",
        keys: "rotate.schedule.interval.ms=1000",
        steps: &[Put(&[("a", 0)]), Wait(599)],
        closed: &[],
        rest: &[("a", 0)],
    },
    Case {
        what: "the wall clock's grid: at the full second, and a burst after a gap is one file",
        keys: "rotate.schedule.interval.ms=1000",
        steps: &[Put(&[("a", 0)]), Wait(600), Wait(10_000), Put(&[("b", 0)]), Put(&[("b", 0)])],
        closed: &[("a", 0)],
        rest: &[("b", 1)],
    },
    Case {
        what: "the first of several: age, then rows",
        keys: "rotate.age.ms=1000 flush.size=2",
        steps: &[Put(&[("a", 0)]), Wait(1000), Put(&[("a", 0), ("a", 0), ("a", 0)])],
        closed: &[("a", 0), ("a", 1)],
        rest: &[("a", 3)],
    },
    Case {
        what: "the first of several: rows, then event time",
        keys: "rotate.interval.ms=10 flush.size=2",
        steps: &[Put(&[("a", 0), ("a", 1), ("a", 2), ("a", 12)])],
        closed: &[("a", 0), ("a", 2)],
        rest: &[("a", 3)],
    },
];

#[test]
fn files_close_for_their_own_causes() {
    for case in CASES {
        let stage = Stage::new();
        // What the case does not name is switched off.
        let base = "partition.by=e rotate.age.ms=-1";
        let keys = format!("{base} {}", case.keys);
        let mut sink = stage.sink(&keys, 0);
        let mut offset = 0;
        for step in case.steps {
            match step {
                Wait(ms) => stage.clock.advance(*ms),
                Put(rows) => {
                    let values: StringArray = rows.iter().map(|(e, _)| Some(*e)).collect();
                    let times: Vec<i64> = rows.iter().map(|(_, ms)| 1_600_000_000_000 + ms).collect();
                    assert!(sink.put(offset, &times, vec![("e", Arc::new(values))]).is_empty());
                    offset += rows.len() as i64;
                }
            }
            // The answer about a new lake partition comes beside: rows are set aside until then.
            for _ in 0..20 {
                sink.poll();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        let names = |files: &[(&str, i64)]| {
            let mut names: Vec<String> = files.iter().map(|(e, first)| format!("t/e={e}/t+0+{first:010}.snappy.parquet")).collect();
            names.sort();
            names
        };
        sink.expect_files(&names(case.closed), case.what);
        assert_eq!(sink.finish(), offset, "{}", case.what);
        assert_eq!(stage.files(), names(&[case.closed, case.rest].concat()), "{}: at the end", case.what);
    }
}

#[test]
fn no_file_is_idle_while_its_partition_waits_for_its_turn() {
    let stage = Stage::new();
    let mut sink = stage.sink("partition.by=e rotate.age.ms=-1 rotate.idle.ms=1000", 0);
    let partitions = [stage.partition.clone(), TopicPartition::new("t", 1)];
    sink.sink.assigned(&[Assignment { partition: partitions[1].clone(), position: 0 }]).expect("assigned");
    sink.caught_up.clear();
    let mut next = [0, 0];
    let mut put = |sink: &mut crate::stage::Driven<'_>, of: usize, e: &str| {
        let row = StringArray::from(vec![e]);
        assert!(sink.put_of(partitions[of].clone(), next[of], &[0], vec![("e", Arc::new(row))]).is_empty());
        sink.poll();
        next[of] += 1;
    };
    // Turns of five seconds: the wall clock alone would close each file after its first batch.
    for turn in 0..10 {
        put(&mut sink, turn % 2, if turn < 4 { "a" } else { "b" });
        stage.clock.advance(5000);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(stage.files(), Vec::<String>::new(), "both partitions have rows all the time, and few batches came without an a");
    sink.caught_up.push(partitions[1].clone());
    let mut files = ["t/e=a/t+1+0000000000", "t/e=b/t+1+0000000002"].map(|name| format!("{name}.snappy.parquet")).to_vec();
    sink.expect_files(&files, "its rows are all there are");
    for _ in 0..8 {
        stage.clock.advance(100);
        put(&mut sink, 0, "b");
    }
    files.insert(0, "t/e=a/t+0+0000000000.snappy.parquet".to_owned());
    sink.expect_files(&files, "many batches came without an a");
}
