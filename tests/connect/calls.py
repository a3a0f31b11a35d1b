"""The calls that a worker alone and those of a cluster are asked, in their order. What a cluster is asked besides is in modes.py."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    method: str
    path: str
    # JSON, or a function of a side; `text` is sent as it is.
    body: Any = None
    text: str | None = None
    headers: dict = field(default_factory=dict)
    # A question is asked again until this is in both answers.
    until: str | None = None
    # Keeps the body for later calls, as `side.saved`.
    save: bool = False
    # The worker that is asked, where not each (questions) or any (changes) will do.
    at: int | None = None
    note: str = ""

    def words(self):
        """The call as the table has it, by which listed differences find it."""
        return f"{self.method} {self.path}" + (f" {self.note}" if self.note else "")


def get(path, until=None, **more):
    return Call("GET", path, until=until, **more)


def put(path, body=None, **more):
    return Call("PUT", path, body, **more)


def post(path, body=None, **more):
    return Call("POST", path, body, **more)


def patch(path, body=None, **more):
    return Call("PATCH", path, body, **more)


def delete(path, **more):
    return Call("DELETE", path, **more)


def sink(**keys):
    return {"connector.class": "<Sink>", "topics": "<topic>", "tasks.max": "1", "apache:file": "<out>"} | keys


SINK = sink()
SOURCE = {
    "connector.class": "<Source>", "topic": "<topic>-rows", "tasks.max": "1", "apache:file": "<rows>/rows.csv", "lakefeed:input.path": "<rows>",
    "lakefeed:input.file.pattern": ".*", "lakefeed:cleanup.policy": "NONE",
}
VALIDATE = "/connector-plugins/<Sink>/config/validate"
CONVERTERS = "org.apache.kafka.connect"


def offset(topic, partition, value):
    return {"partition": {"kafka_topic": topic, "kafka_partition": partition}, "offset": value}


def offsets(*entries):
    return {"offsets": list(entries)}


def source_offset(new):
    """A change of the offset that a side has just shown."""
    return lambda side: {"offsets": [{"partition": side.saved["offsets"][0]["partition"], "offset": new and side.saved["offsets"][0]["offset"]}]}


CALLS = [
    # The worker.
    get("/"),
    get("/health"),
    get("/", headers={"Accept": "text/html"}, note="Accept: text/html"),
    get("/", headers={"Accept": "*/*"}, note="Accept: */*"),
    Call("HEAD", "/"),
    Call("HEAD", "/connectors"),
    get("/nope"),
    put("/", note="no such method"),
    post("/health", note="no such method"),
    put("/connectors", SINK, note="no such method"),
    delete("/connectors", note="no such method"),
    post("/connectors/<sink>", note="no such method"),
    Call("OPTIONS", "/connectors", note="no page asks"),
    Call("OPTIONS", "/connectors", headers={"Origin": "http://console:8080", "Access-Control-Request-Method": "PUT"}, note="an allowed page asks"),
    Call("OPTIONS", "/connectors", headers={"Origin": "http://elsewhere", "Access-Control-Request-Method": "PUT"}, note="another page asks"),
    get("/connectors", headers={"Origin": "http://console:8080"}, note="of an allowed page"),
    get("/connectors", headers={"Origin": "http://elsewhere"}, note="of another page"),
    # Plugins.
    get("/connector-plugins"),
    get("/connector-plugins/"),
    get("/connector-plugins?connectorsOnly=false"),
    get("/connector-plugins?connectorsOnly=maybe"),
    get("/connector-plugins/<Sink>/config"),
    get("/connector-plugins/<SimpleSink>/config"),
    get("/connector-plugins/<ShortSink>/config"),
    get("/connector-plugins/Nope/config"),
    get(f"/connector-plugins/{CONVERTERS}.json.JsonConverter/config"),
    get(f"/connector-plugins/{CONVERTERS}.storage.StringConverter/config"),
    get(f"/connector-plugins/{CONVERTERS}.transforms.Cast$Value/config"),
    get(f"/connector-plugins/{CONVERTERS}.transforms.Filter/config"),
    get(f"/connector-plugins/{CONVERTERS}.transforms.predicates.TopicNameMatches/config"),
    # Validation.
    put(VALIDATE, sink(name="<sink>")),
    put("/connector-plugins/<ShortSink>/config/validate", sink(name="<sink>") | {"connector.class": "<ShortSink>"}),
    put("/connector-plugins/<SimpleSink>/config/validate", sink(name="<sink>")),
    put(VALIDATE, SINK, note="no name"),
    put(VALIDATE, sink(name="<sink>") | {"topics": ""}, note="no topics"),
    put(VALIDATE, sink(name="<sink>") | {"topics.regex": "a.*"}, note="topics and topics.regex"),
    put(VALIDATE, sink(name="<sink>") | {"tasks.max": "many"}, note="no number"),
    put(VALIDATE, sink(name="<sink>") | {"tasks.max": "0"}, note="no task"),
    put(VALIDATE, sink(name="<sink>") | {"errors.tolerance": "some"}, note="no such value"),
    put(VALIDATE, sink(name="<sink>") | {"errors.log.enable": "maybe"}, note="no truth value"),
    put(VALIDATE, sink(name="<sink>") | {"errors.retry.timeout": "-2"}, note="a number out of range"),
    put(VALIDATE, sink(name="<sink>") | {"value.converter": "NoConverter"}, note="no such converter"),
    put(VALIDATE, sink(name="<sink>") | {"value.converter": f"{CONVERTERS}.json.JsonConverter", "value.converter.schemas.enable": "false"}, note="a converter"),
    put(VALIDATE, sink(name="<sink>") | {"whatever.it.is": "1"}, note="an unknown key"),
    put(VALIDATE, sink(name="<sink>") | {"errors.tolerence": "all"}, note="a misspelt key"),
    put(VALIDATE, sink(name="<sink>") | {"consumer.override.fetch.min.bytes": "1", "consumer.override.sasl.jaas.config": "secret"}, note="settings of clients"),
    put("/connector-plugins/<Source>/config/validate", SOURCE | {"name": "<source>", "topics": "getPlugins"}, note="a source's, as AKHQ asks for its keys"),
    put(VALIDATE, sink(name="<sink>") | {"transforms": "c", "transforms.c.type": f"{CONVERTERS}.transforms.Cast$Value", "transforms.c.spec": "id:int32"}, note="a transform"),
    put(VALIDATE, sink(name="<sink>") | {"transforms": "c", "transforms.c.type": f"{CONVERTERS}.transforms.Cast$Value"}, note="a transform without its key"),
    put(VALIDATE, sink(name="<sink>") | {"transforms": "c", "transforms.c.type": "Nope"}, note="no such transform"),
    put(VALIDATE, sink(name="<sink>") | {"transforms": "c"}, note="a transform without a type"),
    put(VALIDATE, sink(name="<sink>") | {"transforms": "c,c", "transforms.c.type": f"{CONVERTERS}.transforms.Flatten$Value"}, note="an alias twice"),
    put(
        VALIDATE,
        sink(name="<sink>") | {
            "transforms": "f", "transforms.f.type": f"{CONVERTERS}.transforms.Filter", "transforms.f.predicate": "p", "predicates": "p",
            "predicates.p.type": f"{CONVERTERS}.transforms.predicates.RecordIsTombstone",
        },
        note="a predicate",
    ),
    put(VALIDATE, {"topics": "<topic>", "name": "<sink>"}, note="no class"),
    put(VALIDATE, sink(name="<sink>") | {"connector.class": "<Source>"}, note="another class"),
    put("/connector-plugins/Nope/config/validate", {"connector.class": "Nope", "name": "<sink>"}),
    put(VALIDATE, {}, note="an empty object"),
    put(VALIDATE, text="{nope", note="no JSON"),
    put(VALIDATE, text="[]", note="a list"),
    put(VALIDATE, text="", note="no body"),
    put(VALIDATE, sink(name="<sink>") | {"tasks.max": 1}, note="a number as a number"),
    put(VALIDATE, sink(name="<sink>") | {"tasks.max": None}, note="a null"),
    put(VALIDATE, text="a=b", headers={"Content-Type": "text/plain"}, note="text/plain"),
    # Connectors that can't be.
    post("/connectors", {"name": "<sink>", "config": sink() | {"tasks.max": "many"}}, note="no number"),
    post("/connectors", {"name": "<sink>", "config": {"topics": "<topic>"}}, note="no class"),
    post("/connectors", {"name": "<sink>", "config": sink(name="other")}, note="another name"),
    post("/connectors", {"name": "<sink>", "config": SINK | {"connector.class": "Nope"}}, note="an unknown class"),
    post("/connectors", {"name": "<sink>", "config": SINK, "initial_state": "ASLEEP"}, note="no such state"),
    post("/connectors", {"config": SINK}, note="no name"),
    post("/connectors", {"name": "", "config": SINK}, note="an empty name"),
    post("/connectors", {"name": "<sink>"}, note="no configuration"),
    post("/connectors", {"name": "<sink>", "config": {}}, note="an empty configuration"),
    post("/connectors", {"name": "<sink>", "config": None}, note="a null for a configuration"),
    post("/connectors", {"name": "<sink>", "config": "text"}, note="a text for a configuration"),
    post("/connectors", {"name": "<sink>", "config": SINK | {"nested": {"a": 1}}}, note="a nested value"),
    post("/connectors", {"name": "<sink>\u0001x", "config": SINK}, note="a control character"),
    post("/connectors", text="{nope", note="no JSON"),
    post("/connectors", text="[]", note="a list"),
    post("/connectors", text="null", note="null"),
    post("/connectors", text="", note="no body"),
    post("/connectors", text="{}", headers={"Content-Type": "text/plain"}, note="text/plain"),
    get("/connectors"),
    # A sink.
    post("/connectors", {"name": "<sink>", "config": SINK}, note="made"),
    post("/connectors", {"name": "<sink>", "config": SINK}, note="again"),
    get("/connectors"),
    get("/connectors/"),
    get("/connectors/<sink>"),
    get("/connectors/<sink>/"),
    get("/connectors/<sink>/config"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    get("/connectors/<sink>/tasks"),
    get("/connectors/<sink>/tasks/0/status"),
    get("/connectors/<sink>/tasks/9/status"),
    get("/connectors/<sink>/tasks/x/status"),
    get("/connectors/<sink>/tasks/-1/status"),
    get("/connectors/<sink>/tasks-config"),
    get("/connectors?expand=status"),
    get("/connectors?expand=info"),
    get("/connectors?expand=status&expand=info"),
    get("/connectors?expand=nope"),
    get("/connectors?expand="),
    get("/connectors/<sink>/topics", until='"<topic>"'),
    get("/connectors/<sink>/offsets", until='"kafka_offset": 3'),
    get("/connectors/nope"),
    get("/connectors/nope/config"),
    get("/connectors/nope/status"),
    get("/connectors/nope/tasks"),
    get("/connectors/nope/tasks/0/status"),
    get("/connectors/nope/topics"),
    get("/connectors/nope/offsets"),
    # Its configuration.
    put("/connectors/<sink>/config", sink() | {"errors.tolerance": "all"}),
    get("/connectors/<sink>/config", until='"all"'),
    put("/connectors/<sink>/config", sink(name="other"), note="another name"),
    put("/connectors/<sink>/config", sink() | {"tasks.max": "-1"}, note="a wrong value"),
    put("/connectors/<sink>/config", {"topics": "<topic>"}, note="no class"),
    put("/connectors/<sink>/config", {}, note="an empty object"),
    put("/connectors/<sink>/config", text="null", note="null"),
    put("/connectors/<sink>/config", text="[1]", note="a list"),
    patch("/connectors/<sink>/config", {"tasks.max": "2", "errors.tolerance": None}),
    get("/connectors/<sink>/config"),
    get("/connectors/<sink>/tasks", until='"task": 1'),
    patch("/connectors/<sink>/config", {"tasks.max": "1"}),
    patch("/connectors/<sink>/config", {"tasks.max": "many"}, note="a wrong value"),
    patch("/connectors/<sink>/config", {"connector.class": None}, note="without its class"),
    patch("/connectors/<sink>/config", {}, note="an empty object"),
    patch("/connectors/<sink>/config", text="[]", note="a list"),
    patch("/connectors/nope/config", {"tasks.max": "2"}),
    # Its state.
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    put("/connectors/<sink>/pause"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "PAUSED"'),
    put("/connectors/<sink>/pause", note="again"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", 0, {"kafka_offset": 0})), note="while paused"),
    put("/connectors/<sink>/resume"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    post("/connectors/<sink>/restart"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    post("/connectors/<sink>/restart?includeTasks=true"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    post("/connectors/<sink>/restart?includeTasks=true&onlyFailed=true"),
    post("/connectors/<sink>/restart?onlyFailed=true"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    post("/connectors/<sink>/restart?includeTasks=maybe&onlyFailed=maybe"),
    post("/connectors/<sink>/tasks/0/restart"),
    get("/connectors/<sink>/tasks/0/status", until='"RUNNING"'),
    post("/connectors/<sink>/tasks/x/restart"),
    put("/connectors/nope/pause"),
    put("/connectors/nope/resume"),
    put("/connectors/nope/stop"),
    post("/connectors/nope/restart"),
    post("/connectors/nope/restart?includeTasks=true"),
    post("/connectors/nope/tasks/0/restart"),
    put("/connectors/<sink>/topics/reset"),
    put("/connectors/nope/topics/reset"),
    # Its offsets.
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", 0, {"kafka_offset": 0})), note="while it runs"),
    delete("/connectors/<sink>/offsets", note="while it runs"),
    put("/connectors/<sink>/stop"),
    get("/connectors/<sink>/status", until='"tasks": []'),
    get("/connectors/<sink>"),
    get("/connectors/<sink>/tasks"),
    get("/connectors/<sink>/tasks/0/status", note="stopped"),
    patch("/connectors/<sink>/offsets", offsets(), note="none"),
    patch("/connectors/<sink>/offsets", {}, note="an empty object"),
    patch("/connectors/<sink>/offsets", text="[]", note="a list"),
    patch("/connectors/<sink>/offsets", {"offsets": {}}, note="no list of offsets"),
    patch("/connectors/<sink>/offsets", offsets({"offset": {"kafka_offset": 0}}), note="no partition"),
    patch("/connectors/<sink>/offsets", offsets({"partition": {}, "offset": {"kafka_offset": 0}}), note="an empty partition"),
    patch("/connectors/<sink>/offsets", offsets({"partition": {"kafka_topic": "<topic>"}, "offset": {"kafka_offset": 0}}), note="no number of the partition"),
    patch("/connectors/<sink>/offsets", offsets(offset(None, 0, {"kafka_offset": 0})), note="a null for a topic"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", "x", {"kafka_offset": 0})), note="a partition that is no number"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", None, {"kafka_offset": 0})), note="a null for a partition"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", 0, {})), note="an empty offset"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", 0, {"kafka_offset": "x"})), note="an offset that is no number"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", 0, {"kafka_offset": 2})), note="set"),
    get("/connectors/<sink>/offsets"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", "0", {"kafka_offset": "1"})), note="numbers as texts"),
    get("/connectors/<sink>/offsets"),
    patch("/connectors/<sink>/offsets", offsets(offset("<topic>", 0, None)), note="forgotten"),
    get("/connectors/<sink>/offsets"),
    delete("/connectors/<sink>/offsets"),
    get("/connectors/<sink>/offsets"),
    patch("/connectors/nope/offsets", offsets(offset("<topic>", 0, None))),
    delete("/connectors/nope/offsets"),
    put("/connectors/<sink>/config", SINK, note="stopped"),
    get("/connectors/<sink>/status", note="stopped"),
    post("/connectors/<sink>/restart?includeTasks=true", note="stopped"),
    put("/connectors/<sink>/resume", note="stopped"),
    get("/connectors/<sink>/status", until='"id": 0, "state": "RUNNING"'),
    # A source.
    put("/connectors/<source>/config", SOURCE, note="made"),
    get("/connectors/<source>"),
    get("/connectors/<source>/offsets", until='"offset": {', save=True),
    get("/connectors/<source>/topics", until="-rows"),
    put("/connectors/<source>/stop"),
    get("/connectors/<source>/status", until='"tasks": []'),
    patch("/connectors/<source>/offsets", source_offset(True), note="as it was"),
    patch("/connectors/<source>/offsets", {"offsets": [{"partition": {}, "offset": None}]}, note="an empty partition"),
    patch("/connectors/<source>/offsets", source_offset(None), note="forgotten"),
    get("/connectors/<source>/offsets", note="forgotten"),
    delete("/connectors/<source>/offsets"),
    delete("/connectors/<source>"),
    # A connector that fails, and names.
    post("/connectors", {"name": "<failed>", "config": SINK | {"topics": "<topic>-bad"}, "initial_state": "stopped"}, note="stopped at first"),
    get("/connectors/<failed>/status", until='"STOPPED"'),
    put("/connectors/<failed>/resume"),
    get("/connectors/<failed>/status", until='"FAILED"'),
    get("/connectors/<failed>/tasks/0/status"),
    post("/connectors/<failed>/restart?includeTasks=true&onlyFailed=true", note="failed"),
    get("/connectors/<failed>/status", until='"FAILED"'),
    delete("/connectors/<failed>"),
    get("/connectors/<failed>/status", note="deleted"),
    post("/connectors", {"name": "<failed> é", "config": SINK, "initial_state": "PAUSED"}, note="a name with a blank"),
    get("/connectors/<failed>%20%C3%A9/status", until='"state": "PAUSED"'),
    delete("/connectors/<failed>%20%C3%A9"),
    post("/connectors", {"name": "<failed>/x", "config": SINK, "initial_state": "STOPPED"}, note="a name with a slash"),
    get("/connectors/<failed>%2Fx"),
    get("/connectors/<failed>%2Fx/status"),
    # The log.
    get("/admin/loggers"),
    get("/admin/loggers/root"),
    get("/admin/loggers/no.such.logger"),
    put("/admin/loggers/root", {"level": "LOUD"}),
    put("/admin/loggers/root", {}),
    put("/admin/loggers/root", {"level": None}, note="a null"),
    put("/admin/loggers/root", text="[]", note="a list"),
    put("/admin/loggers/org.apache.kafka.connect.runtime", {"level": "error"}),
    get("/admin/loggers/org.apache.kafka.connect.runtime"),
    put("/admin/loggers/org.apache.kafka.connect.runtime?scope=cluster", {"level": "INFO"}),
    put("/admin/loggers/org.apache.kafka.connect.runtime?scope=galaxy", {"level": "INFO"}),
    patch("/connectors/<sink>/config", {"name": "other"}, note="another name"),
    # The end. Kafka Connect fails a task that there is not: nothing of the connector's state is asked after that.
    post("/connectors/<sink>/tasks/9/restart"),
    delete("/connectors/<sink>"),
    delete("/connectors/<sink>", note="again"),
    get("/connectors/<sink>/status", note="deleted"),
]
