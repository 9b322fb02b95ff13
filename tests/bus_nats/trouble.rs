//! Connections that break, brokers that die, freeze and come back, events that cannot be received.

use super::*;

/// Waits until the source says that something may be lost, which must come before any delivery.
async fn until_told(source: &mut dyn Source) {
    let told = async {
        loop {
            match source.next(MANY).await {
                Err(BusError::Unavailable(_)) => {}
                Err(BusError::Lapsed(_)) => return,
                other => panic!("{other:?} came first"),
            }
        }
    };
    timeout(Duration::from_secs(30), told).await.expect("a word on what may be lost");
}

#[tokio::test]
async fn what_a_broken_connection_took_with_it_is_told_before_anything_new() {
    // Asked at once, and only when the connection is back and something new was delivered over it.
    for late in [false, true] {
        let nats = Nats::start().await;
        let proxy = Proxy::start(nats.server.port).await;
        let connection = connect(&format!("nats://127.0.0.1:{}", proxy.port())).await;
        let mut source = connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
        let sink = nats.connection.sink(channel(&["s"])).unwrap();
        publish(&sink, 1, 1).await;
        // Leaves a request for many open; settling would take it back.
        let taken = take_stubbornly(&mut source, 1).await;
        taken.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
        eventually(SOON, "an ack", async || source.progress().await.unwrap().ack_floor == 1).await;

        proxy.hold_replies();
        publish(&sink, 2, 2).await;
        let its = nats.connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
        eventually(SOON, "a delivery into the void", async || its.progress().await.unwrap().delivered == 3).await;
        let connections = proxy.connections();
        proxy.cut();
        proxy.let_go();
        if late {
            eventually(SOON, "both links", async || proxy.connections() == connections + 2).await;
            source.progress().await.unwrap();
        }
        publish(&sink, 4, 1).await;
        if late {
            // The request of the old connection may be served over the new one, or be forgotten: both happen.
            let _ = timeout(Duration::from_millis(500), async { while its.progress().await.unwrap().delivered < 4 {} })
                .await;
        }

        until_told(&mut source).await;
        let progress = source.progress().await.unwrap();
        assert!(progress.ack_floor == 1 && progress.delivered >= 3, "{progress:?}");
        let (again, _) = source.read(2, progress.delivered, MANY).await.unwrap();
        let again: Vec<u64> = again.iter().map(|event| event.position.seq).collect();
        assert_eq!(again, (2..=progress.delivered).collect::<Vec<_>>());
        // Asked at once, the server may not have noticed the cut and have sent this one after the others.
        if late || progress.delivered == 3 {
            assert_eq!(seqs(&take(&mut source, 1, MANY).await), [4]);
        }
    }
}

