//! Streams and consumers that are not as they should be, and what is published to them.

use super::*;

#[tokio::test]
async fn a_missing_stream_is_waited_for_with_a_word_on_how_to_make_it() {
    let nats = Nats::start().await;
    let mut source = nats.source_with(there(&["a.>", "b"]), quick());
    let sink = nats.connection.sink(there(&["b"])).unwrap();
    let error = timeout(SOON, source.next(MANY)).await.expect("an answer").unwrap_err();
    assert!(
        matches!(&error, BusError::Unavailable(why) if why.contains("nats stream add S --subjects='a.>,b'")),
        "{error}"
    );
    assert!(matches!(sink.publish(event("1", "1").into()).await, Err(PublishError::Unconfirmed(_))));
    nats.stream(stream::Config { subjects: vec!["a.>".into(), "b".into()], ..Default::default() }).await;
    publish_stubbornly(&sink, "1").await;
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [1]);
}

#[tokio::test]
async fn a_stream_without_the_subject_is_refused() {
    let nats = Nats::start().await;
    nats.stream(stream::Config { subjects: vec!["orders.*".into()], ..Default::default() }).await;
    for subject in ["orders.>", "other"] {
        let error = nats.source_with(there(&[subject]), quick()).progress().await.unwrap_err();
        assert!(
            matches!(&error, BusError::Refused(why) if why.contains(subject) && why.contains("orders.*")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_consumer_made_by_someone_else_is_refused() {
    let nats = Nats::start().await;
    let stream = nats.stream(stream::Config { subjects: vec!["s".into()], ..Default::default() }).await;
    let name = format!("sluice-p-{CHANNEL}");
    let foreign = consumer::Config { durable_name: Some(name.clone()), ..Default::default() };
    let none = consumer::Config { ack_policy: consumer::AckPolicy::None, ..foreign.clone() };
    let push = consumer::Config { deliver_subject: Some("push".into()), ..foreign.clone() };
    let other = consumer::Config { metadata: [("sluice.pipeline".into(), "other".into())].into(), ..foreign };
    for (config, why) in [(none, "ack policy"), (push, "push consumer"), (other, "another pipeline")] {
        stream.create_consumer(config).await.unwrap();
        let error = nats.source_with(there(&["s"]), quick()).progress().await.unwrap_err();
        assert!(
            matches!(&error, BusError::Refused(text) if text.contains(why) && text.contains("nats consumer rm S")),
            "{error}"
        );
        stream.delete_consumer(&name).await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_that_drifted_is_set_right_and_keeps_its_place() {
    let nats = Nats::start().await;
    let stream = nats.stream(stream::Config { subjects: vec!["a".into(), "b".into()], ..Default::default() }).await;
    let name = format!("sluice-p-{CHANNEL}");
    let drifted = consumer::Config {
        durable_name: Some(name.clone()),
        ack_wait: Duration::from_secs(7),
        max_deliver: 3,
        filter_subject: "a".into(),
        description: Some("kept".into()),
        ..Default::default()
    };
    stream.create_consumer(drifted).await.unwrap();
    let mut source = nats.source_with(there(&["a", "b"]), quick());
    publish(&nats.connection.sink(there(&["b"])).unwrap(), 1, 1).await;
    assert_eq!(seqs(&take(&mut *source, 1, MANY).await), [1]);
    let config = stream.consumer_info(&name).await.unwrap().config;
    assert_eq!((config.ack_wait, config.max_deliver, config.max_ack_pending), (Duration::from_secs(2), -1, 4096));
    assert_eq!((config.filter_subjects, config.description.as_deref()), (vec!["a".into(), "b".into()], Some("kept")));
    assert_eq!(config.metadata.get("sluice.pipeline").map(String::as_str), Some("p"));
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_behind_the_position() {
    let nats = Nats::start().await;
    let sink = nats.connection.sink(channel(&["s"])).unwrap();
    publish(&sink, 1, 5).await;
    let spec = ConsumerSpec { start_after: Some(3), ..suite::spec("p") };
    let mut source = nats.connection.source(channel(&["s"]), spec, quick());
    let taken = take(&mut source, 2, MANY).await;
    ack(&mut source, taken).await;
    let stream = nats.js.get_stream("S").await.unwrap();
    stream.delete_consumer(&format!("sluice-p-{CHANNEL}")).await.unwrap();
    assert_eq!(seqs(&take_stubbornly(&mut source, 2).await), [4, 5]);
}

#[tokio::test]
async fn a_stream_that_ends_before_the_position_is_refused() {
    let nats = Nats::start().await;
    publish(&nats.connection.sink(channel(&["s"])).unwrap(), 1, 2).await;
    let spec = ConsumerSpec { start_after: Some(9), ..suite::spec("p") };
    let error = nats.connection.source(channel(&["s"]), spec, quick()).progress().await.unwrap_err();
    assert!(matches!(&error, BusError::Refused(why) if why.contains("up to 9") && why.contains("at 2")), "{error}");
}

#[tokio::test]
async fn only_the_subjects_of_the_channel_are_delivered_and_read() {
    for retention in [stream::RetentionPolicy::Limits, stream::RetentionPolicy::Interest] {
        let nats = Nats::start().await;
        nats.stream(stream::Config { subjects: vec!["x.>".into()], retention, ..Default::default() }).await;
        let mut source = nats.source_with(there(&["x.a", "x.b.*"]), quick());
        source.progress().await.unwrap();
        for subject in ["x.a", "x.c", "x.b.1", "x.b", "x.a", "x.b.2"] {
            nats.js.publish(subject, "1".into()).await.unwrap().await.unwrap();
        }
        let taken = take(&mut *source, 4, MANY).await;
        assert_eq!(seqs(&taken), [1, 3, 5, 6]);
        let read = read_all(&*source, 1, 6, MANY).await;
        assert_eq!(read, taken.iter().map(|d| d.raw.clone()).collect::<Vec<_>>());
        assert_quiet(&mut *source).await;
    }
}

#[tokio::test]
async fn a_work_queue_is_read_without_taking_from_it() {
    let nats = Nats::start().await;
    let config = stream::Config {
        subjects: vec!["s".into()],
        retention: stream::RetentionPolicy::WorkQueue,
        ..Default::default()
    };
    nats.stream(config).await;
    publish(&nats.connection.sink(there(&["s"])).unwrap(), 1, 30).await;
    let spec = ConsumerSpec { start_after: Some(7), ..suite::spec("p") };
    let mut source = nats.connection.source(there(&["s"]), spec, quick());
    assert!(source.progress().await.unwrap().deletes_on_ack);
    let mut taken = take(&mut source, 30, MANY).await;
    let acked = taken.remove(4);
    ack(&mut source, [acked]).await;
    let read = read_all(&source, 1, 30, Demand { events: 8, ..MANY }).await;
    assert_eq!(read, taken.iter().map(|d| d.raw.clone()).collect::<Vec<_>>());
    ack(&mut source, taken).await;
    assert_eq!(read_all(&source, 1, 30, MANY).await, []);
}

#[tokio::test]
async fn thousands_of_events_are_read_again_quickly_enough_to_recover() {
    let nats = Nats::start().await;
    let source = nats.source_with(channel(&["s"]), quick());
    source.progress().await.unwrap();
    let mut confirms = Vec::new();
    for _ in 0..5000 {
        confirms.push(nats.js.publish("s", "x".repeat(200).into()).await.unwrap().into_future());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    let read =
        timeout(SOON, read_all(&*source, 1, 5000, Demand { events: 512, bytes: 1 << 20 })).await.expect("in time");
    assert_eq!(read.iter().map(|e| e.position.seq).collect::<Vec<_>>(), (1..=5000).collect::<Vec<_>>());
    eventually(SOON, "only our consumer is left", async || {
        let mut stream = nats.js.get_stream("S").await.unwrap();
        stream.info().await.unwrap().state.consumer_count == 1
    })
    .await;
}

#[tokio::test]
async fn an_event_that_the_destination_never_takes_is_refused() {
    let nats = Nats::start().await;
    nats.stream(stream::Config { subjects: vec!["s".into()], max_message_size: 1000, ..Default::default() }).await;
    let sink = nats.connection.sink(there(&["s"])).unwrap();
    for size in [2_000, 2_000_000] {
        let error = sink.publish(event("1", &"x".repeat(size)).into()).await.unwrap_err();
        assert!(matches!(error, PublishError::Refused(_)), "{error}");
    }
    let bad = Headers(vec![("a".into(), "b\nc".into())]);
    let error = sink.publish(Outgoing { headers: bad, ..event("1", "1") }.into()).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
    assert!(sink.max_bytes() < 1000);
    assert!(matches!(nats.connection.sink(there(&["a.*"])), Err(BusError::Refused(_))));
}

#[tokio::test]
async fn a_filled_subject_arrives_in_the_stream() {
    let nats = Nats::start().await;
    let place = channel(&["dead.{pipeline}.{key}"]);
    let sink = nats.connection.sink(place.clone()).unwrap();
    let subject = sink.subject("p", "T", "a b.c").unwrap();
    sink.publish(Outgoing { subject, ..event("1", "1") }.into()).await.unwrap();
    let message = nats.js.get_stream("S").await.unwrap().get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), "dead.p.a%20b%2Ec");
    assert_eq!(seqs(&take(&mut *nats.source_with(place, quick()), 1, MANY).await), [1]);
    let error = sink.publish(event("2", "2").into()).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused(_)), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_refused_and_right_ones_accepted() {
    let server = NatsServer::with_config("authorization { user: me, password: \"p@ss\" }");
    let at = server.url().replace("nats://", "");
    let wrong = NatsAuth::User { user: "me".into(), password: "nonsense".into() };
    let connection = Connection::open("nats", &settings(&server.url(), wrong)).await.unwrap();
    let source = connection.source(channel(&["s"]), suite::spec("p"), quick());
    let error = source.progress().await.unwrap_err();
    assert!(matches!(&error, BusError::Refused(why) if why.contains("credentials") && !why.contains("nonsense")));
    let right = NatsAuth::User { user: "me".into(), password: "p@ss".into() };
    for settings in [settings(&server.url(), right), settings(&format!("nats://me:p%40ss@{at}"), NatsAuth::None)] {
        let connection = Connection::open("nats", &settings).await.unwrap();
        publish(&connection.sink(channel(&["s"])).unwrap(), 1, 1).await;
    }
}
