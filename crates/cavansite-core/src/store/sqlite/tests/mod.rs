//! Tests of what only this engine does.
