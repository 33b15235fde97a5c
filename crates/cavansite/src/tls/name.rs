//! A name or address that a certificate is for.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// A DNS name in lower case, or an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Name {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// The domains that the local CA may always vouch for, with the names below them. Nobody else can
/// own them, but for `cavansite`, a name that containers give to the server.
const LOCAL_DOMAINS: [&str; 4] = ["localhost", "test", "internal", "cavansite"];

/// The addresses that the local CA may always vouch for: loopback and private ones.
const LOCAL_NETWORKS: [&str; 6] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
];

/// The names in every certificate of the local CA: this machine, and what containers on it and
/// beside it call the server.
const STANDARD_NAMES: [&str; 7] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "cavansite",
    "cavansite.test",
    "cavansite.internal",
    "host.docker.internal",
];

impl Name {
    /// The names that every local certificate carries, then those of `more` that are new.
    pub fn standard_and(more: &[Self]) -> Vec<Self> {
        let mut names: Vec<Self> = STANDARD_NAMES
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        for name in more {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self::Dns(text.to_ascii_lowercase()))
        } else {
            Err("must be a host name or an IP address, without a port".to_owned())
        }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// What a CA may vouch for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Realm {
    /// A domain and the names below it.
    Domain(String),
    /// A range of addresses.
    Network(IpNet),
}

impl Realm {
    /// The realms of every local CA.
    pub(super) fn standard() -> Vec<Self> {
        let domains = LOCAL_DOMAINS.iter().map(|d| Self::Domain((*d).to_owned()));
        let networks = LOCAL_NETWORKS.iter().filter_map(|n| n.parse().ok());
        domains.chain(networks.map(Self::Network)).collect()
    }

    /// The smallest realm with that name in it.
    pub(super) fn of(name: &Name) -> Self {
        match name {
            Name::Dns(name) => Self::Domain(name.clone()),
            Name::Ip(address) => Self::Network(IpNet::from(*address)),
        }
    }

    /// Whether the name lies in it.
    pub(super) fn covers(&self, name: &Name) -> bool {
        match (self, name) {
            (Self::Domain(domain), Name::Dns(name)) => name
                .strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            (Self::Network(network), Name::Ip(address)) => network.contains(address),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_lower_case_and_carry_no_port() {
        assert_eq!(name("Chat.Example"), Name::Dns("chat.example".to_owned()));
        assert!("localhost:443".parse::<Name>().is_err());
        assert!("".parse::<Name>().is_err());
        assert!("a..b".parse::<Name>().is_err());
        assert!("*.example".parse::<Name>().is_err());
    }

    #[test]
    fn every_standard_name_lies_in_a_standard_realm() {
        let names = Name::standard_and(&[]);
        assert_eq!(names.len(), STANDARD_NAMES.len());
        let realms = Realm::standard();
        assert_eq!(realms.len(), LOCAL_DOMAINS.len() + LOCAL_NETWORKS.len());
        for name in names {
            assert!(realms.iter().any(|realm| realm.covers(&name)), "{name}");
        }
    }

    #[test]
    fn a_domain_covers_what_is_below_it_and_not_what_ends_alike() {
        let realm = Realm::Domain("test".to_owned());
        assert!(realm.covers(&name("a.b.test")));
        assert!(realm.covers(&name("test")));
        assert!(!realm.covers(&name("contest")));
        assert!(!realm.covers(&name("127.0.0.1")));
    }
}
