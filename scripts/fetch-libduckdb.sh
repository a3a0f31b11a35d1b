#!/usr/bin/env bash
# Puts the DuckDB library that the `duckdb` crate wants into third_party/libduckdb, without compiling it, and DuckDB's extension for S3.
#
#   fetch-libduckdb.sh [--httpfs-required]
#
# The library comes from an npm package (check sum pinned) or, without npm, from the archive of the official release (by curl, its
# sender proved by HTTPS alone). The extension comes from a Python package (check sum pinned); without it lakes on S3 want
# `INSTALL httpfs` once, on a machine with a network, and the script only warns, unless --httpfs-required is given.
# What is there is left alone. Exit code 3: something could not be fetched. Exit code 4: neither npm nor curl is there.
set -euo pipefail

VERSION=1.5.5
NPM_VERSION=1.5.5-r.5

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$root/third_party/libduckdb
extension=$target/httpfs.duckdb_extension
required=0
[ "${1:-}" != --httpfs-required ] || required=1

say() { printf 'fetch-libduckdb: %s\n' "$*" >&2; }

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64)
    platform=linux-x64 release=linux-amd64 library=libduckdb.so
    npm_sha512=902caae815e19fa4177f017cc957552ab8924873feadf556709e7a706f2a67394e669c72bd3e561a6ea332c871838762b4b94eb07b0837f0f8ed162b7235ee1d
    httpfs_sha256=887c392b1e49128d11667c81e3698d8b00dfdeb456771acf66d05a0f74f7b7d8 ;;
  Linux-aarch64 | Linux-arm64)
    platform=linux-arm64 release=linux-arm64 library=libduckdb.so
    npm_sha512=09a7c7d8022f5eda700f29c6dca07fe2e10e1d11a516807b6ae091308c07dc128d2286ec00d5792d2a43277b5fc9108522c2ba7bc013d5eb1e5959eed83bf773
    httpfs_sha256=eba6e263e395a83966090f1f11ade63630b1b21422f0f2813858d179d42ea1e9 ;;
  Darwin-arm64)
    platform=darwin-arm64 release=osx-universal library=libduckdb.dylib
    npm_sha512=58975e2d3172e29460eb4ae46e9f6c9ad94fd62210f04aed2099314bed8b42d335659312072c96fb758fa4da0a7bb2303ed565d9f2e53f0eed0e6416e19f7be2
    httpfs_sha256=10514b4ef19f80bf4ec4bf90c124f5d34625f2606263b40ae8ec7979905bb779 ;;
  Darwin-x86_64)
    platform=darwin-x64 release=osx-universal library=libduckdb.dylib
    npm_sha512=acdd0a8d7d77330550e55e6e7f292896dcbfb5fe1269a7cea4659c500d427a07fdf233de45db09b0413520c5e7f27deee96bcc4991152661c9de66b81ebed5ce
    httpfs_sha256=a2f48ae06834c165ae73db71f2320360a4b30e7acf4c87187b2241caa48a990d ;;
  *)
    say "no DuckDB library is published for $(uname -s) on $(uname -m); build one of version $VERSION and set DUCKDB_LIB_DIR to its folder"
    exit 3 ;;
esac
stamp=$target/.libduckdb-$VERSION-$platform

have_library() { [ -s "$target/$library" ] && [ -e "$stamp" ]; }
have_extension() { [ -s "$extension" ] && [ -e "$extension.$VERSION" ]; }
if have_library && have_extension; then exit 0; fi

mkdir -p "$target"
work=$(mktemp -d "$target/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# digest BITS FILE
digest() {
  if command -v "sha$1sum" >/dev/null; then
    "sha$1sum" "$2" | cut -d' ' -f1
  elif command -v shasum >/dev/null; then
    shasum -a "$1" "$2" | cut -d' ' -f1
  else
    python3 -c 'import hashlib, sys; print(hashlib.new("sha" + sys.argv[1], open(sys.argv[2], "rb").read()).hexdigest())' "$1" "$2"
  fi
}

# verify BITS EXPECTED FILE
verify() {
  local found
  found=$(digest "$1" "$3")
  [ "$found" = "$2" ] || {
    say "the check sum of $(basename "$3") is $found, $2 is expected: the package was changed, or broken on the way; try again"
    exit 3
  }
}

library_from_npm() {
  local package="@duckdb/node-bindings-$platform@$NPM_VERSION"
  command -v npm >/dev/null || return 1
  say "fetching the DuckDB library $VERSION ($package)"
  (cd "$work" && npm pack --loglevel=error "$package" >npm.log 2>&1 </dev/null) || {
    say "npm could not fetch it: $(grep -v -e _logs/ -e "complete log" -e "^npm ERR! *$" "$work/npm.log" | tail -n 3)"
    return 1
  }
  verify 512 "$npm_sha512" "$(ls "$work"/*.tgz)"
  tar -xzf "$work"/*.tgz -C "$work" "package/$library" package/LICENSE
  mv "$work/package/$library" "$work/package/LICENSE" "$work/"
}

library_from_release() {
  local url="https://github.com/duckdb/duckdb/releases/download/v$VERSION/libduckdb-$release.zip"
  command -v curl >/dev/null || return 1
  say "fetching the DuckDB library $VERSION ($url)"
  curl -fsSL --proto '=https' --connect-timeout 15 --max-time 900 --retry 2 -o "$work/library.zip" "$url" || return 1
  if command -v unzip >/dev/null; then
    unzip -q -o "$work/library.zip" "$library" -d "$work"
  else
    python3 -m zipfile -e "$work/library.zip" "$work"
  fi
  [ -s "$work/$library" ]
}

if ! have_library; then
  library_from_npm || library_from_release || {
    command -v npm >/dev/null || command -v curl >/dev/null || exit 4
    say "the DuckDB library could not be fetched; is the network there? By hand: unpack libduckdb-$release.zip of DuckDB's release $VERSION into $target and run: touch $stamp"
    exit 3
  }
  # The stamp comes last: a library without it is fetched again.
  rm -f "$target"/.libduckdb-*
  [ ! -f "$work/LICENSE" ] || mv -f "$work/LICENSE" "$target/LICENSE"
  chmod 755 "$work/$library"
  mv -f "$work/$library" "$target/$library"
  : >"$stamp"
fi

extension_from_pip() {
  local python
  for python in python3 "${LAKEFEED_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lakefeed}/stack/python/bin/python"; do
    "$python" -m pip --version >/dev/null 2>&1 || continue
    say "fetching DuckDB's extension for S3"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work" "duckdb-extension-httpfs==$VERSION" \
      >"$work/pip.log" 2>&1 </dev/null || continue
    "$python" -m zipfile -e "$work"/duckdb_extension_httpfs-*.whl "$work/wheel"
    verify 256 "$httpfs_sha256" "$work/wheel/duckdb_extension_httpfs/extensions/v$VERSION/httpfs.duckdb_extension"
    mv -f "$work/wheel/duckdb_extension_httpfs/extensions/v$VERSION/httpfs.duckdb_extension" "$extension"
    : >"$extension.$VERSION"
    return 0
  done
  return 1
}

if ! have_extension && ! extension_from_pip; then
  say "DuckDB's extension for S3 could not be fetched (it wants python3 with pip, and a network); lakes on S3 then need INSTALL httpfs"
  [ "$required" = 0 ] || exit 3
fi
