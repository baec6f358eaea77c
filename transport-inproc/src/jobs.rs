//! Offloaded jobs and datagrams: what a node sets off and hears of later.

use std::any::Any;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use monofil_transport::record::What as Recorded;
use monofil_transport::{DatagramError, JobId, JobOutcome, OffloadFull, OffloadJob};

use crate::agenda::What;
use crate::fabric::{Fabric, Life, Mail};
use crate::link::nanos;
use crate::paced::HelperJob;
use crate::trace::{TraceKind, hash_bytes};

/// A job that is under way.
pub(crate) struct Job {
    node: u32,
    incarnation: u64,
    id: JobId,
    /// What comes of it; in a paced world, once a helper thread says so.
    outcome: Option<JobOutcome>,
}

/// A datagram on its way.
pub(crate) struct Flying {
    target: u32,
    from: SocketAddr,
    payload: Bytes,
    /// The sequence of the record of its sending.
    sent: u64,
}

/// Runs work and catches its panic.
pub(crate) fn run_work(work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>) -> JobOutcome {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(value) => JobOutcome::Returned(value),
        Err(payload) => JobOutcome::Panicked(message_of(&*payload)),
    }
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "a panic without a message".to_owned(),
    }
}

impl Fabric {
    pub(crate) fn offload(&mut self, node: u32, job: OffloadJob) -> Result<(), OffloadFull> {
        let limit = self.config.offload_jobs_max;
        let state = self.node(node);
        if state.jobs >= limit {
            return Err(OffloadFull { job, limit });
        }
        state.jobs += 1;
        let mut entry = Job {
            node,
            incarnation: state.incarnation,
            id: job.id,
            outcome: None,
        };
        if self.helper_jobs.is_some() {
            let index = self.jobs.insert(entry);
            let job = HelperJob::new(index, job.work);
            self.helper_jobs.get_or_insert_default().push(job);
            return Ok(());
        }
        entry.outcome = Some(run_work(job.work));
        let due = self.now.saturating_add(nanos(job.modelled));
        let index = self.jobs.insert(entry);
        self.agenda.add(self.now, due, What::Job { index });
        Ok(())
    }

    /// A job came due.
    pub(crate) fn job_due(&mut self, index: u32) {
        if let Some(mut job) = self.jobs.take(index)
            && let Some(outcome) = job.outcome.take()
        {
            self.job_done(&job, outcome);
        }
    }

    /// A helper thread ended a job.
    pub(crate) fn helped(&mut self, index: u32, outcome: JobOutcome) {
        if let Some(job) = self.jobs.take(index) {
            self.job_done(&job, outcome);
        }
    }

    fn job_done(&mut self, job: &Job, outcome: JobOutcome) {
        let state = self.node(job.node);
        if state.incarnation != job.incarnation || state.life != Life::Up {
            return;
        }
        state.jobs -= 1;
        self.trace
            .add(self.now, TraceKind::JobDone, job.node, job.node, job.id.0);
        self.deliver(job.node, Mail::Job(job.id, Box::new(outcome)));
    }

    pub(crate) fn send_datagram(
        &mut self,
        node: u32,
        to: SocketAddr,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        let Some(from) = self.node(node).local.datagram else {
            return Err(DatagramError::Unsupported);
        };
        if payload.len() > self.config.limits.datagram_bytes_max {
            return Err(DatagramError::TooLarge(payload.len()));
        }
        self.stats.datagrams_sent += 1;
        let Some(target) = self.addresses.get(&to).copied() else {
            self.datagram_lost(node, node, 0);
            return Ok(());
        };
        self.trace.add(
            self.now,
            TraceKind::DatagramSent,
            node,
            target,
            hash_bytes(payload),
        );
        let sent = self.trace.write(self.now, node, || Recorded::DatagramSent {
            to: target,
            bytes: payload.len(),
        });
        let number = self.link(node, target);
        let link = &mut self.links[number as usize];
        if link.is_cut() || link.loses() {
            self.datagram_lost(node, target, sent);
            return Ok(());
        }
        let copies = if link.duplicates() { 2 } else { 1 };
        let payload = Bytes::copy_from_slice(payload);
        let leaves = self.leaves();
        for _ in 0..copies {
            let link = &mut self.links[number as usize];
            let Some(on_the_way) = link.carry_datagram(leaves, payload.len()) else {
                self.datagram_lost(node, target, sent);
                continue;
            };
            let mut payload = payload.clone();
            if let Some(bit) = link.corrupts(payload.len()) {
                payload = with_bit_turned(&payload, bit);
                let kind = TraceKind::DatagramCorrupted;
                self.trace.add(self.now, kind, node, target, bit as u64);
            }
            let index = self.datagrams.insert(Flying {
                target,
                from,
                payload,
                sent,
            });
            let due = leaves.saturating_add(on_the_way);
            self.agenda.add(self.now, due, What::Datagram { index });
        }
        Ok(())
    }

    /// A datagram came due.
    pub(crate) fn datagram_due(&mut self, index: u32) {
        let Some(Flying {
            target,
            from,
            payload,
            sent,
        }) = self.datagrams.take(index)
        else {
            return;
        };
        let sender = self.addresses.get(&from).copied().unwrap_or(target);
        let waiting_max = self.config.datagrams_waiting_max;
        let state = self.node(target);
        if state.life != Life::Up || state.datagrams_waiting >= waiting_max {
            self.datagram_lost(sender, target, sent);
            return;
        }
        state.datagrams_waiting += 1;
        let bytes = payload.len() as u64;
        self.stats.datagrams_arrived += 1;
        self.trace
            .add(self.now, TraceKind::DatagramArrived, target, sender, bytes);
        self.trace
            .write(self.now, target, || Recorded::DatagramArrived {
                from: sender,
                sent,
            });
        self.deliver(target, Mail::Datagram { from, payload });
    }

    fn datagram_lost(&mut self, from: u32, to: u32, sent: u64) {
        self.stats.datagrams_lost += 1;
        self.trace
            .add(self.now, TraceKind::DatagramLost, from, to, 0);
        self.trace.write(self.now, from, || Recorded::DatagramLost {
            to: (to != from || sent > 0).then_some(to),
            sent,
        });
    }
}

fn with_bit_turned(payload: &[u8], bit: usize) -> Bytes {
    let mut bytes = payload.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.into()
}
