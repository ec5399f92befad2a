//! One test for each rule of an RFC that a phone can notice: raw SIP texts through the simulated
//! pool.
//!
//! Each test runs with the servers beside their balancer and in hosts of their own. The ids (`G12`)
//! are those of docs/conformance.md, which lists rule, test and whether it is kept.

mod play;
mod text;

mod document;
mod message;
mod notify;
mod proxy;
mod publish;
mod register;
mod request;
mod subscribe;
