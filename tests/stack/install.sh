#!/usr/bin/env bash
# Puts the servers and tools of the tests into the cache (see common.sh): Apache Kafka's jars and the schema registry from Maven Central, MinIO
# and the checker of compose files built from their Go modules, and a Python that reads Parquet (pyarrow) in a virtual environment,
# with what the neighbour of the benchmarks uses too.
#
#   install.sh [kafka] [registry] [minio] [python] [compose-check] [connect] [go]      without arguments: all but the last two
#
# `connect` are the example connectors of Apache Kafka Connect and its extension for passwords, `go` is a Go toolchain from a Python package, for systems whose own Go is too old. No other part asks for root.
# What is there is left alone: the script ends at once. Each part is made beside its place and moved there when it is complete.
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

missing=''
[ $# -gt 0 ] || set -- kafka registry minio python compose-check
for part in "$@"; do
  case $part in
    kafka) have_kafka || missing="$missing kafka" ;;
    connect)
      have_kafka || missing="$missing kafka"
      have_connect || missing="$missing connect"
      ;;
    registry) have_registry || missing="$missing registry" ;;
    minio) have_minio || missing="$missing minio" ;;
    python) have_python || missing="$missing python" ;;
    compose-check) have_compose_check || missing="$missing compose_check" ;;
    go) find_go >/dev/null || missing="$missing go" ;;
    *) die 2 "unknown part '$part': kafka, registry, minio, python, compose-check, connect or go is expected" ;;
  esac
done
[ -n "$missing" ] || exit 0

# One run at a time: a folder is made by one process only, on every file system. The lock of a process that died is taken over.
mkdir -p "$cache/bin"
lock=$cache/.lock
waited=0
until mkdir "$lock" 2>/dev/null; do
  owner=$(cat "$lock/pid" 2>/dev/null || true)
  if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
    rm -rf "$lock"
    continue
  fi
  [ "$waited" -gt 0 ] || say "another run (process ${owner:-unknown}) is installing; waiting for it"
  [ "$waited" -lt 3600 ] || die 3 "gave up after an hour; if no other run is under way, remove $lock"
  waited=$((waited + 1))
  sleep 1
done
# A folder of this process alone: even two runs that took over the same dead lock can't disturb each other.
work=$cache/.work.$$
trap 'chmod -R u+w "$work" 2>/dev/null || true; rm -rf "$work" "$lock"' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
echo $$ >"$lock/pid"
for left in "$cache"/.work.*; do
  kill -0 "${left##*.}" 2>/dev/null || { chmod -R u+w "$left" 2>/dev/null || true; rm -rf "$left"; }
done
mkdir -p "$work"

# Runs a command quietly; its output is shown when it fails.
run() {
  local what=$1
  shift
  "$@" >"$work/log" 2>&1 </dev/null || {
    tail -n 20 "$work/log" >&2
    die 3 "$what failed; is the network there? The command was: $*"
  }
}

install_kafka() {
  have_kafka && return
  local java
  command -v mvn >/dev/null || die 3 "Maven (mvn) is missing: run scripts/setup.sh test"
  java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"
  grep -q "<kafka.version>$KAFKA_VERSION<" "$here/kafka/pom.xml" || die 1 "kafka/pom.xml and common.sh name different versions of Kafka"
  say "fetching Apache Kafka $KAFKA_VERSION"
  mkdir -p "$work/kafka"
  cp "$here/kafka/pom.xml" "$work/kafka/pom.xml"
  # Maven may be set to an older Java than the one that was found.
  JAVA_HOME=$(cd "$(dirname "$(readlink -f "$java" 2>/dev/null || echo "$java")")/.." && pwd) \
    run 'fetching Apache Kafka' mvn -q -B -f "$work/kafka/pom.xml" "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_PLUGIN_VERSION:copy-dependencies" -DoutputDirectory="$work/kafka/libs" -DincludeScope=runtime
  rm -rf "$cache/kafka-$KAFKA_VERSION"
  mv "$work/kafka" "$cache/kafka-$KAFKA_VERSION"
}

