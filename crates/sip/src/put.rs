//! Appending to the buffer of a message. The texts and numbers of each answer go by the short ways;
//! formatting costs ten times as much.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;

/// Appends texts.
pub(crate) fn put(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends a number.
pub(crate) fn put_decimal(out: &mut Vec<u8>, number: impl Into<u32>) {
    let (mut rest, start) = (number.into(), out.len());
    loop {
        let digit = u8::try_from(rest % 10).expect("a digit is below 10");
        out.push(b'0' + digit);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.get_mut(start..).unwrap_or_default().reverse();
}

/// Appends an address without brackets, as `received` wants it (RFC 3261 §20.42).
pub(crate) fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        return append(out, format_args!("{address}"));
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        put_decimal(out, octet);
    }
}

/// Formats.
pub(crate) fn append(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    out.write_fmt(arguments)
        .expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_ways_write_what_formatting_writes() {
        for number in [0, 7, 10, 65_535, u32::MAX] {
            let mut out = b"x".to_vec();
            put_decimal(&mut out, number);
            assert_eq!(out, format!("x{number}").as_bytes());
        }
        for text in ["0.0.0.0", "192.0.2.255", "2001:db8::1"] {
            let mut out = Vec::new();
            put_address(&mut out, text.parse().unwrap());
            assert_eq!(out, text.as_bytes());
        }
    }
}
