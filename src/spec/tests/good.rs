use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::program::{
    ChannelKind, DurabilityChoice, Envelope, FieldPath, IdentityBy, LocalStream, MappedText, MappedVersion,
    MappingPath, NatsAuth, Piece, StoreConfig, UnknownVersion,
};
use super::*;

#[test]
fn the_shortest_pipeline_gets_every_default() {
    let program = Project::new().program();
    let pipeline = &program.pipelines[0];
    assert_eq!((&*pipeline.name, pipeline.partitions, pipeline.file.as_str()), ("orders", 16, "pipelines/p.yaml"));
    assert_eq!((pipeline.retain, pipeline.identity), (Duration::from_secs(604_800), IdentityBy::SourceAndId));
    let retry = pipeline.retry;
    assert_eq!((retry.attempts, retry.first, retry.max), (5, Duration::from_secs(5), Duration::from_secs(3600)));
    assert_eq!(pipeline.dead_letter, None);
    assert_eq!(pipeline.subscriptions[0].key, FieldPath(vec!["data".into(), "order_id".into()]));
    assert!(matches!(program.store, StoreConfig::Embedded) && program.data.ends_with(".sluice"));
    let ChannelKind::Local(orders) = &program.channels["orders"].kind else { panic!("{:?}", program.channels) };
    assert_eq!((orders.stream.as_str(), orders.subjects.as_slice()), ("orders", ["orders".to_owned()].as_slice()));
    assert!(program.admin.is_none());
    assert_eq!(program.revision.len(), 12);
}

#[test]
fn a_missing_project_file_and_an_empty_one_are_the_same() {
    assert!(Project::new().without("sluice.yaml").load().diagnostics.is_empty());
    assert!(Project::new().with("sluice.yaml", "\u{feff}# nothing\r\n").load().diagnostics.is_empty());
}

#[test]
fn settings_of_a_pipeline_win_over_the_defaults_one_by_one() {
    let program = Project::new()
        .with("sluice.yaml", "defaults: { retry: { attempts: 9, first: 1s }, dead_letter: dead, slo: { lag: 5s } }\n")
        .and("retry: { first: 2s }\nidempotency: { by: [id], retain: 30d }\nslo: { lag: 1m }\n")
        .program();
    let pipeline = &program.pipelines[0];
    assert_eq!((pipeline.retry.attempts, pipeline.retry.first), (9, Duration::from_secs(2)));
    assert_eq!(pipeline.dead_letter.as_deref(), Some("dead"));
    assert_eq!((pipeline.lag_slo, pipeline.identity), (Some(Duration::from_secs(60)), IdentityBy::Id));
    assert!(program.channels.contains_key("dead"));
}

