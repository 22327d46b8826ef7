//! Listening sockets: addresses in Go's spelling, and sockets handed over by systemd.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

const BACKLOG: i32 = 1024;

/// Where to listen: `:9100` is every address of both families, and so are `0.0.0.0:9100` and `[::]:9100`, as the original's users
/// know it; else `host:port`, with brackets around an IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: Option<String>,
    port: u16,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("vsock:") {
            return Err("vsock is not supported: give host:port".to_owned());
        }
        let expected = || "must be :port, host:port or [IPv6]:port".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bracketed.is_none() && host.contains([':', '[', ']']) {
            return Err(expected());
        }
        let host = bracketed.unwrap_or(host);
        Ok(Address { host: (!host.is_empty()).then(|| host.to_owned()), port })
    }

    /// Opens a listening socket.
    ///
    /// # Errors
    /// The system's answer.
    pub fn listen(&self) -> std::io::Result<TcpListener> {
        if let Some(address) = self.resolve()?.filter(|address| !address.ip().is_unspecified()) {
            return Ok(listen_on(address, false)?);
        }
        match listen_on(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), self.port), true) {
            // A kernel without IPv6.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                Ok(listen_on(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), self.port), false)?)
            }
            other => Ok(other?),
        }
    }

    /// The address; `None` if there is no host. Of a name's addresses it is the first of IPv4, as the original has it: `localhost` is
    /// 127.0.0.1 whichever comes first in /etc/hosts.
    fn resolve(&self) -> std::io::Result<Option<SocketAddr>> {
        let Some(host) = &self.host else { return Ok(None) };
        let (mut first, mut other) = (None, None);
        for address in (host.as_str(), self.port).to_socket_addrs()? {
            match address.ip().to_canonical() {
                ip @ IpAddr::V4(_) => _ = first.get_or_insert(SocketAddr::new(ip, self.port)),
                IpAddr::V6(_) => _ = other.get_or_insert(address),
            }
        }
        Ok(Some(first.or(other).ok_or(Errno::ADDRNOTAVAIL)?))
    }

    /// Where a client on this machine reaches what listens here.
    ///
    /// # Errors
    /// A name that cannot be resolved.
    pub fn reach(&self) -> std::io::Result<SocketAddr> {
        let mut address = self.resolve()?.unwrap_or((Ipv4Addr::LOCALHOST, self.port).into());
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

fn listen_on(address: SocketAddr, both_families: bool) -> Result<TcpListener, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !both_families)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [":9100", "127.0.0.1:9100", "[::1]:9100", "localhost:0", "node.example.org:80"] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "9100", "localhost", ":", ":65536", ":-1", "::1:9100", "[::1]", "a]:1"] {
            assert_eq!(Address::parse(bad).unwrap_err(), "must be :port, host:port or [IPv6]:port", "{bad}");
        }
        assert_eq!(Address::parse("vsock://:9100").unwrap_err(), "vsock is not supported: give host:port");
        assert_eq!(Address::parse(":9100").unwrap().reach().unwrap().to_string(), "127.0.0.1:9100");
        assert_eq!(Address::parse("0.0.0.0:9100").unwrap().reach().unwrap().to_string(), "127.0.0.1:9100");
    }

    #[test]
    fn a_port_that_is_taken_is_told() {
        let first = Address::parse("127.0.0.1:0").unwrap().listen().unwrap();
        let again = Address::parse(&first.local_addr().unwrap().to_string()).unwrap().listen();
        assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    }

    #[test]
    fn no_host_and_any_host_mean_both_families() {
        for any in [":0", "0.0.0.0:0", "[::]:0"] {
            let listener = Address::parse(any).unwrap().listen().unwrap();
            let address = listener.local_addr().unwrap();
            assert!(std::net::TcpStream::connect(("127.0.0.1", address.port())).is_ok(), "{any}");
            if address.is_ipv6() && std::fs::exists("/proc/sys/net/ipv6/conf/lo").unwrap() {
                assert!(std::net::TcpStream::connect(("::1", address.port())).is_ok(), "{any}");
            }
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_ipv4() {
        let listener = Address::parse("[::ffff:127.0.0.1]:0").unwrap().listen().unwrap();
        assert_eq!(listener.local_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
    }
}
