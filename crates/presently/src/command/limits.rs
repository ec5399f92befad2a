//! The limit of open files: each phone over a stream costs one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one; what it is then, `None` for none.
///
/// Best effort: a process that may not raise it serves as many phones as it can.
pub(crate) fn raise_open_files() -> Option<u64> {
    let present = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: present.maximum,
        maximum: present.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => present.current,
    }
}
