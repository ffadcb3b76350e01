//! Full handshakes: each request on a connection of its own, with one of very many certificates.

use super::forward::Field;
use crate::bed::{Bed, CERTIFICATES, SHORT};
use crate::compare::{Work, alternate};
use crate::contender::{Application, Certificates};
use crate::edge;
use crate::fault::Result;
use crate::load::handshakes::{self, Order};
use crate::options::Name;
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &["handshake"];

/// Visitors who come one after another, at a time.
const AT_ONCE: usize = 32;

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let folder = bed.place("many.certs");
    bed.certificate(&folder, "wildcard", "*.example.com")?;
    bed.certificates(&folder, CERTIFICATES)?;
    let application = Application::start(bed)?;
    let certificates = Certificates::Each(&folder, CERTIFICATES);
    let names = [Name::Vestibule, Name::Nginx, Name::Haproxy];
    let field = Field::gather(bed, &names, &application, certificates)?;
    let work = Work {
        title: "full handshake",
        tls: true,
        path: "/",
        expected: SHORT.as_bytes(),
        tenants: CERTIFICATES,
        ages: false,
        load: &|contender, start, seconds| {
            let order = Order {
                address: contender.https,
                names: CERTIFICATES,
                start,
                at_once: AT_ONCE,
                seconds,
            };
            handshakes::run(bed, order)
        },
    };
    let samples = alternate(bed, &field.contenders, &work)?;
    field.to_the_cheaper(&samples, "handshake", found);
    let place = match edge::keeps_certificates(bed) {
        true => "in its store",
        false => "files, since this one's store takes none",
    };
    let said = format!("TLS 1.3, AES-128, P-256, X25519; Vestibule's certificates are {place}");
    found.remark("handshake", &said);
    found.samples.extend(samples);
    Ok(())
}
