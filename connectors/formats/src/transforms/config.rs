//! Transforms and predicates by their keys.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use lakefeed_core::{Config, ConfigDef, ConfigError, Importance, Key, KeyKind, nearest};

use super::cast::Cast;
use super::fields::{InsertField, MaskField, ReplaceField};
use super::headers::{DropHeaders, HeaderFrom, InsertHeader};
use super::keys::ValueToKey;
use super::nesting::{ExtractField, Flatten, HoistField};
use super::predicate::{Condition, Predicate};
use super::routers::{RegexRouter, TimestampRouter};
use super::timestamp::TimestampConverter;
use super::{EXTRACT_NEW_IMAGE, NamedKey, Place, Step, Transform, Transforms};
use crate::Shape;

/// A transform, or the key that is wrong.
pub(super) type Made = Result<Transform, ConfigError>;

/// A class that a connector file can name.
struct Class<T> {
    name: &'static str,
    keys: &'static [Key],
    make: fn(&Config) -> Result<T, ConfigError>,
}

const PACKAGE: &str = "org.apache.kafka.connect.transforms.";
const PREDICATES_PACKAGE: &str = "org.apache.kafka.connect.transforms.predicates.";

/// What each transform has.
const COMMON: &[Key] = &[
    Key::new("type", KeyKind::Class, "The class of the transform.").required(),
    Key::new("predicate", KeyKind::String, "The alias of a predicate: only the records that it is true of are transformed."),
    Key::new("negate", KeyKind::Boolean, "Only the records that the predicate is not true of.").default("false"),
];

const PREDICATE_COMMON: &[Key] = &[Key::new("type", KeyKind::Class, "The class of the predicate.").required()];

const fn text(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, KeyKind::String, doc)
}

const fn list(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, KeyKind::List, doc)
}

const NULLS: Key = Key::new("replace.null.with.default", KeyKind::Boolean, "Accepted as in Kafka Connect; a null stays a null.")
    .importance(Importance::Low);

