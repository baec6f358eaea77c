//! What a container counts.

use std::collections::BTreeMap;

use monofil_proto::Reason;

/// Declares the counters with their names.
macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// Something a container counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Counter {
            $($(#[$doc])* $variant),*
        }

        impl Counter {
            const NAMES: &'static [&'static str] = &[$($name),*];
        }
    };
}

counters! {
    /// Handlers that were started.
    HandlersStarted = "monofil_handlers_started_total",
    /// Handlers that returned an error.
    HandlersFailed = "monofil_handlers_failed_total",
    /// Handlers that panicked.
    HandlersPanicked = "monofil_handlers_panicked_total",
    /// Instances that were rebuilt.
    InstanceRestarts = "monofil_instance_restarts_total",
    /// Calls that were started here.
    CallsStarted = "monofil_calls_started_total",
    /// Calls that ended with a reply.
    CallsReplied = "monofil_calls_replied_total",
    /// Calls that ended otherwise.
    CallsFailed = "monofil_calls_failed_total",
    /// Calls whose answer did not come in time.
    CallsTimedOut = "monofil_calls_timed_out_total",
    /// Calls that were turned away because the breaker between caller and callee was open.
    CallsOpen = "monofil_calls_open_total",
    /// Calls that were not sent because their callee rejects too many.
    CallsThrottled = "monofil_calls_throttled_total",
    /// Tries of calls after the first.
    CallsRetried = "monofil_calls_retried_total",
    /// Casts that were dropped because they may not travel as far as they would have to.
    CastsBeyondHorizon = "monofil_casts_beyond_horizon_total",
    /// Replies that came after their caller had stopped waiting.
    RepliesLate = "monofil_replies_late_total",
    /// The greatest lateness of such a reply, in microseconds.
    RepliesLateMicrosMax = "monofil_replies_late_microseconds_max",
    /// Casts and publications that were sent here.
    CastsStarted = "monofil_casts_started_total",
    /// Casts that came back to their sender.
    CastsUndelivered = "monofil_casts_undelivered_total",
    /// Casts that came back to a sender that does not hear of it: it had too many of them in its queue, was no more, or
    /// no stack could be had for it.
    CastsUndeliveredDropped = "monofil_casts_undelivered_dropped_total",
    /// Casts that were handled and failed.
    CastsFailed = "monofil_casts_failed_total",
    /// Messages refused for a limit.
    Rejected = "monofil_messages_rejected_total",
    /// Casts that were dropped because there was no room, as was wanted.
    Dropped = "monofil_messages_dropped_total",
    /// Messages that another node got because there was no room here.
    Spilled = "monofil_messages_spilled_total",
    /// Messages whose deadline had passed when their turn came.
    Expired = "monofil_messages_expired_total",
    /// Calls refused because they could only have been answered by who waits for them.
    Cycles = "monofil_calls_cyclic_total",
    /// Calls whose caller gave them up.
    Cancelled = "monofil_calls_cancelled_total",
    /// Answers to nodes that are gone.
    AnswersUndeliverable = "monofil_answers_undeliverable_total",
    /// Frames received.
    FramesReceived = "monofil_frames_received_total",
    /// Frames sent.
    FramesSent = "monofil_frames_sent_total",
    /// Records received.
    RecordsReceived = "monofil_records_received_total",
    /// Records sent for the first time.
    RecordsSent = "monofil_records_sent_total",
    /// Records sent again.
    RecordsResent = "monofil_link_records_resent_total",
    /// Records received again, and dropped.
    RecordsDuplicate = "monofil_link_records_duplicate_total",
    /// Frames that came after a gap.
    LinkGaps = "monofil_link_gaps_total",
    /// Links that ended: the peer began anew, or left.
    LinksEnded = "monofil_links_ended_total",
    /// Frames meant for an earlier incarnation of this node.
    FramesMisdirected = "monofil_frames_misdirected_total",
    /// Frames from an earlier incarnation of their sender.
    FramesStale = "monofil_frames_stale_total",
    /// Frames of another network.
    FramesForeignNetwork = "monofil_frames_foreign_network_total",
    /// Frames that gave a name a number which is not allowed, or stands for another already.
    FramesMisnumbered = "monofil_frames_misnumbered_total",
    /// Records that make no sense.
    RecordsInvalid = "monofil_records_invalid_total",
    /// Nodes that could not be remembered because there are too many.
    PeersRefused = "monofil_peers_refused_total",
    /// Datagrams received.
    DatagramsReceived = "monofil_datagrams_received_total",
    /// Membership packets received and read.
    MembershipReceived = "monofil_membership_packets_received_total",
    /// Membership packets sent.
    MembershipSent = "monofil_membership_packets_sent_total",
    /// Membership packets, and entries of members, that were refused.
    MembershipRefused = "monofil_membership_packets_refused_total",
    /// Members that were heard of and found no room in the table; each time.
    MembersWithoutRoom = "monofil_members_without_room_total",
    /// Commands received.
    ControlRequests = "monofil_control_requests_total",
    /// Jobs handed to helper threads.
    BlockingJobs = "monofil_blocking_jobs_total",
    /// Turns taken.
    Turns = "monofil_turns_total",
}

/// The counters of one container.
#[derive(Debug)]
pub(crate) struct Counters {
    values: [u64; Counter::NAMES.len()],
    malformed: [u64; Reason::ALL.len()],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            values: [0; Counter::NAMES.len()],
            malformed: [0; Reason::ALL.len()],
        }
    }
}

impl Counters {
    pub(crate) const fn add(&mut self, counter: Counter) {
        self.values[counter as usize] += 1;
    }

    pub(crate) const fn add_many(&mut self, counter: Counter, count: u64) {
        self.values[counter as usize] += count;
    }

    pub(crate) fn raise(&mut self, counter: Counter, value: u64) {
        let slot = &mut self.values[counter as usize];
        *slot = (*slot).max(value);
    }

    pub(crate) fn malformed(&mut self, reason: Reason) {
        if let Some(index) = Reason::ALL.iter().position(|known| *known == reason) {
            self.malformed[index] += 1;
        }
    }

    pub(crate) fn malformed_total(&self) -> u64 {
        self.malformed.iter().sum()
    }

    pub(crate) const fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// Returns every counter by its name, those that are zero included.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        let plain = Counter::NAMES
            .iter()
            .zip(self.values)
            .map(|(name, n)| ((*name).to_owned(), n));
        let malformed = Reason::ALL.iter().zip(self.malformed).map(|(reason, n)| {
            (
                format!("monofil_malformed_total{{reason=\"{}\"}}", reason.as_str()),
                n,
            )
        });
        plain.chain(malformed).collect()
    }
}
