//! Random numbers that are the same on every platform.

/// SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014): small, quick and good enough for
/// made-up data.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in `0..1`. 53 bits fit an `f64` exactly, so the division is exact too.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly in `from..to`.
    pub(crate) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Evenly in `0..below`. The modulo favours small numbers by less than one in 2^32, which nobody sees here.
    pub(crate) fn below(&mut self, below: u32) -> u32 {
        ((self.bits() >> 32) % u64::from(below.max(1))) as u32
    }

    /// Bell-shaped with mean 0 and standard deviation 1, never beyond 3.5: the sum of four even numbers of 16 bits.
    pub(crate) fn bell(&mut self) -> f64 {
        let bits = self.bits();
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        // Four even numbers in 0..1 have the mean 2 and the variance 1/3.
        (sum as f64 / 65536.0 - 2.0) * 1.732_050_807_568_877_2
    }
}
