#!/usr/bin/env bash
# Checks compose files without an engine and prints their services as JSON (see compose-check/main.go).
#
#   compose-check.sh FILE...
#   compose-check.sh --yaml FILE     any YAML file as JSON
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

have_compose_check || "$here/install.sh" compose-check
exec "$compose_check_binary" "$@"
