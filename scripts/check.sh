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
  for file in scripts/*.sh tests/stack/*.sh .ci/run; do bash -n "$file"; done
}

step formatting cargo fmt --all --check
step lints cargo clippy --release --workspace --all-targets --locked -- -D warnings
step documentation env RUSTDOCFLAGS='-D warnings' cargo doc --release --workspace --no-deps --locked --quiet
step 'no default features' cargo clippy --release --package lakefeed --no-default-features --locked -- -D warnings
step scripts scripts_parse
optional shellcheck shellcheck --external-sources --source-path=. scripts/*.sh tests/stack/*.sh .ci/run
optional cargo-deny cargo deny --locked check
