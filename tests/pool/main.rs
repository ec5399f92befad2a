//! The real program over real sockets, each role a process of its own: black-box tests of what
//! docs/conformance.md calls R1 to R14, of starting and stopping, and of bad input.

mod admin;
mod backup;
mod commands;
mod drain;
mod faults;
mod flows;
mod hostile;
mod path;
mod refused;
mod rejoin;
mod reload;
mod restart;
mod streams;
mod trace;
mod transports;
