//! Tenants as JSON lines, in and out.

use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cli::output::{self, OutputOption};
use crate::cli::{CliError, error};
use crate::config::Config;
use crate::model::{DomainPattern, Isolation, LimitOverrides, Slug, TenantState};
use crate::store::{Claim, Exported, ImportFault, ImportLine, NewTenant, Store};

/// Longest line in bytes: a tenant with thousands of names fits, a file that is no JSON lines does not fill the memory.
const MAX_LINE: u64 = 1 << 20;

/// One tenant as one line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    slug: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<TenantState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(default, skip_serializing_if = "is_shared")]
    isolation: Isolation,
    #[serde(default, skip_serializing_if = "is_default")]
    limits: LimitOverrides,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    domains: Vec<String>,
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    meta: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Summary {
    tenants: usize,
    domains: usize,
}

/// Makes the tenants in `file` (`-` is standard input), all or none.
pub(super) async fn import(
    config: &Config,
    store: &Store,
    file: &Path,
    trusted: bool,
    output: OutputOption,
) -> Result<(), CliError> {
    let unreadable = |source| CliError::Input {
        path: file.to_owned(),
        source,
    };
    let input: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).map_err(unreadable)?),
    };
    let lines = read_lines(config, BufReader::new(input), trusted).map_err(unreadable)?;
    let claim = Claim::trusted_if(trusted);
    let made = store.import(lines, claim).await?;
    let summary = Summary {
        tenants: made.tenants,
        domains: made.domains,
    };
    output.print(&summary, |summary| {
        let tenants = error::count(summary.tenants, "tenant");
        format!(
            "{tenants} and {} made",
            error::count(summary.domains, "domain")
        )
    })
}

/// Writes every tenant that is not removed.
pub(super) async fn export(store: &Store) -> Result<(), CliError> {
    let mut failed = None;
    store
        .export(|exported| match write(exported) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })
        .await?;
    failed.map_or(Ok(()), Err)
}

fn write(exported: Exported) -> Result<(), CliError> {
    let Exported { tenant, domains } = exported;
    let mut domains: Vec<String> = domains
        .iter()
        .map(|domain| domain.pattern.to_string())
        .collect();
    domains.sort();
    let kept = matches!(
        tenant.state,
        TenantState::Suspended | TenantState::Maintenance
    );
    let line = Line {
        slug: tenant.slug.to_string(),
        name: Some(tenant.name),
        state: Some(tenant.state).filter(|_| kept),
        upstream: tenant.upstream,
        plan: tenant.plan,
        isolation: tenant.placement.isolation,
        limits: tenant.limits,
        domains,
        meta: tenant.meta,
    };
    let text = serde_json::to_string(&line).map_err(|error| CliError::Output(error.into()))?;
    output::line(&text)
}

/// Reads every line; blank ones are left out, bad ones are faults.
fn read_lines(
    config: &Config,
    mut input: impl BufRead,
    trusted: bool,
) -> std::io::Result<Vec<Result<ImportLine, ImportFault>>> {
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if input
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut bytes)?
            == 0
        {
            break;
        }
        let cut = bytes.len() as u64 == MAX_LINE && !bytes.ends_with(b"\n");
        if cut {
            skip_line(&mut input)?;
        }
        let read = match cut {
            true => Err(format!("longer than {MAX_LINE} bytes")),
            false if bytes.trim_ascii().is_empty() => continue,
            false => read_line(config, number, &bytes, trusted),
        };
        lines.push(read.map_err(|reason| ImportFault {
            line: number,
            reason,
        }));
    }
    Ok(lines)
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    let mut rest = Vec::new();
    while !rest.ends_with(b"\n") {
        rest.clear();
        if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

/// What is wrong with a line of many: the line that the parser counts is always the first.
fn in_line(error: &serde_json::Error) -> String {
    let (text, line) = (error.to_string(), format!(" at line {} ", error.line()));
    text.replacen(&line, " at ", 1)
}

fn read_line(
    config: &Config,
    number: usize,
    bytes: &[u8],
    trusted: bool,
) -> Result<ImportLine, String> {
    let line: Line = serde_json::from_slice(bytes).map_err(|error| in_line(&error))?;
    if let Some(state) = line.state
        && !matches!(
            state,
            TenantState::Active | TenantState::Suspended | TenantState::Maintenance
        )
    {
        return Err(format!("a tenant cannot begin as {}", state.as_str()));
    }
    let slug = Slug::parse(&line.slug).map_err(|error| format!("{:?}: {error}", line.slug))?;
    let pattern = |name: &String| {
        DomainPattern::parse_typed(name).map_err(|error| format!("{name:?}: {error}"))
    };
    let domains = line
        .domains
        .iter()
        .map(pattern)
        .collect::<Result<Vec<_>, _>>()?;
    check_domains(config, &domains, trusted)?;
    let tenant = NewTenant {
        name: line.name,
        state: line.state,
        isolation: line.isolation,
        upstream: line.upstream,
        plan: line.plan,
        limits: line.limits,
        meta: line.meta,
        ..NewTenant::new(slug)
    };
    Ok(ImportLine {
        number,
        tenant,
        domains,
    })
}

fn check_domains(config: &Config, domains: &[DomainPattern], trusted: bool) -> Result<(), String> {
    let fault = |pattern: &DomainPattern| {
        let reason = config.refuses_claim(pattern, trusted)?;
        Some(format!("{pattern} cannot be a tenant's: {reason}"))
    };
    domains.iter().find_map(fault).map_or(Ok(()), Err)
}

fn is_shared(isolation: &Isolation) -> bool {
    *isolation == Isolation::Shared
}

fn is_default(limits: &LimitOverrides) -> bool {
    *limits == LimitOverrides::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> Config {
        Config::parse("", "test", std::iter::empty()).unwrap()
    }

    #[test]
    fn every_bad_line_has_its_number_and_reason() {
        let text = "{\"slug\":\"acme\",\"plan\":\"pro\"}\n\n{\"slug\":\"A b\"}\nnonsense\n\
                    {\"slug\":\"b\",\"paln\":\"x\"}\n{\"slug\":\"c\",\"domains\":[\"shop.acmecorp.com\"]}\n\
                    {\"slug\":\"d\",\"state\":\"removed\"}\n{\"slug\":\"last\"}";
        let lines = read_lines(&config(), text.as_bytes(), false).unwrap();
        let bad: Vec<usize> = lines
            .iter()
            .filter_map(|line| line.as_ref().err())
            .map(|fault| fault.line)
            .collect();
        assert_eq!(bad, [3, 4, 5, 7]);
        let good: Vec<String> = lines
            .iter()
            .flatten()
            .map(|line| line.tenant.slug.to_string())
            .collect();
        assert_eq!(good, ["acme", "c", "last"]);
    }

    #[test]
    fn a_line_without_end_is_one_fault() {
        let long = vec![b'x'; 5 * MAX_LINE as usize / 2];
        let text = [&long[..], b"\n{\"slug\":\"a\"}\n"].concat();
        let lines = read_lines(&config(), &text[..], false).unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1].as_ref().unwrap().number, 2);
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,200}") {
            let _ = read_lines(&config(), text.as_bytes(), true);
        }
    }
}
