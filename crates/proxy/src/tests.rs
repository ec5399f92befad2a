//! The proxy over real sockets: a client, an application server and the control loop are the test.

mod health;
mod http;
mod limits;
mod side;
mod tcp;
mod upgrade;
