//! What is in the lake already: the labels of files, and the questions that find the newest file of a lake partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakefeed_core::{Error, Result};
use lakefeed_formats::RoutedTopic;
use lakefeed_layout::KeyLayout;
use lakefeed_store::Store;
use tokio::sync::OnceCell;

use crate::ledger::Span;
use crate::upload::{Address, Beside, Outcome};

/// Of a Parquet file's end: enough for the footers of most files in one request.
const FOOTER_BYTES: u64 = 64 * 1024;

/// The names of what travels with a file: in its user metadata on S3, and in the Parquet footer.
pub(crate) mod names {
    pub(crate) const FIRST: &str = "lakefeed-first-offset";
    pub(crate) const LAST: &str = "lakefeed-last-offset";
    pub(crate) const RECORDS: &str = "lakefeed-records";
    pub(crate) const WRITER: &str = "lakefeed-writer";
    pub(crate) const LAST_TIMESTAMP: &str = "lakefeed-last-timestamp";
    pub(crate) const TOPIC: &str = "lakefeed-topic";
}

/// What is known of a file in the lake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) span: Span,
    pub(crate) writer: String,
    /// The timestamp of the last record, -1 if it has none: it tells whether the topic still holds that record. Unknown in files of early
    /// versions.
    pub(crate) last_timestamp_ms: Option<i64>,
    /// Kafka's topic, which a router may have given another name in the lake. Unknown in files of early versions.
    pub(crate) topic: Option<String>,
}

impl Label {
    /// The pairs that travel with the file.
    pub(crate) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            (names::FIRST, self.span.first.to_string()),
            (names::LAST, self.span.last.to_string()),
            (names::RECORDS, self.span.count.to_string()),
            (names::WRITER, self.writer.clone()),
        ];
        pairs.extend(self.last_timestamp_ms.map(|ms| (names::LAST_TIMESTAMP, ms.to_string())));
        pairs.extend(self.topic.clone().map(|topic| (names::TOPIC, topic)));
        pairs
    }

    fn read(pairs: &BTreeMap<String, String>) -> Option<Self> {
        let number = |name: &str| pairs.get(name)?.parse().ok();
        let span = Span { first: number(names::FIRST)?, last: number(names::LAST)?, count: u64::try_from(number(names::RECORDS)?).ok()? };
        let (writer, topic) = (pairs.get(names::WRITER)?.clone(), pairs.get(names::TOPIC).cloned());
        Some(Self { span, writer, last_timestamp_ms: number(names::LAST_TIMESTAMP), topic })
    }
}

/// The newest file of a lake partition.
#[derive(Debug, Clone)]
pub(crate) struct Newest {
    /// Where it is.
    pub(crate) url: String,
    pub(crate) label: Label,
}

/// The files of a topic when the first question about them was asked, if they are few: it answers for lake partitions that have none, so that
/// a young lake with thousands of them is not asked for each. The files of a topic whose names change with time are in many folders: there is no
/// inventory of them.
///
/// Memory: the keys of one answer of the store, 1,000 at most, of the files of one Kafka partition.
#[derive(Debug, Clone)]
pub(crate) struct Inventory {
    /// The topic's folder, and what stands before the first offset in the names of the Kafka partition's files; `None`: there is no such folder.
    of: Option<(String, String)>,
    keys: Arc<OnceCell<Option<Vec<String>>>>,
}

impl Inventory {
    /// `topic` is what the topic is called in the lake.
    pub(crate) fn new(layout: &KeyLayout, topic: &RoutedTopic, partition: i32) -> Self {
        let has_folder = !layout.whole_prefix && topic.unit_ms().is_none();
        let name = topic.beginning();
        let files = layout.prefix(&format!("{name}{}", layout.file_delim), partition);
        Self { of: has_folder.then(|| (layout.folder(name, ""), files)), keys: Arc::default() }
    }

    /// Whether there was no file with this prefix.
    async fn lacks(&self, store: &Store, prefix: &str) -> Result<bool> {
        let Some((folder, files)) = &self.of else { return Ok(false) };
        let list = async {
            let mut keys = store.list_if_few(folder).await?;
            if let Some(keys) = &mut keys {
                keys.retain(|key| key.contains(files));
            }
            Ok(keys)
        };
        let Some(keys) = self.keys.get_or_try_init(|| list).await? else { return Ok(false) };
        let at = keys.partition_point(|key| key.as_str() < prefix);
        Ok(keys.get(at).is_none_or(|key| !key.starts_with(prefix)))
    }
}

