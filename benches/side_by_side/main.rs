//! Vestibule beside other proxies: `benches/run`.
//!
//! What is compared is processor time per request, which holds still on a noisy machine where throughput does not; every figure is a
//! ratio to somebody who was measured in the same run. It is a measurement, not a test: it fails where somebody answered wrongly, not
//! where somebody was slow.
//!
//! `rows` says how each row is measured, `load` makes the requests, `contender` and `edge` start those who answer them, `compare` lets
//! them take turns, `table` holds what is asked, `report` prints it.

#![expect(clippy::print_stderr, reason = "says on the way how far it has come")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts of requests and bytes become figures here"
)]

mod bed;
mod compare;
mod contender;
mod edge;
mod fault;
mod janitor;
mod load;
mod machine;
mod options;
mod process;
mod report;
mod rows;
mod table;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use bed::Bed;
use fault::{Fault, Result};
use options::Options;

/// Set in the run that stands on the visitors' core.
const PINNED: &str = "VESTIBULE_BENCH_PINNED";

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks, too, and says so by not saying this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match run(Options::read()) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<ExitCode> {
    if options.list {
        #[expect(clippy::print_stdout, reason = "the rows were asked for")]
        {
            println!("{}", report::list());
        }
        return Ok(ExitCode::SUCCESS);
    }
    if std::env::var_os(PINNED).is_none() {
        return Err(pinned(options.load_core));
    }
    let bed = Bed::make(options)?;
    let facts = machine::facts(&bed);
    let found = rows::measure(&bed);
    report::publish(&bed, &facts, &found)?;
    if found.is_refused {
        eprintln!("error: somebody answered wrongly, see above");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Begins anew on `core`, where the visitors and the application are; returns only if that fails.
fn pinned(core: usize) -> Fault {
    let Ok(program) = std::env::current_exe() else {
        return Fault::new("this program does not find itself");
    };
    let why = Command::new("taskset")
        .args(["--cpu-list", &core.to_string()])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(PINNED, "1")
        .exec();
    Fault::new(format!(
        "taskset (package util-linux) does not start: {why}"
    ))
}
