"""Makes the calls of Kafka Connect's REST interface against Apache Kafka Connect and against Lakefeed, and compares the answers.

    compare.py LAKEFEED [--verbose]

LAKEFEED is the binary. Both workers run beside the brokers at KAFKA_BOOTSTRAP, with the same worker file but for their addresses. A call is
in `calls.py`; each difference between two answers must be one that docs/kafka-connect.md lists, and each that it lists must be seen. Prints
a table: same, the names of the listed differences, or DIFFERS with what each said. Exit code 1 if anything differs without being listed.

Not compared: texts for people in definitions (`documentation`, `order_in_group`), the text of traces, times. Addresses, names of
connectors, the classes of the two sinks and of the two sources, and versions of plugins stand for each other.
"""

import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import calls

HERE = pathlib.Path(__file__).resolve().parent
STACK = HERE.parent / "stack"
DOCUMENT = HERE.parent.parent / "docs" / "kafka-connect.md"
# Connectors change beside the calls that tell them to: a question is asked again for so many seconds, and for so many when both answers have what
# they are waited for.
PATIENCE = 30
SETTLED = 2
HEADERS = ["content-type", "location", "allow", "www-authenticate", "access-control-allow-origin", "access-control-allow-methods"]
# What one side alone has in the configuration of a connector.
OWN_KEYS = {"file", "input.path", "input.file.pattern", "cleanup.policy", "task.class"}


