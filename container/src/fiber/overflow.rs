//! Names the component whose handler overflowed its stack, before the process dies.
//!
//! Below each handler's stack lies a guard page. Touching it is a bare SIGSEGV, which says nothing. The
//! handler installed here runs on the thread's alternate signal stack (the standard library sets one up for
//! each thread it starts), and if the address lies just below the stack that is running, it writes one line
//! with the component's name and stack size. Then the default action is restored and the instruction runs
//! again, so that the process dies of the same signal, with the same core dump.
//!
//! A signal that somebody sent (`kill -SEGV`) comes from no instruction that would run again, so it is
//! raised once more under the default action: it ends the process as it would end any other.
//!
//! Everything in the handler is async-signal-safe: it reads two thread-local cells without destructors and
//! calls `write`, `sigaction`, `raise` and nothing else.
#![expect(unsafe_code, reason = "signal handlers have no safe interface")]

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What runs on this thread. Plain data, and each word by itself: a signal may come between any two instructions,
/// and the name is another with each message.
struct OnStack {
    name: Cell<*const u8>,
    name_len: Cell<usize>,
    size: Cell<usize>,
    /// Where its guard page begins.
    guard: Cell<usize>,
}

thread_local! {
    static RUNNING: OnStack = const {
        OnStack {
            name: Cell::new(std::ptr::null()),
            name_len: Cell::new(0),
            size: Cell::new(0),
            guard: Cell::new(0),
        }
    };
}

static INSTALL: Once = Once::new();
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(4096);

/// Runs `resume`, which runs on a stack of `size` bytes above a guard page at `guard`; an overflow inside
/// it is reported, if somebody said by [`name`] whose it is.
pub(super) fn guarded<R>(size: usize, guard: usize, resume: impl FnOnce() -> R) -> R {
    INSTALL.call_once(install);
    let before = RUNNING.with(|running| {
        (
            running.name.replace(std::ptr::null()),
            running.name_len.replace(0),
            running.size.replace(size),
            running.guard.replace(guard),
        )
    });
    let result = resume();
    RUNNING.with(|running| {
        running.name.set(before.0);
        running.name_len.set(before.1);
        running.size.set(before.2);
        running.guard.set(before.3);
    });
    result
}

/// Says whose handler runs on this thread from now on: until the next call, or the end of [`guarded`],
/// which the name must outlive. A name that does not is never read, but in a report of an overflow.
pub(crate) fn name(name: Option<&str>) {
    RUNNING.with(|running| {
        running.name.set(name.map_or(std::ptr::null(), str::as_ptr));
        running.name_len.set(name.map_or(0, str::len));
    });
}

fn install() {
    // SAFETY: `action` is fully initialised; the handler is async-signal-safe, runs on the alternate stack
    // if there is one, and is installed once for the life of the process.
    unsafe {
        if let Ok(bytes @ 1..) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) {
            PAGE_BYTES.store(bytes, Ordering::Relaxed);
        }
        let mut previous: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut previous) != 0 {
            return;
        }
        PREVIOUS.0.set(previous);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut());
    }
}

/// The action that was there before: the standard library's, which reports overflows of threads.
struct Previous(Cell<libc::sigaction>);

// SAFETY: written once, before the handler that reads it is installed; only read afterwards.
unsafe impl Sync for Previous {}

// SAFETY: all zero is a valid `sigaction`: the default action.
static PREVIOUS: Previous = Previous(Cell::new(unsafe { std::mem::zeroed() }));

extern "C" fn on_fault(
    _signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `siginfo_t` for SIGSEGV.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let was_sent = code <= 0;
    let overflowed = RUNNING.with(|running| {
        let begin = running.guard.get();
        let guard = begin..begin + PAGE_BYTES.load(Ordering::Relaxed);
        let overflowed = !was_sent && !running.name.get().is_null() && guard.contains(&address);
        if overflowed {
            report(running);
        }
        overflowed
    });
    // SAFETY: all zero is the default action; `PREVIOUS` was set before this handler was installed. A
    // faulting instruction runs again under the action put in place here. The raised signal is blocked
    // until this handler returns, and ends the process then.
    unsafe {
        let next = if overflowed || was_sent {
            std::mem::zeroed()
        } else {
            PREVIOUS.0.get()
        };
        libc::sigaction(libc::SIGSEGV, &raw const next, std::ptr::null_mut());
        if was_sent {
            libc::raise(libc::SIGSEGV);
        }
    }
}

fn report(running: &OnStack) {
    let mut line = Line::new();
    line.push(b"\nmonofil: the handler of component `");
    // SAFETY: whoever called `name` keeps the name for as long as the handler runs, and that is now.
    line.push(unsafe { std::slice::from_raw_parts(running.name.get(), running.name_len.get()) });
    line.push(b"` overflowed its stack of ");
    line.push_number(running.size.get());
    line.push(b" bytes; give it more with `stack_bytes`. The process ends.\n");
    line.write();
}

/// A line built without allocating.
struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            bytes: [0; 512],
            len: 0,
        }
    }

    fn push(&mut self, text: &[u8]) {
        for byte in text {
            if self.len < self.bytes.len() {
                self.bytes[self.len] = *byte;
                self.len += 1;
            }
        }
    }

    fn push_number(&mut self, mut number: usize) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    fn write(&self) {
        // SAFETY: a valid buffer of that length; standard error may be closed, and then nothing is lost.
        unsafe {
            libc::write(2, self.bytes.as_ptr().cast(), self.len);
        }
    }
}