#[tokio::test]
async fn an_event_whose_headers_break_the_connection_is_read_apart() {
    let nats = Nats::start().await;
    let sink = nats.connection.sink(channel(&["s"])).unwrap();
    publish(&sink, 1, 1).await;
    nats.server.publish_raw("s", b"NATS/1.0\r\nContent Type: x", "two");
    nats.server.publish_raw("s", b"NATS/1.0\r\na: \xff", "three");
    publish(&sink, 4, 1).await;
    let source = nats.connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
    let (mut next, mut events) = (1, Vec::new());
    let all = async {
        while next <= 4 {
            if let Ok((read, then)) = source.read(next, 4, MANY).await {
                events.extend(read);
                next = then;
            }
        }
    };
    timeout(SOON, all).await.expect("all four");
    assert_eq!(events.iter().map(|event| event.position.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!((events[1].headers.get("Content Type"), &events[1].payload[..]), (Some("x"), &b"two"[..]));
    assert_eq!((events[2].headers.get("a"), &events[2].payload[..]), (Some("\u{fffd}"), &b"three"[..]));
}

#[tokio::test]
async fn an_event_that_cannot_be_received_is_delivered_all_the_same_held_and_acked() {
    for retention in [stream::RetentionPolicy::Limits, stream::RetentionPolicy::WorkQueue] {
        let nats = Nats::start().await;
        let stream = nats.stream(stream::Config { subjects: vec!["s".into()], retention, ..Default::default() }).await;
        let sink = nats.connection.sink(there(&["s"])).unwrap();
        publish(&sink, 1, 1).await;
        nats.server.publish_raw("s", b"NATS/1.0\r\nContent Type: x", "two");
        publish(&sink, 3, 1).await;
        let mut source = nats.source_with(there(&["s"]), quick());
        let mut held = Vec::new();
        let all = async {
            while !(1..=3).all(|seq| seqs(&held).contains(&seq)) {
                match source.next(MANY).await {
                    Ok(deliveries) => held.extend(deliveries),
                    // As the flow does: whatever was delivered is read again.
                    Err(_) => {
                        let last = source.progress().await.map_or(0, |progress| progress.delivered);
                        let _ = source.read(1, last, MANY).await;
                    }
                }
            }
        };
        timeout(SOON, all).await.expect("all three");
        let two = held.iter().find(|delivery| delivery.raw.position.seq == 2).unwrap();
        assert_eq!((two.redelivered, &two.raw.payload[..]), (true, &b"two"[..]));
        // Longer than the ack wait: were it not kept alive, it would be delivered, and break the connection.
        let quiet = timeout(quick().ack_wait * 3 / 2, source.next(MANY)).await;
        assert!(quiet.is_err(), "{quiet:?}");
        ack(&mut *source, held).await;
        eventually(SOON, "three acks", async || source.progress().await.is_ok_and(|p| p.ack_floor == 3)).await;
        let left = stream.get_info().await.unwrap().state.messages;
        assert_eq!(left, if retention == stream::RetentionPolicy::WorkQueue { 0 } else { 3 });
    }
}

#[tokio::test]
async fn an_event_that_looks_like_a_status_is_delivered() {
    let nats = Nats::start().await;
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 1).await;
    nats.server.publish_raw("s", b"NATS/1.0 503 nobody\r\na: b", "two");
    let mut source = nats.source_with(channel(&["s"]), quick());
    let taken = take(&mut *source, 2, MANY).await;
    assert_eq!((taken[1].raw.headers.get("a"), &taken[1].raw.payload[..]), (Some("b"), &b"two"[..]));
    let read = read_all(&*source, 1, 2, MANY).await;
    assert_eq!(read, taken.iter().map(|delivery| delivery.raw.clone()).collect::<Vec<_>>());
}

#[tokio::test]
async fn source_and_sink_go_on_by_themselves_when_the_broker_was_killed() {
    let mut nats = Nats::start().await;
    let (sink, mut source) =
        (nats.connection.sink(channel(&["s"])).unwrap(), nats.source_with(channel(&["s"]), quick()));
    publish(&sink, 1, 3).await;
    let taken = take(&mut *source, 3, MANY).await;
    ack(&mut *source, taken).await;

    nats.server.kill9();
    let died = timeout(SOON, source.next(MANY)).await.expect("an answer");
    assert!(matches!(died, Err(BusError::Unavailable(_))));
    assert!(matches!(sink.publish(event("id-4", "4").into()).await, Err(PublishError::Unconfirmed(_))));
    nats.server.restart();

    publish_stubbornly(&sink, "id-4").await;
    let taken = take_stubbornly(&mut *source, 1).await;
    assert_eq!(taken.last().unwrap().raw.position.seq, 4);
    ack(&mut *source, taken).await;
    assert_eq!(source.progress().await.unwrap().ack_floor, 4);
}

#[tokio::test]
async fn nothing_is_lost_when_the_broker_is_killed_under_load() {
    let mut nats = Nats::start().await;
    let sink = nats.connection.sink(channel(&["s"])).unwrap();
    let mut source = nats.source_with(channel(&["s"]), quick());
    let publishing = tokio::spawn(async move {
        for number in 0..600 {
            publish_stubbornly(&sink, &format!("e{number}")).await;
        }
    });
    let mut payloads = std::collections::BTreeSet::new();
    for kill_at in [150, 300, 600] {
        while payloads.len() < kill_at {
            for delivery in take_stubbornly(&mut *source, 1).await {
                payloads.insert(delivery.raw.payload.clone());
                delivery.responder.ack(suite::receipt());
            }
        }
        if kill_at < 600 {
            nats.server.kill9();
            nats.server.restart();
        }
    }
    publishing.await.unwrap();
    ack_until(&mut *source, 600).await;
    assert_eq!(source.progress().await.unwrap().last, 600, "each was stored once");
}

#[tokio::test]
async fn acks_given_while_the_broker_is_down_are_confirmed_when_it_is_back() {
    let mut nats = Nats::start().await;
    let (sink, mut source) =
        (nats.connection.sink(channel(&["s"])).unwrap(), nats.source_with(channel(&["s"]), quick()));
    publish(&sink, 1, 3).await;
    let taken = take(&mut *source, 3, MANY).await;
    nats.server.kill9();
    taken.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
    assert_eq!(source.settle(Duration::from_millis(100)).await, 3);
    nats.server.restart();
    ack_until(&mut *source, 3).await;
    assert_eq!(source.settle(SOON).await, 0);
}

/// Only the last of acks that go together asks for a confirmation.
#[tokio::test]
async fn acks_that_a_broken_connection_lost_before_the_last_one_are_sent_again() {
    let nats = Nats::start().await;
    let proxy = Proxy::start(nats.server.port).await;
    let connection = connect(&format!("nats://127.0.0.1:{}", proxy.port())).await;
    let mut source = connection.source(channel(&["s"]), suite::spec("p"), Tuning::default());
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 200).await;
    let taken = take_stubbornly(&mut source, 200).await;
    // Some sixty acks have room.
    proxy.cut_after(4_000);
    taken.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
    assert_eq!(source.settle(SOON).await, 0);
    // Those that are not acked now come again after the ack wait of 30 s, which nothing here waits for.
    let consumer = nats.js.get_stream("S").await.unwrap().consumer_info(&format!("sluice-p-{CHANNEL}")).await.unwrap();
    assert_eq!((consumer.ack_floor.stream_sequence, consumer.num_ack_pending), (200, 0));
}

