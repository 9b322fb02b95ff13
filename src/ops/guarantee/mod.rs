//! What a pipeline promises as it is configured, on which assumptions, and what weakens it: from its files alone.
//!
//! One plain sentence each. What `sluice run` warns of at its start in other words would be a second truth, so the
//! sentences that both say are kept where `run` says them.

mod order;

use crate::bus::DELETES_ON_ACK;
use crate::spec::program::{
    Channel, ChannelKind, DurabilityChoice, Envelope, IdentityBy, LocalStream, Pipeline, Program, StoreConfig,
};
use crate::spec::units;
use crate::store::memory::NOTHING_OUTLIVES;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Guarantee {
    pub promised: Vec<String>,
    pub assumed: Vec<String>,
    pub weakened: Vec<String>,
    /// What no file says: the servers do, when they run.
    pub unknown: Vec<String>,
}

impl Guarantee {
    pub fn of(program: &Program, pipeline: &Pipeline) -> Self {
        let mut guarantee = Self::default();
        guarantee.handling(program, pipeline);
        guarantee.order(pipeline);
        guarantee.store(&program.store);
        for name in pipeline.inputs() {
            if let Some(channel) = program.channels.get(&name) {
                guarantee.input(channel, &program.store);
            }
        }
        guarantee.failures(program, pipeline);
        let mut outputs: Vec<&Channel> = Vec::new();
        for name in pipeline.emits.iter().flat_map(|emit| &emit.to).chain(&pipeline.dead_letter) {
            let channel = program.channels.get(name);
            outputs.extend(channel.filter(|channel| outputs.iter().all(|known| known.name != channel.name)));
        }
        for channel in outputs {
            guarantee.output(channel, program, pipeline);
        }
        guarantee
    }

    fn handling(&mut self, program: &Program, pipeline: &Pipeline) {
        let retain = units::show(pipeline.retain);
        let life = match program.store {
            StoreConfig::Memory => " and while the process lives",
            StoreConfig::Embedded | StoreConfig::Redis { .. } => "",
        };
        self.promised.push(format!(
            "within {retain}{life}, the state, emissions and parking of an event take effect together and exactly once, or it is \
             visibly parked, dead, skipped or ignored, with a reason"
        ));
        self.promised.push("no event is acked before all of that is committed".to_owned());
        let unique = match pipeline.identity {
            IdentityBy::SourceAndId => {
                "whoever publishes gives every event an id that its source does not use again for the same key"
            }
            IdentityBy::Id => "whoever publishes gives every event an id that nobody uses again for the same key",
        };
        self.assumed.push(format!("{unique} within {retain}"));
        self.assumed.push(format!(
            "an event arrives within {retain}; what comes later is not handled, but set aside as `beyond_retain`"
        ));
        if let Some(forgotten) = pipeline.retry.outlasts(pipeline.retain) {
            self.weakened.push(format!("{forgotten}: make `idempotency.retain` longer, or the retry schedule shorter"));
        }
        if pipeline.identity == IdentityBy::Id {
            self.weakened.push(
                "`idempotency.by` is `[id]`: of two events with one id and key from different sources, the second is taken for a \
                 duplicate, or for a conflict"
                    .to_owned(),
            );
        }
    }

    fn store(&mut self, store: &StoreConfig) {
        match store {
            StoreConfig::Embedded => {
                self.promised.push(
                    "what the store confirmed outlives a power failure: it is on disk, and one `sluice run` at a time works on it"
                        .to_owned(),
                );
                self.assumed.push(
                    "the disk of this machine keeps what it says it wrote, and is not lost: what the store holds is nowhere else"
                        .to_owned(),
                );
            }
            StoreConfig::Memory => self.weakened.push(format!(
                "{NOTHING_OUTLIVES}; after a restart state is gone, and `sluice run` must be told with `--unknown-position` \
                 whether to go on or to handle everything again"
            )),
            StoreConfig::Redis { durability, .. } => {
                self.promised.push(
                    "of several runners one is active, and another takes over within seven seconds when it dies; the order of a \
                     key is kept"
                        .to_owned(),
                );
                self.assumed
                    .push("the clocks of this machine and of redis agree; they count what `retain` means".to_owned());
                match durability {
                    DurabilityChoice::Strict => self.promised.push(
                        "what the store confirmed outlives a power failure: `durability: strict` refuses a server that does not promise it"
                            .to_owned(),
                    ),
                    DurabilityChoice::Relaxed => self.weakened.push(
                        "`durability: relaxed` accepts that redis loses its last second or two in a power failure or failover: they are \
                         read again from streams that keep their events, and lost with those that do not"
                            .to_owned(),
                    ),
                    DurabilityChoice::Auto => self.unknown.push(
                        "whether what redis confirmed outlives a power failure: with `appendfsync always` it does, with less its last \
                         moments are read again from streams that keep their events; `sluice status` says which"
                            .to_owned(),
                    ),
                }
            }
        }
    }

