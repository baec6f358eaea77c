//! What a handler must not do if a seed is to be one run: read the real clock or real entropy, sleep, start a thread, or
//! end the process.
//!
//! On Linux the functions of the C library that all of this goes through are stood in for: `clock_gettime`,
//! `gettimeofday`, `getrandom`, `getentropy`, `clock_nanosleep`, `nanosleep`, `pthread_create` and `exit`, and, on x86-64
//! and AArch64, `syscall`, by which some crates ask the kernel for the same. Each looks at one flag of its thread, which is
//! set where simulated runs are, and goes on to the real one; outside of simulations that is all that happens. In a handler of a simulated run the place is noted, and
//! the run fails with it. Nothing comes after the end of the process, so that is said at once, and its exit code is that of
//! a test that failed: with 0 the test harness would end in the middle of its tests, and all would seem to be well.
//!
//! Not seen are instructions that read a counter (`rdtsc`); files, `/dev/urandom` among them; sockets, and processes that
//! are started; code in C that uses other functions (`time`, `usleep`); instructions that go to the kernel without the C
//! library; and tables of earlier runs in statics. What logging does by itself is left out of account: the time on a line of a log is no part of a run. What
//! handlers do for a line is their own: its arguments, a `Debug` that is written, all that is inside of a span. On other
//! platforms nothing is seen, and [`SEES`] says so.
//!
//! The hash tables of the standard library draw their keys from entropy once for each thread, with the first table that
//! is made there. The thread of a simulated run draws them from the seed when the run is made: the order of a table that
//! a component goes through is the same each time. Keys that were drawn before stay: so runs of a scenario, and those of
//! an app's `sim`, have threads of their own.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "functions of the C library are stood in for")
)]

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::hash::RandomState;

use monofil_transport::Stream;

use crate::frames::{Frame, Ours, in_crate, of_handler, parsed};

/// Whether anything is seen on this platform.
pub const SEES: bool = cfg!(target_os = "linux");

/// What a handler did that no seed decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    ReadsTheClock,
    ReadsEntropy,
    Sleeps,
    StartsAThread,
}

impl Deed {
    const fn text(self) -> &'static str {
        match self {
            Self::ReadsTheClock => "reads the real clock",
            Self::ReadsEntropy => "reads real entropy",
            Self::Sleeps => "sleeps in real time",
            Self::StartsAThread => "starts a thread",
        }
    }
}

/// A deed and where it was done.
struct Leak {
    deed: Deed,
    component: String,
    method: String,
    message: u64,
    /// Made readable outside of the handler, whose stack may be small.
    backtrace: Backtrace,
}

/// So many are noted until it is found out which of them are logging's.
const UNJUDGED_MAX: usize = 8;

thread_local! {
    /// Handlers on this thread are simulated.
    static ARMED: Cell<bool> = const { Cell::new(false) };
    /// Since the last look.
    static LEAKS: RefCell<Vec<Leak>> = const { RefCell::new(Vec::new()) };
    /// What entropy is made of instead.
    static SEEDED: RefCell<Option<Stream>> = const { RefCell::new(None) };
}

/// Watches handlers on this thread from now on, and has hash tables on it draw their keys from a seed, if none has
/// drawn any before. [`Sim`](crate::Sim) does so by itself.
pub fn arm(seed: u64) {
    ARMED.set(true);
    SEEDED.set(Some(Stream::new(seed, "hash tables")));
    let _ = RandomState::new();
    SEEDED.set(None);
}

/// What a handler did that no seed decides, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leaked {
    /// Who did what, and at which line.
    pub text: String,
    /// The message that was handled, as [records](monofil_transport::record::Sent::message) call it; 0 for none.
    pub message: u64,
}

/// Returns what a handler on this thread did since the last look, if it was something that no seed decides.
#[must_use]
pub fn leaked() -> Option<Leaked> {
    let leaks = LEAKS.with_borrow_mut(|leaks| match leaks.is_empty() {
        true => Vec::new(),
        false => std::mem::take(leaks),
    });
    leaks.iter().find_map(Leak::told)
}

impl Leak {
    /// Says what was done and where; `None` if logging did it.
    fn told(&self) -> Option<Leaked> {
        let frames = callers(&self.backtrace.to_string());
        if is_logging(&frames) {
            return None;
        }
        let (component, method, deed) = (&self.component, &self.method, self.deed.text());
        let place = match place(frames) {
            Some(place) => format!(" at {place}"),
            None => ", at a line that this optimised build does not know".to_owned(),
        };
        Some(Leaked {
            text: format!("`{component}` {deed} in `{method}`{place}"),
            message: self.message,
        })
    }
}

