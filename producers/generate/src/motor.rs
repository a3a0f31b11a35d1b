//! A permanent-magnet synchronous motor on a test bench, in steps of half a second.
//!
//! Speed and torque follow piecewise demands; currents and voltages follow from the model in the rotor's (d, q) frame; temperatures
//! follow the losses through a small network of heat capacities. The parameters are chosen so that 200,000 rows have about the means
//! and deviations of the original; they are no measurement of that motor.

use crate::random::Random;

/// Seconds from row to row.
const STEP_S: f64 = 0.5;
/// Electrical radians per second for one revolution per minute: 2 pi / 60 times 8 pole pairs.
const RAD_S_PER_RPM: f64 = 0.837_758_040_957_278_2;
/// Volts that the inverter can give.
const VOLTAGE_LIMIT: f64 = 127.0;
/// Amperes that the inverter can give.
const CURRENT_LIMIT: f64 = 275.0;
/// Ohms of one winding.
const RESISTANCE: f64 = 0.018;
/// Henries along the magnets and across them.
const INDUCTANCE_D: f64 = 0.000_37;
const INDUCTANCE_Q: f64 = 0.000_52;
/// Volt seconds of the magnets.
const FLUX: f64 = 0.059;
/// 3/2 times the pole pairs.
const TORQUE_FACTOR: f64 = 12.0;

/// The motor in one profile.
pub(crate) struct Motor {
    demand: Demand,
    speed_rpm: f64,
    torque_nm: f64,
    heat: Heat,
    coolant_level: f64,
    ambient_level: f64,
}

/// What the test bench asks for, and for how many more rows.
struct Demand {
    speed_rpm: f64,
    torque_share: f64,
    rows_left: u32,
}

/// Temperatures in degrees Celsius.
struct Heat {
    coolant: f64,
    ambient: f64,
    yoke: f64,
    tooth: f64,
    winding: f64,
    magnet: f64,
}

impl Motor {
    /// The motor at the start of a profile (counted from 0): at rest, and still warm from the one before, but for the first.
    pub(crate) fn new(profile: u64, random: &mut Random) -> Self {
        let (coolant, ambient, warmth) = if profile == 0 {
            (18.8, 19.85, 0.0)
        } else {
            // Steps of the golden and of the silver ratio spread the levels evenly, however many profiles there are.
            let index = profile as f64;
            let spread = |step: f64| {
                let turns = index * step;
                turns - turns.floor()
            };
            let coolant = coolant_level(spread(0.618_033_988_749_894_9), random);
            (coolant, 21.8 + 5.8 * spread(0.414_213_562_373_095_1), random.between(0.5, 1.3) * (1.0 - (coolant - 18.0) / 110.0))
        };
        let heat = Heat {
            coolant,
            ambient,
            yoke: coolant + 10.0 * warmth,
            tooth: coolant + 18.0 * warmth,
            winding: coolant + 24.0 * warmth,
            magnet: if profile == 0 { 24.55 } else { coolant + 22.0 * warmth },
        };
        let rest = Demand { speed_rpm: 0.0, torque_share: 0.0, rows_left: 6 + random.below(30) };
        Self { demand: rest, speed_rpm: 0.0, torque_nm: 0.0, heat, coolant_level: coolant, ambient_level: ambient }
    }

    /// The next row: u_q, coolant, stator_winding, u_d, stator_tooth, motor_speed, i_d, i_q, pm, stator_yoke, ambient, torque.
    pub(crate) fn step(&mut self, random: &mut Random) -> [f64; 12] {
        if self.demand.rows_left == 0 {
            self.demand = Demand::next(random);
        }
        self.demand.rows_left -= 1;
        let derating = self.heat.derating();
        self.speed_rpm += (self.demand.speed_rpm * (0.25 + 0.75 * derating) - self.speed_rpm) * 0.12;
        let wanted = self.demand.torque_share * torque_limit(self.speed_rpm) * derating;
        self.torque_nm += (wanted - self.torque_nm) * 0.35;

        let omega = self.speed_rpm * RAD_S_PER_RPM;
        let (i_d, i_q) = currents(self.torque_nm, omega);
        let u_d = RESISTANCE * i_d - omega * INDUCTANCE_Q * i_q;
        let u_q = RESISTANCE * i_q + omega * (INDUCTANCE_D * i_d + FLUX);
        let torque = torque_of(i_d, i_q);
        self.heat.step(i_d * i_d + i_q * i_q, omega, (self.coolant_level, self.ambient_level), random);

        let current = (i_d * i_d + i_q * i_q).sqrt();
        [
            u_q - 0.35 + 0.08 * random.bell(),
            self.heat.coolant + 0.01 * random.bell(),
            self.heat.winding + 0.01 * random.bell(),
            u_d - 0.3 + 0.08 * random.bell(),
            self.heat.tooth + 0.01 * random.bell(),
            self.speed_rpm + (0.003 + self.speed_rpm.abs() * 0.000_02) * random.bell(),
            (i_d + (0.002 + current * 0.000_3) * random.bell()).min(0.05),
            i_q + (0.001 + current * 0.000_5) * random.bell(),
            self.heat.magnet + 0.02 * random.bell(),
            self.heat.yoke + 0.01 * random.bell(),
            self.heat.ambient + 0.02 * random.bell(),
            torque + 0.1 + 0.08 * random.bell(),
        ]
    }
}

