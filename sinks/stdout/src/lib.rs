//! The model sink: prints rows as JSON lines.
