//! The end of the process without its destructors.
#![expect(unsafe_code, reason = "`_exit` is a C function")]

/// Ends the process at once: no destructor, no exit handler, no flush.
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: `_exit` has no precondition, and does not return.
    unsafe { libc::_exit(code) }
}
