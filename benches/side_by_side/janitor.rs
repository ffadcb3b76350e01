//! Ends what this run started, however the run ends: a shell that outlives it by a moment and knows what there is to clean up.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fault::Result;

/// Knows every process group that runs and the folder. When this process is gone, whatever took it, the janitor ends and removes them.
#[derive(Clone)]
pub(crate) struct Janitor(Arc<Mutex<Shell>>);

struct Shell {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Janitor {
    pub(crate) fn hire() -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", DUTIES])
            // Out of reach of the Ctrl-C that ends the run.
            .process_group(0)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let orders = child.stdin.take();
        Ok(Self(Arc::new(Mutex::new(Shell { child, orders }))))
    }

    /// A group of processes was started.
    pub(crate) fn started(&self, group: u32) {
        self.tell("started", &group.to_string());
    }

    /// It has ended: its number may be somebody else's from now on.
    pub(crate) fn ended(&self, group: u32) {
        self.tell("ended", &group.to_string());
    }

    /// The folder to remove in the end.
    pub(crate) fn folder(&self, folder: &Path) {
        self.tell("folder", &folder.to_string_lossy());
    }

    fn tell(&self, what: &str, of: &str) {
        let mut shell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = &mut shell.orders {
            // Without a janitor there is nobody to clean up after a broken-off run; the run itself goes on.
            let _ = writeln!(orders, "{what} {of}");
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.wait();
    }
}

const DUTIES: &str = r#"
groups=' '
folder=
while read -r what of; do
    case $what in
    started) groups="$groups$of " ;;
    ended) groups="${groups%% $of *} ${groups#* $of }" ;;
    folder) folder=$of ;;
    esac
done
# Spelt so because the shells differ in how they take a number and a group.
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
[ -n "$folder" ] && rm -rf "$folder"
"#;
