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
    assert_eq!(config.presence_from, [IpAddr::from([127, 0, 0, 1])]);
    assert_eq!(config.store, PathBuf::from("nlb.db"));
    assert!(config.admin.is_none());
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let with = |line: &str| format!("{line}\n{LEAST}");
    let end = |lines: &str| format!("{LEAST}{lines}\n");
    let server = "[[server]]\nname = \"a1\"\naddress = \"127.0.0.1:9001\"\n";
    let listen = "[[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:8080\"\n";
    let user = "user = [{ header = \"X-User\" }]";
    let kind = |lines: &str| LEAST.replace("kind = \"http\"", lines);
    let source = |source: &str| LEAST.replace("header = \"X-User\"", source);
    #[rustfmt::skip]
    let table = [
        (LEAST.replace(server, ""), "no [[server]]: "),
        (LEAST.replace(listen, ""), "no [[listen]]: "),
        (LEAST.replace(user, ""), "listen 127.0.0.1:8080: nothing names a user there"),
        (kind("kind = \"tcp\""), "listen 127.0.0.1:8080: nothing names a user there"),
        (kind("kind = \"http\"\nfirst_word = \"USER\""), "listen 127.0.0.1:8080: first_word is for"),
        (kind("kind = \"http\"\nproxy_protocol = \"required\""), "listen 127.0.0.1:8080: proxy_protocol needs"),
        (kind("kind = \"tcp\"\nfirst_word = \"\""), "listen 127.0.0.1:8080: first_word = \"\": it is one word"),
        (kind("kind = \"tcp\"\nfirst_word = \"TWO WORDS\""), "listen 127.0.0.1:8080: first_word = \"TWO WORDS\": "),
        (end("[resume]\nurl = \"\""), "resume.url = \"\": it is a URL"),
        (end("[resume]\nurl = \"example.com/desk\""), "resume.url = \"example.com/desk\": "),
        (end("[resume]\nurl = \"https://\""), "resume.url = \"https://\": "),
        (end("[resume]\nurl = \"://x\""), "resume.url = \"://x\": "),
        (end("[resume]\nurl = \"https://a.example/\\r\\nx\""), "resume.url = \"https://a.example/\\r\\nx\": "),
        (end(&format!("[resume]\nurl = \"https://{}\"", "a".repeat(505))), "resume.url = "),
        (end(server), "two [[server]] are called a1"),
        (LEAST.replace("a1", "a 1"), "server \"a 1\": a name is"),
        (with("name = \"-\""), "name \"-\": a name is"),
        (LEAST.replace("example.com", "exa mple"), "domain = \"exa mple\": "),
        (with("aor = \"sip:all@example.com\""), "aor = \"sip:all@example.com\": "),
        (with("sip = \"0.0.0.0:5080\""), "sip = 0.0.0.0:5080: "),
        (with("sip = \"[::1]:5080\""), "sip = [::1]:5080: "),
        (LEAST.replace("udp:127.0.0.1", "udp:192.0.2.1"), "sip = 127.0.0.1:0: "),
        (end("[guard]\nshare_percent = 101"), "guard.share_percent must be 1 to 100"),
        (end("[timeouts]\nadmit_ms = 61000"), "timeouts.admit_ms must be 100 to 60000"),
        (end("[guard]\nwithin_secs = 0"), "guard.within_secs must be 1 to 3600"),
        (end("[timeouts]\npath_idle_secs = 0"), "timeouts.path_idle_secs must be 1 to 2592000"),
        (end("[limits]\nwaiting_per_session = 0"), "limits.waiting_per_session must be 1 to 10000"),
        (end("[health]\nfall = 1001"), "health.fall must be 1 to 1000"),
        (end("[health]\npath = \"healthz\""), "health.path is \"healthz\" and must begin with /"),
        (end("[health]\npath = \"/a b\""), "health.path is \"/a b\" and must"),
        (end("[health]\nhost = \"a\\r\\nX: y\""), "health.host is \"a\\r\\nX: y\" and must"),
        (source("basic = false"), "basic = false names no place"),
        (source("jwt = { key_file = \"none.key\", algorithm = \"HS256\" }"), "the key file none.key cannot be read"),
    ];
    for (text, expected) in table {
        let error = config(&text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}\n{text}");
    }
}

#[test]
fn a_program_of_the_users_own_may_be_where_to_come_back() {
    for url in ["https://example.com/desk?a=b#c", "my-app+x.1://resume"] {
        let text = format!("{LEAST}[resume]\nurl = \"{url}\"\n");
        assert!(config(&text).is_ok(), "{url}");
    }
}

#[test]
fn a_short_key_is_refused_and_a_line_break_behind_it_is_none_of_it() {
    let file = std::env::temp_dir().join(format!("presently-nlb-key-{}", std::process::id()));
    let path = file.display().to_string();
    let jwt = format!("jwt = {{ key_file = \"{path}\", algorithm = \"HS256\" }}");
    let text = LEAST.replace("header = \"X-User\"", &jwt);
    std::fs::write(&file, "0123456789abcdef0123456789abcde\n").unwrap();
    let error = config(&text).unwrap_err().to_string();
    assert!(error.contains(&path), "{error}");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
    assert!(config(&text).is_ok());
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn the_machine_and_the_proxy_are_told_what_was_said() {
    let text = format!(
        "trusted = [\"10.0.0.0/8\"]\nby_address = true\n{LEAST}\
         [[listen]]\nkind = \"tcp\"\naddress = \"127.0.0.1:3389\"\nfirst_word = \"USER\"\n\
         proxy_protocol = \"optional\"\nsend_proxy = true\n[decision]\ngrace_ms = 700\n"
    );
    let config = config(&text).unwrap();
    let machine = config.machine("127.0.0.1:5080".parse().unwrap());
    assert_eq!(machine.aor.as_str(), "sip:nlb1@example.com");
    assert_eq!(machine.sent_by, "127.0.0.1:5080");
    assert_eq!(machine.grace.as_millis(), 700);
    let proxy = config.proxy();
    assert!(proxy.limits.verdict > machine.admit_within);
    assert!(proxy.trusted[0].contains(IpAddr::from([10, 1, 2, 3])));
    let word = presently_proxy::Carries::Tcp {
        first_word: Some("USER".into()),
    };
    assert_eq!(proxy.listeners[1].carries, word);
    assert!(proxy.listeners[1].is_announced && !proxy.listeners[0].is_announced);
    assert!(config.probes().is_announced);
}
