//! What operators take as it is: the unit, the image, the manifest, the workflows. As far as it can be checked without
//! systemd, Docker, a cluster or GitHub.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;

use crate::cli::sandbox::Sandbox;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn yaml(file: &str) -> Vec<Value> {
    let text = read(file);
    let documents = serde_yaml::Deserializer::from_str(&text).map(Value::deserialize);
    documents.collect::<Result<_, _>>().unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The values of a key of a unit.
fn unit(key: &str) -> Vec<String> {
    let text = read("docs/operate/sluice.service");
    let assignments = text.lines().filter_map(|line| line.split_once('='));
    assignments.filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned()).collect()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.strip_suffix('s').unwrap_or(text).parse().unwrap_or_else(|e| panic!("{text}: {e}")))
}

/// What comes after `--grace`: the last commit, acks of one channel, goodbye.
const AFTERWARDS: Duration = Duration::from_secs(15);

#[test]
fn the_unit_waits_for_readiness_and_for_the_whole_of_a_stop() {
    let [start] = &unit("ExecStart")[..] else { panic!("one command") };
    let words: Vec<&str> = start.split(' ').collect();
    assert_eq!(words[..4], ["/usr/local/bin/sluice", "run", "--project", "/etc/sluice"]);
    let grace = words.iter().position(|word| *word == "--grace").map(|at| seconds(words[at + 1])).unwrap();
    assert_eq!(unit("Type"), ["notify"]);
    assert_eq!(unit("TimeoutStartSec"), ["infinity"]);
    assert!(seconds(&unit("TimeoutStopSec")[0]) > grace + AFTERWARDS);
    // Otherwise the binary would refuse what the unit says.
    Sandbox::empty().sluice(&[&words[1..], &["--help"]].concat()).expect(0);
}

#[test]
fn the_credentials_that_the_documents_read_are_loaded_by_the_unit() {
    let loaded = unit("LoadCredential");
    let loaded: BTreeSet<&str> = loaded.iter().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let text = read("docs/operate/README.md");
    let read =
        text.split("${file:/run/credentials/sluice.service/").skip(1).map(|rest| rest.split('}').next().unwrap());
    let read: Vec<&str> = read.filter(|name| *name != "NAME").collect();
    assert!(!read.is_empty() && read.iter().all(|name| loaded.contains(name)), "{read:?} of {loaded:?}");
}

#[test]
fn the_state_is_where_the_unit_makes_a_directory() {
    let directory = format!("/var/lib/{}", unit("StateDirectory")[0]);
    assert!(read("docs/operate/README.md").contains(&format!("embedded: {{ path: {directory} }}")));
}

struct Manifest {
    config: BTreeMap<String, String>,
    pod: Value,
    set: Value,
}

impl Manifest {
    fn read() -> Self {
        let documents = yaml("docs/operate/kubernetes.yaml");
        let of = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap().clone();
        let (config, set) = (of("ConfigMap"), of("StatefulSet"));
        let pod = set["spec"]["template"]["spec"].clone();
        assert_eq!(volume(&pod, "project")["configMap"]["name"], config["metadata"]["name"]);
        Self { config: serde_json::from_value(config["data"].clone()).unwrap(), pod, set }
    }

    fn container(&self) -> &Value {
        &self.pod["containers"][0]
    }

    /// The project as a kubelet mounts it: a directory named after the time, and links to it.
    fn mounted(&self) -> Sandbox {
        let mut sandbox = Sandbox::empty();
        let mut top = BTreeSet::new();
        let mut left: BTreeSet<&str> = self.config.keys().map(String::as_str).collect();
        for item in volume(&self.pod, "project")["configMap"]["items"].as_array().unwrap() {
            let (key, path) = (item["key"].as_str().unwrap(), item["path"].as_str().unwrap());
            assert!(left.remove(key), "`{key}` is not in the ConfigMap, or mounted twice");
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "no key: {key}");
            top.insert(path.split('/').next().unwrap());
            sandbox = sandbox.file(&format!("..2026_11_21_07_00_00.1/{path}"), &self.config[key]);
        }
        assert!(left.is_empty(), "never mounted: {left:?}");
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, sandbox.path().join(name)).unwrap();
        link("..2026_11_21_07_00_00.1", "..data");
        top.iter().for_each(|name| link(&format!("..data/{name}"), name));
        sandbox
    }
}

