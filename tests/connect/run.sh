#!/usr/bin/env bash
# Makes every call of Kafka Connect's REST interface against Apache Kafka Connect and against Lakefeed, and compares the answers (compare.py).
#
#   run.sh LAKEFEED [--verbose] [alone|cluster|passwords]...      beside the brokers at KAFKA_BOOTSTRAP (tests/stack/run.sh sets it)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/../stack/install.sh" connect
exec "$here/../stack/python.sh" -B "$here/compare.py" "$@"
