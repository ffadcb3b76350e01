//! How many instructions the steps of a request take: `cargo bench --bench instructions`. Needs valgrind; shows a change of one per
//! cent on the busiest machine.
//!
//! The program runs itself under callgrind, once with few and once with many repetitions of a step: the difference is the step's, all
//! that was prepared for it falls out. What is printed stands beside `figures.txt`, which is committed: `-- --write` writes it anew.
//! It is a report; nothing fails because a figure grew.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

mod whole;
mod world;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::Command;

use vestibule::decide::{self, rewrite};

use world::World;

/// A step, how often it is done, and what it is.
struct Step {
    name: &'static str,
    what: &'static str,
    few: u64,
    many: u64,
    run: fn(u64),
}

const STEPS: [Step; 6] = [
    step(
        "head",
        "copying a browser's head, which the steps below need",
        500,
        20_500,
        head,
    ),
    step(
        "decide",
        "from a head to the decision: host, facts, verdict",
        500,
        20_500,
        decision,
    ),
    step(
        "rewrite",
        "the head for the upstream, written anew",
        500,
        20_500,
        rewritten,
    ),
    step(
        "sign again",
        "an assertion that is still good",
        500,
        20_500,
        signed_again,
    ),
    step("sign", "a new assertion under Ed25519", 50, 1_050, signed),
    step(
        "request",
        "a whole request over loopback: visitor, edge with everything on, application",
        500,
        20_500,
        whole::requests,
    ),
];

const fn step(name: &'static str, what: &'static str, few: u64, many: u64, run: fn(u64)) -> Step {
    Step {
        name,
        what,
        few,
        many,
        run,
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, times] = &arguments[..]
        && flag == "--step"
    {
        let step = STEPS.iter().find(|step| step.name == name).unwrap();
        return (step.run)(times.parse().unwrap());
    }
    // `cargo test --all-targets` runs benchmarks, too, and says so by not saying this.
    if arguments.iter().any(|argument| argument == "--bench") {
        report(arguments.iter().any(|argument| argument == "--write"));
    }
}

fn report(write: bool) {
    let place = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/benches/instructions/figures.txt"
    );
    let committed = figures(&std::fs::read_to_string(place).unwrap_or_default());
    let mut text =
        "# Instructions, as `cargo bench --bench instructions -- --write` counted them.\n"
            .to_owned();
    println!(
        "{:12} {:>10} {:>10} {:>8}",
        "instructions", "committed", "now", "change"
    );
    for step in &STEPS {
        let Some((few, many)) = counted(step, step.few).zip(counted(step, step.many)) else {
            println!(
                "{:12} cannot be counted: valgrind is not installed or failed",
                step.name
            );
            continue;
        };
        let now = many.saturating_sub(few) / (step.many - step.few);
        text += &format!("{}: {now}\n", step.name);
        let (before, change) = match committed.get(step.name) {
            Some(before) => {
                let change = (now as f64 / *before as f64 - 1.0) * 100.0;
                (before.to_string(), format!("{change:+.1} %"))
            }
            None => ("–".to_owned(), "–".to_owned()),
        };
        println!(
            "{:12} {before:>10} {now:>10} {change:>8}  {}",
            step.name, step.what
        );
    }
    if write {
        std::fs::write(place, text).unwrap();
    }
}

fn figures(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter_map(|(name, figure)| Some((name.to_owned(), figure.parse().ok()?)))
        .collect()
}

/// All instructions of a run of this program that does the step so often.
fn counted(step: &Step, times: u64) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().ok()?)
        .args(["--step", step.name, &times.to_string()])
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("Collected : "))?;
    line.split_whitespace().last()?.parse().ok()
}

fn head(times: u64) {
    let world = World::new();
    for _ in 0..times {
        drop(black_box(world.head.clone()));
    }
}

fn decision(times: u64) {
    let world = World::new();
    for _ in 0..times {
        let arrival = decide::arrive(&world.head, &world.visit, None, &world.policy).unwrap();
        drop(black_box(world.decision(&arrival)));
    }
}

fn rewritten(times: u64) {
    let world = World::new();
    let forward = world.forward();
    let mut memory = Vec::new();
    for _ in 0..times {
        let origin = decide::origin(&world.head, &world.visit, &world.policy);
        let head = black_box(rewrite::outbound(
            memory,
            &world.head,
            &forward,
            &world.visit,
            &origin,
            &world.policy,
            &world.ids,
        ));
        memory = head.into_memory();
    }
}

fn signed_again(times: u64) {
    let world = World::new();
    let forward = world.forward();
    for _ in 0..times {
        let claims = World::claims(&forward);
        drop(black_box(world.signer.assertion(&claims, world::NOW)));
    }
}

fn signed(times: u64) {
    let world = World::new();
    let mut forward = world.forward();
    for version in 0..times {
        forward.route = Some(world.route(version + 2));
        let claims = World::claims(&forward);
        drop(black_box(world.signer.assertion(&claims, world::NOW)));
    }
}
