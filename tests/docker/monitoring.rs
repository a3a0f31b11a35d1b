//! The dashboard, the alert rules and what connects them with the workers. What they name is held to docs/metrics.md, which a test of `tests/e2e`
//! holds to what a worker tells.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::compose::{mounted, name, services, workers};
use crate::{list, listener_port, read, root, texts, yaml};

/// The line of each metric in docs/metrics.md.
fn documented() -> BTreeMap<String, String> {
    let page = read("docs/metrics.md");
    let metric = |line: &str| Some((line.strip_prefix("| `")?.split('`').next()?.to_owned(), line.to_owned()));
    page.lines().filter_map(metric).collect()
}

/// The labels that a series has in Prometheus.
fn labels(line: &str) -> BTreeSet<&str> {
    let of_task = if line.contains("(no connector, no task)") { &[][..] } else { &["connector", "task"][..] };
    let more = line.split('|').nth(3).unwrap_or_default().split('`');
    let more = more.filter(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase()));
    more.chain(of_task.iter().copied()).chain(["instance", "job"]).collect()
}

/// A part of a PromQL expression.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut rest = expression.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(first) = rest.next() {
        match first {
            '"' => tokens.push(Token::Text(rest.by_ref().take_while(|c| *c != '"').collect())),
            c if c.is_ascii_alphanumeric() || "_:$".contains(c) => {
                let mut word = String::from(c);
                while let Some(next) = rest.next_if(|c| c.is_ascii_alphanumeric() || "_:".contains(*c)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => tokens.push(Token::Sign(c)),
        }
    }
    tokens
}

/// What is wrong with the names in an expression: metrics that nobody tells, labels that they don't have, values that a label never has.
fn faults(expression: &str) -> Vec<String> {
    let metrics = documented();
    let (tokens, mut faults) = (tokens(expression), Vec::new());
    // The labels of all metrics so far, for `by (...)` before them: looked at in the end.
    let (mut known, mut grouped) = (BTreeSet::from(["instance", "job"]), Vec::new());
    let up = "| `up` | | | (no connector, no task) |".to_owned();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        index += 1;
        let Token::Word(word) = token else { continue };
        if ["by", "on", "without", "ignoring"].contains(&word.as_str()) {
            let inside = tokens[index..].iter().take_while(|token| **token != Token::Sign(')'));
            grouped.extend(inside.filter_map(|token| if let Token::Word(label) = token { Some(label.as_str()) } else { None }));
        }
        if !word.starts_with("lakefeed_") && word != "up" {
            continue;
        }
        let Some(line) = metrics.get(word).or((word == "up").then_some(&up)) else {
            faults.push(format!("{word} is not in docs/metrics.md"));
            continue;
        };
        known.extend(labels(line));
        if tokens.get(index) != Some(&Token::Sign('{')) {
            continue;
        }
        let selector: Vec<&Token> = tokens[index + 1..].iter().take_while(|token| **token != Token::Sign('}')).collect();
        for part in selector.split(|token| **token == Token::Sign(',')) {
            let (Some(Token::Word(label)), Some(Token::Text(value))) = (part.first(), part.last()) else {
                faults.push(format!("{word}: {part:?} is no matcher"));
                continue;
            };
            if !labels(line).contains(label.as_str()) {
                faults.push(format!("{word} has no label {label}"));
            } else if !value.starts_with('$') && !["job", "instance"].contains(&label.as_str()) && !line.contains(value) {
                faults.push(format!("{word} never has {label}=\"{value}\", as docs/metrics.md tells it"));
            }
        }
    }
    faults.extend(
        grouped.into_iter().filter(|label| !known.contains(label)).map(|label| format!("none of the metrics has the label {label}")),
    );
    faults
}

