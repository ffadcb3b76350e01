//! What `dev` says once it serves: where to look, and what to type next.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;

use super::folder::{Before, Folder};
use crate::app::Addresses;
use crate::cli::sample::{BASE_DOMAIN, PLATFORM_HOST, TENANTS};
use crate::config::AccessLog;
use crate::model::{Tenant, TenantState};

/// As many tenants as fit into a first impression.
const SHOWN: usize = 6;
/// Widest name in front of a link.
const WIDTH: usize = 20;

/// What there is to tell.
pub(super) struct Banner<'a> {
    pub(super) addresses: &'a Addresses,
    /// The local authority's certificate, where there is TLS.
    pub(super) authority: Option<&'a Path>,
    pub(super) access_log: &'a AccessLog,
    /// Whether the sample application runs.
    pub(super) application: bool,
    pub(super) folder: &'a Folder,
    pub(super) before: Before,
    pub(super) tenants: &'a [Tenant],
}

impl Banner<'_> {
    /// The whole text; in colour where that is a terminal's.
    pub(super) fn text(&self) -> String {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let command = std::env::args()
            .next()
            .unwrap_or_else(|| "vestibule".to_owned());
        let mut page = Page {
            text: String::new(),
            colour,
        };
        page.head("Vestibule is running: one application, and each address below is another tenant to it.");
        self.places(&mut page);
        self.tls(&mut page);
        self.operator(&mut page);
        self.next(&mut page, &command);
        self.end(&mut page);
        page.text
    }

    fn places(&self, page: &mut Page) {
        let Some(http) = self.addresses.http.first() else {
            return;
        };
        let url = |host: &str, path: &str| format!("http://{host}:{}{path}", http.port());
        for tenant in self.tenants.iter().take(SHOWN) {
            let host = format!("{}.{BASE_DOMAIN}", tenant.slug);
            page.row(&tenant.name, &url(&host, "/"), &note(tenant));
        }
        if let Some(more) = self
            .tenants
            .len()
            .checked_sub(SHOWN)
            .filter(|more| *more > 0)
        {
            page.row("", &format!("and {more} more"), "");
        }
        let first = self
            .tenants
            .iter()
            .find(|tenant| tenant.state == TenantState::Active);
        if let Some(first) = first {
            page.row(
                "by path",
                &url(PLATFORM_HOST, &format!("/t/{}/", first.slug)),
                "",
            );
        }
        page.row(
            "the platform",
            &url(PLATFORM_HOST, "/"),
            "no tenant is named here",
        );
        if !self.application {
            page.row(
                "",
                "The sample application is not running: the upstream is your own.",
                "",
            );
        }
    }

    fn tls(&self, page: &mut Page) {
        let (Some(https), Some(authority)) = (self.addresses.https.first(), self.authority) else {
            return;
        };
        let (name, authority) = (TENANTS[0].0, authority.display());
        let url = format!("https://{name}.{BASE_DOMAIN}:{}/", https.port());
        page.gap();
        page.row("over TLS", &url, "");
        page.row("", &format!("curl --cacert {authority} {url}"), "");
        page.row(
            "",
            &format!(
                "a browser must be told to trust {authority}, which is good for localhost only"
            ),
            "",
        );
    }

    fn operator(&self, page: &mut Page) {
        page.gap();
        if let Some(admin) = self.addresses.admin {
            let url = |path: &str| format!("http://{}{path}", reachable(admin));
            page.row("metrics", &url("/metrics"), "");
            page.row("ready?", &url("/readyz"), "");
            page.row("public keys", &url("/.well-known/jwks.json"), "");
        }
        if let AccessLog::File(path) = self.access_log {
            page.row("access log", &path.display().to_string(), "");
        }
    }

    fn next(&self, page: &mut Page, command: &str) {
        let file = self.folder.configuration().display();
        page.gap();
        page.head("Go on in another terminal:");
        let say = |page: &mut Page, rest: &str| {
            page.line(&format!("{command} --config {file} {rest}"));
        };
        say(page, "tenant create hooli --name Hooli");
        if !self.addresses.https.is_empty() {
            // The certificate names the tenants that there were when it was made.
            page.line("    (over TLS hooli answers when dev is started again)");
        }
        say(page, "tenant list");
        if let Some(http) = self.addresses.http.first() {
            let (name, port) = (TENANTS[0].0, http.port());
            say(
                page,
                &format!("explain http://{name}.{BASE_DOMAIN}:{port}/"),
            );
        }
    }

    fn end(&self, page: &mut Page) {
        let folder = self.folder.path().display();
        let how = match self.before {
            Before::Nothing => "Everything is in",
            Before::Kept => "Everything is kept from before in",
        };
        page.gap();
        page.head(&format!(
            "{how} {folder}; remove that to start anew. Ctrl-C stops."
        ));
    }
}

fn note(tenant: &Tenant) -> String {
    match tenant.state {
        TenantState::Active => String::new(),
        TenantState::Provisioning => format!("still being prepared, {} %", tenant.progress),
        other => other.as_str().to_owned(),
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    address
}

/// Text being laid out.
struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn head(&mut self, text: &str) {
        let text = self.dressed("1", text);
        let _ = writeln!(self.text, "{text}");
    }

    fn row(&mut self, name: &str, what: &str, note: &str) {
        let link = what.starts_with("http");
        let (what, note) = (
            self.dressed(if link { "36" } else { "" }, what),
            self.dressed("2", note),
        );
        let row = format!("  {name:WIDTH$} {what}  {note}");
        let _ = writeln!(self.text, "{}", row.trim_end());
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "  {text}");
    }

    fn gap(&mut self) {
        self.text.push('\n');
    }

    /// `text` in a style (SGR parameters of ECMA-48).
    fn dressed(&self, style: &str, text: &str) -> String {
        match self.colour && !text.is_empty() && !style.is_empty() {
            true => format!("\x1b[{style}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}
