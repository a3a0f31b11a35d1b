#!/usr/bin/env bash
# Runs one Apache Kafka Connect worker (standalone, with its example connectors) in the foreground, on a free loopback port, beside the
# brokers at KAFKA_BOOTSTRAP.
#
#   connect.sh [--attached] DIR      DIR/address holds HOST:PORT once it answers; DIR/server.log is its log
#   --attached                       stop, and remove DIR, when standard input ends
# CONNECT_PROPERTIES: more lines of the worker's file.
# shellcheck disable=SC2317 # serve calls the functions by their names
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_server_arguments "$@"

[ -n "${KAFKA_BOOTSTRAP:-}" ] || die 2 "KAFKA_BOOTSTRAP is not set: run it by run.sh"
have_connect || "$here/install.sh" connect
java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"

start() {
  # The example connectors are found by their folder, as other makers' are; what is on the class path already is not looked for there.
  cat >"$dir/worker.properties" <<PROPERTIES
bootstrap.servers=$KAFKA_BOOTSTRAP
listeners=http://127.0.0.1:$1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename=$dir/offsets
offset.flush.interval.ms=200
plugin.path=$connect_libs
${CONNECT_PROPERTIES:-}
PROPERTIES
  "$java" -Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -cp "$kafka_libs/*" \
    org.apache.kafka.connect.cli.ConnectStandalone "$dir/worker.properties" >"$dir/server.log" 2>&1 </dev/null 8<&- &
  server=$!
}

ready() { answers "$1" /health; }

serve 'Kafka Connect' "$dir" ready start
