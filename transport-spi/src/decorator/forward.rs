//! A reference to a backend is a backend, and so is a box with one inside.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::record::Recorder;
use crate::{
    Clock, ConnectError, ConnectionId, DatagramError, Datagrams, Driver, Endpoint, Entropy, Inbox,
    Instant, Limits, LocalEndpoints, Next, Offload, OffloadFull, OffloadJob, Plane, Progress,
    Route, SendError, Transport, Watch, WatchAnswer,
};

/// Implements all traits by passing each call on, to the same place.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: Transport + ?Sized> Transport for $pointer {
            fn limits(&self) -> Limits {
                (**self).limits()
            }

            fn local(&self) -> LocalEndpoints {
                (**self).local()
            }

            fn connect(
                &mut self,
                plane: Plane,
                endpoint: &Endpoint,
            ) -> Result<ConnectionId, ConnectError> {
                (**self).connect(plane, endpoint)
            }

            fn disconnect(&mut self, connection: ConnectionId) {
                (**self).disconnect(connection);
            }

            fn send(&mut self, to: &Route, frame: Bytes) -> Result<(), SendError> {
                (**self).send(to, frame)
            }

            fn receive(&mut self, inbox: &mut Inbox) {
                (**self).receive(inbox);
            }
        }

        impl<T: Datagrams + ?Sized> Datagrams for $pointer {
            fn send_datagram(&mut self, to: SocketAddr, payload: &[u8]) -> Result<(), DatagramError> {
                (**self).send_datagram(to, payload)
            }

            fn lookup(&mut self, place: &str) -> Vec<SocketAddr> {
                (**self).lookup(place)
            }
        }

        impl<T: Clock + ?Sized> Clock for $pointer {
            fn now(&self) -> Instant {
                (**self).now()
            }

            fn wall_micros(&self) -> u64 {
                (**self).wall_micros()
            }
        }

        impl<T: Entropy + ?Sized> Entropy for $pointer {
            fn fill(&mut self, bytes: &mut [u8]) {
                (**self).fill(bytes);
            }
        }

        impl<T: Offload + ?Sized> Offload for $pointer {
            fn offload(&mut self, job: OffloadJob) -> Result<(), OffloadFull> {
                (**self).offload(job)
            }
        }

        impl<T: Watch + ?Sized> Watch for $pointer {
            fn progress(&self) -> Arc<Progress> {
                (**self).progress()
            }

            fn install_answer(&mut self, answer: Box<dyn WatchAnswer>) {
                (**self).install_answer(answer);
            }

            fn stalls(&self) -> Vec<(Arc<str>, u64)> {
                (**self).stalls()
            }

            fn recorder(&self) -> Option<Recorder> {
                (**self).recorder()
            }
        }

        impl<T: Driver + ?Sized> Driver for $pointer {
            fn wait(&mut self, next: Next) {
                (**self).wait(next);
            }

            fn finish(&mut self, linger: Duration) -> bool {
                (**self).finish(linger)
            }
        }
    )*};
}

forward!(&mut T, Box<T>);

/// Implements the traits that a decorator leaves as they are.
macro_rules! pass_on {
    ($decorator:ident) => {
        impl<T: crate::Entropy> crate::Entropy for $decorator<T> {
            fn fill(&mut self, bytes: &mut [u8]) {
                self.inner.fill(bytes);
            }
        }

        impl<T: crate::Offload> crate::Offload for $decorator<T> {
            fn offload(&mut self, job: crate::OffloadJob) -> Result<(), crate::OffloadFull> {
                self.inner.offload(job)
            }
        }

        impl<T: crate::Watch> crate::Watch for $decorator<T> {
            fn progress(&self) -> std::sync::Arc<crate::Progress> {
                self.inner.progress()
            }

            fn install_answer(&mut self, answer: Box<dyn crate::WatchAnswer>) {
                self.inner.install_answer(answer);
            }

            fn stalls(&self) -> Vec<(std::sync::Arc<str>, u64)> {
                self.inner.stalls()
            }

            fn recorder(&self) -> Option<crate::record::Recorder> {
                self.inner.recorder()
            }
        }

        impl<T: crate::Clock> crate::Clock for $decorator<T> {
            fn now(&self) -> crate::Instant {
                self.inner.now()
            }

            fn wall_micros(&self) -> u64 {
                self.inner.wall_micros()
            }
        }
    };
}

pub(super) use pass_on;
