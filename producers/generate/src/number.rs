//! Numbers as text: plain decimals, quickly, and without the platform's help.

/// Powers of ten.
const POWERS: [u128; 24] = {
    let mut powers = [1; 24];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// Appends a whole number.
pub(crate) fn push_whole(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a measured value the way the data set prints it: a 32-bit float with 16 significant digits, a decimal point, and no zeros
/// at the end. For values below 10^15; under 10^-6 digits are lost rather than an exponent written.
pub(crate) fn push_measured(out: &mut Vec<u8>, value: f64) {
    let value = value as f32;
    let size = f64::from(value.abs());
    let whole_digits = 1 + (1..15).take_while(|power| size >= 10_u64.pow(*power) as f64).count();
    let leading_zeros = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6].iter().take_while(|limit| size < **limit).count();
    let decimals = if size >= 1.0 { 16 - whole_digits } else { 16 + leading_zeros };
    let mut scaled = scaled(value, decimals);
    if value < 0.0 && scaled > 0 {
        out.push(b'-');
    }
    let mut digits = [b'0'; 24];
    for digit in digits[..decimals].iter_mut().rev() {
        *digit = b'0' + (scaled % 10) as u8;
        scaled /= 10;
    }
    let used = digits[..decimals].iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    push_whole(out, scaled);
    out.push(b'.');
    out.extend_from_slice(&digits[..used]);
}

/// The size of a value times a power of ten, rounded. Exact: a float is a whole number of 24 bits times a power of two.
fn scaled(value: f32, decimals: usize) -> u64 {
    let bits = value.to_bits();
    let exponent = (bits >> 23 & 0xff).max(1);
    let hidden_bit = u128::from(bits >> 23 & 0xff != 0) << 23;
    let product = (u128::from(bits & 0x7f_ffff) | hidden_bit) * POWERS[decimals];
    // The exponent counts from -149 for the last bit.
    let rounded = match 150 - i64::from(exponent) {
        places @ 1..127 => (product + (1 << (places - 1))) >> places,
        places @ -30..1 => product << -places,
        _ => 0,
    };
    u64::try_from(rounded).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn measured(value: f64) -> String {
        let mut out = Vec::new();
        push_measured(&mut out, value);
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn values_print_as_in_the_data_set() {
        let cases = [
            (18.80517196655273, "18.80517196655273"),
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (1.0, "1.0"),
            (-25.5, "-25.5"),
            (6000.015, "6000.01513671875"),
            (0.1, "0.1000000014901161"),
            (0.99999999, "1.0"),
            (0.002865568, "0.002865568036213517"),
            (-0.000328102, "-0.000328102003550157"),
        ];
        for (value, text) in cases {
            assert_eq!(measured(value), text);
        }
    }

    #[test]
    fn a_printed_value_reads_back_as_the_same_float() {
        let mut random = Random::new(7);
        for _ in 0..100_000 {
            let value = random.between(-1.0, 1.0) * [1e-4, 0.1, 1.0, 10.0, 300.0, 6000.0][random.below(6) as usize];
            let text = measured(value);
            assert_eq!(text.parse::<f64>().expect("a number") as f32, value as f32, "{text}");
            assert!(text.contains('.') && text.trim_start_matches(['-', '0', '.']).len() <= 17, "{text}");
        }
    }
}