const CLASSES: &[Class<Transform>] = &[
    Class {
        name: "InsertField$Value",
        keys: &[
            text("topic.field", "The field for the topic; `!` or `?` behind the name changes nothing."),
            text("partition.field", "The field for the partition."),
            text("offset.field", "The field for the offset."),
            text("timestamp.field", "The field for the timestamp of the record."),
            text("static.field", "The field for static.value."),
            text("static.value", "A fixed text."),
            NULLS,
        ],
        make: InsertField::make,
    },
    Class {
        name: "ReplaceField$Value",
        keys: &[
            list("exclude", "Fields to leave out."),
            list("include", "Fields to keep; all others are left out."),
            list("renames", "Pairs OLD:NEW."),
            list("blacklist", "The old name of exclude.").importance(Importance::Low),
            list("whitelist", "The old name of include.").importance(Importance::Low),
            NULLS,
        ],
        make: ReplaceField::make,
    },
    Class {
        name: "MaskField$Value",
        keys: &[
            list("fields", "Fields to mask.").required(),
            text("replacement", "What stands there instead; without it false, 0 or nothing."),
            NULLS,
        ],
        make: MaskField::make,
    },
    Class {
        name: "Cast$Value",
        keys: &[list("spec", "Pairs FIELD:TYPE, or one TYPE for a value without fields.").required(), NULLS],
        make: Cast::make,
    },
    Class {
        name: "TimestampConverter$Value",
        keys: &[
            text("field", "The field; without it the whole value."),
            text("target.type", "What the time becomes.").required().values(&["string", "unix", "Date", "Time", "Timestamp"]),
            text("format", "The pattern of text, as SimpleDateFormat has it in the locale en; the time zone is UTC."),
            text("unix.precision", "What numbers count.").default("milliseconds").values(&[
                "seconds",
                "milliseconds",
                "microseconds",
                "nanoseconds",
            ]),
            NULLS,
        ],
        make: TimestampConverter::make,
    },
    Class {
        name: "ExtractField$Value",
        keys: &[
            text("field", "The field that becomes the value.").required(),
            text("field.syntax.version", "V2: the field may be a path a.b.c.").default("V1").values(&["V1", "V2"]),
            NULLS,
        ],
        make: ExtractField::make,
    },
    Class { name: "HoistField$Value", keys: &[text("field", "The field that the value becomes.").required()], make: HoistField::make },
    Class {
        name: "Flatten$Value",
        keys: &[text("delimiter", "What stands between the names of a path.").default(".")],
        make: Flatten::make,
    },
    Class { name: "Filter", keys: &[], make: |_| Ok(Transform::Filter) },
    Class {
        name: "SetSchemaMetadata$Value",
        keys: &[
            text("schema.name", "What the schema is called that a source's converter writes; the columns of a sink have no schema name."),
            Key::new("schema.version", KeyKind::Int, "Accepted as in Kafka Connect; a registry counts versions by itself."),
            NULLS,
        ],
        make: |config| Ok(Transform::SetSchemaMetadata(config.get("schema.name").map(str::to_owned))),
    },
    Class { name: "ValueToKey", keys: &[list("fields", "The fields that become the key.").required(), NULLS], make: ValueToKey::make },
    Class {
        name: "InsertHeader",
        keys: &[text("header", "The name of the header.").required(), text("value.literal", "Its value.").required()],
        make: InsertHeader::make,
    },
    Class { name: "DropHeaders", keys: &[list("headers", "The names of headers to leave out.").required()], make: DropHeaders::make },
    Class {
        name: "HeaderFrom$Value",
        keys: &[
            list("fields", "The fields that become headers.").required(),
            list("headers", "The names of the headers, as many as fields.").required(),
            text("operation", "Whether the fields stay.").required().values(&["move", "copy"]),
            NULLS,
        ],
        make: HeaderFrom::make,
    },
    Class {
        name: "RegexRouter",
        keys: &[
            text("regex", "A regular expression of the whole name of a topic.").required(),
            text("replacement", "The name of the topic in its place; $1 is the first group.").required(),
        ],
        make: RegexRouter::make,
    },
    Class {
        name: "TimestampRouter",
        keys: &[
            text("topic.format", "The name of the topic, with ${topic} and ${timestamp}.").default("${topic}-${timestamp}"),
            text("timestamp.format", "The pattern of the timestamp, as SimpleDateFormat has it in the locale en; the time zone is UTC.")
                .default("yyyyMMdd"),
        ],
        make: TimestampRouter::make,
    },
];

/// Those that are of a value only, or of neither key nor value.
const OF_RECORDS: [&str; 6] = ["Filter", "ValueToKey", "InsertHeader", "DropHeaders", "RegexRouter", "TimestampRouter"];

const PREDICATES: &[Class<Predicate>] = &[
    Class { name: "HasHeaderKey", keys: &[text("name", "The name of the header.").required()], make: Predicate::has_header_key },
    Class { name: "RecordIsTombstone", keys: &[], make: Predicate::record_is_tombstone },
    Class {
        name: "TopicNameMatches",
        keys: &[text("pattern", "A regular expression of the whole name.").required()],
        make: Predicate::topic_name_matches,
    },
];

/// The classes of transforms and predicates, with their packages.
pub(super) fn classes() -> (impl Iterator<Item = String>, impl Iterator<Item = String>) {
    (
        CLASSES.iter().flat_map(|class| {
            let of_keys = class.name.strip_suffix("$Value").map(|simple| format!("{PACKAGE}{simple}$Key"));
            of_keys.into_iter().chain([format!("{PACKAGE}{}", class.name)])
        }),
        PREDICATES.iter().map(|class| format!("{PREDICATES_PACKAGE}{}", class.name)),
    )
}

