//! The worker: connector files, tasks, dead letters, offset commits, state.
