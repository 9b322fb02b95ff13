//! Batches of some partitions, one after the other: lookup, handle, commit, and off to be published.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use async_nats::Subject;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::Trouble;
use super::super::job::{Emission, State};
use super::Arrival;
use super::out::{Out, Owed};
use super::store::{Change, Found, Partition, Store, Wanted};

/// Most events of a batch.
const BATCH: usize = 1024;
/// How long confirmed entries stand in the outbox when nothing else is committed.
const CLEAR_AFTER: Duration = Duration::from_millis(500);

pub struct Lane {
    store: Store,
    out: Rc<Out>,
    keeps_state: bool,
    partitions: BTreeMap<usize, Partition>,
    nonces: Nonces,
}

/// Part of a batch that is of one partition.
#[derive(Default)]
struct Part<'a> {
    events: Vec<&'a Arrival>,
    marks: Vec<[u8; 16]>,
    keys: Vec<&'a str>,
    /// Where in `keys`.
    places: HashMap<&'a str, usize>,
}

impl Lane {
    pub fn new(store: Store, out: Rc<Out>, keeps_state: bool) -> Self {
        Self { store, out, keeps_state, partitions: BTreeMap::new(), nonces: Nonces::default() }
    }

    /// Reads where a partition stands, and publishes what another process left.
    pub async fn take_over(&mut self, name: &str, number: usize) -> Result<(), Trouble> {
        let (partition, left) = self.store.partition(name, number).await?;
        self.partitions.insert(number, partition);
        let owed = left.into_iter().map(|(at, body)| Owed::read(number, at, body).ok_or("a garbled outbox"));
        let owed = owed.collect::<Result<Vec<_>, _>>()?;
        if owed.is_empty() { Ok(()) } else { self.out.send(owed, Vec::new()).await }
    }

    pub async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) -> Result<(), Trouble> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            match timeout(CLEAR_AFTER, arrivals.recv_many(&mut batch, BATCH)).await {
                Err(_) => self.clear().await?,
                Ok(0) => return Ok(()),
                Ok(_) => self.process(std::mem::take(&mut batch)).await?,
            }
        }
    }

    async fn process(&mut self, batch: Vec<Arrival>) -> Result<(), Trouble> {
        let mut parts = BTreeMap::<usize, Part<'_>>::new();
        for arrival in &batch {
            let part = parts.entry(arrival.partition).or_default();
            part.events.push(arrival);
            part.marks.push(arrival.mark);
            let key = &*arrival.event.data.order_id;
            if self.keeps_state && !part.places.contains_key(key) {
                part.places.insert(key, part.keys.len());
                part.keys.push(key);
            }
        }
        let mut touched: Vec<(usize, &mut Partition)> =
            self.partitions.iter_mut().filter(|(number, _)| parts.contains_key(number)).map(|(n, p)| (*n, p)).collect();
        let wanted = touched.iter().zip(parts.values());
        let wanted: Vec<Wanted<'_>> =
            wanted.map(|((_, at), part)| Wanted { partition: at, keys: &part.keys, marks: &part.marks }).collect();
        let found = self.store.lookup(&wanted).await?;

        let (mut owed, mut changes) = (Vec::with_capacity(batch.len()), Vec::with_capacity(parts.len()));
        for (((number, partition), part), found) in touched.drain(..).zip(parts.values()).zip(found) {
            let mut change = handle(part, found, number, partition.outbox_seq, &mut self.nonces, &mut owed)?;
            change.cleared = self.out.confirmed(number);
            changes.push((partition, change));
        }
        self.store.commit(&mut changes).await?;
        drop(changes);
        let events: Vec<Subject> = batch.into_iter().map(|arrival| arrival.ack).collect();
        // A batch of copies emits nothing.
        if owed.is_empty() {
            self.out.acknowledge(events)
        } else {
            self.out.send(owed, events).await?
        }
        Ok(())
    }

    async fn clear(&mut self) -> Result<(), Trouble> {
        let mut changes = Vec::new();
        for (number, partition) in &mut self.partitions {
            let cleared = self.out.confirmed(*number);
            if !cleared.is_empty() {
                changes.push((partition, Change { cleared, ..Change::default() }));
            }
        }
        if changes.is_empty() { Ok(()) } else { self.store.commit(&mut changes).await }
    }
}

/// Each event that is new, on the state that the one before it left.
fn handle<'a>(
    part: &Part<'a>,
    found: Found,
    number: usize,
    outbox_seq: u64,
    nonces: &mut Nonces,
    owed: &mut Vec<Owed>,
) -> Result<Change<'a>, Trouble> {
    let mut change = Change::default();
    let mut states = Vec::with_capacity(part.keys.len());
    for record in &found.records {
        states.push(match record.as_ref().map(|record| record.split_at(16)) {
            Some((nonce, state)) => (nonce, serde_json::from_slice(state)?, false),
            None => (&[][..], State::default(), false),
        });
    }
    let mut seen = HashSet::with_capacity(part.events.len());
    for (arrival, remembered) in part.events.iter().zip(found.marks) {
        if remembered || !seen.insert(arrival.mark) {
            continue;
        }
        let event = &arrival.event;
        let state = part.places.get(&*event.data.order_id).map(|at| &mut states[*at]);
        let state = state.map(|(_, state, touched)| {
            state.apply(&event.data);
            *touched = true;
            &*state
        });
        let payload = Emission::of(&event.id, event, state).bytes()?.into();
        let at = outbox_seq + change.owed.len() as u64 + 1;
        let one =
            Owed { partition: number, number: at, id: event.id.to_string(), source: event.source.to_string(), payload };
        change.owed.push((at, one.body()));
        change.marks.push((arrival.mark, arrival.status));
        owed.push(one);
    }
    for (key, (nonce, state, _)) in part.keys.iter().zip(&states).filter(|(_, (.., touched))| *touched) {
        change.nonces.extend_from_slice(nonce);
        let mut record = Vec::with_capacity(256);
        record.extend_from_slice(&nonces.fresh());
        serde_json::to_writer(&mut record, state)?;
        change.records.push((key, record));
    }
    Ok(change)
}

/// Sixteen bytes that no other touch of any process has: random ones of this process, then a count.
struct Nonces {
    process: [u8; 8],
    count: u64,
}

impl Default for Nonces {
    fn default() -> Self {
        let mut process = [0; 8];
        process.copy_from_slice(&uuid::Uuid::new_v4().as_bytes()[..8]);
        Self { process, count: 0 }
    }
}

impl Nonces {
    fn fresh(&mut self) -> [u8; 16] {
        self.count += 1;
        let mut nonce = [0; 16];
        nonce[..8].copy_from_slice(&self.process);
        nonce[8..].copy_from_slice(&self.count.to_be_bytes());
        nonce
    }
}
