//! Kafka's primitive types, read from the front of a slice.

/// The bytes end in the middle of what was to be read, or say what can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged;

/// What is left to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `len` bytes.
    #[inline]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn i8(&mut self) -> Result<i8, Damaged> {
        self.array().map(i8::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i16(&mut self) -> Result<i16, Damaged> {
        self.array().map(i16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32, Damaged> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, Damaged> {
        self.array().map(i64::from_be_bytes)
    }

    /// The length of an array: `-1` is an empty one, as Kafka's null.
    pub(crate) fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.i32()?;
        // Nothing that is counted has less than a byte, so a longer one is not there.
        let count = if count == -1 { 0 } else { usize::try_from(count).map_err(|_| Damaged)? };
        if count > self.0.len() { Err(Damaged) } else { Ok(count) }
    }

    /// A text with its length in two bytes.
    pub(crate) fn string(&mut self) -> Result<&'a str, Damaged> {
        let len = usize::try_from(self.i16()?).map_err(|_| Damaged)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Damaged)
    }

    /// Bytes with their length in four bytes; null is empty.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Damaged> {
        match self.i32()? {
            -1 => Ok(&[]),
            len => self.take(usize::try_from(len).map_err(|_| Damaged)?),
        }
    }

    /// A number of up to 64 bits in groups of seven, zig-zag.
    #[inline]
    pub(crate) fn varlong(&mut self) -> Result<i64, Damaged> {
        // Most are of one byte.
        if let [first, rest @ ..] = self.0
            && *first < 0x80
        {
            self.0 = rest;
            return Ok(zigzag(u64::from(*first)));
        }
        let mut value = 0;
        for (index, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(zigzag(value));
            }
        }
        Err(Damaged)
    }

    /// Bytes with their length as a varint; `-1` is null.
    #[inline]
    pub(crate) fn var_bytes(&mut self) -> Result<Option<&'a [u8]>, Damaged> {
        match self.varlong()? {
            -1 => Ok(None),
            len => self.take(usize::try_from(len).map_err(|_| Damaged)?).map(Some),
        }
    }
}

#[inline]
const fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_zigzag_in_groups_of_seven() {
        for (bytes, expected) in [
            (&[0][..], 0),
            (&[1], -1),
            (&[2], 1),
            (&[0x7f], -64),
            (&[0x80, 1], 64),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], i64::from(i32::MIN)),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], i64::MAX),
        ] {
            let mut bytes = Bytes(bytes);
            assert_eq!((bytes.varlong(), bytes.0.len()), (Ok(expected), 0));
        }
        assert_eq!(Bytes(&[0x80]).varlong(), Err(Damaged));
        assert_eq!(Bytes(&[0x80; 11]).varlong(), Err(Damaged));
    }

    #[test]
    fn what_is_not_there_is_damage() {
        assert_eq!(Bytes(&[0, 0, 0, 9, 1]).sized(), Err(Damaged));
        assert_eq!(Bytes(&[0x7f, 0xff, 0xff, 0xff]).count(), Err(Damaged));
        assert_eq!(Bytes(&[0xff; 4]).count(), Ok(0));
        assert_eq!(Bytes(&[0, 1, 0xff]).string(), Err(Damaged));
        assert_eq!(Bytes(&[3]).var_bytes(), Err(Damaged));
    }
}
