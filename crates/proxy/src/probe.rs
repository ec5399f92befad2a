//! Health checks of the application servers.
