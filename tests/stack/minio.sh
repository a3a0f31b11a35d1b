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

ready() { health "$1" 2>/dev/null; }

# One connection for question and answer, in a subshell: a refusal ends that only.
health() (
  exec 9<>"/dev/tcp/127.0.0.1/$1"
  printf 'GET /minio/health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&9
  read -r -t 5 status <&9
  case $status in *' 200 '*) exit 0 ;; *) exit 1 ;; esac
)

serve MinIO "$dir" ready start
