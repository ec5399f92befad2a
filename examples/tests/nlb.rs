//! The example nlb, run as people run it.
//!
//! Goal: its story ends well, and ends badly when the presence server hears of nobody who leaves.
//! Method: the program itself, as a child, at any free port.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn the_story_is_told_to_its_end() {
    let told = play(&["--once", "--port", "0"]);
    let text = text(&told);
    assert!(told.status.success(), "{text}");
    for line in [
        "alice  is greeted by a",
        "admitted     path",
        "after the presence server knew",
        "released     the user left",
        "the pool keeps nothing of hers",
        "his phone was sent UUID=",
        "resumed",
        "where she was",
        "slots released early: 1",
        "wrong releases: 0",
        "have stopped",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn the_story_fails_when_the_presence_server_hears_nothing() {
    let told = play(&["--once", "--port", "0", "--silent"]);
    let text = text(&told);
    assert!(!told.status.success(), "{text}");
    let failure = "FAILED: alice's slot becomes free: not within 2s";
    assert!(text.contains(failure), "{text}");
}

/// Goal: the client comes back with the UUID that its phone was sent, and to the same server.
/// Method: the message that the nlb would send is sent in its place.
#[test]
fn the_client_comes_back_on_the_message() {
    let nlb = Running::start("nlb", &["--port", "0", "--no-story"]);
    let hear = |word| nlb.hear(|line| behind(line, word));
    let (pool, http, admin) = (hear("--pool "), hear("--nlb "), hear("--admin "));
    let arguments = ["--pool", &pool, "--nlb", &http, "--user", "frank"];
    let client = Running::start("nlb_client", &arguments);
    let server = client.hear(|line| behind(line, "connected to "));
    let sessions = get(&admin, "/sessions?user=frank");
    let uuid = sessions.split("\"uuid\":\"").nth(1).expect("a session");
    let uuid = uuid.split('"').next().expect("its UUID");
    let told = message(&pool, "frank", uuid);
    assert!(told.starts_with("SIP/2.0 200 "), "{told}");
    assert_eq!(client.hear(|line| behind(line, "says UUID=")), uuid);
    let again = client.hear_again(|line| behind(line, "connected to "), 2);
    assert_eq!(again, server);
    let sessions = get(&admin, "/sessions?user=frank");
    assert_eq!(sessions.matches(uuid).count(), 1, "{sessions}");
}

/// The page as it is served, its script run by node.
#[test]
fn the_page_comes_back_on_the_message() {
    if let Some(program) = missing(&["node"]) {
        println!("left out: {program} is not installed");
        return;
    }
    open_page("page.mjs", &[]);
}

/// The same page in a browser, where it also shows whose the slots are. With `PRESENTLY_PICTURES`
/// set to a folder, what it looked like is kept there.
#[test]
fn a_browser_shows_the_slot_that_is_freed_and_comes_back_on_the_message() {
    if let Some(program) = missing(&["node", "chromium"]) {
        println!("left out: {program} is not installed");
        return;
    }
    open_page("browser.mjs", &["chromium"]);
}

/// Of these programs, one that is not installed.
fn missing<'a>(programs: &[&'a str]) -> Option<&'a str> {
    let lacks = |name: &str| Command::new(name).arg("--version").output().is_err();
    programs.iter().copied().find(|name| lacks(name))
}

/// Runs a script of this folder, which opens the page.
fn open_page(script: &str, arguments: &[&str]) {
    let nlb = Running::start("nlb", &["--port", "0", "--no-story"]);
    let admin = nlb.hear(|line| behind(line, "--admin "));
    let page = nlb.hear(|line| line.trim().strip_prefix("http://").map(str::to_owned));
    let told = Command::new("node")
        .arg(format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR")))
        .args(arguments)
        .args([&format!("http://{page}"), &admin])
        .args(std::env::var_os("PRESENTLY_PICTURES"))
        .output()
        .expect("node runs");
    let text = text(&told);
    let errors = String::from_utf8_lossy(&told.stderr);
    let is_done = told.status.success() && text.ends_with("DONE\n");
    assert!(is_done, "{text}{errors}");
}

/// A program that runs, and what it has said; ended with the value.
struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(example(name));
        let command = command.args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the example can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("nobody panics with it").push(line);
            }
        });
        Self { child, said }
    }

    /// What `find` makes of a line, once there is one.
    fn hear(&self, find: impl Fn(&str) -> Option<String>) -> String {
        self.hear_again(find, 1)
    }

    /// The same for the `count`th such line.
    fn hear_again(&self, find: impl Fn(&str) -> Option<String>, count: usize) -> String {
        let end = Instant::now() + WITHIN;
        loop {
            let said = self.said.lock().expect("nobody panics with it").clone();
            let mut found = said.iter().filter_map(|line| find(line));
            if let Some(found) = found.nth(count - 1) {
                return found;
            }
            assert!(Instant::now() < end, "{}", said.join("\n"));
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The word behind `word` in a line.
fn behind(line: &str, word: &str) -> Option<String> {
    let (_, rest) = line.split_once(word)?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// What the admin port answers.
fn get(admin: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).expect("the admin port listens");
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).expect("it takes it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

/// Sends `user` the UUID, and gives the answer.
fn message(pool: &str, user: &str, uuid: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let at = socket.local_addr().expect("it is bound");
    let body = format!("UUID={uuid}\r\n");
    let text = format!(
        "MESSAGE sip:{user}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKm;rport\r\n\
         From: <sip:nlb1@example.com>;tag=m\r\nTo: <sip:{user}@example.com>\r\nCall-ID: m\r\n\
         CSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket
        .send_to(text.as_bytes(), pool)
        .expect("the pool is there");
    socket.set_read_timeout(Some(WITHIN)).expect("a bound");
    let mut buffer = [0; 4_096];
    let length = socket.recv(&mut buffer).expect("an answer");
    let answer = buffer.get(..length).expect("it was read into it");
    String::from_utf8_lossy(answer).into_owned()
}

fn play(arguments: &[&str]) -> Output {
    let program = example("nlb");
    let output = Command::new(&program).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// `cargo test` builds the examples beside the folder of the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(|deps| deps.parent());
    let profile = profile.expect("a test is built into deps");
    profile.join("examples").join(name)
}

const WITHIN: Duration = Duration::from_secs(30);

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
