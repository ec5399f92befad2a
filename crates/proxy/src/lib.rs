//! The reverse proxy of the nlb: it carries the bytes, and asks the machine who may go where.