/// The check is worth something only if it refuses.
#[test]
fn names_that_nobody_tells_are_found() {
    for (expression, fault) in [
        ("sum(rate(lakefeed_record_in_total[5m]))", "lakefeed_record_in_total is not in"),
        ("lakefeed_task_state{stat=\"failed\"} == 1", "has no label stat"),
        ("lakefeed_task_state{state=\"broken\"} == 1", "never has state=\"broken\""),
        ("lakefeed_memory_budget_bytes{connector=~\"$c\"}", "has no label connector"),
        ("sum by (topics) (lakefeed_consumer_lag_records)", "has the label topics"),
        ("up{jobs=\"lakefeed\"}", "has no label jobs"),
    ] {
        let found = faults(expression);
        assert!(found.len() == 1 && found[0].contains(fault), "{expression}: {found:?}");
    }
    assert_eq!(faults("sum by (cause) (rate(lakefeed_s3_files_closed_total{cause=\"memory\", job=\"x\"}[5m])) > 0"), [""; 0]);
}

fn dashboard() -> Value {
    serde_json::from_str(&read("docker/grafana/dashboard.json")).expect("the dashboard is JSON")
}

#[test]
fn the_dashboard_shows_what_workers_tell() {
    let dashboard = dashboard();
    let variables: BTreeSet<&str> = list(&dashboard["templating"]["list"]).filter_map(|variable| variable["name"].as_str()).collect();
    let mut faulty = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in list(&dashboard["panels"]) {
        let title = panel["title"].as_str().expect("a panel has a title");
        assert!(ids.insert(panel["id"].as_i64()), "{title}: its id is another panel's");
        assert!(list(&panel["targets"]).count() > 0, "{title} asks for nothing");
        for target in list(&panel["targets"]) {
            let expression = target["expr"].as_str().expect("a target has an expression");
            faulty.extend(faults(expression).into_iter().map(|fault| format!("{title}: {fault}")));
            let used = expression.split('$').skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next());
            for variable in used.filter(|variable| !variable.starts_with("__")) {
                assert!(variables.contains(variable), "{title}: the dashboard has no variable {variable}");
            }
        }
    }
    for variable in list(&dashboard["templating"]["list"]) {
        let query = variable["definition"].as_str().expect("a query");
        let (metric, label) =
            query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')?.split_once(", ")).expect("label_values");
        faulty.extend(faults(&format!("count by ({label}) ({metric})")));
    }
    assert!(faulty.is_empty(), "\n{}\n", faulty.join("\n"));
}

#[test]
fn panels_stand_beside_each_other() {
    let dashboard = dashboard();
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_i64().expect("a whole number"));
    let panels: Vec<_> = list(&dashboard["panels"]).map(|panel| (panel["title"].to_string(), place(panel))).collect();
    for (index, (title, [x, y, w, h])) in panels.iter().enumerate() {
        assert!(*x >= 0 && x + w <= 24, "{title} is wider than the page");
        for (other, [x2, y2, w2, h2]) in &panels[..index] {
            let apart = x + w <= *x2 || x2 + w2 <= *x || y + h <= *y2 || y2 + h2 <= *y;
            assert!(apart, "{title} covers {other}");
        }
    }
}

#[test]
fn every_alert_is_about_what_workers_tell_and_is_tested() {
    let rules = yaml("docker/prometheus/alerts.yml");
    let tests = yaml("docker/prometheus/alerts.test.yml");
    assert_eq!(tests[0]["rule_files"], serde_json::json!(["alerts.yml"]));
    let cases: Vec<&Value> = list(&tests[0]["tests"]).flat_map(|test| list(&test["alert_rule_test"])).collect();
    let mut names = BTreeSet::new();
    for rule in list(&rules[0]["groups"]).flat_map(|group| list(&group["rules"])) {
        let alert = rule["alert"].as_str().expect("a rule is an alert");
        assert!(names.insert(alert), "{alert} is there twice");
        let expression = rule["expr"].as_str().expect("an alert has an expression");
        assert_eq!(faults(expression), [""; 0], "{alert}");
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap_or_default()), "{alert}: severity");
        for part in ["summary", "description"] {
            let text = rule["annotations"][part].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{alert} has no {part}");
            for label in text.split("$labels.").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_lowercase()).next()) {
                assert!(
                    expression.contains(label) || ["connector", "task", "instance"].contains(&label),
                    "{alert}: {{{{ $labels.{label} }}}}"
                );
            }
        }
        let of_alert =
            |fires: bool| cases.iter().any(|case| case["alertname"] == alert && list(&case["exp_alerts"]).next().is_some() == fires);
        assert!(of_alert(true), "{alert}: alerts.test.yml has no case in which it fires");
    }
    for case in cases {
        let alert = case["alertname"].as_str().expect("a case has an alert");
        assert!(names.contains(alert), "alerts.test.yml: there is no alert {alert}");
    }
}

