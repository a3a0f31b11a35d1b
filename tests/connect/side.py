"""One of the two sides: asks its workers, and makes what they say comparable."""

import http.client
import json
import re

HEADERS = ["content-type", "location", "allow", "www-authenticate", "access-control-allow-origin", "access-control-allow-methods"]
# What one side alone has in the configuration of a connector.
OWN_KEYS = {"file", "input.path", "input.file.pattern", "cleanup.policy", "task.class"}


class Side:
    """Kafka Connect or Lakefeed: where its workers are, and what stands for what."""

    def __init__(self, name, run, start, words):
        """`start` makes a worker of a group and returns it: it has an address, and can be stopped."""
        self.name, self.start, self.workers, self.saved = name, start, [], {}
        self.words = words | {part: f"{name}-{run}-{part}" for part in ("sink", "source", "failed", "same")}
        # The consumer group that a sink called `same` would have.
        self.words["group"] = f"connect-{self.words['same']}"

    def start_worker(self):
        self.workers.append(self.start(self.words["group"]))

    def stop_worker(self):
        """Stops the worker that has come last: its address stands for nothing any more."""
        self.workers.pop().stop()

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
        for worker in self.workers:
            text = text.replace(f"http://{worker.address}", "<url>").replace(worker.address, "<worker>")
        for word, value in sorted(self.words.items(), key=lambda pair: -len(pair[1])):
            if value:
                # A whole word: no end of another class.
                text = re.sub(rf"(?<![A-Za-z]){re.escape(value)}", f"<{word.removeprefix('Simple').removeprefix('Short')}>", text)
        pairs = lambda found: "{" + ", ".join(sorted(pair for pair in found[1].split(", ") if pair.split("=")[0] not in OWN_KEYS)) + "}"
        return re.sub(r"\{([\w.]+=[^{}]*)\}", pairs, text)

    def ask(self, call, at):
        """Makes a call to the worker `at`."""
        response, text = self.send(call, self.workers[at].address)
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

    def send(self, call, address):
        host, port = address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=100)
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
        return response, text

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
            return sorted(entries, key=lambda entry: json.dumps(entry, sort_keys=True)) if key in ("groups", "allow", "tasks") else entries
        return self.plain(value) if isinstance(value, str) else value


def named(entry):
    if not isinstance(entry, dict):
        return None
    if "class" in entry:
        return f"{entry['class']} {entry.get('type')}"
    if isinstance(entry.get("value"), dict) and "name" in entry["value"]:
        return entry["value"]["name"]
    return entry.get("name") if "type" in entry and "required" in entry else None