# Fetches one artifact, without what it depends on, into a folder.
maven_copy() {
  local what=$1 artifact=$2 folder=$3 java
  command -v mvn >/dev/null || die 3 "Maven (mvn) is missing: run scripts/setup.sh test"
  java=$(find_java) || die 3 "Java $JAVA_MINIMUM or newer is missing: run scripts/setup.sh test"
  JAVA_HOME=$(cd "$(dirname "$(readlink -f "$java" 2>/dev/null || echo "$java")")/.." && pwd) \
    run "fetching $what" mvn -q -B "org.apache.maven.plugins:maven-dependency-plugin:$MAVEN_COPY_VERSION:copy" \
    -Dartifact="$artifact" -DoutputDirectory="$folder"
}

install_registry() {
  have_registry && return
  say "fetching Apicurio Registry $REGISTRY_VERSION (109 MB)"
  mkdir -p "$work/registry" "$work/download"
  maven_copy 'Apicurio Registry' "io.apicurio:apicurio-registry-app:$REGISTRY_VERSION:tar.gz:all" "$work/download"
  run 'unpacking Apicurio Registry' tar -xzf "$work/download/apicurio-registry-app-$REGISTRY_VERSION-all.tar.gz" -C "$work/registry"
  rm -rf "$registry_home"
  mv "$work/registry" "$registry_home"
}

install_connect() {
  have_connect && return
  say "fetching the example connectors of Apache Kafka $KAFKA_VERSION, and its extension for passwords"
  mkdir -p "$work/connect"
  maven_copy 'the example connectors' "org.apache.kafka:connect-file:$KAFKA_VERSION" "$work/connect"
  maven_copy 'the extension for passwords' "org.apache.kafka:connect-basic-auth-extension:$KAFKA_VERSION" "$work/connect"
  rm -rf "$connect_libs"
  mv "$work/connect" "$connect_libs"
}

# Builds with a Go that is new enough; a `go` line of a module that wants a newer one is met by Go itself.
go_build() {
  local go
  go=$(find_go) || die 3 "Go $GO_MINIMUM or newer is missing: run scripts/setup.sh test"
  PATH=$(dirname "$go"):$PATH GOBIN=$work/bin GOFLAGS='' GOWORK=off CGO_ENABLED=0 "$@"
}

install_minio() {
  have_minio && return
  say "building MinIO $MINIO_VERSION (two to four minutes, once)"
  go_build run 'building MinIO' go install -trimpath "github.com/minio/minio@$MINIO_VERSION"
  move_binary minio "$MINIO_VERSION"
}

install_compose_check() {
  have_compose_check && return
  say "building the checker of compose files"
  go_build run 'building the checker of compose files' go -C "$here/compose-check" build -trimpath -o "$work/bin/compose-check" .
  move_binary compose-check "$COMPOSE_CHECK_VERSION"
}

move_binary() {
  mv -f "$work/bin/$1" "$cache/bin/$1"
  printf '%s\n' "$2" >"$cache/bin/$1.version"
}

install_python() {
  have_python && return
  say "making a Python environment with ${PYTHON_PACKAGES[*]}"
  # A virtual environment can't be moved: it is made in its place, and the stamp says that it is complete.
  rm -rf "$venv"
  run 'making the Python environment' python3 -m venv "$venv"
  run "installing ${PYTHON_PACKAGES[*]}" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "${PYTHON_PACKAGES[@]}"
  printf '%s\n' "${PYTHON_PACKAGES[*]}" >"$venv/.packages"
}

install_go() {
  find_go >/dev/null && return
  say "fetching the Go toolchain"
  rm -rf "$cache/go"
  run 'making the environment of the Go toolchain' python3 -m venv "$cache/go"
  run 'fetching the Go toolchain' "$cache/go/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "$GO_PACKAGE"
}

for part in $missing; do "install_$part"; done
