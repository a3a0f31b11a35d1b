//! DuckDB over the lake.
