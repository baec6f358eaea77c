//! What happened to numbered messages, as those that saw it wrote it down.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Something that happened to a numbered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which messages it is one of: those from one component to another, sent in one way.
    pub stream: u8,
    /// Which of these; in the order in which they were sent, from 0, without gaps.
    pub number: u64,
    /// What happened.
    pub what: Happened,
}

/// What can happen to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Happened {
    /// A cast was accepted, or a call begun.
    Sent,
    /// A handler has it.
    Handled,
    /// A call was answered.
    Answered,
    /// It was reported as lost, and perhaps it was handled.
    Lost,
    /// It was reported as refused: it was not handled, and will not be.
    Refused,
}

impl Entry {
    const BYTES: usize = 8;

    fn encode(self) -> [u8; Self::BYTES] {
        let head = u64::from(self.stream) << 8 | u64::from(self.what as u8);
        (head << 48 | self.number).to_le_bytes()
    }

    fn decode(bytes: [u8; Self::BYTES]) -> Self {
        let word = u64::from_le_bytes(bytes);
        let [.., stream, what] = (word >> 48).to_be_bytes();
        let all = [
            Happened::Sent,
            Happened::Handled,
            Happened::Answered,
            Happened::Lost,
            Happened::Refused,
        ];
        Self {
            stream,
            number: word & ((1 << 48) - 1),
            what: all[usize::from(what)],
        }
    }
}

/// A file with entries, which outlives the process that writes it.
#[derive(Debug)]
pub struct Journal(BufWriter<File>);

impl Journal {
    /// Begins a journal whose last entries are lost with its process, unless [`Journal::close`] is called.
    ///
    /// # Panics
    ///
    /// The file cannot be made.
    #[must_use]
    pub fn buffered(path: &Path) -> Self {
        Self::create(path, 1 << 16)
    }

    /// Begins a journal in which each entry is there as soon as it is noted, whatever becomes of its process.
    ///
    /// # Panics
    ///
    /// The file cannot be made.
    #[must_use]
    pub fn immediate(path: &Path) -> Self {
        Self::create(path, 0)
    }

    fn create(path: &Path, buffer: usize) -> Self {
        let file = File::create(path).expect("a file can be made");
        Self(BufWriter::with_capacity(buffer, file))
    }

    /// Notes something.
    ///
    /// # Panics
    ///
    /// There is no room for it.
    pub fn note(&mut self, entry: Entry) {
        self.0.write_all(&entry.encode()).expect("room for it");
    }

    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub fn close(mut self) -> io::Result<()> {
        self.0.flush()
    }

    /// Reads what a journal has.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn read(path: &Path) -> Vec<Entry> {
        let bytes = fs::read(path).expect("a journal");
        let (entries, _) = bytes.as_chunks();
        entries.iter().map(|it| Entry::decode(*it)).collect()
    }
}
