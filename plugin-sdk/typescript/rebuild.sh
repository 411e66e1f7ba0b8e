#!/usr/bin/env bash
# Builds the two modules that `plugin build` makes plugins of scripts with, the parser and the runtime, and writes each beside
# its source, with its digest and what it was built with. With --check it compares instead, where the compilers are the same.
# Versions are locked, and paths are mapped. The parser has the same bytes wherever it is built; the runtime has not yet, where
# the checkout is at another path.
#
#   rebuild.sh [--check] [parser|runtime]...
set -euo pipefail
cd "$(dirname "$0")"
root="$(cd ../.. && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}"
cargo="${CARGO_HOME:-$HOME/.cargo}"
export CC_wasm32_unknown_unknown=clang-19 AR_wasm32_unknown_unknown=llvm-ar-19

check=
if [ "${1:-}" = --check ]; then
  check=1
  shift
fi
[ $# -gt 0 ] || set -- parser runtime

for module in "$@"; do
  case $module in
    parser) built=typescript with="$(rustc --version)" ;;
    runtime) built=javascript with="$(rustc --version), $(clang-19 --version | head -n 1)" ;;
    *) echo "there is no module $module: parser, runtime" >&2 && exit 2 ;;
  esac
  if [ -n "$check" ] && [ "$with" != "$(cat "$module/$module.wasm.compilers")" ]; then
    echo "not compared: $module.wasm was built with other compilers than $with"
    continue
  fi
  export CARGO_TARGET_DIR="$target/$built"
  export CFLAGS_wasm32_unknown_unknown="-O2 -ffile-prefix-map=$cargo=/cargo -ffile-prefix-map=$CARGO_TARGET_DIR=/target"
  export RUSTFLAGS="--remap-path-prefix=$cargo=/cargo --remap-path-prefix=$root=/unspool --remap-path-prefix=$CARGO_TARGET_DIR=/target"
  (
    cd "$module"
    cargo build --quiet --release --locked --target wasm32-unknown-unknown
    wasm="$CARGO_TARGET_DIR/wasm32-unknown-unknown/release/unspool_$built.wasm"
    if [ -n "$check" ]; then
      cmp "$wasm" "$module.wasm"
      sha256sum --check --quiet "$module.wasm.sha256"
      echo "$module.wasm is what its source gives"
    else
      cp "$wasm" "$module.wasm"
      sha256sum "$module.wasm" >"$module.wasm.sha256"
      echo "$with" >"$module.wasm.compilers"
      ls -l "$module.wasm"
    fi
  )
done
