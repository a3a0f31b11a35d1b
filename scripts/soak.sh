#!/usr/bin/env bash
# The simulation of the lake writer with fresh seeds, and chaos on real servers, in turn, until MINUTES have passed (default 10) or
# something is found. Each seed is printed before it is used, and replays what it found.
#
#   tests/stack/run.sh scripts/soak.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

minutes=${MINUTES:-10}
case $minutes in '' | *[!0-9]*) printf 'MINUTES=%s: expected a number\n' "$minutes" >&2; exit 2 ;; esac
cargo=${CARGO:-cargo}
end=$((SECONDS + minutes * 60))
# Nobody has used these seeds: they grow with the clock.
seed=$(($(date +%s) * 1000))
rounds=0
while :; do
  printf '== SEEDS=%s..%s\n' "$seed" $((seed + 50000))
  SEEDS=$seed..$((seed + 50000)) "$cargo" test --release --quiet --workspace --test simulation every_record
  printf '== KILLS=10 CHAOS_SEED=%s\n' "$seed"
  KILLS=10 CHAOS_SEED=$seed "$cargo" test --release --quiet --test e2e chaos:: -- --nocapture
  rounds=$((rounds + 1)) seed=$((seed + 50000))
  [ "$SECONDS" -lt "$end" ] || break
done
printf '== %s rounds in %s minutes, nothing found\n' "$rounds" $((SECONDS / 60))
