//! Made-up data for demos and tests, the same on every machine.
//!
//! * [`pmsm`]: a look-alike of the electric motor temperature data set.

mod motor;
mod number;
pub mod pmsm;
mod random;