/// Host and port of addresses that may have a scheme.
fn addresses<'a>(urls: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    urls.into_iter().map(|url| url.trim_start_matches("http://").to_owned()).collect()
}

#[test]
fn prometheus_and_console_ask_every_worker() {
    let port = listener_port(&read("connectors/config/docker-worker.properties"));
    let expected: BTreeSet<String> = workers().iter().map(|worker| format!("{}:{port}", name(worker))).collect();
    let prometheus = yaml("docker/prometheus/prometheus.yml");
    let jobs: Vec<&Value> = list(&prometheus[0]["scrape_configs"]).collect();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["job_name"], "lakefeed", "the rules and the dashboard ask for this job");
    assert_eq!(addresses(list(&jobs[0]["static_configs"]).flat_map(|config| texts(&config["targets"]))), expected);
    let console = yaml("docker/console.yaml");
    assert_eq!(console[0]["kafkaConnect"]["enabled"], true);
    let clusters = list(&console[0]["kafkaConnect"]["clusters"]);
    assert_eq!(addresses(clusters.filter_map(|cluster| cluster["url"].as_str())), expected);
    let others = [&console[0]["kafka"]["brokers"], &console[0]["schemaRegistry"]["urls"], &console[0]["redpanda"]["adminApi"]["urls"]];
    for address in addresses(others.into_iter().flat_map(texts)) {
        assert_eq!(address.split(':').next(), Some("redpanda"), "{address}");
    }
}

#[test]
fn what_is_provisioned_is_mounted_where_it_is_looked_for() {
    let services = services();
    let service = |wanted: &str| services.iter().find(|service| name(service) == wanted).expect("the service is there");
    let repository = |service: &Value, path: &str| {
        let file = mounted(service, path).unwrap_or_else(|| panic!("{}: {path} is not mounted", name(service)));
        assert!(file.is_file(), "{}: {} is not there", name(service), file.display());
        file.strip_prefix(root()).expect("a file of the repository").to_str().expect("text").to_owned()
    };
    let prometheus = service("prometheus");
    assert_eq!(repository(prometheus, "/etc/prometheus/prometheus.yml"), "docker/prometheus/prometheus.yml");
    assert!(texts(&prometheus["command"]).contains(&"--config.file=/etc/prometheus/prometheus.yml"));
    for rules in texts(&yaml("docker/prometheus/prometheus.yml")[0]["rule_files"]) {
        repository(prometheus, &format!("/etc/prometheus/{rules}"));
    }
    let console = service("console");
    let config = console["environment"]["CONFIG_FILEPATH"].as_str().expect("a path");
    assert_eq!(repository(console, config), "docker/console.yaml");

    let grafana = service("grafana");
    let source = &yaml(&repository(grafana, "/etc/grafana/provisioning/datasources/lakefeed.yaml"))[0]["datasources"][0];
    assert_eq!(source["url"], "http://prometheus:9090");
    let provider = &yaml(&repository(grafana, "/etc/grafana/provisioning/dashboards/lakefeed.yaml"))[0]["providers"][0];
    let home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].as_str().expect("a path");
    assert!(home.starts_with(provider["options"]["path"].as_str().expect("a folder")), "{home}");
    assert_eq!(repository(grafana, home), "docker/grafana/dashboard.json");
    let dashboard = dashboard();
    let targets = list(&dashboard["panels"]).flat_map(|panel| list(&panel["targets"]).chain([panel]));
    for asker in targets.chain(list(&dashboard["templating"]["list"])) {
        assert_eq!(asker["datasource"]["uid"], source["uid"], "{asker}");
    }
}
