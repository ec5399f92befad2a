//! One process of ours: started, listened to, ended by its id.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

/// A running program, killed when the value goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command`; what it writes is kept, line by line.
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let lines = Arc::default();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for pipe in pipes {
            let lines = Arc::clone(&lines);
            thread::spawn(move || keep_lines(pipe, &lines));
        }
        let input = child.stdin.take();
        Self {
            child,
            input,
            lines,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn said(&self) -> Vec<String> {
        self.lines.lock().expect("readers do not panic").clone()
    }

    /// Waits for a line that `find` makes something of.
    pub fn hear<T>(&mut self, what: &str, mut find: impl FnMut(&str) -> Option<T>) -> T {
        let end = Instant::now() + START_WITHIN;
        loop {
            if let Some(found) = self.said().iter().find_map(|line| find(line)) {
                return found;
            }
            let is_waiting = self.child.try_wait().expect("it is our child").is_none();
            let is_in_time = is_waiting && Instant::now() < end;
            assert!(is_in_time, "no {what}: {}", self.said().join("\n"));
            thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Writes to its standard input.
    pub fn type_in(&mut self, text: &str) {
        let input = self.input.as_mut().expect("it is piped");
        // A program that has ended is found by whoever waits for its effect.
        let _ = input.write_all(text.as_bytes());
        let _ = input.flush();
    }

    /// Sends it a signal (`TERM`, `STOP` …).
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(id)
            .status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits until it has ended by itself.
    pub fn ended(&mut self, bound: Duration) -> ExitStatus {
        until("the process to end", bound, || self.has_ended())
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Asks it to end (SIGTERM) and gives how it did.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended(STOP_WITHIN)
    }

    /// Ends it at once, as a crash would (SIGKILL).
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How many files and sockets it has open.
    pub fn files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.id());
        fs::read_dir(path).expect("it runs").count()
    }

    /// Its memory in use, in KiB (VmRSS).
    pub fn memory_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.id());
        let text = fs::read_to_string(path).expect("it runs");
        let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let value = value.and_then(|value| value.trim().strip_suffix(" kB"));
        value
            .and_then(|value| value.parse().ok())
            .expect("a number of kB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program, built in the profile of the test that asks, or the one `PRESENTLY_PROGRAM` names.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(path) = env::var_os("PRESENTLY_PROGRAM") {
            return path.into();
        }
        let test = env::current_exe().expect("the system says it");
        let profile_dir = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
        let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
            Some("debug") => "dev",
            Some(name) => name,
            None => "dev",
        };
        let target = profile_dir.parent().expect("target");
        let built = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--workspace", "--all-features"])
            .args(["--bin", "presently", "--profile", profile, "--target-dir"])
            .arg(target)
            .status();
        assert!(
            built.expect("cargo is there").success(),
            "it does not build"
        );
        profile_dir.join("presently")
    })
}

/// `presently` with `args`, to be started.
pub fn presently<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_remove("RUST_LOG");
    command
}

/// Runs `presently` with `args` to its end.
pub fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Output {
    let mut child = presently(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let end = Instant::now() + RUN_WITHIN;
    while child.try_wait().expect("it is our child").is_none() {
        if Instant::now() >= end {
            let _ = child.kill();
        }
        thread::park_timeout(LOOK_EVERY);
    }
    child.wait_with_output().expect("it has ended")
}

/// Looks until `look` sees something; panics when the bound is over.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + bound;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: not within {bound:?}");
        thread::park_timeout(LOOK_EVERY);
    }
}

fn keep_lines(pipe: impl Read, lines: &Mutex<Vec<String>>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        lines.lock().expect("nobody panics here").push(text);
        line.clear();
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A start may wait 1.5 s for a namesake, on a machine that does other things too.
const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Longer than any command takes that ends by itself.
const RUN_WITHIN: Duration = Duration::from_secs(40);
