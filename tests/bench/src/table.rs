//! The figures of all runs, and the table that shows them beside their targets.

use std::fmt::Write;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Rows in a second, of the clock or of the CPU.
    Rows,
    /// Megabytes (10^6) in a second, of the clock or of the CPU.
    Megabytes,
    /// Bytes, shown as KiB or MiB.
    Bytes,
    /// One figure divided by another.
    Times,
    Percent,
    Millis,
    Count,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// All figures, in the order in which they were first given.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    title: String,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    what: &'static str,
    unit: Unit,
    target: Option<Target>,
    /// One of each run.
    values: Vec<f64>,
}

impl Report {
    /// The figures that follow belong to this step. What stands before the colon is its name: the same in a later run is the same step.
    pub(crate) fn step(&mut self, title: String) {
        let step = match self.steps.iter().position(|step| step.name() == name(&title)) {
            Some(at) => self.steps.remove(at),
            None => Step { title, lines: Vec::new() },
        };
        self.steps.push(step);
    }

    /// A figure of the current step.
    pub(crate) fn add(&mut self, what: &'static str, unit: Unit, value: f64, target: Option<Target>) {
        let Some(step) = self.steps.last_mut() else { return };
        match step.lines.iter_mut().find(|line| line.what == what) {
            Some(line) => line.values.push(value),
            None => step.lines.push(Line { what, unit, target, values: vec![value] }),
        }
    }

    /// The median over the runs of a figure of the current step.
    pub(crate) fn show(&mut self) -> String {
        let mut text = format!("{:<52} {:>10} {:>12}\n", "", "measured", "target");
        let (mut all, mut missed) = (0, Vec::new());
        // A step that was run again has moved to the end: all have, in their order.
        for Step { title, lines } in &mut self.steps {
            text += &format!("\n{title}\n");
            for line in lines {
                let value = median(&mut line.values);
                let wanted = line.target.map(|target| (target.show(line.unit), target.is_met(value)));
                let (target, verdict) = match &wanted {
                    Some((target, true)) => (target.as_str(), "met"),
                    Some((target, false)) => (target.as_str(), "MISSED"),
                    None => ("", ""),
                };
                let row = format!("  {:<50} {:>10} {target:>12}  {verdict}", line.what, line.unit.show(value));
                text += row.trim_end();
                if let [low, .., high] = line.values[..] {
                    let pad = 8_usize.saturating_sub(verdict.len());
                    text += &format!("{:pad$}{} to {}", "", line.unit.show(low), line.unit.show(high));
                }
                text.push('\n');
                all += usize::from(wanted.is_some());
                if let Some((_, false)) = wanted {
                    missed.push(format!("{}: {}", name(title), line.what));
                }
            }
        }
        // Writing to a string can't fail.
        let _ = writeln!(text, "\n{} of {all} targets met{}", all - missed.len(), if missed.is_empty() { "" } else { "; missed:" });
        missed.iter().fold(text, |text, line| text + "  " + line + "\n")
    }
}

impl Step {
    fn name(&self) -> &str {
        name(&self.title)
    }
}

fn name(title: &str) -> &str {
    title.split(':').next().unwrap_or_default()
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }

    fn show(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(value) => format!(">= {}", unit.show(value)),
            Self::AtMost(value) => format!("<= {}", unit.show(value)),
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Rows if value >= 999_500.0 => format!("{:.2} M", value / 1e6),
            Self::Rows => format!("{:.0} k", value / 1e3),
            Self::Megabytes => format!("{:.0} MB", value / 1e6),
            Self::Bytes if value < f64::from(1 << 20) => format!("{:.0} KiB", value / 1024.0),
            Self::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Times => format!("{value:.2} x"),
            Self::Percent => format!("{value:.1} %"),
            Self::Millis if value < 9.95 => format!("{value:.1} ms"),
            Self::Millis => format!("{value:.0} ms"),
            Self::Count => format!("{value:.0}"),
        }
    }
}

/// Sorts the values; the middle one, of two the higher.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The smallest value that so many percent do not exceed.
pub(crate) fn percentile(ascending: &[f64], percent: f64) -> f64 {
    let rank = (ascending.len() as f64 * percent / 100.0).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occur() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| percentile(&values, percent)), [100.0, 198.0, 200.0]);
    }

    #[test]
    fn shows_medians_targets_and_what_was_missed() {
        let mut report = Report::default();
        for value in [500e3, 1.5e6, 610e3] {
            report.step(format!("w9: {value} rows"));
            report.add("rows per CPU-second", Unit::Rows, value, Some(Target::AtLeast(600e3)));
            report.add("peak memory", Unit::Bytes, 257.0 * 1024.0 * 1024.0, Some(Target::AtMost(256.0 * 1024.0 * 1024.0)));
            report.add("rows/s", Unit::Rows, 999e3, None);
        }
        let text = report.show();
        let line = |what: &str| text.lines().find(|line| line.trim_start().starts_with(what)).expect("a line").to_owned();
        let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(line("rows per CPU-second")), "rows per CPU-second 610 k >= 600 k met 500 k to 1.50 M");
        assert_eq!(words(line("peak memory")), "peak memory 257.0 MiB <= 256.0 MiB MISSED 257.0 MiB to 257.0 MiB");
        assert_eq!(words(line("rows/s")), "rows/s 999 k 999 k to 999 k");
        assert!(text.ends_with("\n1 of 2 targets met; missed:\n  w9: peak memory\n"), "{text}");
    }
}
