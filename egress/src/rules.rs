//! Which hosts may be reached, by name and by address.

use crate::{doors::LOOPBACK, is_public};
use ipnet::{IpNet, Ipv4Net};
use std::{fmt, net::IpAddr};

/// Ports of a rule that allows and names none.
const WEB: [u16; 2] = [80, 443];

/// A rule that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key}: {rule:?}: {why}. A rule is a host (example.com), all below it (*.example.com), an address or \
     range (10.0.0.0/8, [::1]) or * for every public host, each with a port (:443), ports \
     (:8000-8010) or :* behind it; without ports it means 80 and 443"
)]
pub struct RuleError {
    /// The setting that it stands in.
    pub key: &'static str,
    /// The rule.
    pub rule: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name: lower case, without a dot at its end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as it stands in a request, without a port; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let labels = || name.split('.');
        (name.len() <= 253
            && name.chars().all(fine)
            && labels().all(|label| !label.is_empty() && label.len() <= 63))
        .then_some(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be reached, by this rule.
    Allowed(String),
    /// It may not, for this reason.
    Refused(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    All,
    Host(String),
    Below(String),
    Net(IpNet),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    text: String,
    target: Target,
    /// None: those that a rule means which names none.
    ports: Option<(u16, u16)>,
}

/// Which hosts may be reached. Without rules, none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    allow: Vec<Rule>,
    deny: Vec<Rule>,
}

impl Rules {
    /// Reads rules; what is denied is denied whatever is allowed.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new(allow: &[String], deny: &[String]) -> Result<Self, RuleError> {
        let read = |key, texts: &[String]| {
            let read = |text: &String| {
                Rule::parse(text).map_err(|why| RuleError { key, rule: text.clone(), why })
            };
            texts.iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        let (allow, deny) =
            (read("sandbox_allow_hosts", allow)?, read("sandbox_deny_hosts", deny)?);
        Ok(Self { allow, deny })
    }

    /// What the rules that allow name of loopback, with the first and the last port.
    pub(crate) fn loopback(&self) -> impl Iterator<Item = (IpAddr, u16, u16)> {
        self.allow.iter().flat_map(|rule| {
            let ports = match rule.ports {
                Some(ports) => vec![ports],
                None => WEB.map(|port| (port, port)).to_vec(),
            };
            let addresses = rule.loopback();
            addresses.into_iter().flat_map(move |one| {
                ports.clone().into_iter().map(move |(first, last)| (one, first, last))
            })
        })
    }

    /// Whether a host may be asked for at all. A name that may not is not even resolved.
    #[must_use]
    pub fn host(&self, host: &Host, port: u16) -> Verdict {
        if let Some(rule) = self.deny.iter().find(|rule| rule.is_of(host) && rule.denies(port)) {
            return refused_by(rule);
        }
        let Some(rule) = self.allow.iter().find(|rule| rule.is_of(host) && rule.allows(port))
        else {
            let other = self.allow.iter().find(|rule| rule.is_of(host));
            return Verdict::Refused(match other {
                Some(rule) => format!("the rule `{}` does not allow port {port}", rule.text),
                None => "no rule allows it".to_owned(),
            });
        };
        match host {
            Host::Address(address) => self.address(host, *address, port),
            Host::Name(_) => Verdict::Allowed(rule.text.clone()),
        }
    }

