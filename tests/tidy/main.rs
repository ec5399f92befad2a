//! The tree itself: what the style asks that a program can check, and what the documents promise.

mod crates;
mod documents;
mod sources;
mod tree;
