//! A program that was started for the run: pinned to a core, its processor time and memory read from `/proc`, ended with the run.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fault::{Fault, Result, While};
use crate::janitor::Janitor;

/// A running program with all the processes that it starts. Ended when dropped.
pub(crate) struct Process {
    child: Child,
    janitor: Janitor,
    log: PathBuf,
    program: String,
}

/// Processor time in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

/// Processor time of one thread, in microseconds.
pub(crate) struct Thread {
    pub(crate) name: String,
    pub(crate) micros: f64,
}

/// `USER_HZ`: the unit of the times in `/proc/PID/stat` is fixed at this on all architectures that matter here.
const MICROS_PER_TICK: f64 = 1e6 / 100.0;

/// How long a program may take from its start until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

impl Process {
    /// Starts `program` on `cores` (as `taskset` spells them) in a group of its own; what it says goes to `NAME.log` in `folder`.
    pub(crate) fn start(
        janitor: &Janitor,
        cores: &str,
        program: &Path,
        arguments: &[&str],
        folder: &Path,
    ) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let log = folder.join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = Command::new("taskset")
            .args(["--cpu-list", cores])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            // Caddy keeps things in the home folder.
            .env("HOME", folder)
            .env("XDG_DATA_HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .when(|| format!("{name} does not start"))?;
        janitor.started(child.id());
        Ok(Self {
            child,
            janitor: janitor.clone(),
            log,
            program: name.into_owned(),
        })
    }

    /// Waits until `ready` says so; fails if the program ends before that.
    pub(crate) fn until(&mut self, mut ready: impl FnMut() -> bool) -> Result<Duration> {
        let begun = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                let said = format!("{} ended ({status}): {}", self.program, self.last_words());
                return Err(Fault::new(said));
            }
            if begun.elapsed() > PATIENCE {
                let said = format!("{} does not answer: {}", self.program, self.last_words());
                return Err(Fault::new(said));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// What its processes have used since they began.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let mut cpu = Cpu::default();
        for process in self.processes()? {
            let Some(fields) = stat(&PathBuf::from(format!("/proc/{process}/stat"))) else {
                continue;
            };
            cpu.user += ticks(&fields, 11);
            cpu.system += ticks(&fields, 12);
        }
        Ok(cpu)
    }

    /// Resident memory of its processes in bytes. Exact, where `VmRSS` may be off by what each thread has not yet reported.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut memory = 0;
        for process in self.processes()? {
            let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
            memory += kib(&text, "Rss:");
        }
        Ok(memory)
    }

    /// The most memory that its first process has had, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok(kib(&text, "VmHWM:"))
    }

    /// The threads of its first process, to the nanosecond that the scheduler gives.
    pub(crate) fn threads(&self) -> Result<Vec<Thread>> {
        let mut threads = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let folder = entry?.path();
            let name = std::fs::read_to_string(folder.join("comm"))?;
            let spent = std::fs::read_to_string(folder.join("schedstat"))?;
            let nanos: f64 = spent.split(' ').next().unwrap_or_default().parse()?;
            threads.push(Thread {
                name: name.trim_end().to_owned(),
                micros: nanos / 1000.0,
            });
        }
        Ok(threads)
    }

    /// Holds it until [`Process::resume`]: what arrives meanwhile arrives at once.
    pub(crate) fn pause(&self) {
        signal("-STOP", &self.child.id().to_string());
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        signal("-CONT", &self.child.id().to_string());
    }

    /// All processes of its group, itself among them.
    fn processes(&self) -> Result<Vec<u32>> {
        let group = self.child.id().to_string();
        let mut members = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            let Ok(process) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            // It may be gone by now.
            let fields = stat(&entry.path().join("stat")).unwrap_or_default();
            if fields.get(2) == Some(&group) {
                members.push(process);
            }
        }
        Ok(members)
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = self.child.id();
        signal("-KILL", &format!("-{group}"));
        let _ = self.child.wait();
        self.janitor.ended(group);
    }
}

/// `to` is a process, or with a minus sign a group.
fn signal(what: &str, to: &str) {
    let _ = Command::new("kill")
        .args([what, "--", to])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// The fields of a `stat` file from the third (state) on: the second is a name that may hold blanks.
fn stat(file: &Path) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn ticks(fields: &[String], index: usize) -> f64 {
    let field = fields.get(index).and_then(|field| field.parse().ok());
    field.unwrap_or(0.0) * MICROS_PER_TICK
}

/// The bytes in the line that begins with `key`, as in `Rss:    1234 kB`.
fn kib(text: &str, key: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(key));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0) * 1024
}

impl std::ops::Sub for Cpu {
    type Output = Cpu;

    fn sub(self, earlier: Cpu) -> Cpu {
        Cpu {
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }
}