    /// Whether an address that an allowed host has may be connected to.
    #[must_use]
    pub fn address(&self, host: &Host, address: IpAddr, port: u16) -> Verdict {
        // An address that stands for another one is judged as that one.
        let address = address.to_canonical();
        let of = |rule: &&Rule| rule.has(address);
        if let Some(rule) = self.deny.iter().find(|rule| of(rule) && rule.denies(port)) {
            return refused_by(rule);
        }
        let named = self.allow.iter().find(|rule| of(rule) && rule.allows(port));
        if let Some(rule) = named {
            return Verdict::Allowed(rule.text.clone());
        }
        let local =
            |rule: &&Rule| rule.target == Target::Host("localhost".to_owned()) && rule.is_of(host);
        let by_name = self.allow.iter().filter(|rule| rule.is_of(host) && rule.allows(port));
        match by_name.clone().find(local).filter(|_| address.is_loopback()) {
            Some(rule) => Verdict::Allowed(rule.text.clone()),
            None if !is_public(address) => Verdict::Refused(format!(
                "its address {address} is private or special, which is refused unless a rule \
                 names the address"
            )),
            None => match by_name.clone().next() {
                Some(rule) => Verdict::Allowed(rule.text.clone()),
                None => Verdict::Refused("no rule allows it".to_owned()),
            },
        }
    }
}

fn refused_by(rule: &Rule) -> Verdict {
    Verdict::Refused(format!("the rule `{}` denies it", rule.text))
}

impl Rule {
    /// The addresses of loopback that it names.
    fn loopback(&self) -> Vec<IpAddr> {
        match &self.target {
            Target::Host(name) if name == "localhost" => LOOPBACK.to_vec(),
            Target::Net(net)
                if net.addr().is_loopback() && net.prefix_len() == net.max_prefix_len() =>
            {
                vec![net.addr()]
            }
            Target::Net(net) => LOOPBACK.into_iter().filter(|one| net.contains(one)).collect(),
            _ => Vec::new(),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let trimmed = text.trim();
        if trimmed.contains("://") || (trimmed.contains('/') && !trimmed.starts_with(is_of_net)) {
            return Err("it is a URL, not a host");
        }
        let (target, ports) = split_ports(trimmed);
        let ports = match ports {
            None => None,
            Some("*") => Some((0, u16::MAX)),
            Some(ports) => {
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                let range = first.parse().ok().zip(last.parse().ok());
                Some(range.filter(|(a, b)| a <= b).ok_or("its ports are none")?)
            }
        };
        let bare = target.trim_start_matches('[').trim_end_matches(']');
        let target = if target == "*" {
            Target::All
        } else if let Ok(net) = bare.parse::<IpNet>() {
            Target::Net(canonical(net))
        } else if let Ok(address) = bare.parse::<IpAddr>() {
            Target::Net(IpNet::from(address.to_canonical()))
        } else {
            let (name, below) = match target.strip_prefix("*.") {
                Some(name) => (name, true),
                None => (target, false),
            };
            match Host::parse(name) {
                Some(Host::Name(name)) if below => Target::Below(format!(".{name}")),
                Some(Host::Name(name)) => Target::Host(name),
                _ => return Err("it is no host"),
            }
        };
        Ok(Self { text: trimmed.to_owned(), target, ports })
    }

    fn is_of(&self, host: &Host) -> bool {
        match (&self.target, host) {
            (Target::All, _) => true,
            (Target::Host(name), Host::Name(other)) => name == other,
            (Target::Below(end), Host::Name(name)) => name.ends_with(end.as_str()),
            (Target::Net(_), Host::Address(address)) => self.has(address.to_canonical()),
            _ => false,
        }
    }

    fn has(&self, address: IpAddr) -> bool {
        matches!(&self.target, Target::Net(net) if net.contains(&address))
    }

    fn allows(&self, port: u16) -> bool {
        self.ports
            .map_or_else(|| WEB.contains(&port), |(first, last)| (first..=last).contains(&port))
    }

    /// A rule that denies and names no port means all.
    fn denies(&self, port: u16) -> bool {
        self.ports.is_none_or(|(first, last)| (first..=last).contains(&port))
    }
}

/// A range of IPv4 addresses that is written as one of IPv6 (`::ffff:10.0.0.0/104`) as what it is:
/// addresses are judged like that.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(wide) = net else { return net };
    let inner = wide.network().to_ipv4_mapped().zip(wide.prefix_len().checked_sub(96));
    let narrow = inner.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    narrow.map_or(net, IpNet::V4)
}

fn is_of_net(c: char) -> bool {
    c.is_ascii_hexdigit() || matches!(c, '[' | ':')
}

/// The part behind the last colon, where that is not a part of an address.
fn split_ports(text: &str) -> (&str, Option<&str>) {
    let (head, tail) = match text.rfind([':', ']']) {
        Some(at) if text[at..].starts_with(':') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    };
    // `::1` without brackets is all address.
    if head.contains(':') && !head.ends_with(']') { (text, None) } else { (head, tail) }
}
