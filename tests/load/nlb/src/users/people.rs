//! The users and the application servers.

use std::cell::{Cell, RefCell};
use std::io::{Error, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Arguments;
use crate::http::{header, read_head};

/// All users, and what happened to their tunnels.
pub(super) struct People {
    /// When the application server saw the user's tunnel closed.
    closed: RefCell<Vec<Option<Instant>>>,
    next: Cell<usize>,
    entered: Cell<usize>,
    failed: Cell<usize>,
    /// The users' ends of their tunnels.
    held: RefCell<Vec<TcpStream>>,
}

impl People {
    pub(super) fn new(told: &Arguments) -> Self {
        Self {
            closed: RefCell::new(vec![None; told.users]),
            next: Cell::new(0),
            entered: Cell::new(0),
            failed: Cell::new(0),
            held: RefCell::default(),
        }
    }

    /// Starts the application servers.
    pub(super) async fn serve(self: &Rc<Self>, addresses: &[SocketAddr]) {
        for address in addresses {
            let listener = TcpListener::bind(address).await.expect("bind an app");
            let people = Rc::clone(self);
            spawn_local(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let people = Rc::clone(&people);
                    spawn_local(async move {
                        let _ = people.application(stream).await;
                    });
                }
            });
        }
    }

    async fn application(&self, mut stream: TcpStream) -> Result<()> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(());
        }
        if first != *b"U" {
            return answer_requests(stream).await;
        }
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        let user = line.split([' ', 'u']).find_map(|word| word.parse().ok());
        let user: usize = user.ok_or_else(|| Error::other("no user"))?;
        stream.write_all(b"s\n").await?;
        let end = stream.read(&mut [0; 64]).await;
        let is_over = !matches!(end, Ok(length) if length > 0);
        self.closed.borrow_mut()[user] = is_over.then(Instant::now);
        Ok(())
    }

    /// Lets the users in that are not, up to `end`; returns when the last one is.
    pub(super) async fn enter(self: &Rc<Self>, told: &Arguments, end: usize) {
        let workers = (0..told.window).map(|_| {
            let (people, told) = (Rc::clone(self), told.clone());
            spawn_local(async move { people.work(&told, end).await })
        });
        let workers: Vec<_> = workers.collect();
        for worker in workers {
            worker.await.expect("a worker ends");
        }
        let entered = self.entered.get();
        let failed = self.failed.get();
        eprintln!("{entered} entered, {failed} tries failed");
        assert_eq!(entered, end, "all users entered");
    }

    /// Takes one user after the other.
    async fn work(&self, told: &Arguments, end: usize) {
        let mut kept = None;
        loop {
            let user = self.next.get();
            if user >= end {
                return;
            }
            self.next.set(user + 1);
            let is_tunnel = user >= told.users - told.tunnels;
            for _ in 0..TRIES_MAX {
                let done = match is_tunnel {
                    true => self.tunnel(told, user).await,
                    false => request(told, user, &mut kept).await,
                };
                if let Err(error) = done {
                    if self.failed.replace(self.failed.get() + 1) == 0 {
                        eprintln!("first failure, of u{user}: {error}");
                    }
                    kept = None;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
                self.entered.set(self.entered.get() + 1);
                break;
            }
        }
    }

    async fn tunnel(&self, told: &Arguments, user: usize) -> Result<()> {
        let mut stream = connect(told.tcp, user).await?;
        stream
            .write_all(format!("USER u{user} u{user}.1\n").as_bytes())
            .await?;
        while stream.read_u8().await? != b'\n' {}
        self.held.borrow_mut().push(stream);
        Ok(())
    }

    /// For each of these users with a tunnel: how long after `closed` it was closed.
    pub(super) fn cut(
        &self,
        users: &[usize],
        since: impl Fn(usize) -> Option<Instant>,
    ) -> Vec<Duration> {
        let closed = self.closed.borrow();
        let spans = users.iter().filter_map(|user| {
            let at = closed[*user]?;
            Some(at.saturating_duration_since(since(*user)?))
        });
        spans.collect()
    }

    /// Tunnels that were closed, of users who never left.
    pub(super) fn strangers_cut(&self, leavers: &[usize]) -> usize {
        let closed = self.closed.borrow();
        let leavers: std::collections::HashSet<_> = leavers.iter().collect();
        let cut = closed.iter().enumerate();
        cut.filter(|(user, at)| at.is_some() && !leavers.contains(user))
            .count()
    }
}

async fn answer_requests(mut stream: TcpStream) -> Result<()> {
    let mut buffer = Vec::new();
    while let Some(length) = read_head(&mut stream, &mut buffer).await? {
        buffer.drain(..length);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await?;
    }
    Ok(())
}

/// One request of one user, over a connection that other users have used before: as behind another
/// proxy.
async fn request(told: &Arguments, user: usize, kept: &mut Option<TcpStream>) -> Result<()> {
    if kept.is_none() {
        *kept = Some(connect(told.http, user).await?);
    }
    let stream = kept.as_mut().expect("it was connected");
    let request = format!("GET / HTTP/1.1\r\nHost: bench\r\nX-User: u{user}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::new();
    let length = read_head(stream, &mut buffer).await?;
    let head = &buffer[..length.ok_or_else(|| Error::other("closed"))?];
    if !head.starts_with(b"HTTP/1.1 200") {
        let start = &head[..head.len().min(40)];
        return Err(Error::other(String::from_utf8_lossy(start).into_owned()));
    }
    let body = header(head, "content-length").unwrap_or("?");
    match body {
        "0" => Ok(()),
        _ => Err(Error::other("a body nobody sent")),
    }
}

/// Connects from one of many loopback addresses, so that no bound on one address is met.
async fn connect(to: SocketAddr, user: usize) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let own = Ipv4Addr::new(127, 1, (user / 250 % 250) as u8, (user % 250) as u8 + 1);
    socket.bind(SocketAddr::from((own, 0)))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

const TRIES_MAX: usize = 20;
