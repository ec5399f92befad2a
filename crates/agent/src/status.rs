//! What a NOTIFY says of its subscription.

use presently_sip::{Message, Name, Params};

use crate::SubscriptionState;

/// What Subscription-State says.
pub(crate) struct Status {
    pub(crate) state: SubscriptionState,
    pub(crate) expires_secs: Option<u32>,
}

impl Status {
    /// `None` without the header, which every NOTIFY carries (RFC 6665 §4.2.2). An unknown state is
    /// taken for pending: nothing may be concluded from it (RFC 6665 §4.1.3).
    pub(crate) fn of(notify: &Message<'_>) -> Option<Self> {
        let (state, params) = split(notify.text(Name::SubscriptionState)?);
        let secs = |name| params.value(name).and_then(|it| it.parse().ok());
        let state = match state.to_ascii_lowercase().as_str() {
            "active" => SubscriptionState::Active,
            "terminated" => SubscriptionState::Terminated {
                reason: params
                    .value("reason")
                    .unwrap_or_default()
                    .to_ascii_lowercase(),
                retry_after_secs: secs("retry-after"),
            },
            _ => SubscriptionState::Pending,
        };
        Some(Self {
            state,
            expires_secs: secs("expires"),
        })
    }
}

/// A token and the parameters after it.
pub(crate) fn split(value: &str) -> (&str, Params<'_>) {
    let (token, params) = value.split_once(';').unwrap_or((value, ""));
    (token.trim(), Params(params))
}
