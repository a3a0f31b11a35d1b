"""The ways in which both sides are run, each with its calls."""

import base64
from dataclasses import dataclass

from calls import CALLS, SINK, SOURCE, VALIDATE, Call, delete, get, patch, post, put, sink


@dataclass
class Mode:
    name: str
    calls: list
    cluster: bool = False
    # Users and passwords, as Java properties.
    users: str | None = None


@dataclass
class Step:
    """What happens to both sides between two calls."""

    what: str
    do: callable


RUNNING = '"id": 1, "state": "RUNNING"'
TWO = sink() | {"tasks.max": "2"}
LOGGER = "/admin/loggers/org.apache.kafka.connect.runtime"

# The first worker is alone when it starts: among Kafka Connect's it leads from then on.
CLUSTER = [
    Step("a second worker starts", lambda side: side.start_worker()),
    get("/"),
    get("/health"),
    get("/connectors"),
    # What one worker makes is everybody's.
    post("/connectors", {"name": "<sink>", "config": TWO}, at=1, note="made by the second worker"),
    post("/connectors", {"name": "<sink>", "config": TWO}, at=0, note="again, by the first"),
    post("/connectors", {"name": "<sink>", "config": TWO}, at=1, note="again, by the second"),
    get("/connectors"),
    get("/connectors/<sink>"),
    get("/connectors/<sink>/status", until=RUNNING),
    get("/connectors/<sink>/tasks/0/status", until="RUNNING"),
    get("/connectors/<sink>/tasks/1/status", until="RUNNING"),
    get("/connectors?expand=status&expand=info"),
    get("/connectors/<sink>/topics", until='"<topic>"'),
    get("/connectors/<sink>/offsets", until='"kafka_offset": 3'),
    put("/connectors/<sink>/topics/reset", at=1, note="by the second"),
    # Each task is started over by its owner, whoever is asked.
    post("/connectors/<sink>/tasks/0/restart", at=0, note="by the first"),
    post("/connectors/<sink>/tasks/1/restart", at=0, note="by the first"),
    get("/connectors/<sink>/status", until=RUNNING),
    post("/connectors/<sink>/tasks/0/restart", at=1, note="by the second"),
    post("/connectors/<sink>/tasks/1/restart", at=1, note="by the second"),
    post("/connectors/<sink>/tasks/7/restart", at=1, note="none of its tasks"),
    get("/connectors/<sink>/status", until=RUNNING),
    post("/connectors/<sink>/restart", at=0, note="by the first"),
    post("/connectors/<sink>/restart", at=1, note="by the second"),
    post("/connectors/<sink>/restart?includeTasks=true", at=1, note="by the second"),
    get("/connectors/<sink>/status", until=RUNNING),
    # Who is asked passes a call on in Kafka Connect, unless it must not.
    put("/connectors/<sink>/config?forward=true", TWO, at=1, note="by the second"),
    put("/connectors/<sink>/config?forward=false", TWO, at=0, note="by the first"),
    put("/connectors/<sink>/config?forward=false", TWO, at=1, note="by the second"),
    put("/connectors/<sink>/config?forward=maybe", TWO, at=0, note="by the first"),
    # What workers of Kafka Connect say to each other.
    post("/connectors/<sink>/tasks", text="[]", note="no signature"),
    put("/connectors/<sink>/fence", note="no signature"),
    # Names and groups that can't be.
    post("/connectors", {"name": "<same>", "config": SINK}, note="the group of the workers"),
    put(VALIDATE, sink(name="<same>"), note="the group of the workers"),
    post("/connectors", {"name": "<failed>", "config": SINK | {"consumer.override.group.id": "<group>"}}, note="the group of the workers, by a key"),
    # The log of one worker, and of all.
    put(LOGGER, {"level": "ERROR"}, at=0, note="of one worker"),
    get(LOGGER, at=0, note="of that worker"),
    get(LOGGER, at=1, note="of the other worker"),
    put(f"{LOGGER}?scope=cluster", {"level": "DEBUG"}, at=1, note="of all"),
    get(LOGGER, until="DEBUG", note="of all"),
    put(f"{LOGGER}?scope=cluster", {"level": "LOUD"}, at=1, note="of all"),
    put(f"{LOGGER}?scope=cluster", {}, at=1, note="of all"),
    # Somebody goes, and somebody comes.
    put("/connectors/<sink>/pause", at=1, note="by the second"),
    get("/connectors/<sink>/status", until='"id": 1, "state": "PAUSED"'),
    Step("the second worker stops", lambda side: side.stop_worker()),
    get("/connectors/<sink>/status", until='"id": 1, "state": "PAUSED"'),
    put("/connectors/<sink>/resume"),
    get("/connectors/<sink>/status", until=RUNNING),
    put("/connectors/<sink>/stop"),
    get("/connectors/<sink>/status", until='"tasks": []'),
    Step("another worker starts", lambda side: side.start_worker()),
    get("/connectors"),
    get("/connectors/<sink>"),
    get("/connectors/<sink>/status", until="STOPPED"),
    get("/connectors/<sink>/offsets"),
    delete("/connectors/<sink>/offsets", at=1, note="by the new worker"),
    get("/connectors/<sink>/offsets"),
    delete("/connectors/<sink>", at=1, note="by the new worker"),
    get("/connectors/<sink>"),
    get("/connectors"),
]


