//! What was dropped, refused or repaired, by reason.

/// Declares the counters once: the field, its public name, and what it counts.
macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Counts since the start.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $field: u64,)*
        }

        impl Counters {
            /// Returns every counter with its name, those at zero too.
            pub(crate) fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }
        }
    };
}

counters! {
    /// Frames that `send` took.
    frames_sent,
    /// Frames that were handed to the node.
    frames_received,
    /// Frames that `send` handed back because the connection was full.
    frames_refused_full,
    /// Frames from outside dropped for having more than one part.
    frames_dropped_multipart,
    /// Frames from outside dropped for their length.
    frames_dropped_oversize,
    /// Frames dropped by the socket after it had taken their address.
    frames_lost_in_socket,
    /// Datagrams that were sent.
    datagrams_sent,
    /// Datagrams that the operating system refused.
    datagrams_refused,
    /// Datagrams that were handed to the node.
    datagrams_received,
    /// Datagrams from outside dropped for their length.
    datagrams_dropped_oversize,
    /// Datagrams dropped because too many arrived while a handler held the thread.
    datagrams_dropped_stalled,
    /// Probes that the sentinel answered while a handler held the thread.
    probes_answered,
    /// Connections that others opened to this node.
    connections_accepted,
    /// Connections that could not be accepted: the process has no descriptor left.
    connections_accept_failed,
    /// Connections, of either side, that ended before they were ready: junk, strangers, timeouts.
    handshakes_failed,
    /// Connections, of either side, that broke.
    connections_lost,
    /// Connections of this node's that were opened anew because libzmq would not have.
    connections_renewed,
    /// Arrivals that only the sweep found. Anything but zero is an error in this crate.
    wakeups_rescued,
}
