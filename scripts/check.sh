#!/usr/bin/env bash
# What a reviewer need not look for: formatting, lints as errors, documentation, a build without default features, scripts.
#
# In the release profile, as everything: the check artefacts of clippy, doc and check are shared, and the C code of the dependencies
# is compiled once for these and for the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() {
  local name=$1 started=$SECONDS code=0
  shift
  printf '== %s\n' "$name"
  "$@" || code=$?
  if [ "$code" != 0 ]; then
    printf '== %s: FAILED (exit code %s): %s\n' "$name" "$code" "$*"
    exit "$code"
  fi
  printf '== %s: ok, %s s\n' "$name" $((SECONDS - started))
}

# Tools that not everybody has: what they say counts where they are.
optional() {
  local tool=$1
  shift
  if command -v "$tool" >/dev/null; then
    step "$tool" "$@"
  else
    printf '== %s: not installed here, left out\n' "$tool"
  fi
}

scripts_parse() {
  local file
  for file in scripts/*.sh tests/stack/*.sh tests/connect/*.sh .ci/run; do bash -n "$file"; done
}

# The rules, their unit tests, and the dashboard's queries, as rules of their own. The && are needed: bash has no errexit in a function whose exit
# code is looked at.
alerts_hold() {
  local queries code=0
  queries=$(mktemp)
  promtool check config docker/prometheus/prometheus.yml \
    && promtool test rules docker/prometheus/alerts.test.yml \
    && python3 - >"$queries" <<'PYTHON' && promtool check rules "$queries" || code=$?
import json

panels = json.load(open("docker/grafana/dashboard.json"))["panels"]
queries = [target["expr"] for panel in panels for target in panel["targets"]]
for variable in ("__rate_interval", "__range"):
    queries = [query.replace("$" + variable, "5m") for query in queries]
rules = [{"record": f"dashboard:query{number}", "expr": query} for number, query in enumerate(queries)]
# JSON is YAML.
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
PYTHON
  rm -f "$queries"
  return "$code"
}

unit_is_valid() {
  local folder said
  folder=$(mktemp -d)
  # It looks for the binary, which is not installed here; and it reads the units that this one needs, which are not ours.
  sed 's#^ExecStart=/usr/local/bin/lakefeed #ExecStart=/bin/true #' docker/lakefeed.service >"$folder/lakefeed.service"
  said=$(systemd-analyze verify "$folder/lakefeed.service" 2>&1 | grep -F lakefeed.service || true)
  rm -rf "$folder"
  [ -z "$said" ] || { printf '%s\n' "$said"; return 1; }
}

step formatting cargo fmt --all --check
step lints cargo clippy --release --workspace --all-targets --locked -- -D warnings
step documentation env RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps --locked --quiet
step 'no default features' cargo clippy --release --package lakefeed --no-default-features --locked -- -D warnings
step scripts scripts_parse
optional shellcheck shellcheck --external-sources --source-path=. scripts/*.sh tests/stack/*.sh tests/connect/*.sh .ci/run
optional cargo-deny cargo deny --locked check
optional promtool alerts_hold
optional systemd-analyze unit_is_valid
