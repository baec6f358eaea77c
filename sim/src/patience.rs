//! A handler that never gives the thread back stops its whole world, and with it everything that could end the run. So
//! who waits for a run looks, from a thread of its own, whether one and the same handler is there all the while.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use monofil_transport::{Progress, Running};

/// What the nodes of a world publish about themselves, for another thread to read. A node that starts anew replaces
/// what it was before.
#[derive(Clone, Default)]
pub(crate) struct Published(Arc<Mutex<BTreeMap<u32, Arc<Progress>>>>);

impl Published {
    pub(crate) fn publish(&self, node: u32, progress: Arc<Progress>) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, progress);
    }

    /// Returns the handler that has the thread, of whatever node.
    fn running(&self) -> Option<(u32, Running)> {
        let nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = nodes
            .iter()
            .filter_map(|(node, progress)| Some((*node, progress.running()?)));
        running.next()
    }
}

/// Waits until a run is over, which is when nobody holds the other end of `over` any more, or until one handler has held
/// the thread for `patience`, of the real clock: then it returns that handler's name. Zero waits for ever.
pub(crate) fn wait(
    published: &Published,
    over: &Receiver<()>,
    patience: Duration,
) -> Option<Arc<str>> {
    let period = match patience.is_zero() {
        true => Duration::from_secs(3_600),
        false => (patience / 4).clamp(Duration::from_millis(5), Duration::from_millis(250)),
    };
    let mut held: Option<((u32, Running), Instant)> = None;
    loop {
        match over.recv_timeout(period) {
            Err(RecvTimeoutError::Timeout) if patience.is_zero() => continue,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
        }
        let running = published.running();
        match (&held, running) {
            (Some((before, since)), Some(now)) if *before == now => {
                if since.elapsed() >= patience {
                    return Some(now.1.handler);
                }
            }
            (_, running) => held = running.map(|running| (running, Instant::now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_handler_that_stays_is_told_from_those_that_come_and_go() {
        let (published, progress) = (Published::default(), Arc::new(Progress::default()));
        published.publish(3, progress.clone());
        let spin = progress.register("shop/spin/Go");
        progress.enter(spin);
        let (running, over) = mpsc::channel();
        let stuck = wait(&published, &over, Duration::from_millis(1));
        assert_eq!(stuck.as_deref(), Some("shop/spin/Go"));
        // It is over while a handler is there.
        drop(running);
        assert_eq!(wait(&published, &over, Duration::from_millis(1)), None);
        assert_eq!(wait(&published, &over, Duration::ZERO), None);
    }
}