/// Goes on pulling and acking until the floor is there. A killed server may have forgotten that it delivered, or
/// that it confirmed an ack: then it takes no notice of acks until it delivered again.
async fn ack_until(source: &mut dyn Source, floor: u64) {
    let start = std::time::Instant::now();
    while !source.progress().await.is_ok_and(|p| p.ack_floor == floor) {
        assert!(start.elapsed() < Duration::from_secs(30), "the floor does not rise");
        if let Ok(Ok(batch)) = timeout(Duration::from_millis(100), source.next(MANY)).await {
            batch.into_iter().for_each(|d| d.responder.ack(suite::receipt()));
        }
    }
}

#[tokio::test]
async fn a_broker_that_comes_up_late_is_waited_for() {
    let mut nats = Nats::start().await;
    nats.server.kill9();
    let connection = connect(&nats.server.url()).await;
    let mut source = connection.source(channel(&["s"]), suite::spec("p"), quick());
    let error = source.progress().await.unwrap_err();
    assert!(matches!(&error, BusError::Unavailable(why) if why.contains("`nats`")), "{error}");
    nats.server.restart();
    let sink = connection.sink(channel(&["s"])).unwrap();
    publish_stubbornly(&sink, "id-1").await;
    assert_eq!(seqs(&take_stubbornly(&mut source, 1).await), [1]);
}

#[tokio::test]
async fn a_frozen_broker_is_an_error_that_passes() {
    let nats = Nats::start().await;
    let (sink, mut source) =
        (nats.connection.sink(channel(&["s"])).unwrap(), nats.source_with(channel(&["s"]), quick()));
    publish(&sink, 1, 1).await;
    let taken = take(&mut *source, 1, MANY).await;
    ack(&mut *source, taken).await;
    nats.server.sigstop();
    let frozen = timeout(Duration::from_secs(15), source.next(MANY)).await.expect("an answer");
    assert!(matches!(frozen, Err(BusError::Unavailable(_))));
    nats.server.sigcont();
    publish_stubbornly(&sink, "id-2").await;
    until_told(&mut *source).await;
    assert_eq!(seqs(&take_stubbornly(&mut *source, 1).await), [2]);
}

#[tokio::test]
async fn a_held_delivery_is_not_handed_out_again_after_the_ack_wait() {
    let nats = Nats::start().await;
    let tuning = Tuning { ack_wait: Duration::from_millis(600), ..quick() };
    let mut source = nats.source_with(channel(&["s"]), tuning);
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 2).await;
    let held = take(&mut *source, 2, MANY).await;
    // Four ack waits.
    let more = timeout(Duration::from_millis(2400), source.next(MANY)).await;
    assert!(more.is_err(), "{more:?}");
    ack(&mut *source, held).await;
    assert_eq!(source.progress().await.unwrap().ack_floor, 2);
}
