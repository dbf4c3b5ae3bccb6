//! Doors: which addresses of a command's own loopback lead to the host's.

use crate::rules::{Host, Rules, Verdict};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Doors of one command.
const MOST_DOORS: usize = 64;
/// A rule with more ports than this has doors only to those that something listens at.
const MOST_PORTS: u32 = 32;

impl Rules {
    /// The addresses of a command's own loopback that lead to the same ones of the host's: those that
    /// rules name. A rule with many ports means those that something listens at now.
    #[must_use]
    pub fn doors(&self) -> Vec<SocketAddr> {
        let many = |first: u16, last: u16| u32::from(last - first) >= MOST_PORTS;
        let (wide, few): (Vec<_>, Vec<_>) =
            self.loopback().partition(|(_, first, last)| many(*first, *last));
        let listening = if wide.is_empty() { BTreeSet::new() } else { listening_ports() };
        let named = few.into_iter().flat_map(|(address, first, last)| {
            (first..=last).map(move |port| SocketAddr::new(address, port))
        });
        let found = wide.into_iter().flat_map(|(address, first, last)| {
            let there = listening.range(first..=last);
            there.map(move |port| SocketAddr::new(address, *port))
        });
        // What is named comes first, should there be too many.
        let mut doors = Vec::new();
        for at in named.chain(found) {
            let leads = at.port() != 0 && self.behind(at).is_some();
            if leads && doors.len() < MOST_DOORS && !doors.contains(&at) {
                doors.push(at);
            }
        }
        doors
    }

    /// Returns the host that a door leads to, if a rule allows it.
    pub(crate) fn behind(&self, at: SocketAddr) -> Option<Host> {
        let hosts = [Host::Address(at.ip()), Host::Name("localhost".to_owned())];
        hosts.into_iter().find(|host| {
            matches!(self.host(host, at.port()), Verdict::Allowed(_))
                && matches!(self.address(host, at.ip(), at.port()), Verdict::Allowed(_))
        })
    }

    /// What a door may be connected to: its own address, and for the name `localhost` the other one, at
    /// which its server may listen alone.
    pub(crate) fn ways_behind(&self, host: &Host, at: SocketAddr) -> Vec<SocketAddr> {
        let others =
            LOOPBACK.into_iter().filter(|one| matches!(host, Host::Name(_)) && *one != at.ip());
        std::iter::once(at.ip())
            .chain(others)
            .filter(|one| matches!(self.address(host, *one, at.port()), Verdict::Allowed(_)))
            .map(|one| SocketAddr::new(one, at.port()))
            .collect()
    }
}

/// The usual addresses of loopback.
pub(crate) const LOOPBACK: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// The ports that something listens at, here.
fn listening_ports() -> BTreeSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    texts.iter().flat_map(|text| text.lines().filter_map(listening_port)).collect()
}

/// The port of a line `sl local_address rem_address st …` whose state is "listening".
fn listening_port(line: &str) -> Option<u16> {
    const LISTENING: &str = "0A";
    let mut columns = line.split_whitespace().skip(1);
    let (local, state) = (columns.next()?, columns.nth(1)?);
    let (_, port) = local.rsplit_once(':')?;
    if state == LISTENING { u16::from_str_radix(port, 16).ok() } else { None }
}
