//! Looking names up without waiting for the answer.
//!
//! The system's resolver blocks, for many seconds when a name server is away, and may not be asked on the node's
//! thread; nor on its helper threads, which belong to the components.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Names that are remembered, and that wait to be looked up.
const NAMES_MAX: usize = 64;
/// Addresses of one name.
const ADDRESSES_MAX: usize = 16;

/// Looks names up on a thread that starts with the first of them.
#[derive(Default)]
pub(crate) struct Resolver {
    known: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>,
    asks: Option<SyncSender<String>>,
}

impl Resolver {
    /// Returns what a place stood for when it was last looked up, and has that done again. What was known stays known
    /// while nobody answers.
    pub(crate) fn lookup(&mut self, place: &str) -> Vec<SocketAddr> {
        if let Ok(address) = place.parse() {
            return vec![address];
        }
        let known = lock(&self.known);
        if known.len() >= NAMES_MAX && !known.contains_key(place) {
            return Vec::new();
        }
        let addresses = known.get(place).cloned().unwrap_or_default();
        drop(known);
        self.ask(place);
        addresses
    }

    fn ask(&mut self, place: &str) {
        if self.asks.is_none() {
            self.asks = start(self.known.clone());
        }
        let sent = self
            .asks
            .as_ref()
            .map(|asks| asks.try_send(place.to_owned()));
        if let Some(Err(TrySendError::Disconnected(_))) = sent {
            self.asks = None;
        }
    }
}

/// Starts the thread, which ends when nobody can ask it any more.
fn start(known: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>) -> Option<SyncSender<String>> {
    let (asks, asked) = sync_channel::<String>(NAMES_MAX);
    let resolve = move || {
        for place in asked {
            match place.to_socket_addrs() {
                Ok(found) => {
                    let addresses = found.take(ADDRESSES_MAX).collect();
                    lock(&known).insert(place, addresses);
                }
                Err(error) => tracing::warn!(place, %error, "a name cannot be looked up"),
            }
        }
    };
    let started = thread::Builder::new()
        .name("monofil-resolver".into())
        .spawn(resolve);
    match started {
        Ok(_) => Some(asks),
        Err(error) => {
            tracing::error!(%error, "no thread could be started to look names up");
            None
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn addresses_are_known_at_once_and_names_soon() {
        let mut resolver = Resolver::default();
        let address = "127.0.0.1:7700".parse().expect("an address");
        assert_eq!(resolver.lookup("127.0.0.1:7700"), [address]);
        assert!(resolver.asks.is_none());
        let since = Instant::now();
        while !resolver.lookup("localhost:7700").contains(&address) {
            assert!(since.elapsed() < Duration::from_secs(10), "never looked up");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
