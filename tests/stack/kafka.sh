#!/usr/bin/env bash
# Runs one Apache Kafka broker (KRaft, no ZooKeeper) in the foreground, on a free loopback port, with its data in DIR.
#
#   kafka.sh [--attached] DIR      DIR/address holds HOST:PORT once it answers; DIR/server.log is its log
#   --attached                     stop, and remove DIR, when standard input ends
# KAFKA_HEAP_OPTS as for Kafka's own scripts.
# shellcheck disable=SC2317 # serve calls the functions by their names
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_server_arguments "$@"

have_kafka || "$here/install.sh" kafka
java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"
heap=${KAFKA_HEAP_OPTS:--Xms256m -Xmx768m}

start() {
  local port=$1 controller
  controller=$(free_port)
  while [ "$controller" = "$port" ]; do controller=$(free_port); done
  rm -rf "$dir/data"
  # Replication settings are those of a single broker. The rest is as Kafka comes, but for the delay that would make each new
  # consumer group wait three seconds, and for the sessions of groups that leave them to the broker (KIP-848).
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=1000
PROPERTIES
  "$java" -Xmx128m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/kafka/tools-log4j2.xml" -cp "$kafka_libs/*" \
    kafka.tools.StorageTool format -t lakefeed-tests-cluster -c "$dir/server.properties" >"$dir/server.log" 2>&1 ||
    die 3 "Kafka's storage could not be formatted: $(tail -n 5 "$dir/server.log")"
  # shellcheck disable=SC2086 # the heap options are words
  "$java" $heap -XX:+UseG1GC -Dlog4j2.configurationFile="$here/kafka/log4j2.xml" -cp "$kafka_libs/*" \
    kafka.Kafka "$dir/server.properties" >>"$dir/server.log" 2>&1 </dev/null 8<&- &
  server=$!
}

ready() { grep -q 'Kafka Server started' "$dir/server.log"; }

serve Kafka "$dir" ready start
