//! `presently show`: all that the pool keeps about one client.

use std::error::Error;
use std::fmt::{self, Display};

use presently_store::ClientState;
use serde::Serialize;

use super::store::{self, secs_until};
use crate::cli::Show;
use crate::output::{self, tame_line};

pub(crate) fn run(args: &Show) -> Result<(), Box<dyn Error>> {
    let mut reading = store::open(&args.store)?;
    let status = reading.status()?;
    let Some(state) = reading.client(&args.client)? else {
        return Err(format!("the pool keeps nothing about {}", args.client).into());
    };
    let name_of = |id| {
        let member = status.members.iter().find(|member| Some(member.id) == id);
        member.map(|member| member.name.to_string())
    };
    let client = Shown::new(args.client.to_string(), &state, &name_of);
    if args.store.json {
        output::line(serde_json::to_string(&client)?)?;
    } else {
        output::print(client)?;
    }
    Ok(())
}

/// A client, as it is shown.
#[derive(Serialize)]
struct Shown {
    client: String,
    server: Option<String>,
    epoch: Option<u64>,
    bindings: Vec<Binding>,
    publications: Vec<Publication>,
    documents: Vec<Document>,
    watches: Vec<Watched>,
    watchers: Vec<WatchedBy>,
}

#[derive(Serialize)]
struct Binding {
    contact: String,
    user_agent: String,
    is_silent: bool,
    expires_in_secs: u64,
}

#[derive(Serialize)]
struct Publication {
    package: String,
    entity_tag: String,
    content_type: String,
    bytes: usize,
    expires_in_secs: u64,
}

#[derive(Serialize)]
struct Document {
    package: String,
    version: u64,
    content_type: String,
    body: String,
}

#[derive(Serialize)]
struct Watched {
    presentity: String,
    package: String,
    expires_in_secs: u64,
}

#[derive(Serialize)]
struct WatchedBy {
    watcher: String,
    package: String,
    server: Option<String>,
    expires_in_secs: u64,
}

type NameOf<'a> = &'a dyn Fn(Option<presently_pool::MemberId>) -> Option<String>;

impl Shown {
    fn new(client: String, state: &ClientState, name_of: NameOf<'_>) -> Self {
        let bindings = state.bindings.iter().map(|row| Binding {
            contact: row.contact.to_string(),
            user_agent: row.user_agent.to_string(),
            is_silent: row.is_silent,
            expires_in_secs: secs_until(row.expires_at),
        });
        let publications = state.publications.iter().map(|row| Publication {
            package: row.resource.package.to_string(),
            entity_tag: row.tag.to_string(),
            content_type: row.content_type.to_string(),
            bytes: row.body.len(),
            expires_in_secs: secs_until(row.expires_at),
        });
        let documents = state.documents.iter().map(|row| Document {
            package: row.resource.package.to_string(),
            version: row.version.0,
            content_type: row.content_type.to_string(),
            body: String::from_utf8_lossy(&row.body).into_owned(),
        });
        let watches = state.subscriptions.iter().map(|row| Watched {
            presentity: row.resource.aor.to_string(),
            package: row.resource.package.to_string(),
            expires_in_secs: secs_until(row.expires_at),
        });
        let watchers = state.watchers.iter();
        let watchers = watchers.map(|(watcher, resource, server, expires_at)| WatchedBy {
            watcher: watcher.to_string(),
            package: resource.package.to_string(),
            server: name_of(*server),
            expires_in_secs: secs_until(*expires_at),
        });
        Self {
            client,
            server: state.server.as_ref().map(ToString::to_string),
            epoch: state.assignment.map(|assignment| assignment.epoch.0),
            bindings: bindings.collect(),
            publications: publications.collect(),
            documents: documents.collect(),
            watches: watches.collect(),
            watchers: watchers.collect(),
        }
    }
}

/// For people. What a phone chose is tamed.
impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.server, self.epoch) {
            (Some(server), Some(epoch)) => {
                writeln!(f, "{} is at {server}, epoch {epoch}", self.client)?;
            }
            _ => writeln!(f, "{} has no server now", self.client)?,
        }
        for row in &self.bindings {
            let (contact, agent) = (tame_line(&row.contact), tame_line(&row.user_agent));
            let left = row.expires_in_secs;
            let silent = if row.is_silent { ", silent" } else { "" };
            writeln!(f, "  binding      {contact} ({agent}), {left} s{silent}")?;
        }
        for row in &self.publications {
            let (package, tag, bytes) = (&row.package, &row.entity_tag, row.bytes);
            let left = row.expires_in_secs;
            writeln!(f, "  publication  {package} {tag}, {bytes} bytes, {left} s")?;
        }
        for row in &self.documents {
            let (package, version) = (&row.package, row.version);
            writeln!(f, "  document     {package} version {version}")?;
        }
        for row in &self.watches {
            let (presentity, package) = (tame_line(&row.presentity), &row.package);
            let left = row.expires_in_secs;
            writeln!(f, "  watches      {presentity} {package}, {left} s")?;
        }
        for row in &self.watchers {
            let server = row.server.as_deref().unwrap_or("no server");
            let (watcher, package) = (tame_line(&row.watcher), &row.package);
            let left = row.expires_in_secs;
            writeln!(
                f,
                "  watched by   {watcher} {package} at {server}, {left} s"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_phone_calls_itself_is_neither_a_command_nor_a_line() {
        let binding = Binding {
            contact: "sip:a@192.0.2.1".to_owned(),
            user_agent: "\u{1b}[2Jphone)\n  binding      sip:forged@192.0.2.2".to_owned(),
            is_silent: false,
            expires_in_secs: 7,
        };
        let shown = Shown {
            client: "sip:a@example.com".to_owned(),
            server: None,
            epoch: None,
            bindings: vec![binding],
            publications: Vec::new(),
            documents: Vec::new(),
            watches: Vec::new(),
            watchers: Vec::new(),
        };
        let text = shown.to_string();
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains("forged"), "all of it is shown: {text:?}");
    }
}
