//! Object keys.

use std::fmt;

/// How keys are put together; the defaults are those of the Confluent S3 sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyLayout {
    /// The first element (`topics.dir`); left out when blank.
    pub topics_dir: String,
    /// What joins path elements (`directory.delim`).
    pub directory_delim: String,
    /// What joins topic, partition and offset (`file.delim`).
    pub file_delim: String,
    /// The digits of the first offset (`filename.offset.zero.pad.width`).
    pub zero_pad: usize,
}

impl Default for KeyLayout {
    fn default() -> Self {
        Self { topics_dir: "topics".into(), directory_delim: "/".into(), file_delim: "+".into(), zero_pad: 10 }
    }
}

/// A key that no store takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError(String);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NameError {}

impl KeyLayout {
    /// The longest key in bytes that S3 takes.
    pub const KEY_BYTES_MAX: usize = 1024;
    /// The longest path element in bytes that file systems take.
    pub const ELEMENT_BYTES_MAX: usize = 255;

    /// The folder of a lake partition, with the delimiter at its end. `lake_partition` may be empty.
    pub fn folder(&self, topic: &str, lake_partition: &str) -> String {
        let parts = [self.topics_dir.as_str(), topic, lake_partition];
        parts.iter().filter(|p| !p.is_empty()).map(|p| format!("{p}{}", self.directory_delim)).collect()
    }

    /// What all keys of a Kafka partition in a lake partition begin with.
    pub fn prefix(&self, topic: &str, lake_partition: &str, partition: i32) -> String {
        format!("{}{topic}{d}{partition}{d}", self.folder(topic, lake_partition), d = self.file_delim)
    }

    /// The key of an object; `extension` comes with its dot.
    pub fn key(&self, topic: &str, lake_partition: &str, partition: i32, first_offset: i64, extension: &str) -> String {
        format!("{}{first_offset:0width$}{extension}", self.prefix(topic, lake_partition, partition), width = self.zero_pad)
    }

    /// The first offset in a key that begins with `prefix`; `None` if the rest is not an offset and an extension.
    pub fn first_offset(key: &str, prefix: &str) -> Option<i64> {
        let rest = key.strip_prefix(prefix)?;
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let after = &rest[digits.len()..];
        if after.is_empty() || after.starts_with('.') { digits.parse().ok() } else { None }
    }

    /// Whether stores take the keys of this lake partition.
    ///
    /// # Errors
    /// An element or the whole key would be too long.
    pub fn check(&self, topic: &str, lake_partition: &str) -> Result<(), NameError> {
        if let Some(long) = lake_partition.split(&self.directory_delim).find(|e| e.len() > Self::ELEMENT_BYTES_MAX) {
            return Err(NameError(format!("the path element has {} bytes, at most {} are possible", long.len(), Self::ELEMENT_BYTES_MAX)));
        }
        let longest = self.key(topic, lake_partition, i32::MAX, i64::MAX, ".snappy.parquet").len();
        if longest > Self::KEY_BYTES_MAX {
            return Err(NameError(format!("the object key would have {longest} bytes, at most {} are possible", Self::KEY_BYTES_MAX)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_confluent_sink() {
        let layout = KeyLayout::default();
        let e = "year=2025/month=03/day=01";
        assert_eq!(
            layout.key("orders", e, 0, 1200, ".snappy.parquet"),
            "topics/orders/year=2025/month=03/day=01/orders+0+0000001200.snappy.parquet"
        );
        let bare = KeyLayout { topics_dir: String::new(), ..layout };
        assert_eq!(bare.key("t", "", 3, 12_345_678_901, ".parquet"), "t/t+3+12345678901.parquet");
    }

    #[test]
    fn the_first_offset_is_read_back_as_a_number() {
        let prefix = "t/t+3+";
        for (key, first) in [
            ("t/t+3+0000000007.snappy.parquet", Some(7)),
            ("t/t+3+12345678901.parquet", Some(12_345_678_901)),
            ("t/t+3+5", Some(5)),
            ("t/t+3+5+x.parquet", None),
            ("t/t+3+.parquet", None),
            ("t/t+30+5.parquet", None),
        ] {
            assert_eq!(KeyLayout::first_offset(key, prefix), first, "{key}");
        }
    }

    #[test]
    fn names_that_no_store_takes_are_refused() {
        let layout = KeyLayout::default();
        assert!(layout.check("t", &format!("k={}", "x".repeat(253))).is_ok());
        assert!(layout.check("t", &format!("k={}", "x".repeat(254))).is_err());
        assert!(layout.check("t", &vec!["k=".to_owned() + &"x".repeat(200); 5].join("/")).is_err());
    }
}