/// See [`super::NamedKey`].
pub(super) fn named_keys(values: &BTreeMap<String, String>) -> Vec<NamedKey> {
    let of = |kind: &str, heading: &str, common: &'static [Key], own: fn(&str) -> &'static [Key]| {
        let aliases = values.get(kind).map(String::as_str).unwrap_or_default().split(',').map(str::trim).filter(|alias| !alias.is_empty());
        let keys = aliases.flat_map(|alias| {
            let class = values.get(&format!("{kind}.{alias}.type")).map(String::as_str).unwrap_or_default();
            let named =
                |key: &Key| NamedKey { name: format!("{kind}.{alias}.{}", key.name), group: format!("{heading}: {alias}"), key: *key };
            common.iter().chain(own(class)).map(named).collect::<Vec<_>>()
        });
        keys.collect::<Vec<_>>()
    };
    let mut keys = of("transforms", "Transforms", COMMON, |class| transform_class(class).map_or(&[], |(found, _)| found.keys));
    keys.extend(of("predicates", "Predicates", PREDICATE_COMMON, |class| predicate_class(class).map_or(&[], |found| found.keys)));
    keys
}

/// What is refused in one place, and what to do instead.
fn misplaced(transform: &Transform, condition: Option<&Condition>, config: &Config, place: Place) -> Option<ConfigError> {
    match (place, transform) {
        // What names a topic has must be known before there are records.
        (Place::Sink, router) if router.is_of_topics() && condition.is_some_and(|condition| !condition.is_of_topics()) => {
            let why = "here the name of a record hangs on its topic and its timestamp alone: use TopicNameMatches";
            Some(ConfigError::value("predicate", config.text("predicate"), why))
        }
        (Place::Source | Place::Processor, Transform::InsertField(_)) => {
            let key = ["offset.field", "partition.field"].into_iter().find(|key| config.get(key).is_some())?;
            Some(ConfigError::value(key, config.text(key), "rows on their way to a topic have no partition and no offset yet: remove it"))
        }
        _ => None,
    }
}

/// Reads all of them.
pub(super) fn read(config: &Config, place: Place) -> Result<Transforms, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let predicates = predicates(config, &mut errors);
    let mut transforms = Transforms::default();
    let mut steps = Vec::new();
    let aliases = config.list("transforms");
    errors.extend(twice("transforms", &aliases));
    let mut groups = group(config, "transforms", &aliases, &mut errors);
    for (number, alias) in aliases.iter().enumerate() {
        let Some(values) = groups.remove(alias) else { continue };
        let prefix = format!("transforms.{alias}.");
        match values.get("type").map(String::as_str) {
            Some(class) if EXTRACT_NEW_IMAGE.contains(&class) => {
                transforms.shape = if place == Place::Processor { Shape::NewImageOrTombstone } else { Shape::NewImage };
                errors.extend(image_errors(number, &prefix, class, &values));
                if place == Place::Source {
                    errors.push(ConfigError::value(
                        format!("{prefix}type"),
                        class,
                        "not supported here: a source writes no stream records",
                    ));
                }
            }
            class => match step(alias, class, &values, &predicates, place) {
                Ok(step) => steps.push(step),
                Err(found) => errors.extend(found.into_iter().map(|error| ConfigError { key: format!("{prefix}{}", error.key), ..error })),
            },
        }
    }
    if place == Place::Sink {
        errors.extend(routed_again(&steps));
    }
    if transforms.shape == Shape::NewImageOrTombstone {
        errors.extend(steps.iter().find(|step| step.changes_keys()).map(other_keys));
    }
    transforms.steps = steps.into();
    errors.sort_by(|a, b| a.key.cmp(&b.key));
    if errors.is_empty() { Ok(transforms) } else { Err(errors) }
}

/// The decoder does this one, before all others and for all records.
fn image_errors(place: usize, prefix: &str, class: &str, values: &BTreeMap<String, String>) -> Vec<ConfigError> {
    let key = |name: &str| format!("{prefix}{name}");
    let others = values.iter().filter(|(name, _)| *name != "type");
    let mut errors: Vec<_> = others.map(|(name, value)| ConfigError::value(key(name), value, "unknown key of this transform")).collect();
    if place > 0 {
        errors.push(ConfigError::value(key("type"), class, "must be the first transform: it is done while values are decoded"));
    }
    errors
}

