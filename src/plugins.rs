//! The plugins of this binary.

use lakefeed_core::Plugin;

/// All plugins, by class.
pub(crate) fn all() -> [Plugin; 4] {
    [lakefeed_csv::PLUGIN, lakefeed_dynamodb::PLUGIN, lakefeed_s3::PLUGIN, lakefeed_stdout::PLUGIN]
}
