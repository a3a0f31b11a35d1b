//! One file per sub-command: its arguments and what it does.

pub(crate) mod check;
pub(crate) mod connect;
pub(crate) mod crawl;
pub(crate) mod demo;
pub(crate) mod generate;
pub(crate) mod plugins;
pub(crate) mod produce;
pub(crate) mod report;
pub(crate) mod sql;
pub(crate) mod top;