/// Leaves of some deeds the first that logging did not do; the others would not be told.
fn judge(leaks: &mut Vec<Leak>) {
    let all = std::mem::take(leaks);
    // Elsewhere: to read a backtrace takes more stack than a handler may have.
    let first = std::thread::scope(|scope| {
        let judging = scope.spawn(|| all.into_iter().find(|leak| leak.told().is_some()));
        judging.join()
    });
    leaks.extend(first.unwrap_or_default());
}

/// Returns the frames that called a function which is stood in for, the nearest first.
fn callers(backtrace: &str) -> Vec<Frame> {
    const STOOD_IN_FOR: [&str; 7] = [
        "clock_gettime",
        "gettimeofday",
        "getrandom",
        "getentropy",
        "nanosleep",
        "pthread_create",
        "syscall",
    ];
    let mut frames = parsed(backtrace);
    let is_stand_in = |frame: &Frame| STOOD_IN_FOR.iter().any(|it| frame.symbol.ends_with(it));
    let stand_in = frames.iter().position(is_stand_in);
    frames.drain(..stand_in.map_or(0, |stand_in| stand_in + 1));
    frames
}

/// The crate that apps use.
const MONOFIL: Ours = ("", "monofil");

/// Tells whether the nearest caller that is in no library of the system writes a log. Whatever is further out decides
/// nothing: handlers run below spans, and below whoever set a subscriber.
fn is_logging(callers: &[Frame]) -> bool {
    let nearest = callers.iter().find(|frame| !is_system(frame));
    nearest.is_some_and(|frame| match &frame.place {
        Some(place) => {
            place.contains("/tracing-subscriber-") || in_crate(frame, MONOFIL, "src/logging/")
        }
        None => owner(&frame.symbol).is_some_and(|owner| {
            let logs = ["tracing_subscriber::", "monofil::logging::"];
            logs.iter().any(|log| owner.starts_with(log))
        }),
    })
}

/// Tells whether a frame is of the standard library, of the C library, or of one that subscribers ask for the time.
/// Where the file is known that says it, since the names in optimised code are then without their crates.
fn is_system(frame: &Frame) -> bool {
    match &frame.place {
        Some(place) => {
            let files = ["/rustc/", "/library/", "/chrono-", "/time-"];
            files.iter().any(|it| place.contains(it))
        }
        None => owner(&frame.symbol).is_none_or(|owner| {
            let crates = ["std::", "core::", "alloc::", "chrono::", "time::"];
            crates.iter().any(|it| owner.starts_with(it))
        }),
    }
}

/// Returns the path of a function by its symbol. Of one in an `impl` that is the path of the type, or of the trait where
/// the type is any. `None` for functions of C, which have no path.
fn owner(symbol: &str) -> Option<&str> {
    let Some(inner) = symbol.strip_prefix('<') else {
        return symbol.contains("::").then_some(symbol);
    };
    let words = ["&", "*", "[", "(", "mut ", "const ", "dyn "];
    let path = words
        .iter()
        .fold(inner, |path, word| path.trim_start_matches(word));
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    match path[end.unwrap_or(path.len())..].starts_with("::") {
        true => Some(path),
        false => path.split_once(" as ").map(|(_, of_trait)| of_trait),
    }
}

/// Finds the place from which a function of the C library was called: the innermost of the handler that is not in a
/// library from a registry. `None` where optimised code does not say, which is better than a place that is not it.
fn place(callers: Vec<Frame>) -> Option<String> {
    let own = of_handler(callers).into_iter();
    let mut places = own.filter_map(|frame| frame.place);
    places.find(|place| !place.contains("/.cargo/registry/"))
}

/// Notes a deed, if a simulated handler does it.
#[inline]
fn seen(deed: Deed) {
    if ARMED.get() {
        note(deed);
    }
}

#[cold]
fn note(deed: Deed) {
    // What is called from here is not seen.
    ARMED.set(false);
    if let Some(current) = monofil_container::current() {
        LEAKS.with_borrow_mut(|leaks| {
            if leaks.len() == UNJUDGED_MAX {
                judge(leaks);
            }
            leaks.push(Leak {
                deed,
                component: current.component.to_string(),
                method: current.method.to_string(),
                message: crate::property::message_of(&current),
                backtrace: Backtrace::force_capture(),
            });
        });
    }
    ARMED.set(true);
}

