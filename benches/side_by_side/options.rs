//! What the command line may say.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Vestibule, doing its whole job, beside proxies that only forward, and prints what was asked beside what was measured.
#[derive(Parser, Debug)]
#[command(name = "benches/run")]
pub(crate) struct Options {
    /// How often each contender has its turn
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How long one turn takes
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// Measure these rows only (see --list); may be repeated, a beginning will do
    #[arg(long = "row", value_name = "NAME")]
    pub(crate) rows: Vec<String>,
    /// Compare with this one only; may be repeated. `vestibule`: with nobody
    #[arg(long = "only", value_name = "PEER")]
    pub(crate) only: Vec<Name>,
    /// A look rather than a measurement: 3 rounds of 2 seconds, and a tenth of what is asked for where that takes long
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write everything that was measured as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also write a chart
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Print the rows and what is asked, measure nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// The Vestibule to measure instead of the one built from here; the peers come from VESTIBULE_BENCH_NGINX, _HAPROXY, _CADDY,
    /// _NGINX_LUA (the nginx that loads the Lua module), _NGINX_MODULES (its folder) and _WRK, else from PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) vestibule: Option<PathBuf>,
    /// The core of the proxy under test
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    pub(crate) proxy_core: usize,
    /// The core of the application and of the visitors
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    pub(crate) load_core: usize,
    /// Keep the folder with the logs and configurations, and say where it is
    #[arg(long)]
    pub(crate) keep: bool,
    /// cargo says this
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// Who is measured.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[value(rename_all = "kebab-case")]
pub(crate) enum Name {
    Vestibule,
    Nginx,
    Haproxy,
    NginxLua,
    Caddy,
}

impl Name {
    /// As people write it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Vestibule => "Vestibule",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::NginxLua => "nginx + Lua",
            Self::Caddy => "Caddy",
        }
    }

    /// As the command line and files spell it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Vestibule => "vestibule",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::NginxLua => "nginx-lua",
            Self::Caddy => "caddy",
        }
    }
}

impl Options {
    /// What the command line says; `--quick` has the last word.
    pub(crate) fn read() -> Self {
        let mut options = Self::parse();
        if options.quick {
            options.rounds = options.rounds.min(3);
            options.seconds = options.seconds.min(2);
        }
        options
    }

    /// Whether a row is asked for.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.starts_with(wanted))
    }

    /// Whether a contender takes part.
    pub(crate) fn admits(&self, name: Name) -> bool {
        name == Name::Vestibule || self.only.is_empty() || self.only.contains(&name)
    }

    /// A tenth of it where only a look is wanted.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}