/// Nothing that follows `TimestampRouter` in a sink gives a name: what it would make of all the times is not known beforehand.
fn routed_again(steps: &[Step]) -> Option<ConfigError> {
    let mut routers = steps.iter().filter(|step| step.transform.is_of_topics());
    routers.find(|step| matches!(step.transform, Transform::TimestampRouter(_)))?;
    let why =
        "not supported behind TimestampRouter in a sink, whose names must be known beforehand: put it before, and have one TimestampRouter";
    routers.next().map(|step| ConfigError::key(format!("transforms.{}.type", step.alias), why))
}

/// Tombstones keep their keys.
fn other_keys(step: &Step) -> ConfigError {
    let why = "not supported behind ExtractNewImage here: records of removed items have no value, and keep the key of the stream record, so rows \
               would have other keys than their tombstones; leave it out";
    ConfigError::key(format!("transforms.{}.type", step.alias), why)
}

fn twice(key: &str, aliases: &[&str]) -> Option<ConfigError> {
    let mut seen = HashSet::new();
    let alias = aliases.iter().find(|alias| !seen.insert(**alias))?;
    Some(ConfigError::value(key, *alias, "is named twice"))
}

/// The keys of each alias.
fn group<'a>(
    config: &Config, kind: &str, aliases: &[&'a str], errors: &mut Vec<ConfigError>,
) -> HashMap<&'a str, BTreeMap<String, String>> {
    let mut groups: HashMap<&str, BTreeMap<String, String>> = aliases.iter().map(|alias| (*alias, BTreeMap::new())).collect();
    for (key, value) in config.with_prefix(&format!("{kind}.")) {
        let of = |alias: &&&'a str| key.strip_prefix(**alias).is_some_and(|rest| rest.starts_with('.'));
        // An alias may have points; the longest is meant.
        match aliases.iter().filter(of).max_by_key(|alias| alias.len()) {
            Some(alias) => {
                let name = key[alias.len() + 1..].to_owned();
                groups.entry(*alias).or_default().insert(name, value.to_owned());
            }
            None => {
                let named = key.split('.').next().unwrap_or_default();
                let hint = nearest(named, aliases.iter().copied()).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
                errors.push(ConfigError::value(format!("{kind}.{key}"), value, format!("its alias is not named in {kind}{hint}")));
            }
        }
    }
    groups
}

fn step(
    alias: &str, class: Option<&str>, values: &BTreeMap<String, String>, predicates: &HashMap<String, Option<Arc<Predicate>>>, place: Place,
) -> Result<Step, Vec<ConfigError>> {
    let class = class.ok_or_else(|| vec![ConfigError::key("type", format!("is required, because transforms names {alias}"))])?;
    let (found, of_key) = transform_class(class).map_err(|message| vec![ConfigError::value("type", class, message)])?;
    let (config, errors) = ConfigDef::new().keys(COMMON).keys(found.keys).read(values);
    let condition = condition(&config, found.name, predicates);
    if !errors.is_empty() {
        return Err(own_hint(errors, found.name).into_iter().chain(condition.err()).collect());
    }
    let transform = (found.make)(&config);
    match (transform, condition) {
        (Ok(transform), Ok(condition)) => {
            if let Some(error) = misplaced(&transform, condition.as_ref(), &config, place) {
                return Err(vec![error]);
            }
            // What stands in the place of values is nobody's business.
            let hidden = |name: &str| match name {
                "type" | "static.value" | "value.literal" => true,
                "replacement" => !transform.is_of_topics(),
                _ => false,
            };
            let told = values.iter().filter(|(name, _)| !hidden(name.as_str()));
            let mut keys: Vec<_> = told.map(|(name, value)| format!("{name}={value}")).collect();
            keys.extend(condition.iter().map(|condition| format!("{:?}", condition.predicate)));
            let name = if of_key { found.name.replace("$Value", "$Key") } else { found.name.to_owned() };
            Ok(Step { alias: alias.to_owned(), described: format!("{name}({})", keys.join(" ")), transform, of_key, condition })
        }
        (transform, condition) => Err(transform.err().into_iter().chain(condition.err()).collect()),
    }
}