    fn input(&mut self, channel: &Channel, store: &StoreConfig) {
        let name = &channel.name;
        if matches!(&channel.envelope, Envelope::Map(mapping) if mapping.id.is_none()) {
            self.weakened.push(format!(
                "the `envelope` of `{name}` maps no `id`: a message that is published twice is two events"
            ));
        }
        match &channel.kind {
            ChannelKind::Local(_) => self.promised.push(format!(
                "`{name}` is on this machine's disk and keeps what this pipeline is not done with; full of that, it takes nothing more"
            )),
            ChannelKind::Nats { stream, .. } => {
                self.assumed.push(format!(
                    "the stream `{stream}` of `{name}` keeps its events for longer than any outage lasts"
                ));
                self.unknown.push(format!(
                    "how long the stream `{stream}` of `{name}` keeps its events, and whether it outlives its server (storage, replicas)"
                ));
                let durable = matches!(
                    store,
                    StoreConfig::Embedded | StoreConfig::Redis { durability: DurabilityChoice::Strict, .. }
                );
                if !durable {
                    self.unknown.push(format!(
                        "whether the stream `{stream}` of `{name}` keeps what was acked; if not, `sluice run` warns: {DELETES_ON_ACK}"
                    ));
                }
            }
        }
    }

    fn failures(&mut self, program: &Program, pipeline: &Pipeline) {
        let retry = &pipeline.retry;
        let published = match &pipeline.dead_letter {
            Some(channel) => format!(", and published to `{channel}`"),
            None => String::new(),
        };
        self.promised.push(format!(
            "what cannot be handled is set aside in the store with its reason{published}; where a handler asks for another try, \
             after up to {} runs within {}",
            retry.attempts,
            units::show(retry.longest())
        ));
        if pipeline.dead_letter.is_none() {
            let lost = match program.store {
                StoreConfig::Memory => "is gone with the process",
                StoreConfig::Embedded | StoreConfig::Redis { .. } => "is lost when the store is",
            };
            self.weakened.push(format!("no `dead_letter` channel is named: what is set aside {lost}"));
        }
    }

    fn output(&mut self, channel: &Channel, program: &Program, pipeline: &Pipeline) {
        let name = &channel.name;
        let types: Vec<String> = pipeline
            .emits
            .iter()
            .filter(|emit| emit.to.contains(name))
            .map(|emit| format!("`{}`", emit.event))
            .collect();
        let what = match types.as_slice() {
            [] => "dead letters leave".to_owned(),
            [only] => format!("{only} leaves"),
            several => format!("{} leave", several.join(", ")),
        };
        self.promised
            .push(format!("{what} for `{name}` at least once, key by key in order, under the same id each time"));
        match &channel.kind {
            ChannelKind::Local(local) => {
                self.promised.push(format!("`{name}` drops a second copy while it holds the first"));
                if !is_read(program, local) {
                    self.assumed.push(format!(
                        "whoever wants what is in `{name}` takes it within {}: no pipeline of this project reads it, so older events \
                         make room for newer ones",
                        units::show(local.max_age)
                    ));
                }
            }
            ChannelKind::Nats { stream, create, .. } => {
                let made = if *create { " (2m where `create` made it)" } else { "" };
                self.unknown.push(format!(
                    "the duplicate window of the stream `{stream}` of `{name}`{made}: a copy that is published later than that, after an \
                     outage, is not dropped; make it longer than any outage lasts"
                ));
            }
        }
    }
}

