//! Deterministic look-alike of the electric motor data set.
