//! Streamed replies, at both ends.

use monofil_proto::wire::Kind;

use crate::calls::{Answer, Destination, Origin, Served, ServedKey, TaskId};
use crate::component::ReplySource;
use crate::core::{Core, Purpose, Ready, Sender, Task, Timer};
use crate::parcel::Parcel;
use crate::timers::TimerKey;
use crate::{CallError, Name, Payload, Status};

/// A stream that an instance here is producing.
pub(crate) struct ServedStream {
    pub(crate) method: Name,
    pub(crate) origin: Origin,
    pub(crate) sender: Sender,
    /// `None` while its next item is being made.
    pub(crate) source: Option<ReplySource>,
    /// Who made the last item, or makes the next.
    producer: Option<TaskId>,
    /// Ends it at its deadline.
    timer: Option<TimerKey>,
    /// How many more items its reader has room for.
    pub(crate) credit: u32,
    pub(crate) sent: u64,
    /// It has its place in line.
    ready: bool,
    /// Nobody reads it any more, for this reason; an item is still being made.
    given_up: Option<CallError>,
}

/// Says why a call for one answer gets none.
pub(crate) fn not_one_answer(component: &Name, method: &Name) -> String {
    format!("`{method}` of `{component}` answers with a stream, and was called for one answer")
}

impl Core {
    /// Begins to serve a stream that a handler returned.
    pub(crate) fn serve_stream(&mut self, task: &Task, origin: Origin, source: ReplySource) {
        let (method, sender, credit) = (&task.method, &task.sender, task.credit);
        if credit == 0 {
            self.discard(source);
            // Unlike what describes its services, this could only be found out by running it.
            let status = Status::unimplemented(not_one_answer(&sender.component, method));
            self.conclude(&origin, Err(CallError::Remote(status)));
            return;
        }
        if self.streams.len() >= self.limits.streams {
            self.discard(source);
            // Others got there first while this one waited. It has run: that is no rejection any more.
            let error = CallError::Incomplete(self.too_many_streams().to_string());
            self.conclude(&origin, Err(error));
            return;
        }
        let id = self.fresh_id();
        if let Some(key) = origin.served_key() {
            self.set_served(key, Some(Served::Streaming(id)));
        }
        // A reader that is gone may not have said so; it would keep its place for ever.
        let until = sender.deadline;
        let timer = until.map(|until| self.timers.set(until, Timer::Stream(id)));
        let stream = ServedStream {
            method: method.clone(),
            origin,
            sender: sender.clone(),
            source: Some(source),
            producer: None,
            timer,
            credit,
            sent: 0,
            ready: false,
            given_up: None,
        };
        self.streams.insert(id, stream);
        self.turnovers.streams_begun += 1;
        self.stream_ready(id);
    }

    /// Gives a stream its place in line if its reader has room and nobody makes an item already.
    fn stream_ready(&mut self, id: u64) {
        let arrival = self.arrival();
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.credit > 0
            && stream.source.is_some()
            && !stream.ready
        {
            stream.ready = true;
            self.ready.push(arrival, Ready::Stream(id));
        }
    }

    /// Takes the source of a stream whose turn it is, to make an item.
    pub(crate) fn take_source(&mut self, id: u64) -> Option<(ReplySource, Name, Sender)> {
        let stream = self.streams.get_mut(&id)?;
        stream.ready = false;
        let source = stream.source.take()?;
        Some((source, stream.method.clone(), stream.sender.clone()))
    }

    /// An item was made, or there is none left.
    pub(crate) fn stream_item(
        &mut self,
        id: u64,
        source: ReplySource,
        item: Option<Result<Payload, Status>>,
    ) {
        let Some(stream) = self.streams.get_mut(&id) else {
            self.discard(source);
            return;
        };
        stream.source = Some(source);
        if let Some(reason) = stream.given_up.take() {
            self.end_stream(id, Err(reason));
            return;
        }
        let origin = stream.origin;
        let payload = match item {
            Some(Ok(payload)) => payload,
            Some(Err(status)) => return self.end_stream(id, Err(CallError::Remote(status))),
            None => return self.end_stream(id, Ok(())),
        };
        let payload = match self.checked_answer("an item", payload, &origin) {
            Ok(payload) => payload,
            Err(error) => return self.end_stream(id, Err(error)),
        };
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.credit -= 1;
        stream.sent += 1;
        let sent = stream.sent;
        match origin {
            Origin::LocalCall { id: call } => self.item_arrived(None, call, sent, payload),
            Origin::Remote { link, id: call, .. } => {
                let mut item = Parcel::about(Kind::Item, call);
                item.payload = payload;
                item.item = sent;
                if !self.answer_link(link, item, None) {
                    return self.end_stream(id, Err(CallError::Cancelled));
                }
            }
            Origin::LocalCast { .. } => return self.end_stream(id, Err(CallError::Cancelled)),
        }
        self.stream_ready(id);
    }

