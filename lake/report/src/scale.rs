//! From numbers to places on the page.

const LARGEST: f64 = 1e300;
const SMALLEST: f64 = 1e-300;

/// A range of numbers, with round ends, on a stretch of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    step: f64,
    /// Where `low` is drawn, in pixels.
    from: f64,
    /// Where `high` is drawn, in pixels.
    to: f64,
}

impl Scale {
    /// A scale that holds all `values`, with about five ticks.
    pub(crate) fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().map(bounded) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // A single value is drawn in the middle.
        if high - low <= (high.abs().max(low.abs()) * 1e-9).max(SMALLEST) {
            let half = if high.abs() <= SMALLEST { 0.5 } else { high.abs() / 2.0 };
            (low, high) = (low - half, high + half);
        }
        let step = round_up((high - low) / 5.0);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, from, to }
    }

    /// The place of a value, in pixels.
    pub(crate) fn place(&self, value: f64) -> f64 {
        self.from + (bounded(value) - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// The ticks: places and texts.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 12.0) as usize;
        let count = ((self.high - self.low) / self.step).round() as u32;
        let tick = |i: u32| {
            // A sum of rounded numbers may miss zero by a hair.
            let value = self.low + f64::from(i) * self.step;
            let value = if value.abs() < self.step / 1e6 { 0.0 } else { value };
            (self.place(value), label(value, decimals))
        };
        (0..=count.min(20)).map(tick).collect()
    }
}

/// A number with `decimals` and thousands apart; in powers of ten where that would be long.
pub(crate) fn label(value: f64, decimals: usize) -> String {
    if value.abs() >= 1e12 || (value != 0.0 && value.abs() < 1e-6) {
        return format!("{value:.2e}");
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = if value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) { "-".to_owned() } else { String::new() };
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

/// Numbers whose range would be no number any more are drawn at the edge.
fn bounded(value: f64) -> f64 {
    value.clamp(-LARGEST, LARGEST)
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_up(number: f64) -> f64 {
    let power = 10_f64.powf(number.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|m| m * power).find(|n| *n >= number * 0.999_999).unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[f64]) -> Vec<String> {
        Scale::over(values.iter().copied(), 0.0, 100.0).ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        assert_eq!(texts(&[20.857, 113.607]), ["20", "40", "60", "80", "100", "120"]);
        assert_eq!(texts(&[-275.0, 6000.0]), ["-2,000", "0", "2,000", "4,000", "6,000"]);
        assert_eq!(texts(&[-2.63, 2.9]), ["-4", "-2", "0", "2", "4"]);
        assert_eq!(texts(&[0.0, 0.013]), ["0.000", "0.005", "0.010", "0.015"]);
        assert_eq!(texts(&[5.0]), ["2", "3", "4", "5", "6", "7", "8"]);
        assert_eq!(texts(&[]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(label(-0.001, 2), "0.00");
    }

    #[test]
    fn no_numbers_break_it() {
        for values in
            [&[0.0, 0.0][..], &[f64::MAX, f64::MIN], &[f64::MIN_POSITIVE, 0.0], &[1e300, 1.1e300], &[1.0, 1.0 + 1e-15], &[-5.0, -5.0]]
        {
            let scale = Scale::over(values.iter().copied(), 10.0, 90.0);
            for value in values {
                assert!((9.9..=90.1).contains(&scale.place(*value)), "{values:?}: {scale:?}");
            }
            assert!((2..=21).contains(&scale.ticks().len()), "{values:?}: {:?}", scale.ticks());
        }
    }
}
