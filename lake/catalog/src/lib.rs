//! Finds the tables of a lake.
