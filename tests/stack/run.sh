#!/usr/bin/env bash
# Runs a command with a real Apache Kafka, a real MinIO and a real schema registry beside it, and stops them afterwards.
#
#   run.sh COMMAND...     the command finds KAFKA_BOOTSTRAP, S3_ENDPOINT, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
#                         AWS_REGION and SCHEMA_REGISTRY_URL in its environment; the exit code is the command's
#   run.sh                starts all, prints what to export, and stops them on Ctrl-C
#
# KAFKA_BOOTSTRAP, S3_ENDPOINT or SCHEMA_REGISTRY_URL that are set already are used as they are, and that server is not started. Where Java or Go can't be
# had and a container engine answers, both come from docker/compose.yaml. Otherwise: exit code 3, and what to install.
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

export AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID:-minioadmin} AWS_SECRET_ACCESS_KEY=${AWS_SECRET_ACCESS_KEY:-minioadmin} AWS_REGION=${AWS_REGION:-us-east-1}
base=$(mktemp -d "${TMPDIR:-/tmp}/lakefeed-stack.XXXXXX")
kafka_pid='' minio_pid='' registry_pid='' composed=0
# A project of its own: what is taken down afterwards is never the pipeline that somebody runs from the same file.
compose=(docker compose --project-name lakefeed-tests --file "$here/../../docker/compose.yaml")

finish() {
  local code=$?
  trap - EXIT
  trap '' TERM INT
  # The ends of the pipes that the servers read: they stop when these are closed.
  exec 5>&- 6>&- 7>&-
  [ -z "$kafka_pid" ] || wait "$kafka_pid" 2>/dev/null || true
  [ -z "$minio_pid" ] || wait "$minio_pid" 2>/dev/null || true
  [ -z "$registry_pid" ] || wait "$registry_pid" 2>/dev/null || true
  [ "$composed" = 0 ] || "${compose[@]}" down --volumes >/dev/null 2>&1 || true
  rm -rf "$base"
  exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

wait_for_address() {
  local name=$1 pid=$2
  while [ ! -f "$base/$name/address" ]; do
    kill -0 "$pid" 2>/dev/null || die 3 "$name did not start: see above"
    sleep 0.05
  done
}

try_install() {
  local parts=''
  [ -n "${KAFKA_BOOTSTRAP:-}" ] || parts="$parts kafka"
  [ -n "${S3_ENDPOINT:-}" ] || parts="$parts minio"
  [ -n "${SCHEMA_REGISTRY_URL:-}" ] || parts="$parts registry"
  # shellcheck disable=SC2086 # the parts are words
  [ -z "$parts" ] || "$here/install.sh" $parts
}

if ! try_install; then
  docker info >/dev/null 2>&1 || die 3 "no servers for the tests: run scripts/setup.sh test, or set KAFKA_BOOTSTRAP and S3_ENDPOINT to running ones"
  say "starting the servers of docker/compose.yaml"
  composed=1
  "${compose[@]}" up --detach --wait redpanda minio || die 3 "docker compose could not start the servers"
  KAFKA_BOOTSTRAP=${KAFKA_BOOTSTRAP:-127.0.0.1:9092} S3_ENDPOINT=${S3_ENDPOINT:-http://127.0.0.1:9000}
fi
# The servers read a named pipe that only this process holds open for writing: they stop when it ends, even by SIGKILL.
if [ -z "${KAFKA_BOOTSTRAP:-}" ]; then
  mkfifo "$base/kafka.pipe"
  "$here/kafka.sh" --attached "$base/kafka" <"$base/kafka.pipe" &
  kafka_pid=$!
  exec 6>"$base/kafka.pipe"
fi
if [ -z "${S3_ENDPOINT:-}" ]; then
  mkfifo "$base/minio.pipe"
  "$here/minio.sh" --attached "$base/minio" <"$base/minio.pipe" 6>&- &
  minio_pid=$!
  exec 7>"$base/minio.pipe"
fi
# With servers of docker/compose.yaml the tests of the registry start their own, or say what is missing.
if [ -z "${SCHEMA_REGISTRY_URL:-}" ] && [ "$composed" = 0 ]; then
  mkfifo "$base/registry.pipe"
  "$here/registry.sh" --attached "$base/registry" <"$base/registry.pipe" 6>&- 7>&- &
  registry_pid=$!
  exec 5>"$base/registry.pipe"
fi
if [ -n "$kafka_pid" ]; then
  wait_for_address kafka "$kafka_pid"
  KAFKA_BOOTSTRAP=$(cat "$base/kafka/address")
fi
if [ -n "$minio_pid" ]; then
  wait_for_address minio "$minio_pid"
  S3_ENDPOINT=http://$(cat "$base/minio/address")
fi
if [ -n "$registry_pid" ]; then
  wait_for_address registry "$registry_pid"
  SCHEMA_REGISTRY_URL=http://$(cat "$base/registry/address")/apis/ccompat/v7
fi
export KAFKA_BOOTSTRAP S3_ENDPOINT AWS_ENDPOINT_URL=$S3_ENDPOINT
[ -z "${SCHEMA_REGISTRY_URL:-}" ] || export SCHEMA_REGISTRY_URL

if [ $# -gt 0 ]; then
  code=0
  "$@" 5>&- 6>&- 7>&- || code=$?
  exit "$code"
fi
for name in KAFKA_BOOTSTRAP S3_ENDPOINT AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION SCHEMA_REGISTRY_URL; do
  [ -n "${!name:-}" ] || continue
  printf 'export %s=%s\n' "$name" "${!name}"
done
say "all answer; Ctrl-C stops them and removes their data"
[ -z "$kafka_pid$minio_pid$registry_pid" ] || wait
[ "$composed" = 0 ] || while :; do sleep 60; done
