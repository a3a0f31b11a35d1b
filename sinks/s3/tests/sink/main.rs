//! The sink as a whole, on a local directory.

mod closing;
mod places;
mod stage;
