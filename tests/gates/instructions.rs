//! Goal: the steps of the hot path, and a request through the proxy, keep their instructions.
//! Method: each has an example that does it as often as it is told; two runs under callgrind differ
//! by nothing else. Left out, with one line, where valgrind is missing; with CI=true that fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// One step of the hot path.
struct Step {
    name: &'static str,
    package: &'static str,
    example: &'static str,
    /// What stands before the number of repeats.
    arguments: &'static [&'static str],
    /// How often it is done in the shorter run; in the longer one twice as often.
    repeats: u64,
    /// How many times the step is in one repeat.
    steps: u64,
    /// Where instructions are collected; everywhere when empty.
    inside: &'static str,
    /// The most instructions it may take, before slack.
    limit: u64,
}

const STEPS: [Step; 5] = [
    Step {
        name: "index a REGISTER",
        package: "presently-sip",
        example: "instructions",
        arguments: &["register"],
        repeats: 1000,
        steps: 1,
        inside: "",
        limit: 8_000,
    },
    Step {
        name: "route a request",
        package: "presently-balancer",
        example: "routing_instructions",
        arguments: &["register"],
        repeats: 1000,
        steps: 1,
        inside: "",
        limit: 15_000,
    },
    Step {
        name: "render a NOTIFY",
        package: "presently-presence",
        example: "notify_instructions",
        arguments: &[],
        repeats: 10,
        steps: 100,
        inside: "*Server*handle_completion*",
        limit: 3_000,
    },
    Step {
        name: "decode a wake",
        package: "presently-oob",
        example: "frame_instructions",
        arguments: &[],
        repeats: 1000,
        steps: 1,
        inside: "",
        limit: 1_000,
    },
    Step {
        name: "carry a request over a kept connection",
        package: "presently-proxy",
        example: "plain_proxy",
        arguments: &[],
        repeats: 1000,
        steps: 1,
        inside: "*current_thread::Context::run_task*",
        limit: 25_000,
    },
];

fn main() -> ExitCode {
    let valgrind = Command::new("valgrind").arg("--version").output();
    if valgrind.is_err() {
        println!("left out: instruction counts need valgrind (install valgrind)");
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        return if is_ci {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    let mut is_kept = true;
    for step in &STEPS {
        let example = build(step);
        let more = collect(step, &example, 2 * step.repeats);
        let fewer = collect(step, &example, step.repeats);
        let count = (more - fewer) / (step.repeats * step.steps);
        let limit = step.limit + step.limit / SLACK;
        let verdict = if count <= limit { "ok" } else { "TOO MANY" };
        println!(
            "{}: {count} instructions, {} allowed and a tenth: {verdict}",
            step.name, step.limit
        );
        is_kept &= count <= limit;
    }
    if is_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Builds a step's example as it is released, and says where it is.
fn build(step: &Step) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["build", "--release", "--message-format", "json"])
        .args(["-p", step.package, "--example", step.example])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(built.status.success(), "{} does not build", step.example);
    let lines = String::from_utf8(built.stdout).expect("JSON is text");
    let artifacts = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut paths = artifacts.filter_map(|artifact| {
        let is_it = artifact["target"]["name"] == step.example;
        let path = artifact["executable"].as_str().filter(|_| is_it)?;
        Some(PathBuf::from(path))
    });
    paths
        .next_back()
        .expect("cargo says where it put the example")
}

/// The instructions of one run, as callgrind sums them up.
fn collect(step: &Step, example: &Path, repeats: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    if !step.inside.is_empty() {
        valgrind.arg(format!("--toggle-collect={}", step.inside));
    }
    let run = valgrind
        .arg(example)
        .args(step.arguments)
        .arg(repeats.to_string())
        .output()
        .expect("valgrind was there before");
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}: {told}", step.example);
    let line = told.lines().find(|line| line.contains("Collected"));
    let count = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
    count.unwrap_or_else(|| panic!("callgrind tells no count: {told}"))
}

/// One in ten more is let through: compilers differ.
const SLACK: u64 = 10;
