//! A PostgreSQL that cannot be had: commands and nodes say which one, why, and what to look at; never the password.

use std::net::TcpListener;

use crate::command::{Folder, Ran};
use crate::harness::edge::Edge;
use crate::harness::postgres;
use crate::harness::process::Process;

const PASSWORD: &str = "canary-password";

fn tells(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains(PASSWORD), "{text}");
    assert!(!text.contains("timed out while waiting for"), "{text}");
}

fn list(url: &str) -> Ran {
    let config = format!("[store]\nurl = {url:?}\ntimeout = \"300ms\"");
    Folder::new(&config).typed("tenant list")
}

/// A port at which nobody listens.
fn deserted() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
fn a_command_says_that_nobody_listens() {
    let port = deserted();
    let ran = list(&format!(
        "postgres://app:{PASSWORD}@127.0.0.1:{port}/routes"
    ));
    assert_eq!(ran.code, 1, "{ran:?}");
    let place =
        format!("error: the store at postgres://app@127.0.0.1:{port}/routes cannot be reached");
    tells(
        &ran.err,
        &[
            &place,
            "cause: ",
            "Connection refused",
            "hint: nothing listens there",
        ],
    );
}

#[test]
fn a_command_says_that_nobody_answers() {
    // Accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let ran = list(&format!("postgres://app:{PASSWORD}@{address}/routes"));
    assert_eq!(ran.code, 1, "{ran:?}");
    let place = format!("postgres://app@{address}/routes cannot be reached");
    tells(&ran.err, &[&place, "nobody answers there", "hint: "]);
}

#[test]
fn a_command_says_that_a_name_is_unknown() {
    let ran = list(&format!(
        "postgres://app:{PASSWORD}@no-such-host.invalid/routes"
    ));
    assert_eq!(ran.code, 1, "{ran:?}");
    tells(
        &ran.err,
        &[
            "postgres://app@no-such-host.invalid:5432/routes cannot be reached",
            "cause: ",
            "hint: ",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_says_that_the_login_is_refused() {
    let url = postgres::database().await;
    let url = url.replace("postgres@", &format!("stranger:{PASSWORD}@"));
    let ran = tokio::task::spawn_blocking(move || list(&url))
        .await
        .unwrap();
    assert_eq!(ran.code, 1, "{ran:?}");
    tells(
        &ran.err,
        &[
            "postgres://stranger@127.0.0.1:",
            "refuses the login",
            "role \"stranger\" does not exist",
            "pg_hba.conf",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_says_which_server_is_away_and_why() {
    let port = deserted();
    let plan = Edge::with(([127, 0, 0, 1], 9).into())
        .store(&format!(
            "postgres://app:{PASSWORD}@127.0.0.1:{port}/routes"
        ))
        .config("[store]\ntimeout = \"300ms\"");
    let process = Process::start(&plan);
    let said = || {
        let log = process.log();
        log.contains("starting without it").then_some(log)
    };
    let log = crate::harness::until(said).await;
    let line = log
        .lines()
        .find(|line| line.contains("starting without it"))
        .unwrap();
    tells(
        line,
        &[
            &format!("postgres://app@127.0.0.1:{port}/routes cannot be reached"),
            "Connection refused",
            "nothing listens there",
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_login_is_refused_ends_and_says_so() {
    let url = postgres::database().await;
    let (there, stranger) = (
        url.replace("postgres@", &format!("stranger:{PASSWORD}@")),
        "refuses the login",
    );
    let (server, _) = url.rsplit_once('/').unwrap();
    for (url, what) in [
        (there, stranger),
        (format!("{server}/nothing"), "there is no database"),
    ] {
        let plan = Edge::with(([127, 0, 0, 1], 9).into()).store(&url);
        let mut process = Process::start(&plan);
        assert_eq!(process.ended().await, 1);
        tells(
            &process.log(),
            &[
                "cause: the routing database cannot be used",
                "cause: ",
                what,
                "hint: ",
            ],
        );
    }
}