/// `lakefeed plugins` does not list the keys of transforms.
fn own_hint(mut errors: Vec<ConfigError>, class: &str) -> Vec<ConfigError> {
    for error in &mut errors {
        if error.message.starts_with("unknown key; `lakefeed plugins") {
            error.message = format!("unknown key of {class}");
        }
    }
    errors
}

fn condition(config: &Config, class: &str, predicates: &HashMap<String, Option<Arc<Predicate>>>) -> Result<Option<Condition>, ConfigError> {
    let negate = config.bool("negate");
    let Some(alias) = config.get("predicate") else {
        return if negate {
            Err(ConfigError::value("negate", "true", "there is no predicate to negate: set predicate too"))
        } else if class == "Filter" {
            Err(ConfigError::key("predicate", "is required: Filter without one would drop every record"))
        } else {
            Ok(None)
        };
    };
    match predicates.get(alias) {
        Some(Some(predicate)) => Ok(Some(Condition { predicate: Arc::clone(predicate), negate })),
        // What is wrong with the predicate is told with its own keys.
        Some(None) => Ok(None),
        None => {
            let hint =
                nearest(alias, predicates.keys().map(String::as_str)).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
            Err(ConfigError::value("predicate", alias, format!("is not named in predicates{hint}")))
        }
    }
}

/// The class, and whether it is that of keys.
fn transform_class(class: &str) -> Result<(&'static Class<Transform>, bool), String> {
    let name = class.strip_prefix(PACKAGE).unwrap_or(class);
    if let Some(found) = CLASSES.iter().find(|known| known.name == name) {
        return Ok((found, false));
    }
    let (simple, part) = name.split_once('$').map_or((name, None), |(simple, part)| (simple, Some(part)));
    let value = format!("{simple}$Value");
    let known = CLASSES.iter().find(|known| known.name == value);
    match (part, known) {
        (Some("Key"), Some(found)) => Ok((found, true)),
        (None, Some(_)) => Err(format!("say what it transforms: {value} or {simple}$Key")),
        (Some(_), _) if OF_RECORDS.contains(&simple) => Err(format!("it is of records, and not of keys or values: {simple}")),
        _ => Err(unknown("transform", name, CLASSES.iter().map(|known| known.name).chain(["ExtractNewImage"]))),
    }
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    let hint = nearest(name, known.clone()).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("no such {what}; there are {}{hint}", known.collect::<Vec<_>>().join(", "))
}

/// The predicates by alias; `None`: there is something wrong with it, and that is among the errors.
fn predicates(config: &Config, errors: &mut Vec<ConfigError>) -> HashMap<String, Option<Arc<Predicate>>> {
    let aliases = config.list("predicates");
    errors.extend(twice("predicates", &aliases));
    let groups = group(config, "predicates", &aliases, errors);
    let mut predicates = HashMap::new();
    for (alias, values) in groups {
        let made = predicate(alias, &values);
        let predicate = made.map_err(|found| {
            errors.extend(found.into_iter().map(|error| ConfigError { key: format!("predicates.{alias}.{}", error.key), ..error }));
        });
        predicates.insert(alias.to_owned(), predicate.ok().map(Arc::new));
    }
    predicates
}

fn predicate_class(class: &str) -> Result<&'static Class<Predicate>, String> {
    let name = class.strip_prefix(PREDICATES_PACKAGE).unwrap_or(class);
    let found = PREDICATES.iter().find(|known| known.name == name);
    found.ok_or_else(|| unknown("predicate", name, PREDICATES.iter().map(|known| known.name)))
}

fn predicate(alias: &str, values: &BTreeMap<String, String>) -> Result<Predicate, Vec<ConfigError>> {
    let class =
        values.get("type").ok_or_else(|| vec![ConfigError::key("type", format!("is required, because predicates names {alias}"))])?;
    let found = predicate_class(class).map_err(|message| vec![ConfigError::value("type", class, message)])?;
    let config = ConfigDef::new().keys(PREDICATE_COMMON).keys(found.keys).parse(values).map_err(|errors| own_hint(errors, found.name))?;
    (found.make)(&config).map_err(|error| vec![error])
}