fn volume<'p>(pod: &'p Value, name: &str) -> &'p Value {
    let volumes = pod["volumes"].as_array().unwrap();
    volumes.iter().find(|volume| volume["name"] == name).unwrap()
}

#[test]
fn the_project_in_the_manifest_is_sound_as_it_is_mounted() {
    let done = Manifest::read().mounted().sluice(&["lint"]).expect(0);
    assert!(!done.stdout.contains("warning"), "{}", done.stdout);
}

#[test]
fn problems_of_a_mounted_project_name_its_files_and_keep_its_secrets() {
    let mut manifest = Manifest::read();
    let project = manifest.config.get_mut("sluice.yaml").unwrap();
    *project = project.replace("${file:/run/secrets/sluice/admin-token}", "hunter2\", tokn: \"");
    let pipeline = manifest.config.get_mut("pipelines.welcome.yaml").unwrap();
    *pipeline = pipeline.replace("versions: [1]", "versions: [7]");
    let said = manifest.mounted().sluice(&["lint"]).expect(1).stdout;
    assert!(said.contains("--> sluice.yaml:") && said.contains("--> pipelines/welcome.yaml:"), "{said}");
    assert!(said.contains("tokn") && !said.contains("hunter2") && !said.contains("..2026"), "{said}");
}

#[test]
fn the_pod_stops_in_time_and_alone_and_may_do_nothing_else() {
    let manifest = Manifest::read();
    let arguments: Vec<String> = serde_json::from_value(manifest.container()["args"].clone()).unwrap();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Sandbox::empty().sluice(&[&arguments[..], &["--help"]].concat()).expect(0);
    let grace = arguments.iter().position(|word| *word == "--grace").map(|at| seconds(arguments[at + 1])).unwrap();
    let given = manifest.pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(Duration::from_secs(given) > grace + AFTERWARDS);
    assert_eq!(manifest.set["spec"]["replicas"], 1);

    let (pod, container) = (&manifest.pod["securityContext"], &manifest.container()["securityContext"]);
    assert_eq!(pod["runAsNonRoot"], true);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["capabilities"]["drop"][0], "ALL");
    let user = pod["runAsUser"].as_u64().unwrap();
    assert!(read("Dockerfile").contains(&format!("\nUSER {user}:{user}\n")));
}

/// What the project of the manifest refers to is mounted where it says.
#[test]
fn paths_in_the_manifest_agree_with_the_image_and_its_mounts() {
    let manifest = Manifest::read();
    let mounts = manifest.container()["volumeMounts"].as_array().unwrap();
    let at = |name: &str| mounts.iter().find(|mount| mount["name"] == name).unwrap()["mountPath"].as_str().unwrap();
    let (project, image) = (&manifest.config["sluice.yaml"], read("Dockerfile"));
    assert!(project.contains(&format!("embedded: {{ path: {} }}", at("state"))));
    assert!(image.contains(&format!("\nVOLUME {}\n", at("state"))));
    assert!(image.contains(&format!("\nWORKDIR {}\n", at("project"))));
    let items = volume(&manifest.pod, "secrets")["secret"]["items"].as_array().unwrap();
    let secrets: BTreeSet<String> =
        items.iter().map(|item| format!("{}/{}", at("secrets"), item["path"].as_str().unwrap())).collect();
    let read: BTreeSet<String> =
        project.split("${file:").skip(1).map(|rest| rest.split('}').next().unwrap().to_owned()).collect();
    assert_eq!(secrets, read);
}

