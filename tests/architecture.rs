//! The shape of the workspace: who may depend on whom, one version table, small files.
//!
//! A failure here says which rule of ARCHITECTURE.md was broken and what to do. To change a rule, change it here and there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each crate may use. A crate that is not named here is new: give it its place.
const ARROWS: &[(&str, &[&str])] = &[
    ("lakefeed-core", &[]),
    ("lakefeed-layout", &[]),
    ("lakefeed-kit", &[]),
    ("lakefeed-store", &["core"]),
    ("lakefeed-formats", &["core"]),
    ("lakefeed-fetch", &["core"]),
    ("lakefeed-kafka", &["core", "fetch"]),
    ("lakefeed-registry", &["core"]),
    ("lakefeed-runtime", &["core", "formats", "kafka", "registry"]),
    ("lakefeed-rest", &["core", "runtime"]),
    ("lakefeed-csv", &["core"]),
    ("lakefeed-generate", &["core"]),
    ("lakefeed-dynamodb", &["core"]),
    ("lakefeed-s3", &["core", "formats", "layout", "store"]),
    ("lakefeed-stdout", &["core", "formats"]),
    ("lakefeed-catalog", &["core", "layout", "store"]),
    ("lakefeed-query", &["catalog", "core", "layout"]),
    ("lakefeed-report", &["core", "query"]),
];

/// These may use every crate of ours.
const TOP: &[&str] = &["lakefeed", "lakefeed-bench"];

/// The one crate that may name a dependency, by the beginning of its name.
const HOMES: &[(&str, &str, &str)] = &[
    ("rdkafka", "lakefeed-kafka", "all of librdkafka stays in connectors/kafka"),
    ("duckdb", "lakefeed-query", "only lake/query links the DuckDB library"),
    ("aws-", "lakefeed-store", "all of the AWS SDK stays in connectors/store"),
    ("axum", "lakefeed-rest", "REST calls are answered in connectors/rest alone"),
    ("hyper-", "lakefeed-registry", "requests to the Schema Registry are made in connectors/registry"),
    ("reqwest", "lakefeed-registry", "requests to the Schema Registry are made in connectors/registry"),
    ("schema_registry", "lakefeed-registry", "requests to the Schema Registry are made in connectors/registry"),
    ("fjall", "lakefeed-runtime", "the state of processors is kept by the runtime"),
    ("krafka", "lakefeed", "the embedded cluster belongs to the demo"),
    ("clap", "lakefeed", "the command line is the root package's"),
];

/// Lines of a source file, its tests not counted.
const LINES: usize = 500;

struct Package {
    name: String,
    manifest: PathBuf,
    /// Name and kind (`None`, `dev`, `build`) of what it depends on.
    dependencies: Vec<(String, Option<String>)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("can't read {}: {error}", path.display()))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata: no text in '{key}'"))
}

/// The packages of the workspace, as cargo sees them.
fn packages() -> Vec<Package> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let all = metadata["packages"].as_array().expect("packages").iter().map(|package| Package {
        name: text(package, "name").to_owned(),
        manifest: text(package, "manifest_path").into(),
        dependencies: package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .map(|dependency| (text(dependency, "name").to_owned(), dependency["kind"].as_str().map(str::to_owned)))
            .collect(),
    });
    all.collect()
}

fn report(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_arrows_between_our_crates_hold() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut broken = Vec::new();
    for package in packages().iter().filter(|package| !TOP.contains(&package.name.as_str())) {
        let Some(allowed) = arrows.get(package.name.as_str()) else {
            broken.push(format!("{} has no place yet: add it to ARROWS here and to ARCHITECTURE.md", package.name));
            continue;
        };
        for (name, kind) in &package.dependencies {
            let Some(short) = name.strip_prefix("lakefeed-") else { continue };
            // Tests of any crate may use the kit and what the kit's users see; the product may not.
            if kind.as_deref() == Some("dev") || allowed.contains(&short) {
                continue;
            }
            broken.push(format!(
                "{} depends on {name}, and may only on {allowed:?}: put what it needs into lakefeed-core, or pass it in from src/",
                package.name
            ));
        }
    }
    report(&broken);
}

#[test]
fn every_crate_has_its_rule() {
    let found: BTreeSet<String> = packages().into_iter().map(|package| package.name).collect();
    for (name, _) in ARROWS {
        assert!(found.contains(*name), "{name} is gone: remove it from ARROWS here and from ARCHITECTURE.md");
    }
}

#[test]
fn the_layout_of_the_lake_is_pure() {
    for package in packages().iter().filter(|package| package.name == "lakefeed-layout") {
        let names: Vec<_> = package.dependencies.iter().filter(|(_, kind)| kind.is_none()).map(|(name, _)| name).collect();
        assert!(names.is_empty(), "lakefeed-layout is names and arithmetic alone, without I/O: it may not depend on {names:?}");
    }
    for file in sources(&root().join("lake/layout/src")) {
        let source = read(&file);
        for word in ["std::fs", "std::net", "std::env", "std::process", "SystemTime", "Instant"] {
            assert!(!source.contains(word), "{}: lakefeed-layout is pure, and can't use {word}", shown(&file));
        }
    }
}

