//! A node that is no container: it speaks the wire by hand, as a program in another language would.

use monofil_proto::wire::{Frame, Hello, Record};
use monofil_proto::{Bounds, VERSION, decode_frame, encode};
use monofil_transport::{Event, Inbox, Io, Next, Node, Plane, Route};

type Answer = Box<dyn FnMut(&Record) -> Vec<Record>>;

/// Introduces itself as one that numbers nothing, and answers each record with what a function makes of it.
pub struct Foreign {
    name: &'static str,
    answer: Answer,
}

impl Foreign {
    /// Makes one with an id of its own, made from its name.
    pub fn new(name: &'static str, answer: impl FnMut(&Record) -> Vec<Record> + 'static) -> Self {
        Self {
            name,
            answer: Box::new(answer),
        }
    }

    fn frame(&self) -> Frame {
        let mut sender = [0xf0; 16];
        let length = self.name.len().min(16);
        sender[..length].copy_from_slice(&self.name.as_bytes()[..length]);
        Frame {
            version: VERSION,
            sender: sender.to_vec(),
            sender_incarnation: 1,
            ..Frame::default()
        }
    }

    fn handle(&mut self, io: &mut dyn Io, from: &Route, frame: &Frame) {
        let asked = frame.hello.as_ref().filter(|hello| hello.answer);
        if let Some(hello) = asked {
            let answer = Hello {
                cookie: hello.cookie,
                unnumbered: true,
                name: self.name.to_owned(),
                ..Hello::default()
            };
            let frame = Frame {
                hello: Some(Box::new(answer)),
                ..self.frame()
            };
            let _ = io.send(from, encode(&frame));
        }
        let records: Vec<_> = frame.records.iter().flat_map(&mut self.answer).collect();
        if !records.is_empty() {
            let frame = Frame {
                records,
                ..self.frame()
            };
            let _ = io.send(from, encode(&frame));
        }
    }
}

impl Node for Foreign {
    fn turn(&mut self, io: &mut dyn Io) -> Next {
        let mut inbox = Inbox::new();
        io.receive(&mut inbox);
        while let Some(event) = inbox.pop() {
            if let Event::Frame {
                plane: Plane::Application,
                from,
                frame,
            } = event
            {
                let frame = decode_frame(&frame, &Bounds::DEFAULT).expect("a good frame");
                self.handle(io, &from, &frame);
            }
        }
        Next::Idle
    }
}
