//! A presence server as a machine: event packages, documents, decisions.

pub mod fuzz;
pub mod package;
mod pidf;
pub mod publication;
