//! docker/kubernetes.yaml: that its objects fit together, and what it says of Lakefeed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::compose::services;
use crate::{assert_known, check_files, list, listener_port, number, shutdown_ms, texts, yaml};

/// The objects by kind.
fn objects() -> BTreeMap<String, Value> {
    let documents = yaml("docker/kubernetes.yaml");
    let count = documents.len();
    let objects: BTreeMap<_, _> =
        documents.into_iter().map(|object| (object["kind"].as_str().expect("a kind").to_owned(), object)).collect();
    assert_eq!(objects.len(), count, "one object of each kind");
    let kinds: Vec<&str> = objects.keys().map(String::as_str).collect();
    // No Secret: it is referred to, and made by who knows what is in it.
    assert_eq!(kinds, ["ConfigMap", "Deployment", "PodDisruptionBudget", "Service"]);
    objects
}

fn container(objects: &BTreeMap<String, Value>) -> &Value {
    let containers = &objects["Deployment"]["spec"]["template"]["spec"]["containers"];
    assert_eq!(list(containers).count(), 1);
    &containers[0]
}

#[test]
fn lakefeed_accepts_the_command_and_its_files() {
    let objects = objects();
    let container = container(&objects);
    let arguments = texts(&container["args"]);
    assert_known(&arguments);
    let volume = list(&container["volumeMounts"]).find(|mount| mount["name"] == "config").expect("the configuration is mounted");
    let place = volume["mountPath"].as_str().expect("a path");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = objects["ConfigMap"]["data"].as_object().expect("data");
    for (file, text) in data {
        std::fs::write(folder.path().join(file), text.as_str().expect("text")).expect("the folder can be written");
    }
    let named: BTreeSet<&str> =
        arguments[1..].iter().map(|path| path.strip_prefix(place).expect("a path there").trim_start_matches('/')).collect();
    assert_eq!(named, data.keys().map(String::as_str).collect::<BTreeSet<_>>(), "the files of the command, and those of the ConfigMap");
    let files: Vec<PathBuf> = named.iter().map(|file| folder.path().join(file)).collect();
    check_files(&files, &BTreeMap::new()).success();
}

#[test]
fn probes_and_service_meet_the_listener() {
    let objects = objects();
    let container = container(&objects);
    let port = listener_port(objects["ConfigMap"]["data"]["worker.properties"].as_str().expect("the worker's file"));
    assert_eq!(container["ports"], json!([{"name": "rest", "containerPort": port}]));
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"], json!({"path": "/health", "port": "rest"}), "{probe}");
    }
    assert_eq!(list(&objects["Service"]["spec"]["ports"]).map(|port| &port["targetPort"]).collect::<Vec<_>>(), [&json!("rest")]);
    let annotations = &objects["Deployment"]["spec"]["template"]["metadata"]["annotations"];
    assert_eq!((&annotations["prometheus.io/port"], &annotations["prometheus.io/path"]), (&json!(port.to_string()), &json!("/metrics")));
}

#[test]
fn selectors_find_the_pods() {
    let objects = objects();
    let deployment = &objects["Deployment"]["spec"];
    let labels = &deployment["template"]["metadata"]["labels"];
    for selector in [
        &deployment["selector"]["matchLabels"],
        &deployment["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
        &objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        &objects["Service"]["spec"]["selector"],
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(number(&deployment["replicas"]), 3);
    assert_eq!(number(&objects["PodDisruptionBudget"]["spec"]["maxUnavailable"]), 1);
}

#[test]
fn a_pod_has_time_to_stop_and_writes_where_it_may() {
    let objects = objects();
    let (container, pod) = (container(&objects), &objects["Deployment"]["spec"]["template"]["spec"]);
    assert!(number(&pod["terminationGracePeriodSeconds"]) * 1000 >= shutdown_ms() + 10_000);
    let volumes: BTreeSet<&str> = list(&pod["volumes"]).filter_map(|volume| volume["name"].as_str()).collect();
    let mounts: BTreeSet<&str> = list(&container["volumeMounts"]).filter_map(|mount| mount["name"].as_str()).collect();
    assert_eq!(volumes, mounts);
    assert_eq!(
        (&container["securityContext"]["readOnlyRootFilesystem"], &pod["securityContext"]["runAsNonRoot"]),
        (&json!(true), &json!(true))
    );
    let state = list(&container["volumeMounts"]).find(|mount| mount["name"] == "state").and_then(|mount| mount["mountPath"].as_str());
    let worker = objects["ConfigMap"]["data"]["worker.properties"].as_str().expect("the worker's file");
    let value = worker.lines().find_map(|line| line.strip_prefix("state.dir=")).expect("the key is there");
    assert!(value.starts_with(state.expect("a volume for the state")), "state.dir={value}");
    // What has to outlive a pod is in topics.
    assert!(worker.contains("config.storage.topic=") && !worker.contains("offset.storage.file.filename"), "{worker}");
}

#[test]
fn the_image_is_that_of_the_compose_file() {
    let objects = objects();
    let image = &container(&objects)["image"];
    assert!(services().iter().any(|service| service["dockerfile"].is_string() && service["image"] == *image), "{image}");
}
