#!/usr/bin/env bash
# ---
# dependencies: [products]
# ---
set -e
test -n "$OSTINATO_DS"
echo "{{ not a template }}"
