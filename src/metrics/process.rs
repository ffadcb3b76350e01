//! The usual `process_*` series, read from `/proc/self` when scraped.

use prometheus::core::{Collector, Desc};
use prometheus::{Gauge, proto};

/// Clock ticks a second in `/proc/self/stat`: fixed at 100 for user space on Linux (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Reads `/proc/self` at every scrape; what cannot be read keeps its last value.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    cpu: prometheus::Counter,
    resident: Gauge,
    virtual_memory: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    start: Gauge,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        Ok(Self {
            cpu: prometheus::Counter::new(
                "process_cpu_seconds_total",
                "CPU time, user and system.",
            )?,
            resident: Gauge::new("process_resident_memory_bytes", "Resident memory.")?,
            virtual_memory: Gauge::new("process_virtual_memory_bytes", "Virtual memory.")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors.")?,
            max_fds: Gauge::new("process_max_fds", "Most file descriptors allowed.")?,
            threads: Gauge::new("process_threads", "Threads.")?,
            start: Gauge::new(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
            )?,
        })
    }

    fn refresh(&self) -> Option<()> {
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            self.open_fds.set(entries.count() as f64);
        }
        if let Ok(limits) = std::fs::read_to_string("/proc/self/limits") {
            let line = limits
                .lines()
                .find(|line| line.starts_with("Max open files"))?;
            self.max_fds
                .set(line.split_whitespace().nth(3)?.parse().ok()?);
        }
        // In kB whatever the size of a page is, which `stat` counts in (proc(5)).
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib * 1024.0)
        };
        self.resident.set(bytes("VmRSS:")?);
        self.virtual_memory.set(bytes("VmSize:")?);
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // Fields are counted behind the command's name, which may itself hold spaces and brackets (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
        let cpu = (number(11)? + number(12)?) / TICKS;
        self.cpu.inc_by((cpu - self.cpu.get()).max(0.0));
        self.threads.set(number(17)?);
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = system
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?
            .parse()
            .ok()?;
        self.start.set(boot + number(19)? / TICKS);
        Some(())
    }

    fn parts(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.resident,
            &self.virtual_memory,
            &self.open_fds,
            &self.max_fds,
            &self.threads,
            &self.start,
        ]
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.parts()
            .into_iter()
            .flat_map(|part| part.desc())
            .collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        // A field that is missing leaves the others as they were: half a reading is better than a failed scrape.
        let _ = self.refresh();
        self.parts()
            .into_iter()
            .flat_map(|part| part.collect())
            .collect()
    }
}
