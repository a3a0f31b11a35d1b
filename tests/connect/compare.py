"""Makes the calls of Kafka Connect's REST interface against Apache Kafka Connect and against Lakefeed, and compares the answers.

    compare.py LAKEFEED [--verbose] [MODE...]

LAKEFEED is the binary. In each mode of `modes.py` (alone, cluster, passwords; all without a name) both sides run beside the brokers at
KAFKA_BOOTSTRAP, with the same worker files but for their addresses. Each difference between two answers must be one that docs/kafka-connect.md
lists, and each that it lists must be seen. Prints a table for each mode: same, the names of the listed differences, or DIFFERS with what each
said. Exit code 1 if anything differs without being listed.

In a cluster each question goes to every worker, and each change to one of them, in turn.

Not compared: texts for people in definitions (`documentation`, `order_in_group`), the text of traces, times. Addresses of workers, names of
connectors, the classes of the two sinks and of the two sources, and versions of plugins stand for each other.
"""

import itertools
import json
import os
import pathlib
import re
import sys
import tempfile
import time

from listed import DOCUMENT, Listed, differences
from modes import MODES, Step
from side import Side
from workers import Starter, kafka_tool

# Connectors change beside the calls that tell them to: a question is asked again for so many seconds, and for so many when both answers have what
# they are waited for.
PATIENCE = 60
SETTLED = 15


def compare(mode, call, at, apache, lakefeed, listed):
    """Both answers, the listed differences and the others."""
    settled = not call.until
    deadline = time.monotonic() + (SETTLED if settled else PATIENCE)
    while True:
        one, other = ask_patiently(apache, call, at), lakefeed.ask(call, at)
        names, open_ones = set(), []
        for difference in differences(one, other):
            name = listed.name(mode.name, call, difference)
            names.add(name) if name else open_ones.append(difference)
        if not settled and all(call.until in json.dumps(answer) for answer in (one, other)):
            settled, deadline = True, time.monotonic() + SETTLED
        late = time.monotonic() > deadline
        if not settled and late:
            open_ones.append(("until", f"{call.until} in {json.dumps(one)}", f"{call.until} in {json.dumps(other)}"))
        if call.method != "GET" or late or (settled and not open_ones):
            return one, names, open_ones
        time.sleep(0.05)


def ask_patiently(apache, call, at):
    """Kafka Connect refuses calls while its workers share out tasks anew, and wants them to be made again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = apache.ask(call, at)
        said = answer["body"].get("message", "") if isinstance(answer["body"], dict) else ""
        busy = answer["status"] == 409 and re.search("rebalance|stale configuration", said) and "forward=" not in call.path
        if not busy or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def shortened(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 400 else text[:400] + "..."


def run_calls(mode, apache, lakefeed, listed, verbose):
    """Prints the table of a mode; returns how many calls differ without being listed."""
    turns, wrong, counts = itertools.count(), 0, {"same": 0, "listed": 0}
    print(f"{mode.name}:")
    for call in mode.calls:
        if isinstance(call, Step):
            print(f"({call.what})", flush=True)
            for side in (apache, lakefeed):
                call.do(side)
            continue
        everybody = range(len(apache.workers))
        asked = [call.at] if call.at is not None else everybody if call.method == "GET" else [next(turns) % len(everybody)]
        names, open_ones = set(), []
        for at in asked:
            one, listed_ones, others = compare(mode, call, at, apache, lakefeed, listed)
            names |= listed_ones
            open_ones += others
        verdict = "DIFFERS" if open_ones else ", ".join(sorted(names)) or "same"
        counts["listed" if names else "same"] += 0 if open_ones else 1
        wrong += bool(open_ones)
        print(f"{call.words():<96} {one['status']}  {verdict}", flush=True)
        for place, said, ours in open_ones if verbose else open_ones[:12]:
            print(f"    {place}\n        Kafka Connect: {shortened(said)}\n        Lakefeed:      {shortened(ours)}")
    print(f"{sum(counts.values()) + wrong} calls: {counts['same']} the same, {counts['listed']} differ as docs/{DOCUMENT.name} says, {wrong} wrong\n")
    return wrong


def make_topics(run):
    """The topics that the sinks read: one of good records, one with a bad one."""
    topic = f"compare-{run}"
    for name, lines in ((topic, ['{"id":1}', '{"id":2}', '{"id":3}']), (f"{topic}-bad", ['{"id":1}', "{no JSON"])):
        kafka_tool("topics", "--create", "--topic", name, "--partitions", "1", "--replication-factor", "1")
        kafka_tool("console-producer", "--topic", name, lines=lines)
    return topic


def run_mode(mode, binary, topic, run, listed, verbose):
    with tempfile.TemporaryDirectory(prefix="lakefeed-compare.") as home:
        home = pathlib.Path(home)
        rows = home / "rows"
        rows.mkdir()
        (rows / "rows.csv").write_text("id\n1\n2\n3\n")
        words = {"topic": topic, "rows": str(rows), "out": str(home / "out")}
        file = "org.apache.kafka.connect.file.FileStream"
        with Starter(home, binary, mode) as starter:
            apache = Side("apache", run, starter.apache, words | {
                "Sink": f"{file}SinkConnector", "Source": f"{file}SourceConnector", "SimpleSink": "FileStreamSinkConnector", "ShortSink": "FileStreamSink",
                "SinkTask": f"{file}SinkTask", "SourceTask": f"{file}SourceTask",
            })
            lakefeed = Side("lakefeed", run, starter.lakefeed, words | {
                "Sink": "StdoutSinkConnector", "Source": "CsvSourceConnector", "SimpleSink": "StdoutSinkConnector", "ShortSink": "StdoutSink",
                "SinkTask": "StdoutSinkTask", "SourceTask": "CsvSourceTask",
            })
            for side in (apache, lakefeed):
                side.start_worker()
            return run_calls(mode, apache, lakefeed, listed, verbose)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--verbose"]
    chosen = [mode for mode in MODES if mode.name in arguments[1:]] if arguments[1:] else MODES
    if not arguments or len(chosen) < len(arguments[1:]) or "KAFKA_BOOTSTRAP" not in os.environ:
        sys.exit(f"usage: KAFKA_BOOTSTRAP=HOST:PORT compare.py LAKEFEED [--verbose] [{' '.join(mode.name for mode in MODES)}]")
    listed, run, wrong = Listed([mode.name for mode in MODES]), f"{os.getpid():x}{int(time.time()):x}", 0
    topic = make_topics(run)
    for mode in chosen:
        # Consumer groups, and so connectors, have other names in each mode.
        wrong += run_mode(mode, arguments[0], topic, f"{run}-{mode.name}", listed, "--verbose" in sys.argv)
    if chosen == MODES:
        for rule in listed.unseen():
            wrong += 1
            print(f"listed, but not seen: {rule}")
    return 1 if wrong else 0


sys.exit(main())
