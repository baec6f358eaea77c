//! Where orders come from.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use monofil::prelude::*;
use serde::Deserialize;

use super::tally::printable;
use super::{Args, generate};
use crate::proto::orders::{Line, Order, Visit};

/// What comes with the program.
const ORDERS: &str = include_str!("../../data/orders.jsonl");

/// Bytes in a line.
const LINE_MAX: usize = 64 << 10;

/// Orders, read or made up.
pub(crate) struct Source {
    visit: Visit,
    number: Option<u64>,
    from: From,
}

enum From {
    Lines(Lines),
    Generator(Range<u64>),
}

type Input = BufReader<Box<dyn Read + Send>>;

/// Lines of JSON.
struct Lines {
    /// Where they come from, for people.
    name: PathBuf,
    /// `None` while a helper thread reads, and at the end.
    input: Option<Input>,
    /// Read and not looked at yet; `None` for one that is too long.
    read: VecDeque<Option<Vec<u8>>>,
    number: u64,
}

/// A line that is no order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongLine {
    number: u64,
    what: String,
}

/// An order as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `id` and `lines`")]
struct WrittenOrder {
    id: String,
    #[serde(default)]
    customer: String,
    #[serde(default)]
    city: String,
    lines: Vec<WrittenLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `sku` and `quantity`")]
struct WrittenLine {
    sku: String,
    quantity: u32,
}

impl Source {
    /// Opens what the arguments ask for.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub(crate) fn open(args: &Args, visit: Visit) -> Result<Self, Status> {
        let lines = |name: &Path, input: Box<dyn Read + Send>| {
            From::Lines(Lines {
                name: name.to_owned(),
                input: Some(BufReader::new(input)),
                read: VecDeque::new(),
                number: 0,
            })
        };
        let (number, from) = match (args.generate, args.input.as_deref()) {
            (Some(number), _) => (Some(number), From::Generator(0..number)),
            (None, None) => {
                let number = ORDERS.lines().count() as u64;
                (
                    Some(number),
                    lines(Path::new("orders.jsonl"), Box::new(ORDERS.as_bytes())),
                )
            }
            (None, Some(path)) if path == Path::new("-") => (
                None,
                lines(Path::new("standard input"), Box::new(io::stdin())),
            ),
            (None, Some(path)) => {
                let file = File::open(path).map_err(|error| unusable("read", path, &error))?;
                (None, lines(path, Box::new(file)))
            }
        };
        Ok(Self {
            visit,
            number,
            from,
        })
    }

    /// Returns how many lines or orders there are, where that is known.
    pub(crate) const fn number(&self) -> Option<u64> {
        self.number
    }

    /// Tells whether the next one is there without waiting for it.
    pub(crate) fn at_hand(&self) -> bool {
        match &self.from {
            From::Lines(lines) => !lines.read.is_empty(),
            From::Generator(range) => !range.is_empty(),
        }
    }

    /// Returns the next order; `None` after the last.
    ///
    /// # Errors
    ///
    /// The input cannot be read on.
    pub(crate) fn next(
        &mut self,
        cx: &mut Context,
    ) -> Result<Option<Result<Order, WrongLine>>, Status> {
        match &mut self.from {
            From::Lines(lines) => lines.next(cx, self.visit),
            From::Generator(range) => {
                let made = range.next().map(|n| generate::order(self.visit, n));
                Ok(made.map(Ok))
            }
        }
    }
}

impl Lines {
    fn next(
        &mut self,
        cx: &mut Context,
        visit: Visit,
    ) -> Result<Option<Result<Order, WrongLine>>, Status> {
        loop {
            if self.read.is_empty() {
                self.read_on(cx)?;
            }
            let Some(line) = self.read.pop_front() else {
                return Ok(None);
            };
            self.number += 1;
            if let Some(order) = parse(line.as_deref(), self.number, visit) {
                return Ok(Some(order));
            }
        }
    }

    /// Reads on a helper thread: whoever writes to a pipe may take long, and the components that share this
    /// thread have other things to do.
    fn read_on(&mut self, cx: &mut Context) -> Result<(), Status> {
        let Some(mut input) = self.input.take() else {
            return Ok(());
        };
        let (input, read) = cx.blocking(move || {
            let read = read_lines(&mut input);
            (input, read)
        })?;
        self.read = read.map_err(|error| unusable("read", &self.name, &error))?;
        if !self.read.is_empty() {
            self.input = Some(input);
        }
        Ok(())
    }
}

