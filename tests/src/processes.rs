//! The processes of this machine, as `/proc` shows them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;

use rustix::process::Pid;

/// Tells whether a process is there and not merely waiting to be buried.
#[must_use]
pub fn is_there(process: Pid) -> bool {
    let stat = fs::read_to_string(entry(process).join("stat")).unwrap_or_default();
    // The name before the state is in brackets and may contain anything.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// Returns the command line of a process; empty when it is not there.
#[must_use]
pub fn command_line(process: Pid) -> Vec<String> {
    let bytes = fs::read(entry(process).join("cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0);
    let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
    words.filter(|word| !word.is_empty()).collect()
}

/// Finds the processes that are there and whose command line `is_wanted`.
///
/// # Panics
///
/// There is no `/proc`.
#[must_use]
pub fn find_processes(is_wanted: impl Fn(&[String]) -> bool) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("a system with /proc");
    let processes = entries.flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(id)
    });
    let is_wanted = |process: &Pid| is_wanted(&command_line(*process)) && is_there(*process);
    processes.filter(is_wanted).collect()
}

fn entry(process: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", process.as_raw_nonzero()))
}

/// Returns a port of this machine that is free for TCP and for UDP.
///
/// # Panics
///
/// There is none.
#[must_use]
pub fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = tcp.local_addr().expect("it is bound").port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
