//! The sink in chaos: while rows go on coming, workers are killed, frozen, stopped and started again, each behind a proxy that
//! misbehaves. At the end another reader, pyarrow, must find every row once, in the order of the offsets.
//!
//! `KILLS=N` and `CHAOS_SEED=S` choose how long it lasts and its schedule; the seed is printed, and so is a line for each round.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lakefeed_kit::{Fault, Process, Proxy, kafka, minio, python_with, run, wait_until};

use crate::motor::lakefeed;
use crate::scene::{Dice, MISSED_SOON, PATIENCE, Scene, stop};

const PARTITIONS: u32 = 3;
/// Longer than the session of 6 s.
const FROZEN: Duration = Duration::from_millis(8_000);
/// For all that was left behind, when all is calm.
const CATCH_UP: Duration = Duration::from_secs(120);
/// One row in eight is wide, each another one (or a dictionary would make it small): backlogs of its lake partition make multipart uploads,
/// the others single requests.
const WIDE: usize = 25_000;
const KEYS: &str = "partition.by=e\nflush.size=250\nrotate.age.ms=1000\nparquet.codec=none\nparquet.row.group.bytes=1048576\n\
                    s3.part.size=5242880\n";

/// Every file with what its footer says, against the others: rows, order, overlaps. Prints what is wrong.
const READ: &str = r#"
import sys, os, json, collections
from concurrent.futures import ThreadPoolExecutor
import pyarrow.parquet as pq
from pyarrow import fs
bucket, rows = sys.argv[1], int(sys.argv[2])
s3 = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"].split("://", 1)[1], scheme="http", region="us-east-1",
                     access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
paths = sorted(i.path for i in s3.get_file_info(fs.FileSelector(bucket, recursive=True)) if i.path.endswith(".parquet"))
def read(path):
    file = pq.ParquetFile(s3.open_input_file(path))
    pairs = {k.decode(): v.decode() for k, v in file.metadata.metadata.items() if k.startswith(b"lakefeed-")}
    ids = file.read(columns=["id"]).column("id").to_pylist()
    return path, int(pairs["lakefeed-first-offset"]), int(pairs["lakefeed-last-offset"]), int(pairs["lakefeed-records"]), ids
with ThreadPoolExecutor(4) as pool:
    files = list(pool.map(read, paths))
wrong, seen, lakes = [], collections.Counter(), collections.defaultdict(list)
for path, first, last, records, ids in files:
    name = path.rsplit("/", 1)[-1].split("+")
    if int(name[2].split(".")[0]) != first or records != len(ids) or not first <= last or ids != sorted(ids):
        wrong.append(f"{path}: first {first}, last {last}, records {records}, rows {len(ids)}")
    lakes[path.rsplit("/", 1)[0], name[1]].append((first, last, ids[0], ids[-1], path))
    seen.update(ids)
for of_lake in lakes.values():
    of_lake.sort()
    for one, two in zip(of_lake, of_lake[1:]):
        if one[1] >= two[0] or one[3] >= two[2]:
            wrong.append(f"{one[4]} to {one[1]} overlaps {two[4]}")
double = sorted(i for i, n in seen.items() if n != 1)
missing = sorted(set(range(rows)) - seen.keys())
if double: wrong.append(f"{len(double)} ids came twice, such as {double[:5]}")
if missing: wrong.append(f"{len(missing)} ids are missing, such as {missing[:5]}")
print(json.dumps({"files": len(files), "rows": sum(seen.values()), "ids": len(seen), "wrong": wrong[:10]}))
"#;

/// A worker with a proxy of its own.
struct Member {
    name: String,
    /// It keeps its place in the group through a restart (`group.instance.id`).
    fixed: Option<u64>,
    process: Process,
    proxy: Proxy,
    started: Instant,
    fault_ends: Option<Instant>,
    /// Its store misbehaved, or it was frozen: its first object says nothing.
    disturbed: bool,
}

impl Member {
    /// Whether a successor has taken its fixed place.
    fn is_fenced(&self) -> bool {
        self.fixed.is_some() && self.process.log().contains("FencedInstanceId")
    }

