#!/usr/bin/env bash
# Finds what is missing to build (and test) Lakefeed, and installs it.
#
#   setup.sh [build]   C compiler, make, pkg-config, headers of OpenSSL and zlib, the DuckDB library with its extension for S3
#   setup.sh test      those, and Java, Maven, Go and Python for the servers of the tests, which are put into the cache too
#
# What is there is never touched. Packages are installed by apt-get, dnf or brew, as root or with a sudo that asks no password; else
# the one command to type is printed. Exit codes: 0 all is there, 2 usage, 3 something is missing.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=tests/stack/common.sh
. "$root/tests/stack/common.sh"
goal=${1:-build}
case $goal in
  build | test) ;;
  *) die 2 "unknown goal '$goal'; usage: setup.sh [build|test]" ;;
esac

have() { command -v "$1" >/dev/null 2>&1; }

if ! have cargo && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
have cargo || die 3 "the Rust toolchain is missing: install rustup as https://rustup.rs says (rust-toolchain.toml names the version)"

manager=none
for candidate in apt-get dnf brew; do
  if have "$candidate"; then
    manager=$candidate
    break
  fi
done

# ---- what is missing, as the names of packages

packages=''
# need APT DNF BREW: `-` where the system has it without a package.
need() {
  local name
  case $manager in
    apt-get) name=$1 ;;
    dnf) name=$2 ;;
    brew) name=$3 ;;
    *) name=$1 ;;
  esac
  case " $packages " in *" $name "*) return ;; esac
  [ "$name" = - ] || packages="$packages $name"
}

have_header() {
  if have pkg-config && pkg-config --exists "$1" 2>/dev/null; then return 0; fi
  local folder
  for folder in /usr/include /usr/local/include /opt/homebrew/include /opt/homebrew/opt/openssl@3/include /usr/local/opt/openssl@3/include; do
    [ -e "$folder/$2" ] && return 0
  done
  # Apple's own zlib is in its SDK.
  [ "$manager" = brew ] && [ "$1" = zlib ]
}

if ! have cc || ! have c++; then
  [ "$(uname -s)" != Darwin ] || die 3 "the C compiler is missing: type xcode-select --install"
  need build-essential 'gcc gcc-c++' -
fi
have make || need make make make
have pkg-config || need pkg-config pkgconf-pkg-config pkgconf
have_header openssl openssl/ssl.h || need libssl-dev openssl-devel openssl@3
have_header zlib zlib.h || need zlib1g-dev zlib-devel -
have tar || need tar tar -

# Debian's Go can be too old: then a Python package of the Go toolchain is used (see tests/stack/install.sh).
apt_go() { at_least "$(apt-cache policy golang-go 2>/dev/null | sed -n 's/.*Candidate: [0-9]*:\{0,1\}\([0-9.]*\).*/\1/p')" "$GO_MINIMUM"; }
need_go=0
composed=0
may_install() {
  [ "$manager" = brew ] || { [ "$manager" != none ] && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }
}
need_servers() {
  # Java runs Kafka's console tools too, whoever runs the broker.
  find_java >/dev/null || need java-runtime java-21-openjdk-headless openjdk
  { have_kafka && have_registry; } || have mvn || need maven maven maven
  if ! have_compose_check || { [ -z "${S3_ENDPOINT:-}" ] && ! have_minio; }; then find_go >/dev/null || need_go=1; fi
  if [ "$need_go" = 1 ] && { [ "$manager" != apt-get ] || apt_go; }; then need golang-go golang go; fi
}
if [ "$goal" = test ]; then
  have_python || python3 -c 'import venv, ensurepip' 2>/dev/null || need 'python3 python3-venv' python3 python
  before=$packages
  need_servers
  if [ "$packages" != "$before" ] && ! may_install && docker info >/dev/null 2>&1; then
    say "missing:${packages#"$before"}; the servers of the tests will come from docker/compose.yaml instead"
    packages=$before composed=1
  fi
fi

# ---- installing it

# The newest Java of this Debian or Ubuntu that the tests can use.
apt_java() {
  local name
  for name in openjdk-21-jre-headless openjdk-17-jre-headless openjdk-25-jre-headless; do
    # Not grep -q: it would end early, and with pipefail the pipe would count as failed.
    if apt-cache policy "$name" 2>/dev/null | grep 'Candidate: [0-9]' >/dev/null; then
      printf '%s\n' "$name"
      return
    fi
  done
  printf 'default-jre-headless\n'
}

as_root() {
  if [ "$manager" = brew ] || [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs $packages and forgets them.
install_packages() {
  local command log
  [ -n "$packages" ] || return 0
  case $manager in
    apt-get) command='DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends' ;;
    dnf) command='dnf install -q -y' ;;
    brew) command='brew install --quiet' ;;
    none) die 3 "missing, by the names of Debian's packages:${packages/java-runtime/$(apt_java)}; install them with the package manager of this system" ;;
  esac
  if ! may_install; then
    packages=${packages/java-runtime/$(apt_java)}
    say "something is missing. Type this, then try again:"
    [ "$manager" != apt-get ] || command="apt-get update -q && $command"
    printf "sudo sh -c '%s%s'\n" "$command" "$packages" >&2
    exit 3
  fi
  log=$(mktemp)
  # Package lists can be as old as the machine, or not there at all.
  [ "$manager" != apt-get ] || as_root apt-get update -q >"$log" 2>&1 </dev/null || say "apt-get update failed; going on with the lists that are there"
  packages=${packages/java-runtime/$(apt_java)}
  say "installing$packages"
  as_root sh -c "$command$packages" >"$log" 2>&1 </dev/null || {
    tail -n 20 "$log" >&2
    rm -f "$log"
    die 3 "the package manager failed; its last lines are above"
  }
  rm -f "$log"
  packages=''
}

# Ends with a way to fetch it: what is there, else curl, which is small, else npm.
fetch_library() {
  local code=0
  "$root/scripts/fetch-libduckdb.sh" "$@" || code=$?
  if [ "$code" = 4 ]; then
    need 'curl ca-certificates unzip' 'curl unzip' curl
    install_packages
    code=0
    "$root/scripts/fetch-libduckdb.sh" "$@" || code=$?
  fi
  if [ "$code" != 0 ] && ! have npm; then
    need npm npm node
    install_packages
    code=0
    "$root/scripts/fetch-libduckdb.sh" "$@" || code=$?
  fi
  [ "$code" = 0 ] || exit "$code"
}

install_packages
if [ "$goal" = build ]; then
  fetch_library
else
  parts=python
  if [ "$composed" = 0 ]; then
    [ "$need_go" = 0 ] || find_go >/dev/null || "$root/tests/stack/install.sh" go
    # Kafka's jars hold the console tools too: they are wanted beside a Kafka that runs elsewhere.
    parts='python compose-check kafka'
    [ -n "${S3_ENDPOINT:-}" ] || parts="$parts minio"
    [ -n "${SCHEMA_REGISTRY_URL:-}" ] || parts="$parts registry"
  fi
  # shellcheck disable=SC2086 # the parts are words
  "$root/tests/stack/install.sh" $parts
  # Last: on a machine without pip, the environment that was just made has one.
  fetch_library --httpfs-required
fi
