//! What happened to numbered messages, as those that saw it wrote it down.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{Ordering, compiler_fence};

use memmap2::MmapMut;

/// Something that happened to a numbered message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which messages it is one of: those from one component to another.
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
    /// A cast was accepted.
    Sent,
    /// A handler has it.
    Handled,
    /// A call was answered.
    Answered,
    /// It was reported as lost, and perhaps it was handled.
    Lost,
    /// It was reported as refused: it was not handled, and will not be.
    Refused,
    /// A call was begun.
    Called,
    /// It was reported because its time was over, and perhaps it was handled.
    Overdue,
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
            Happened::Called,
            Happened::Overdue,
        ];
        Self {
            stream,
            number: word & ((1 << 48) - 1),
            what: all[usize::from(what)],
        }
    }
}

/// A file with entries. The last of them are lost with its process, unless [`Journal::close`] is called.
#[derive(Debug)]
pub struct Journal(BufWriter<File>);

impl Journal {
    /// Begins a journal.
    ///
    /// # Panics
    ///
    /// The file cannot be made.
    #[must_use]
    pub fn create(path: &Path) -> Self {
        let file = File::create(path).expect("a file can be made");
        Self(BufWriter::with_capacity(1 << 16, file))
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

/// A journal in which each entry is there as soon as it is noted, whatever becomes of its process: the file is mapped
/// into memory, which the kernel keeps. It begins with the number of its entries.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    map: MmapMut,
    count: usize,
}

impl Ledger {
    /// How much is mapped at first; then twice as much, whenever it is full.
    const BYTES: u64 = 1 << 22;

    /// Begins a journal.
    ///
    /// # Panics
    ///
    /// The file cannot be made.
    #[must_use]
    pub fn create(path: &Path) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .expect("a file can be made");
        file.set_len(Self::BYTES).expect("room for it");
        let map = Self::map(&file);
        Self {
            file,
            map,
            count: 0,
        }
    }

    #[expect(unsafe_code, reason = "mapping a file is")]
    fn map(file: &File) -> MmapMut {
        // SAFETY: nobody makes the file shorter; those that read it meanwhile read what may be old, and no more.
        unsafe { MmapMut::map_mut(file) }.expect("a file can be mapped")
    }

    /// Notes something.
    ///
    /// # Panics
    ///
    /// There is no room for it.
    pub fn note(&mut self, entry: Entry) {
        let at = (self.count + 1) * Entry::BYTES;
        if at == self.map.len() {
            let longer = 2 * self.map.len() as u64;
            self.file.set_len(longer).expect("room for it");
            self.map = Self::map(&self.file);
        }
        self.map[at..at + Entry::BYTES].copy_from_slice(&entry.encode());
        // A process that ends in between has not yet done anything with what is noted.
        compiler_fence(Ordering::Release);
        self.count += 1;
        self.map[..8].copy_from_slice(&(self.count as u64).to_le_bytes());
    }

    /// Returns how many entries a journal has.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn count(path: &Path) -> u64 {
        let mut count = [0; 8];
        let mut file = File::open(path).expect("a journal");
        io::Read::read_exact(&mut file, &mut count).expect("a count");
        u64::from_le_bytes(count)
    }

    /// Reads what a journal has, when its process is no more.
    ///
    /// # Panics
    ///
    /// There is none.
    #[must_use]
    pub fn read(path: &Path) -> Vec<Entry> {
        let bytes = fs::read(path).expect("a journal");
        let (words, _) = bytes.as_chunks();
        let (count, entries) = words.split_first().expect("a count");
        let count = usize::try_from(u64::from_le_bytes(*count)).expect("small");
        entries[..count]
            .iter()
            .map(|it| Entry::decode(*it))
            .collect()
    }
}
