#!/bin/bash
# Start a private SLURM on the loopback interface, as root: slurm_up.sh DIR [CPUS]
# It needs the Debian packages slurm-wlm and munge. Afterwards: export SLURM_CONF=DIR/slurm.conf
# Two partitions share the one node: jobs of `urgent` preempt and requeue those of `main`.
set -eu
dir=$(mkdir -p "$1" && cd "$1" && pwd)
# OMP_NUM_THREADS, which nproc heeds, says nothing of what jobs may use
cpus=${2:-$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)}
node=$(hostname -s)
memory=$(( $(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo) * 8 / 10 ))
mkdir -p "$dir"/{state,spool,log,munge}
chmod 755 "$dir"
chmod 700 "$dir/munge"
(umask 077; head -c 128 /dev/urandom > "$dir/munge/key")
munged --force --num-threads=2 --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
  --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
# KillWait: a worker may need 10 s between SIGTERM and its end.
cat > "$dir/slurm.conf" <<CONF
ClusterName=private
SlurmctldHost=$node(127.0.0.1)
SlurmctldParameters=node_reg_mem_percent=50
SlurmctldPort=${SLURMCTLD_PORT:-26817}
SlurmdPort=${SLURMD_PORT:-26818}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A requeued job starts when its old credential has expired: 120 s by default.
AuthInfo=socket=$dir/munge/socket,cred_expire=10
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=600
MaxArraySize=10001
KillWait=15
ReturnToService=2
SlurmdParameters=config_overrides
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
NodeName=$node NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=$node MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
export SLURM_CONF="$dir/slurm.conf"
slurmctld -c -f "$SLURM_CONF"
slurmd -c -f "$SLURM_CONF"
for _ in $(seq 200); do
  if sinfo --noheader --format=%T 2> /dev/null | grep -q '^idle'; then sinfo; exit 0; fi
  sleep 0.1
done
echo "the node did not come up; see $dir/log" >&2
exit 1
