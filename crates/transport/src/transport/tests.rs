//! The transport over real sockets on loopback, under a clock that the tests turn.

mod crowds;
mod datagrams;
mod side;
mod streams;
