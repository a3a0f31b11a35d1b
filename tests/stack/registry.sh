#!/usr/bin/env bash
# Runs one Apicurio Registry in the foreground, on a free loopback port, with its data in memory: a Schema Registry, whose API as Confluent
# has it is below /apis/ccompat/v7.
#
#   registry.sh [--attached] DIR      DIR/address holds HOST:PORT once it answers; DIR/server.log is its log
#   --attached                        stop, and remove DIR, when standard input ends
# shellcheck disable=SC2317 # serve calls the functions by their names
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_server_arguments "$@"

have_registry || "$here/install.sh" registry
java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"

start() {
  (
    cd "$dir"
    export QUARKUS_HTTP_HOST=127.0.0.1 QUARKUS_HTTP_PORT=$1 QUARKUS_MANAGEMENT_ENABLED=false QUARKUS_LOG_LEVEL=WARN
    export APICURIO_STORAGE_KIND=sql APICURIO_STORAGE_SQL_KIND=h2
    exec "$java" -Xms64m -Xmx256m -jar "$registry_home/apicurio-registry-app-$REGISTRY_VERSION-runner.jar"
  ) >"$dir/server.log" 2>&1 </dev/null 8<&- &
  server=$!
}

ready() { answers "$1" /apis/ccompat/v7/subjects; }

serve 'Schema Registry' "$dir" ready start
