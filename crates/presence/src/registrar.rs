//! What a REGISTER does to a client's bindings (RFC 3261 §10.3): the pure half of the registrar.

use std::sync::Arc;

use presently_pool::FlowToken;
use presently_sip::{Edits, Message, Name, NameAddr, Params, Uri, WallTime};
use presently_store::{Binding, BindingKey, Repeat};

use crate::Expires;
use crate::renewal::is_proxied;

/// A REGISTER request, reduced to what the decision needs.
#[derive(Clone, Debug)]
pub struct Register {
    /// What it does with contacts.
    pub contacts: Contacts,
    /// Call-ID, compared byte for byte.
    pub call_id: Arc<str>,
    /// CSeq.
    pub cseq: u32,
    /// The Path values, topmost first (RFC 3327 §5.3).
    pub path: Vec<Arc<str>>,
    /// The flow it came over.
    pub flow: FlowToken,
    /// Whether it came by way of another proxy.
    pub is_proxied: bool,
    /// The phone's User-Agent.
    pub user_agent: Arc<str>,
}

/// The Contact headers of a REGISTER.
#[derive(Clone, Debug)]
pub enum Contacts {
    /// None: the bindings are asked for (RFC 3261 §10.3 step 7).
    Query,
    /// `*` with Expires 0: all are removed (RFC 3261 §10.3 step 6).
    All,
    /// These are added, refreshed or removed.
    Some(Vec<Contact>),
}

/// One contact of a REGISTER.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Its URI as written.
    pub uri: Arc<str>,
    /// `+sip.instance`, unquoted.
    pub instance: Option<Arc<str>>,
    /// `reg-id` (RFC 5626 §4.2): it counts only together with an instance.
    pub reg_id: Option<u32>,
    /// The seconds asked for; `None` when neither the contact nor the request says.
    pub expires_secs: Option<u32>,
    /// Preference in thousandths.
    pub q: u16,
}

/// What changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registered {
    /// Bindings that are new or refreshed.
    pub put: Vec<Binding>,
    /// Bindings that go.
    pub removed: Vec<BindingKey>,
    /// All bindings afterwards.
    pub after: Vec<Binding>,
}

/// Why a REGISTER was refused; nothing of it was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// A contact asks for less than the floor.
    #[error("the interval is shorter than {min_secs} s")]
    IntervalTooBrief {
        /// The floor.
        min_secs: u32,
    },
    /// The client has as many bindings as it may.
    #[error("too many bindings")]
    Full,
    /// A request with the same Call-ID and no higher CSeq than a binding's last.
    #[error("out of order")]
    OutOfOrder,
    /// A Contact that is no address, or `*` in company or with Expires above 0.
    #[error("the contact is broken")]
    Syntax,
}

impl RegisterError {
    /// The status to answer with. This is the only place that pairs the two.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Syntax => 400,
            Self::Full => 403,
            Self::IntervalTooBrief { .. } => 423,
            // The RFC leaves the code open (RFC 3261 §10.3 step 7); 500 is what phones know.
            Self::OutOfOrder => 500,
        }
    }
}

impl Register {
    /// Reads a REGISTER, which `edits` change.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Syntax`].
    pub fn read(
        message: &Message<'_>,
        edits: &Edits<'_>,
        flow: FlowToken,
    ) -> Result<Self, RegisterError> {
        let cseq = message.cseq().ok_or(RegisterError::Syntax)?.number;
        Ok(Self {
            contacts: Contacts::read(message)?,
            call_id: message.call_id().ok_or(RegisterError::Syntax)?.into(),
            cseq,
            path: message.values(Name::Path).map(Into::into).collect(),
            flow,
            is_proxied: is_proxied(message, edits),
            user_agent: user_agent(message),
        })
    }
}

impl Contacts {
    fn read(message: &Message<'_>) -> Result<Self, RegisterError> {
        let expires = message.number(Name::Expires);
        let mut contacts = Vec::new();
        let mut is_all = false;
        for value in message.values(Name::Contact) {
            if value == "*" {
                is_all = true;
            } else {
                contacts.push(Contact::read(value, expires)?);
            }
        }
        match (is_all, contacts.is_empty()) {
            (true, true) if expires == Some(0) => Ok(Self::All),
            (true, _) => Err(RegisterError::Syntax),
            // A Contact line that held no readable value is not a query.
            (false, true) if message.header(Name::Contact).is_some() => Err(RegisterError::Syntax),
            (false, true) => Ok(Self::Query),
            (false, false) => Ok(Self::Some(contacts)),
        }
    }
}

impl Contact {
    fn read(value: &str, expires: Option<u32>) -> Result<Self, RegisterError> {
        let address = NameAddr::parse(value).ok_or(RegisterError::Syntax)?;
        Uri::parse(address.uri).map_err(|_| RegisterError::Syntax)?;
        let params = address.params;
        Ok(Self {
            uri: address.uri.into(),
            instance: params.unquoted("+sip.instance").map(Into::into),
            reg_id: params.value("reg-id").and_then(|id| id.parse().ok()),
            expires_secs: contact_expires(params).or(expires),
            q: params.value("q").map_or(1_000, thousandths),
        })
    }

    /// What tells this binding from the client's others (RFC 5626 §6, RFC 3261 §10.3).
    pub(crate) fn key(&self) -> BindingKey {
        match (&self.instance, self.reg_id) {
            (Some(instance), Some(reg_id)) => BindingKey(format!("{instance};{reg_id}").into()),
            _ => BindingKey(self.uri.clone()),
        }
    }
}

