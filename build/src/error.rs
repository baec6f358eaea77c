//! What can be wrong with a user's files.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why no code was generated.
///
/// Its `Debug` is its `Display`, because that is what a build script's `main` prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file is not there or is no valid protobuf; the text says where.
    #[error("{0}")]
    Protobuf(String),
    /// Services that cannot be served. All of them are named.
    #[error("{}", lines(.0))]
    Services(Vec<Problem>),
    /// There is neither an `OUT_DIR` nor [`Builder::out_dir`](crate::Builder::out_dir).
    #[error("OUT_DIR is not set: call this from a build script, or set `Builder::out_dir`")]
    NoOutDir,
    /// `prost-build` failed.
    #[error("could not generate code: {0}")]
    Generate(#[source] io::Error),
    /// Something generated could not be written.
    #[error("could not write {path}: {source}", path = .path.display())]
    Write {
        /// What was to be written.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Something that is wrong with a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it is imported.
    pub file: String,
    /// `package.Service`
    pub service: String,
    /// The method, unless it is the service itself.
    pub method: Option<String>,
    /// What is wrong, and what to do.
    pub reason: Reason,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: service `{}`", self.file, self.service)?;
        if let Some(method) = &self.method {
            write!(f, ", method `{method}`")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// What is wrong with a service, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It takes a stream.
    #[error(
        "it takes a stream of requests, which is not supported: make it take one request, and call \
         or cast it once for each"
    )]
    ClientStreaming,
    /// A deadline is not one.
    #[error(
        "`{0}` is no deadline: write a whole number above zero and its unit, one of `us`, `ms`, \
         `s`, `m`, `h`, as in \"250ms\""
    )]
    Deadline(String),
    /// An option says nothing.
    #[error("its {0} is empty: name one, or leave the option out")]
    EmptyOption(&'static str),
    /// It streams its reply, but nobody waits for a reply to what is published.
    #[error("it handles topic `{topic}`, and so cannot answer with a stream")]
    TopicStreams {
        /// The topic.
        topic: String,
    },
    /// A topic carries one type.
    #[error("it takes `{input}` from topic `{topic}`, of which `{other}` takes `{other_input}`")]
    TopicType {
        /// The topic.
        topic: String,
        /// What this method takes.
        input: String,
        /// The other method.
        other: String,
        /// What the other method takes.
        other_input: String,
    },
    /// The name is one of those that the generated code has for itself.
    #[error(
        "its function would be called `{0}`, like one that every generated service has: rename it"
    )]
    Reserved(String),
    /// Two methods need the same function.
    #[error("it needs a function `{function}`, and so does method `{other}`: rename one of them")]
    SameFunction {
        /// The function.
        function: String,
        /// The other method.
        other: String,
    },
    /// Another item of the package has the name of something generated for the service.
    #[error("it needs the name `{0}`, which something else in the package has: rename one of them")]
    SameItem(String),
}
