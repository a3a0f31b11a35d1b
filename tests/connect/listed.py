"""Where two answers differ, and which differences docs/kafka-connect.md lists."""

import json
import pathlib
import re
import sys

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "kafka-connect.md"
MISSING = "(nothing)"

# Name of the difference in docs/kafka-connect.md, a pattern of the calls, a pattern of the whole place in the answer, and where they say more than
# that patterns of what Kafka Connect and what Lakefeed says there.
NOTHING = r'^"\(nothing\)"$'
LISTED = [
    ("commit", r"^GET /( |$)", r"/body/commit"),
    ("content-type", r"", r"/header content-type", NOTHING, r"application/json"),
    ("allow", r"no such method|^OPTIONS", r"/header allow"),
    ("options", r"^OPTIONS", r"/body|/header content-type"),
    ("slash", r"%2Fx", r"/status|/body|/header content-type", r"400|html|Ambiguous"),
    ("slash", r"a name with a slash", r"/header location"),
    # What is there.
    ("plugins", r"^GET /connector-plugins/?(\?.*)?$", r"/body/.*"),
    ("keys", r"config$", r"/body/[^/]+", NOTHING, r""),
    ("keys", r"config$", r"/body/(file|converter\.type|.*plugin\.version)", r"", NOTHING),
    ("keys", r"validate", r"/body/configs/[^/]+", NOTHING, r'^\{"definition": \{'),
    ("keys", r"validate", r"/body/configs/(file|.*converter\.type|.*plugin\.version)", r"", NOTHING),
    ("definitions", r"config$", r"/body/[^/]+/(display_name|width|importance|default_value|group|type)"),
    ("definitions", r"validate", r"/body/configs/[^/]+/definition/(display_name|width|importance|default_value|group|type)"),
    ("definitions", r"validate", r"/body/groups(/.*)?"),
    ("definitions", r"validate", r"/body/configs/[^/]+/value/(value|recommended_values)"),
    ("loggers", r"loggers", r"/body(/.*)?", r"", r"^(?!.*error_code)"),
    ("source offsets", r"<source>/offsets", r"/body/offsets/0/(offset|partition)/.*"),
    ("source offsets", r"<source>/offsets an empty partition", r"/status|/body/(error_code|message)"),
    # What is wrong with a configuration.
    ("errors", r"validate", r"/body/configs/[^/]+/value/errors(/.*)?|/body/error_count"),
    ("errors", r"config|^POST /connectors ", r"/body/message", r"Connector configuration is invalid", r"Connector configuration is invalid"),
    ("null", r"a null$", r"/status|/body/.*"),
    ("unknown class", r"an unknown class", r"/body/message", r"PluginDesc", r"available connectors are"),
    ("name", r"^PATCH /connectors/<sink>/config another name", r"/status|/body/.*", r"200|nothing|<sink>|connector|sink", r"400|nothing|doesn't match"),
    ("hints", r"text/plain", r"/body/message"),
    # Faults that Kafka Connect takes for its own.
    ("faults", r"", r"/status|/body/error_code", r"^500$", r"^40[04]$"),
    ("faults", r"", r"/body/message", r'^"(Cannot|org\.apache|Unexpected|No connector|Failed to start task)'),
    # States.
    ("trace", r"restart\?includeTasks=true&onlyFailed=true failed", r"/body/tasks/0/trace", r"", NOTHING),
    ("paused", r"<failed>|a name with a blank", r"/body/tasks", r"^\[\]$"),
]
# What only one mode shows.
OF_MODE = {
    "cluster": [
        ("new tasks", r"^(POST /connectors|PUT /connectors/<source>/config) made|^PATCH", r"/body/tasks", r"^\[", r"^\["),
        ("unknown", r"restart", r"/body/message", r"^\"Unknown (connector: nope|task: <sink>-\d)", r"not found"),
        ("leader", r"forward=false by the second$", r"/status|/body/.*", r"409|conflicting operation|nothing", r"200|nothing|sink"),
        ("between workers", r"no signature$", r"/status|/body/.*|/header allow", r"400|missing required signature|nothing", r"40[45]|HTTP 40[45]|GET"),
    ],
    "passwords": [
        ("password", r"", r"/body", r'^"User cannot access the resource."$', r'"User cannot access the resource."'),
        ("challenge", r"", r"/header www-authenticate", NOTHING, r"Basic realm"),
        ("asked first", r"nothing$", r"/status|/body/error_code", r"^(404|405|406|415|500)$", r"^401$"),
        ("asked first", r"nothing$", r"/body/message", r"HTTP 4|in standalone mode does not support", r"User cannot access"),
        ("asked first", r"of another worker, nothing$", r"/header allow", NOTHING, r"GET"),
        ("malformed", r"no Base64$", r"/status|/body/error_code", r"^500$", r"^401$"),
        ("malformed", r"no Base64$", r"/body/message", r"base64", r"User cannot access"),
        ("malformed", r"two blanks$", r"/status|/body", r"^500$|Illegal base64", r"^200$|^\[\]$"),
        ("page", r"an allowed page asks, nothing$", r"/status", r"^401$", r"^200$"),
    ],
}


def differences(one, other, at=""):
    """Where two answers differ: place, what Apache Kafka Connect says, what Lakefeed says."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key, MISSING), other.get(key, MISSING), f"{at}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (a, b) in enumerate(zip(one, other)):
            yield from differences(a, b, f"{at}/{index}")
    elif one != other or type(one) is not type(other):
        yield at, one, other


class Listed:
    """The differences that the document lists, in its tables of names and differences."""

    def __init__(self, modes):
        tables = re.findall(r"^\| name \| difference \|\n\| --- \| --- \|\n((?:\|.*\n)+)", DOCUMENT.read_text(), re.MULTILINE)
        names = {name for table in tables for name in re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)}
        self.rules = {mode: LISTED + OF_MODE.get(mode, []) for mode in modes}
        odd = names ^ {rule[0] for rule in self.all()}
        if odd:
            sys.exit(f"compare.py: only one of {DOCUMENT.name} and listed.py has {', '.join(sorted(odd))}")
        self.used = set()

    def all(self):
        return {rule for rules in self.rules.values() for rule in rules}

    def name(self, mode, call, difference):
        """The name of a difference, if it is listed."""
        at, apache, lakefeed = difference
        said = (json.dumps(apache), json.dumps(lakefeed))
        for rule in self.rules[mode]:
            name, calls_of, place, *values = rule
            fits = all(re.search(pattern, text) for pattern, text in zip(values, said))
            if fits and re.search(calls_of, call.words()) and re.fullmatch(place, at):
                self.used.add(rule)
                return name
        return None

    def unseen(self):
        return sorted(self.all() - self.used)