    /// Ends a stream that is served here.
    pub(crate) fn end_stream(&mut self, id: u64, result: Result<(), CallError>) {
        let Some(mut stream) = self.streams.remove(&id) else {
            return;
        };
        if let Some(source) = stream.source.take() {
            self.discard(source);
        }
        if let Some(timer) = stream.timer {
            self.timers.cancel(timer);
        }
        if let Some(key) = stream.origin.served_key() {
            self.set_served(key, None);
        }
        match (result, &stream.origin) {
            (
                Ok(()),
                &Origin::Remote {
                    link,
                    id: call,
                    sequence,
                    ..
                },
            ) => {
                let mut end = Parcel::about(Kind::End, call);
                end.item = stream.sent;
                self.answer_link(link, end, (sequence > 0).then_some(sequence));
            }
            (Ok(()), Origin::LocalCall { id: call }) => self.stream_ended(*call, stream.sent),
            (Ok(()), origin) => self.conclude(origin, Ok(Payload::default())),
            (Err(error), origin) => self.conclude(origin, Err(error)),
        }
    }

    /// Notes who makes the next item.
    pub(crate) fn stream_produced_by(&mut self, id: u64, producer: TaskId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.producer = Some(producer);
        }
    }

    /// The reader has gone.
    pub(crate) fn cancel_stream(&mut self, id: u64) {
        self.give_stream_up(id, CallError::Cancelled);
    }

    /// The reader waits no longer.
    pub(crate) fn stream_timed_out(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.timer = None;
            let text = format!("`{}` was still streaming at its deadline", stream.method);
            self.give_stream_up(id, CallError::Incomplete(text));
        }
    }

    /// Ends a stream, once the item that is being made is done or given up.
    fn give_stream_up(&mut self, id: u64, reason: CallError) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.source.is_some() {
            self.end_stream(id, Err(reason));
            return;
        }
        stream.given_up.get_or_insert(reason);
        if let Some(producer) = stream.producer {
            self.cancel_task(producer);
        }
        self.cancel_running(|task| task.purpose == Purpose::Produce(id));
    }

    /// The reader has room for more.
    pub(crate) fn stream_credit(&mut self, key: ServedKey, credit: u32) {
        if let Some(Served::Streaming(id)) = self.served_at(key) {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.credit = stream.credit.saturating_add(credit).min(1 << 16);
            }
            self.stream_ready(id);
        }
    }

    /// An item of a stream that was asked for here. `peer` is whom it came from; items are believed only
    /// from where the call went.
    pub(crate) fn item_arrived(
        &mut self,
        peer: Option<usize>,
        id: u64,
        number: u64,
        payload: Payload,
    ) {
        let expected = peer.map_or(Destination::Local, Destination::Peer);
        let Some(call) = self.calls.get_mut(id).filter(|call| {
            // A local stream may produce before its call has noted where it went.
            call.destination == expected || call.destination == Destination::Nowhere
        }) else {
            return;
        };
        let Answer::Stream(stream) = &mut call.answer else {
            return;
        };
        if stream.end.is_some() {
            return;
        }
        let room = stream.items.len() < 2 * crate::calls::STREAM_CREDIT as usize;
        if number != stream.received + 1 || !room {
            let text = format!("item {number} came after item {}", stream.received);
            self.end_call(id, Err(CallError::Incomplete(text)));
            return;
        }
        stream.received = number;
        stream.items.push_back(payload);
        if let Some(waiter) = call.waiter.take() {
            self.wake(waiter);
        }
    }

    /// All items of a stream were sent.
    pub(crate) fn stream_ended(&mut self, id: u64, items: u64) {
        let call = self.calls.get(id);
        let received = match call.map(|call| (&call.answer, &call.heading.method)) {
            Some((Answer::Stream(stream), _)) => stream.received,
            Some((Answer::Pending | Answer::Passed(_), method)) => {
                let text =
                    format!("`{method}` was answered with a stream, for which it did not ask");
                self.close_call(id, Err(CallError::Incomplete(text)));
                return;
            }
            _ => items,
        };
        if received == items {
            self.close_call(id, Ok(None));
        } else {
            let text = format!("{received} of {items} items came");
            self.close_call(id, Err(CallError::Incomplete(text)));
        }
    }

    /// Takes the next item of a stream that was asked for here. `None`: it has ended.
    pub(crate) fn take_item(&mut self, id: u64) -> Option<Result<Payload, CallError>> {
        let call = self.calls.get_mut(id)?;
        let destination = call.destination;
        let Answer::Stream(stream) = &mut call.answer else {
            return None;
        };
        let Some(payload) = stream.items.pop_front() else {
            // After an error there is nothing more.
            return match stream.end.replace(Ok(())) {
                Some(Err(error)) => Some(Err(error)),
                _ => None,
            };
        };
        stream.taken += 1;
        if stream.taken >= crate::calls::STREAM_CREDIT / 2 && stream.end.is_none() {
            let credit = std::mem::take(&mut stream.taken);
            match destination {
                Destination::Peer(peer) => {
                    let mut more = Parcel::about(Kind::Credit, id);
                    more.credit = credit;
                    self.tell_peer(peer, more);
                }
                _ => self.stream_credit(ServedKey { link: None, id }, credit),
            }
        }
        Some(Ok(payload))
    }
}
