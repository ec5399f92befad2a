//! Why a request is refused, and the header its answer must carry: statuses meet headers here only.

use crate::package::{BodyRefused, Packages};
use crate::publication::PublishError;
use crate::registrar::RegisterError;
use crate::subscription::SubscribeError;

/// An error answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) header: Option<(&'static str, String)>,
}

impl Refusal {
    fn plain(status: u16) -> Self {
        Self {
            status,
            header: None,
        }
    }

    fn with(status: u16, name: &'static str, value: String) -> Self {
        Self {
            status,
            header: Some((name, value)),
        }
    }

    /// RFC 3261 §8.2.2.3.
    pub(crate) fn bad_extension(tags: String) -> Self {
        Self::with(420, "Unsupported", tags)
    }

    /// RFC 6665 §4.2.1.1, §8.2.2.
    pub(crate) fn bad_event(packages: &Packages) -> Self {
        let names: Vec<&str> = packages
            .names()
            .map(presently_pool::PackageName::as_str)
            .collect();
        Self::with(489, "Allow-Events", names.join(", "))
    }

    /// RFC 3261 §8.2.3: no coding is undone here.
    pub(crate) fn bad_encoding() -> Self {
        Self::with(415, "Accept-Encoding", "identity".to_owned())
    }

    pub(crate) fn bad_request() -> Self {
        Self::plain(400)
    }

    /// RFC 3903 §6 step 5.
    pub(crate) fn body(refused: BodyRefused, types: &[&str]) -> Self {
        match refused {
            BodyRefused::Unsupported => Self::with(415, "Accept", types.join(", ")),
            other => Self::plain(other.status()),
        }
    }

    /// RFC 3261 §8.2.2.2.
    pub(crate) fn merged() -> Self {
        Self::plain(482)
    }

    /// RFC 3261 §8.2.1.
    pub(crate) fn method_not_allowed() -> Self {
        Self::with(405, "Allow", ALLOW.to_owned())
    }

    /// RFC 6665 §5.4.5.
    pub(crate) fn not_acceptable(types: &[&str]) -> Self {
        Self::with(406, "Accept", types.join(", "))
    }

    pub(crate) fn publish(error: PublishError, types: &[&str]) -> Self {
        match error {
            PublishError::Body(refused) => Self::body(refused, types),
            PublishError::IntervalTooBrief { min_secs } => {
                Self::with(423, "Min-Expires", min_secs.to_string())
            }
            other => Self::plain(other.status()),
        }
    }

    pub(crate) fn register(error: RegisterError) -> Self {
        match error {
            RegisterError::IntervalTooBrief { min_secs } => {
                Self::with(423, "Min-Expires", min_secs.to_string())
            }
            other => Self::plain(other.status()),
        }
    }

    pub(crate) fn server_error() -> Self {
        Self::plain(500)
    }

    pub(crate) fn subscribe(error: SubscribeError) -> Self {
        match error {
            SubscribeError::IntervalTooBrief { min_secs } => {
                Self::with(423, "Min-Expires", min_secs.to_string())
            }
            other => Self::plain(other.status()),
        }
    }

    /// A bound is reached (RFC 3261 §21.5.4).
    pub(crate) fn unavailable(retry_after_secs: u64) -> Self {
        Self::with(503, "Retry-After", retry_after_secs.to_string())
    }

    /// No body is read in such a request: Accept is empty (RFC 3261 §8.2.3, §20.1).
    pub(crate) fn unread_body() -> Self {
        Self::with(415, "Accept", String::new())
    }

    /// The user has no binding (RFC 3261 §21.4.18).
    pub(crate) fn temporarily_unavailable() -> Self {
        Self::plain(480)
    }
}

/// The methods the pool serves.
pub const ALLOW: &str = "MESSAGE, NOTIFY, OPTIONS, PUBLISH, REGISTER, SUBSCRIBE";
