//! The poll loop.
//!
//! What a socket's descriptor says, and when, is libzmq's own affair: it signals a change once, and
//! any call on the socket may swallow the signal. So the loop keeps two lists. A port is *dirty* after
//! an event of its descriptor and after any call on it; before the loop sleeps it asks every dirty
//! port what it can do. A port that can be read is *readable* until a read finds nothing, and while
//! there is one the loop does not sleep. (A read that finds nothing leaves its port clean: it is the
//! one call that takes in everything that was signalled.) The sweep looks at all ports now and then,
//! in case these rules have a hole, and counts what it finds.

use std::io::ErrorKind;
use std::time::Duration;

use mio::Token;
use monofil_transport::{Clock, Driver, Event, Instant, Next, Shutdown};

use crate::ZmqIo;
use crate::sockets::{DATAGRAMS, Place, SIGNALS, WAKER};

/// Ports that one sweep looks at.
const SWEPT_AT_ONCE: usize = 64;
/// While nothing happens sweeps are this much rarer.
const SWEEP_STRETCH_MAX: u32 = 4;
/// The pause before a frame is tried again that a return path refused.
const RETURN_PAUSE_MIN: Duration = Duration::from_millis(1);
const RETURN_PAUSE_MAX: Duration = Duration::from_millis(50);

/// When to look at all ports, and how far the last look came.
pub(crate) struct Sweep {
    interval: Duration,
    stretch: u32,
    due: Instant,
    next_port: usize,
}

impl Sweep {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            stretch: 1,
            due: Instant::ZERO,
            next_port: 0,
        }
    }
}

impl Driver for ZmqIo {
    fn wait(&mut self, next: Next) {
        let mut now = self.now();
        let mut until = match next {
            Next::Now => now,
            Next::At(instant) => instant,
            Next::Idle => Instant::FAR_FUTURE,
            Next::Ended => return,
        };
        if std::mem::replace(&mut self.return_refused, false) {
            self.return_pause = (self.return_pause * 2).clamp(RETURN_PAUSE_MIN, RETURN_PAUSE_MAX);
            until = until.min(now + self.return_pause);
        }
        self.looked = true;
        loop {
            self.settle();
            let wake_at = until.min(self.sweep.due).min(self.renew_next);
            let timeout = if self.has_something() || self.alarm.is_rung() {
                Duration::ZERO
            } else {
                now.until(wake_at)
            };
            self.poll(timeout);
            self.settle();
            now = self.now();
            self.renew_where_due(now);
            self.sweep_when_due(now);
            // A look does not wait, so it leaves an alarm for the next wait.
            let alarmed = next != Next::Now && self.alarm.take();
            if alarmed || self.has_something() || now >= until {
                return;
            }
        }
    }

    fn finish(&mut self, linger: Duration) -> bool {
        self.close_sockets(linger)
    }
}

impl ZmqIo {
    /// Looks at what is there, without waiting: for a node that receives without having waited.
    pub(crate) fn look(&mut self) {
        self.wait(Next::Now);
    }

    /// Tells whether `receive` would find something, as far as is known.
    fn has_something(&self) -> bool {
        !self.pending.is_empty()
            || !self.ready.readable.is_empty()
            || self
                .datagrams
                .as_ref()
                .is_some_and(|socket| socket.readable)
            || self.pool.has_done()
            || self.sentinel.has_kept()
    }

    /// Lets the kernel say which descriptors have changed.
    fn poll(&mut self, timeout: Duration) {
        let sleeps = !timeout.is_zero();
        if sleeps {
            self.sentinel.set_asleep(true);
        }
        let polled = self.poll.poll(&mut self.events, Some(timeout));
        if sleeps {
            self.sentinel.set_asleep(false);
        }
        if let Err(error) = polled {
            if error.kind() != ErrorKind::Interrupted {
                tracing::error!(%error, "the poll loop cannot wait");
                // Better slow than spinning.
                std::thread::sleep(timeout.min(Duration::from_millis(10)));
            }
            return;
        }
        let mut signalled = false;
        for event in &self.events {
            match event.token() {
                WAKER => {}
                SIGNALS => signalled = true,
                DATAGRAMS => {
                    if let Some(socket) = &mut self.datagrams {
                        socket.readable = true;
                    }
                }
                token => {
                    if let Some(port) = self.sockets.port(token) {
                        self.ready.mark_dirty(port);
                    }
                }
            }
        }
        if signalled {
            self.read_signals();
        }
    }

