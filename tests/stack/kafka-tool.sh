#!/usr/bin/env bash
# The console tools of Apache Kafka, by the names of its own scripts.
#
#   kafka-tool.sh console-consumer|console-producer|consumer-groups|get-offsets|producer-perf-test|topics ARGUMENTS...
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
  console-consumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
  console-producer) class=org.apache.kafka.tools.ConsoleProducer ;;
  consumer-groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
  get-offsets) class=org.apache.kafka.tools.GetOffsetShell ;;
  producer-perf-test) class=org.apache.kafka.tools.ProducerPerformance ;;
  topics) class=org.apache.kafka.tools.TopicCommand ;;
  *) die 2 "unknown tool '${1:-}': console-consumer, console-producer, consumer-groups, get-offsets, producer-perf-test or topics is expected" ;;
esac
shift
have_kafka || "$here/install.sh" kafka
java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"
exec "$java" -Xmx256m -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/kafka/tools-log4j2.xml" -cp "$kafka_libs/*" "$class" "$@"
