//! The look-alike of the motor data: the same bytes everywhere, and like the original in ranges, means and behaviour.

use lakefeed_generate::pmsm::{HEADER, Options, write};

fn generate(rows: u64, seed: u64, profiles: Option<u32>) -> String {
    let (mut text, mut last) = (Vec::new(), None);
    write(&Options { rows, seed, profiles }, &mut text, |done| last = Some(done)).expect("memory");
    assert_eq!(last, Some(rows), "progress ends with the last row");
    String::from_utf8(text).expect("text")
}

/// FNV-1a of 64 bits.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The rows without the header: the 12 measured values and the profile.
fn rows(text: &str) -> Vec<([f64; 12], u64)> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let row = |record: csv::StringRecord| {
        let values = std::array::from_fn(|i| record[i + 1].parse().expect("a number"));
        (values, record[13].parse().expect("a profile"))
    };
    reader.records().map(|record| row(record.expect("a row"))).collect()
}

#[test]
fn the_bytes_never_change() {
    let text = generate(10_000, 1, None);
    let first: Vec<_> = text.lines().take(4).collect();
    assert_eq!(
        first,
        [
            HEADER,
            "1,-0.4037734866142273,18.79963684082031,18.80354690551758,-0.2967143356800079,18.80391883850098,0.003974339924752712,-0.00003372340142959729,0.0009240370709449053,24.55753326416016,18.79431915283203,19.79243850708008,0.1285454332828522,17",
            "2,-0.3413883745670319,18.80687522888184,18.78696060180664,-0.2749326229095459,18.78557395935059,0.001007499871775508,0.003406327916309237,-0.0001217319659190252,24.54389572143555,18.79203033447266,19.8330192565918,0.006978384684771299,17",
            "3,-0.4024499356746674,18.79758834838867,18.79812049865723,-0.3085925877094269,18.80002403259277,-0.001994622871279716,0.001367859193123877,-0.000002933618816314265,24.55707740783691,18.79717826843262,19.80194854736328,0.149957150220871,17",
        ]
    );
    assert_eq!(format!("{:016x}", checksum(&text)), "27b7fa2e7eab4208");
    assert_ne!(generate(10_000, 2, None), text);
}

#[test]
fn any_number_of_rows_and_profiles_is_met() {
    for (count, profiles, expected) in [
        (0, None, 0),
        (0, Some(5), 0),
        (1, None, 1),
        (3, Some(10), 3),
        (999, None, 1),
        (5000, None, 5),
        (5000, Some(1), 1),
        (5000, Some(80), 80),
        (5000, Some(300), 300),
        (100_000, None, 69),
        (2, Some(u32::MAX), 2),
    ] {
        let text = generate(count, 7, profiles);
        let ids: Vec<u64> = text.lines().skip(1).map(|line| line.split(',').next().expect("a cell").parse().expect("an id")).collect();
        assert_eq!(ids, (1..=count).collect::<Vec<_>>());
        let mut seen: Vec<u64> = rows(&text).iter().map(|(_, profile)| *profile).collect();
        seen.dedup();
        assert_eq!(seen.len(), expected, "{count} rows, {profiles:?} profiles");
        assert!(seen.first().is_none_or(|id| *id == 17), "the first profile is 17, as in the original");
        let sorted = seen.is_sorted();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), expected, "a profile comes once");
        assert!(expected > 80 || seen.iter().all(|id| (2..=81).contains(id)));
        assert!(expected < 5 || !sorted, "the order of the profiles is not that of their ids");
    }
}

#[test]
fn every_measured_value_has_a_decimal_point() {
    for line in generate(20_000, 3, None).lines().skip(1) {
        let cells: Vec<_> = line.split(',').collect();
        assert_eq!(cells.len(), 14);
        for cell in &cells[1..13] {
            let digits = cell.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
            assert!(cell.contains('.') && !cell.contains('e') && digits <= 16, "{cell}");
        }
    }
}

/// Column, and mean, standard deviation, least and greatest value of the original.
const ORIGINAL: [(&str, f64, f64, f64, f64); 12] = [
    ("u_q", 54.279, 44.173, -25.291, 133.037),
    ("coolant", 36.230, 21.786, 10.624, 101.599),
    ("stator_winding", 66.343, 28.672, 18.586, 141.363),
    ("u_d", -25.134, 63.092, -131.530, 131.470),
    ("stator_tooth", 56.879, 22.952, 18.134, 111.946),
    ("motor_speed", 2202.08, 1859.66, -275.55, 6000.015),
    ("i_d", -68.717, 64.933, -278.004, 0.0519),
    ("i_q", 37.413, 92.182, -293.427, 301.708),
    ("pm", 58.507, 19.002, 20.857, 113.607),
    ("stator_yoke", 48.188, 19.991, 18.077, 101.148),
    ("ambient", 24.565, 1.930, 8.783, 30.714),
    ("torque", 31.106, 77.136, -246.467, 261.006),
];

#[test]
fn ranges_and_means_are_those_of_the_original() {
    let rows = rows(&generate(200_000, 1, None));
    for (index, (column, mean, deviation, least, greatest)) in ORIGINAL.into_iter().enumerate() {
        let values = || rows.iter().map(|(values, _)| values[index]);
        let own_mean = values().sum::<f64>() / rows.len() as f64;
        let own_deviation = (values().map(|v| (v - own_mean) * (v - own_mean)).sum::<f64>() / rows.len() as f64).sqrt();
        assert!((own_mean - mean).abs() <= 0.25 * deviation, "{column}: mean {own_mean}, expected about {mean}");
        assert!((0.7..1.3).contains(&(own_deviation / deviation)), "{column}: deviation {own_deviation}, expected about {deviation}");
        let (low, high) = values().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        assert!(low >= least && high <= greatest, "{column}: {low} to {high}, expected within {least} to {greatest}");
    }
}

#[test]
fn temperatures_follow_the_load_slowly_and_in_order() {
    let rows = rows(&generate(100_000, 5, None));
    let same_profile = || rows.windows(2).filter(|pair| pair[0].1 == pair[1].1).map(|pair| (pair[0].0, pair[1].0));
    for index in [1, 2, 4, 8, 9, 10] {
        let step = same_profile().map(|(a, b)| (b[index] - a[index]).abs()).fold(0.0, f64::max);
        assert!(step < 1.0, "column {index}: {step} degrees in half a second");
    }
    // The correlation of torque and of temperature from row to row.
    let correlation = |index: usize| {
        let mean = rows.iter().map(|(v, _)| v[index]).sum::<f64>() / rows.len() as f64;
        let variance = rows.iter().map(|(v, _)| (v[index] - mean) * (v[index] - mean)).sum::<f64>();
        same_profile().map(|(a, b)| (a[index] - mean) * (b[index] - mean)).sum::<f64>() / variance
    };
    for index in [2, 4, 8, 9] {
        assert!(correlation(index) > 0.99, "column {index}: {}", correlation(index));
    }
    let ordered = rows.iter().filter(|(v, _)| v[2] > v[4] && v[4] > v[9]).count();
    assert!(ordered * 10 > rows.len() * 9, "winding > tooth > yoke in {ordered} of {} rows", rows.len());
}
