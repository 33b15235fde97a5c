//! Identities and their tokens.
