//! Which rows of a column are null.

use arrow_buffer::{NullBuffer, NullBufferBuilder};

/// Nearly no column has nulls, and in most others they are rare: rows that are valid are only counted until a null follows.
#[derive(Debug)]
pub(crate) struct Validity {
    len: usize,
    /// The rows up to the last null at least; those after it are valid.
    marked: NullBufferBuilder,
}

impl Validity {
    pub(crate) fn new() -> Self {
        Self { len: 0, marked: NullBufferBuilder::new(0) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn append_non_null(&mut self) {
        self.len += 1;
    }

    pub(crate) fn append_n_nulls(&mut self, n: usize) {
        self.mark();
        self.marked.append_n_nulls(n);
        self.len += n;
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if self.marked.len() > self.len {
            self.marked.truncate(self.len);
        }
    }

    /// The nulls, if there is one; afterwards there are no rows.
    pub(crate) fn finish(&mut self) -> Option<NullBuffer> {
        self.mark();
        self.len = 0;
        self.marked.finish().filter(|nulls| nulls.null_count() > 0)
    }

    fn mark(&mut self) {
        self.marked.append_n_non_nulls(self.len - self.marked.len());
    }
}