#[test]
fn the_test_kit_weighs_nothing() {
    for package in packages().iter().filter(|package| package.name == "lakefeed-kit") {
        assert!(package.dependencies.is_empty(), "lakefeed-kit has no dependencies, so that every crate's tests can use it");
    }
}

#[test]
fn large_dependencies_stay_in_their_homes() {
    let mut broken = Vec::new();
    for package in packages() {
        for (name, _) in package.dependencies.iter().filter(|(_, kind)| kind.is_none()) {
            for (prefix, home, reason) in HOMES {
                if name.starts_with(prefix) && package.name != *home {
                    broken.push(format!("{} depends on {name}: {reason}", package.name));
                }
            }
        }
    }
    report(&broken);
}

/// A version or a feature that a crate names for itself is a second truth, and builds dependencies twice.
#[test]
fn every_dependency_comes_from_the_version_table() {
    let mut broken = Vec::new();
    for package in packages() {
        for (section, line) in dependency_lines(&read(&package.manifest)) {
            let inherited = line.contains(".workspace = true") || line.contains("workspace = true");
            if !inherited || line.contains("features") {
                broken.push(format!(
                    "{} [{section}] {line}: write NAME.workspace = true, with version and features in the root's [workspace.dependencies]",
                    shown(&package.manifest)
                ));
            }
        }
    }
    report(&broken);
}

#[test]
fn the_version_table_turns_default_features_off() {
    /// These have no default features.
    const WITHOUT: &[&str] = &["java-properties"];
    let manifest = read(&root().join("Cargo.toml"));
    let mut broken = Vec::new();
    for line in section(&manifest, "workspace.dependencies") {
        let name = line.split([' ', '=']).next().unwrap_or_default();
        let ours = name.starts_with("lakefeed-");
        if !ours && !line.contains("default-features = false") && !WITHOUT.contains(&name) {
            broken.push(format!("Cargo.toml [workspace.dependencies] {line}: say default-features = false and name the features"));
        }
    }
    report(&broken);
}

#[test]
fn one_major_version_of_arrow() {
    let lock = read(&root().join("Cargo.lock"));
    let versions: BTreeSet<&str> = lock
        .split("[[package]]")
        .filter(|package| package.contains("name = \"arrow-array\"\n"))
        .filter_map(|package| package.split("version = \"").nth(1)?.split('.').next())
        .collect();
    assert_eq!(versions.len(), 1, "arrow-array is there in the majors {versions:?}: batches of one can't be given to the other");
}

#[test]
fn files_are_small() {
    let mut broken = Vec::new();
    for file in all_sources() {
        let source = read(&file);
        let lines = source.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines >= LINES && !in_tests(&file) {
            broken.push(format!("{} has {lines} lines without its tests, under {LINES} are expected: split it by purpose", shown(&file)));
        }
    }
    report(&broken);
}

#[test]
fn no_word_of_unfinished_work() {
    // Put together, so that this file does not hold them itself.
    let words = ["dbg", "todo", "unimplemented"].map(|name| format!("{name}!("));
    let marks = ["TO", "FIX"].map(|half| format!("{half}{}", if half == "TO" { "DO" } else { "ME" }));
    let mut broken = Vec::new();
    for file in all_sources() {
        for (number, line) in read(&file).lines().enumerate() {
            if let Some(word) = words.iter().chain(&marks).find(|word| line.contains(word.as_str())) {
                broken.push(format!("{}:{}: '{word}': finish it, or file an issue and remove the mark", shown(&file), number + 1));
            }
        }
    }
    report(&broken);
}

/// Printing is the command line's; everything else logs.
#[test]
fn only_the_command_line_prints() {
    let mut broken = Vec::new();
    for file in all_sources().filter(|file| !in_tests(file) && !file.starts_with(root().join("src"))) {
        let source = read(&file);
        let product = source.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
        for (number, line) in product.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if ["println!(", "print!(", "eprintln!(", "eprint!("].iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{}: log it with tracing, or return it to src/", shown(&file), number + 1));
            }
        }
    }
    report(&broken);
}

/// The lines of one table of a manifest, comments and blank ones left out.
fn section<'m>(manifest: &'m str, name: &str) -> impl Iterator<Item = &'m str> {
    let header = format!("[{name}]");
    let body = manifest.lines().skip_while(move |line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    body.filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
}

fn dependency_lines(manifest: &str) -> Vec<(&'static str, &str)> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    kinds.into_iter().flat_map(|kind| section(manifest, kind).map(move |line| (kind, line))).collect()
}

/// The Rust files below a folder, in the order of their names.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("can't read {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    paths.sort();
    let nested = paths.into_iter().flat_map(|path| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => vec![path],
        _ => Vec::new(),
    });
    nested.collect()
}

fn all_sources() -> impl Iterator<Item = PathBuf> {
    let folders = ["src", "connectors", "producers", "processors", "sinks", "lake", "tests"];
    folders.into_iter().flat_map(|folder| sources(&root().join(folder)))
}

/// Whether a file is no part of the product.
fn in_tests(file: &Path) -> bool {
    let inside = file.strip_prefix(root()).unwrap_or(file);
    inside.iter().any(|part| part == "tests" || part == "examples" || part == "tests.rs")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
