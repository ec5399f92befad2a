//! The little reading of SIP that a load generator needs; on purpose not the reader that is
//! measured.

use memchr::{memchr, memmem, memrchr};

/// A message from the server; every slice is as received.
#[derive(Default)]
pub(crate) struct Text<'a> {
    /// 0 for a request.
    pub(crate) status: u16,
    pub(crate) method: &'a [u8],
    /// Lines a response repeats, in their order: Via, From, To, Call-ID, CSeq.
    pub(crate) echoed: Vec<&'a [u8]>,
    pub(crate) via: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) call_id: &'a [u8],
    pub(crate) cseq: u32,
    pub(crate) contact: &'a [u8],
    pub(crate) entity_tag: &'a [u8],
    /// Values of Record-Route, in order.
    pub(crate) record_route: Vec<&'a [u8]>,
    /// Whether a NOTIFY ends its subscription.
    pub(crate) is_terminated: bool,
    pub(crate) body: &'a [u8],
}

impl<'a> Text<'a> {
    /// Reads one message; `None` when it is none.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let head = memmem::find(bytes, b"\r\n\r\n")?;
        let mut text = Self {
            body: &bytes[head + 4..],
            ..Self::default()
        };
        let mut lines = bytes[..head].split(|byte| *byte == b'\n');
        let start = lines.next()?;
        match start.strip_prefix(b"SIP/2.0 ") {
            Some(rest) => text.status = number(rest) as u16,
            None => text.method = &start[..memchr(b' ', start)?],
        }
        for line in lines {
            let line = line.trim_ascii_end();
            if let Some(colon) = memchr(b':', line) {
                text.take(line, &line[..colon], line[colon + 1..].trim_ascii());
            }
        }
        Some(text)
    }

    fn take(&mut self, line: &'a [u8], name: &[u8], value: &'a [u8]) {
        let is = |long: &[u8], short: &[u8]| {
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        };
        if is(b"via", b"v") {
            if self.via.is_empty() {
                self.via = value;
            }
            self.echoed.push(line);
        } else if is(b"from", b"f") {
            self.echoed.push(line);
        } else if is(b"to", b"t") {
            self.to = value;
            self.echoed.push(line);
        } else if is(b"call-id", b"i") {
            self.call_id = value;
            self.echoed.push(line);
        } else if is(b"cseq", b"cseq") {
            self.cseq = number(value) as u32;
            self.echoed.push(line);
        } else if is(b"subscription-state", b"subscription-state") {
            self.is_terminated = value.starts_with(b"terminated");
        } else if is(b"contact", b"m") {
            self.contact = value;
        } else if is(b"sip-etag", b"sip-etag") {
            self.entity_tag = value;
        } else if is(b"record-route", b"record-route") {
            let values = value.split(|byte| *byte == b',');
            self.record_route.extend(values.map(<[u8]>::trim_ascii));
        }
    }

    /// The tag of To.
    pub(crate) fn to_tag(&self) -> &'a [u8] {
        let params = memrchr(b'>', self.to).map_or(self.to, |at| &self.to[at..]);
        let tag = memmem::find(params, b";tag=").map_or(&b""[..], |at| &params[at + 5..]);
        &tag[..memchr(b';', tag).unwrap_or(tag.len())]
    }

    /// The highest version that its body carries, and when it was published.
    pub(crate) fn mark(&self) -> Option<(u32, u64)> {
        let marks = memmem::find_iter(self.body, MARK).filter_map(|at| {
            let mark = &self.body[at + MARK.len()..];
            let colon = memchr(b':', mark)?;
            Some((number(mark) as u32, number(&mark[colon + 1..])))
        });
        marks.max()
    }
}

/// What stands between angle brackets.
pub(crate) fn bracketed(value: &[u8]) -> &[u8] {
    let start = memchr(b'<', value).map_or(0, |at| at + 1);
    let end = memchr(b'>', value).unwrap_or(value.len());
    &value[start..end]
}

/// The digits at the start, as a number.
pub(crate) fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value: u64, digit| {
        value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    })
}

/// In each published note: then the version, a colon, and the nanosecond it was due.
pub(crate) const MARK: &[u8] = b"load:";
