//! The real program over real sockets, each role a process of its own: black-box tests of what
//! docs/conformance.md calls R1 to R14 and S1 to S26, of starting and stopping, and of bad input.

mod admin;
mod backup;
mod commands;
mod drain;
mod faults;
mod flows;
mod full_disk;
mod hostile;
mod nlb;
mod nlb_faults;
mod nlb_presence;
mod nlb_program;
mod nlb_users;
mod path;
mod refused;
mod rejoin;
mod reload;
mod restart;
mod streams;
mod trace;
mod transports;