/// Returns what is said of a process that a simulated handler ends here; `None` if none does. It is on the stack of the
/// handler, which may be too small to read a backtrace.
fn ending() -> Option<String> {
    let current = ARMED.get().then(monofil_container::current)??;
    let (component, method) = (&current.component, &current.method);
    Some(format!("`{component}` ends the process in `{method}`"))
}

#[cfg(target_os = "linux")]
mod stand_ins {
    use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
    use std::sync::atomic::{AtomicPtr, Ordering};

    use super::{Deed, SEEDED, ending, seen};

    /// Asks the kernel for something: with the C library's `syscall`, or past what stands in for it.
    macro_rules! kernel {
        ($number:expr $(, $argument:expr)+) => {{
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            {
                let mut arguments = [0; 6];
                let given = [$($argument as usize),+];
                arguments[..given.len()].copy_from_slice(&given);
                kernel($number, arguments)
            }
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            libc::syscall($number, $($argument),+)
        }};
    }

    /// A function of the C library that one of ours stands in for.
    struct Real {
        name: &'static CStr,
        found: AtomicPtr<c_void>,
    }

    impl Real {
        const fn new(name: &'static CStr) -> Self {
            Self {
                name,
                found: AtomicPtr::new(std::ptr::null_mut()),
            }
        }

        /// Returns its address; null where there is no dynamic linker to ask.
        #[inline]
        fn get(&self) -> *mut c_void {
            let found = self.found.load(Ordering::Relaxed);
            if found.is_null() { self.find() } else { found }
        }

        #[cold]
        fn find(&self) -> *mut c_void {
            // SAFETY: the name ends with a zero byte.
            let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
            self.found.store(found, Ordering::Relaxed);
            found
        }
    }

    type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;
    type GetTimeOfDay = unsafe extern "C" fn(*mut libc::timeval, *mut c_void) -> c_int;
    type ClockNanosleep = unsafe extern "C" fn(
        libc::clockid_t,
        c_int,
        *const libc::timespec,
        *mut libc::timespec,
    ) -> c_int;
    type Nanosleep = unsafe extern "C" fn(*const libc::timespec, *mut libc::timespec) -> c_int;
    type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    type PthreadCreate = unsafe extern "C" fn(
        *mut libc::pthread_t,
        *const libc::pthread_attr_t,
        Start,
        *mut c_void,
    ) -> c_int;

    type Exit = unsafe extern "C" fn(c_int) -> !;

    /// How a process ends whose tests failed.
    const FAILED: c_int = 101;

    static EXIT: Real = Real::new(c"exit");
    static CLOCK_GETTIME: Real = Real::new(c"clock_gettime");
    static GETTIMEOFDAY: Real = Real::new(c"gettimeofday");
    static CLOCK_NANOSLEEP: Real = Real::new(c"clock_nanosleep");
    static NANOSLEEP: Real = Real::new(c"nanosleep");
    static PTHREAD_CREATE: Real = Real::new(c"pthread_create");

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
        seen(Deed::ReadsTheClock);
        let real = CLOCK_GETTIME.get();
        if real.is_null() {
            // SAFETY: the arguments are those of the caller.
            let result = unsafe { kernel!(libc::SYS_clock_gettime, clock, time) };
            return c_int::from(result != 0).wrapping_neg();
        }
        // SAFETY: the C library's function of this name has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, ClockGettime>(real) };
        // SAFETY: the arguments are those of the caller.
        unsafe { real(clock, time) }
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn getrandom(buffer: *mut c_void, bytes: usize, flags: c_uint) -> isize {
        // SAFETY: the caller's buffer has this length, and nobody else uses it meanwhile.
        if unsafe { fill_seeded(buffer, bytes) } {
            return isize::try_from(bytes).unwrap_or(isize::MAX);
        }
        seen(Deed::ReadsEntropy);
        // SAFETY: the arguments are those of the caller.
        let got = unsafe { kernel!(libc::SYS_getrandom, buffer, bytes, flags) };
        isize::try_from(got).unwrap_or(-1)
    }

