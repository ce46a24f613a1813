#!/bin/bash
# Stop the private SLURM that slurm_up.sh DIR started, by its own process files: slurm_down.sh DIR
set -u
dir=$1
pids=()
for file in "$dir/slurmd.pid" "$dir/slurmctld.pid" "$dir/munge/pid"; do
  if [ -s "$file" ]; then pid=$(cat "$file"); kill "$pid" 2> /dev/null && pids+=("$pid"); fi
done
for _ in $(seq 600); do
  alive=no
  for pid in "${pids[@]}"; do
    if [ -r "/proc/$pid/stat" ] && ! grep -q ') Z ' "/proc/$pid/stat"; then alive=yes; fi
  done
  [ $alive = no ] && exit 0
  sleep 0.1
done
echo "still running: ${pids[*]}" >&2
exit 1
