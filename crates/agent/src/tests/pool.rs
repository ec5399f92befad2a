//! A pool of a hundred lines: takes REGISTER, PUBLISH, SUBSCRIBE, and tells watchers.

use std::collections::BTreeMap;

use super::*;

/// Answers at once, keeps one document for each user, sends one NOTIFY at a time to each watcher
/// and sends it again each second until it is answered.
#[derive(Default)]
pub(super) struct Pool {
    /// Document and entity-tag by user.
    documents: BTreeMap<String, (String, u32)>,
    watchers: Vec<Watcher>,
    /// Requests answered, so that a repeat gets the same answer.
    answers: BTreeMap<String, Vec<String>>,
    /// NOTIFYs that were answered with something else than 200.
    pub(super) refused: u32,
}

struct Watcher {
    subscribe: String,
    user: String,
    cseq: u32,
    /// What is under way, until its answer.
    notify: Option<String>,
    is_stale: bool,
}

impl Pool {
    /// Takes one message of a phone; what to send to that phone.
    pub(super) fn receive(&mut self, text: &str) -> Vec<String> {
        if let Some(status) = text.strip_prefix("SIP/2.0 ") {
            self.refused += u32::from(!status.starts_with("200 "));
            self.on_answer(text);
            return Vec::new();
        }
        let key = format!("{}{}", header(text, "Via"), header(text, "From"));
        if let Some(answer) = self.answers.get(&key) {
            return answer.clone();
        }
        let answer = vec![match method(text) {
            "PUBLISH" => self.on_publish(text),
            "SUBSCRIBE" => self.on_subscribe(text),
            _ => response(text, 200, &[]),
        }];
        self.answers.insert(key, answer.clone());
        answer
    }

    /// The NOTIFYs that are due, each with the user it goes to.
    pub(super) fn notifies(&mut self) -> Vec<(String, String)> {
        let documents = &self.documents;
        let due = self.watchers.iter_mut().filter_map(|watcher| {
            if watcher.notify.is_none() && watcher.is_stale {
                watcher.is_stale = false;
                watcher.cseq += 1;
                let document = documents.get(&watcher.user);
                let document = document.map_or("", |(document, _)| document.as_str());
                let state = "active;expires=600";
                let text = notify(&watcher.subscribe, "pool", watcher.cseq, state, document);
                // Unlike another watcher's.
                let branch = format!("branch=z9hG4bK{}", header(&watcher.subscribe, "Call-ID"));
                watcher.notify = Some(text.replace("branch=z9hG4bK", &branch));
            }
            let text = watcher.notify.clone()?;
            let from = header(&watcher.subscribe, "From");
            Some((from.split(['<', '>']).nth(1)?.to_owned(), text))
        });
        due.collect()
    }

    fn on_answer(&mut self, text: &str) {
        for watcher in &mut self.watchers {
            let is_answered = watcher.notify.as_ref().is_some_and(|notify| {
                ["Via", "CSeq"]
                    .iter()
                    .all(|name| header(notify, name) == header(text, name))
            });
            if is_answered {
                watcher.notify = None;
            }
        }
    }

    fn on_publish(&mut self, text: &str) -> String {
        let user = text.split(' ').nth(1).unwrap().to_owned();
        let held = self.documents.get(&user).map(|(_, tag)| tag.to_string());
        let if_match = header(text, "SIP-If-Match");
        if !if_match.is_empty() && held.as_deref() != Some(if_match) {
            return response(text, 412, &[]);
        }
        let (document, tag) = self.documents.entry(user.clone()).or_default();
        *tag += 1;
        if !body(text).is_empty() {
            body(text).clone_into(document);
        }
        for watcher in &mut self.watchers {
            watcher.is_stale |= watcher.user == user;
        }
        response(
            text,
            200,
            &[("SIP-ETag", &tag.to_string()), ("Expires", "600")],
        )
    }

    fn on_subscribe(&mut self, text: &str) -> String {
        let call_id = header(text, "Call-ID");
        let known = self.watchers.iter_mut().find(|it| {
            let names = ["Call-ID", "From"];
            let same = |name: &&str| header(&it.subscribe, name) == header(text, name);
            names.iter().all(same)
        });
        match known {
            Some(watcher) => watcher.is_stale = true,
            None if header(text, "To").contains(";tag=") => return response(text, 481, &[]),
            None => self.watchers.push(Watcher {
                user: text.split(' ').nth(1).unwrap().to_owned(),
                subscribe: text.to_owned(),
                cseq: 0,
                notify: None,
                is_stale: true,
            }),
        }
        assert!(!call_id.is_empty());
        response(text, 200, &[("Expires", "600")])
    }
}
