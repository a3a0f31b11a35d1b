//! What the tests share: servers, commands, comparisons.
