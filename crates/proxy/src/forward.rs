//! What changes in a request and an answer on their way: headers that speak of one connection only
//! go, those that tell whence a request came are added (RFC 9110 §7.6).

use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use crate::Forwarding;

/// Whence a request came, for its headers.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The far end's address, written once for a connection.
    pub(crate) address: HeaderValue,
    /// Whether it may speak for others.
    pub(crate) is_trusted: bool,
}

impl Origin {
    pub(crate) fn new(address: IpAddr, is_trusted: bool) -> Self {
        let text = address.to_canonical().to_string();
        let address = HeaderValue::try_from(text).expect("an address is visible ASCII");
        Self {
            address,
            is_trusted,
        }
    }
}

/// Whether a request asks to go over to another protocol, and does so properly: with nothing to
/// follow the request before (RFC 9110 §7.8).
pub(crate) fn upgrade_asked<B: hyper::body::Body>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE)
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && has_token(request.headers(), "upgrade")
        && protocols(request.headers()).next().is_some()
}

/// The protocols a request asks to go over to. HTTP/2 is ignored, as it may be (RFC 9110 §7.8): of
/// the requests in such a tunnel nobody would ask whose they are.
fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(UPGRADE).iter().flat_map(tokens);
    all.filter(|protocol| {
        let name = protocol.split('/').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("h2c")
    })
}

/// Whether a request may be sent again when nothing came back (RFC 9110 §9.2.2).
pub(crate) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

/// Makes a client's request ours to send on. `telling` are the headers that tell whose it is: the
/// application server gets those it was admitted by, whatever the client says of them.
pub(crate) fn rewrite_request<B>(
    request: &mut Request<B>,
    origin: &Origin,
    telling: &[HeaderName],
    forwarding: Forwarding,
    is_upgrade: bool,
) {
    make_origin_form(request);
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    if headers.keys().any(is_looked_at) {
        clean_request(headers, telling, is_upgrade);
    }
    if forwarding == Forwarding::Own {
        if !origin.is_trusted {
            remove_claims(headers, telling);
        }
        add_forwarded(headers, origin);
    }
    headers.append(VIA, HeaderValue::from_static(VIA_US));
}

