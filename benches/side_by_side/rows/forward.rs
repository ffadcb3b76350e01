//! Forwarding, as all contenders do it: keep-alive requests plain, over TLS and over HTTP/2, and large answers.

use crate::bed::{Bed, SHORT, TENANTS, large};
use crate::compare::{Figure, Sample, Work, alternate, figure, ratio};
use crate::contender::{Application, Certificates, Contender, start};
use crate::fault::{Fault, Result};
use crate::load::wrk::{self, Wrk};
use crate::load::{h2, touch};
use crate::options::Name;
use crate::table::Found;

pub(crate) const ROWS: &[&str] = &[
    "h1", "h1-lua", "h1-caddy", "h1-user", "tls", "h2", "body", "body-tls",
];

const PLAIN: &[&str] = &["h1", "h1-lua", "h1-caddy", "h1-user"];

/// Keep-alive connections at once.
const CONNECTIONS: usize = 64;
/// Connections over HTTP/2, and requests at once on each.
const H2: (usize, usize) = (8, 32);

/// Those who take part, and why the others do not.
pub(crate) struct Field {
    pub(crate) contenders: Vec<Contender>,
    pub(crate) absent: Vec<(Name, Fault)>,
}

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let wrk = Wrk::find(bed)?;
    let application = Application::start(bed)?;
    let wants = |rows: &[&str]| rows.iter().any(|row| bed.options.wants(row));
    let mut names = vec![Name::Vestibule, Name::Nginx, Name::Haproxy];
    if wants(&["h1-lua"]) {
        names.push(Name::NginxLua);
    }
    if wants(&["h1-caddy"]) {
        names.push(Name::Caddy);
    }
    let mut field = Field::gather(bed, &names, &application, Certificates::Wildcard)?;
    if wants(PLAIN) {
        plain(bed, &wrk, &field, found);
    }
    field.contenders.retain(|contender| {
        [Name::Vestibule, Name::Nginx, Name::Haproxy].contains(&contender.name)
    });
    let large = large();
    let small = Http1::of(&wrk, "h1 over TLS", true, "/");
    if bed.options.wants("tls") {
        small.run(bed, &field, SHORT.as_bytes(), "tls", found);
    }
    if bed.options.wants("h2") {
        over_h2(bed, &field, found);
    }
    if bed.options.wants("body") {
        let work = Http1::of(&wrk, "1 MiB answer", false, "/large");
        work.run(bed, &field, &large, "body", found);
    }
    if bed.options.wants("body-tls") {
        let work = Http1::of(&wrk, "1 MiB answer over TLS", true, "/large");
        work.run(bed, &field, &large, "body-tls", found);
    }
    Ok(())
}

impl Field {
    /// Starts those of `names` that may and can take part. Without Vestibule there is nothing to measure.
    pub(crate) fn gather(
        bed: &Bed,
        names: &[Name],
        application: &Application,
        certificates: Certificates<'_>,
    ) -> Result<Self> {
        let (mut contenders, mut absent) = (Vec::new(), Vec::new());
        for name in names.iter().copied() {
            if !bed.options.admits(name) {
                absent.push((
                    name,
                    Fault::new(format!("{} was left out (--only)", name.title())),
                ));
                continue;
            }
            match start(bed, name, application, certificates) {
                Ok(contender) => contenders.push(contender),
                Err(why) if name == Name::Vestibule => return Err(why),
                Err(why) => absent.push((name, why)),
            }
        }
        for edge in contenders
            .iter()
            .filter(|contender| contender.admin.is_some())
        {
            eprintln!("asking Vestibule for each of {TENANTS} tenants once");
            touch::all(bed, edge.http, 0..TENANTS, edge.name.title())?;
        }
        Ok(Self { contenders, absent })
    }

    fn absence(&self, names: &[Name]) -> Option<&Fault> {
        let absent = self.absent.iter().find(|(name, _)| names.contains(name));
        absent.map(|(_, why)| why)
    }

    /// Files the ratio to the cheaper of nginx and HAProxy.
    pub(crate) fn to_the_cheaper(&self, samples: &[Sample], row: &'static str, found: &mut Found) {
        let peers = [Name::Nginx, Name::Haproxy];
        let cost = |name: &Name| figure(samples, *name, Sample::cost).value;
        let present = peers.iter().filter(|name| cost(name).is_finite());
        let cheaper = present.min_by(|a, b| cost(a).total_cmp(&cost(b)));
        match (cheaper, self.absence(&peers)) {
            (Some(cheaper), None) => {
                let note = format!("to {}; {}", cheaper.title(), remarks(samples));
                found.row(row, ratio(samples, Name::Vestibule, *cheaper), note);
            }
            (Some(cheaper), Some(why)) => {
                let ratio = ratio(samples, Name::Vestibule, *cheaper).value;
                let said = format!("{why}; {ratio:.2} to {}", cheaper.title());
                found.miss(&[row], &Fault::new(said));
            }
            (None, why) => {
                let nobody = Fault::new("there is nobody to compare with");
                found.miss(&[row], why.unwrap_or(&nobody));
            }
        }
    }