    /// From its start to its first object.
    fn recovery(&self) -> Option<Duration> {
        self.proxy.objects().first().map(|first| *first - self.started)
    }
}

#[derive(Default)]
struct Figures {
    kills: u64,
    stops: u64,
    freezes: u64,
    ended: u64,
    faults: u64,
    objects: usize,
    parts: u64,
    /// Of workers that keep their place, and of those that wait for the sessions of the dead.
    recovery: [Vec<Duration>; 2],
}

struct Chaos<'a> {
    scene: &'a Scene,
    dice: Dice,
    members: Vec<Member>,
    frozen: Vec<(Member, Instant)>,
    names: u64,
    figures: Figures,
    began: Instant,
}

const FAULTS: [(Fault, u64); 8] = [
    (Fault::Refuse, 2_000),
    (Fault::LoseAnswer, 1_500),
    (Fault::ResetInBody, 1_500),
    (Fault::Answer(500, "InternalError"), 2_000),
    (Fault::Answer(503, "SlowDown"), 3_000),
    (Fault::Answer(403, "AccessDenied"), 2_000),
    (Fault::Stall, 3_000),
    (Fault::Slow, 3_000),
];

impl Chaos<'_> {
    fn below(&mut self, limit: usize) -> usize {
        self.dice.below(limit as u64) as usize
    }

    fn start(&mut self) {
        self.names += 1;
        let name = format!("w{}", self.names);
        let taken: Vec<u64> = self.members.iter().filter_map(|m| m.fixed).collect();
        let free = (0..2).find(|n| !taken.contains(n)).filter(|_| self.dice.below(2) == 0);
        let keys = free.map(|n| format!("consumer.override.group.instance.id=fixed-{n}\n")).unwrap_or_default();
        let proxy = Proxy::start(&minio().endpoint);
        let process = self.scene.worker_at(&name, &proxy.endpoint, &(KEYS.to_owned() + MISSED_SOON + &keys));
        self.members.push(Member { name, fixed: free, process, proxy, started: Instant::now(), fault_ends: None, disturbed: false });
    }

    /// Takes a worker out of the books. Its connections end with it: MinIO locks an object while a conditional PUT of it is under way, and what a
    /// slow proxy had left of the dead worker's would hold up its successors for minutes.
    fn count(&mut self, member: &Member) {
        member.proxy.set(Fault::None);
        self.figures.faults += member.proxy.faults();
        self.figures.parts += member.proxy.parts();
        self.figures.objects += member.proxy.objects().len();
        if let Some(recovery) = member.recovery().filter(|_| !member.disturbed) {
            self.figures.recovery[usize::from(member.fixed.is_none())].push(recovery);
        }
    }

    /// What goes on by itself: faults end, the frozen wake up, workers that have ended are taken away.
    fn tick(&mut self) {
        let now = Instant::now();
        for member in &mut self.members {
            if member.fault_ends.is_some_and(|at| at <= now) {
                member.proxy.set(Fault::None);
                member.fault_ends = None;
            }
        }
        while let Some(due) = self.frozen.iter().position(|(_, at)| *at <= now) {
            let (mut member, _) = self.frozen.swap_remove(due);
            member.process.signal("CONT");
            self.members.push(member);
        }
        while let Some(at) = self.members.iter_mut().position(|m| !m.process.is_running()) {
            let member = self.members.swap_remove(at);
            assert_known_end(&member);
            self.figures.ended += 1;
            self.count(&member);
        }
    }

    fn pause(&mut self, most: Duration, mut until: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + most;
        while Instant::now() < end && !until(self) {
            thread::sleep(Duration::from_millis(5));
            self.tick();
        }
    }

    fn rest(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(self.dice.below(most_ms));
        self.pause(pause, |_| false);
    }

    fn parts(&self) -> u64 {
        self.members.iter().map(|m| m.proxy.parts()).sum()
    }

    fn objects(&self) -> usize {
        self.members.iter().map(|m| m.proxy.objects().len()).sum()
    }

    fn kill(&mut self) -> String {
        if self.members.is_empty() {
            return "nobody is left".to_owned();
        }
        let victim = self.below(self.members.len());
        let mut member = self.members.swap_remove(victim);
        member.process.kill();
        self.figures.kills += 1;
        self.count(&member);
        member.name
    }

    fn misbehave(&mut self) -> String {
        let (fault, most_ms) = FAULTS[self.below(FAULTS.len())];
        let length = Duration::from_millis(200 + self.dice.below(most_ms));
        if self.members.is_empty() {
            return String::new();
        }
        let victim = self.below(self.members.len());
        let member = &mut self.members[victim];
        member.proxy.set(fault);
        member.fault_ends = Some(Instant::now() + length);
        member.disturbed |= member.proxy.objects().is_empty();
        format!("; {fault:?} for {} ms before {}", length.as_millis(), member.name)
    }

    fn round(&mut self) -> String {
        self.tick();
        let wanted = 1 + self.below(3);
        while self.members.len() < wanted {
            self.start();
        }
        self.rest(2_500);
        let fault = if self.dice.below(2) == 0 { self.misbehave() } else { String::new() };
        let action = match self.dice.below(9) {
            0 | 1 => {
                self.rest(1_500);
                format!("kill {}", self.kill())
            }
            2 | 3 => {
                let before = self.parts();
                self.pause(Duration::from_secs(3), |chaos| chaos.parts() > before);
                self.rest(100);
                format!("kill {} in parts", self.kill())
            }
            4 => {
                let before = self.objects();
                self.pause(Duration::from_secs(3), |chaos| chaos.objects() > before);
                self.rest(20);
                format!("kill {} after an object", self.kill())
            }
            5 => {
                self.start();
                self.rest(800);
                format!("kill {} while one starts", self.kill())
            }
            6 => {
                self.start();
                let newest = self.names;
                let assigned = |m: &Member| m.name == format!("w{newest}") && m.process.log().contains("Assigned");
                self.pause(Duration::from_secs(4), |chaos| chaos.members.iter().any(assigned));
                self.rest(300);
                format!("kill {} in a rebalance", self.kill())
            }
            7 => self.stop_one(),
            _ => self.freeze(),
        };
        action + &fault
    }

    fn stop_one(&mut self) -> String {
        let Some(mut member) = self.members.pop() else { return String::new() };
        let status = member.process.terminate(PATIENCE);
        // Before it listens for signals it holds nothing, and ends as any program does.
        let early = status.signal() == Some(15) && !member.process.log().contains("Assigned");
        // One that was frozen may have lost its fixed place a moment before.
        let fenced = member.is_fenced();
        assert!(status.success() || status.code() == Some(3) || early || fenced, "{status}: {}", member.process);
        self.figures.stops += 1;
        self.count(&member);
        format!("stop {}", member.name)
    }

    fn freeze(&mut self) -> String {
        if self.members.is_empty() {
            return String::new();
        }
        let victim = self.below(self.members.len());
        let mut member = self.members.swap_remove(victim);
        member.process.signal("STOP");
        member.disturbed |= member.proxy.objects().is_empty();
        let said = format!("freeze {}", member.name);
        self.frozen.push((member, Instant::now() + FROZEN));
        self.figures.freezes += 1;
        said
    }

    /// No more faults; one worker and those that are left finish.
    fn calm(&mut self, rows: u64) {
        for member in self.members.iter().chain(self.frozen.iter().map(|(m, _)| m)) {
            member.proxy.set(Fault::None);
        }
        while !self.frozen.is_empty() {
            self.pause(FROZEN, |chaos| chaos.frozen.is_empty());
        }
        let began = Instant::now();
        while self.scene.committed() < rows {
            assert!(began.elapsed() < CATCH_UP, "{} of {rows} records are committed after {CATCH_UP:?} of calm", self.scene.committed());
            self.tick();
            if self.members.is_empty() {
                self.start();
            }
        }
        while let Some(mut member) = self.members.pop() {
            stop(&mut member.process);
            self.count(&member);
        }
    }
}

