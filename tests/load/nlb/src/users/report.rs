//! What the run came to, as one line of JSON.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use super::Arguments;
use super::presence::Counts;
use crate::processes::cpu_s;

/// What a process has cost so far.
#[derive(Clone, Copy)]
pub(super) struct Spent {
    cpu_s: f64,
    rss_kib: u64,
}

impl Spent {
    pub(super) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        Self {
            cpu_s: cpu_s(&[pid]),
            rss_kib: number.and_then(|it| it.parse().ok()).unwrap_or(0),
        }
    }
}

/// Times in milliseconds, in order of size.
pub(super) struct Span {
    count: usize,
    p50: f64,
    p99: f64,
    max: f64,
}

impl Span {
    pub(super) fn of(times: Vec<Duration>) -> Self {
        let mut millis: Vec<f64> = times.iter().map(|it| it.as_secs_f64() * 1e3).collect();
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (millis.len() as f64 * share) as usize;
            let found = millis.get(place.min(millis.len().saturating_sub(1)));
            found.copied().unwrap_or(0.0)
        };
        Self {
            count: millis.len(),
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// The line, as it grows.
pub(super) struct Report {
    line: String,
    users: usize,
    tunnels: usize,
    idle_cores: f64,
}

impl Report {
    pub(super) fn new(told: &Arguments) -> Self {
        let (users, tunnels) = (told.users, told.tunnels);
        Self {
            line: format!("{{\"users\":{users},\"tunnels\":{tunnels}"),
            users,
            tunnels,
            idle_cores: 0.0,
        }
    }

    fn add(&mut self, name: &str, value: f64) {
        write!(self.line, ",\"{name}\":{value:.3}").expect("a String takes it");
    }

    fn span(&mut self, name: &str, span: &Span) {
        self.add(&format!("{name}_count"), span.count as f64);
        self.add(&format!("{name}_p50_ms"), span.p50);
        self.add(&format!("{name}_p99_ms"), span.p99);
        self.add(&format!("{name}_max_ms"), span.max);
    }

    pub(super) fn entered(&mut self, took: Duration, before: Spent, requested: Spent, now: Spent) {
        let sessions = (self.users - self.tunnels) as f64;
        self.add("enter_s", took.as_secs_f64());
        self.add(
            "enter_cpu_us",
            (requested.cpu_s - before.cpu_s) * 1e6 / sessions,
        );
        self.add("rss_before_mib", before.rss_kib as f64 / 1024.0);
        self.add("rss_mib", now.rss_kib as f64 / 1024.0);
        let grown = |one: Spent, other: Spent| other.rss_kib.saturating_sub(one.rss_kib) as f64;
        self.add(
            "session_bytes",
            grown(before, requested) * 1024.0 / sessions,
        );
        let tunnels = self.tunnels.max(1) as f64;
        self.add("tunnel_bytes", grown(requested, now) * 1024.0 / tunnels);
    }

    pub(super) fn idle(&mut self, secs: u64, before: Spent, now: Spent) {
        self.idle_cores = (now.cpu_s - before.cpu_s) / secs as f64;
        self.add("idle_cores", self.idle_cores);
    }

    /// What a refresh of each kind costs, for each user.
    pub(super) fn refreshed(&mut self, took: Duration, before: Spent, now: Spent, counts: Counts) {
        let spent = now.cpu_s - before.cpu_s - self.idle_cores * took.as_secs_f64();
        self.add("refresh_s", took.as_secs_f64());
        self.add("registers", counts.registers as f64);
        self.add("publishes", counts.publishes as f64);
        self.add("subscribes", counts.subscribes as f64);
        self.add("notifies", counts.notifies as f64);
        self.add("repeated", counts.repeated as f64);
        self.add("anew", counts.anew as f64);
        self.add(
            "refresh_cpu_us",
            spent * 1e6 / counts.subscribes.max(1) as f64,
        );
        self.add("refreshed_rss_mib", now.rss_kib as f64 / 1024.0);
    }

    /// Requests that keep something up, while users left.
    pub(super) fn meanwhile(&mut self, requests: u64, took: Duration) {
        self.add("refreshes_meanwhile", requests as f64);
        self.add("leaving_s", took.as_secs_f64());
    }

    pub(super) fn left(
        &mut self,
        before: Spent,
        now: Spent,
        freed: Span,
        cut: Span,
        is_done: bool,
    ) {
        self.span("freed", &freed);
        self.span("tunnel_closed", &cut);
        let per = (now.cpu_s - before.cpu_s) * 1e6 / freed.count.max(1) as f64;
        self.add("leave_cpu_us", per);
        self.add("all_said_good_bye", f64::from(u8::from(is_done)));
    }

    pub(super) fn others(&mut self, sessions: usize, tunnels: usize) {
        self.add("wrong_sessions", sessions as f64);
        self.add("wrong_tunnels", tunnels as f64);
    }

    pub(super) fn line(&self) -> String {
        format!("{}}}", self.line)
    }
}
