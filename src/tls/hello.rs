//! The ClientHello: read with a bound, and asked for the one thing that the TLS library keeps to itself.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::accept::HandshakeError;

/// Longest ClientHello in bytes on the wire, record heads included (Envoy's bound). One with a post-quantum key share has 2 KiB.
pub(super) const MAX_HELLO: usize = 16 * 1024;
/// Alert description (RFC 8446 section 6.2).
const DECODE_ERROR: u8 = 50;
/// Record and handshake types, extension and name types (RFC 8446 sections 5.1, 4; RFC 6066 section 3).
const HANDSHAKE_RECORD: u8 = 22;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// A complete ClientHello.
pub(super) struct Hello {
    pub(super) accepted: Accepted,
    /// Whether the server name ends with a dot, which the library cuts off silently.
    pub(super) final_dot: bool,
}

/// Reads until the ClientHello is complete. `LazyConfigAcceptor` does the same without a bound on the bytes. An error comes with the
/// bytes to answer.
pub(super) async fn read<IO>(io: &mut IO) -> Result<Hello, (HandshakeError, Vec<u8>)>
where
    IO: AsyncRead + Unpin,
{
    let silent = |error: io::Error| (HandshakeError::from(error), Vec::new());
    let mut acceptor = Acceptor::default();
    let mut all = Vec::with_capacity(2048);
    loop {
        let begin = all.len();
        let room = u64::try_from(MAX_HELLO - begin).unwrap_or_default();
        if (&mut *io)
            .take(room)
            .read_buf(&mut all)
            .await
            .map_err(silent)?
            == 0
        {
            return Err(silent(io::ErrorKind::UnexpectedEof.into()));
        }
        // All of it goes into the connection, so that nothing behind the ClientHello is lost.
        let mut bytes = &all[begin..];
        while !bytes.is_empty() {
            acceptor.read_tls(&mut bytes).map_err(silent)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let final_dot = has_final_dot(&all);
                return Ok(Hello {
                    accepted,
                    final_dot,
                });
            }
            Ok(None) if all.len() >= MAX_HELLO => {
                return Err((HandshakeError::HelloTooLong, fatal(DECODE_ERROR)));
            }
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                // Into memory: cannot fail.
                let _ = alert.write_all(&mut bytes);
                return Err((HandshakeError::Protocol(error), bytes));
            }
        }
    }
}

/// A fatal alert in a record of its own, in the clear (RFC 8446 section 6).
pub(super) fn fatal(description: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description]
}

fn has_final_dot(wire: &[u8]) -> bool {
    // Nearly every ClientHello comes in one record and need not be put together.
    let mut records = Fields(wire);
    let Some((HANDSHAKE_RECORD, first)) = records.record() else {
        return false;
    };
    if is_whole(first) {
        return server_name(first).is_some_and(|name| name.ends_with(b"."));
    }
    let mut message = Vec::with_capacity(wire.len());
    message.extend_from_slice(first);
    while let Some((HANDSHAKE_RECORD, part)) = records.record() {
        message.extend_from_slice(part);
    }
    server_name(&message).is_some_and(|name| name.ends_with(b"."))
}

/// Whether `part` holds the handshake message that it begins with to its end (RFC 8446 section 4: type, and length in 24 bits).
fn is_whole(part: &[u8]) -> bool {
    match part {
        [_, high, middle, low, rest @ ..] => {
            let length = u32::from_be_bytes([0, *high, *middle, *low]);
            rest.len() >= length as usize
        }
        _ => false,
    }
}

/// The server name in a ClientHello (RFC 8446 section 4.1.2, RFC 6066 section 3) that the library has found well-formed.
fn server_name(message: &[u8]) -> Option<&[u8]> {
    let mut hello = Fields(message);
    let (_type_and_length, _version, _random) = (hello.take(4)?, hello.take(2)?, hello.take(32)?);
    let (_session, _suites, _compression) = (hello.vec8()?, hello.vec16()?, hello.vec8()?);
    let mut extensions = Fields(hello.vec16()?);
    loop {
        let (kind, body) = (extensions.u16()?, extensions.vec16()?);
        if kind != SERVER_NAME {
            continue;
        }
        let mut names = Fields(Fields(body).vec16()?);
        let [HOST_NAME] = names.take(1)? else {
            return None;
        };
        return names.vec16();
    }
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(length.into())
    }

    fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    fn record(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = *self.take(1)?.first()?;
        let _version = self.take(2)?;
        Some((kind, self.vec16()?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use proptest::prelude::*;
    use rustls_pki_types::ServerName;

    /// A ClientHello of rustls for a name of 12 bytes, in one record.
    static HELLO: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let config = crate::tls::client_config(None).unwrap();
        let name = ServerName::try_from("acme.example").unwrap();
        let mut connection = rustls::ClientConnection::new(config, name).unwrap();
        let mut wire = Vec::new();
        connection.write_tls(&mut wire).unwrap();
        wire
    });

    /// The same with `name` in its place, cut into records of `size` bytes.
    fn hello(name: &[u8; 12], size: usize) -> Vec<u8> {
        let mut wire = HELLO.clone();
        let is_name = |part: &[u8]| part == b"acme.example";
        let at = wire.windows(name.len()).position(is_name).unwrap();
        wire[at..at + name.len()].copy_from_slice(name);
        let records = wire[5..].chunks(size).flat_map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[22, 3, 1], &length[..], part].concat()
        });
        records.collect()
    }

    #[test]
    fn c16_a_final_dot_is_seen_however_the_hello_is_cut() {
        for size in [1, 7, 16_000] {
            assert!(has_final_dot(&hello(b"acme.exampl.", size)));
            assert!(!has_final_dot(&hello(b"acme.example", size)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes: Vec<u8>) {
            let _ = has_final_dot(&bytes);
            let _ = server_name(&bytes);
        }

        #[test]
        fn a_hello_cut_short_anywhere_does_no_harm(length in 0usize..1500) {
            let wire = hello(b"acme.exampl.", 100);
            let _ = has_final_dot(&wire[..length.min(wire.len())]);
        }
    }
}
