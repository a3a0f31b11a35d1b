#!/usr/bin/env bash
# Runs one MinIO server (an S3 store) in the foreground, on a free loopback port, with its data in DIR.
#
#   minio.sh [--attached] DIR      DIR/address holds HOST:PORT once it answers; DIR/server.log is its log
#   --attached                     stop, and remove DIR, when standard input ends
# AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (default minioadmin) are the keys that it accepts.
# shellcheck disable=SC2317 # serve calls the functions by their names
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_server_arguments "$@"

have_minio || "$here/install.sh" minio

start() {
  mkdir -p "$dir/data"
  MINIO_ROOT_USER=${AWS_ACCESS_KEY_ID:-minioadmin} MINIO_ROOT_PASSWORD=${AWS_SECRET_ACCESS_KEY:-minioadmin} \
    MINIO_BROWSER=off MINIO_UPDATE=off MINIO_PROMETHEUS_AUTH_TYPE=public \
    "$minio_binary" server --quiet --address "127.0.0.1:$1" "$dir/data" >"$dir/server.log" 2>&1 </dev/null 8<&- &
  server=$!
}

ready() { answers "$1" /minio/health/ready; }

serve MinIO "$dir" ready start