    /// Fills a buffer from the seed, if that is where entropy comes from just now.
    ///
    /// # Safety
    ///
    /// The buffer has this length, and nobody else uses it meanwhile.
    unsafe fn fill_seeded(buffer: *mut c_void, bytes: usize) -> bool {
        let filled = SEEDED.try_with(|seeded| {
            let mut seeded = seeded.try_borrow_mut().ok()?;
            let seeded = seeded.as_mut()?;
            // SAFETY: as the caller says.
            let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), bytes) };
            seeded.fill(buffer);
            Some(())
        });
        filled.ok().flatten().is_some()
    }

    /// Stands in for the C library's, whose arguments after the first are as many as the call has.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the effect of the function that it stands in for; on these machines arguments are handed over alike
    // whether their number is fixed or not, and those that a caller left out are not looked at by the kernel either.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn syscall(
        number: c_long,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
        e: usize,
        f: usize,
    ) -> c_long {
        match number {
            libc::SYS_getrandom => {
                // SAFETY: the first argument is a buffer with the length of the second, which the caller waits for.
                if unsafe { fill_seeded(std::ptr::with_exposed_provenance_mut(a), b) } {
                    return c_long::try_from(b).unwrap_or(c_long::MAX);
                }
                seen(Deed::ReadsEntropy);
            }
            libc::SYS_clock_gettime | libc::SYS_gettimeofday => seen(Deed::ReadsTheClock),
            libc::SYS_clock_nanosleep | libc::SYS_nanosleep => seen(Deed::Sleeps),
            _ => {}
        }
        // SAFETY: the arguments are those of the caller.
        unsafe { kernel(number, [a, b, c, d, e, f]) }
    }

    /// Asks the kernel, as the C library's `syscall` does.
    ///
    /// # Safety
    ///
    /// As there.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    unsafe fn kernel(number: c_long, arguments: [usize; 6]) -> c_long {
        let [a, b, c, d, e, f] = arguments;
        let answer: c_long;
        // SAFETY: this is how the kernel is asked on this machine; what is asked is the caller's to know.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") number => answer,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                lateout("rcx") _, lateout("r11") _,
                options(nostack),
            );
        }
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        unsafe {
            std::arch::asm!(
                "svc 0",
                in("x8") number,
                inlateout("x0") a => answer,
                in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
                options(nostack),
            );
        }
        const ERRNO_MAX: c_long = 4095;
        if !(-ERRNO_MAX..0).contains(&answer) {
            return answer;
        }
        // SAFETY: it is this thread's own.
        unsafe { *libc::__errno_location() = c_int::try_from(-answer).unwrap_or(libc::EINVAL) };
        -1
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int {
        seen(Deed::ReadsTheClock);
        let real = GETTIMEOFDAY.get();
        if real.is_null() {
            // SAFETY: the arguments are those of the caller.
            let result = unsafe { kernel!(libc::SYS_gettimeofday, time, zone) };
            return c_int::from(result != 0).wrapping_neg();
        }
        // SAFETY: the C library's function of this name has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, GetTimeOfDay>(real) };
        // SAFETY: the arguments are those of the caller.
        unsafe { real(time, zone) }
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn getentropy(buffer: *mut c_void, bytes: usize) -> c_int {
        seen(Deed::ReadsEntropy);
        // SAFETY: the arguments are those of the caller.
        let got = unsafe { kernel!(libc::SYS_getrandom, buffer, bytes, 0) };
        let is_all = usize::try_from(got) == Ok(bytes);
        c_int::from(!is_all).wrapping_neg()
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_nanosleep(
        clock: libc::clockid_t,
        flags: c_int,
        time: *const libc::timespec,
        left: *mut libc::timespec,
    ) -> c_int {
        seen(Deed::Sleeps);
        let real = CLOCK_NANOSLEEP.get();
        if real.is_null() {
            return libc::ENOSYS;
        }
        // SAFETY: the C library's function of this name has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, ClockNanosleep>(real) };
        // SAFETY: the arguments are those of the caller.
        unsafe { real(clock, flags, time, left) }
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn nanosleep(
        time: *const libc::timespec,
        left: *mut libc::timespec,
    ) -> c_int {
        seen(Deed::Sleeps);
        let real = NANOSLEEP.get();
        if real.is_null() {
            // SAFETY: the arguments are those of the caller.
            let result = unsafe { kernel!(libc::SYS_nanosleep, time, left) };
            return c_int::from(result != 0).wrapping_neg();
        }
        // SAFETY: the C library's function of this name has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, Nanosleep>(real) };
        // SAFETY: the arguments are those of the caller.
        unsafe { real(time, left) }
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int {
        seen(Deed::StartsAThread);
        let real = PTHREAD_CREATE.get();
        if real.is_null() {
            return libc::ENOSYS;
        }
        // SAFETY: the C library's function of this name has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, PthreadCreate>(real) };
        // SAFETY: the arguments are those of the caller.
        unsafe { real(thread, attributes, start, argument) }
    }

    /// Stands in for the C library's.
    ///
    /// # Safety
    ///
    /// As there.
    // SAFETY: it has the type and the effect of the function that it stands in for, but for what a simulated handler ends.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn exit(code: c_int) -> ! {
        if let Some(text) = ending() {
            eprintln!("{text}: no run comes after it");
            // SAFETY: it is always sound to end at once.
            unsafe { libc::_exit(FAILED) }
        }
        let real = EXIT.get();
        if real.is_null() {
            // SAFETY: as above.
            unsafe { libc::_exit(code) }
        }
        // SAFETY: the C library's function of this name has this type.
        let real = unsafe { std::mem::transmute::<*mut c_void, Exit>(real) };
        // SAFETY: the argument is that of the caller.
        unsafe { real(code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backtrace(handle: &str) -> String {
        let root = env!("CARGO_MANIFEST_DIR").trim_end_matches("sim");
        format!(
            "   0: note\n             at {root}sim/src/guard.rs:150:30\n   1: clock_gettime\n             at \
             {root}sim/src/guard.rs:200:9\n   2: now\n             at \
             /rustc/59807/library/std/src/time.rs:9:1\n   3: fill\n             at \
             /home/ada/.cargo/registry/src/index/rand/src/lib.rs:1:1\n   4: handle\n{handle}   \
             5: handle\n             at {root}sim/src/service.rs:81:20\n   \
             6: step\n             at {root}container/src/work.rs:1:1\n   \
             7: main\n             at /home/ada/shop/src/main.rs:1:1\n"
        )
    }

    #[test]
    fn the_place_is_the_innermost_that_is_somebody_s_own() {
        let text = backtrace("             at /home/ada/shop/src/orders.rs:17:9\n");
        assert_eq!(
            place(callers(&text)).as_deref(),
            Some("/home/ada/shop/src/orders.rs:17:9")
        );
    }

    #[test]
    fn no_place_is_named_that_is_not_the_handler_s() {
        assert_eq!(place(callers(&backtrace(""))), None);
    }

    #[test]
    fn only_who_is_nearest_may_be_a_log() {
        let now = "std::time::SystemTime::now";
        let timer = "<tracing_subscriber::fmt::time::SystemTime as tracing_subscriber::fmt::time::FormatTime>::format_time";
        let late = "<shop::Late as core::fmt::Debug>::fmt";
        let of_trait = "<F as tracing_subscriber::fmt::FormatEvent<C, N>>::format_event";
        let in_scope = "tracing::span::Span::in_scope";
        let inlined = "format_event at /home/ada/.cargo/registry/src/index/tracing-subscriber-0.3.20/src/fmt/mod.rs:9:1";
        let handler = "handle at /home/ada/shop/src/orders.rs:17:9";
        for (callers, expected) in [
            (&[now, timer, handler][..], true),
            (&["now", "<&T as core::fmt::Debug>::fmt", of_trait], true),
            (&["<chrono::offset::local::Local>::now", timer], true),
            (&[now, "monofil::logging::time::Timestamp::now"], true),
            (
                &["now at /rustc/59807/library/std/src/time.rs:9:1", inlined],
                true,
            ),
            // What is written reads it.
            (&[now, late, "<&T as core::fmt::Debug>::fmt", timer], false),
            (
                &[now, "fmt at /home/ada/shop/src/late.rs:1:1", inlined],
                false,
            ),
            // They are around the handler.
            (&[now, handler, in_scope, timer], false),
            (&[now, in_scope, inlined], false),
            (&[now, "monofil::job::run"], false),
            (&["clock"], false),
        ] {
            let frame = |text: &&str| match text.split_once(" at ") {
                Some((symbol, place)) => Frame {
                    symbol: symbol.to_owned(),
                    place: Some(place.to_owned()),
                },
                None => Frame {
                    symbol: (*text).to_owned(),
                    place: None,
                },
            };
            let frames: Vec<_> = callers.iter().map(frame).collect();
            assert_eq!(is_logging(&frames), expected, "{callers:?}");
        }
    }
}