fn is_read(program: &Program, stream: &LocalStream) -> bool {
    let inputs = program.pipelines.iter().flat_map(|pipeline| pipeline.inputs());
    let mut kinds = inputs.filter_map(|name| program.channels.get(&name)).map(|channel| &channel.kind);
    kinds.any(|kind| matches!(kind, ChannelKind::Local(read) if read.stream == stream.stream))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    pub(super) const PIPELINE: &str = "\
pipeline: orders
key: data.order_id
subscriptions:
  - { event: OrderCreated, from: orders, versions: [1], script: state.seen = true }
emits:
  - { event: OrderCreated, version: 1, to: out }
dead_letter: dead
";
    const PROJECT: &str = "\
connections: { nats: { nats: { url: \"nats://127.0.0.1\" } } }
store: { redis: { url: \"redis://127.0.0.1\", durability: strict } }
channels:
  orders: { nats: { stream: ORDERS, subject: orders } }
  out: { nats: { stream: OUT, subject: out } }
  dead: { nats: { stream: DEAD, subject: dead } }
";

    pub(super) fn guarantee(project: &str, pipeline: &str) -> Guarantee {
        let directory = tempfile::tempdir().expect("a directory");
        let schemas = [("schemas/OrderCreated/1.json", "{}"), ("schemas/OrderPaid/1.json", "{}")];
        for (name, text) in [("sluice.yaml", project), ("pipelines/p.yaml", pipeline)].into_iter().chain(schemas) {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            fs::write(path, text).expect("a file");
        }
        let loaded = crate::spec::load_without_environment(directory.path());
        let program = loaded.program.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        Guarantee::of(&program, &program.pipelines[0])
    }

    pub(super) fn says(sentences: &[String], words: &str) -> bool {
        sentences.iter().any(|sentence| sentence.contains(words))
    }

    #[test]
    fn nothing_weakens_the_strongest_configuration() {
        let strong = guarantee(PROJECT, PIPELINE);
        assert_eq!(strong.weakened, Vec::<String>::new());
        for words in
            ["exactly once", "outlives a power failure", "published to `dead`", "`OrderCreated` leaves for `out`"]
        {
            assert!(says(&strong.promised, words), "{words}: {:#?}", strong.promised);
        }
        assert!(says(&strong.unknown, "duplicate window of the stream `OUT`"), "{:#?}", strong.unknown);
        assert!(!says(&strong.unknown, DELETES_ON_ACK), "a strict store loses nothing that was acked");
    }

    #[test]
    fn each_thing_that_weakens_it_is_told() {
        let project = |from: &str, to: &str| {
            assert!(PROJECT.contains(from), "{from}");
            (PROJECT.replace(from, to), PIPELINE.to_owned())
        };
        let pipeline = |from: &str, to: &str| {
            assert!(PIPELINE.contains(from), "{from}");
            (PROJECT.to_owned(), PIPELINE.replace(from, to))
        };
        for ((project, pipeline), words) in [
            (project("durability: strict", "durability: relaxed"), "loses its last second or two"),
            (
                project("{ redis: { url: \"redis://127.0.0.1\", durability: strict } }", "{ memory: {} }"),
                NOTHING_OUTLIVES,
            ),
            (
                project("subject: orders }", "subject: orders }, envelope: { map: { type: { path: .kind } } }"),
                "a message that is published twice is two events",
            ),
            (pipeline("dead_letter: dead\n", ""), "no `dead_letter` channel"),
            (pipeline("dead_letter", "idempotency: { retain: 1m }\ndead_letter"), "forgotten after 1m while"),
            (pipeline("dead_letter", "idempotency: { by: [id] }\ndead_letter"), "from different sources"),
        ] {
            let told = guarantee(&project, &pipeline).weakened;
            assert!(says(&told, words) && told.len() == 1, "{words}: {told:#?}");
        }
    }

    #[test]
    fn what_is_there_without_a_server_is_durable() {
        let embedded = guarantee("", PIPELINE);
        assert_eq!((&embedded.weakened, &embedded.unknown), (&vec![], &vec![]));
        for words in ["it is on disk", "`orders` is on this machine's disk", "`out` drops a second copy"] {
            assert!(says(&embedded.promised, words), "{words}: {:#?}", embedded.promised);
        }
        let unread = "whoever wants what is in `out` takes it within 7d";
        assert!(says(&embedded.assumed, unread), "{:#?}", embedded.assumed);
        let chained = PIPELINE.replace("from: orders", "from: [orders, out]");
        assert!(!says(&guarantee("", &chained).assumed, unread), "a pipeline that reads it holds it back");
    }

    #[test]
    fn what_only_servers_know_is_not_claimed() {
        let auto = guarantee(&PROJECT.replace(", durability: strict", ""), PIPELINE);
        assert!(!says(&auto.promised, "power failure"), "{:#?}", auto.promised);
        assert!(
            says(&auto.unknown, "appendfsync always") && says(&auto.unknown, DELETES_ON_ACK),
            "{:#?}",
            auto.unknown
        );
    }
}
