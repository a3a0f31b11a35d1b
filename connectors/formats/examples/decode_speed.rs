//! Throwaway: rows per CPU-second of the decoder.
#![allow(clippy::print_stdout, missing_docs, clippy::unwrap_used)]
use lakefeed_core::RecordsBuilder;
use lakefeed_formats::*;

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}
struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn f(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
const NAMES: [&str; 12] =
    ["u_q", "coolant", "stator_winding", "u_d", "stator_tooth", "motor_speed", "i_d", "i_q", "pm", "stator_yoke", "ambient", "torque"];
fn motor(r: &mut Rng, i: usize, f32s: bool) -> String {
    let mut s = String::from("{");
    for (k, n) in NAMES.iter().enumerate() {
        let v = match k {
            0 => r.f() * 150.0 - 20.0,
            5 => r.f() * 6000.0 - 200.0,
            3 | 6 | 7 | 11 => r.f() * 400.0 - 200.0,
            _ => r.f() * 100.0,
        };
        let v = if f32s { f64::from(v as f32) } else { v };
        s += &format!("\"{n}\":{v},");
    }
    s += &format!("\"profile_id\":{}}}", i % 81);
    s
}
fn typed(plain: &str) -> String {
    let v: serde_json::Value = serde_json::from_str(plain).unwrap();
    let mut img = String::new();
    for (k, v) in v.as_object().unwrap() {
        img += &format!("{}\"{k}\":{{\"N\":\"{v}\"}}", if img.is_empty() { "" } else { "," });
    }
    format!(
        "{{\"eventID\":\"3b1f0c9a5d7e4f6081a2b3c4d5e6f708\",\"eventName\":\"INSERT\",\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"eu-central-1\",\"dynamodb\":{{\"ApproximateCreationDateTime\":1693997155.0,\"Keys\":{{\"profile_id\":{{\"N\":\"17\"}}}},\"NewImage\":{{{img}}},\"SequenceNumber\":\"112300000000012345678901234\",\"SizeBytes\":39,\"StreamViewType\":\"NEW_IMAGE\"}},\"eventSourceARN\":\"arn:aws:dynamodb:eu-central-1:111122223333:table/measures/stream/2024-11-18T14:36:44.149\"}}"
    )
}
fn small(r: &mut Rng, i: usize) -> String {
    format!(
        "{{\"id\":{},\"type\":\"click\",\"user\":\"u{:06}\",\"ok\":true,\"v\":{:.3}}}",
        1_000_000 + i,
        r.next() % 1_000_000,
        r.f() * 1000.0
    )
}
fn nested(r: &mut Rng, i: usize) -> String {
    let mut s = format!(
        "{{\"event_id\":\"{:016x}-{:016x}\",\"ts\":\"2026-01-02T03:04:05.678Z\",\"kind\":\"order.created\",\"seq\":{i},",
        r.next(),
        r.next()
    );
    s += &format!(
        "\"user\":{{\"id\":{},\"name\":\"user number {}\",\"email\":\"user{}@example.com\",\"address\":{{\"street\":\"Long Street {}\",\"city\":\"Springfield\",\"zip\":\"{:05}\",\"lat\":{:.6},\"lon\":{:.6}}},\"tags\":[\"new\",\"mobile\",\"eu\"]}},",
        i,
        i,
        i,
        i % 300,
        i % 99999,
        r.f() * 90.0,
        r.f() * 180.0
    );
    s += "\"items\":[";
    for k in 0..3 {
        s += &format!(
            "{}{{\"sku\":\"SKU-{:08}\",\"title\":\"A product with a longer title {}\",\"qty\":{},\"price\":{:.2},\"discount\":null}}",
            if k > 0 { "," } else { "" },
            r.next() % 100_000_000,
            k,
            r.next() % 9 + 1,
            r.f() * 500.0
        );
    }
    s += &format!(
        "],\"total\":{:.2},\"currency\":\"EUR\",\"paid\":{},\"client\":{{\"ip\":\"10.0.{}.{}\",\"agent\":\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0\",\"session\":\"{:016x}\"}},\"note\":\"left at the door, please ring twice\",\"flags\":[1,2,3,5,8]}}",
        r.f() * 1000.0,
        i.is_multiple_of(2),
        i % 256,
        i % 255,
        r.next()
    );
    s
}
fn run(name: &str, shape: Shape, rows: Vec<String>) {
    if !name.contains(&std::env::args().nth(1).unwrap_or_default()) {
        return;
    }
    let bytes: usize = rows.iter().map(String::len).sum();
    let mut batches = Vec::new();
    for chunk in rows.chunks(10_000) {
        let mut b = RecordsBuilder::with_capacity("t".into(), 0, chunk.len(), chunk.iter().map(String::len).sum());
        for (i, r) in chunk.iter().enumerate() {
            b.push(i as i64, 0, None, Some(r.as_bytes()));
        }
        batches.push(b.finish());
    }
    let mut best: f64 = 0.0;
    let mut all = Vec::new();
    for _ in 0..7 {
        let mut d = Decoder::new(DecoderOptions { shape, ..DecoderOptions::default() });
        let start = cpu();
        let mut n = 0;
        for _ in 0..3 {
            for b in &batches {
                let out = d.decode(b);
                assert!(out.rejected.is_empty(), "{:?}", out.rejected);
                n += out.rows.num_rows();
            }
        }
        let rate = n as f64 / (cpu() - start);
        best = best.max(rate);
        all.push(format!("{:.2}", rate / 1e6));
    }
    let avg = bytes as f64 / rows.len() as f64;
    println!("{name:24} {avg:5.0} B/row  best {:.2} M rows/s  {:.0} MB/s   {}", best / 1e6, best * avg / 1e6, all.join(" "));
}
fn main() {
    let mut r = Rng(88172645463325252);
    let n = 100_000;
    let m32: Vec<_> = (0..n).map(|i| motor(&mut r, i, true)).collect();
    let m64: Vec<_> = (0..n).map(|i| motor(&mut r, i, false)).collect();
    let img: Vec<_> = m32.iter().map(|m| typed(m)).collect();
    run("motor f32 digits", Shape::Plain, m32);
    run("motor f64 digits", Shape::Plain, m64);
    run("motor NewImage", Shape::NewImage, img);
    run("small 70 B", Shape::Plain, (0..n * 4).map(|i| small(&mut r, i)).collect());
    run("nested 1 KB", Shape::Plain, (0..n).map(|i| nested(&mut r, i)).collect());
}
