//! The transport over real sockets on loopback, under a clock that the tests turn.

mod datagrams;
mod side;
mod streams;
