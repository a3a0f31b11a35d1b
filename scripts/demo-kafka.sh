#!/usr/bin/env bash
# Runs `lakefeed demo` on the servers of the environment (see tests/stack/run.sh), with its lake in a bucket of its own.
#
#   demo-kafka.sh LAKEFEED ARGUMENTS...
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
lakefeed=$1
shift
python3 "$root/tests/stack/bucket.py" lakefeed-demo
"$lakefeed" demo --bootstrap-servers "$KAFKA_BOOTSTRAP" --lake s3://lakefeed-demo "$@"
printf '\n%s\n' "These servers end with the demo. To look around in such a lake, keep some with 'make stack' in another terminal, set what it exports, and run
scripts/demo-kafka.sh $lakefeed"
