//! Who is asking, and over what: the connection's other end, or the client that a trusted proxy
//! names.

use std::net::IpAddr;

use hyper::HeaderMap;
use ipnet::IpNet;

/// How the client's request travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// As URLs begin.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The client of a request; in the extensions of every request that reaches the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address, behind any trusted proxies.
    pub peer: IpAddr,
    /// What the client spoke, to the server or to the proxy.
    pub scheme: Scheme,
}

impl ConnectionInfo {
    /// The client of a request that came over `self`, with what trusted proxies say of it.
    /// Addresses are believed from the right, as long as the one before is a trusted proxy.
    pub(super) fn behind_proxies(self, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
        if !is_trusted(self.peer) {
            return self;
        }
        let lists = headers.get_all("x-forwarded-for").into_iter();
        let lists: Vec<&str> = lists.filter_map(|value| value.to_str().ok()).collect();
        let mut peer = self.peer;
        for entry in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            let Some(address) = forwarded_address(entry) else {
                break;
            };
            peer = address;
            if !is_trusted(address) {
                break;
            }
        }
        let protocol = headers.get_all("x-forwarded-proto").into_iter().next_back();
        let protocol = protocol.and_then(|value| value.to_str().ok());
        let protocol = protocol.and_then(|list| list.rsplit(',').next());
        let scheme = match protocol.map(str::trim) {
            Some(name) if name.eq_ignore_ascii_case("https") => Scheme::Https,
            Some(name) if name.eq_ignore_ascii_case("http") => Scheme::Http,
            _ => self.scheme,
        };
        Self { peer, scheme }
    }
}

/// An entry of X-Forwarded-For: an address, which some proxies write with a port.
fn forwarded_address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bracketed = entry.strip_prefix('[').and_then(|e| e.split(']').next());
    let bare = bracketed.unwrap_or(entry);
    let address = bare.parse().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|a| a.ip());
    address.or_else(with_port).map(|a: IpAddr| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> ConnectionInfo {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let direct = ConnectionInfo {
            peer: peer.parse().unwrap(),
            scheme: Scheme::Http,
        };
        direct.behind_proxies(&map, &["10.0.0.0/8".parse().unwrap()])
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_cannot_forge_its_address_or_scheme() {
        let said = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
        ];
        let client = client("192.0.2.1", &said);
        assert_eq!(client.peer, peer("192.0.2.1"));
        assert_eq!(client.scheme, Scheme::Http);
    }

    #[test]
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        let said = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.5"),
            ("x-forwarded-for", "10.1.1.1, 10.1.1.2"),
            ("x-forwarded-proto", "http, https"),
        ];
        let client = client("10.0.0.1", &said);
        assert_eq!(client.peer, peer("203.0.113.5"));
        assert_eq!(client.scheme, Scheme::Https);
    }

    #[test]
    fn addresses_may_carry_ports_and_garbage_ends_the_list() {
        let of = |list| client("10.0.0.1", &[("x-forwarded-for", list)]).peer;
        assert_eq!(of("203.0.113.5:4711"), peer("203.0.113.5"));
        assert_eq!(of("[2001:db8::1]:4711"), peer("2001:db8::1"));
        assert_eq!(of("203.0.113.5, unknown"), peer("10.0.0.1"));
        assert_eq!(of(""), peer("10.0.0.1"));
    }
}
