//! Values that have one text each in the store: flows, lists, addresses, and the words of enums.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use presently_pool::{FlowToken, MemberId, MemberState, Role};
use presently_sip::{Flow, Protocol};

use crate::{SessionState, SubscriptionState};

/// `balancer protocol listener remote slot generation`, one space between: `1 udp 0 192.0.2.7:5060
/// 0 0`.
pub(super) fn flow(token: &FlowToken) -> String {
    let flow = &token.flow;
    let protocol = match flow.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let mut text = String::with_capacity(48);
    let _ = write!(
        text,
        "{} {protocol} {} {} {} {}",
        token.balancer.0, flow.listener, flow.remote, flow.slot, flow.generation
    );
    text
}

/// Reads what [`flow`] wrote.
pub(super) fn read_flow(text: &str) -> Option<FlowToken> {
    let mut words = text.split(' ');
    let token = FlowToken {
        balancer: MemberId(words.next()?.parse().ok()?),
        flow: Flow {
            protocol: match words.next()? {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            },
            listener: words.next()?.parse().ok()?,
            remote: words.next()?.parse().ok()?,
            slot: words.next()?.parse().ok()?,
            generation: words.next()?.parse().ok()?,
        },
    };
    words.next().is_none().then_some(token)
}

/// The host that [`flow`] writes for a far end at `ip`: over a socket of its own kind, and over one
/// of the other kind. The column `ip` of `bindings` holds it.
pub(super) fn flow_hosts(ip: IpAddr) -> [String; 2] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => [ip.to_string(), format!("[{}]", ip.to_ipv6_mapped())],
        IpAddr::V6(ip) => [format!("[{ip}]"), String::new()],
    }
}

/// A list of texts as netstrings (`3:abc,`), because any character may stand in one.
pub(super) fn list(items: &[Arc<str>]) -> String {
    let mut text = String::new();
    for item in items {
        let _ = write!(text, "{}:{item},", item.len());
    }
    text
}

/// Reads what [`list`] wrote.
pub(super) fn read_list(mut text: &str) -> Option<Vec<Arc<str>>> {
    let mut items = Vec::new();
    while !text.is_empty() {
        let (length, rest) = text.split_once(':')?;
        let (item, rest) = rest.split_at_checked(length.parse().ok()?)?;
        items.push(item.into());
        text = rest.strip_prefix(',')?;
    }
    Some(items)
}

/// The word of a role.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Balancer => "balancer",
        Role::Server => "server",
    }
}

/// Reads what [`role`] wrote.
pub(super) fn read_role(text: &str) -> Option<Role> {
    match text {
        "balancer" => Some(Role::Balancer),
        "server" => Some(Role::Server),
        _ => None,
    }
}

/// The word of a member's state.
pub(super) fn member_state(state: MemberState) -> &'static str {
    match state {
        MemberState::Alive => "alive",
        MemberState::Ended => "ended",
        MemberState::Left => "left",
    }
}

/// Reads what [`member_state`] wrote.
pub(super) fn read_member_state(text: &str) -> Option<MemberState> {
    match text {
        "alive" => Some(MemberState::Alive),
        "ended" => Some(MemberState::Ended),
        "left" => Some(MemberState::Left),
        _ => None,
    }
}

/// The word of a session's state.
pub(super) fn session_state(state: SessionState) -> &'static str {
    match state {
        SessionState::Releasing => "releasing",
        SessionState::Resuming => "resuming",
        SessionState::Serving => "serving",
    }
}

/// Reads what [`session_state`] wrote.
pub(super) fn read_session_state(text: &str) -> Option<SessionState> {
    match text {
        "releasing" => Some(SessionState::Releasing),
        "resuming" => Some(SessionState::Resuming),
        "serving" => Some(SessionState::Serving),
        _ => None,
    }
}

/// The word of a subscription's state (RFC 6665 §4.1.3).
pub(super) fn subscription_state(state: SubscriptionState) -> &'static str {
    match state {
        SubscriptionState::Active => "active",
        SubscriptionState::Pending => "pending",
    }
}

/// Reads what [`subscription_state`] wrote.
pub(super) fn read_subscription_state(text: &str) -> Option<SubscriptionState> {
    match text {
        "active" => Some(SubscriptionState::Active),
        "pending" => Some(SubscriptionState::Pending),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_reads_back_as_it_was_written() {
        for remote in ["192.0.2.7:5060", "[2001:db8::1]:5061", "[fe80::1%3]:9"] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let token = FlowToken {
                    balancer: MemberId(u32::MAX),
                    flow: Flow {
                        protocol,
                        listener: 255,
                        remote: remote.parse().unwrap(),
                        slot: 7,
                        generation: u32::MAX,
                    },
                };
                assert_eq!(read_flow(&flow(&token)), Some(token));
            }
        }
    }

    #[test]
    fn text_that_is_no_flow_is_not_read() {
        for text in [
            "",
            "1 udp 0 192.0.2.7:5060 0",
            "1 sctp 0 192.0.2.7:5060 0 0",
            "1 udp 0 h 0 0",
        ] {
            assert_eq!(read_flow(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_reads_back_whatever_stands_in_it() {
        let lists: [&[&str]; 5] = [
            &[],
            &[""],
            &["<sip:a;lr>"],
            &["3:x,", ":", ",,"],
            &["\0\n", "é"],
        ];
        for items in lists {
            let items: Vec<Arc<str>> = items.iter().map(|item| Arc::from(*item)).collect();
            assert_eq!(read_list(&list(&items)), Some(items));
        }
    }

    #[test]
    fn text_that_is_no_list_is_not_read() {
        for text in ["x", "3:ab,", "2:abc,", "1:é,", "-1:,"] {
            assert_eq!(read_list(text), None, "{text}");
        }
    }
}