/// A worker may end by itself only because its store failed while it started, or because a successor has taken its fixed place.
fn assert_known_end(member: &Member) {
    let log = member.process.log();
    assert!(!log.contains("panicked"), "{}", member.process);
    let known = ["can't reach", "failed: HTTP", "does not answer in time", "broke off"];
    let last = log.lines().rfind(|line| line.starts_with("lakefeed: ")).unwrap_or_default();
    assert!(member.is_fenced() || known.iter().any(|text| last.contains(text)), "ended with '{last}': {}", member.process);
}

/// Goes on producing until it is told to stop.
fn produce(scene: &Scene, stop: &AtomicBool, produced: &AtomicU64) {
    let file = scene.dir.path().join("chaos.csv");
    let path = file.to_string_lossy();
    let wide = "w".repeat(WIDE);
    while !stop.load(Ordering::Acquire) {
        let first = produced.load(Ordering::Acquire);
        let row = |id: u64| {
            if id.is_multiple_of(8) { format!("{id},0,{id}{wide}\n") } else { format!("{id},{},narrow\n", 1 + id % 3) }
        };
        let rows: String = (first..first + 2_000).map(row).collect();
        fs::write(&file, format!("id,e,text\n{rows}")).expect("written");
        let mut command =
            lakefeed(&["produce", "csv", "--topic", &scene.topic, "--bootstrap-servers", &kafka().bootstrap, "--key", "id", &path]);
        run(&mut command, PATIENCE).success();
        produced.store(first + 2_000, Ordering::Release);
        thread::sleep(Duration::from_millis(200));
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number")))
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or("-".to_owned(), |time| format!("{} ms", time.as_millis()));
    format!("median {}, max {} (of {})", ms(times.get(times.len() / 2)), ms(times.last()), times.len())
}

#[test]
fn chaos_loses_and_doubles_nothing() {
    let kills = number("KILLS").unwrap_or(5);
    let now_ms = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis() as u64;
    let seed = number("CHAOS_SEED").unwrap_or(now_ms);
    println!("KILLS={kills} CHAOS_SEED={seed}");
    let scene = Scene::s3("chaos", PARTITIONS, &minio().endpoint);
    let (stop_producing, produced) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut chaos = Chaos {
        scene: &scene,
        dice: Dice(seed),
        members: Vec::new(),
        frozen: Vec::new(),
        names: 0,
        figures: Figures::default(),
        began: Instant::now(),
    };
    thread::scope(|scope| {
        scope.spawn(|| produce(&scene, &stop_producing, &produced));
        // Whatever becomes of the rounds, the producer must end.
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until("the first rows", PATIENCE, || produced.load(Ordering::Acquire) > 0);
            for round in 1.. {
                let said = chaos.round();
                let (rows, seconds) = (produced.load(Ordering::Acquire), chaos.began.elapsed().as_secs_f64());
                println!("round {round:3} at {seconds:6.1} s, {rows:7} rows, {} workers: {said}", chaos.members.len());
                if chaos.figures.kills >= kills {
                    break;
                }
            }
        }));
        stop_producing.store(true, Ordering::Release);
        if let Err(cause) = rounds {
            std::panic::resume_unwind(cause);
        }
    });
    let rows = produced.load(Ordering::Acquire);
    chaos.calm(rows);
    let bucket = scene.lake.trim_start_matches("s3://");
    let found: serde_json::Value =
        serde_json::from_str(&python_with(READ, &[bucket, &rows.to_string()], &minio().environment())).expect("JSON");
    let f = chaos.figures;
    println!(
        "{} kills, {} stops, {} freezes, {} ends by themselves, {} faults in {:.0} s; {} objects from {} parts and single requests: {found}",
        f.kills,
        f.stops,
        f.freezes,
        f.ended,
        f.faults,
        chaos.began.elapsed().as_secs_f64(),
        f.objects,
        f.parts
    );
    let [fixed, others] = f.recovery;
    println!("from start to first object with group.instance.id: {}; without (session timeout 6000 ms): {}", shown(fixed), shown(others));
    assert_eq!(found["wrong"], serde_json::json!([]), "CHAOS_SEED={seed}: {found}");
    assert_eq!((found["ids"].as_u64(), found["rows"].as_u64()), (Some(rows), Some(rows)), "CHAOS_SEED={seed}: {found}");
}
