//! Goal: packages of third parties stand beside `presence` as equals.

use super::*;

/// A package that sends numbered bodies and takes any text.
struct Echo;

impl EventPackage for Echo {
    fn name(&self) -> &'static str {
        "Echo"
    }

    fn content_types(&self) -> &[&str] {
        &["text/plain"]
    }

    fn check(&self, _: &ResourceId, _: &str, body: &[u8]) -> Result<(), BodyRefused> {
        std::str::from_utf8(body)
            .map(|_| ())
            .map_err(|_| BodyRefused::Malformed)
    }

    fn compose(&self, _: &ResourceState<'_>) -> Composed {
        Composed {
            content_type: Arc::from("text/plain"),
            body: Bytes::new(),
            dropped: 0,
        }
    }

    fn render(&self, _: Option<&Document>, _: &View<'_>) -> Rendered {
        Rendered::Numbered {
            content_type: Arc::from("text/plain"),
            head: Bytes::from_static(b"number "),
            tail: Bytes::new(),
        }
    }
}

#[test]
fn packages_are_found_by_name_in_any_case() {
    let packages = Packages::default().with(Arc::new(Echo));
    let names: Vec<&str> = packages.names().map(PackageName::as_str).collect();
    assert_eq!(names, ["echo", "presence"]);
    for (name, is_offered) in [("Presence", true), ("echo", true), ("dialog", false)] {
        let found = packages.find(&PackageName::new(name));
        assert_eq!(found.is_some(), is_offered, "{name}");
    }
}

#[test]
fn a_package_gets_an_hour_and_no_registrations_unless_it_says_so() {
    let [echo, presence]: [&dyn EventPackage; 2] = [&Echo, &Presence::default()];
    assert_eq!(
        (echo.default_expires_secs(), echo.follows_registration()),
        (3600, false)
    );
    assert_eq!(
        (
            presence.default_expires_secs(),
            presence.follows_registration()
        ),
        (3600, true)
    );
}

#[test]
fn each_refusal_has_its_status() {
    let all = [
        BodyRefused::Malformed,
        BodyRefused::TooLarge,
        BodyRefused::Unsupported,
    ];
    assert_eq!(all.map(BodyRefused::status), [400, 413, 415]);
}
