//! What attributes count for `SizeBytes` and for the item limit ("DynamoDB item sizes and formats" in the developer guide; the rule
//! for numbers is the one that recorded stream records follow).

/// The largest item: names and values.
pub(crate) const MAX_ITEM_BYTES: usize = 400 * 1024;
/// The longest value of a partition key.
pub(crate) const MAX_PARTITION_KEY_BYTES: usize = 2048;
/// The longest value of a sort key.
pub(crate) const MAX_SORT_KEY_BYTES: usize = 1024;
/// The deepest list or map; one that is an attribute itself is at level 1.
pub(crate) const MAX_LEVELS: usize = 32;

/// A list or a map, before its elements.
pub(crate) const CONTAINER: usize = 3;
/// An element of a list or a map, besides its name and value.
pub(crate) const ELEMENT: usize = 1;
/// A `BOOL` or a `NULL`.
pub(crate) const FLAG: usize = 1;
/// The number 0.
pub(crate) const NUMBER_ZERO: usize = 1;

/// A number that is not zero, of `digits` significant digits, the first of which stands for `10^exponent`.
///
/// It is stored as pairs of digits that are aligned on the decimal point, after one byte of exponent; a negative number takes one more.
#[inline]
pub(crate) fn number(digits: usize, exponent: i64, negative: bool) -> usize {
    let split = digits.is_multiple_of(2) && exponent % 2 == 0;
    1 + digits.div_ceil(2) + usize::from(split) + usize::from(negative)
}
