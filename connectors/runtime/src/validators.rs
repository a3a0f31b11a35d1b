//! Checks of values that keys of connectors and of the worker share. The error is what was expected.

/// A whole number of 32 bits, at least 1.
pub(crate) fn at_least_one(value: &str) -> Result<(), String> {
    if value.parse::<i32>().is_ok_and(|n| n >= 1) { Ok(()) } else { Err("expected at least 1".into()) }
}

/// A whole number of 64 bits, at least 0.
pub(crate) fn at_least_zero(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n >= 0) { Ok(()) } else { Err("expected at least 0".into()) }
}

/// A whole number of 64 bits, at least 0, or -1.
pub(crate) fn at_least_minus_one(value: &str) -> Result<(), String> {
    if value.parse::<i64>().is_ok_and(|n| n >= -1) { Ok(()) } else { Err("expected at least 0, or -1 for without end".into()) }
}

/// The replicas of a new topic.
pub(crate) fn replicas(value: &str) -> Result<(), String> {
    at_least_one_or_default(value, i16::MAX.into())
}

/// The partitions of a new topic.
pub(crate) fn partitions(value: &str) -> Result<(), String> {
    at_least_one_or_default(value, i32::MAX)
}

fn at_least_one_or_default(value: &str, most: i32) -> Result<(), String> {
    let fits = value.parse::<i32>().is_ok_and(|n| n == -1 || (1..=most).contains(&n));
    if fits { Ok(()) } else { Err("expected at least 1, or -1 for the brokers' default".into()) }
}
