//! In which order a pipeline handles events, and how long they wait for each other.

use super::Guarantee;
use crate::spec::program::{
    EventTime, First, OnDeadPrerequisite, OnFailure, OnTimeout, Pipeline, Reorder, Resequence, Sequence, Subscription,
};
use crate::spec::units;

impl Guarantee {
    pub(super) fn order(&mut self, pipeline: &Pipeline) {
        let reorder = &pipeline.reorder;
        match (&pipeline.sequence, &pipeline.resequence) {
            (Some(sequence), _) => self.sequence(sequence, reorder),
            (None, Some(resequence)) => self.resequence(resequence),
            (None, None) => self
                .promised
                .push("events of one key are handled in the order they arrived, keys beside one another".to_owned()),
        }
        for subscription in pipeline.subscriptions.iter().filter(|subscription| !subscription.after.is_empty()) {
            self.after(subscription, reorder);
        }
        if pipeline.on_failure == OnFailure::BlockKey {
            self.promised.push(
                "where an event of a key is set aside, no later one is handled before a person replays or discards it"
                    .to_owned(),
            );
        }
        if !pipeline.waits() {
            return;
        }
        self.assumed.push(format!(
            "no more than {} events of one key wait at a time, and no more bytes than `reorder.max_parked_bytes` says; what \
             comes beyond that, and is not what others wait for, is set aside as `buffer_full`",
            reorder.max_parked_per_key
        ));
        if reorder.on_timeout == OnTimeout::Advance {
            self.weakened.push(format!(
                "`reorder.on_timeout` is `advance`: after {} an event is handled without what it waits for",
                units::show(reorder.timeout)
            ));
        }
        if let Some(forgotten) = reorder.outlasts(pipeline.retain) {
            self.weakened.push(format!("{forgotten}: make `idempotency.retain` longer, or `reorder.timeout` shorter"));
        }
    }

    fn sequence(&mut self, sequence: &Sequence, reorder: &Reorder) {
        let first = match sequence.first {
            First::Any => "whichever comes first".to_owned(),
            First::At(number) => number.to_string(),
        };
        let ends = match reorder.on_timeout {
            OnTimeout::DeadLetter => "then what waits for it is set aside as `gap`",
            OnTimeout::Advance => "then is handled without it",
        };
        self.promised.push(format!(
            "events of one key are handled in the order of `{}`, from {first}, none left out, whatever order they arrive in; for a \
             number that is missing a key waits {}, {ends}",
            sequence.by,
            units::show(reorder.timeout)
        ));
        self.assumed.push(format!(
            "whoever publishes gives the events of a key numbers at `{}` without gaps; what comes with a number that was used \
             is not handled, but set aside",
            sequence.by
        ));
    }

    fn resequence(&mut self, resequence: &Resequence) {
        let (hold, by) = (
            units::show(resequence.hold),
            match &resequence.by {
                EventTime::Envelope => "time".to_owned(),
                EventTime::Path(path) => path.to_string(),
            },
        );
        self.promised.push(format!(
            "events of one key are held for {hold} and handled in the order in which they happened, by `{by}`"
        ));
        self.assumed.push(format!(
            "an event arrives at most {hold} after one of its key that happened later; what comes after that is not handled, \
             but set aside as `late`"
        ));
    }

    fn after(&mut self, subscription: &Subscription, reorder: &Reorder) {
        let wanted: Vec<String> = subscription.after.iter().map(|event| format!("`{event}`")).collect();
        let ends = match reorder.on_timeout {
            OnTimeout::DeadLetter => "then it is set aside as `timeout`",
            OnTimeout::Advance => "then it is handled all the same",
        };
        let dead = match reorder.on_dead_prerequisite {
            OnDeadPrerequisite::Hold => {
                "while one of them is set aside, it waits for a person to replay or discard that"
            }
            OnDeadPrerequisite::DeadLetter => "where one of them is set aside, it is too",
        };
        self.promised.push(format!(
            "`{}` is handled once {} was for its key, whatever order they arrive in: it waits {}, {ends}; {dead}",
            subscription.event,
            wanted.join(" and "),
            units::show(reorder.timeout)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PIPELINE, guarantee, says};

    #[test]
    fn each_order_is_promised_in_its_own_words() {
        let arrival = "in the order they arrived";
        let with = |more: &str| guarantee("", &format!("{PIPELINE}{more}"));
        assert!(says(&with("").promised, arrival));
        for (more, promised, assumed) in [
            (
                "sequence: { by: data.seq }",
                "in the order of `data.seq`, from 1, none left out",
                "numbers at `data.seq`",
            ),
            ("sequence: { by: data.seq, first: any }", "from whichever comes first", "without gaps"),
            (
                "sequence: { by: data.seq }\nreorder: { timeout: 1h }",
                "waits 1h, then what waits for it is set aside as `gap`",
                "no more than 1000 events",
            ),
            ("resequence: { by: time, hold: 5s }", "held for 5s and handled in the order", "at most 5s after"),
            ("resequence: { by: data.at, hold: 5s }", "they happened, by `data.at`", "set aside as `late`"),
        ] {
            let told = with(more);
            assert!(says(&told.promised, promised), "{promised}: {:#?}", told.promised);
            assert!(says(&told.assumed, assumed), "{assumed}: {:#?}", told.assumed);
            assert!(!says(&told.promised, arrival) && told.weakened.is_empty(), "{told:#?}");
        }
        assert!(says(&with("on_failure: block_key").promised, "no later one is handled before a person"));
        assert!(!says(&with("on_failure: continue").promised, "no later one is handled before a person"));
        assert!(!says(&with("").assumed, "buffer_full"), "nothing waits for another");
    }

    #[test]
    fn what_comes_after_what_is_said_for_each_subscription() {
        let second = "  - { event: OrderCreated, from: other, versions: [1], key: data.id, script: state.a = 1 }\n";
        let waiting =
            "  - { event: OrderPaid, from: orders, versions: [1], after: [OrderCreated], script: state.b = 1 }\nemits:";
        let told = |more: &str| {
            let pipeline = PIPELINE.replace("emits:", &format!("{second}{waiting}"));
            guarantee("", &format!("{pipeline}{more}"))
        };
        for (more, words) in [
            ("", "`OrderPaid` is handled once `OrderCreated` was for its key"),
            ("", "waits 10m, then it is set aside as `timeout`"),
            ("", "waits for a person to replay or discard"),
            ("reorder: { timeout: 1h, on_timeout: advance }", "waits 1h, then it is handled all the same"),
            ("reorder: { on_dead_prerequisite: dead_letter }", "where one of them is set aside, it is too"),
        ] {
            let told = told(more);
            assert!(says(&told.promised, words), "{words}: {:#?}", told.promised);
            assert!(
                says(&told.promised, "in the order they arrived") && says(&told.assumed, "buffer_full"),
                "{told:#?}"
            );
        }
    }

    #[test]
    fn what_weakens_order_is_told() {
        for (more, words) in [
            ("reorder: { on_timeout: advance }", "handled without what it waits for"),
            ("reorder: { timeout: 8d }", "may still wait for another for 8d"),
        ] {
            let told = guarantee("", &format!("{PIPELINE}sequence: {{ by: data.seq }}\n{more}")).weakened;
            assert!(says(&told, words) && told.len() == 1, "{words}: {told:#?}");
            let none = guarantee("", &format!("{PIPELINE}{more}")).weakened;
            assert_eq!(none, Vec::<String>::new(), "nothing waits for another");
        }
    }
}
