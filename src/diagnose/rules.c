/* SPDX-License-Identifier: Apache-2.0 */
/* The rules' origin is docs/verdicts.md, which explains each with its experiment. */
#include "diagnose/rule.h"

#include <string.h>

#define EXPERIMENT "seen in experiments, docs/verdicts.md"
#define CUSTOM "a common rule of thumb"

const struct threshold_meta threshold_metas[THRESHOLDS] = {
	[THRESHOLD_NONE] = { "none", 0, FACT_UNIT_COUNT, "any" },
	[THRESHOLD_CPU_DEMAND] = { "cpu_demand", 0.05, FACT_UNIT_CORES, CUSTOM },
	[THRESHOLD_ACTIVE] = { "active", 0.05, FACT_UNIT_CORES, CUSTOM },
	[THRESHOLD_THROTTLED_PERIODS] = { "throttled_periods", 0.10, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_THROTTLED_SHARE] = { "throttled_share", 0.05, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_THROTTLED_MARGINAL] = { "throttled_marginal", 0.01, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_CONTENTION] = { "contention", 0.10, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_OTHERS_PART] = { "others_part", 0.50, FACT_UNIT_SHARE, "the larger half decides" },
	[THRESHOLD_CPUS_IDLE] = { "cpus_idle", 0.10, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_STEAL] = { "steal", 0.10, FACT_UNIT_SHARE, CUSTOM },
	[THRESHOLD_MEMORY_FULL] = { "memory_full", 0.95, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_MEMORY_PRESSURE] = { "memory_pressure", 0.05, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_MEMORY_LOST] = { "memory_lost", 0.10, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_MEMORY_CALM] = { "memory_calm", 0.01, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_REFAULTS] = { "refaults", 100, FACT_UNIT_PER_SECOND, EXPERIMENT },
	[THRESHOLD_RECLAIM] = { "reclaim", 0.01, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_MACHINE_MEMORY] = { "machine_memory", 0.10, FACT_UNIT_SHARE, CUSTOM },
	[THRESHOLD_SWAPPED_IN] = { "swapped_in", 10, FACT_UNIT_PER_SECOND, CUSTOM },
	[THRESHOLD_IO_PRESSURE] = { "io_pressure", 0.10, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_IO_LIMIT] = { "io_limit", 0.95, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_DISK_WAIT] = { "disk_wait", 0.10, FACT_UNIT_SHARE, CUSTOM },
	[THRESHOLD_DISK_OTHERS] = { "disk_others", 0.50, FACT_UNIT_SHARE, "the larger half decides" },
	[THRESHOLD_DISK_LATENCY] = { "disk_latency", 0.010, FACT_UNIT_SECONDS, "slow for a solid-state disk" },
	[THRESHOLD_DISK_QUEUE] = { "disk_queue", 2, FACT_UNIT_CORES, CUSTOM },
	[THRESHOLD_LOCK_WAIT] = { "lock_wait", 0.10, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_FILES] = { "files", 0.90, FACT_UNIT_SHARE, CUSTOM },
	[THRESHOLD_FAILURES] = { "failures", 3, FACT_UNIT_COUNT, CUSTOM },
	[THRESHOLD_LISTEN] = { "listen_overflows", 1, FACT_UNIT_COUNT, EXPERIMENT },
	[THRESHOLD_TCP_LOSS] = { "tcp_loss", 0.01, FACT_UNIT_SHARE, EXPERIMENT },
	[THRESHOLD_UDP_OVERFLOWS] = { "udp_overflows", 10, FACT_UNIT_COUNT, CUSTOM },
	[THRESHOLD_ZERO_WINDOWS] = { "zero_windows", 1, FACT_UNIT_COUNT, EXPERIMENT },
	[THRESHOLD_NETWORK_WAIT] = { "network_wait", 0.10, FACT_UNIT_CORES, CUSTOM },
	[THRESHOLD_ON_CPU] = { "on_cpu", 0.80, FACT_UNIT_SHARE, CUSTOM },
};

