//! The folder of certificates while it is in use: files that come, change, break and go.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vestibule::clock::Clock;
use vestibule::model::Hostname;
use vestibule::tls::{Inventory, LoadReport};

use super::{client, presented};
use crate::certificates::Folder;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::upstream::TestUpstream;

fn look(inventory: &Inventory) -> Option<LoadReport> {
    inventory.look(Clock::system().now())
}

/// The leaf that visitors of `name` would be shown, by its names and its place in memory.
fn shown(inventory: &Inventory, name: &str) -> Option<(String, usize)> {
    let found = inventory.certificate(&Hostname::parse(name).unwrap())?;
    Some((found.name.clone(), Arc::as_ptr(&found) as usize))
}

#[test]
fn nothing_is_read_again_where_nothing_has_changed() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, _) = folder.load();
    let before = shown(&inventory, "acme.test").unwrap();
    assert!(look(&inventory).is_none());
    // Files that are no certificates are nobody's business.
    std::fs::write(folder.path("README"), "x").unwrap();
    assert!(look(&inventory).is_none());
    assert_eq!(shown(&inventory, "acme.test").unwrap(), before);
}

#[test]
fn files_that_come_change_and_go_are_shown_as_they_are() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, _) = folder.load();
    let before = shown(&inventory, "acme.test").unwrap();
    folder.issue("acme", &["acme.test"]);
    folder.issue("globex", &["globex.test"]);
    let report = look(&inventory).unwrap();
    assert_eq!((report.certificates.len(), report.kept.len()), (2, 0));
    assert_ne!(shown(&inventory, "acme.test").unwrap(), before);
    assert!(shown(&inventory, "globex.test").is_some());
    for file in ["globex.crt", "globex.key"] {
        std::fs::remove_file(folder.path(file)).unwrap();
    }
    look(&inventory).unwrap();
    assert!(shown(&inventory, "globex.test").is_none());
    assert!(look(&inventory).is_none());
}

#[test]
fn what_is_broken_or_half_there_leaves_the_last_good_one_in_service() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, _) = folder.load();
    let good = shown(&inventory, "acme.test").unwrap();
    let chain = std::fs::read(folder.path("acme.crt")).unwrap();
    let breaking: [&dyn Fn(); 4] = [
        &|| std::fs::write(folder.path("acme.crt"), &chain[..chain.len() / 2]).unwrap(),
        &|| std::fs::write(folder.path("acme.crt"), "").unwrap(),
        // Another's: as when one of the two has been written and the other not yet.
        &|| {
            folder.issue("other", &["acme.test"]);
            std::fs::rename(folder.path("other.crt"), folder.path("acme.crt")).unwrap();
        },
        &|| std::fs::remove_file(folder.path("acme.key")).unwrap(),
    ];
    for (number, change) in breaking.iter().enumerate() {
        change();
        let report = look(&inventory).unwrap();
        assert_eq!(report.kept, ["acme"], "{number}");
        assert!(!report.faults.is_empty());
        assert_eq!(shown(&inventory, "acme.test").unwrap(), good, "{number}");
        assert!(look(&inventory).is_none(), "it is told once");
    }
    // The other half comes.
    std::fs::rename(folder.path("other.key"), folder.path("acme.key")).unwrap();
    let report = look(&inventory).unwrap();
    assert!(report.kept.is_empty() && report.faults.is_empty());
    assert_ne!(shown(&inventory, "acme.test").unwrap(), good);
}

#[test]
fn what_was_broken_from_the_start_is_shown_once_it_is_whole() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let key = std::fs::read(folder.path("acme.key")).unwrap();
    std::fs::write(folder.path("acme.key"), "").unwrap();
    let (inventory, _) = folder.load();
    assert!(shown(&inventory, "acme.test").is_none());
    std::fs::write(folder.path("acme.key"), key).unwrap();
    assert!(look(&inventory).unwrap().faults.is_empty());
    assert!(shown(&inventory, "acme.test").is_some());
}

/// As an orchestrator mounts secrets: files are links into a folder that is swapped whole.
#[test]
fn a_folder_of_links_that_is_swapped_is_seen_to_change() {
    let issuer = Folder::new();
    let mounted = Folder::new();
    let swap = |place: &Path, name: &str| {
        issuer.issue("acme", &["acme.test"]);
        std::fs::create_dir(place.join(name)).unwrap();
        for file in ["acme.crt", "acme.key"] {
            std::fs::copy(issuer.path(file), place.join(name).join(file)).unwrap();
        }
        symlink(name, place.join("new")).unwrap();
        std::fs::rename(place.join("new"), place.join("data")).unwrap();
    };
    let place = mounted.directory.path().to_owned();
    swap(&place, "one");
    for file in ["acme.crt", "acme.key"] {
        symlink(Path::new("data").join(file), place.join(file)).unwrap();
    }
    let (inventory, _) = mounted.load();
    let before = shown(&inventory, "acme.test").unwrap();
    swap(&place, "two");
    assert!(look(&inventory).unwrap().faults.is_empty());
    assert_ne!(shown(&inventory, "acme.test").unwrap(), before);
}

#[tokio::test]
async fn a_running_node_shows_what_is_put_there_and_open_connections_stay() {
    let upstream = TestUpstream::echo();
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let directory = folder.directory.path();
    let tls = format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\n");
    let edge = Edge::with(upstream.address).config(&tls);
    let edge = edge.tenants(&["acme", "globex"]).start().await;
    let mut config = client(&folder);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let shake = async |name: &'static str| {
        let socket = TcpStream::connect(edge.https()).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        let connector = TlsConnector::from(Arc::clone(&config));
        connector.connect(name, socket).await.ok()
    };
    let first = shake("acme.localhost").await.unwrap();
    let old = presented(&first);
    let mut open = Visitor::over(first);
    folder.issue("acme", &["acme.localhost"]);
    folder.issue("globex", &["globex.localhost"]);
    eventually("the new name is served", async || {
        shake("globex.localhost").await
    })
    .await;
    let new = presented(&shake("acme.localhost").await.unwrap());
    assert_ne!(new, old);
    let answer = open.ask(get("acme.localhost", "/", &[])).await;
    assert_eq!(answer.status, 200);
}
