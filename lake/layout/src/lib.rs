//! Names in the lake: object keys, partition values, tables. Pure: text in, text out.
//!
//! An object is named `<topics.dir>/<topic>/<lake partition>/<topic>+<partition>+<first offset>.<codec>.parquet`, as the Confluent S3
//! sink does, or by Firehose's rule `<evaluated prefix><topic>+<partition>+<first offset>...`. The name is a function of the topic, the Kafka partition, the lake partition and the first offset alone.

mod key;
mod value;

pub use key::{KeyLayout, NameError, NameLimits};
pub use value::{HIVE_NULL, decode_value, element, encode_value, parse_element};

/// The table of a folder, named as the AWS Glue crawler does: lower case, everything else than letters, digits and `_` becomes `_`, at
/// most 128 characters.
pub fn table_name(folder: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    folder.chars().map(plain).take(128).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_are_named_as_the_glue_crawler_names_them() {
        for (folder, table) in [("Sales", "sales"), ("pmsm_temperature.stream", "pmsm_temperature_stream"), ("a-b c", "a_b_c"), ("ü", "_")]
        {
            assert_eq!(super::table_name(folder), table);
        }
        assert_eq!(super::table_name(&"x".repeat(200)).len(), 128);
    }
}