enum threshold threshold_find(const char *name)
{
	for (guint i = 1; i < THRESHOLDS; i++)
		if (strcmp(threshold_metas[i].name, name) == 0)
			return (enum threshold)i;
	return THRESHOLDS;
}

/* clang-format off */
const struct rule rules[] = {
	/* ---- CPU ---- */
	{
		.name = "cap throttled", .resource = "cpu", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_CPU_DEMAND, .soft = TRUE, .firm = TRUE },
			{ AT_LEAST, FACT_THROTTLED_PERIODS, THRESHOLD_THROTTLED_PERIODS },
			{ AT_LEAST, FACT_THROTTLED_SHARE, THRESHOLD_THROTTLED_SHARE },
		},
		.sentence = "cap throttled: {throttled_periods} of periods; wants about {cpu_wanted} CPUs, "
			    "has {cpu_limit}[ by {cpu_limit_of}]",
		.disproof = "raise the quota for 30 s, e.g. docker update --cpus {cpu_wanted} {container}: "
			    "if it gets no faster while throttled periods go to 0, the quota was not it",
		.advice = "raise the quota (cpu.max, --cpus, limits.cpu) towards {cpu_wanted}, or start fewer threads: "
			  "those it has use up the quota early in each period and then all stand still [for {throttle_stall}]",
		.more = "fathom walltime {container}",
		.score = FACT_LOST_THROTTLED,
		.shown = { FACT_CPU_USED, FACT_CPU_LIMIT, FACT_THROTTLE_STALL },
	},
	{
		.name = "hypervisor steal", .resource = "cpu", .fault = FAULT_HOST,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_CPU_DEMAND, .soft = TRUE, .firm = TRUE },
			{ AT_LEAST, FACT_STEAL, THRESHOLD_STEAL },
		},
		.sentence = "the hypervisor gives {steal} of this machine's CPU time to others",
		.disproof = "move it to another machine: if it is as slow there with no steal, that was not it",
		.advice = "neither container nor host can mend it: a bigger or less crowded instance",
		.more = "fathom host",
		.score = FACT_LOST_STEAL,
	},
	{
		.name = "cpuset too small", .resource = "cpu", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_CPU_DEMAND, .firm = TRUE },
			{ AT_LEAST, FACT_CONTENTION, THRESHOLD_CONTENTION },
			{ BELOW, FACT_CPUS_IDLE, THRESHOLD_CPUS_IDLE },
			{ BELOW, FACT_OTHERS_PART, THRESHOLD_OTHERS_PART },
			{ AT_LEAST, FACT_CPUS_IDLE_OUTSIDE, THRESHOLD_CPUS_IDLE },
		},
		.sentence = "its cpuset is too small: {cpu_demand} threads want the {cpus} CPUs it may use, "
			    "while the others idle {cpus_idle_outside} of the time",
		.disproof = "widen the cpuset for 30 s (docker update --cpuset-cpus …): if it still waits for a CPU, it was not the cpuset",
		.advice = "widen the cpuset (cpuset.cpus, --cpuset-cpus) or move it to idle CPUs",
		.more = "fathom latency runq {container}",
		.score = FACT_LOST_OWN,
		.shown = { FACT_CPUS, FACT_WAIT_OWN },
	},
	{
		.name = "own CPU demand", .resource = "cpu", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_CPU_DEMAND, .firm = TRUE },
			{ AT_LEAST, FACT_CONTENTION, THRESHOLD_CONTENTION },
			{ BELOW, FACT_CPUS_IDLE, THRESHOLD_CPUS_IDLE },
			{ BELOW, FACT_OTHERS_PART, THRESHOLD_OTHERS_PART },
			{ BELOW, FACT_CPUS_IDLE_OUTSIDE, THRESHOLD_CPUS_IDLE },
			{ BELOW, FACT_THROTTLED_PERIODS, THRESHOLD_THROTTLED_PERIODS, .soft = TRUE }, /* its quota comes first */
		},
		.sentence = "it wants more CPU than there is: {cpu_demand} threads for {cpus} CPUs, and it is this container that fills them",
		.disproof = "stop half of its threads for 30 s: if the rest does not get faster, the CPUs were not short",
		.advice = "a machine with more CPUs, fewer threads, or less work: see what it runs",
		.more = "fathom profile {container}",
		.score = FACT_LOST_OWN,
		.shown = { FACT_CPUS, FACT_WAIT_OWN },
	},
	{
		.name = "CPU taken by a neighbour", .resource = "cpu", .fault = FAULT_NEIGHBOUR,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_CPU_DEMAND, .firm = TRUE },
			{ AT_LEAST, FACT_CONTENTION, THRESHOLD_CONTENTION },
			{ BELOW, FACT_CPUS_IDLE, THRESHOLD_CPUS_IDLE },
			{ AT_LEAST, FACT_OTHERS_PART, THRESHOLD_OTHERS_PART, .firm = TRUE },
		},
		.sentence = "waits for CPUs while others have them: {wait_others} of the time it wants to run[, most for {cpu_culprit}]",
		.disproof = "pause the other for 30 s[ (docker pause {cpu_culprit})]: if it still waits for a CPU, the other was not it",
		.advice = "give it a larger share (cpu.weight, --cpu-shares), the other a quota, or each CPUs of its own",
		.more = "fathom blame cpu {container}",
		.score = FACT_LOST_OTHERS, .culprit = TEXT_CPU_CULPRIT,
		.shown = { FACT_WAIT_OTHERS, FACT_CULPRIT_CPU, FACT_CPUS, FACT_CPU_USED },
	},
	{
		.name = "waits beside idle CPUs", .resource = "cpu", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_CPU_DEMAND, .firm = TRUE },
			{ AT_LEAST, FACT_CONTENTION, THRESHOLD_CONTENTION },
			{ AT_LEAST, FACT_CPUS_IDLE, THRESHOLD_CPUS_IDLE },
			{ BELOW, FACT_THROTTLED_PERIODS, THRESHOLD_THROTTLED_PERIODS, .soft = TRUE },
		},
		.sentence = "waits for a CPU {contention} of the time it wants to run, though the CPUs it may use idle {cpus_idle} of the time"
			    "[: behind {cpu_culprit}]",
		.disproof = "let its threads run anywhere (taskset -acp for its processes): if the wait stays, they were not pinned to busy CPUs",
		.advice = "look for threads pinned to one CPU (Cpus_allowed_list), real-time tasks or interrupts on it, or work that comes in bursts",
		.more = "fathom blame cpu {container}",
		.score = FACT_LOST_CONTENTION, .culprit = TEXT_CPU_CULPRIT,
		.shown = { FACT_CPUS, FACT_WAIT_OTHERS, FACT_WAIT_OWN },
	},
	{
		.name = "cap marginal", .resource = "cpu", .fault = FAULT_CONTAINER, .is_note = TRUE,
		.conditions = {
			{ AT_LEAST, FACT_THROTTLED_PERIODS, THRESHOLD_THROTTLED_MARGINAL },
			{ BELOW, FACT_THROTTLED_PERIODS, THRESHOLD_THROTTLED_PERIODS },
		},
		.sentence = "throttled in {throttled_periods} of periods: bursts now and then reach its quota of {cpu_limit} CPUs",
		.disproof = "raise the quota: the slowest requests stay as slow",
		.advice = "nothing, unless its slowest requests matter: then allow bursts (cpu.max.burst)",
		.more = "fathom latency runq {container}",
		.score = FACT_LOST_THROTTLED,
	},
	{
		.name = "own code", .resource = "cpu", .fault = FAULT_CONTAINER, .is_note = TRUE,
		.conditions = {
			{ AT_LEAST, FACT_CPU_DEMAND, THRESHOLD_ON_CPU, .firm = TRUE },
			{ AT_LEAST, FACT_ON_CPU, THRESHOLD_ON_CPU },
		},
		.sentence = "its active threads run {on_cpu} of the time: if it is slow, its own code is what takes the time",
		.disproof = "a faster CPU makes it no faster",
		.advice = "see what it runs",
		.more = "fathom profile {container}",
		.score = FACT_ON_CPU,
		.shown = { FACT_CPU_USED },
	},
	/* ---- memory ---- */
	{
		.name = "memory limit, killed", .resource = "memory", .fault = FAULT_CONTAINER,
		.conditions = {
			{ MORE_THAN, FACT_OOM_LIMIT, THRESHOLD_NONE },
		},
		.sentence = "out of memory at its limit[ of {memory_limit}][ by {memory_limit_of}]: {oom_limit} processes killed[, the last was {oom_victim}]",
		.disproof = "run it again with twice the limit: if it is killed just so, it grows without end (a leak) and no limit is enough",
		.advice = "raise the limit if what it needs is what it should need; else find what grows",
		.more = "fathom memory {container}",
		.score = FACT_LOST_MEMORY, .score_least = 1,
	},
	{
		.name = "machine out of memory", .resource = "memory", .fault = FAULT_HOST,
		.conditions = {
			{ MORE_THAN, FACT_OOM_HOST, THRESHOLD_NONE },
		},
		.sentence = "the machine ran out of memory and {oom_host} of its processes were killed[, the last was {oom_victim}]: it is the victim",
		.disproof = "run it alone on the machine: if it is killed again, it was its own doing",
		.advice = "limit those who grow (fathom top --sort mem), or spread containers over more machines",
		.more = "fathom top --all --sort mem -n 1 --plain",
		.score = FACT_LOST_MEMORY, .score_least = 1,
		.shown = { FACT_MACHINE_MEMORY_FREE },
	},
	{
		.name = "memory limit too small", .resource = "memory", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_MEMORY_FILL, THRESHOLD_MEMORY_FULL, .firm = TRUE },
			{ AT_LEAST, FACT_REFAULTS, THRESHOLD_REFAULTS, .any = 1 },
			{ AT_LEAST, FACT_RECLAIM_OWN, THRESHOLD_RECLAIM, .any = 1 },
			{ AT_LEAST, FACT_MEMORY_PRESSURE, THRESHOLD_MEMORY_PRESSURE, .any = 2, .soft = TRUE },
			{ AT_LEAST, FACT_LOST_MEMORY, THRESHOLD_MEMORY_LOST, .any = 2 },
		},
		.sentence = "its memory limit of {memory_limit} is too small for what it works on[: {refaults} pages are read back soon after they were dropped]",
		.disproof = "raise the limit by half for a minute (docker update -m …): if pages are read back as often, it only reads through files larger than any limit",
		.advice = "raise the limit, or let it work on less at a time: below the limit it spends its time reading again what it has just dropped",
		.more = "fathom blame memory {container}",
		.score = FACT_LOST_MEMORY,
		.shown = { FACT_MEMORY_USED, FACT_MEMORY_LIMIT, FACT_IO_PRESSURE },
	},
	{
		.name = "memory.high reached", .resource = "memory", .fault = FAULT_CONTAINER,
		.conditions = {
			{ MORE_THAN, FACT_HIGH_EVENTS, THRESHOLD_NONE },
			{ AT_LEAST, FACT_MEMORY_PRESSURE, THRESHOLD_MEMORY_PRESSURE },
		},
		.sentence = "slowed down on purpose: it is above its memory.high of {memory_high} and the kernel makes it wait",
		.disproof = "set memory.high to max for 30 s: if it gets no faster, that was not it",
		.advice = "raise memory.high, or let it use less",
		.more = "fathom memory {container}",
		.score = FACT_LOST_MEMORY,
		.shown = { FACT_MEMORY_USED, FACT_MEMORY_HIGH },
	},
	{
		.name = "machine short of memory", .resource = "memory", .fault = FAULT_NEIGHBOUR,
		.conditions = {
			{ AT_LEAST, FACT_RECLAIM_MACHINE, THRESHOLD_RECLAIM },
			{ BELOW, FACT_MEMORY_FILL, THRESHOLD_MEMORY_FULL, .soft = TRUE },
			{ BELOW, FACT_MACHINE_MEMORY_FREE, THRESHOLD_MACHINE_MEMORY },
		},
		.sentence = "waits while the machine makes room in memory: {reclaim_machine} of the time[; most was taken by {memory_culprit}]",
		.disproof = "stop the one who takes most for a minute: if it still makes room, the machine is too small for the rest, too",
		.advice = "limit those who grow, or a machine with more memory",
		.more = "fathom blame memory {container}",
		.score = FACT_LOST_MEMORY, .culprit = TEXT_MEMORY_CULPRIT,
		.shown = { FACT_MACHINE_MEMORY_FREE },
	},
	{
		.name = "swapping", .resource = "memory", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_SWAPPED_IN, THRESHOLD_SWAPPED_IN },
			{ AT_LEAST, FACT_MEMORY_PRESSURE, THRESHOLD_MEMORY_CALM, .soft = TRUE },
		},
		.sentence = "its own memory is swapped out and needed again: {swapped_in} pages",
		.disproof = "raise its memory limit (or stop others, if it has none) for a minute: if pages still come from swap, it was not that",
		.advice = "more memory for it, or less swap: then it fails early instead of crawling",
		.more = "fathom memory {container}",
		.score = FACT_LOST_MEMORY,
	},
	{
		.name = "cache fills the limit", .resource = "memory", .fault = FAULT_CONTAINER, .is_note = TRUE,
		.conditions = {
			{ AT_LEAST, FACT_MEMORY_FILL, THRESHOLD_MEMORY_FULL, .firm = TRUE },
			{ BELOW, FACT_REFAULTS, THRESHOLD_REFAULTS },
			{ BELOW, FACT_MEMORY_PRESSURE, THRESHOLD_MEMORY_CALM, .soft = TRUE },
		},
		.sentence = "page cache fills its memory limit of {memory_limit}: harmless, nothing of it was needed again",
		.disproof = "raise the limit: it gets faster",
		.advice = "nothing",
		.more = "fathom memory {container}",
		.score = FACT_LOST_MEMORY,
		.shown = { FACT_MEMORY_USED },
	},
	/* ---- disk ---- */
	{
		.name = "I/O limit", .resource = "disk", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_IO_LIMIT_USED, THRESHOLD_IO_LIMIT, .firm = TRUE },
			{ AT_LEAST, FACT_IO_PRESSURE, THRESHOLD_IO_PRESSURE },
		},
		.sentence = "its I/O limit is used up: {io_limit_used} of it, and somebody waits for I/O {io_pressure} of the time",
		.disproof = "lift the limit (io.max, blkio.throttle.*) for 30 s: if it gets no faster, the limit was not it",
		.advice = "raise the limit, or write less",
		.more = "fathom latency block {container}",
		.score = FACT_LOST_DISK,
	},
	{
		.name = "disk taken by a neighbour", .resource = "disk", .fault = FAULT_NEIGHBOUR,
		.conditions = {
			{ AT_LEAST, FACT_ACTIVE, THRESHOLD_ACTIVE, .firm = TRUE },
			{ AT_LEAST, FACT_DISK_WAIT, THRESHOLD_DISK_WAIT },
			{ AT_LEAST, FACT_DISK_OTHERS_PART, THRESHOLD_DISK_OTHERS, .firm = TRUE },
			{ AT_LEAST, FACT_LOST_DISK_OTHERS, THRESHOLD_DISK_WAIT, .firm = TRUE },
			{ BELOW, FACT_IO_LIMIT_USED, THRESHOLD_IO_LIMIT, .soft = TRUE },
		},
		.sentence = "its disk requests wait behind others': {disk_others_part} of their time[, most behind {disk_culprit}]",
		.disproof = "pause the other for 30 s[ (docker pause {disk_culprit})]: if requests take as long, the other was not it",
		.advice = "limit the other's I/O (io.max, io.weight), or give it another disk",
		.more = "fathom blame block {container}",
		.score = FACT_LOST_DISK_OTHERS, .culprit = TEXT_DISK_CULPRIT,
		.shown = { FACT_DISK_LATENCY, FACT_IO_PRESSURE },
	},
	{
		.name = "slow disk", .resource = "disk", .fault = FAULT_HOST,
		.conditions = {
			{ AT_LEAST, FACT_ACTIVE, THRESHOLD_ACTIVE, .firm = TRUE },
			{ AT_LEAST, FACT_DISK_WAIT, THRESHOLD_DISK_WAIT },
			{ AT_LEAST, FACT_DISK_LATENCY, THRESHOLD_DISK_LATENCY },
			{ BELOW, FACT_DISK_QUEUE, THRESHOLD_DISK_QUEUE },
			{ BELOW, FACT_IO_LIMIT_USED, THRESHOLD_IO_LIMIT, .soft = TRUE },
		},
		.sentence = "the disk is slow: half of its requests take {disk_latency} in the device and longer, with {disk_queue} in it at a time",
		.disproof = "read the device alone on the quiet machine: if it answers faster, it was its load",
		.advice = "look at the device's health (SMART, dmesg), or put the data on a faster one",
		.more = "fathom latency block {container}",
		.score = FACT_LOST_DISK,
	},
	{
		.name = "own disk demand", .resource = "disk", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_ACTIVE, THRESHOLD_ACTIVE, .firm = TRUE },
			{ AT_LEAST, FACT_DISK_WAIT, THRESHOLD_DISK_WAIT },
			{ AT_LEAST, FACT_IO_PRESSURE, THRESHOLD_IO_PRESSURE, .soft = TRUE },
			{ BELOW, FACT_REFAULTS, THRESHOLD_REFAULTS, .soft = TRUE },
			{ BELOW, FACT_DISK_OTHERS_PART, THRESHOLD_DISK_OTHERS, .soft = TRUE },
			{ BELOW, FACT_IO_LIMIT_USED, THRESHOLD_IO_LIMIT, .soft = TRUE },
			{ BELOW, FACT_DISK_LATENCY, THRESHOLD_DISK_LATENCY, .any = 1, .soft = TRUE },
			{ AT_LEAST, FACT_DISK_QUEUE, THRESHOLD_DISK_QUEUE, .any = 1 },
		},
		.sentence = "it waits for its own disk requests: {disk_wait} of its thread time",
		.disproof = "give it a faster disk or its data in memory (tmpfs): if it is as slow, the disk was not it",
		.advice = "fewer, larger or cached requests; see which files and who calls",
		.more = "fathom offcpu {container}",
		.score = FACT_LOST_DISK,
		.shown = { FACT_DISK_LATENCY, FACT_DISK_QUEUE },
	},
	/* ---- locks ---- */
	{
		.name = "lock contention", .resource = "locks", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_ACTIVE, THRESHOLD_ACTIVE, .firm = TRUE },
			{ AT_LEAST, FACT_LOCK_WAIT, THRESHOLD_LOCK_WAIT },
		},
		.sentence = "its threads wait for each other's locks: {lock_wait} of their time",
		.disproof = "run it with one thread: if each request takes as long as now, the lock was not it",
		.advice = "hold the lock for less, or split it: the stacks of who wakes the waiters say who held it",
		.more = "fathom offcpu --waker {container}",
		.score = FACT_LOST_LOCK,
	},
	/* ---- limits ---- */
	{
		.name = "limit of pids", .resource = "limits", .fault = FAULT_CONTAINER,
		.conditions = {
			{ MORE_THAN, FACT_PIDS_HITS, THRESHOLD_NONE },
		},
		.sentence = "cannot start threads or processes: {pids_hits} refused at its limit of {pids_limit} pids[ by {pids_limit_of}]",
		.disproof = "raise pids.max: if fork still fails, something else refuses (RLIMIT_NPROC)",
		.advice = "raise the limit (pids.max, --pids-limit), or see who starts so many",
		.more = "fathom trace exec {container}",
		.score = FACT_NONE, .score_least = 0.5,
	},
	{
		.name = "limit of open files", .resource = "limits", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_FILES_FILL, THRESHOLD_FILES, .firm = TRUE },
		},
		.sentence = "a process has {files_fill} of its {files_limit} files open",
		.disproof = "raise RLIMIT_NOFILE (prlimit): if the number grows on, files leak",
		.advice = "raise the limit (--ulimit nofile), or find what is opened and never closed",
		.more = "fathom trace open {container}",
		.score = FACT_NONE, .score_least = 0.5,
	},
	/* ---- network ---- */
	{
		.name = "accept queue full", .resource = "network", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_LISTEN_OVERFLOWS, THRESHOLD_LISTEN },
		},
		.sentence = "does not accept connections fast enough: {listen_overflows} were dropped at a full queue",
		.disproof = "a longer queue (listen backlog, somaxconn): if it fills just so, the server is too slow, not the queue too short",
		.advice = "see what the threads do that should accept; a longer queue only helps against bursts",
		.more = "fathom offcpu {container}",
		.score = FACT_NONE, .score_least = 0.6,
	},
	{
		.name = "connections refused", .resource = "network", .fault = FAULT_PEER,
		.conditions = {
			{ AT_LEAST, FACT_REFUSED, THRESHOLD_FAILURES },
		},
		.sentence = "{refused} of its connections were refused[, most by {peer}]: nobody listens there",
		.disproof = "connect by hand from its network (fathom enter {container} -- …): if it works, the refusals have passed",
		.advice = "start the server, or mend the address it is looked for at",
		.more = "fathom connections -d 10 {container}",
		.score = FACT_NONE, .score_least = 0.5, .culprit = TEXT_PEER,
	},
	{
		.name = "connections without answer", .resource = "network", .fault = FAULT_PEER,
		.conditions = {
			{ AT_LEAST, FACT_CONNECT_TIMEOUTS, THRESHOLD_FAILURES },
		},
		.sentence = "{connect_timeouts} of its attempts to connect got no answer[, most from {peer}]",
		.disproof = "connect by hand from another place: if there is an answer, a firewall or route of this one is it",
		.advice = "look for a firewall that drops, a full accept queue of the peer, or a wrong address",
		.more = "fathom connections -d 10 {container}",
		.score = FACT_NONE, .score_least = 0.5, .culprit = TEXT_PEER,
	},
	{
		.name = "packets lost", .resource = "network", .fault = FAULT_PEER,
		.conditions = {
			{ AT_LEAST, FACT_TCP_LOSS, THRESHOLD_TCP_LOSS },
			{ BELOW, FACT_CONNECT_TIMEOUTS, THRESHOLD_FAILURES, .soft = TRUE },
			{ BELOW, FACT_LISTEN_OVERFLOWS, THRESHOLD_LISTEN, .soft = TRUE },
		},
		.sentence = "packets get lost: {tcp_loss} of what it sends over TCP has to be sent again[, most to {peer}]",
		.disproof = "the same load over another path (or on one machine): if as much is lost, it is the machine",
		.advice = "look for drops on the way: interfaces, queues, firewall rules",
		.more = "fathom connections -d 10 {container}",
		.score = FACT_NONE, .score_least = 0.3, .culprit = TEXT_PEER,
		.shown = { FACT_TCP_TIMEOUTS },
	},
	{
		.name = "receiver does not read", .resource = "network", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_ZERO_WINDOWS, THRESHOLD_ZERO_WINDOWS },
		},
		.sentence = "does not read what it is sent: {zero_windows} times it told a sender to stop",
		.disproof = "larger receive buffers: if senders still stop, it reads too slowly",
		.advice = "see what the threads do that should read",
		.more = "fathom offcpu {container}",
		.score = FACT_NONE, .score_least = 0.3,
	},
	{
		.name = "datagrams dropped", .resource = "network", .fault = FAULT_CONTAINER,
		.conditions = {
			{ AT_LEAST, FACT_UDP_OVERFLOWS, THRESHOLD_UDP_OVERFLOWS },
		},
		.sentence = "{udp_overflows} datagrams were dropped: it does not read its UDP sockets fast enough",
		.disproof = "larger buffers (SO_RCVBUF): if as many are dropped, it reads too slowly",
		.advice = "larger buffers against bursts; else see what the threads do that should read",
		.more = "fathom offcpu {container}",
		.score = FACT_NONE, .score_least = 0.4,
	},
};
/* clang-format on */
const guint rule_count = G_N_ELEMENTS(rules);
