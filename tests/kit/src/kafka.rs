//! A real Apache Kafka.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::server::{self, Server, script, variable};
use crate::{Output, run};

/// A console tool starts a JVM; the rest is its own time limit.
const DEADLINE: Duration = Duration::from_secs(120);

/// A Kafka cluster, seen through Kafka's own console tools.
pub struct Kafka {
    /// `bootstrap.servers`.
    pub bootstrap: String,
    _server: Option<Server>,
}

/// The Kafka of this test process: that of `KAFKA_BOOTSTRAP`, or one that is started now.
///
/// # Panics
/// When none can be had; the message says what to install.
pub fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Result<Kafka, String>> = OnceLock::new();
    let kafka = KAFKA.get_or_init(|| match variable("KAFKA_BOOTSTRAP") {
        Some(bootstrap) => Ok(Kafka { bootstrap, _server: None }),
        None => server::start("kafka").map(|server| Kafka { bootstrap: server.address.clone(), _server: Some(server) }),
    });
    match kafka {
        Ok(kafka) => kafka,
        Err(message) => panic!("{message}"),
    }
}

impl Kafka {
    /// Creates a topic.
    ///
    /// # Panics
    /// When Kafka refuses.
    pub fn create_topic(&self, topic: &str, partitions: u32) {
        self.tool("topics", &["--create", "--topic", topic, "--partitions", &partitions.to_string(), "--replication-factor", "1"])
            .success();
    }

    /// The names of all topics.
    ///
    /// # Panics
    /// When Kafka does not answer.
    pub fn topics(&self) -> Vec<String> {
        lines(&self.tool("topics", &["--list"]).success())
    }

    /// The first `count` values of a topic, as `kafka-console-consumer` prints them (of each partition in order; committed ones only).
    ///
    /// # Panics
    /// When they do not come within half a minute.
    pub fn console_consumer(&self, topic: &str, count: usize) -> Vec<String> {
        self.console_consumer_with(topic, count, &[])
    }

    /// As [`Kafka::console_consumer`], with more arguments, such as `--formatter-property print.key=true`.
    ///
    /// # Panics
    /// As [`Kafka::console_consumer`].
    pub fn console_consumer_with(&self, topic: &str, count: usize, arguments: &[&str]) -> Vec<String> {
        let count_text = count.to_string();
        let mut all = vec!["--topic", topic, "--from-beginning", "--max-messages", &count_text, "--timeout-ms", "30000"];
        all.extend(["--isolation-level", "read_committed"]);
        all.extend(arguments);
        let output = self.tool("console-consumer", &all);
        let values = lines(&output.stdout);
        assert_eq!(values.len(), count, "records of topic '{topic}'; kafka-console-consumer said: {}", output.stderr);
        values
    }

    /// The end offsets of a topic, one for each partition, in their order.
    ///
    /// # Panics
    /// When Kafka does not answer.
    pub fn end_offsets(&self, topic: &str) -> Vec<u64> {
        let text = self.tool("get-offsets", &["--topic", topic]).success();
        let mut offsets: Vec<(u32, u64)> = text
            .lines()
            .map(|line| {
                let mut fields = line.rsplitn(3, ':');
                let offset = fields.next().and_then(|field| field.parse().ok());
                let partition = fields.next().and_then(|field| field.parse().ok());
                partition.zip(offset).unwrap_or_else(|| panic!("kafka-get-offsets printed '{line}', expected TOPIC:PARTITION:OFFSET"))
            })
            .collect();
        offsets.sort_unstable();
        offsets.into_iter().map(|(_, offset)| offset).collect()
    }

    /// Runs a console tool (see `tests/stack/kafka-tool.sh`) on this cluster.
    pub fn tool(&self, tool: &str, arguments: &[&str]) -> Output {
        run(Command::new(script("kafka-tool.sh")).args([tool, "--bootstrap-server", &self.bootstrap]).args(arguments), DEADLINE)
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kafka({})", self.bootstrap)
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}
