//! The demo application servers: a page, and a WebSocket that echoes. Each open WebSocket is a slot
//! in use.

use std::net::SocketAddr;

use presently_sip::Aor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::desk::Desk;
use crate::slots::Slots;
use crate::websocket::{self, Frame};

/// One application server, serving until the program ends.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    desk: Desk,
    slots: Slots,
}

impl Application {
    /// Starts it at any free port.
    pub(crate) async fn start(
        name: &'static str,
        desk: Desk,
        slots: Slots,
    ) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let application = Self {
            name,
            address,
            desk,
            slots,
        };
        application.slots.open(name);
        let serving = application.clone();
        tokio::spawn(async move {
            while let Ok((stream, far)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream, far).await });
            }
        });
        Ok(application)
    }

    async fn serve(&self, mut stream: TcpStream, far: SocketAddr) -> Option<()> {
        loop {
            let request = Request::read(&mut stream).await?;
            if let Some(key) = request.header("sec-websocket-key") {
                let user = request.user()?;
                return self.echo(stream, far, key, user).await;
            }
            let (status, kind, body) = match (request.path(), request.user()) {
                ("/", _) => ("200 OK", "text/html; charset=utf-8", self.page()),
                ("/desk", Some(user)) => {
                    let heard = self.desk.asked(user, request.query("do")).await;
                    ("200 OK", "text/plain", heard)
                }
                ("/slots", _) => ("200 OK", "text/plain", self.table()),
                _ => ("404 Not Found", "text/plain", String::new()),
            };
            // The page asks its desk past the nlb, which to a browser is another site.
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                 Access-Control-Allow-Origin: *\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.ok()?;
        }
    }

    /// The page. A phone is no client of the application: what the page wants of it goes to the
    /// server's own address, and the nlb does not take it for something that the user does.
    fn page(&self) -> String {
        let page = PAGE.replace("{server}", self.name);
        page.replace("{origin}", &format!("http://{}", self.address))
    }

    /// A line for each application server: its name, and who uses it.
    fn table(&self) -> String {
        let lines = self.slots.all().into_iter().map(|(server, users)| {
            let users = users.iter().map(|user| format!(" {user}"));
            format!("{server}{}\n", users.collect::<String>())
        });
        lines.collect()
    }

    /// A slot in use: greets with the server's name, then echoes until the connection ends.
    async fn echo(
        &self,
        mut stream: TcpStream,
        far: SocketAddr,
        key: &str,
        user: &str,
    ) -> Option<()> {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            websocket::accept(key)
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        let _seat = self.slots.take(self.name, user, far);
        websocket::write(&mut stream, self.name, false).await?;
        while let Some(Frame::Text(text)) = websocket::read(&mut stream).await {
            websocket::write(&mut stream, &text, false).await?;
        }
        Some(())
    }
}

/// The head of one request; a demo has no bodies.
struct Request(String);

impl Request {
    async fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.ok()?;
            head.push(byte);
            if head.len() > HEAD_BYTES_MAX {
                return None;
            }
        }
        String::from_utf8(head).ok().map(Self)
    }

    fn target(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target().split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.lines().filter_map(|line| line.split_once(':'));
        let line = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        line.map(|(_, value)| value.trim())
    }

    /// Whose request it is, by the same places in which the nlb looks.
    fn user(&self) -> Option<&str> {
        let user = self.header("x-user").or_else(|| self.query("user"));
        user.filter(|user| Aor::parse(&format!("sip:{user}@example.com")).is_ok())
    }
}

const PAGE: &str = include_str!("page.html");
const HEAD_BYTES_MAX: usize = 16 * 1024;
