//! A pass over raw markup: the limits that keep parsing cheap, and where the attributes of one
//! start tag are.
//!
//! It keeps in step with the parser for as long as the text is well formed. Where it is not, the
//! pass ends quietly: the parser stops at the same place and says so.

use std::ops::Range;

use crate::package::BodyRefused;

/// The text of one start tag, between `<` and `>` or `/>`.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartTag<'a> {
    pub(super) name: &'a str,
    text: &'a str,
    is_empty: bool,
}

/// An attribute as it is written: the name with its prefix, and where in the tag the value is,
/// counted from the first letter of the tag's name.
#[derive(Clone, Debug)]
pub(super) struct RawAttribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: Range<usize>,
}

/// Counts the most namespace prefixes in scope at one element.
///
/// # Errors
///
/// There is a DTD, a name that is not qualified as namespaces want it, or a limit below is passed.
pub(super) fn measure(text: &str) -> Result<usize, BodyRefused> {
    let mut scope = Scope::default();
    let mut rest = text;
    while let Some((_, markup)) = rest.split_once('<') {
        rest = match Markup::read(markup) {
            Markup::Broken => break,
            // A document with a DTD is refused for it alone: entities live there.
            Markup::Doctype => return Err(BodyRefused::Malformed),
            Markup::End(rest) => {
                scope.leave();
                rest
            }
            Markup::Skipped(rest) => rest,
            Markup::Start(tag, rest) => {
                scope.enter(tag)?;
                if tag.is_empty {
                    scope.leave();
                }
                rest
            }
        };
    }
    Ok(scope.most)
}

/// The encoding that an XML declaration names, if there is one.
pub(super) fn declared_encoding(text: &str) -> Option<&str> {
    let (declaration, _) = text.strip_prefix("<?xml")?.split_once("?>")?;
    let tag = StartTag {
        name: "",
        text: declaration,
        is_empty: true,
    };
    let encoding = tag
        .attributes()
        .find(|attribute| attribute.name == "encoding")?;
    declaration.get(encoding.value)
}

impl<'a> StartTag<'a> {
    /// Reads a start tag whose `<` was taken from before `markup`; gives also what follows its `>`.
    pub(super) fn read(markup: &'a str) -> Option<(Self, &'a str)> {
        let mut quote = None;
        let end = markup.bytes().position(|byte| match (quote, byte) {
            (None, b'"' | b'\'') => {
                quote = Some(byte);
                false
            }
            (None, b'>') => true,
            (Some(open), _) if open == byte => {
                quote = None;
                false
            }
            _ => false,
        })?;
        let (text, rest) = (markup.get(..end)?, markup.get(end + 1..)?);
        let is_empty = text.ends_with('/');
        let text = text.strip_suffix('/').unwrap_or(text);
        let name = text.split(is_space).next().unwrap_or("");
        let tag = Self {
            name,
            text,
            is_empty,
        };
        Some((tag, rest))
    }

    /// Its attributes in order, namespace declarations among them.
    pub(super) fn attributes(self) -> impl Iterator<Item = RawAttribute<'a>> {
        let whole = self.text;
        let mut rest = whole.get(self.name.len()..).unwrap_or("");
        std::iter::from_fn(move || {
            let (name, value) = rest.split_once('=')?;
            let value = value.trim_start_matches(is_space);
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let value = value.get(1..)?;
            let start = whole.len() - value.len();
            let length = value.find(quote)?;
            rest = value.get(length + 1..)?;
            Some(RawAttribute {
                name: name.trim_matches(is_space),
                value: start..start + length,
            })
        })
    }

    /// Whether it declares the default namespace.
    pub(super) fn declares_default(self) -> bool {
        self.attributes().any(|attribute| attribute.name == "xmlns")
    }

    /// Whether it declares `prefix`.
    pub(super) fn declares(self, prefix: &str) -> bool {
        self.attributes()
            .any(|attribute| attribute.name.strip_prefix("xmlns:") == Some(prefix))
    }
}

/// The elements that are open, and the prefixes they declare; the default one counts as a prefix.
#[derive(Debug, Default)]
struct Scope<'a> {
    prefixes: Vec<&'a str>,
    /// For each open element, how many prefixes there were outside of it.
    outside: Vec<usize>,
    most: usize,
}

impl<'a> Scope<'a> {
    fn enter(&mut self, tag: StartTag<'a>) -> Result<(), BodyRefused> {
        if self.outside.len() == DEPTH_MAX {
            return Err(BodyRefused::TooLarge);
        }
        if !is_qualified(tag.name) {
            return Err(BodyRefused::Malformed);
        }
        self.outside.push(self.prefixes.len());
        let mut attributes = 0;
        for RawAttribute { name, .. } in tag.attributes() {
            if !is_qualified(name) {
                return Err(BodyRefused::Malformed);
            }
            match name.strip_prefix("xmlns") {
                Some(prefix) if !self.prefixes.contains(&prefix) => self.prefixes.push(prefix),
                Some(_) => {}
                // Composition adds it to what it moves, so it must not bring a tag over the limit.
                None if name == "xml:lang" => {}
                None => attributes += 1,
            }
            if attributes > ATTRIBUTES_MAX || self.prefixes.len() > PREFIXES_MAX {
                return Err(BodyRefused::TooLarge);
            }
        }
        self.most = self.most.max(self.prefixes.len());
        Ok(())
    }

    fn leave(&mut self) {
        if let Some(before) = self.outside.pop() {
            self.prefixes.truncate(before);
        }
    }
}

/// Whether a name has at most one colon, and something on both sides of it. The parser takes
/// `:name` for a name in the default namespace, which no other reader does.
fn is_qualified(name: &str) -> bool {
    match name.split_once(':') {
        None => true,
        Some((prefix, local)) => !prefix.is_empty() && !local.is_empty() && !local.contains(':'),
    }
}

/// What follows a `<`, and the text after it.
enum Markup<'a> {
    Broken,
    Doctype,
    End(&'a str),
    Skipped(&'a str),
    Start(StartTag<'a>, &'a str),
}

impl<'a> Markup<'a> {
    fn read(markup: &'a str) -> Self {
        let skipped = |opening: &str, closing: &str| {
            let (_, rest) = markup.strip_prefix(opening)?.split_once(closing)?;
            Some(rest)
        };
        let read = match markup.as_bytes() {
            [b'!', b'-', b'-', ..] => skipped("!--", "-->").map(Self::Skipped),
            [b'!', b'[', ..] => skipped("![CDATA[", "]]>").map(Self::Skipped),
            [b'!', ..] => Some(Self::Doctype),
            [b'?', ..] => skipped("?", "?>").map(Self::Skipped),
            [b'/', ..] => skipped("/", ">").map(Self::End),
            _ => StartTag::read(markup).map(|(tag, rest)| Self::Start(tag, rest)),
        };
        read.unwrap_or(Self::Broken)
    }
}

/// XML's white space, which is not Unicode's.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Elements inside elements. Rich presence takes six.
const DEPTH_MAX: usize = 32;
/// Attributes of one element, namespace declarations and `xml:lang` aside.
const ATTRIBUTES_MAX: usize = 64;
/// Namespace prefixes in scope at one element.
pub(super) const PREFIXES_MAX: usize = 64;
