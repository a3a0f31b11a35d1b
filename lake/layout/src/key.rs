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
    /// The lake partition is all that stands before a file's name, without a delimiter after it: an evaluated `prefix` of Firehose.
    pub whole_prefix: bool,
}

/// What a store allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameLimits {
    /// The longest key in bytes.
    pub key_bytes: usize,
    /// The longest path element in bytes.
    pub element_bytes: usize,
}

impl NameLimits {
    /// S3 limits the whole key ("Naming Amazon S3 objects": 1,024 bytes of UTF-8); what stands before our part of it counts too.
    pub fn s3(prefix_bytes: usize) -> Self {
        Self { key_bytes: 1024_usize.saturating_sub(prefix_bytes), element_bytes: usize::MAX }
    }

    /// File systems limit each name (NAME_MAX, 255 bytes). Keys are kept as short as those of S3, so that a lake can move there.
    pub const LOCAL: Self = Self { key_bytes: 1024, element_bytes: 255 };
}

impl Default for KeyLayout {
    fn default() -> Self {
        Self { topics_dir: "topics".into(), directory_delim: "/".into(), file_delim: "+".into(), zero_pad: 10, whole_prefix: false }
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
    /// What stands before a file's name: the folder of a lake partition, with the delimiter at its end. `lake_partition` may be empty.
    pub fn folder(&self, topic: &str, lake_partition: &str) -> String {
        if self.whole_prefix {
            return lake_partition.to_owned();
        }
        let parts = [self.topics_dir.as_str(), topic, lake_partition];
        parts.iter().filter(|p| !p.is_empty()).map(|p| format!("{p}{}", self.directory_delim)).collect()
    }

    /// What all keys in a lake partition begin with: its folder and the topic.
    pub fn stem(&self, topic: &str, lake_partition: &str) -> String {
        format!("{}{topic}{}", self.folder(topic, lake_partition), self.file_delim)
    }

    /// What all keys of a Kafka partition in a lake partition begin with.
    pub fn prefix(&self, stem: &str, partition: i32) -> String {
        format!("{stem}{partition}{}", self.file_delim)
    }

    /// The key of an object; `extension` comes with its dot.
    pub fn key(&self, stem: &str, partition: i32, first_offset: i64, extension: &str) -> String {
        format!("{}{first_offset:0width$}{extension}", self.prefix(stem, partition), width = self.zero_pad)
    }

    /// What [`KeyLayout::key`] has put together behind the folder: topic, Kafka partition, first offset and extension. `None` if a name has
    /// other parts.
    pub fn parts<'a>(&self, name: &'a str) -> Option<(&'a str, i32, i64, &'a str)> {
        let (rest, last) = name.rsplit_once(self.file_delim.as_str())?;
        let (topic, partition) = rest.rsplit_once(self.file_delim.as_str())?;
        let extension = &last[last.find('.').unwrap_or(last.len())..];
        Some((topic, partition.parse().ok().filter(|p| *p >= 0)?, Self::first_offset(last, "")?, extension))
    }

    /// The first offset in a key that begins with `prefix`; `None` if the rest is not an offset and an extension.
    pub fn first_offset(key: &str, prefix: &str) -> Option<i64> {
        let rest = key.strip_prefix(prefix)?;
        let digits = &rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())];
        let after = &rest[digits.len()..];
        if after.is_empty() || after.starts_with('.') { digits.parse().ok() } else { None }
    }

    /// Whether a store takes the keys of this lake partition.
    ///
    /// # Errors
    /// An element or the whole key would be too long.
    pub fn check(&self, stem: &str, limits: NameLimits) -> Result<(), NameError> {
        // The longest names that its files can get.
        let key = self.key(stem, i32::MAX, i64::MAX, ".snappy.parquet");
        if let Some(long) = key.split('/').map(str::len).find(|len| *len > limits.element_bytes) {
            return Err(NameError(format!(
                "the path element has {long} bytes, at most {} are possible in a file system",
                limits.element_bytes
            )));
        }
        if key.len() > limits.key_bytes {
            return Err(NameError(format!("the object key would have {} bytes, at most {} are possible", key.len(), limits.key_bytes)));
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
            layout.key(&layout.stem("orders", e), 0, 1200, ".snappy.parquet"),
            "topics/orders/year=2025/month=03/day=01/orders+0+0000001200.snappy.parquet"
        );
        let bare = KeyLayout { topics_dir: String::new(), ..layout };
        assert_eq!(bare.key(&bare.stem("t", ""), 3, 12_345_678_901, ".parquet"), "t/t+3+12345678901.parquet");
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
        let long = |bytes: usize| layout.stem("t", &format!("k={}", "x".repeat(bytes - 2)));
        assert!(layout.check(&long(255), NameLimits::LOCAL).is_ok());
        assert!(layout.check(&long(256), NameLimits::LOCAL).is_err());
        assert!(layout.check(&layout.stem(&"t".repeat(249), "k=1"), NameLimits::LOCAL).is_err(), "the file's own name");
        assert!(layout.check(&long(900), NameLimits::s3(0)).is_ok());
        assert!(layout.check(&long(900), NameLimits::s3(100)).is_err());
        assert!(layout.check(&long(1010), NameLimits::s3(0)).is_err());
    }

    #[test]
    fn a_whole_prefix_stands_right_before_the_name() {
        let layout = KeyLayout { whole_prefix: true, ..KeyLayout::default() };
        assert_eq!(layout.key(&layout.stem("t", "raw/2018/08/27"), 3, 7, ".parquet"), "raw/2018/08/27t+3+0000000007.parquet");
        assert_eq!(layout.prefix(&layout.stem("t", "raw/"), 3), "raw/t+3+");
    }

    #[test]
    fn names_come_apart_as_they_were_put_together() {
        for delim in ["+", "-", "--", "_+"] {
            let layout = KeyLayout { file_delim: delim.into(), ..KeyLayout::default() };
            for (topic, extension) in [("orders-20261122", ".snappy.parquet"), ("a-1-", ".json.gz"), ("a_", "")] {
                let key = layout.key(&layout.stem(topic, "k=1"), 12, 34, extension);
                let name = key.rsplit('/').next().expect("a name");
                assert_eq!(layout.parts(name), Some((topic, 12, 34, extension)), "{key}");
            }
        }
        for name in ["", "t", "t+1", "t+x+1.parquet", "t+-1+1.parquet", "t+1+x.parquet", "t+1+.parquet"] {
            assert_eq!(KeyLayout::default().parts(name), None, "{name}");
        }
    }
}
