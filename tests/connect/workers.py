"""Starts the workers of both sides, and stops them."""

import itertools
import os
import pathlib
import re
import subprocess
import sys
import time

STACK = pathlib.Path(__file__).resolve().parents[1] / "stack"
# Lines of every worker's file.
LINES = ["access.control.allow.origin=http://console:8080", "access.control.allow.methods=GET,PUT"]
EXTENSION = "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension"
START_SECONDS = 60


class Worker:
    """A running worker."""

    def __init__(self, process, address):
        self.process, self.address = process, address

    def stop(self):
        # Kafka Connect's script stops when its standard input ends, Lakefeed by the signal.
        if self.process.stdin:
            self.process.stdin.close()
        else:
            self.process.terminate()
        self.process.wait()


class Starter:
    """Makes workers with files below `home`; those that are still there when it ends are stopped."""

    def __init__(self, home, binary, mode):
        self.home, self.binary, self.mode = home, binary, mode
        self.numbers, self.made = itertools.count(), []
        self.users = home / "users"
        if mode.users:
            self.users.write_text(mode.users)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.made:
            if worker.process.poll() is None:
                worker.stop()

    def apache(self, group):
        home = self.home / f"apache-{next(self.numbers)}"
        environment = os.environ | {"CONNECT_PROPERTIES": "\n".join(LINES)}
        if self.mode.cluster:
            environment["CONNECT_GROUP"] = group
        if self.mode.users:
            environment["CONNECT_USERS"] = str(self.users)
        process = subprocess.Popen([STACK / "connect.sh", "--attached", home], stdin=subprocess.PIPE, env=environment)
        place = home / "address"
        wait_until("Kafka Connect", process, place.exists)
        return self.keep(process, place.read_text().strip())

    def lakefeed(self, group):
        home = self.home / f"lakefeed-{next(self.numbers)}"
        home.mkdir()
        lines = LINES + [
            f"bootstrap.servers={os.environ['KAFKA_BOOTSTRAP']}", "listeners=http://127.0.0.1:0", "key.converter=org.apache.kafka.connect.storage.StringConverter",
            "value.converter=org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable=false", f"offset.storage.file.filename={home}/offsets",
            f"state.dir={home}/state", "offset.flush.interval.ms=200",
        ]
        if self.mode.cluster:
            lines += [f"group.id={group}"] + [f"{part}.storage.topic={group}-{part}" for part in ("config", "offset", "status")]
        if self.mode.users:
            lines += [f"rest.extension.classes={EXTENSION}", f"rest.basic.auth.file={self.users}"]
        file, log = home / "worker.properties", home / "log"
        file.write_text("\n".join(lines) + "\n")
        with log.open("w") as stderr:
            process = subprocess.Popen([self.binary, "connect", file], stdout=subprocess.DEVNULL, stderr=stderr)
        found = lambda: re.search(r"answered at http://([\d.]+:\d+)", log.read_text())
        wait_until(f"Lakefeed (its log is {log})", process, found)
        return self.keep(process, found()[1])

    def keep(self, process, address):
        self.made.append(Worker(process, address))
        return self.made[-1]


def wait_until(what, process, holds):
    deadline = time.monotonic() + START_SECONDS
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            sys.exit(f"compare.py: {what} did not start")
        time.sleep(0.05)


def kafka_tool(*arguments, lines=None):
    text = None if lines is None else "\n".join(lines) + "\n"
    done = subprocess.run([STACK / "kafka-tool.sh", *arguments, "--bootstrap-server", os.environ["KAFKA_BOOTSTRAP"]], input=text, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"compare.py: {arguments[0]} failed: {done.stderr}")
