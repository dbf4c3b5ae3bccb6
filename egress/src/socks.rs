//! The messages of SOCKS 5 (RFC 1928) that a client sends.

use crate::Host;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// It is none.
    #[error("this is no message of SOCKS 5")]
    Malformed,
    /// No way to prove who it is that this proxy takes: it takes none at all.
    #[error("this proxy asks for no password")]
    Method,
    /// Something else than a connection.
    #[error("only connections are passed on")]
    Command,
}

/// Reads the greeting; gives its length. `None` while it is not complete.
///
/// # Errors
/// When it cannot be one, or does not offer to go without a password.
pub fn read_greeting(bytes: &[u8]) -> Result<Option<usize>, SocksError> {
    let [version, count, methods @ ..] = bytes else {
        return if bytes.first().is_none_or(|version| *version == 5) {
            Ok(None)
        } else {
            Err(SocksError::Malformed)
        };
    };
    if *version != 5 || *count == 0 {
        return Err(SocksError::Malformed);
    }
    match methods.get(..usize::from(*count)) {
        None => Ok(None),
        Some(methods) if methods.contains(&0) => Ok(Some(2 + methods.len())),
        Some(_) => Err(SocksError::Method),
    }
}

/// Reads a request: whom it is for, the port, and its length. `None` while it is not complete.
///
/// # Errors
/// When it cannot be one, or asks for something else than a connection.
pub fn read_request(bytes: &[u8]) -> Result<Option<(Host, u16, usize)>, SocksError> {
    let [version, command, reserved, kind, rest @ ..] = bytes else { return Ok(None) };
    if *version != 5 || *reserved != 0 {
        return Err(SocksError::Malformed);
    }
    if *command != 1 {
        return Err(SocksError::Command);
    }
    let (host, rest) = match kind {
        1 => match rest.split_first_chunk::<4>() {
            Some((address, rest)) => (Host::Address(Ipv4Addr::from(*address).into()), rest),
            None => return Ok(None),
        },
        4 => match rest.split_first_chunk::<16>() {
            Some((address, rest)) => (Host::Address(Ipv6Addr::from(*address).into()), rest),
            None => return Ok(None),
        },
        3 => {
            let Some((length, rest)) = rest.split_first() else { return Ok(None) };
            let Some((name, rest)) = rest.split_at_checked(usize::from(*length)) else {
                return Ok(None);
            };
            let name = std::str::from_utf8(name).map_err(|_| SocksError::Malformed)?;
            (Host::parse(name).ok_or(SocksError::Malformed)?, rest)
        }
        _ => return Err(SocksError::Malformed),
    };
    let Some((port, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
    match u16::from_be_bytes(*port) {
        0 => Err(SocksError::Malformed),
        port => Ok(Some((host, port, bytes.len() - rest.len()))),
    }
}
