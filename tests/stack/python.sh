#!/usr/bin/env bash
# The Python that has pyarrow: the other reader of the lake in the tests.
#
#   python.sh ARGUMENTS...
# shellcheck source=tests/stack/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

have_python || "$here/install.sh" python
exec "$venv/bin/python" "$@"