    fn read_signals(&mut self) {
        let Some(signals) = &mut self.signals else {
            return;
        };
        for _ in signals.pending() {
            let shutdown = if self.shutdown_asked {
                Shutdown::Now
            } else {
                Shutdown::Drain
            };
            self.shutdown_asked = true;
            self.pending.push_back(Event::Shutdown(shutdown));
        }
    }

    /// Asks every dirty port what it can do.
    fn settle(&mut self) {
        while let Some(token) = self.ready.dirty.pop() {
            self.examine(token);
        }
    }

    /// Asks one port what it can do; returns whether that was news.
    fn examine(&mut self, token: Token) -> bool {
        match Place::of(token) {
            Some(Place::Listener(plane)) => self.examine_listener(plane),
            Some(Place::Connection(slot)) => self.examine_connection(slot),
            Some(Place::ListenerMonitor(plane)) => self.read_listener_monitor(plane),
            Some(Place::ConnectionMonitor(slot)) => self.read_connection_monitor(slot),
            None => false,
        }
    }

    fn examine_listener(&mut self, plane: usize) -> bool {
        let Some(listener) = self.sockets.listener_at(plane) else {
            return false;
        };
        listener.port.dirty = false;
        let news = listener.port.readiness().readable && !listener.port.readable;
        if news {
            self.ready.mark_readable(&mut listener.port);
        }
        news
    }

    fn examine_connection(&mut self, slot: usize) -> bool {
        let Some(connection) = self.sockets.connection_at(slot) else {
            return false;
        };
        connection.port.dirty = false;
        let readiness = connection.port.readiness();
        let mut news = readiness.readable && !connection.port.readable;
        if news {
            self.ready.mark_readable(&mut connection.port);
        }
        if let Some(event) = connection.take_writable(readiness.writable) {
            self.pending.push_back(event);
            news = true;
        }
        news
    }

    fn read_listener_monitor(&mut self, plane: usize) -> bool {
        let Some(listener) = self.sockets.listener_at(plane) else {
            return false;
        };
        listener.monitor.port.dirty = false;
        let mut news = false;
        while let Some(notice) = listener.monitor.next() {
            listener.handle_notice(notice, &mut self.counters);
            news = true;
        }
        news
    }

    fn read_connection_monitor(&mut self, slot: usize) -> bool {
        let now = self.now();
        let Some(connection) = self.sockets.connection_at(slot) else {
            return false;
        };
        connection.monitor.port.dirty = false;
        let mut news = false;
        while let Some(notice) = connection.monitor.next() {
            news = true;
            let event = connection.handle_notice(now, notice, &mut self.counters);
            self.pending.extend(event);
        }
        if let Some(renew_at) = connection.renew_at() {
            self.renew_next = self.renew_next.min(renew_at);
        }
        news
    }

    /// Opens connections anew that libzmq has given up.
    fn renew_where_due(&mut self, now: Instant) {
        if now < self.renew_next {
            return;
        }
        self.renew_next = Instant::FAR_FUTURE;
        for connection in self.sockets.connections() {
            if connection.renew_at().is_some_and(|due| due <= now) {
                connection.renew(now);
                self.counters.connections_renewed += 1;
                self.ready.mark_dirty(&mut connection.port);
                self.ready.mark_dirty(&mut connection.monitor.port);
            }
            if let Some(due) = connection.renew_at() {
                self.renew_next = self.renew_next.min(due);
            }
        }
    }

    /// Looks for arrivals that went unnoticed: at ports which nothing has touched since the last look,
    /// and whose descriptor is silent, so that what they hold would be held for ever.
    fn sweep_when_due(&mut self, now: Instant) {
        if now < self.sweep.due {
            return;
        }
        let ports = self.sockets.token_count();
        let mut touched = false;
        for _ in 0..ports.min(SWEPT_AT_ONCE) {
            self.sweep.next_port = (self.sweep.next_port + 1) % ports;
            let token = self.sockets.token_at(self.sweep.next_port);
            let Some(port) = self.sockets.port(token) else {
                continue;
            };
            let untouched = !std::mem::replace(&mut port.touched, false);
            touched |= !untouched;
            if untouched && !port.readable && port.socket.is_silent() && self.examine(token) {
                self.counters.wakeups_rescued += 1;
                tracing::debug!(?token, "an arrival was found that nothing had announced");
            }
        }
        self.sweep.stretch = if touched {
            1
        } else {
            (self.sweep.stretch * 2).min(SWEEP_STRETCH_MAX)
        };
        self.sweep.due = now + self.sweep.interval * self.sweep.stretch;
    }
}
