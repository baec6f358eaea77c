//! A node that is no container and keeps a numbered link by hand, as well or as badly as a test wants.

use monofil_proto::wire::{Closing, Frame, Hello, Record};
use monofil_proto::{Bounds, VERSION, decode_frame, encode};
use monofil_transport::{ConnectionId, Endpoint, Event, Inbox, Plane, Route, SendError, Transport};

/// One end of a link, on a connection of its own.
///
/// It knows what the other side says of itself and of this link, and makes frames that are right; what is
/// changed in them before they are sent is the test's business.
#[derive(Debug)]
pub struct Stranger {
    node: [u8; 16],
    incarnation: u64,
    epoch: u64,
    connection: ConnectionId,
    /// Whom it talks to: node, incarnation and epoch, once they were said.
    other: Option<(Vec<u8>, u64, u64)>,
    /// The number of the last record that was sent.
    sent: u64,
    /// The number of the last record that came.
    received: u64,
    /// The last marks of the other side.
    marks: (u64, u64),
}

impl Stranger {
    /// Opens a connection.
    ///
    /// # Panics
    ///
    /// The endpoint is none that can be connected to.
    pub fn connect(io: &mut dyn Transport, endpoint: &Endpoint, node: [u8; 16]) -> Self {
        let connection = io.connect(Plane::Application, endpoint);
        Self {
            node,
            incarnation: 1,
            epoch: 1,
            connection: connection.expect("an endpoint to connect to"),
            other: None,
            sent: 0,
            received: 0,
            marks: (0, 0),
        }
    }

    /// Goes on along another connection, and returns the one before.
    pub const fn switch(&mut self, connection: ConnectionId) -> ConnectionId {
        std::mem::replace(&mut self.connection, connection)
    }

    /// Forgets the link and begins another, as a node that may be another.
    pub fn begin_anew(&mut self, node: [u8; 16], incarnation: u64, epoch: u64) {
        (self.node, self.incarnation, self.epoch) = (node, incarnation, epoch);
        self.other = None;
        (self.sent, self.received, self.marks) = (0, 0, (0, 0));
    }

    /// Returns its id.
    #[must_use]
    pub const fn node(&self) -> [u8; 16] {
        self.node
    }

    /// Tells whether the other side has said who it is, so that records may be sent.
    #[must_use]
    pub const fn is_linked(&self) -> bool {
        self.other.is_some()
    }

    /// Returns the number of the last record that was sent.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns how far the other side has received, and how much of that has ended.
    #[must_use]
    pub const fn marks(&self) -> (u64, u64) {
        self.marks
    }

    /// Asks the other side to say who it is.
    pub fn greet(&mut self, io: &mut dyn Transport, hello: Hello) {
        let hello = Hello {
            answer: true,
            ..hello
        };
        let frame = Frame {
            hello: Some(Box::new(hello)),
            first_sequence: 0,
            ..self.frame(Vec::new())
        };
        // Whoever got no answer asks again.
        let _ = io.send(&Route::Connection(self.connection), encode(&frame));
    }

    /// Makes the frame with which these records would be sent.
    #[must_use]
    pub fn frame(&self, records: Vec<Record>) -> Frame {
        let (receiver, receiver_incarnation, receiver_epoch) =
            self.other.clone().unwrap_or_default();
        Frame {
            version: VERSION,
            sender: self.node.to_vec(),
            sender_incarnation: self.incarnation,
            receiver,
            receiver_incarnation,
            link_epoch: self.epoch,
            receiver_epoch,
            first_sequence: if records.is_empty() { 0 } else { self.sent + 1 },
            received: self.received,
            settled: self.received,
            credit_records: 1 << 32,
            credit_bytes: 1 << 40,
            records,
            ..Frame::default()
        }
    }

    /// Sends a frame, and counts its records if they are the next ones.
    ///
    /// # Errors
    ///
    /// The connection takes no more now.
    pub fn send(&mut self, io: &mut dyn Transport, frame: &Frame) -> Result<(), SendError> {
        io.send(&Route::Connection(self.connection), encode(frame))?;
        self.count(frame);
        Ok(())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    ///
    /// The connection takes no more now.
    pub fn send_bytes(
        &mut self,
        io: &mut dyn Transport,
        bytes: bytes::Bytes,
    ) -> Result<(), SendError> {
        io.send(&Route::Connection(self.connection), bytes)
    }

    /// Counts a frame's records as sent if they are the next ones.
    pub fn count(&mut self, frame: &Frame) {
        if (1..=self.sent + 1).contains(&frame.first_sequence) {
            let last = frame.first_sequence - 1 + frame.records.len() as u64;
            self.sent = self.sent.max(last);
        }
    }

    /// Takes what has come for it, on this link.
    ///
    /// # Panics
    ///
    /// The other side sends nonsense.
    pub fn listen(&mut self, io: &mut dyn Transport) -> Vec<Frame> {
        let mut inbox = Inbox::new();
        io.receive(&mut inbox);
        let mut frames = Vec::new();
        while let Some(event) = inbox.pop() {
            if let Event::Frame {
                plane: Plane::Application,
                frame,
                ..
            } = event
            {
                let frame = decode_frame(&frame, &Bounds::DEFAULT).expect("a good frame");
                let to = (frame.receiver_incarnation, frame.receiver_epoch);
                if frame.receiver == self.node && to == (self.incarnation, self.epoch) {
                    self.heard(&frame);
                    frames.push(frame);
                }
            }
        }
        frames
    }

    fn heard(&mut self, frame: &Frame) {
        if frame.closing() != Closing::Unspecified {
            self.other = None;
            return;
        }
        self.other = Some((
            frame.sender.clone(),
            frame.sender_incarnation,
            frame.link_epoch,
        ));
        self.marks = (frame.received, frame.settled);
        if frame.first_sequence == self.received + 1 {
            self.received += frame.records.len() as u64;
        }
    }
}
