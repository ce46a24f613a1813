#!/bin/bash
# Install Debian's SLURM and munge for the tests, as root; says why not and fails where that cannot be done.
set -u
for command in slurmctld slurmd munged; do command -v "$command" > /dev/null || missing=yes; done
[ -z "${missing:-}" ] && exit 0
why=
if [ "$(id -u)" != 0 ]; then why="root"
elif ! command -v apt-get > /dev/null; then why="Debian's packages"
else
  export DEBIAN_FRONTEND=noninteractive
  timeout 120 apt-get update -qq < /dev/null > /dev/null 2>&1
  timeout 300 apt-get install -y -qq --no-install-recommends slurm-wlm munge < /dev/null > /dev/null 2>&1 && exit 0
  why="the packages slurm-wlm and munge, which could not be installed"
fi
echo "SKIPPED test-slurm: a private SLURM needs $why" >&2
exit 1
