//! Tests of servers.
