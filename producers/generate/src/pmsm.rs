//! A look-alike of the electric motor temperature data set of Paderborn University (the raw version, `measures_v2.csv`).
//!
//! Same columns, same units, 2 Hz, profiles of uneven length under unsorted ids, and values in the ranges and near the means of the
//! original; with an `id` column in front, because the original has no key. The same options give the same bytes on every platform:
//! the arithmetic uses nothing but `+ - * /` and square roots, which IEEE 754 defines to the last bit.

use std::io::{self, Write};

use crate::motor::Motor;
use crate::number::{push_measured, push_whole};
use crate::random::Random;

/// The header line, without its end.
pub const HEADER: &str = "id,u_q,coolant,stator_winding,u_d,stator_tooth,motor_speed,i_d,i_q,pm,stator_yoke,ambient,torque,profile_id";

/// What to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The number of rows, without the header.
    pub rows: u64,
    /// Other seeds give other data.
    pub seed: u64,
    /// The number of profiles; never more than rows. `None`: 69 as in the original, or fewer if they would be shorter than 1000 rows.
    pub profiles: Option<u32>,
}

impl Options {
    fn profiles(&self) -> u64 {
        let wanted = self.profiles.map_or((self.rows / 1000).clamp(1, 69), |p| u64::from(p).max(1));
        wanted.min(self.rows)
    }
}

/// Bytes that are gathered before they are written.
const CHUNK_BYTES: usize = 256 * 1024;

/// Writes the data as CSV. After each piece written `progress` gets the number of rows so far.
///
/// # Errors
/// Those of `out`.
pub fn write(options: &Options, out: &mut impl Write, mut progress: impl FnMut(u64)) -> io::Result<()> {
    let mut random = Random::new(options.seed);
    let ids = ProfileIds::new(&mut random);
    let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4096);
    chunk.extend_from_slice(HEADER.as_bytes());
    chunk.push(b'\n');
    let (mut id, profiles) = (0, options.profiles());
    for profile in 0..profiles {
        let profile_id = ids.of(profile);
        let mut motor = Motor::new(profile, &mut random);
        for _ in 0..profile_rows(options.rows - id, profiles - profile, &mut random) {
            id += 1;
            push_row(&mut chunk, id, &motor.step(&mut random), profile_id);
            if chunk.len() >= CHUNK_BYTES {
                out.write_all(&chunk)?;
                chunk.clear();
                progress(id);
            }
        }
    }
    out.write_all(&chunk)?;
    out.flush()?;
    progress(id);
    Ok(())
}

fn push_row(out: &mut Vec<u8>, id: u64, values: &[f64; 12], profile_id: u64) {
    push_whole(out, id);
    for value in values {
        out.push(b',');
        push_measured(out, *value);
    }
    out.push(b',');
    push_whole(out, profile_id);
    out.push(b'\n');
}

/// The rows of the next profile, when `rows` rows are left for `profiles` profiles: each gets one, the rest is shared unevenly, and the
/// last one takes what is left.
fn profile_rows(rows: u64, profiles: u64, random: &mut Random) -> u64 {
    if profiles <= 1 {
        return rows;
    }
    // Between 0.1 and 1.9 times the fair share.
    let permille = u128::from(100 + random.below(1801));
    let spare = rows.saturating_sub(profiles);
    let share = u128::from(spare) * permille / 1000 / u128::from(profiles);
    1 + u64::try_from(share).unwrap_or(spare).min(spare)
}

/// The profile ids: 17 first, as in the original, then the others of 2 to 81 in random order, then 82 and so on.
struct ProfileIds([u64; 80]);

impl ProfileIds {
    fn new(random: &mut Random) -> Self {
        let mut ids = std::array::from_fn(|i| i as u64 + 2);
        ids.swap(0, 15);
        for last in (2..ids.len()).rev() {
            ids.swap(last, 1 + random.below(last as u32) as usize);
        }
        Self(ids)
    }

    fn of(&self, profile: u64) -> u64 {
        usize::try_from(profile).ok().and_then(|i| self.0.get(i)).copied().unwrap_or(profile + 2)
    }
}