#[test]
fn everything_the_project_file_knows_is_read() {
    let project = Project::new().with(
        "sluice.yaml",
        "\
format: 1
connections:
  main: { nats: { url: \"nats://${HOST}:4222\", user: me, password: \"${PASSWORD}\" } }
  other: { nats: { url: \"tls://other\", creds: my.creds, tls: { required: true, ca: ca.pem } } }
store: { redis: { url: \"${REDIS:-redis://127.0.0.1}\", durability: strict } }
channels:
  orders: { nats: { connection: main, stream: ORDERS, subjects: [\"orders.>\"], create: true }, envelope: cloudevents-binary }
  here: { local: { stream: all, subjects: [\"here.>\"], max_bytes: 2MiB, max_age: 1h } }
admin: { listen: \"localhost:9000\", token: \"${file:token}\" }
",
    );
    let project = project.with("my.creds", "").with("ca.pem", "").with("token", "s3cret\n");
    let loaded = project.load_in(&[("HOST", "h"), ("PASSWORD", "pw")]);
    let shown = shown(&loaded);
    let program = loaded.program.unwrap_or_else(|| panic!("{shown}"));
    let main = &program.connections["main"];
    assert_eq!(main.url.expose_secret(), "nats://h:4222");
    assert!(
        matches!(&main.auth, NatsAuth::User { user, password } if user == "me" && password.expose_secret() == "pw")
    );
    let other = &program.connections["other"];
    assert!(matches!(&other.auth, NatsAuth::Creds(path) if path.ends_with("my.creds")) && other.tls.required);
    let StoreConfig::Redis { url, durability } = &program.store else { panic!("{:?}", program.store) };
    assert_eq!((url.expose_secret(), *durability), ("redis://127.0.0.1", DurabilityChoice::Strict));
    assert_eq!(program.channels["orders"].envelope, Envelope::CloudEventsBinary);
    let ChannelKind::Local(here) = &program.channels["here"].kind else { panic!("{:?}", program.channels) };
    let (stream, subjects) = ("all".to_owned(), vec!["here.>".to_owned()]);
    assert_eq!(*here, LocalStream { stream, subjects, max_bytes: 2 << 20, max_age: Duration::from_secs(3600) });
    let admin = program.admin.as_ref().expect("admin");
    assert_eq!((admin.listen.port(), admin.token.as_ref().expect("a token").expose_secret()), (9000, "s3cret"));
    assert!(!format!("{program:?}").contains("s3cret"));
}

#[test]
fn an_envelope_may_map_somebody_elses_messages() {
    let project = Project::new().with(
        "sluice.yaml",
        "\
channels:
  full:
    local: {}
    envelope:
      map:
        id: { path: headers.X-GitHub-Delivery }
        type: { template: \"PullRequest.{data.action}\" }
        version: { path: .v }
        source: { value: github }
        time: { path: .pull_request.updated_at }
        data: { path: .pull_request }
  orders: { local: {}, envelope: { map: { type: { value: OrderCreated } } } }
defaults: { dead_letter: full }
",
    );
    let program = project.program();
    let Envelope::Map(full) = &program.channels["full"].envelope else { panic!("a map") };
    assert_eq!(full.id, Some(MappedText::Path(MappingPath::Header("X-GitHub-Delivery".into()))));
    let action = Piece::Path(MappingPath::Data(vec!["action".into()]));
    assert_eq!(full.kind, MappedText::Template(vec![Piece::Literal("PullRequest.".into()), action]));
    assert_eq!(full.version, MappedVersion::Read(MappedText::Path(MappingPath::Payload(vec!["v".into()]))));
    assert_eq!(full.source, Some(MappedText::Value("github".into())));
    assert_eq!(full.data, ["pull_request"]);
    let Envelope::Map(least) = &program.channels["orders"].envelope else { panic!("a map") };
    assert_eq!((&least.id, &least.source, &least.time), (&None, &None, &None));
    assert_eq!((&least.version, least.data.len()), (&MappedVersion::Value(1), 0));
}

#[test]
fn an_unknown_version_dies_unless_it_may_wait() {
    let of = |project: Project| project.program().pipelines[0].unknown_version;
    let waits = || Project::new().with("sluice.yaml", "defaults: { unknown_version: park }\n");
    assert_eq!(of(Project::new()), UnknownVersion::DeadLetter);
    assert_eq!(of(waits()), UnknownVersion::Park);
    assert_eq!(of(waits().and("unknown_version: dead_letter\n")), UnknownVersion::DeadLetter);
    assert_eq!(of(Project::new().and("unknown_version: park\n")), UnknownVersion::Park);
}

#[test]
fn without_an_environment_nothing_of_it_is_missing() {
    let project = Project::new().with(
        "sluice.yaml",
        "connections:\n  a: { nats: { url: \"${URL}\", creds: \"/run/none.creds\" } }\n\
         store: { redis: { url: \"${R}\" } }\n\
         channels:\n  orders: { nats: { stream: \"${S}\", subject: \"${T}\" } }\n\
         admin: { listen: \"${L}\", token: \"${file:/run/none}\" }\n\
         defaults: { retry: { first: \"${F}\" } }\n",
    );
    let directory = project.write();
    let loaded = load_without_environment(directory.path());
    assert!(loaded.diagnostics.is_empty(), "{}", shown(&loaded));
    assert!(loaded.program.is_some());
    assert!(project.load().program.is_none());
}

#[test]
fn versions_are_upcast_to_the_next_accepted_one() {
    let program = Project::new()
        .with("schemas/OrderCreated/5.json", "{}")
        .with("pipelines/up/a.rhai", "data = event.data;")
        .swap("[1]", "[5, 1, 2]\n    upcast: { 1: up/a.rhai, 2: up/a.rhai }")
        .program();
    let subscription = &program.pipelines[0].subscriptions[0];
    assert_eq!((subscription.newest, subscription.versions.len()), (5, 3));
    assert_eq!((subscription.upcasts[&1].to, subscription.upcasts[&2].to), (2, 5));
}

#[test]
fn scripts_and_filters_may_stand_in_the_file_itself() {
    let inline = "where: event.data.total > 0\n    script: |\n      let x = 1;\n      state.total = x;\n";
    let program = Project::new().swap("handler: h.rhai\n", inline).program();
    assert!(program.pipelines[0].subscriptions[0].filter.is_some());
}

#[test]
fn scenario_files_are_no_pipelines() {
    let program = Project::new().with("pipelines/p.test.yaml", "pipelines: [p.yaml]\n").program();
    assert_eq!(program.pipelines.len(), 1);
}

#[test]
fn the_revision_follows_imported_modules_too() {
    let revision = |module: &str| {
        let project = Project::new()
            .with("pipelines/h.rhai", "import \"lib/m\" as m;\nstate.x = m::one();\n")
            .with("pipelines/lib/m.rhai", module);
        project.program().revision
    };
    assert_eq!(revision("fn one() { 1 }"), revision("fn one() { 1 }"));
    assert_ne!(revision("fn one() { 1 }"), revision("fn one() { 2 }"));
}

#[test]
fn scripts_and_schemas_are_compiled_once() {
    let program = Project::new().with("pipelines/q.yaml", PIPELINE.replace("orders\nkey", "second\nkey")).program();
    let [first, second] = program.pipelines.as_slice() else { panic!("two pipelines") };
    let (first, second) = (&first.subscriptions[0], &second.subscriptions[0]);
    assert!(std::sync::Arc::ptr_eq(&first.handler, &second.handler));
    assert!(std::sync::Arc::ptr_eq(&first.versions[&1], &second.versions[&1]));
}