class Side:
    """One of the two workers: where it is, and what stands for what."""

    def __init__(self, name, address, run, words):
        self.name, self.address, self.saved = name, address, {}
        self.words = words | {"sink": f"{name}-{run}-sink", "source": f"{name}-{run}-source", "failed": f"{name}-{run}-failed"}

    def fill(self, value):
        """A path or a body with this side's words for `<word>`."""
        if callable(value):
            return value(self)
        if isinstance(value, str):
            return re.sub(r"<(\w+)>", lambda found: self.words.get(found[1], found[0]), value)
        if isinstance(value, list):
            return [self.fill(entry) for entry in value]
        if isinstance(value, dict):
            own = {self.fill(key): self.fill(entry) for key, entry in value.items() if not key.startswith(("apache:", "lakefeed:"))}
            prefix = f"{self.name}:"
            return own | {key[len(prefix):]: self.fill(entry) for key, entry in value.items() if key.startswith(prefix)}
        return value

    def plain(self, text):
        """A text with the words back in their places, the longest first."""
        text = text.replace(f"http://{self.address}", "<url>").replace(self.address, "<worker>")
        for word, value in sorted(self.words.items(), key=lambda pair: -len(pair[1])):
            if value:
                # A whole word: no end of another class.
                text = re.sub(rf"(?<![A-Za-z]){re.escape(value)}", f"<{word.removeprefix('Simple').removeprefix('Short')}>", text)
        pairs = lambda found: "{" + ", ".join(sorted(pair for pair in found[1].split(", ") if pair.split("=")[0] not in OWN_KEYS)) + "}"
        return re.sub(r"\{([\w.]+=[^{}]*)\}", pairs, text)

    def ask(self, call):
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {"Connection": "close"} | call.headers
        body = call.text
        if call.body is not None:
            body = json.dumps(self.fill(call.body))
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        body = None if body is None else body.encode()
        if body is None and call.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        connection.putrequest(call.method, self.fill(call.path), skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        connection.close()
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            parsed = text
        if call.save:
            self.saved = parsed
        answer = {"status": response.status, "body": self.comparable(parsed)}
        for name in HEADERS:
            value = response.getheader(name)
            if value is not None:
                words = self.plain(value)
                # The order of methods says nothing.
                answer[f"header {name}"] = ",".join(sorted(words.split(","))) if "allow" in name else words
        return answer

    def comparable(self, value, key=""):
        if isinstance(value, dict):
            kept = {name: entry for name, entry in value.items() if name not in ("documentation", "order_in_group") and not (name in OWN_KEYS and "connector.class" in value)}
            if isinstance(value.get("trace"), str) and value["trace"]:
                kept["trace"] = "<trace>"
            if isinstance(value.get("last_modified"), int):
                kept["last_modified"] = "<time>"
            if "version" in kept and "kafka_cluster_id" not in kept:
                kept["version"] = "<version>"
            return {self.plain(name): self.comparable(entry, name) for name, entry in kept.items()}
        if isinstance(value, list):
            entries = [self.comparable(entry) for entry in value]
            names = [named(entry) for entry in entries]
            # Lists of things with names are compared by them: their order says nothing.
            if entries and all(names) and len(set(names)) == len(names):
                return dict(zip(names, entries))
            return sorted(entries, key=json.dumps) if key in ("groups", "allow") else entries
        return self.plain(value) if isinstance(value, str) else value


def named(entry):
    if not isinstance(entry, dict):
        return None
    if "class" in entry:
        return f"{entry['class']} {entry.get('type')}"
    if isinstance(entry.get("value"), dict) and "name" in entry["value"]:
        return entry["value"]["name"]
    return entry.get("name") if "type" in entry and "required" in entry else None


MISSING = "(nothing)"


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
    """The differences that docs/kafka-connect.md lists: lines of its table that begin with a name in backquotes."""

    def __init__(self):
        lines = DOCUMENT.read_text().splitlines()
        self.names = {found[1] for found in (re.match(r"\| `([\w -]+)` \|", line) for line in lines) if found}
        unknown = [rule[0] for rule in calls.LISTED if rule[0] not in self.names]
        if unknown:
            sys.exit(f"compare.py: {DOCUMENT.name} has no line for {', '.join(unknown)}")
        self.used = set()

    def name(self, call, difference):
        """The name of a difference, if it is listed."""
        at, apache, lakefeed = difference
        for number, (name, calls_of, place, *values) in enumerate(calls.LISTED):
            said = (json.dumps(apache), json.dumps(lakefeed))
            fits = all(re.search(pattern, text) for pattern, text in zip(values, said))
            if fits and re.search(calls_of, f"{call.method} {call.path}{' ' + call.note if call.note else ''}") and re.fullmatch(place, at):
                self.used.add(number)
                return name
        return None

    def unseen(self):
        return [rule for number, rule in enumerate(calls.LISTED) if number not in self.used]


def compare(call, apache, lakefeed, listed):
    """Both answers, the listed differences and the others."""
    deadline = time.monotonic() + PATIENCE
    settled = not call.until
    if settled:
        deadline = time.monotonic() + SETTLED
    while True:
        one, other = apache.ask(call), lakefeed.ask(call)
        names, open_ones = set(), []
        for difference in differences(one, other):
            name = listed.name(call, difference)
            names.add(name) if name else open_ones.append(difference)
        if not settled and all(call.until in json.dumps(answer) for answer in (one, other)):
            settled, deadline = True, time.monotonic() + SETTLED
        late = time.monotonic() > deadline
        if not settled and late:
            open_ones.append(("until", f"{call.until} in {json.dumps(one)}", f"{call.until} in {json.dumps(other)}"))
        if call.method != "GET" or late or (settled and not open_ones):
            return one, other, sorted(names), open_ones
        time.sleep(0.05)


def shortened(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + "..."


def run_calls(apache, lakefeed, verbose):
    listed, wrong, counts = Listed(), 0, {"same": 0, "listed": 0}
    for call in calls.CALLS:
        one, other, names, open_ones = compare(call, apache, lakefeed, listed)
        what = f"{call.method} {call.path}" + (f" {call.note}" if call.note else "")
        verdict = "DIFFERS" if open_ones else ", ".join(names) or "same"
        counts["listed" if names else "same"] += 0 if open_ones else 1
        wrong += bool(open_ones)
        print(f"{what:<96} {one['status']}  {verdict}", flush=True)
        for at, said, ours in open_ones[:12]:
            print(f"    {at}\n        Kafka Connect: {shortened(said)}\n        Lakefeed:      {shortened(ours)}")
        if verbose and open_ones:
            print(f"    {json.dumps(one, ensure_ascii=False)}\n    {json.dumps(other, ensure_ascii=False)}")
    for rule in listed.unseen():
        wrong += 1
        print(f"listed, but not seen: {rule}")
    print(f"\n{len(calls.CALLS)} calls: {counts['same']} the same, {counts['listed']} differ as docs/{DOCUMENT.name} says, {wrong} wrong")
    return 1 if wrong else 0


def wait_for_file(path, process, what):
    deadline = time.monotonic() + 60
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"compare.py: {what} did not start")
        time.sleep(0.05)
    return path.read_text().strip()


def kafka_tool(*arguments, lines=None):
    text = None if lines is None else "\n".join(lines) + "\n"
    done = subprocess.run([STACK / "kafka-tool.sh", *arguments, "--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"]], input=text, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"compare.py: {arguments[0]} failed: {done.stderr}")


