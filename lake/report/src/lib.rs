//! Charts of a lake as one HTML page.
