#!/usr/bin/env bash
# ---
# dependencies: [datamart]
# ---
set -euo pipefail
echo "after $OSTINATO_DS:"
du -k data/*.duckdb data/staging/*
