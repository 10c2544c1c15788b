#!/bin/sh
# Rebuilds policy.wasm: needs rustc with the target wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown).
# One page of memory that is imported, a small stack at its start, no features beyond those that the loader proves.
set -eu
cd "$(dirname "$0")"
rustc policy.rs --target wasm32-unknown-unknown --crate-type cdylib --edition 2021 -o policy.wasm \
  -C opt-level=s -C panic=abort -C lto=yes -C strip=symbols \
  -C link-arg=--import-memory -C link-arg=--initial-memory=65536 -C link-arg=--max-memory=65536 \
  -C link-arg=-zstack-size=4096 -C link-arg=--stack-first -C link-arg=--gc-sections
