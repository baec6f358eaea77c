//! Backtraces, frame by frame: which of them are a component's.

use std::path::Path;

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) symbol: String,
    /// `FILE:LINE:COLUMN`. Optimised code has none where two places became one; libraries without debug information
    /// have none at all.
    pub(crate) place: Option<String>,
}

/// Reads what [`Backtrace`](std::backtrace::Backtrace) writes: a number and a symbol, and a line with its place, if
/// that is known. The innermost frame is the first.
pub(crate) fn parsed(text: &str) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(last) = frames.last_mut() {
                last.place = Some(place.to_owned());
            }
        } else if let Some((number, symbol)) = line.split_once(": ")
            && number.parse::<u32>().is_ok()
        {
            frames.push(Frame {
                symbol: symbol.to_owned(),
                place: None,
            });
        }
    }
    frames
}

/// Returns the frames of a handler that are its component's, or of libraries that it uses: what is above the worker
/// that runs it, but for what is the framework's and the standard library's.
pub(crate) fn of_handler(mut frames: Vec<Frame>) -> Vec<Frame> {
    let is_worker = |frame: &Frame| in_crate(frame, CONTAINER, "src/work.rs");
    let worker = frames.iter().position(is_worker);
    frames.truncate(worker.unwrap_or(frames.len()));
    frames.retain(|frame| !is_ours(frame));
    frames
}

/// A crate of ours: its folder in the repository, and its name.
pub(crate) type Ours = (&'static str, &'static str);

const CONTAINER: Ours = ("container", "monofil-container");

/// Tells whether a frame is in a file of a crate of ours, or in a folder of it. With line tables alone symbols have no
/// paths, but files have. Beside this crate are the others: in the repository, in a registry's folder by name and version,
/// among vendored crates by name.
pub(crate) fn in_crate(frame: &Frame, (folder, name): Ours, path: &str) -> bool {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let place = Path::new(frame.place.as_deref().unwrap_or_default());
    // What is below the working directory is written from there.
    let here = std::env::current_dir().unwrap_or_default();
    let place = here.join(place.strip_prefix(".").unwrap_or(place));
    let Ok(inside) = place.strip_prefix(around.unwrap_or(Path::new("/"))) else {
        return false;
    };
    is_of(inside, (folder, name), path)
}

/// The same of a path from the folder that has this crate.
fn is_of(inside: &Path, (folder, name): Ours, path: &str) -> bool {
    let released = format!("{name}-{}", env!("CARGO_PKG_VERSION"));
    // After the last part there is a line.
    let inside = inside.to_string_lossy();
    let homes = [folder, name, &released].into_iter();
    homes
        .map(|home| match home {
            "" => path.to_owned(),
            home => format!("{home}/{path}"),
        })
        .any(|file| inside.starts_with(&file))
}

/// Tells whether a frame is of the crates below components, or of the standard library.
fn is_ours(frame: &Frame) -> bool {
    const OURS: [Ours; 4] = [
        CONTAINER,
        ("transport-spi", "monofil-transport"),
        ("transport-inproc", "monofil-inproc"),
        ("sim", "monofil-sim"),
    ];
    const OTHERS: [&str; 3] = ["/rustc/", "/library/std/src/", "/library/core/src/"];
    // Without a place it is of a library without debug information.
    let place = frame.place.as_deref().unwrap_or("/rustc/");
    OURS.iter().any(|ours| in_crate(frame, *ours, "src/"))
        || OTHERS.iter().any(|other| place.contains(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_crates_are_known_wherever_they_lie() {
        let version = env!("CARGO_PKG_VERSION");
        let app = ("", "monofil");
        for (inside, ours, path, expected) in [
            ("container/src/work.rs:9:9", CONTAINER, "src/work.rs", true),
            (
                "monofil-container/src/work.rs:9:9",
                CONTAINER,
                "src/work.rs",
                true,
            ),
            (
                &format!("monofil-container-{version}/src/work.rs:9:9"),
                CONTAINER,
                "src/work.rs",
                true,
            ),
            (
                "monofil-container-9.9.9/src/work.rs:9:9",
                CONTAINER,
                "src/work.rs",
                false,
            ),
            (
                "containers/src/work.rs:9:9",
                CONTAINER,
                "src/work.rs",
                false,
            ),
            (
                "shop/container/src/work.rs:9:9",
                CONTAINER,
                "src/work.rs",
                false,
            ),
            ("src/logging/time.rs:1:1", app, "src/logging/", true),
            (
                &format!("monofil-{version}/src/logging/time.rs:1:1"),
                app,
                "src/logging/",
                true,
            ),
            ("src/job.rs:1:1", app, "src/logging/", false),
            (
                "examples/shop/src/logging/time.rs:1:1",
                app,
                "src/logging/",
                false,
            ),
        ] {
            assert_eq!(is_of(Path::new(inside), ours, path), expected, "{inside}");
        }
    }

    #[test]
    fn a_backtrace_is_read_and_what_is_not_the_handler_s_is_left_out() {
        let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("sim");
        let text = format!(
            "   0: force_capture\n             at /rustc/59807/library/std/src/backtrace.rs:312:9\n   \
             1: suspended\n             at {root}transport-spi/src/record/recorder.rs:12:3\n   \
             2: <shop::Orders as monofil::Component>::handle\n             at /home/ada/shop/src/orders.rs:17:9\n   \
             3: handle\n             at {root}sim/src/service.rs:81:20\n   \
             4: run\n             at {root}container/src/work.rs:9:9\n   \
             5: main\n             at /home/ada/shop/src/main.rs:1:1\n   \
             6: __libc_start\n"
        );
        let frames = parsed(&text);
        assert_eq!(frames.len(), 7);
        let left = Frame {
            symbol: "<shop::Orders as monofil::Component>::handle".to_owned(),
            place: Some("/home/ada/shop/src/orders.rs:17:9".to_owned()),
        };
        assert_eq!(of_handler(frames), [left]);
    }
}