/// Asks the store how far a lake partition is covered by files of a Kafka partition (rule 6).
pub(crate) fn look_up(beside: &Beside, store: Store, inventory: Inventory, prefix: String, address: Address) {
    let requests = beside.requests.clone();
    let ask = async move {
        let ask = || async { if inventory.lacks(&store, &prefix).await? { Ok(None) } else { newest(&store, &prefix).await } };
        let asked = requests.again(|| store.url(&prefix), || true, &address.reports, ask).await;
        let outcome = match asked {
            Ok(None) => return,
            Ok(Some(newest)) => Outcome::Covered(newest),
            Err(error) => Outcome::Failed(error),
        };
        address.report(outcome).await;
    };
    beside.spawn(ask);
}

/// The newest file under a prefix.
async fn newest(store: &Store, prefix: &str) -> Result<Option<Newest>> {
    let listed = store.list(prefix).await?;
    let named = listed.iter().filter_map(|object| Some((KeyLayout::first_offset(&object.key, prefix)?, object)));
    // By number: with more digits than the padding the order of names is another one.
    match named.max_by_key(|(first, _)| *first) {
        None => Ok(None),
        Some((_, object)) => Ok(Some(Newest { url: store.url(&object.key), label: read_label(store, &object.key).await? })),
    }
}

/// The label of a file: from its metadata, or from its Parquet footer where a store keeps none or the file was begun before its end was known.
pub(crate) async fn read_label(store: &Store, key: &str) -> Result<Label> {
    let gone = || Error::retry(format!("{} is gone", store.url(key)));
    let meta = store.head(key).await?.ok_or_else(gone)?;
    if let Some(label) = Label::read(&meta.metadata) {
        return Ok(label);
    }
    let foreign = || {
        Error::fatal(format!(
            "{} is not Lakefeed's or lost its metadata: it does not say which offsets it holds; move it away or choose another topics.dir",
            store.url(key)
        ))
    };
    let footer = footer(store, key, meta.size).await?.ok_or_else(foreign)?;
    Label::read(&footer).ok_or_else(foreign)
}

/// The key-value pairs of a Parquet file's footer; `None` if it is not a Parquet file.
async fn footer(store: &Store, key: &str, size: u64) -> Result<Option<BTreeMap<String, String>>> {
    use parquet::file::metadata::ParquetMetaDataReader;
    let mut from = size.saturating_sub(FOOTER_BYTES);
    let mut tail = store.get_range(key, from..size).await?;
    let Some(length) = footer_length(&tail) else { return Ok(None) };
    if length > size {
        return Ok(None);
    }
    if length > size - from {
        from = size - length;
        tail = store.get_range(key, from..size).await?;
    }
    let thrift = tail.slice(tail.len() - length as usize..tail.len() - 8);
    let Ok(metadata) = ParquetMetaDataReader::decode_metadata(&thrift) else { return Ok(None) };
    let pairs = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    Ok(Some(pairs.into_iter().filter_map(|pair| Some((pair.key, pair.value?))).collect()))
}

/// The bytes of the footer with its length and magic number (Parquet format, "File format").
fn footer_length(tail: &[u8]) -> Option<u64> {
    let end = tail.len().checked_sub(8)?;
    let (length, magic) = tail[end..].split_at(4);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    (magic == b"PAR1").then_some(u64::from(length) + 8)
}

#[cfg(test)]
mod tests {
    use lakefeed_formats::Transforms;
    use lakefeed_store::StoreConfig;

    use super::*;

    #[tokio::test]
    async fn an_inventory_answers_for_lake_partitions_without_files_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Store::open(&StoreConfig::local(dir.path())).expect("open");
        let layout = KeyLayout::default();
        let keys = ["k=1/t+1+0000000005", "k=10/t+11+0000000000", "k=2/t+1+0000000000"].map(|key| format!("topics/t/{key}.parquet"));
        let t = Transforms::default().routed("t");
        let mut inventory = Inventory::new(&layout, &t, 1);
        inventory.keys = Arc::new(OnceCell::new_with(Some(Some(keys.to_vec()))));
        let mut lacks = Vec::new();
        for lake in ["k=1", "k=10", "k=2", "k=3", "k=0"] {
            lacks.push(inventory.lacks(&store, &layout.prefix(&layout.stem("t", lake), 1)).await.expect("known"));
        }
        assert_eq!(lacks, [false, true, false, true, true]);
        assert_eq!(inventory.of, Some(("topics/t/".to_owned(), "t+1+".to_owned())));
        // A directory gives no inventory, and without a folder of its own a topic has none.
        let unknown = Inventory::new(&layout, &t, 1);
        assert!(!unknown.lacks(&store, "topics/t/k=3/t+1+").await.expect("asked"));
        let whole = Inventory::new(&KeyLayout { whole_prefix: true, ..layout }, &t, 1);
        assert_eq!(whole.of, None);
    }
}