    fn to(&self, peer: Name, samples: &[Sample], row: &'static str, found: &mut Found) {
        match self.absence(&[peer]) {
            Some(why) => found.miss(&[row], why),
            None => found.row(row, ratio(samples, Name::Vestibule, peer), ""),
        }
    }
}

/// Requests that wrk makes.
struct Http1<'a> {
    wrk: &'a Wrk,
    title: &'static str,
    tls: bool,
    path: &'static str,
}

impl<'a> Http1<'a> {
    fn of(wrk: &'a Wrk, title: &'static str, tls: bool, path: &'static str) -> Self {
        Self {
            wrk,
            title,
            tls,
            path,
        }
    }

    fn samples(&self, bed: &Bed, field: &Field, expected: &[u8]) -> Result<Vec<Sample>> {
        let work = Work {
            title: self.title,
            tls: self.tls,
            path: self.path,
            expected,
            tenants: TENANTS,
            ages: false,
            load: &|contender, start, seconds| {
                self.wrk.run(wrk::Order {
                    address: if self.tls {
                        contender.https
                    } else {
                        contender.http
                    },
                    tls: self.tls,
                    path: self.path,
                    tenants: TENANTS,
                    start,
                    connections: CONNECTIONS,
                    seconds,
                })
            },
        };
        alternate(bed, &field.contenders, &work)
    }

    /// Measures and files it under `row`.
    fn run(&self, bed: &Bed, field: &Field, expected: &[u8], row: &'static str, found: &mut Found) {
        match self.samples(bed, field, expected) {
            Ok(samples) => {
                field.to_the_cheaper(&samples, row, found);
                found.samples.extend(samples);
            }
            Err(why) => found.miss(&[row], &why),
        }
    }
}

fn plain(bed: &Bed, wrk: &Wrk, field: &Field, found: &mut Found) {
    let work = Http1::of(wrk, "h1 keep-alive", false, "/");
    let samples = match work.samples(bed, field, SHORT.as_bytes()) {
        Ok(samples) => samples,
        Err(why) => return found.miss(PLAIN, &why),
    };
    field.to_the_cheaper(&samples, "h1", found);
    field.to(Name::NginxLua, &samples, "h1-lua", found);
    field.to(Name::Caddy, &samples, "h1-caddy", found);
    let user = |name| figure(&samples, name, Sample::user);
    let others = [Name::Nginx, Name::Haproxy, Name::NginxLua, Name::Caddy];
    let others = others.map(|name| (name, user(name).value));
    let others = others.iter().filter(|(_, value)| value.is_finite());
    let others: Vec<_> = others
        .map(|(name, value)| format!("{} {value:.1}", name.title()))
        .collect();
    found.row("h1-user", user(Name::Vestibule), others.join(", "));
    found.samples.extend(samples);
}

fn over_h2(bed: &Bed, field: &Field, found: &mut Found) {
    let work = Work {
        title: "h2 over TLS",
        tls: true,
        path: "/",
        expected: SHORT.as_bytes(),
        tenants: TENANTS,
        ages: false,
        load: &|contender, start, seconds| {
            h2::run(
                bed,
                h2::Order {
                    address: contender.https,
                    tenants: TENANTS,
                    start,
                    connections: H2.0,
                    streams: H2.1,
                    seconds,
                },
            )
        },
    };
    match alternate(bed, &field.contenders, &work) {
        Ok(samples) => {
            field.to_the_cheaper(&samples, "h2", found);
            found.samples.extend(samples);
        }
        Err(why) => found.miss(&["h2"], &why),
    }
}

/// What happened beside the work.
pub(crate) fn remarks(samples: &[Sample]) -> String {
    let of = |value: fn(&Sample) -> f64| figure(samples, Name::Vestibule, value);
    let look_ups = of(|sample| sample.look_ups * 1000.0 / sample.load.requests as f64);
    let signed = of(|sample| sample.signed * 1000.0 / sample.load.requests as f64);
    let Figure { high: dropped, .. } = of(|sample| sample.lines_dropped);
    let mut said = format!(
        "{:.1} look-ups and {:.1} signatures per 1,000 requests",
        look_ups.value, signed.value
    );
    if dropped > 0.0 {
        said += &format!("; up to {dropped:.0} access lines were dropped in a round");
    }
    said
}
