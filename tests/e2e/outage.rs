//! A store that is away for a while as rows go on coming: memory stays flat, and everything arrives afterwards.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use lakefeed_kit::{Fault, Process, Proxy, minio};

use crate::scene::{PATIENCE, Scene, stop};

/// `OUTAGE_SECONDS`, half a minute unless set.
fn outage() -> Duration {
    let seconds = std::env::var("OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

const BUDGET: usize = 64 << 20;

/// The resident memory of a process in MiB.
fn rss_mib(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap_or_default();
    let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kb.unwrap_or(0) / 1024
}

/// The highest while something is waited for.
fn peak_while(process: &mut Process, mut until: impl FnMut() -> bool) -> u64 {
    let (mut peak, began) = (0, Instant::now());
    loop {
        // Asking takes a while.
        let done = until();
        peak = peak.max(rss_mib(process));
        if done {
            return peak;
        }
        assert!(process.is_running() && began.elapsed() < outage() + PATIENCE, "{process}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Prints figures for a person to judge, part of `make chaos`: it takes a minute.
#[test]
#[ignore = "a minute; make chaos runs it"]
fn memory_is_flat_in_an_outage() {
    let proxy = Proxy::start(&minio().endpoint);
    let scene = Scene::s3("flat", 2, &proxy.endpoint);
    let keys = scene.small_files().replace("flush.size=50", "flush.size=2000");
    let mut rows = 0;
    let mut produce = |chunks: u64| {
        for _ in 0..chunks {
            scene.produce(rows..rows + 20_000, 1000);
            rows += 20_000;
        }
        rows
    };
    produce(3);
    let mut worker = scene.worker_with("worker", &keys, &format!("memory.budget.bytes={BUDGET}\n"));
    let before = peak_while(&mut worker, || scene.committed() >= 60_000);
    proxy.set(Fault::Refuse);
    let began = Instant::now();
    let during = thread::scope(|scope| {
        let producer = scope.spawn(|| {
            for _ in 0..12 {
                produce(1);
                thread::sleep(outage() / 20);
            }
        });
        let during = peak_while(&mut worker, || began.elapsed() >= outage());
        producer.join().expect("produced");
        during
    });
    proxy.set(Fault::None);
    let back = Instant::now();
    let after = peak_while(&mut worker, || scene.committed() >= 300_000);
    println!(
        "budget {} MiB; peak RSS before the outage {before} MiB, in its {} s with 240000 rows (260 MB) of load {during} MiB, after it \
         {after} MiB; everything in the lake {:.1} s after its end",
        BUDGET >> 20,
        outage().as_secs(),
        back.elapsed().as_secs_f64()
    );
    stop(&mut worker);
    scene.assert_each_once(0..300_000);
}
