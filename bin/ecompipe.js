#!/bin/sh
":" //; case $(grep -s ^SigIgn: /proc/$$/status) in *[13579bdf]) export ECOMPIPE_SIGHUP=ignored;; esac; exec node --no-deprecation --max-semi-space-size=8 --heap-growing-percent=50 -- "$0" "$@"

// The shell runs the line above, Node what is below.
// - Node 20 takes an `--env-file` for its own wherever it stands (and reads a pipe empty, or refuses to start) unless
//   `--` comes before the script. `env -S node --` would do the same, but BusyBox has no -S.
// - Node takes back that SIGHUP is ignored (as nohup arranges it); the shell still sees it.
// - Deprecation notices of libraries are for those who maintain this program. That option also tells
//   src/platform/envFile.ts that it was started this way.
// - What lives on the heap is some 20 MB, whatever is loaded; V8 would let it grow to three times as much before it
//   collects (`npm run bench -- memory`).
import '../dist/cli.js';