/// Removes from a request what is not for its server.
fn clean_request(headers: &mut HeaderMap, telling: &[HeaderName], is_upgrade: bool) {
    // Of two lengths only the one the body was read by is true (RFC 9112 §6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let takes_trailers = headers.get(TE).is_some_and(|te| te == "trailers");
    let upgrade = is_upgrade.then(|| {
        let protocols: Vec<_> = protocols(headers).collect();
        HeaderValue::try_from(protocols.join(", ")).expect("parts of values make a value")
    });
    remove_hops(headers, telling);
    // Ours to answer: hyper does, when the application server has begun to read the body.
    headers.remove(EXPECT);
    headers.remove(PROXY_AUTHORIZATION);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// Removes what a client says of its own way, which is ours to say.
fn remove_claims(headers: &mut HeaderMap, telling: &[HeaderName]) {
    let is_ours = |name| [&FORWARDED_FOR, &FORWARDED_HOST, &FORWARDED_PROTO].contains(&name);
    let claims = headers.keys().filter(|name| {
        is_of_the_way(name) && *name != VIA && (is_ours(name) || !telling.contains(name))
    });
    for name in claims.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

/// Makes an application server's answer ours to send on.
pub(crate) fn rewrite_response<B>(response: &mut Response<B>) {
    *response.version_mut() = Version::HTTP_11;
    let upgrade = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
        .then(|| response.headers().get(UPGRADE).cloned())
        .flatten();
    let headers = response.headers_mut();
    if headers.keys().any(is_looked_at) {
        // It would cut short a body that was read by its chunks (RFC 9112 §6.3).
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        remove_hops(headers, &[]);
        headers.remove(PROXY_AUTHENTICATE);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
}

/// `GET http://host/path` becomes `GET /path` for that host (RFC 9112 §3.2.2).
fn make_origin_form<B>(request: &mut Request<B>) {
    let Some(authority) = request.uri().authority().cloned() else {
        return;
    };
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    let target = target.map_or_else(Uri::default, Uri::from);
    *request.uri_mut() = target;
}

/// Removes what speaks of one connection only (RFC 9110 §7.6.1), but none of `telling`.
fn remove_hops(headers: &mut HeaderMap, telling: &[HeaderName]) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        // What says where a message ends is not the client's to remove, nor whose it is, nor whence
        // it came.
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST)
        .filter(|name| !is_of_the_way(name) && !telling.contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["http2-settings", "keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}

/// Whether this header may have to go. Most messages have none such: one look at all names costs
/// less than a search for each of these.
fn is_looked_at(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "expect"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether this header says which way a message came: what proxies write, and a client could claim.
fn is_of_the_way(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(name, "forwarded" | "via" | "x-real-ip") || name.starts_with(FORWARDED_PREFIX)
}

/// Says whence a request came. What others than a trusted proxy said of it was removed.
fn add_forwarded(headers: &mut HeaderMap, origin: &Origin) {
    let host = headers.get(HOST).cloned();
    let told = [
        (&FORWARDED_PROTO, Some(HeaderValue::from_static("http"))),
        (&FORWARDED_HOST, host),
    ];
    for (name, value) in told {
        let is_told = origin.is_trusted && headers.contains_key(name);
        if let Some(value) = value.filter(|_| !is_told) {
            headers.append(name, value);
        }
    }
    if origin.is_trusted {
        extend_way(headers, &origin.address);
    } else {
        headers.append(&FORWARDED_FOR, origin.address.clone());
    }
}

fn extend_way(headers: &mut HeaderMap, address: &HeaderValue) {
    let known = headers.get_all(&FORWARDED_FOR).iter().chain([address]);
    let way: Vec<&[u8]> = known.map(HeaderValue::as_bytes).collect();
    let way = HeaderValue::try_from(way.join(&b", "[..])).expect("parts of values make a value");
    headers.insert(&FORWARDED_FOR, way);
}

fn has_token(headers: &HeaderMap, wanted: &str) -> bool {
    let mut all = headers.get_all(CONNECTION).iter().flat_map(tokens);
    all.any(|token| token.eq_ignore_ascii_case(wanted))
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

const VIA_US: &str = "1.1 presently";
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PREFIX: &str = "x-forwarded-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_names_the_user_goes_on_whatever_it_is_called() {
        let telling = [HeaderName::from_static("x-forwarded-user")];
        let origin = Origin::new([127, 0, 0, 1].into(), false);
        for forwarding in [Forwarding::Own, Forwarding::Untouched] {
            let mut request = Request::builder()
                .header("connection", "x-forwarded-user, x-forwarded-email")
                .header("x-forwarded-user", "alice")
                .header("x-forwarded-email", "root@example.com")
                .body(())
                .unwrap();
            rewrite_request(&mut request, &origin, &telling, forwarding, false);
            let headers = request.headers();
            assert_eq!(headers.get("x-forwarded-user").unwrap(), "alice");
            let is_claimed = headers.contains_key("x-forwarded-email");
            assert_eq!(is_claimed, forwarding == Forwarding::Untouched);
        }
    }

    #[test]
    fn whence_a_request_came_is_ours_to_say_even_if_it_tells_whose_it_is() {
        let telling = [FORWARDED_FOR.clone()];
        let origin = Origin::new([192, 0, 2, 1].into(), false);
        let mut request = Request::builder()
            .header("x-forwarded-for", "203.0.113.7")
            .header("x-forwarded-for", "203.0.113.8")
            .body(())
            .unwrap();
        rewrite_request(&mut request, &origin, &telling, Forwarding::Own, false);
        let told: Vec<_> = request.headers().get_all(&FORWARDED_FOR).iter().collect();
        assert_eq!(told, ["192.0.2.1"]);
    }

    #[test]
    fn a_request_without_a_host_claims_none() {
        let origin = Origin::new([127, 0, 0, 1].into(), false);
        let mut request = Request::builder()
            .header("x-forwarded-host", "bank.example")
            .body(())
            .unwrap();
        rewrite_request(&mut request, &origin, &[], Forwarding::Own, false);
        assert!(!request.headers().contains_key("x-forwarded-host"));
    }
}
