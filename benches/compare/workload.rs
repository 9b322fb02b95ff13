//! What passes: the events of each workload, the same for every side and every round.

use std::collections::VecDeque;

use crate::random::{Random, Zipf};

/// Events that are about so many orders.
const KEYS: u32 = 10_000;
/// A copy is one of so many events before it.
const COPIES_WITHIN: usize = 1_000;
/// Pairs that are shuffled with one another: so many, in events twice as many, are the two of a pair apart at most.
const PAIRS_A_BLOCK: u64 = 256;

pub struct Workload {
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    pub keys: Keys,
    pub job: Job,
    /// Bytes of an event, about.
    pub bytes: usize,
    /// Of a hundred events, how many are copies of an earlier one.
    pub copies: u64,
    /// Redis confirms what is on its disk: `appendfsync always` instead of `everysec`.
    pub strict: bool,
    pub ground: Ground,
    /// How many events a side is given compared with the order job, before its speed is known.
    pub share: f64,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Keys {
    Uniform,
    /// The n-th key comes 1/n times as often as the first (s = 1).
    Zipf,
    /// Half of all events are about one key.
    Hot,
    /// Each key has two events, the second of which comes `after` the first; two of five times it arrives before it.
    Pairs,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Job {
    /// State a key, and one emission an event.
    Order,
    /// No state: validated and passed on.
    Pass,
    /// State a key, nothing emitted.
    Fold,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Ground {
    /// NATS JetStream and Redis.
    Servers,
    /// A local channel and the embedded store: `sluice` alone.
    Local,
}

const ORDER: Workload = Workload {
    name: "order",
    about: "400 bytes, 10,000 keys, state and an emission; relaxed",
    keys: Keys::Uniform,
    job: Job::Order,
    bytes: 400,
    copies: 0,
    strict: false,
    ground: Ground::Servers,
    share: 1.0,
};

pub const ALL: [Workload; 10] = [
    ORDER,
    Workload { name: "order-zipf", about: "keys by Zipf, s = 1", keys: Keys::Zipf, ..ORDER },
    Workload { name: "order-strict", about: "`appendfsync always`", strict: true, share: 0.5, ..ORDER },
    Workload { name: "pass", about: "validated and passed on, no state", job: Job::Pass, ..ORDER },
    Workload { name: "fat", about: "16 KiB events", bytes: 16 << 10, share: 0.15, ..ORDER },
    Workload { name: "copies", about: "20 % are copies of another event", copies: 20, ..ORDER },
    Workload {
        name: "after",
        about: "20 % come before what they wait for (only sluice lets them wait)",
        keys: Keys::Pairs,
        share: 0.7,
        ..ORDER
    },
    Workload { name: "hot", about: "half of all events are one key's", keys: Keys::Hot, ..ORDER },
    Workload {
        name: "local",
        about: "local channel, embedded store: validate, handle, commit",
        job: Job::Fold,
        ground: Ground::Local,
        share: 2.0,
        ..ORDER
    },
    Workload { name: "local-order", about: "the order job there: emits, too", ground: Ground::Local, ..ORDER },
];

pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

impl Workload {
    pub fn types(&self) -> &'static [&'static str] {
        match self.keys {
            Keys::Pairs => &["OrderCreated", "OrderPaid"],
            Keys::Uniform | Keys::Zipf | Keys::Hot => &["OrderPlaced"],
        }
    }

    /// Whether each event is answered once: copies are not, and what is local is not seen from outside.
    pub fn can_be_timed(&self) -> bool {
        self.ground == Ground::Servers && self.copies == 0
    }

    /// So many events, or a few more: what waits for another must not be left without it.
    pub fn whole(&self, messages: u64) -> u64 {
        match self.keys {
            Keys::Pairs => messages.next_multiple_of(2 * PAIRS_A_BLOCK),
            Keys::Uniform | Keys::Zipf | Keys::Hot => messages,
        }
    }

    /// Without end; take as many as are wanted.
    pub fn events(&'static self, seed: u64) -> Events {
        Events {
            workload: self,
            random: Random(seed),
            zipf: Zipf::new(if self.keys == Keys::Zipf { KEYS } else { 1 }),
            seen: vec![0; KEYS as usize],
            recent: VecDeque::new(),
            block: Vec::new(),
            pairs: 0,
            next: 0,
            time: jiff::Timestamp::now(),
        }
    }
}

pub struct Events {
    workload: &'static Workload,
    random: Random,
    zipf: Zipf,
    /// Of each key, how many there were.
    seen: Vec<u32>,
    recent: VecDeque<Fact>,
    /// What is left of a block of pairs.
    block: Vec<Fact>,
    pairs: u64,
    next: u64,
    time: jiff::Timestamp,
}

/// What an event says; its bytes follow from it.
#[derive(Clone, Copy)]
struct Fact {
    id: u64,
    key: u64,
    seq: u32,
    kind: &'static str,
}

pub struct Event {
    /// Counted from 0; the event's `id` is `e-` and this number. A copy has its original's.
    pub id: u64,
    pub payload: String,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let copied = !self.recent.is_empty() && self.random.below(100) < self.workload.copies;
        let fact = if copied {
            self.recent[self.random.below(self.recent.len() as u64) as usize]
        } else {
            let fact = self.fresh();
            if self.workload.copies > 0 {
                self.recent.push_back(fact);
                if self.recent.len() > COPIES_WITHIN {
                    self.recent.pop_front();
                }
            }
            fact
        };
        Some(Event { id: fact.id, payload: self.payload(fact) })
    }
}

impl Events {
    fn fresh(&mut self) -> Fact {
        let key = match self.workload.keys {
            Keys::Uniform => self.random.below(KEYS.into()),
            Keys::Zipf => self.zipf.draw(&mut self.random),
            Keys::Hot => match self.random.below(2) {
                0 => 0,
                _ => self.random.below(KEYS.into()),
            },
            Keys::Pairs => return self.of_a_pair(),
        };
        self.seen[key as usize] += 1;
        Fact { key, seq: self.seen[key as usize], kind: "OrderPlaced", id: self.id() }
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn of_a_pair(&mut self) -> Fact {
        if self.block.is_empty() {
            let mut places: Vec<u64> = (0..PAIRS_A_BLOCK).flat_map(|pair| [pair, pair]).collect();
            for at in (1..places.len()).rev() {
                places.swap(at, self.random.below(at as u64 + 1) as usize);
            }
            // Two of five payments come first: of all events, one of five is out of order.
            let paid_first: Vec<bool> = (0..PAIRS_A_BLOCK).map(|_| self.random.below(5) < 2).collect();
            let mut begun = [false; PAIRS_A_BLOCK as usize];
            for pair in places {
                let second = std::mem::replace(&mut begun[pair as usize], true);
                let paid = second != paid_first[pair as usize];
                let (kind, seq) = if paid { ("OrderPaid", 2) } else { ("OrderCreated", 1) };
                let fact = Fact { id: self.id(), key: self.pairs + pair, seq, kind };
                self.block.push(fact);
            }
            self.pairs += PAIRS_A_BLOCK;
            self.block.reverse();
        }
        self.block.pop().expect("it was just filled")
    }

    fn payload(&self, Fact { id, key, seq, kind }: Fact) -> String {
        let mut text = format!(
            r#"{{"id":"e-{id}","type":"{kind}","version":1,"source":"bench","time":"{}","data":{{"order_id":"k{key}","seq":{seq},"amount_cents":{},"currency":"EUR","customer_id":"customer-{key:08}-of-the-benchmark","items":[{{"sku":"A-{}","quantity":{}}}],"notes":""#,
            self.time,
            100 + id % 9_900,
            id % 977,
            1 + id % 5,
        );
        // Not one character over and over: a broker or a store that compresses would have it too easy.
        let mut random = Random(id);
        while text.len() + 3 < self.workload.bytes {
            let word = random.next();
            let room = self.workload.bytes - text.len() - 3;
            text.push_str(&format!("{word:016x}")[..room.min(16)]);
        }
        text.push_str("\"}}");
        text
    }
}
