//! What an nlb's settings come to, and what is refused with which line.

use super::*;
use crate::config::parse;

const LEAST: &str = r#"
domain = "example.com"
presence = "udp:127.0.0.1:5060"
user = [{ header = "X-User" }]
[[listen]]
kind = "http"
address = "127.0.0.1:8080"
[[server]]
name = "a1"
address = "127.0.0.1:9001"
"#;

fn config(text: &str) -> Result<Config, ConfigError> {
    Config::new(parse("f", text).unwrap())
}

#[test]
fn the_least_that_is_said_is_enough() {
    let config = config(LEAST).unwrap();
    assert_eq!(config.name, "nlb1");
    assert_eq!(config.aor, "sip:{user}@example.com");
    assert_eq!(config.presence_from, [IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(config.store, PathBuf::from("nlb.db"));
    assert!(config.threads >= 1 && config.admin.is_none() && config.keys.is_empty());
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let without = |line: &str| LEAST.replace(line, "");
    let server = "[[server]]\nname = \"a1\"\naddress = \"127.0.0.1:9001\"\n";
    let listen = "[[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:8080\"\n";
    let user = "user = [{ header = \"X-User\" }]\n";
    let table = [
        (without(server), "no [[server]]: "),
        (without(listen), "no [[listen]]: "),
        (
            without(user),
            "listen 127.0.0.1:8080: without `user` nobody names one there",
        ),
        (format!("{LEAST}{server}"), "two [[server]] are called a1"),
        (LEAST.replace("a1", "a 1"), "server \"a 1\": a name is"),
        (format!("name = \"-\"\n{LEAST}"), "name \"-\": a name is"),
        (
            LEAST.replace("example.com", "exa mple"),
            "domain = \"exa mple\": ",
        ),
        (
            format!("aor = \"sip:all@example.com\"\n{LEAST}"),
            "aor = \"sip:all@example.com\": ",
        ),
        (
            format!("sip = \"0.0.0.0:5080\"\n{LEAST}"),
            "sip = 0.0.0.0:5080: ",
        ),
        (
            LEAST.replace("udp:127.0.0.1", "udp:192.0.2.1"),
            "sip = 127.0.0.1:0: ",
        ),
        (
            format!("{LEAST}[guard]\nshare_percent = 101\n"),
            "guard.share_percent must be 1 to 100",
        ),
        (
            LEAST.replace("kind = \"http\"", "kind = \"http\"\nuser = \"bound\""),
            "listen 127.0.0.1:8080: `user` is for",
        ),
        (
            LEAST.replace("kind = \"http\"", "kind = \"tcp\""),
            "listen 127.0.0.1:8080: without `user`",
        ),
        (
            LEAST.replace("kind = \"http\"", "kind = \"tcp\"\nuser = \"proxy\""),
            "listen 127.0.0.1:8080: user = \"proxy\" needs",
        ),
        (
            LEAST
                .replace("kind = \"http\"", "kind = \"http\"\nproxy_protocol = true")
                .replace("127.0.0.1:8080", "0.0.0.0:80"),
            "listen 0.0.0.0:80 can be reached",
        ),
        (
            LEAST.replace("header = \"X-User\"", "basic = false"),
            "basic = false names no place",
        ),
        (
            LEAST.replace(
                "header = \"X-User\"",
                "jwt = { key_file = \"none.key\", algorithm = \"HS256\" }",
            ),
            "the key file none.key cannot be read",
        ),
    ];
    for (text, expected) in table {
        let error = config(&text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{text}");
    }
}

#[test]
fn a_short_key_is_refused_and_a_line_break_behind_it_is_none_of_it() {
    let folder = std::env::temp_dir().join(format!("presently-nlb-key-{}", std::process::id()));
    let path = folder.display().to_string();
    let jwt = format!("jwt = {{ key_file = \"{path}\", algorithm = \"HS256\" }}");
    let text = LEAST.replace("header = \"X-User\"", &jwt);
    std::fs::write(&folder, "too short\n").unwrap();
    let error = config(&text).unwrap_err().to_string();
    assert!(error.contains("has 9 bytes"), "{error}");
    std::fs::write(&folder, "0123456789abcdef0123456789abcdef\n").unwrap();
    assert_eq!(config(&text).unwrap().keys[0].len(), 32);
    std::fs::remove_file(&folder).unwrap();
}