/// More than half of the profiles run on tap water, the others on warmed coolant.
fn coolant_level(share: f64, random: &mut Random) -> f64 {
    match share {
        s if s < 0.56 => random.between(17.5, 20.5),
        s if s < 0.84 => 40.0 + 25.0 * (s - 0.56) / 0.28,
        s => 65.0 + 20.0 * (s - 0.84) / 0.16,
    }
}

impl Demand {
    fn next(random: &mut Random) -> Self {
        let rows_left = 20 + random.below(380);
        let speed_rpm = match random.unit() {
            kind if kind < 0.04 => 0.0,
            kind if kind < 0.05 => random.between(-260.0, 0.0),
            kind if kind < 0.40 => random.between(50.0, 5900.0),
            _ => {
                let share = random.unit();
                5900.0 * share * share
            }
        };
        // Driving more often than braking.
        let torque_share = if random.unit() < 0.1 { 0.0 } else { 0.24 + 0.74 * random.between(-1.0, 1.0) };
        Self { speed_rpm, torque_share, rows_left }
    }
}

/// Newton metres that the motor can give at this speed: constant, then constant power.
fn torque_limit(speed_rpm: f64) -> f64 {
    let knee = 2300.0;
    if speed_rpm.abs() <= knee { 245.0 } else { 245.0 * knee / speed_rpm.abs() }
}

fn torque_of(i_d: f64, i_q: f64) -> f64 {
    TORQUE_FACTOR * i_q * (FLUX - (INDUCTANCE_Q - INDUCTANCE_D) * i_d)
}

/// The currents (d, q) for a torque, within the limits of the inverter: little current at low speed, a weakened field at high speed.
fn currents(torque_nm: f64, omega: f64) -> (f64, f64) {
    let omega = omega.abs();
    let share = torque_nm / (TORQUE_FACTOR * FLUX);
    let i_d_low_speed = -0.45 * share.abs();
    let mut i_q = torque_nm / (TORQUE_FACTOR * (FLUX - (INDUCTANCE_Q - INDUCTANCE_D) * i_d_low_speed.max(-200.0)));
    let i_q_limit = if omega > 1.0 { 0.97 * VOLTAGE_LIMIT / (omega * INDUCTANCE_Q) } else { CURRENT_LIMIT };
    i_q = i_q.clamp(-i_q_limit, i_q_limit);
    let u_d = omega * INDUCTANCE_Q * i_q;
    let u_q_limit = (VOLTAGE_LIMIT * VOLTAGE_LIMIT - u_d * u_d).max(0.0).sqrt();
    let i_d_weak = if omega > 1.0 { (u_q_limit / omega - FLUX) / INDUCTANCE_D } else { 0.0 };
    let i_d = i_d_low_speed.min(i_d_weak).clamp(-0.98 * CURRENT_LIMIT, 0.0);
    let rest = (CURRENT_LIMIT * CURRENT_LIMIT - i_d * i_d).max(0.0).sqrt();
    (i_d, i_q.clamp(-rest, rest))
}

impl Heat {
    /// How much of the demand is allowed: less when a part gets hot, as the bench's own protection does.
    fn derating(&self) -> f64 {
        let room = |limit: f64, value: f64| (limit - value) / 12.0;
        let least = room(132.0, self.winding).min(room(104.0, self.tooth)).min(room(94.0, self.yoke)).min(room(102.0, self.magnet));
        least.clamp(0.0, 1.0)
    }

    /// One Euler step of the network winding - tooth - yoke - coolant, with the magnets beside it.
    fn step(&mut self, current_squared: f64, omega: f64, (coolant, ambient): (f64, f64), random: &mut Random) {
        let copper_w = 1.5 * RESISTANCE * (1.0 + 0.003_9 * (self.winding - 20.0)) * current_squared;
        let iron_w = omega * (0.06 + omega * 0.000_016);
        let to_tooth = 52.0 * (self.winding - self.tooth);
        let to_yoke = 75.0 * (self.tooth - self.yoke);
        let to_coolant = 57.0 * (self.yoke - self.coolant);
        let magnet_w = 0.29 * iron_w - 3.0 * (self.magnet - self.tooth) - 2.0 * (self.magnet - self.coolant);
        self.winding += STEP_S * (copper_w - to_tooth) / 1500.0;
        self.tooth += STEP_S * (to_tooth + 0.6 * iron_w - to_yoke) / 5500.0;
        self.yoke += STEP_S * (to_yoke + 0.4 * iron_w - to_coolant) / 14_000.0;
        self.magnet += STEP_S * magnet_w / 4500.0;
        self.coolant += (coolant + to_coolant / 2000.0 - self.coolant) * 0.002 + 0.004 * random.bell();
        self.ambient += (ambient - self.ambient) * 0.001 + 0.01 * random.bell();
    }
}
