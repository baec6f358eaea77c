//! Small programs for worlds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use monofil_inproc::application_endpoint;
use monofil_transport::{
    ConnectionId, Event, Inbox, Instant, Io, JobOutcome, Next, Node, OffloadJob, Plane, Route,
    SendError, Shutdown,
};

/// What programs write down for their test.
pub(crate) type Log = Rc<RefCell<Vec<(Instant, String)>>>;

/// Returns what was written, without the times.
pub(crate) fn lines(log: &Log) -> Vec<String> {
    log.borrow().iter().map(|(_, line)| line.clone()).collect()
}

/// Writes down all that it receives, and ends when asked to.
pub(crate) struct Listener {
    pub(crate) log: Log,
    pub(crate) inbox: Inbox,
}

impl Listener {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            inbox: Inbox::new(),
        }
    }
}

impl Node for Listener {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        io.receive(&mut self.inbox);
        while let Some(event) = self.inbox.pop() {
            let line = match event {
                Event::Frame { frame, .. } => String::from_utf8_lossy(&frame).into_owned(),
                Event::Datagram { payload, .. } => {
                    format!("datagram {}", String::from_utf8_lossy(&payload))
                }
                Event::JobDone(job, JobOutcome::Returned(_)) => format!("job {} done", job.0),
                Event::Shutdown(how) => {
                    self.log.borrow_mut().push((io.now(), format!("{how:?}")));
                    return Next::Ended;
                }
                other => format!("{other:?}"),
            };
            self.log.borrow_mut().push((io.now(), line));
        }
        Next::Idle
    }
}

/// Sends numbered frames to another node, as many as are taken, as often as it is told to.
pub(crate) struct Talker {
    pub(crate) to: &'static str,
    pub(crate) log: Log,
    pub(crate) every: Duration,
    pub(crate) due: Instant,
    pub(crate) left: u32,
    pub(crate) number: u32,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) inbox: Inbox,
}

impl Talker {
    pub(crate) fn new(to: &'static str, log: &Log, every: Duration, count: u32) -> Self {
        Self {
            to,
            log: log.clone(),
            every,
            due: Instant::ZERO,
            left: count,
            number: 0,
            connection: None,
            inbox: Inbox::new(),
        }
    }
}

impl Node for Talker {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        let connection = *self.connection.get_or_insert_with(|| {
            self.due = io.now();
            let endpoint = application_endpoint(self.to).unwrap();
            io.connect(Plane::Application, &endpoint).unwrap()
        });
        io.receive(&mut self.inbox);
        while let Some(event) = self.inbox.pop() {
            let line = match event {
                Event::PeerConnected(_) => "connected",
                Event::PeerGone(_) => "gone",
                Event::Writable(_) => "writable",
                Event::Shutdown(Shutdown::Drain | Shutdown::Now) => return Next::Ended,
                _ => "something",
            };
            self.log.borrow_mut().push((io.now(), line.to_owned()));
        }
        while self.left > 0 && io.now() >= self.due {
            let frame = Bytes::from(self.number.to_string());
            match io.send(&Route::Connection(connection), frame) {
                Ok(()) => {
                    self.number += 1;
                    self.left -= 1;
                    self.due += self.every;
                }
                Err(SendError::Full(_)) => return Next::Idle,
                Err(error) => panic!("{error}"),
            }
        }
        if self.left > 0 {
            Next::At(self.due)
        } else {
            Next::Idle
        }
    }
}

/// Has a few jobs done, one after another, and ends.
pub(crate) struct Worker {
    pub(crate) log: Log,
    pub(crate) jobs: Vec<OffloadJob>,
    pub(crate) inbox: Inbox,
}

impl Node for Worker {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        io.receive(&mut self.inbox);
        while let Some(event) = self.inbox.pop() {
            if let Event::JobDone(job, outcome) = event {
                let line = match outcome {
                    JobOutcome::Returned(value) => {
                        format!("{}: {:?}", job.0, value.downcast_ref::<&str>())
                    }
                    JobOutcome::Panicked(message) => format!("{}: {message}", job.0),
                };
                self.log.borrow_mut().push((io.now(), line));
                if self.jobs.is_empty() {
                    return Next::Ended;
                }
            }
        }
        if let Some(job) = self.jobs.pop() {
            io.offload(job).unwrap();
        }
        Next::Idle
    }
}

/// Answers at each turn what it was made to answer.
pub(crate) struct Answering<F>(pub(crate) F);

impl<F: FnMut(&mut dyn Io) -> Next> Node for Answering<F> {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        (self.0)(io)
    }
}
