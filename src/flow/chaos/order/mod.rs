//! Decisions about order: prerequisites, numbers, holds, and dead letters that block.

mod any;
mod blocked;
mod letters;
mod numbers;
mod prerequisites;
mod reload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Desk, START};
use super::workload::fold::accepting;
use crate::flow::decide::{self, Hurried, Item, Origin, Outcome};
use crate::flow::route::{Route, route};
use crate::schema::Schema;
use crate::script::{Engine, Kind, Source};
use crate::spec::program::{
    Envelope, EventTime, FieldPath, First, Limits, OnDeadPrerequisite, OnFailure, OnTimeout, Pipeline, Resequence,
    Sequence, Subscription,
};
use crate::store::record::{DeadRecord, Wait};
use crate::store::{Range, Store as _};

use Outcome::{Dead, Done, Duplicate, Parked, Skipped};

/// Writes down what it saw, and does what it is told.
const HANDLER: &str = r#"
    if "fail" in event.data && !("mended" in state) { reject("as told"); }
    if "retry" in event.data && ctx.attempt < 2 { retry("as told", "30s"); }
    if "ask" in event.data && !(event.data.ask in (state.types ?? [])) { wait_for(event.data.ask); }
    state.types = (state.types ?? []) + [event.type];
    state.seen = (state.seen ?? []) + [event.id];
"#;

fn path(members: &[&str]) -> FieldPath {
    FieldPath(members.iter().map(ToString::to_string).collect())
}

/// Types `A`, `B` after `A`, and `C` after both.
fn pipeline() -> Pipeline {
    let engine = Engine::new(Limits::default(), Path::new("."));
    let source = Source { file: "h.rhai", text: HANDLER, line_offset: 0 };
    let handler = Arc::new(engine.compile(Kind::Handler, &source).unwrap_or_else(|errors| panic!("{errors:?}")));
    let subscription = |event: &str, after: &[&str]| {
        Arc::new(Subscription {
            event: event.to_owned(),
            from: vec!["in".into()],
            key: path(&["data", "key"]),
            versions: [(1, Arc::new(Schema::compile(&json!(true)).expect("a schema")))].into(),
            upcasts: Default::default(),
            newest: 1,
            after: after.iter().map(ToString::to_string).collect(),
            filter: None,
            handler: Arc::clone(&handler),
        })
    };
    let subscriptions = vec![subscription("A", &[]), subscription("B", &["A"]), subscription("C", &["A", "B"])];
    Pipeline { subscriptions, emits: Vec::new(), ..accepting(&[1]) }
}

fn desk(change: impl FnOnce(&mut Pipeline)) -> Desk {
    let mut pipeline = pipeline();
    change(&mut pipeline);
    Desk::under(pipeline)
}

fn sequenced(first: First) -> impl FnOnce(&mut Pipeline) {
    move |pipeline| {
        pipeline.subscriptions.truncate(1);
        pipeline.sequence = Some(Sequence { by: path(&["data", "seq"]), key: path(&["data", "key"]), first });
    }
}

fn resequenced(pipeline: &mut Pipeline) {
    pipeline.subscriptions.truncate(1);
    pipeline.resequence = Some(Resequence { by: EventTime::Envelope, hold: Duration::from_secs(5) });
}

impl Desk {
    async fn gets(&mut self, n: u64, kind: &str, data: Value) -> Outcome {
        let item = self.made(n, kind, data);
        self.settle(Some(&item)).await.outcomes[0]
    }

    fn made(&self, n: u64, kind: &str, data: Value) -> Item {
        let mut all = json!({ "key": "k" });
        let more = data.as_object().expect("an object").clone();
        let time = more.get("time").cloned();
        all.as_object_mut().expect("an object").extend(more);
        self.event(n, &json!({ "type": kind, "data": all, "time": time }))
    }

    async fn numbered(&mut self, n: u64, seq: i64) -> Outcome {
        self.gets(n, "A", json!({ "seq": seq })).await
    }

    async fn at(&mut self, n: u64, second: u64) -> Outcome {
        self.gets(n, "A", json!({ "time": format!("2026-01-01T00:00:{second:02}Z") })).await
    }

    /// Time passes until the key wants attention, and it gets it.
    async fn when_due(&mut self) -> Vec<Outcome> {
        self.now = self.timer.expect("a timer");
        self.look().await.0
    }

    async fn seen(&self) -> Vec<String> {
        let seen = self.record().await.state.unwrap_or_default()["seen"].clone();
        serde_json::from_value(seen).unwrap_or_default()
    }

    async fn reasons(&self) -> Vec<String> {
        let mut dead = self.dead().await;
        dead.sort_by_key(|letter| letter.position.seq);
        dead.into_iter().map(|letter| letter.failure.reason).collect()
    }

    async fn replay(&mut self, n: u64) -> Outcome {
        let letters = self.store.dead_letters(true).await.expect("it answers");
        let of = |letter: &crate::store::DeadLetter| DeadRecord::decode(&letter.body).expect("readable");
        let (_, letter) = letters.iter().find(|(_, letter)| of(letter).0.position.seq == n).expect("a letter");
        let (record, payload) = of(letter);
        let said: Value = serde_json::from_slice(&payload).expect("JSON");
        let mut item = self.event(n, &said);
        item.origin = Origin::Replay { id: letter.id, generation: letter.generation, record: Box::new(record) };
        self.settle(Some(&item)).await.outcomes[0]
    }

    async fn discard_letter(&mut self, n: u64) {
        let letters = self.store.dead_letters(true).await.expect("it answers");
        let of = |letter: &crate::store::DeadLetter| DeadRecord::decode(&letter.body).expect("readable");
        let (_, letter) = letters.iter().find(|(_, letter)| of(letter).0.position.seq == n).expect("a letter");
        let (record, payload) = of(letter);
        let found = self.found(None, Vec::new()).await.keys.remove(0);
        let (id, what) = ((letter.id, letter.generation), (&record, &payload[..]));
        let group =
            decide::discard_letter(&self.env(), Some((&self.key, &found)), id, what, "no use").expect("readable");
        self.timer = group.touch.as_ref().and_then(|touch| touch.timer);
        assert_eq!(self.commit(group).await, crate::store::Verdict::Committed);
    }

    async fn release(&mut self, n: usize) -> Vec<Outcome> {
        let found = self.found(None, vec![decide::each(None, 100)]).await;
        let parked = found.keys[0].parked[0][n].clone();
        self.hurry(Some(Hurried { mark: parked.mark, attempts: 0, place: parked.place })).await.0
    }

    /// A person sets one of the parked events aside.
    async fn discard_parked(&mut self, n: usize) {
        let mut found = self.found(None, vec![Range { limit: 1, ..decide::line() }, decide::each(None, 100)]).await;
        let mut found = found.keys.remove(0);
        let parked = found.parked.remove(1).remove(n);
        let group = decide::discard(&self.env(), &self.key, &found, &parked, "no use").expect("readable");
        let group = group.expect("something to write");
        self.timer = group.touch.as_ref().and_then(|touch| touch.timer);
        assert_eq!(self.commit(group).await, crate::store::Verdict::Committed);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }
}

const MINUTE: Duration = Duration::from_secs(60);