/// Says what cannot be done with a file, and why.
pub(crate) fn unusable(what: &str, path: &Path, error: &io::Error) -> Status {
    let code = match error.kind() {
        io::ErrorKind::NotFound => Code::NotFound,
        io::ErrorKind::PermissionDenied => Code::PermissionDenied,
        _ => Code::FailedPrecondition,
    };
    Status::new(code, format!("cannot {what} `{}`: {error}", path.display()))
}

/// Reads a line, and those that came with it; nothing at the end.
fn read_lines<R: Read>(input: &mut BufReader<R>) -> io::Result<VecDeque<Option<Vec<u8>>>> {
    let mut lines = VecDeque::new();
    loop {
        let mut line = Vec::new();
        let mut limited = input.by_ref().take(LINE_MAX as u64);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(lines);
        }
        let too_long = line.len() == LINE_MAX && !line.ends_with(b"\n");
        if too_long {
            input.skip_until(b'\n')?;
        }
        lines.push_back((!too_long).then_some(line));
        if !input.buffer().contains(&b'\n') {
            return Ok(lines);
        }
    }
}

/// Reads one line; `None` when it is blank.
fn parse(line: Option<&[u8]>, number: u64, visit: Visit) -> Option<Result<Order, WrongLine>> {
    let wrong = |what: String| {
        let what = printable(&what);
        Some(Err(WrongLine { number, what }))
    };
    let Some(line) = line else {
        return wrong(format!("longer than {LINE_MAX} bytes"));
    };
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    if line.trim_ascii().is_empty() {
        return None;
    }
    match serde_json::from_slice::<WrittenOrder>(line) {
        Ok(written) => Some(Ok(written.order(visit))),
        Err(error) => {
            let text = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            let what = text.strip_suffix(&place).unwrap_or(&text);
            wrong(format!("{what} (column {})", error.column()))
        }
    }
}

impl WrittenOrder {
    fn order(self, visit: Visit) -> Order {
        let lines = self.lines.into_iter().map(|line| Line {
            sku: line.sku,
            quantity: line.quantity,
        });
        Order {
            id: self.id,
            customer: self.customer,
            city: self.city,
            lines: lines.collect(),
            visit: Some(visit),
        }
    }
}

impl fmt::Display for WrongLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not an order: {}", self.number, self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        match parse(Some(line.as_bytes()), 7, Visit::default()) {
            None => "nothing".into(),
            Some(Ok(order)) => format!("order {} of {} lines", order.id, order.lines.len()),
            Some(Err(wrong)) => wrong.to_string(),
        }
    }

    #[test]
    fn a_wrong_line_says_where_and_what() {
        for (line, expected) in [
            (" \r\n", "nothing"),
            (r#"{"id":"1","lines":[]}"#, "order 1 of 0 lines"),
            (
                "7",
                "line 7 is not an order: invalid type: integer `7`, expected an object with `id` and `lines` (column 1)",
            ),
            ("hello", "line 7 is not an order: expected value (column 1)"),
            (
                r#"{"id":"1"}"#,
                "line 7 is not an order: missing field `lines` (column 10)",
            ),
            (
                r#"{"id":"1","lines":[{"sku":"TAMPER-58","quantity":-1}]}"#,
                "line 7 is not an order: invalid value: integer `-1`, expected u32 (column 51)",
            ),
            (
                "{\"id\":\"1\",\"\u{1b}[2J\":0}",
                "line 7 is not an order: control character (\\u0000-\\u001F) found while parsing a string (column 12)",
            ),
        ] {
            assert_eq!(said(line), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_are_read_as_they_come_and_long_ones_are_skipped() -> io::Result<()> {
        let long = "x".repeat(3 * LINE_MAX);
        let text = format!("a\n{long}\nb\nc");
        let mut input = BufReader::new(text.as_bytes());
        let mut all = Vec::new();
        loop {
            let lines = read_lines(&mut input)?;
            if lines.is_empty() {
                break;
            }
            all.extend(lines);
        }
        let expected = [Some(&b"a\n"[..]), None, Some(b"b\n"), Some(b"c")];
        assert!(all.iter().map(Option::as_deref).eq(expected));
        Ok(())
    }

    #[test]
    fn the_orders_that_come_with_the_program_can_be_read() {
        for (number, line) in (1..).zip(ORDERS.lines()) {
            let order = parse(Some(line.as_bytes()), number, Visit::default());
            assert!(matches!(order, Some(Ok(_))), "{order:?}");
        }
    }
}
