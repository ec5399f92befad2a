//! A SIP message as text, read as a person would: the tests must not share the pool's own reader.

/// One message.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Text(pub(crate) String);

impl Text {
    /// The status code; `None` for a request.
    pub(crate) fn status(&self) -> Option<u16> {
        self.0.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub(crate) fn is_request(&self, method: &str) -> bool {
        self.0.starts_with(&format!("{method} "))
    }

    /// The Request-URI.
    pub(crate) fn uri(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the first header called `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// The values of all headers called `name`, one a line.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head().lines().skip(1);
        let pairs = lines.filter_map(|line| line.split_once(':'));
        pairs
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The tag of From or To.
    pub(crate) fn tag(&self, name: &str) -> Option<&str> {
        self.header(name)?.split(";tag=").nth(1)
    }

    /// A header's number.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.header(name)?.split(' ').next()?.parse().ok()
    }

    /// A parameter of Subscription-State.
    pub(crate) fn state_param(&self, name: &str) -> Option<&str> {
        let state = self.header("Subscription-State")?;
        state
            .split(';')
            .find_map(|param| param.strip_prefix(&format!("{name}=")))
    }

    /// The first word of Subscription-State.
    pub(crate) fn state(&self) -> &str {
        let state = self.header("Subscription-State").unwrap_or_default();
        state.split(';').next().unwrap_or_default()
    }

    pub(crate) fn body(&self) -> &str {
        self.0.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }

    fn head(&self) -> &str {
        self.0.split("\r\n\r\n").next().unwrap_or_default()
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}", self.0)
    }
}

/// A response to `request` as its receiver writes it.
pub(crate) fn response(request: &Text, status: &str, lines: &[&str]) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in request.headers(name) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text + "Content-Length: 0\r\n\r\n"
}
