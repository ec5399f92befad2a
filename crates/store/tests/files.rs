//! Files: what can be opened, and what is said of the rest.
