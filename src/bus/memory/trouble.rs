//! What brokers do to those on them, and what operators do to brokers, when a test says so.

use super::MemoryBus;
use crate::event::ChannelName;

impl MemoryBus {
    /// From now on the channel deletes an event when any consumer acks it, as a work queue does.
    pub fn delete_on_ack(&self, channel: &ChannelName) {
        self.lock().entry(channel.clone()).or_default().deletes_on_ack = true;
    }

    /// Takes an event out of the stream, which leaves a gap.
    pub fn delete(&self, channel: &str, seq: u64) {
        if let Some(channel) = self.lock().get_mut(channel) {
            channel.delete(seq);
        }
    }

    /// What a broker does after its consumers died: all that is held is handed out again. Acks of the deliveries
    /// before still count, as a broker takes them; handing one of those back does nothing.
    pub fn redeliver_all(&self) {
        for channel in self.lock().values_mut() {
            for consumer in channel.consumers.values_mut() {
                consumer.returned.extend(std::mem::take(&mut consumer.held).into_keys());
            }
            channel.serve_left_open();
        }
        self.shared.changed.notify_waiters();
    }

    /// What a broker does whose ack of an event did not last: it is handed out again, whoever holds it.
    pub fn bring_back(&self, pipeline: &str, channel: &str, seq: u64) {
        if let Some(consumer) = self.lock().get_mut(channel).and_then(|channel| channel.consumers.get_mut(pipeline)) {
            consumer.held.remove(&seq);
            consumer.returned.insert(seq);
        }
        self.shared.changed.notify_waiters();
    }

    /// The last sequence that a consumer was handed, 0 without any.
    pub fn delivered(&self, pipeline: &str, channel: &str) -> u64 {
        let channels = self.lock();
        let consumer = channels.get(channel).and_then(|channel| channel.consumers.get(pipeline));
        consumer.map_or(0, |consumer| consumer.delivered)
    }

    /// A runner that died or froze left a request open: the next `count` deliveries to its pipeline go there.
    pub fn leave_open(&self, pipeline: &str, channel: &str, count: usize) {
        if let Some(channel) = self.lock().get_mut(channel) {
            if let Some(consumer) = channel.consumers.get_mut(pipeline) {
                consumer.left_open += count;
            }
            channel.serve_left_open();
        }
    }

    /// Requests that were left open run out, and the ack wait of what they took is over: it is handed out again.
    pub fn return_astray(&self) {
        for consumer in self.lock().values_mut().flat_map(|channel| channel.consumers.values_mut()) {
            consumer.left_open = 0;
            for (seq, delivery) in std::mem::take(&mut consumer.astray) {
                consumer.hand_back(seq, delivery);
            }
        }
        self.shared.changed.notify_waiters();
    }

    /// From now on a channel stores again what was published before: its window of ids is over.
    pub fn forget_published(&self, channel: &str) {
        if let Some(channel) = self.lock().get_mut(channel) {
            channel.published.clear();
            channel.published_order.clear();
        }
    }
}
