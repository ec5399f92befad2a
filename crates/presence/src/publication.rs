//! What a PUBLISH does to event state (RFC 3903 §6): the pure half of the compositor.

use presently_pool::{FlowToken, ResourceId};
use presently_sip::EntityTag;
use presently_store::Publication;

use crate::package::{BodyRefused, EventPackage};

/// A PUBLISH request, reduced to what the decision needs.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// The tag of SIP-If-Match, if there is one.
    pub if_match: Option<&'a EntityTag>,
    /// The seconds of Expires, if there are any.
    pub expires_secs: Option<u32>,
    /// The value of Content-Type, if there is one.
    pub content_type: Option<&'a str>,
    /// The body; empty when there is none.
    pub body: &'a [u8],
}

/// How long publications may last, and how many a resource may have.
#[derive(Clone, Copy, Debug)]
pub struct PublicationLimits {
    /// A shorter time is refused.
    pub min_expires_secs: u32,
    /// A longer time is shortened to it.
    pub max_expires_secs: u32,
    /// Publications of one resource.
    pub publications_max: usize,
}

impl Default for PublicationLimits {
    fn default() -> Self {
        Self {
            // Phones set to a minute are common; shorter would be a load without a use.
            min_expires_secs: 60,
            // An hour, the package's own default: an orphan of a phone that crashed goes by then.
            max_expires_secs: 3600,
            // More devices than anybody has.
            publications_max: 32,
        }
    }
}

/// What is to be done about a PUBLISH. It is answered with 200 and a new tag in each case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PublishDecision {
    /// Nothing was asked for: an initial publication that ends at once. Expires is 0.
    Nothing,
    /// The body is to be stored and the document composed again.
    Put {
        /// The publication that the body takes the place of; `None` for a first one.
        replaces: Option<EntityTag>,
        /// The time granted.
        expires_secs: u32,
    },
    /// The publication lasts longer under its new tag. The document stays as it is: no version, no
    /// NOTIFY.
    Refresh {
        /// The tag it had.
        tag: EntityTag,
        /// The time granted.
        expires_secs: u32,
    },
    /// The publication is to be removed and the document composed again.
    Remove {
        /// The tag it had.
        tag: EntityTag,
    },
}

impl PublishDecision {
    /// The seconds that the 200 grants.
    #[must_use]
    pub fn granted_secs(&self) -> u32 {
        match self {
            Self::Nothing | Self::Remove { .. } => 0,
            Self::Put { expires_secs, .. } | Self::Refresh { expires_secs, .. } => *expires_secs,
        }
    }

    /// The same, where a first publication is granted what `first` makes of its seconds
    /// (RFC 3903 §6: it may be less than was asked).
    #[must_use]
    pub fn granting(mut self, first: impl FnOnce(u32) -> u32) -> Self {
        if let Self::Put {
            replaces: None,
            expires_secs,
        } = &mut self
        {
            *expires_secs = first(*expires_secs);
        }
        self
    }
}

/// Why a PUBLISH changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The package does not take the body.
    #[error("the body cannot be published")]
    Body(#[source] BodyRefused),
    /// No publication has the tag: it has expired, or was changed by somebody else.
    #[error("no publication has this entity-tag")]
    ConditionFailed,
    /// The time asked for is too short; the answer's Min-Expires is `min_secs`.
    #[error("the interval is below {min_secs} seconds")]
    IntervalTooBrief {
        /// The least there is.
        min_secs: u32,
    },
    /// A first publication without a body.
    #[error("a first publication has a body")]
    MissingBody,
    /// The resource has as many publications as it may have.
    #[error("the resource has too many publications")]
    TooMany,
}

impl PublishError {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Body(refused) => refused.status(),
            Self::ConditionFailed => 412,
            Self::IntervalTooBrief { .. } => 423,
            Self::MissingBody => 400,
            // Not 500: the phone is meant to stop, and no other server would take it either.
            Self::TooMany => 403,
        }
    }
}

/// Decides what `request` does to `held`, the publications of `resource` that have not expired.
///
/// A body that equals the one it replaces is a refresh: some phones send the document each time.
///
/// # Errors
///
/// Refuses in the order RFC 3903 §6 checks: the condition, then the interval, then the body.
pub fn decide(
    package: &dyn EventPackage,
    resource: &ResourceId,
    request: &Publish<'_>,
    held: &[&Publication],
    limits: &PublicationLimits,
) -> Result<PublishDecision, PublishError> {
    let Some(tag) = request.if_match.cloned() else {
        return decide_initial(package, resource, request, held.len(), limits);
    };
    let current = held
        .iter()
        .find(|publication| publication.tag == tag)
        .ok_or(PublishError::ConditionFailed)?;
    let Some(expires_secs) = granted_secs(package, request, limits)? else {
        return Ok(PublishDecision::Remove { tag });
    };
    let is_same = request.body == current.body
        && request
            .content_type
            .is_some_and(|content_type| content_type == &*current.content_type);
    if request.body.is_empty() || is_same {
        return Ok(PublishDecision::Refresh { tag, expires_secs });
    }
    check(package, resource, request)?;
    Ok(PublishDecision::Put {
        replaces: Some(tag),
        expires_secs,
    })
}

/// Whether a publication ends with the last binding of its client: when it was published over the
/// flow of one of the client's bindings, the phone that keeps it up has gone. One that came another
/// way, from a web page or a desk phone that does not register, stays until it expires.
///
/// `flows` are those of the bindings the client had, the last one's among them.
#[must_use]
pub fn ends_with_bindings(publication: &Publication, flows: &[FlowToken]) -> bool {
    flows.contains(&publication.flow)
}

fn decide_initial(
    package: &dyn EventPackage,
    resource: &ResourceId,
    request: &Publish<'_>,
    held: usize,
    limits: &PublicationLimits,
) -> Result<PublishDecision, PublishError> {
    let Some(expires_secs) = granted_secs(package, request, limits)? else {
        return Ok(PublishDecision::Nothing);
    };
    if request.body.is_empty() {
        return Err(PublishError::MissingBody);
    }
    if held >= limits.publications_max {
        return Err(PublishError::TooMany);
    }
    check(package, resource, request)?;
    Ok(PublishDecision::Put {
        replaces: None,
        expires_secs,
    })
}

/// The time granted; `None` when the publication is to end now.
fn granted_secs(
    package: &dyn EventPackage,
    request: &Publish<'_>,
    limits: &PublicationLimits,
) -> Result<Option<u32>, PublishError> {
    let min_secs = limits.min_expires_secs;
    match request.expires_secs {
        Some(0) => Ok(None),
        Some(asked) if asked < min_secs => Err(PublishError::IntervalTooBrief { min_secs }),
        asked => {
            let asked = asked.unwrap_or_else(|| package.default_expires_secs());
            Ok(Some(asked.min(limits.max_expires_secs)))
        }
    }
}

fn check(
    package: &dyn EventPackage,
    resource: &ResourceId,
    request: &Publish<'_>,
) -> Result<(), PublishError> {
    // A body of no type is of none that the package takes.
    let content_type = request.content_type.unwrap_or("");
    package
        .check(resource, content_type, request.body)
        .map_err(PublishError::Body)
}

#[cfg(test)]
mod tests;
