//! The admin port of a process: HTTP as little as it takes, and what is counted.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Gets `path`: the status and the body, or `None` when nobody answers.
pub fn http(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// What a process had counted at one moment; numbers of several servers are added up.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, i64>);

impl Metrics {
    /// Asks the process whose admin port is at `address`.
    pub fn of(address: SocketAddr) -> Self {
        let (status, text) = http(address, "/metrics").expect("the admin port answers");
        assert_eq!(status, 200, "{text}");
        let mut numbers = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = name.split_once('{').map_or(name, |(name, _)| name);
            let name = name.strip_suffix("_total").unwrap_or(name);
            // Seconds are the only numbers with a fraction.
            if name.ends_with("_seconds_sum") {
                continue;
            }
            let value: i64 = value.parse().expect("all of them count");
            *numbers.entry(name.to_owned()).or_insert(0) += value;
        }
        Self(numbers)
    }

    /// Where the metric called `name` stands; its `_total` is left out.
    pub fn get(&self, name: &str) -> i64 {
        let value = self.0.get(name);
        *value.unwrap_or_else(|| panic!("no metric {name} in {:?}", self.0.keys()))
    }

    /// By how much `name` has grown since `before`.
    pub fn grown(&self, name: &str, before: &Self) -> i64 {
        self.get(name) - before.get(name)
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
