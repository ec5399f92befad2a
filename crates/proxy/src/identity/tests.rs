//! Who is believed to be whom.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::header::HeaderValue;
use proptest::prelude::*;
use ring::hmac;

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: WallTime = WallTime(1_300_000_000_000_000);

const X_USER: HeaderName = HeaderName::from_static("x-user");

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn identity(users: Vec<Source>) -> Identity {
    let template = AorTemplate::parse("sip:{user}@example.test").unwrap();
    Identity::new(users, Vec::new(), template)
}

fn token_source(key: JwtKey, claim: &str) -> Jwt {
    Jwt {
        claim: claim.into(),
        key,
        from: TokenPlace::Bearer,
        issuer: None,
        audience: None,
    }
}

fn hs256() -> JwtKey {
    JwtKey::new(JwtAlgorithm::Hs256, SECRET).unwrap()
}

/// A token with a right signature, whatever its parts say.
fn token(header: &str, claims: &str) -> String {
    let signed = [header, claims]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn all_sources() -> Vec<Source> {
    vec![
        Source::Header(X_USER),
        Source::Cookie("user".into()),
        Source::Jwt(token_source(hs256(), "sub").into()),
        Source::Basic,
        Source::Query("user".into()),
    ]
}

/// The user of a request, by all sources in order.
fn user(list: &[(&'static str, &str)], query: &str) -> Option<String> {
    let who = identity(all_sources()).who_at(NOW, Some(query), &headers(list));
    who.user.map(|user| user.user().to_owned())
}

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

#[test]
fn the_first_source_that_is_not_silent_decides() {
    let bearer = format!(
        "Bearer {}",
        token(r#"{"alg":"HS256"}"#, r#"{"sub":"token"}"#)
    );
    let (bearer, basic) = (("authorization", &*bearer), basic("basic:secret"));
    let (basic, header) = (("authorization", &*basic), ("x-user", "header"));
    let cookie = ("cookie", "a=b; user=cookie");
    let table: [(&[_], &str, &str); 6] = [
        (&[header, cookie, bearer], "user=query", "header"),
        (&[cookie, bearer], "user=query", "cookie"),
        (&[bearer], "user=query", "token"),
        (&[basic], "user=query", "basic"),
        (&[], "user=query", "query"),
        (
            &[("cookie", "a=b"), ("authorization", "Digest x")],
            "user=query",
            "query",
        ),
    ];
    for (list, query, expected) in table {
        assert_eq!(user(list, query).as_deref(), Some(expected), "{list:?}");
    }
    assert_eq!(user(&[], "a=b"), None);
    assert_eq!(
        identity(Vec::new())
            .who_at(NOW, None, &headers(&[header]))
            .user,
        None
    );
}

/// Each of these could otherwise be used to come down to the query, which says `victim`.
#[test]
fn what_is_not_believed_ends_the_search() {
    let long = "x".repeat(300);
    let forged = token(r#"{"alg":"HS256"}"#, r#"{"sub":"al"}"#).replace("eyJzdWI", "eyJzdWx");
    let forged = format!("Bearer {forged}");
    let no_colon = basic("al");
    let no_name = basic(":secret");
    let twice = basic("al:x");
    let table: &[&[(&str, &str)]] = &[
        &[("x-user", "al"), ("x-user", "bo")],
        &[("x-user", "al"), ("x-user", "al")],
        &[("x-user", "")],
        &[("x-user", " ")],
        &[("x-user", &long)],
        &[("cookie", "user=al; user=bo")],
        &[("cookie", "user=al"), ("cookie", "user=al")],
        &[("cookie", "user=")],
        &[("cookie", "user=\"\"")],
        &[("authorization", &forged)],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer x")],
        &[("authorization", &no_colon)],
        &[("authorization", &no_name)],
        &[("authorization", "Basic ***")],
        &[("authorization", "basic")],
        &[("authorization", &twice), ("authorization", &twice)],
        &[("authorization", "Digest x"), ("authorization", &twice)],
    ];
    for list in table {
        assert_eq!(user(list, "user=victim"), None, "{list:?}");
    }
    let mut bytes = HeaderMap::new();
    bytes.insert(X_USER, HeaderValue::from_bytes(b"al\xff").unwrap());
    let who = identity(all_sources()).who_at(NOW, Some("user=victim"), &bytes);
    assert_eq!(who.user, None);
}

#[test]
fn names_are_taken_as_their_source_writes_them() {
    let header: &[(&str, &str)] = &[("x-user", " al@evil.test;x?y ")];
    let utf8: &[(&str, &str)] = &[("x-user", "é")];
    let cookie: &[(&str, &str)] = &[("cookie", "users=no;user = \"a%20l\" ; b")];
    let equals: &[(&str, &str)] = &[("cookie", "user=a=b")];
    let table: [(&[_], &str, Option<&str>); 14] = [
        (header, "", Some("al@evil.test;x?y")),
        (utf8, "", Some("é")),
        (cookie, "", Some("a%20l")),
        (equals, "", Some("a=b")),
        (&[("cookie", "USER=no")], "", None),
        (&[], "user=a%20l", Some("a l")),
        (&[], "user=a+l", Some("a l")),
        (&[], "us%65r=al", Some("al")),
        (&[], "user=al&us%65r=bo", None),
        (&[], "user=%4", None),
        (&[], "user=%zz", None),
        (&[], "user=%ff", None),
        (&[], "user=%0d%0aVia:", None),
        (&[], "user", None),
    ];
    for (list, query, expected) in table {
        assert_eq!(user(list, query).as_deref(), expected, "{list:?} {query}");
    }
    let unpadded = [("authorization", "bAsIc YWw6eA")];
    assert_eq!(user(&unpadded, "").as_deref(), Some("al"));
}

#[test]
fn a_token_is_what_the_configuration_says() {
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let good = token(header, r#"{"sub":"al"}"#);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = token(header, r#"{"sub":"bo"}"#);
    let (other, _) = other.rsplit_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let claims = signed.split_once('.').unwrap().1;
    let long = format!(r#"{{"sub":"al","x":"{}"}}"#, "x".repeat(8192));
    let table = [
        (good.clone(), Some("al")),
        (token(header, r#"{"sub":1042}"#), Some("1042")),
        (token(header, r#"{"sub":-1}"#), Some("-1")),
        (token(header, r#"{"sub":1.5}"#), None),
        (token(header, r#"{"sub":null}"#), None),
        (token(header, r#"{"sub":["al"]}"#), None),
        (token(header, r#"{"sub":""}"#), None),
        (token(header, r#"{"name":"al"}"#), None),
        (token(header, r#"["sub"]"#), None),
        (token(header, "sub"), None),
        (token(header, &long), None),
        // Signed rightly, and by another algorithm as it says.
        (token(r#"{"alg":"none"}"#, r#"{"sub":"al"}"#), None),
        (token(r#"{"alg":"RS256"}"#, r#"{"sub":"al"}"#), None),
        (token(r#"{"alg":"hs256"}"#, r#"{"sub":"al"}"#), None),
        (token(r#"{"typ":"JWT"}"#, r#"{"sub":"al"}"#), None),
        (
            token(r#"{"alg":"HS256","crit":["x"]}"#, r#"{"sub":"al"}"#),
            None,
        ),
        // Not signed, or not this.
        (format!("{none}.{claims}."), None),
        (format!("{none}.{claims}"), None),
        (format!("{signed}."), None),
        (signed.to_owned(), None),
        (format!("{other}.{signature}"), None),
        (format!("{signed}.{}", &signature[1..]), None),
        (format!("{good}="), None),
        (format!("{good}.x"), None),
        (format!("x.{good}"), None),
        ("..".to_owned(), None),
    ];
    for (token, expected) in table {
        let bearer = format!("Bearer {token}");
        let name = user(&[("authorization", &bearer)], "user=victim");
        assert_eq!(name.as_deref(), expected, "{token:.200}");
    }
}

#[test]
fn a_token_has_its_time_its_issuer_and_its_audience() {
    let mut source = token_source(hs256(), "sub");
    let times = [
        (r#""exp":1300000001"#, true),
        (r#""exp":1299999971"#, true), // clocks differ
        (r#""exp":1299999970"#, false),
        (r#""exp":1300000000.5"#, true),
        (r#""exp":0"#, false),
        (r#""exp":"1400000000""#, false),
        (r#""exp":null"#, false),
        (r#""nbf":1300000030"#, true),
        (r#""nbf":1300000031"#, false),
        (r#""nbf":"soon""#, false),
        (r#""nbf":1299999999,"exp":1300000001"#, true),
    ];
    let is_taken = |source: &Jwt, claims: &str| {
        let token = token(
            r#"{"alg":"HS256"}"#,
            &format!("{{\"sub\":\"al\",{claims}}}"),
        );
        let list = headers(&[("authorization", &format!("Bearer {token}"))]);
        let sources = vec![Source::Jwt(source.clone().into())];
        identity(sources).who_at(NOW, None, &list).user.is_some()
    };
    for (claims, expected) in times {
        assert_eq!(is_taken(&source, claims), expected, "{claims}");
    }
    source.issuer = Some("us".into());
    source.audience = Some("nlb".into());
    let parties = [
        (r#""iss":"us","aud":"nlb""#, true),
        (r#""iss":"us","aud":["x","nlb"]"#, true),
        (r#""iss":"us","aud":["x"]"#, false),
        (r#""iss":"us""#, false),
        (r#""iss":"them","aud":"nlb""#, false),
        (r#""iss":["us"],"aud":"nlb""#, false),
        (r#""aud":"nlb""#, false),
    ];
    for (claims, expected) in parties {
        assert_eq!(is_taken(&source, claims), expected, "{claims}");
    }
}

const P_256: &[u8] = include_bytes!("../../../../tests/data/jwt/p-256.pem");
const RSA: &[u8] = include_bytes!("../../../../tests/data/jwt/rsa-2048.pem");
const RSA_TOKEN: &str = include_str!("../../../../tests/data/jwt/rs256.jwt");

/// The examples of RFC 7515 §A.1 and §A.3, which end at 1300819380.
#[test]
fn each_algorithm_is_checked_with_its_key() {
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxl\
        LmNvbS9pc19yb290Ijp0cnVlfQ";
    let hs256 = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{claims}.\
         dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{claims}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8\
         ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUu\
        TwjAzZr1Z9CAow";
    let secret = URL_SAFE_NO_PAD.decode(secret).unwrap();
    let keys = [
        ("iss", JwtKey::new(JwtAlgorithm::Hs256, &secret).unwrap()),
        ("iss", JwtKey::new(JwtAlgorithm::Es256, P_256).unwrap()),
        ("sub", JwtKey::new(JwtAlgorithm::Rs256, RSA).unwrap()),
    ];
    let tokens = [(&*hs256, "joe"), (&*es256, "joe"), (RSA_TOKEN, "al")];
    for (of, (claim, key)) in keys.iter().enumerate() {
        let sources = vec![Source::Jwt(token_source(key.clone(), claim).into())];
        let identity = identity(sources);
        for (by, (token, name)) in tokens.iter().enumerate() {
            let list = headers(&[("authorization", &format!("Bearer {token}"))]);
            let name_at = |now| {
                let user = identity.who_at(now, None, &list).user;
                user.map(|user| user.user().to_owned())
            };
            let expected = (of == by).then(|| (*name).to_owned());
            assert_eq!(name_at(NOW), expected, "{key:?} {token:.80}");
            assert_eq!(
                name_at(NOW.after(std::time::Duration::from_hours(240))),
                None
            );
        }
    }
}

#[test]
fn a_key_is_one_of_its_algorithm() {
    use JwtAlgorithm::{Es256, Hs256, Rs256};
    let p_384 = include_bytes!("../../../../tests/data/jwt/p-384.pem");
    let weak = include_bytes!("../../../../tests/data/jwt/rsa-1024.pem");
    let broken = String::from_utf8_lossy(P_256).replace("MFkw", "MFow");
    let dos = String::from_utf8_lossy(P_256).replace('\n', "\r\n");
    let twice = [P_256, P_256].concat();
    let table: [(_, &[u8], _); 15] = [
        (Es256, P_256, Ok("JwtKey(ES256)")),
        (Es256, dos.as_bytes(), Ok("JwtKey(ES256)")),
        (Rs256, RSA, Ok("JwtKey(RS256)")),
        (Hs256, SECRET, Ok("JwtKey(HS256)")),
        (Hs256, &SECRET[1..], Err(InvalidKey::Short)),
        (Hs256, b"", Err(InvalidKey::Short)),
        (Hs256, RSA, Err(InvalidKey::NotSecret)),
        (Hs256, P_256, Err(InvalidKey::NotSecret)),
        (Es256, RSA, Err(InvalidKey::Pem)),
        (Rs256, P_256, Err(InvalidKey::Pem)),
        (Es256, p_384, Err(InvalidKey::Pem)),
        (Rs256, weak, Err(InvalidKey::Short)),
        (Es256, broken.as_bytes(), Err(InvalidKey::Pem)),
        (Es256, &twice, Err(InvalidKey::Pem)),
        (Es256, SECRET, Err(InvalidKey::Pem)),
    ];
    for (algorithm, bytes, expected) in table {
        let key = JwtKey::new(algorithm, bytes).map(|key| format!("{key:?}"));
        assert_eq!(
            key.as_deref().map_err(|error| *error),
            expected,
            "{algorithm:?}"
        );
    }
}

#[test]
fn a_token_may_stand_in_other_places() {
    let token = token(r#"{"alg":"HS256"}"#, r#"{"sub":"al"}"#);
    let table = [
        (
            TokenPlace::Bearer,
            "authorization",
            format!("bearer  {token}"),
            String::new(),
        ),
        (
            TokenPlace::Cookie("t".into()),
            "cookie",
            format!("t={token}"),
            String::new(),
        ),
        (
            TokenPlace::Header(X_USER),
            "x-user",
            token.clone(),
            String::new(),
        ),
        (
            TokenPlace::Query("t".into()),
            "accept",
            String::new(),
            format!("t={token}"),
        ),
    ];
    for (from, name, value, query) in table {
        let in_query = !query.is_empty();
        let source = Jwt {
            from: from.clone(),
            ..token_source(hs256(), "sub")
        };
        let identity = identity(vec![Source::Jwt(source.into())]);
        let who = identity.who_at(NOW, Some(&query), &headers(&[(name, &value)]));
        assert!(who.user.is_some(), "{from:?}");
        assert_eq!(identity.reads_query(), in_query);
        let is_looked_at = identity.headers().iter().any(|header| header == name);
        assert_eq!(is_looked_at, !in_query, "{from:?}");
    }
}

#[test]
fn the_device_and_the_uuid_come_along() {
    let template = AorTemplate::parse("sip:{user}@example.test").unwrap();
    let devices = vec![
        Source::Cookie("device".into()),
        Source::Query("device".into()),
    ];
    let identity = Identity::new(vec![Source::Header(X_USER)], devices, template);
    let (uuid, long) = ("0190b5a4-7c1e-7000-8000-00000000abcd", "a".repeat(65));
    let in_query = format!("presently-uuid={uuid}");
    let other = "presently-uuid=0";
    let long_device = format!("device={}", "d".repeat(129));
    let resumes = ("presently-session", uuid);
    let table: [(&[_], &str, Option<&str>, Option<&str>); 13] = [
        (&[resumes], "", None, Some(uuid)),
        (&[], &in_query, None, Some(uuid)),
        (&[resumes], &in_query, None, Some(uuid)),
        (&[resumes], other, None, None),
        (&[resumes, resumes], "", None, None),
        (&[("presently-session", "a b")], "", None, None),
        (&[("presently-session", &long)], "", None, None),
        (&[("presently-session", "")], &in_query, None, None),
        (
            &[("cookie", "device=desk")],
            "device=hand",
            Some("desk"),
            None,
        ),
        (
            &[],
            "device=sip:al@192.0.2.7",
            Some("sip:al@192.0.2.7"),
            None,
        ),
        (
            &[("cookie", "device=a; device=b")],
            "device=hand",
            None,
            None,
        ),
        (&[], "device=a%0ab", None, None),
        (&[], &long_device, None, None),
    ];
    for (list, query, device, uuid) in table {
        let who = identity.who_at(NOW, Some(query), &headers(list));
        assert_eq!(who.device.as_deref(), device, "{list:?} {query}");
        assert_eq!(who.uuid.as_deref(), uuid, "{list:?} {query}");
        assert_eq!(who.user, None);
    }
}

proptest! {
    #[test]
    fn any_request_holds(
        names in proptest::collection::vec(
            (0..4_usize, proptest::collection::vec(0x20_u8..=0xff, 0..60)), 0..6,
        ),
        query in "[a-z=&%+0-9;?@]{0,40}|(user=|presently-uuid=)\\PC{0,20}",
    ) {
        let known = ["x-user", "cookie", "authorization", "presently-session"];
        let mut headers = HeaderMap::new();
        for (at, value) in names {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(known[at]), value);
            }
        }
        let who = identity(all_sources()).who_at(NOW, Some(&query), &headers);
        if let Some(user) = who.user {
            prop_assert_eq!(user.host(), "example.test");
            prop_assert_eq!(Aor::parse(&user.to_string()), Ok(user));
        }
    }
}
