//! A real PostgreSQL from the system's package, in a folder of its own, that ends with the test process however that ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A server. Its guardian is a shell that obeys on its standard input and, when that ends because the test process did, stops the
/// server and removes the folder.
pub(crate) struct Postgres {
    port: u16,
    folder: String,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    guardian: Child,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The server that all tests of this process share; each takes a database of its own.
pub(crate) async fn database() -> String {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    let shared = tokio::task::spawn_blocking(|| SHARED.get_or_init(Postgres::private))
        .await
        .unwrap();
    shared.database().await
}

impl Postgres {
    /// A server for a test that stops it.
    pub(crate) fn private() -> Self {
        let mut guardian = as_postgres()
            .args(["sh", "-c", GUARDIAN])
            .current_dir("/")
            // Out of reach of a Ctrl-C or a kill that is meant for the tests: it must outlive them, shortly.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh, and runuser where the tests run as root");
        let orders = guardian.stdin.take().unwrap();
        let answers = BufReader::new(guardian.stdout.take().unwrap());
        let mut server = Self {
            port: 0,
            folder: String::new(),
            orders,
            answers,
            guardian,
        };
        server.folder = server.answer();
        for _ in 0..5 {
            // Free a moment ago; another process may have been faster.
            server.port = TcpListener::bind("127.0.0.1:0")
                .and_then(|socket| socket.local_addr())
                .unwrap()
                .port();
            if server.order(&format!("start {}", server.port)) == "ok" {
                return server;
            }
        }
        panic!("PostgreSQL does not start, see {}/log", server.folder);
    }

    /// A new database; its address over TCP.
    pub(crate) async fn database(&self) -> String {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        connection
            .execute(AssertSqlSafe(format!("create database {name}")))
            .await
            .unwrap();
        connection.close().await.unwrap();
        self.url(&name)
    }

    /// The address of a database over TCP.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The address of a database over the server's socket.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let (folder, port) = (&self.folder, self.port);
        format!("postgres://postgres@localhost:{port}/{database}?host={folder}")
    }

    /// Stops the server as an operator would, breaking off what it does.
    pub(crate) fn stop(&mut self) {
        assert_eq!(self.order("stop"), "ok");
    }

    /// Kills it.
    pub(crate) fn kill9(&mut self) {
        assert_eq!(self.order("kill"), "ok");
    }

    /// Starts it again, at the same address.
    pub(crate) fn start(&mut self) {
        let order = format!("start {}", self.port);
        assert_eq!(self.order(&order), "ok", "see {}/log", self.folder);
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let line = line.trim_end();
        assert!(
            !line.is_empty(),
            "no PostgreSQL here: install the package `postgresql`"
        );
        line.to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = writeln!(self.orders, "end");
        let _ = self.guardian.wait();
    }
}

/// PostgreSQL refuses to run as root, whom the tests in a container often are.
fn as_postgres() -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    if !root {
        return Command::new("env");
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]);
    command
}

/// First answers with its folder, then once for each order.
const GUARDIAN: &str = r#"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
PATH=${bin:+$bin:}$PATH
folder=$(mktemp -d /tmp/pg.XXXXXX) || exit 1
finish() {
    pg_ctl -D "$folder/data" -m immediate stop >/dev/null 2>&1
    rm -rf "$folder"
}
trap finish EXIT
initdb -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/log" 2>&1 </dev/null || exit 1
cat >>"$folder/data/postgresql.conf" <<CONF
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_connections = 300
max_wal_size = 256MB
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
CONF
echo "$folder"
while read -r order port; do
    case $order in
    start)
        tries=0
        # Behind a kill the last processes of the old server may still hold its memory.
        until pg_ctl -w -t 60 -D "$folder/data" -l "$folder/log" -o "-p $port" start >/dev/null 2>&1 </dev/null; do
            tries=$((tries + 1))
            [ $tries -lt 20 ] || break
            sleep 0.2
        done
        [ $tries -lt 20 ] && echo ok || echo failed ;;
    stop) pg_ctl -w -D "$folder/data" -m fast stop >/dev/null 2>&1 && echo ok || echo failed ;;
    kill)
        main=$(head -n 1 "$folder/data/postmaster.pid")
        # Its children too: one that has not noticed yet would go on answering.
        all="$main $(cat "/proc/$main/task/$main/children")"
        kill -9 $all && echo ok || echo failed ;;
    end) break ;;
    esac
done
"#;