#[test]
fn the_probes_ask_what_is_answered_where_it_listens() {
    let (_sandbox, running) = Sandbox::small("{ listen: '0.0.0.0:0', token: s3cret }").run_kept();
    running.until_ready();
    let manifest = Manifest::read();
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let get = &manifest.container()[probe]["httpGet"];
        assert_eq!((get["path"].as_str(), get["port"].as_str()), (Some(path), Some("admin")));
        // By the pod's address, which is not loopback, and without the token.
        assert_eq!(running.get(path, &[("Host", "10.1.2.3:7474")]).0, 200);
    }
    let port = manifest.container()["ports"][0]["containerPort"].as_u64().unwrap();
    assert!(manifest.config["sluice.yaml"].contains(&format!("listen: \"0.0.0.0:{port}\"")));
}

#[test]
fn the_image_is_built_from_pinned_bases_and_from_nothing_that_git_ignores() {
    let image = read("Dockerfile");
    let bases: Vec<&str> = image.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    assert_eq!(bases.len(), 2);
    for base in bases {
        let tag = base.split(' ').next().unwrap().split_once(':').map_or("", |(_, tag)| tag);
        assert!(tag.matches('.').count() >= 1 && tag.starts_with(|c: char| c.is_ascii_digit()), "not pinned: {base}");
    }
    let kept_out = read(".dockerignore");
    let no_source = read(".gitignore");
    assert!(no_source.lines().all(|line| kept_out.lines().any(|out| out == line)), "{kept_out}");
}

#[test]
fn image_and_releases_are_built_with_one_toolchain_that_is_new_enough() {
    let release = &yaml(".github/workflows/release.yaml")[0];
    let version = release["env"]["RUST_VERSION"].as_str().unwrap();
    assert!(read("Dockerfile").contains(&format!("FROM rust:{version}-")), "{version}");
    let manifest = read("Cargo.toml");
    let least = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap().trim_matches('"');
    let minor = |version: &str| version.split('.').nth(1).unwrap().parse::<u32>().unwrap();
    assert!(minor(version) >= minor(least), "{version} < {least}");
}

#[test]
fn workflows_run_what_must_hold_and_may_write_only_where_they_release() {
    let (ci, release) = (&yaml(".github/workflows/ci.yaml")[0], &yaml(".github/workflows/release.yaml")[0]);
    let steps = ci["jobs"]["all"]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["run"] == ".ci/run"));
    assert_eq!(release["jobs"]["test"]["uses"], "./.github/workflows/ci.yaml");
    assert_eq!(release["jobs"]["draft"]["needs"], serde_json::json!(["test", "build"]));
    for workflow in [ci, release] {
        assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read" }));
        let jobs = workflow["jobs"].as_object().unwrap();
        let write = jobs.iter().filter(|(_, job)| !job["permissions"].is_null()).map(|(name, _)| name.as_str());
        assert!(write.clone().all(|name| name == "draft"), "{:?}", write.collect::<Vec<_>>());
    }
}

/// Commands of a file that others copy: words, up to a redirection or a pipe.
fn sluice_commands(text: &str) -> Vec<Vec<String>> {
    let starts = text.match_indices("sluice lint").map(|(at, _)| &text[at..]);
    let words = |command: &str| {
        let command = command.lines().next().unwrap().split(['>', '|', '`', '#', ';']).next().unwrap();
        command.split_whitespace().skip(1).map(str::to_owned).collect()
    };
    starts.map(words).collect()
}

#[test]
fn what_lints_for_others_says_what_the_binary_understands() {
    let sandbox = Sandbox::small("{ listen: '127.0.0.1:0' }");
    let workflow = yaml("docs/lint/github.yaml").remove(0);
    let steps = workflow["jobs"]["lint"]["steps"].as_array().unwrap();
    let mut commands: Vec<Vec<String>> =
        steps.iter().filter_map(|step| step["run"].as_str()).flat_map(sluice_commands).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for hook in yaml(".pre-commit-hooks.yaml")[0].as_array().unwrap() {
        assert_eq!(hook["pass_filenames"], false, "a project is linted as a whole");
        commands.extend(sluice_commands(hook["entry"].as_str().unwrap()));
    }
    assert_eq!(commands.len(), 4, "{commands:?}");
    for command in commands {
        sandbox.sluice(&command.iter().map(String::as_str).collect::<Vec<_>>()).expect(0);
    }
}