def credentials(text, scheme="Basic "):
    return {"Authorization": scheme + base64.b64encode(text.encode()).decode()}


ALICE = credentials("alice:wonder:land")
USERS = "alice=wonder:land\nbob=\nzo\\u00eb=\\u00fc\n"


def who(headers, note):
    """A call that every user may make."""
    return get("/connectors", headers=headers, note=note)


PASSWORDS = [
    # Who may call.
    who(ALICE, "the right password"),
    who({}, "nothing"),
    who(credentials("alice:wonder:lane"), "a wrong password"),
    who(credentials("alice:wonder:land "), "a blank behind the password"),
    who(credentials("Alice:wonder:land"), "the name in capitals"),
    who(credentials("alice:"), "no password"),
    who(credentials("alice"), "no colon"),
    who(credentials("carol:x"), "an unknown user"),
    who(credentials(":wonder:land"), "no name"),
    who(credentials(":"), "neither name nor password"),
    who(credentials(""), "nothing behind the scheme"),
    who(credentials("bob:"), "an empty password that is right"),
    who(credentials("bob:x"), "a password where none is right"),
    who(credentials("zoë:ü"), "letters beyond ASCII"),
    # How it is said.
    who(credentials("alice:wonder:land", "basic "), "the scheme in small letters"),
    who(credentials("alice:wonder:land", "BASIC "), "the scheme in capitals"),
    who(credentials("alice:wonder:land", "Basic  "), "two blanks"),
    who(credentials("alice:wonder:land", "Basic"), "no blank"),
    who(credentials("alice:wonder:land", "Bearer "), "another scheme"),
    who(credentials("alice:wonder:land", ""), "no scheme"),
    who({"Authorization": "Bearer abc"}, "a token"),
    who({"Authorization": "Basic"}, "the scheme alone"),
    who({"Authorization": ""}, "an empty header"),
    who({"Authorization": "Basic *"}, "no Base64"),
    who({"Authorization": ALICE["Authorization"].rstrip("=")}, "Base64 without its end"),
    who({"Authorization": "Basic /w=="}, "no UTF-8"),
    # Where.
    get("/", note="nothing"),
    get("/health", note="nothing"),
    get("/health", headers=ALICE, note="the right password"),
    get("/connectors/nope", note="nothing"),
    get("/connectors/nope", headers=ALICE, note="the right password"),
    get("/connector-plugins", note="nothing"),
    get("/admin/loggers", note="nothing"),
    get("/nope", note="nothing"),
    get("/nope", headers=ALICE, note="the right password"),
    get("/connectors/<sink>/tasks/x/status", note="nothing"),
    delete("/connectors", note="no such method, nothing"),
    delete("/connectors", headers=ALICE, note="no such method"),
    get("/connectors", headers={"Accept": "text/html"}, note="Accept: text/html, nothing"),
    get("/connectors", headers={"Accept": "application/json"}, note="Accept: application/json, nothing"),
    Call("HEAD", "/connectors", note="nothing"),
    Call("OPTIONS", "/connectors", note="no page asks, nothing"),
    Call("OPTIONS", "/connectors", headers={"Origin": "http://console:8080", "Access-Control-Request-Method": "PUT"}, note="an allowed page asks, nothing"),
    get("/connectors", headers={"Origin": "http://console:8080"}, note="of an allowed page, nothing"),
    # What changes something.
    post("/connectors", {"name": "<sink>", "config": SINK}, note="nothing"),
    post("/connectors", {"name": "<sink>", "config": SINK}, headers=credentials("bob:x"), note="a wrong password"),
    post("/connectors", text="{nope", note="no JSON, nothing"),
    post("/connectors", text="{}", headers={"Content-Type": "text/plain"}, note="a text, nothing"),
    get("/connectors", headers=ALICE, note="none was made"),
    post("/connectors", {"name": "<sink>", "config": SINK, "initial_state": "STOPPED"}, headers=ALICE, note="the right password"),
    put("/connectors/<sink>/config", SINK, note="nothing"),
    patch("/connectors/<sink>/config", {"tasks.max": "2"}, note="nothing"),
    put("/connectors/<sink>/pause", note="nothing"),
    put("/connectors/<sink>/stop", note="nothing"),
    post("/connectors/<sink>/restart", note="nothing"),
    patch("/connectors/<sink>/offsets", {}, note="nothing"),
    delete("/connectors/<sink>/offsets", note="nothing"),
    put("/connectors/<sink>/topics/reset", note="nothing"),
    put(LOGGER, {"level": "ERROR"}, note="nothing"),
    put(VALIDATE, sink(name="<sink>"), note="nothing"),
    post("/connectors/<sink>/tasks", text="[]", note="of another worker, nothing"),
    put("/connectors/<sink>/fence", note="of another worker, nothing"),
    delete("/connectors/<sink>", note="nothing"),
    delete("/connectors/<sink>", headers=ALICE, note="the right password"),
]

MODES = [
    Mode("alone", CALLS),
    Mode("cluster", CLUSTER + CALLS, cluster=True),
    Mode("passwords", PASSWORDS, users=USERS),
]
