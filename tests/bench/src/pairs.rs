//! Two ways to do the same, run in turn.

use lakefeed_core::Result;

use crate::sinks::Drained;
use crate::table::median;

/// How often both are run. On a shared machine one run differs from the next by more than what is looked for, and less from the one right beside it.
const PAIRS: usize = 3;

/// The runs of both.
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) before: Vec<Drained>,
    pub(crate) after: Vec<Drained>,
}

impl Pairs {
    pub(crate) fn run(before: impl Fn() -> Result<Drained>, after: impl Fn() -> Result<Drained>) -> Result<Self> {
        let mut pairs = Self { before: Vec::new(), after: Vec::new() };
        for _ in 0..PAIRS {
            pairs.before.push(before()?);
            pairs.after.push(after()?);
        }
        Ok(pairs)
    }

    /// The median over the pairs of what the second way has, divided by what the first has.
    pub(crate) fn ratio(&self, of: impl Fn(&Drained) -> f64) -> f64 {
        let pairs = self.before.iter().zip(&self.after);
        median(&mut pairs.map(|(before, after)| of(after) / of(before)).collect::<Vec<_>>())
    }
}

/// The median of the rows per CPU-second.
pub(crate) fn rate(runs: &[Drained]) -> f64 {
    median(&mut runs.iter().map(Drained::rate).collect::<Vec<_>>())
}
