//! Tests of sent.
