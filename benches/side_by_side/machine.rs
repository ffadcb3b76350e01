//! What the figures were measured on, and when.

use std::path::PathBuf;
use std::process::Command;

use vestibule::clock::Clock;

use crate::bed::Bed;
use crate::fault::Result;

/// Lines for the head of the report: what, and its value.
pub(crate) fn facts(bed: &Bed) -> Vec<(&'static str, String)> {
    let options = &bed.options;
    let now = Clock::system().now().rfc3339();
    let version = |program: Result<PathBuf>, argument: &str| match program {
        Ok(program) => first_line(&program, argument),
        Err(why) => why.to_string(),
    };
    let vestibule = bed.vestibule();
    vec![
        ("date", String::from_utf8_lossy(&now).into_owned()),
        ("machine", machine()),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        (
            "Vestibule",
            format!(
                "{}, commit {}, {}",
                first_line(&vestibule, "version"),
                commit(),
                vestibule.display()
            ),
        ),
        ("nginx", version(bed.program("NGINX", "nginx"), "-v")),
        (
            "nginx + Lua",
            version(bed.program("NGINX_LUA", "nginx"), "-v"),
        ),
        ("HAProxy", version(bed.program("HAPROXY", "haproxy"), "-v")),
        ("Caddy", version(bed.program("CADDY", "caddy"), "version")),
        ("wrk", version(bed.program("WRK", "wrk"), "-v")),
        (
            "method",
            format!(
                "{} rounds of {} s, contenders in turns; the proxy with one worker on core {}, visitors and application on core {}, \
                 loopback; cost is user + system time of all processes of the proxy per request; a ratio is the median of the \
                 rounds' ratios, lowest and highest behind it. Vestibule with everything on: 100,000 tenants in SQLite, all of them \
                 asked for once before, assertion, limits, metrics, access log to a file; the others do what the row says",
                options.rounds, options.seconds, options.proxy_core, options.load_core
            ),
        ),
    ]
}

fn machine() -> String {
    let cpu = read("/proc/cpuinfo");
    let field = |name: &str| {
        let mut lines = cpu.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim() == name);
        found.map_or_else(|| "?".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let cores = cpu.lines().filter(|line| line.starts_with("processor"));
    let memory = read("/proc/meminfo");
    let memory = memory.split_whitespace().nth(1);
    let memory = memory
        .and_then(|kib| kib.parse::<f64>().ok())
        .unwrap_or(0.0);
    format!(
        "{} ({} family {} model {}), {} cores, {:.0} GiB, load before {}",
        field("model name"),
        field("vendor_id"),
        field("cpu family"),
        field("model"),
        cores.count(),
        memory / f64::from(1 << 20),
        read("/proc/loadavg").split(' ').next().unwrap_or("?")
    )
}

fn commit() -> String {
    let output = Command::new("git")
        .args([
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "describe",
            "--always",
            "--dirty",
        ])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok()
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "?".to_owned())
}

/// Some say their version on standard error.
fn first_line(program: &PathBuf, argument: &str) -> String {
    let Ok(output) = Command::new(program).arg(argument).output() else {
        return "does not start".to_owned();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn read(place: &str) -> String {
    let text = std::fs::read_to_string(place).unwrap_or_default();
    text.trim().to_owned()
}
