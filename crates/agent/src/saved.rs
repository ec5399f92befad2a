//! A subscription as it is written down, to be gone on with by another process.

use std::fmt;
use std::sync::Arc;

use presently_sip::Aor;

use crate::dialog::Dialog;

/// What is needed to go on in the dialog of a subscription: what is watched, who the two ends are,
/// where requests go and how far they have come.
///
/// Displays as one line of text, at most [`SavedFeed::BYTES_MAX`] long, which
/// [`SavedFeed::parse`] reads back. It is no secret, but whoever has it can end the subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SavedFeed {
    pub(crate) number: u64,
    pub(crate) target: Aor,
    pub(crate) package: Arc<str>,
    pub(crate) accept: String,
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    pub(crate) cseq: u32,
    pub(crate) dialog: Dialog,
}

impl SavedFeed {
    /// The longest text. A dialog that needs more, such as one with a long route set, is not saved.
    pub const BYTES_MAX: usize = 2048;

    /// Reads what was written; `None` for anything else, and for a text of another version.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::BYTES_MAX {
            return None;
        }
        let mut fields = text.split(SEPARATOR);
        if fields.next()? != VERSION {
            return None;
        }
        let number = fields.next()?.parse().ok()?;
        Some(Self {
            number: Some(number).filter(|it| *it < NUMBERS)?,
            target: Aor::parse(fields.next()?).ok()?,
            package: fields.next()?.into(),
            accept: fields.next()?.to_owned(),
            call_id: fields.next()?.to_owned(),
            local_tag: fields.next()?.to_owned(),
            cseq: Some(fields.next()?.parse().ok()?).filter(|it| *it < CSEQ_MAX)?,
            dialog: Dialog {
                remote_tag: fields.next()?.to_owned(),
                target: fields.next()?.to_owned(),
                remote_cseq: Some(fields.next()?.parse().ok()?),
                routes: fields.map(str::to_owned).collect(),
            },
        })
    }

    /// Itself, if what it says can be written and read back.
    pub(crate) fn checked(self) -> Option<Self> {
        (Self::parse(&self.to_string()).as_ref() == Some(&self)).then_some(self)
    }
}

impl fmt::Display for SavedFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialog = &self.dialog;
        let fields = [
            VERSION,
            &self.number.to_string(),
            &self.target.to_string(),
            &self.package,
            &self.accept,
            &self.call_id,
            &self.local_tag,
            &self.cseq.to_string(),
            &dialog.remote_tag,
            &dialog.target,
            &dialog.remote_cseq.unwrap_or(0).to_string(),
        ];
        f.write_str(&fields.join(SEPARATOR))?;
        dialog
            .routes
            .iter()
            .try_for_each(|route| write!(f, "{SEPARATOR}{route}"))
    }
}

/// Which fields there are, and in which order.
const VERSION: &str = "1";
/// Between fields. A header value that holds one makes a text that does not read back.
const SEPARATOR: &str = "\t";
/// Numbers of subscriptions are below this, so that counting on from one cannot overflow.
const NUMBERS: u64 = 1 << 32;
/// A dialog that has come this far is begun anew: CSeq numbers end at 2³¹ (RFC 3261 §8.1.1.5).
const CSEQ_MAX: u32 = 1 << 30;
