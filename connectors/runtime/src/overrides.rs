//! Values of the command line, in the place of those in files.

use std::collections::BTreeMap;
use std::path::Path;

use lakefeed_core::{Error, Result, nearest};

use crate::files::{ConnectorFile, Variables, substitute};

/// `KEY=VALUE` for the worker, `NAME:KEY=VALUE` for the connector NAME. Variables are replaced as in files.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    worker: BTreeMap<String, String>,
    connectors: BTreeMap<String, BTreeMap<String, String>>,
}

impl Overrides {
    /// Reads them; a later one wins.
    ///
    /// # Errors
    /// `Config`: one has no `=` or no key, or a variable has no value.
    pub fn parse(texts: &[String], variables: &Variables) -> Result<Self> {
        let mut overrides = Self::default();
        for text in texts {
            // The value may be a secret: it is not shown.
            let wrong = || Error::config("--set: expected KEY=VALUE for the worker or NAME:KEY=VALUE for a connector");
            let (place, value) = text.split_once('=').ok_or_else(wrong)?;
            let (connector, key) = place.rsplit_once(':').map_or((None, place), |(name, key)| (Some(name), key));
            let key = key.trim();
            if key.is_empty() || connector.is_some_and(str::is_empty) {
                return Err(wrong());
            }
            let values = match connector {
                None => &mut overrides.worker,
                Some(name) => overrides.connectors.entry(name.to_owned()).or_default(),
            };
            values.insert(key.to_owned(), value.to_owned());
        }
        // Named here and not where they are used, so that every mistake ends the command.
        overrides.worker = substitute(overrides.worker, Path::new("--set"), variables)?;
        Ok(overrides)
    }

    /// The worker's keys.
    pub fn worker(&self) -> impl Iterator<Item = (String, String)> {
        self.worker.iter().map(|(key, value)| (key.clone(), value.clone()))
    }

    /// Sets the keys of a worker file that was read as a connector's.
    pub fn set_worker(&self, file: &mut ConnectorFile) {
        file.lines.retain(|key, _| !self.worker.contains_key(key));
        file.raw.extend(self.worker());
        file.values.extend(self.worker());
    }

    /// Sets a connector's keys.
    ///
    /// # Errors
    /// `Config`: a variable has no value.
    pub fn set_connector(&self, file: &mut ConnectorFile, variables: &Variables) -> Result<()> {
        let Some(raw) = self.connectors.get(&file.name()) else { return Ok(()) };
        let values = substitute(raw.clone(), Path::new("--set"), variables)?;
        file.lines.retain(|key, _| !raw.contains_key(key));
        file.raw.extend(raw.clone());
        file.values.extend(values);
        Ok(())
    }

    /// Refuses what no connector has taken.
    ///
    /// # Errors
    /// `Config`: a connector is named that there is not.
    pub fn all_taken<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
        let Some(unknown) = self.connectors.keys().find(|name| !names.clone().any(|known| known == *name)) else { return Ok(()) };
        let known: Vec<_> = names.clone().collect();
        let hint = nearest(unknown, names).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        Err(Error::config(format!("--set: no connector is called '{unknown}'; there are: {}{hint}", known.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Overrides> {
        Overrides::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), &Variables::default().with("V", "seven"))
    }

    #[test]
    fn keys_go_to_the_worker_or_to_the_connector_that_is_named() {
        let variables = Variables::default().with("V", "seven");
        let raw = [("name", "orders:b"), ("topics", "t"), ("flush.size", "1")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut file = ConnectorFile::new("test", raw.into()).expect("valid");
        let overrides =
            parse(&["listeners=http://:0", "x=${env:V}", "orders:b:flush.size=${env:V}", "orders:b:flush.size=2", "orders:b:e=f=g"])
                .expect("valid");
        let mut worker = BTreeMap::from([("listeners".to_owned(), "http://:8083".to_owned())]);
        worker.extend(overrides.worker());
        overrides.set_connector(&mut file, &variables).expect("valid");
        assert_eq!((&*worker["listeners"], &*worker["x"]), ("http://:0", "seven"));
        assert_eq!((&*file.values["flush.size"], &*file.values["e"], &*file.values["topics"]), ("2", "f=g", "t"));
        overrides.all_taken(["orders:b"].into_iter()).expect("taken");
        let error = overrides.all_taken(["orders:c", "z"].into_iter()).expect_err("nobody's");
        assert!(error.chain().contains("'orders:b'; there are: orders:c, z; did you mean 'orders:c'?"), "{}", error.chain());
    }

    #[test]
    fn what_is_no_override_is_refused_without_its_value() {
        for text in ["secret", "=secret", ":key=secret", "name:=secret"] {
            let error = parse(&[text]).expect_err("refused");
            assert!(error.chain().contains("expected KEY=VALUE") && !error.chain().contains("secret"), "{}", error.chain());
        }
        assert!(parse(&["a=${env:LAKEFEED_NO_SUCH}"]).expect_err("no variable").chain().contains("LAKEFEED_NO_SUCH"));
    }
}
