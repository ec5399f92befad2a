//! The proxy over real sockets: a client, an application server and the control loop are the test.

mod faults;
mod headers;
mod health;
mod http;
mod limits;
mod side;
mod start;
mod tcp;
mod upgrade;
