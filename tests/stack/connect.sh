#!/usr/bin/env bash
# Runs one Apache Kafka Connect worker (with its example connectors) in the foreground, on a free loopback port, beside the brokers at
# KAFKA_BOOTSTRAP.
#
#   connect.sh [--attached] DIR      DIR/address holds HOST:PORT once it answers; DIR/server.log is its log
#   --attached                       stop, and remove DIR, when standard input ends
# CONNECT_PROPERTIES: more lines of the worker's file.
# CONNECT_GROUP: the worker is a member of this group (distributed), whose topics are named after it; without, it is standalone.
# CONNECT_USERS: a file of users and passwords, as Java properties; calls need one of them.
# shellcheck disable=SC2317 # serve calls the functions by their names
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_server_arguments "$@"

[ -n "${KAFKA_BOOTSTRAP:-}" ] || die 2 "KAFKA_BOOTSTRAP is not set: run it by run.sh"
have_connect || "$here/install.sh" connect
java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"

start() {
  local class=ConnectStandalone storage=offset.storage.file.filename=$dir/offsets
  local extension='' auth=$connect_libs/connect-basic-auth-extension-$KAFKA_VERSION.jar
  if [ -n "${CONNECT_GROUP:-}" ]; then
    class=ConnectDistributed
    # One broker; and what a worker leaves behind goes to the others soon.
    storage="group.id=$CONNECT_GROUP
config.storage.topic=$CONNECT_GROUP-configs
config.storage.replication.factor=1
offset.storage.topic=$CONNECT_GROUP-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=$CONNECT_GROUP-status
status.storage.replication.factor=1
status.storage.partitions=1
session.timeout.ms=6000
heartbeat.interval.ms=1000
task.shutdown.graceful.timeout.ms=1000
scheduled.rebalance.max.delay.ms=0"
  fi
  if [ -n "${CONNECT_USERS:-}" ]; then
    extension=rest.extension.classes=org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension
    printf 'KafkaConnect {\n  org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule required file="%s";\n};\n' "$CONNECT_USERS" >"$dir/jaas.conf"
  fi
  # The example connectors are found by their folder, as other makers' are; what is on the class path already is not looked for there.
  cat >"$dir/worker.properties" <<PROPERTIES
bootstrap.servers=$KAFKA_BOOTSTRAP
listeners=http://127.0.0.1:$1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.flush.interval.ms=200
plugin.path=$connect_libs
$storage
$extension
${CONNECT_PROPERTIES:-}
PROPERTIES
  "$java" -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" \
    -Djava.security.auth.login.config="$dir/jaas.conf" -cp "$kafka_libs/*:$auth" "org.apache.kafka.connect.cli.$class" "$dir/worker.properties" >"$dir/server.log" 2>&1 </dev/null 8<&- &
  server=$!
}

# Without a password a worker that wants one says so, once it has started.
ready() { answers "$1" /health "${CONNECT_USERS:+401}"; }

serve 'Kafka Connect' "$dir" ready start