/// Decides what `request` does to `held`, the client's bindings.
///
/// Pure, and all or nothing (RFC 3261 §10.3 step 7): a refusal leaves every binding as it was.
///
/// # Errors
///
/// See [`RegisterError`].
pub fn decide(
    request: &Register,
    held: &[Binding],
    repeat: &Repeat,
    now: WallTime,
    expires: &Expires,
    bindings_max: usize,
) -> Result<Registered, RegisterError> {
    let mut plan = Registered {
        after: held.to_vec(),
        ..Registered::default()
    };
    match &request.contacts {
        Contacts::Query => {}
        Contacts::All => {
            for binding in held {
                in_order(request, binding)?;
                plan.remove(&binding.key);
            }
        }
        Contacts::Some(contacts) => {
            for contact in contacts {
                let granted = expires
                    .grant(contact.expires_secs)
                    .map_err(|min_secs| RegisterError::IntervalTooBrief { min_secs })?;
                let present = held.iter().find(|binding| is_same(binding, contact));
                if let Some(binding) = present {
                    in_order(request, binding)?;
                }
                if let ([contact], 1..) = (contacts.as_slice(), granted) {
                    for left in held.iter().filter(|held| is_left(held, request, contact)) {
                        in_order(request, left)?;
                        plan.remove(&left.key);
                    }
                }
                match (present, granted) {
                    (None, 0) => {}
                    (Some(binding), 0) => plan.remove(&binding.key),
                    (_, secs) => {
                        let secs = match present {
                            Some(_) => secs,
                            None => expires.first_grant(secs, &repeat.request),
                        };
                        let key = present.map_or_else(|| contact.key(), |held| held.key.clone());
                        plan.put(&binding(request, contact, key, repeat, now, secs));
                    }
                }
            }
        }
    }
    if plan.after.len() > bindings_max && plan.after.len() > held.len() {
        return Err(RegisterError::Full);
    }
    Ok(plan)
}

impl Registered {
    fn remove(&mut self, key: &BindingKey) {
        self.after.retain(|binding| binding.key != *key);
        self.put.retain(|binding| binding.key != *key);
        self.removed.push(key.clone());
    }

    fn put(&mut self, binding: &Binding) {
        self.removed.retain(|key| *key != binding.key);
        for list in [&mut self.put, &mut self.after] {
            match list.iter_mut().find(|held| held.key == binding.key) {
                Some(held) => *held = binding.clone(),
                None => list.push(binding.clone()),
            }
        }
    }
}

/// The same Call-ID must come with a higher CSeq (RFC 3261 §10.3 step 7).
fn in_order(request: &Register, binding: &Binding) -> Result<(), RegisterError> {
    if binding.call_id == request.call_id && request.cseq <= binding.cseq {
        return Err(RegisterError::OutOfOrder);
    }
    Ok(())
}

/// Whether `contact` renews `binding`: by instance and reg-id, else by URI (RFC 3261 §19.1.4).
fn is_same(binding: &Binding, contact: &Contact) -> bool {
    if contact.instance.is_some() && contact.reg_id.is_some() {
        return binding.key == contact.key();
    }
    let uris = (Uri::parse(&binding.contact), Uri::parse(&contact.uri));
    binding.contact == contact.uri || matches!(uris, (Ok(held), Ok(new)) if held.is_equal(&new))
}

/// Whether `contact` is the same device at another address, which has left `binding` without a
/// word: one instance in one Call-ID. A phone over TCP or behind NAT that learns from its first
/// answer how it is seen registers again like that, and logs off only the second.
fn is_left(binding: &Binding, request: &Register, contact: &Contact) -> bool {
    contact.reg_id.is_none()
        && contact.instance.is_some()
        && binding.instance == contact.instance
        && binding.call_id == request.call_id
        // It has no reg-id either: its key is its URI.
        && binding.key.0 == binding.contact
        && !is_same(binding, contact)
}

fn binding(
    request: &Register,
    contact: &Contact,
    key: BindingKey,
    repeat: &Repeat,
    now: WallTime,
    granted_secs: u32,
) -> Binding {
    Binding {
        key,
        contact: contact.uri.clone(),
        instance: contact.instance.clone(),
        path: request.path.clone(),
        flow: request.flow,
        is_proxied: request.is_proxied,
        call_id: request.call_id.clone(),
        cseq: request.cseq,
        q: contact.q,
        user_agent: request.user_agent.clone(),
        expires_at: now.after(std::time::Duration::from_secs(granted_secs.into())),
        is_silent: false,
        repeat: repeat.clone(),
    }
}

/// The contact's own `expires`; junk counts as an hour (RFC 3261 §10.2.1.1).
fn contact_expires(params: Params<'_>) -> Option<u32> {
    let text = params.value("expires")?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(3_600);
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

/// A q-value in thousandths; junk counts as the default of 1 (RFC 3261 §20.10).
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole, digits.parse::<u16>()) {
        ("0" | "", Ok(fraction)) => fraction,
        _ => 1_000,
    }
}

/// Bounded: it is kept with every binding and only people read it.
fn user_agent(message: &Message<'_>) -> Arc<str> {
    let text = message.text(Name::UserAgent).unwrap_or_default();
    text.chars()
        .take(USER_AGENT_CHARS)
        .collect::<String>()
        .into()
}

const USER_AGENT_CHARS: usize = 64;

#[cfg(test)]
mod tests;
