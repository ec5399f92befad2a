//! A reverse proxy that knows nothing of presence: each path goes to the application server with
//! the fewest live ones.
//! `cargo run -p presently-proxy --example plain_proxy -- HTTP TCP THREADS SERVER,… TCP_SERVER,…`.
//! Without arguments it carries one request to a server of its own and ends; with a count, so many
//! over one kept connection, for counting instructions: the difference of two counts.

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::HeaderName;
use hyper::{HeaderMap, Uri};
use presently_nlb::{PathId, PathKind, Refusal, ServerName, Verdict};
use presently_proxy::{Asked, Carries, Identify, Listener, Proxy, Questions, Settings, Who};
use presently_sip::{Aor, Moment};

/// That of the program, so that what is measured here holds there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [http, tcp, threads, web, raw] = arguments.as_slice() {
        let (proxy, questions) = start(http.parse()?, tcp.parse()?, threads.parse()?)?;
        println!("listening at {:?}", proxy.addresses());
        return serve(&proxy, questions, &Servers::new(web, raw)?);
    }
    let loopback: SocketAddr = "127.0.0.1:0".parse()?;
    let one = NonZeroU16::MIN;
    let (proxy, questions) = start(loopback, loopback, one)?;
    let count: Option<usize> = arguments.first().map(|count| count.parse()).transpose()?;
    let web = count.map_or_else(answer_once, |_| answer_all())?;
    let address = *proxy.addresses().first().ok_or("a listener")?;
    let asking = std::thread::spawn(move || match count {
        Some(count) => ask_often(address, count),
        None => ask(address),
    });
    let servers = Servers::new(&web.to_string(), "")?;
    std::thread::spawn(move || serve(&proxy, questions, &servers).map_err(|_| ()));
    let answer = asking.join().map_err(|_| "the client failed")??;
    println!("{answer}");
    Ok(())
}

fn start(
    http: SocketAddr,
    tcp: SocketAddr,
    threads: NonZeroU16,
) -> Result<(Proxy, Questions), Box<dyn Error>> {
    let settings = Settings {
        listeners: vec![
            Listener::http(http),
            Listener {
                carries: Carries::Tcp {
                    first_word: Some("USER".into()),
                },
                ..Listener::tcp(tcp)
            },
        ],
        ..Settings::default()
    };
    let identify = Arc::new(ByHeader([HeaderName::from_static("x-user")]));
    let began = Instant::now();
    let clock = Arc::new(move || Moment::default().after(began.elapsed()));
    Ok(Proxy::start(settings, identify, clock, threads)?)
}

/// The control loop: fewest live paths, and the same server again for a user who has one.
fn serve(proxy: &Proxy, mut questions: Questions, servers: &Servers) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut live: HashMap<PathId, usize> = HashMap::new();
    let mut counts = vec![0_usize; servers.web.len().max(servers.raw.len())];
    while let Some(asked) = runtime.block_on(questions.next()) {
        match asked {
            Asked::Enter { entering, .. } => {
                let list = match entering.kind {
                    PathKind::Tcp => &servers.raw,
                    PathKind::Http => &servers.web,
                };
                let path = entering.path;
                let fewest = list.iter().zip(&mut counts).enumerate();
                let fewest = fewest.min_by_key(|(_, (_, count))| **count);
                let Some((place, ((server, address), count))) = fewest else {
                    let refusal = Refusal::NoServer;
                    proxy.tell(Verdict::Refuse { path, refusal });
                    continue;
                };
                *count += 1;
                live.insert(path, place);
                proxy.tell(Verdict::Admit {
                    path,
                    server: Arc::clone(server),
                    address: *address,
                });
            }
            Asked::Failed => return Err("a thread of the proxy has failed".into()),
            Asked::Left { path } => {
                let place = live.remove(&path);
                if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                    *count -= 1;
                }
            }
        }
    }
    Ok(())
}

struct Servers {
    web: Vec<(ServerName, SocketAddr)>,
    raw: Vec<(ServerName, SocketAddr)>,
}

impl Servers {
    fn new(web: &str, raw: &str) -> Result<Self, Box<dyn Error>> {
        let parse = |list: &str| -> Result<Vec<(ServerName, SocketAddr)>, Box<dyn Error>> {
            let addresses = list.split(',').filter(|text| !text.is_empty());
            let named = addresses.map(|text| Ok((text.into(), text.parse()?)));
            named.collect()
        };
        Ok(Self {
            web: parse(web)?,
            raw: parse(raw)?,
        })
    }
}

/// Believes a header. Only for a proxy whose clients cannot reach it but through others.
struct ByHeader([HeaderName; 1]);

impl Identify for ByHeader {
    fn headers(&self) -> &[HeaderName] {
        &self.0
    }

    fn reads_query(&self) -> bool {
        false
    }

    fn who(&self, _: &Uri, headers: &HeaderMap) -> Who {
        let [header] = &self.0;
        let name = headers.get(header).and_then(|value| value.to_str().ok());
        Who {
            user: name.and_then(|name| self.named(name)),
            ..Who::default()
        }
    }

    fn named(&self, name: &str) -> Option<Aor> {
        Aor::parse(&format!("sip:{name}@example.com")).ok()
    }
}

/// An application server for one request.
fn answer_once() -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut request = [0; 2048];
        let length = stream.read(&mut request)?;
        let request = String::from_utf8_lossy(request.get(..length).unwrap_or_default());
        let (length, end) = (request.len(), "Connection: close");
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{end}\r\n\r\n{request}"
        )
    });
    Ok(address)
}

/// A client's request; its answer is what the application server was sent.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let request = "GET /hello HTTP/1.1\r\nHost: example.com\r\nX-User: alice\r\n";
    write!(stream, "{request}Connection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// An application server for all requests of one connection.
fn answer_all() -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Server: s1\r\n\
             Content-Length: 128\r\n\r\n{:128}",
            ""
        );
        while stream.read(&mut [0; 2048])? > 0 {
            stream.write_all(answer.as_bytes())?;
        }
        Ok(())
    });
    Ok(address)
}

/// A client's requests, each when the one before is answered.
fn ask_often(address: SocketAddr, count: usize) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let mut answer = [0; 2048];
    for _ in 0..count {
        stream.write_all(b"GET /b/128 HTTP/1.1\r\nHost: bench\r\nX-User: u1\r\n\r\n")?;
        let length = stream.read(&mut answer)?;
        let answer = answer.get(..length).unwrap_or_default();
        if !answer.starts_with(b"HTTP/1.1 200") || !answer.ends_with(&[b' '; 128]) {
            return Err(std::io::Error::other("another answer"));
        }
    }
    Ok(format!("{count} requests"))
}