def lakefeed_address(log, process):
    deadline = time.monotonic() + 60
    while True:
        found = re.search(r"answered at http://([\d.]+:\d+)", log.read_text())
        if found:
            return found[1]
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"compare.py: Lakefeed did not start: {log.read_text()}")
        time.sleep(0.05)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--verbose"]
    if len(arguments) != 1 or "KAFKA_BOOTSTRAP" not in os.environ:
        sys.exit("usage: KAFKA_BOOTSTRAP=HOST:PORT compare.py LAKEFEED [--verbose]")
    run = f"{os.getpid():x}{int(time.time()):x}"
    topic = f"compare-{run}"
    kafka_tool("topics", "--create", "--topic", topic, "--partitions", "1", "--replication-factor", "1")
    kafka_tool("topics", "--create", "--topic", f"{topic}-bad", "--partitions", "1", "--replication-factor", "1")
    kafka_tool("console-producer", "--topic", topic, lines=['{"id":1}', '{"id":2}', '{"id":3}'])
    kafka_tool("console-producer", "--topic", f"{topic}-bad", lines=['{"id":1}', "{no JSON"])
    with tempfile.TemporaryDirectory(prefix="lakefeed-compare.") as home:
        home = pathlib.Path(home)
        rows = home / "rows"
        rows.mkdir()
        (rows / "rows.csv").write_text("id\n1\n2\n3\n")
        connect = subprocess.Popen([STACK / "connect.sh", "--attached", home / "connect"], stdin=subprocess.PIPE, env=os.environ | {"CONNECT_PROPERTIES": calls.WORKER})
        worker, log = home / "worker.properties", home / "lakefeed.log"
        worker.write_text(
            f"bootstrap.servers={os.environ['KAFKA_BOOTSTRAP']}\nlisteners=http://127.0.0.1:0\nkey.converter=org.apache.kafka.connect.storage.StringConverter\n"
            "value.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter.schemas.enable=false\n"
            f"offset.storage.file.filename={home}/offsets\nstate.dir={home}/state\noffset.flush.interval.ms=200\n{calls.WORKER}\n"
        )
        with log.open("w") as stderr:
            lakefeed = subprocess.Popen([arguments[0], "connect", worker], stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            words = {"topic": topic, "rows": str(rows), "out": str(home / "out")}
            file = "org.apache.kafka.connect.file.FileStream"
            apache = Side("apache", wait_for_file(home / "connect" / "address", connect, "Kafka Connect"), run, words | {
                "Sink": f"{file}SinkConnector", "Source": f"{file}SourceConnector", "SimpleSink": "FileStreamSinkConnector", "ShortSink": "FileStreamSink",
                "SinkTask": f"{file}SinkTask", "SourceTask": f"{file}SourceTask",
            })
            ours = Side("lakefeed", lakefeed_address(log, lakefeed), run, words | {
                "Sink": "StdoutSinkConnector", "Source": "CsvSourceConnector", "SimpleSink": "StdoutSinkConnector", "ShortSink": "StdoutSink",
                "SinkTask": "StdoutSinkTask", "SourceTask": "CsvSourceTask",
            })
            return run_calls(apache, ours, "--verbose" in sys.argv)
        finally:
            lakefeed.terminate()
            lakefeed.wait()
            connect.stdin.close()
            connect.wait()


sys.exit(main())
