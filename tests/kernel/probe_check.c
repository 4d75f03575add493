/* SPDX-License-Identifier: Apache-2.0 */
/* Runs every probe on every rung against a thread whose life is known, and compares with the kernel's CPU clock.
 *
 * The child burns 20 ms of CPU, sleeps 20 ms, and so on. One line per (probe, rung), fields separated by tabs:
 *   RESULT <probe> <rung> ok|fail|absent <text>
 * `absent`: this kernel or machine does not have it. Exit status 0 when nothing failed and every probe has a rung that
 * works. With arguments, only the probes so named. Runs as root, also as init's only child in an initramfs: needs /proc and /sys mounted. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "probe/answers.h"
#include "probe/askers.h"
#include "probe/cost.h"
#include "probe/heap.h"
#include "probe/kernel_names.h"
#include "probe/probe.h"
#include "probe/uprobes.h"
#include "kernel/procfs.h"

#define CHECK_AT_ONCE_NS 200000 /* an emulated processor is slow */
#define CHECK_RUN_NS (2 * NS_PER_S)
#define CHECK_EVENTS_NS (200 * NS_PER_MS) /* to hear of what has happened already */
#define CHECK_TURN_NS (20 * NS_PER_MS)
#define CHECK_FAULTS 16 /* page faults a turn */
#define CHECK_PAGE_BYTES 4096
#define CHECK_FREQUENCY_HZ 199
#define CHECK_EVENT_RATE 1000000 /* nobody here floods */
#define CHECK_TOLERANCE 0.25 /* an emulated machine is busy with itself; tight figures are checked elsewhere */
#define CHECK_NAMES_STEP 47 /* of the kernel's functions, one in so many is asked for; the last hundred all are */
#define CHECK_TRIES 2 /* and now and then stands still for seconds; a fault of ours comes again */
#define CHECK_GONE_NS (20 * NS_PER_S) /* deadline for the kernel to free what a killed process held */

/* What the child did, by the kernel's clocks, up to one moment. */
struct deed {
	guint64 cpu_ns, delay_ns, elapsed_ns; /* delay: it waited for a CPU */
	guint64 faults;
};

struct check {
	guint64 stacks, user_frames, events;
	guint64 weight[PROBE_STATES];
	struct deed least, most; /* until the probe was told to end, and until it had */
	guint32 child;
	guint64 seen; /* by the ledger */
	guint64 moments, untimely; /* of samples; those before the one told last */
	guint64 moment_ns;
	guint64 foreign; /* weights or stacks that are not the child's */
	const struct probe *probe;
	const struct event_rule *rule; /* what must happen, for probes of events */
	guint64 happened; /* events that are as the rule says */
	guint copies,
		hasty; /* of stacks; first ones that are short without being all there is: others would be cut by their length */
	const struct nursery *nursery;
	guint born, born_elsewhere; /* told: in the cgroup that is wanted, in the one that is not */
};

/* ---- events: a short life whose every step is known ---- */

#define BRIEF_FILE "/fathom-no-such-file"
#define BRIEF_STATUS 7
#define CHECK_HEAP_BYTES 1000
#define CHECK_COPY_BYTES 16384 /* of a stack of a process nothing is known of, unless it has less */
#define HUNGRY_LIMIT "16777216"
#define HUNGRY_LIMIT_BYTES (16 << 20)
#define HUNGRY_BYTES (256 << 20)
#define WAIT_NS (20 * NS_PER_MS)
#define DISK_BYTES (1 << 20)
#define BUSY_NS (500 * NS_PER_MS)

/* A cgroup with a limit, made for the moment, on v2 or v1; NULL when that cannot be. Owned by the caller. */
static char *limit_make(const char *controller, const char *const *files)
{
	gboolean unified = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	char *directory = g_strdup_printf("/sys/fs/cgroup%s%s/fathom-check-%d", unified ? "" : "/",
					  unified ? "" : controller, getpid());
	gboolean made = mkdir(directory, 0755) == 0;

	/* Of `files` (name, content …) those exist that the version has. */
	for (gsize i = 0; made && files[i]; i += 2) {
		g_autofree char *path = g_build_filename(directory, files[i], NULL);
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd >= 0 && write(fd, files[i + 1], strlen(files[i + 1])) < 0)
			made = FALSE;
		if (fd >= 0)
			close(fd);
	}
	if (!made) {
		rmdir(directory);
		g_clear_pointer(&directory, g_free);
	}
	return directory;
}

static gboolean limit_enter(const char *directory)
{
	g_autofree char *path = g_build_filename(directory, "cgroup.procs", NULL);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	gboolean entered = fd >= 0 && write(fd, "0", 1) == 1;

	if (fd >= 0)
		close(fd);
	return entered;
}

/* Takes memory until it is killed. */
static void hungry_live(const char *directory)
{
	if (!limit_enter(directory))
		_exit(1);
	for (gsize taken = 0; taken < HUNGRY_BYTES; taken += 4096) {
		char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED)
			_exit(1);
		*page = 1;
	}
	_exit(1);
}

/* Uses up a quota, some times over. */
static void busy_live(const char *directory)
{
	guint64 until_ns = clock_monotonic_ns() + BUSY_NS;

	if (!limit_enter(directory))
		_exit(1);
	while (clock_monotonic_ns() < until_ns)
		;
	_exit(0);
}

static void brief_file(void)
{
	char name[] = "/tmp/fathom-check-XXXXXX";
	int fd = mkstemp(name);

	if (fd < 0 || write(fd, name, sizeof(name)) != sizeof(name) || fsync(fd) != 0 || unlink(name) != 0)
		_exit(1);
}

static void brief_wait(void)
{
	const struct timespec nap = { .tv_nsec = WAIT_NS };
	const struct itimerspec alarm = { .it_value = nap };
	int word = 0, timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	guint64 times;

	if (timer < 0 || timerfd_settime(timer, 0, &alarm, NULL) != 0 || read(timer, &times, sizeof(times)) < 0)
		_exit(1);

	syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &nap, NULL, 0);
}

static void brief_live(void)
{
	brief_file();
	brief_wait();
	kill(getpid(), SIGURG);
	if (open(BRIEF_FILE, O_RDONLY) >= 0)
		_exit(1);
	_exit(BRIEF_STATUS);
}

/* Writes to a disk, a file as one, and reads it again from there. */
static void disk_start(void)
{
	char name[] = "/tmp/fathom-check-XXXXXX", block[4096] = { 0 };
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file = mkstemp(name);
	int number = control >= 0 ? ioctl(control, LOOP_CTL_GET_FREE) : -1;
	g_autofree char *path = g_strdup_printf("/dev/loop%d", number);
	int disk = number >= 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;

	if (disk >= 0 && ftruncate(file, DISK_BYTES) == 0 && ioctl(disk, LOOP_SET_FD, file) == 0) {
		if (write(disk, block, sizeof(block)) != sizeof(block) || fsync(disk) != 0)
			fputs("cannot write to the loop device\n", stderr);
		if (posix_fadvise(disk, 0, 0, POSIX_FADV_DONTNEED) != 0 || pread(disk, block, sizeof(block), 0) < 0)
			fputs("cannot read from the loop device\n", stderr);
		ioctl(disk, LOOP_CLR_FD);
	}
	close(disk);
	close(control);
	close(file);
	unlink(name);
}

static void limited_start(const char *controller, const char *const *files, void (*live)(const char *directory))
{
	g_autofree char *directory = limit_make(controller, files);
	pid_t pid;

	if (!directory)
		return;
	pid = fork();
	if (pid == 0)
		live(directory);
	waitpid(pid, NULL, 0);
	for (guint i = 0; rmdir(directory) != 0 && i < 100; i++)
		g_usleep(10000);
}

static void hungry_start(void)
{
	static const char *const files[] = { "memory.max", HUNGRY_LIMIT,      "memory.limit_in_bytes",
					     HUNGRY_LIMIT, "memory.swap.max", "0",
					     NULL };

	limited_start("memory", files, hungry_live);
}

static void busy_start(void)
{
	static const char *const files[] = { "cpu.max", "10000 100000",	    "cpu.cfs_period_us",
					     "100000",	"cpu.cfs_quota_us", "10000",
					     NULL };

	limited_start("cpu", files, busy_live);
}

static void brief_start(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/proc/self/exe", "probe_check", "--brief", NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

#define TALKS 7

/* One request and its answer. */
static gboolean talk_once(int client, int server)
{
	char byte = 0;

	return send(client, &byte, 1, 0) == 1 && recv(server, &byte, 1, 0) == 1 && send(server, &byte, 1, 0) == 1 &&
	       recv(client, &byte, 1, 0) == 1;
}

/* Connects to itself, and talks. */
static void talk_start(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(here);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (listener < 0 || bind(listener, (struct sockaddr *)&here, size) != 0 || listen(listener, TALKS) != 0 ||
	    getsockname(listener, (struct sockaddr *)&here, &size) != 0)
		return;
	for (guint i = 0; i < TALKS; i++) {
		int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server = -1;

		if (client >= 0 && connect(client, (struct sockaddr *)&here, size) == 0)
			server = accept(listener, NULL, NULL);
		if (!talk_once(client, server))
			perror("a request");
		close(server);
		close(client);
	}
	close(listener);
}

#define LOSSES 5

/* Datagrams to a port of its own where nobody listens. */
static void lose_start(void)
{
	struct sockaddr_in nobody = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(nobody);
	int taken = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (taken >= 0 && bind(taken, (struct sockaddr *)&nobody, size) == 0 &&
	    getsockname(taken, (struct sockaddr *)&nobody, &size) == 0) {
		close(taken);
		taken = -1;
		for (guint i = 0; sender >= 0 && i < LOSSES; i++)
			if (sendto(sender, "?", 1, 0, (struct sockaddr *)&nobody, size) < 0)
				break;
	}
	close(taken);
	close(sender);
}

/* Connects to itself, and stays so until the program ends. */
static void stay_start(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(here);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listener, (struct sockaddr *)&here, size) != 0 || listen(listener, 1) != 0 ||
	    getsockname(listener, (struct sockaddr *)&here, &size) != 0 ||
	    connect(client, (struct sockaddr *)&here, size) != 0 || accept(listener, NULL, NULL) < 0)
		perror("a connection that stays");
}

#define QUESTIONS 5
#define RESOLVER 0x7f530035 /* 127.83.0.53, where nobody else listens */

/* Asks itself for the name "x", and answers with an address. */
static void ask_start(void)
{
	static const guint8 record[] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7 };
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(RESOLVER) };
	guint8 question[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 1, 0, 1 };
	guint8 answer[sizeof(question) + sizeof(record)];
	int resolver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	gboolean good = bind(resolver, (struct sockaddr *)&here, sizeof(here)) == 0 &&
			connect(client, (struct sockaddr *)&here, sizeof(here)) == 0;

	for (guint i = 0; good && i < QUESTIONS; i++) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);

		question[1] = i;
		good = send(client, question, sizeof(question), 0) == sizeof(question) &&
		       recvfrom(resolver, answer, sizeof(answer), 0, (struct sockaddr *)&from, &size) > 0;
		answer[2] = 0x81;
		answer[7] = 1;
		memcpy(answer + sizeof(question), record, sizeof(record));
		good = good && sendto(resolver, answer, sizeof(answer), 0, (struct sockaddr *)&from, size) > 0 &&
		       recv(client, answer, sizeof(answer), 0) > 0;
	}
	close(resolver);
	close(client);
}

/* Makes a device interrupt: a serial line, where there is one, and the disk, where that is more than memory. */
static void serial_start(void)
{
	int line = open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (line >= 0 && write(line, "\n", 1) != 1)
		fputs("cannot write to the serial line\n", stderr);
	if (line >= 0)
		close(line);
	sync();
	brief_start();
}

static const struct event_rule {
	const char *probe;
	const char *kind; /* NULL: a histogram, and `field` is a label; or edges, and it is a counter */
	const char *field; /* … is `text`, or the number */
	const char *text;
	guint64 number;
	void (*start)(void);
	guint64 over_ns; /* ask only for what takes this long */
} event_rules[] = {
	{ "trace exec", "exec", "file", "/proc/self/exe", 0, brief_start },
	{ "trace exit", "exit", "status", NULL, BRIEF_STATUS, brief_start },
	{ "trace signal", "signal", "signal", "SIGURG", 0, brief_start },
	{ "trace open", "open", "file", BRIEF_FILE, 0, brief_start },
	{ "fs", NULL, "operation", "fsync", 0, brief_start },
	{ "syscall", NULL, "error", "ENOENT", 0, brief_start },
	{ "blame block", NULL, "resource", "block", 0, disk_start },
	{ "blame memory", NULL, "resource", "memory", 0, hungry_start },
	{ "cache", NULL, "pages", "brought", 0, disk_start },
	{ "fault", NULL, "kind", "minor", 0, brief_start },
	{ "futex", NULL, "end", "timed out", 0, brief_start },
	{ "softirq", NULL, "softirq", "timer", 0, brief_start },
	{ "irq", NULL, "irq", NULL, 0, serial_start },
	{ "block", NULL, "operation", "write", 0, disk_start },
	{ "slow fs", "slow", "operation", "fsync", 0, brief_start },
	{ "slow syscall", "slow", "syscall", "read", 0, brief_start, WAIT_NS / 2 },
	{ "slow futex", "slow", "error", "ETIMEDOUT", 0, brief_start, WAIT_NS / 2 },
	{ "slow block", "slow", "operation", "write", 0, disk_start },
	{ "trace block", "block", "operation", "write", 0, disk_start },
	{ "connections", NULL, "accepts", NULL, TALKS, talk_start },
	{ "connect", NULL, "side", "client", 0, talk_start },
	{ "rtt", NULL, "side", "client", 0, talk_start },
	{ "first-byte", NULL, "side", "client", 0, talk_start },
	{ "request", NULL, "side", "client", 0, talk_start },
	{ "tcp", "tcp", "event", "accept", 0, talk_start },
	{ "dns", NULL, "outcome", "noerror", 0, ask_start },
	{ "resolvers", NULL, "noerror", NULL, QUESTIONS, ask_start },
	{ "peers", NULL, "sent_segments", NULL, QUESTIONS, ask_start },
	{ "drops", NULL, "reason", "no_socket", 0, lose_start },
	{ "drops, polled", NULL, "reason", "no_socket", 0, lose_start },
	{ "rtt, polled", NULL, "side", "client", 0, stay_start },
	{ "connections, polled", NULL, "accepts", NULL, 1, stay_start },
	{ "trace oom", "oom", "limit", NULL, HUNGRY_LIMIT_BYTES, hungry_start },
	{ "trace throttle", "throttle", "quota", NULL, 10 * NS_PER_MS, busy_start },
};

static const struct event_rule *event_rule_find(const struct probe *probed, const struct rung *rung)
{
	g_autofree char *probe = g_strconcat(probed->name, rung->without_bpf ? ", polled" : "", NULL);

	for (gsize i = 0; i < G_N_ELEMENTS(event_rules); i++)
		if (g_str_equal(event_rules[i].probe, probe))
			return &event_rules[i];
	return NULL;
}

static void check_event(void *user, const struct probe_event *event)
{
	struct check *check = user;
	const struct event_rule *rule = check->rule;

	if (!rule || g_strcmp0(event->kind, rule->kind) != 0)
		return;
	for (guint i = 0; i < event->field_count; i++) {
		const struct event_field *field = &event->fields[i].field;

		if (strcmp(field->name, rule->field) == 0 &&
		    (rule->text ? g_strcmp0(field->text, rule->text) == 0 : field->number == rule->number))
			check->happened++;
	}
}

static void check_bucket(void *user, const struct probe_bucket *bucket)
{
	struct check *check = user;
	const struct event_rule *rule = check->rule;
	const struct probe_label *labels = check->probe->labels;

	check->events += bucket->counts->count;
	check->weight[PROBE_STATE_WAIT_WOKEN] += bucket->counts->sum;
	for (guint i = 0; rule && labels && labels[i].name; i++)
		if (strcmp(labels[i].name, rule->field) == 0 &&
		    (!rule->text || g_strcmp0(bucket->values[i].text, rule->text) == 0))
			check->happened += bucket->counts->count;
}

static void check_pair(void *user, const struct probe_pair *pair)
{
	struct check *check = user;
	const struct event_rule *rule = check->rule;

	check->weight[PROBE_STATE_WAIT_WOKEN] += pair->counters[0];
	check->events += pair->counters[1];
	if (!rule)
		return;
	if (rule->text) { /* blame, drops: a label */
		const struct probe_label *labels = check->probe->labels;

		for (guint i = 0; labels[i].name; i++)
			if (strcmp(labels[i].name, rule->field) == 0 &&
			    g_strcmp0(pair->values[i].text, rule->text) == 0)
				check->happened += pair->counters[1] ? pair->counters[1] : pair->counters[0];
		return;
	}
	for (guint i = 0; check->probe->counters[i].name; i++) /* connections: both ends are ours */
		if (strcmp(check->probe->counters[i].name, rule->field) == 0 && pair->counters[i] == rule->number &&
		    pair->source.kind == EDGE_END_CONTAINER && pair->target.kind == EDGE_END_CONTAINER)
			check->happened++;
}

/* Walking copies is symbol/'s business and tested there; here one must come, and be of the child's stack. */
static void check_unwind(void *user, guint32 tgid, const struct probe_copy *copy, guint64 *addresses, guint capacity,
			 struct probe_unwound *unwound)
{
	struct check *check = user;

	if (tgid != check->child || capacity == 0 || copy->ip == 0 || copy->sp < copy->address ||
	    copy->sp - copy->address >= copy->length)
		return;
	if (check->copies++ == 0 && !copy->is_all && copy->length < CHECK_COPY_BYTES)
		check->hasty++;
	addresses[0] = copy->ip;
	*unwound = (struct probe_unwound){ .count = 1, .end = STACK_END_FIRST, .used_bytes = copy->length };
}

static void check_stack(void *user, const struct probe_stack *stack)
{
	struct check *check = user;

	check->stacks++;
	check->user_frames += stack->user_count;
	check->foreign += stack->task.tgid != check->child;
}

static void check_weight(void *user, const struct probe_weight *weight)
{
	struct check *check = user;

	check->events += weight->events;
	check->weight[weight->state] += weight->weight;
	check->foreign += weight->task->tgid != check->child;
}

static void check_moment(void *user, guint32 stack, guint64 time_ns)
{
	struct check *check = user;

	check->moments++;
	check->untimely += time_ns < check->moment_ns || time_ns > clock_monotonic_ns() || stack == PROBE_NO_STACK;
	check->moment_ns = time_ns;
}

/* ---- cgroups born meanwhile ---- */

/* Two cgroups, one of them asked for; a child of each is born while the probe watches. Only the former's birth is anybody's business. */
struct nursery {
	char *directories[2]; /* NULL: cgroup v2 is not mounted here */
	struct probe_cgroup cgroups[2];
};

static void nursery_open(struct nursery *nursery)
{
	static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (gsize i = 0; i < G_N_ELEMENTS(roots) && !nursery->directories[1]; i++) {
		g_autofree char *sign = g_build_filename(roots[i], "cgroup.controllers", NULL);

		for (guint j = 0; access(sign, F_OK) == 0 && j < 2; j++) {
			struct stat st;

			nursery->directories[j] =
				g_strdup_printf("%s/fathom-check-%d-%s", roots[i], getpid(), j ? "wanted" : "other");
			if (mkdir(nursery->directories[j], 0755) == 0 && stat(nursery->directories[j], &st) == 0)
				nursery->cgroups[j] = (struct probe_cgroup){ .key = st.st_ino, .wanted = j };
		}
	}
}

static void nursery_bear(const struct nursery *nursery)
{
	for (guint i = 0; i < 2 && nursery->directories[i]; i++) {
		g_autofree char *child = g_build_filename(nursery->directories[i], "born", NULL);

		mkdir(child, 0755);
		rmdir(child);
	}
}

static void nursery_close(struct nursery *nursery)
{
	for (guint i = 0; i < 2 && nursery->directories[i]; i++) {
		rmdir(nursery->directories[i]);
		g_free(nursery->directories[i]);
	}
}

static void check_born(void *user, guint64 cgroup_key, const char *path)
{
	struct check *check = user;

	(void)cgroup_key;
	check->born += g_str_has_suffix(path, "-wanted/born");
	check->born_elsewhere += g_str_has_suffix(path, "-other/born");
}

/* ---- the child ---- */

static guint64 child_cpu_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
	return at.tv_sec * NS_PER_S + at.tv_nsec;
}

/* Gives pages back and takes new ones: a page fault each. */
static void child_fault(void)
{
	static char pages[CHECK_FAULTS * CHECK_PAGE_BYTES] __attribute__((aligned(CHECK_PAGE_BYTES)));

	madvise(pages, sizeof(pages), MADV_DONTNEED);
	for (gsize at = 0; at < sizeof(pages); at += CHECK_PAGE_BYTES)
		((volatile char *)pages)[at] = 1;
}

/* What the heap probe takes for malloc. */
__attribute__((noinline)) static void *child_allocate(gsize bytes)
{
	static guintptr last = CHECK_PAGE_BYTES;

	last += bytes;
	__asm__ volatile("" : "+r"(last));
	return (void *)last;
}

static void child_live(void)
{
	const struct timespec nap = { .tv_nsec = CHECK_TURN_NS };

	for (;;) {
		guint64 until = child_cpu_ns() + CHECK_TURN_NS;

		child_fault();
		child_allocate(CHECK_HEAP_BYTES);
		while (child_cpu_ns() < until)
			;
		nanosleep(&nap, NULL);
	}
}

static void child_rival(void)
{
	for (;;)
		;
}

/* Keeps the caller, and whom it starts, on the first CPU it may use. */
static void child_pin(void)
{
	cpu_set_t may, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(may), &may) == 0)
		for (guint i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
			if (CPU_ISSET(i, &may))
				CPU_SET(i, &one);
	if (sched_setaffinity(0, sizeof(one), &one) != 0)
		_exit(1);
}

static pid_t child_start(void (*live)(void), gboolean pinned)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (pinned)
			child_pin();
		live();
		_exit(0);
	}
	return pid;
}

static void child_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static guint64 process_cpu_ns(pid_t pid)
{
	struct timespec at = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) == 0)
		clock_gettime(clock, &at);
	return at.tv_sec * NS_PER_S + at.tv_nsec;
}

/* /proc/PID/schedstat: ns on a CPU, ns waiting for one, turns. 0 on kernels without it. */
static guint64 process_delay_ns(pid_t pid)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/schedstat", pid);
	g_autofree char *line = file_read(path, 256, NULL, NULL);
	const char *second = line ? strchr(line, ' ') : NULL;

	return second ? g_ascii_strtoull(second, NULL, 10) : 0;
}

static guint64 process_faults(pid_t pid)
{
	struct procfs_usage usage;
	struct procfs_stat stat;

	return procfs_usage_read("/", (guint32)pid, &stat, &usage) ? usage.faults + usage.major_faults : 0;
}

/* ---- what must be true ---- */

static gboolean check_near(const char *what, double got, double least, double most, GString *text)
{
	gboolean near = got >= least * (1 - CHECK_TOLERANCE) && got <= most * (1 + CHECK_TOLERANCE);

	g_string_append_printf(text, "%s%s %.4g of %.4g to %.4g%s", text->len > 0 ? ", " : "", what, got, least, most,
			       near ? "" : " (too far)");
	return near;
}

static double deed_blocked_s(const struct deed *deed)
{
	guint64 used_ns = deed->cpu_ns + deed->delay_ns; /* waiting for a CPU is not being blocked */

	return deed->elapsed_ns > used_ns ? (double)(deed->elapsed_ns - used_ns) / NS_PER_S : 0;
}

static gboolean check_profile(const struct check *check, GString *text)
{
	double per_ns = (double)CHECK_FREQUENCY_HZ / NS_PER_S;

	/* An emulated timer skips ticks; then the ledger must say how many. */
	g_string_append_printf(text, "%" G_GUINT64_FORMAT " samples taken, %" G_GUINT64_FORMAT " with their moments",
			       check->events, check->moments);
	return check_near("with those skipped", check->seen, check->least.cpu_ns * per_ns, check->most.cpu_ns * per_ns,
			  text) &&
	       check->events > 0 && check->events == check->weight[PROBE_STATE_RUNNING] &&
	       check->moments == check->events && check->untimely == 0;
}

static gboolean check_offcpu(const struct check *check, GString *text)
{
	double least_s = deed_blocked_s(&check->least), most_s = deed_blocked_s(&check->most);

	return check_near("blocked", (double)check->weight[PROBE_STATE_BLOCKED] / NS_PER_S, MIN(least_s, most_s),
			  MAX(least_s, most_s), text) &&
	       check->weight[PROBE_STATE_RUNNING] == 0;
}

static gboolean check_walltime(const struct check *check, GString *text)
{
	guint64 sum = 0;

	for (guint i = 0; i < PROBE_STATES; i++)
		sum += check->weight[i];
	return check_near("running", (double)check->weight[PROBE_STATE_RUNNING] / NS_PER_S,
			  (double)check->least.cpu_ns / NS_PER_S, (double)check->most.cpu_ns / NS_PER_S, text) &
	       check_near("all states", (double)sum / NS_PER_S, (double)check->least.elapsed_ns / NS_PER_S,
			  (double)check->most.elapsed_ns / NS_PER_S, text);
}

/* The kernel's own books, and what they leave out: a thread that takes the CPU at once waits for some microseconds. The
 * child shares its CPU with a rival, so that its waits are many times what an idle machine's noise is. */
static gboolean check_runq(const struct check *check, GString *text)
{
	double most_s = (double)(check->most.delay_ns + check->events * CHECK_AT_ONCE_NS) / NS_PER_S;

	return check_near("waited", (double)check->weight[PROBE_STATE_WAIT_WOKEN] / NS_PER_S,
			  (double)check->least.delay_ns / NS_PER_S, most_s, text) &&
	       check->events > 0;
}

static gboolean check_memory(const struct check *check, GString *text)
{
	double page = (double)sysconf(_SC_PAGESIZE);

	return check_near("faults", (double)check->weight[PROBE_STATE_RUNNING] / page, (double)check->least.faults,
			  (double)check->most.faults, text) &&
	       check->events > 0;
}

/* Nothing is freed: all are there still. */
static gboolean check_heap(const struct check *check, GString *text)
{
	g_string_append_printf(text, "%" G_GUINT64_FORMAT " allocations", check->events);
	return check->events > 0 && check->weight[PROBE_STATE_ALLOCATED] == check->events * CHECK_HEAP_BYTES &&
	       check->seen == check->events;
}

static const struct {
	const char *probe;
	gboolean (*right)(const struct check *check, GString *text);
} check_rules[] = {
	{ "profile", check_profile }, { "offcpu", check_offcpu }, { "walltime", check_walltime },
	{ "heap", check_heap },	      { "memory", check_memory }, { "runq", check_runq },
	{ "blame cpu", check_runq },
};

/* Waits are only seen where somebody else wants the same CPU. */
static gboolean check_needs_rival(const struct probe *probe)
{
	for (gsize i = 0; i < G_N_ELEMENTS(check_rules); i++)
		if (g_str_equal(check_rules[i].probe, probe->name))
			return check_rules[i].right == check_runq;
	return FALSE;
}

static gboolean check_judge(const struct probe *probe, const struct check *check, GString *text)
{
	gboolean right = FALSE;

	if (check->rule) {
		g_string_append_printf(text, "%" G_GUINT64_FORMAT " events as they must be", check->happened);
		return check->happened > 0;
	}
	for (gsize i = 0; i < G_N_ELEMENTS(check_rules); i++)
		if (g_str_equal(check_rules[i].probe, probe->name))
			right = check_rules[i].right(check, text);
	if (text->len == 0)
		g_string_append(text, "no rule says what is right for this probe");
	if (probe->shape != SHAPE_CALLTREE)
		return right;
	if (check->stacks == 0 || check->user_frames == 0)
		g_string_append(text, ", no user stacks");
	if (check->foreign > 0)
		g_string_append_printf(text, ", %" G_GUINT64_FORMAT " of somebody else", check->foreign);
	if (check->nursery->directories[1] && probe != &probe_heap && (check->born != 1 || check->born_elsewhere)) {
		g_string_append_printf(text, ", %u births told of 1, %u of others", check->born, check->born_elsewhere);
		right = FALSE;
	}
	if (check->hasty)
		g_string_append(text, ", a short copy did not say that it is all there is");
	return right && check->stacks > 0 && check->user_frames > 0 && check->foreign == 0 && !check->hasty;
}

/* ---- running ---- */

static gboolean check_watch(const struct probe *probe, struct probe_run *run, guint64 until_ns, GError **error)
{
	for (guint64 now = clock_monotonic_ns(); now < until_ns; now = clock_monotonic_ns()) {
		struct pollfd news = { .fd = probe->fd(run), .events = POLLIN };

		poll(&news, 1, (until_ns - now) / NS_PER_MS + 1);
		if (!probe->drain(run, error))
			return FALSE;
	}
	return TRUE;
}

static struct deed deed_until_now(pid_t child)
{
	return (struct deed){ process_cpu_ns(child), process_delay_ns(child), clock_monotonic_ns(),
			      process_faults(child) };
}

static struct deed deed_since(pid_t child, const struct deed *start)
{
	struct deed now = deed_until_now(child);

	return (struct deed){ now.cpu_ns - start->cpu_ns, now.delay_ns - start->delay_ns,
			      now.elapsed_ns - start->elapsed_ns, now.faults - start->faults };
}

static gboolean check_measure(const struct probe *probe, struct probe_run *run, struct check *check, GString *text)
{
	g_autoptr(GError) error = NULL;
	struct ledger ledger = { 0 };
	struct deed start = deed_until_now(check->child);
	gboolean right;

	if (check->rule)
		check->rule->start();
	nursery_bear(check->nursery);
	right = check_watch(probe, run, start.elapsed_ns + (check->rule ? CHECK_EVENTS_NS : CHECK_RUN_NS), &error);

	check->least = deed_since(check->child, &start);
	right = right && probe->finish(run, &ledger, &error);
	check->most = deed_since(check->child, &start);
	if (!right) {
		g_string_append(text, error->message);
		return FALSE;
	}
	check->seen = ledger.seen.events;
	right = check_judge(probe, check, text);
	if (!ledger_is_conclusive(&ledger) && ledger.items[LEDGER_LOST_MISSED].events == 0) {
		g_string_append_printf(text, ", coverage %.3f", ledger_coverage(&ledger));
		for (guint i = 0; i < LEDGER_ITEMS; i++)
			if (ledger.items[i].events > 0)
				g_string_append_printf(text, ", %s %" G_GUINT64_FORMAT, ledger_item_phrase(i),
						       ledger.items[i].events);
		right = FALSE;
	}
	ledger_clear(&ledger);
	return right;
}

enum outcome {
	OUTCOME_OK,
	OUTCOME_FAIL,
	OUTCOME_ABSENT
};

/* `frugal`: as the agent asks. */
static enum outcome check_rung(const struct probe *probe, const struct rung *rung, gboolean frugal, GString *text)
{
	gboolean rivalled = check_needs_rival(probe);
	struct nursery nursery = { 0 };
	struct check check = { .child = child_start(child_live, rivalled),
			       .probe = probe,
			       .rule = event_rule_find(probe, rung),
			       .nursery = &nursery };
	pid_t rival = rivalled ? child_start(child_rival, TRUE) : 0;
	const struct probe_listener listener = {
		.user = &check,
		.stack = check_stack,
		.unwind = check_unwind,
		.weight = check_weight,
		.moment = check_moment,
		.event = check_event,
		.bucket = check_bucket,
		.pair = check_pair,
		.cgroup_born = check_born,
	};
	struct askers *askers = NULL;
	struct probe_site site = { .fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), .call = HEAP_MALLOC };
	struct probe_request request = { .filter = !check.rule,
					 .sites = &site,
					 .site_count = uprobes_find_own((guintptr)child_allocate, &site.file_offset),
					 .sample_bytes = 1,
					 .tgids = &check.child,
					 .tgid_count = 1,
					 .cgroups = nursery.cgroups,
					 .cgroup_count = G_N_ELEMENTS(nursery.cgroups),
					 .frequency_hz = CHECK_FREQUENCY_HZ,
					 .every = 1,
					 .moments = TRUE,
					 .event_rate = CHECK_EVENT_RATE,
					 .frugal = frugal,
					 .births_told = frugal,
					 .threshold_ns = check.rule ? check.rule->over_ns : 0,
					 .rung = rung->name };
	g_autoptr(GError) error = NULL;
	struct probe_run *run;
	enum outcome outcome;

	nursery_open(&nursery);
	if (frugal && g_str_equal(probe->name, "dns"))
		request.askers = askers = askers_new(ASKERS_SHARE, &error);
	run = error ? NULL : probe->open(&request, &listener, &error);
	if (run) {
		outcome = check_measure(probe, run, &check, text) ? OUTCOME_OK : OUTCOME_FAIL;
		probe->close(run);
	} else {
		outcome = error->code == PROBE_ERROR_UNSUPPORTED ? OUTCOME_ABSENT : OUTCOME_FAIL;
		g_string_append(text, error->message);
	}
	askers_free(askers);
	if (site.fd >= 0)
		close(site.fd);
	nursery_close(&nursery);
	child_end(check.child);
	if (rival > 0)
		child_end(rival);
	return outcome;
}

static void check_print(const char *probe, const char *rung, enum outcome outcome, const char *text)
{
	static const char *const words[] = {
		[OUTCOME_OK] = "ok", [OUTCOME_FAIL] = "fail", [OUTCOME_ABSENT] = "absent"
	};

	printf("RESULT\t%s\t%s\t%s\t%s\n", probe, rung, words[outcome], text);
	fflush(stdout);
}

static enum outcome check_rung_tries(const struct probe *probe, const struct rung *rung, gboolean frugal, GString *text)
{
	enum outcome outcome = check_rung(probe, rung, frugal, text);

	for (guint i = 1; i < CHECK_TRIES && outcome == OUTCOME_FAIL; i++) {
		g_string_append(text, "; tried again: ");
		outcome = check_rung(probe, rung, frugal, text);
	}
	return outcome;
}

/* Parts of the agent ask for small maps, and are told of births by somebody else. */
static const char *const agents_probes[] = { "fs",    "dns",  "trace exec", "connections",
					     "block", "runq", "trace oom",  NULL };

static gboolean check_probe(const struct probe *probe)
{
	gboolean any = FALSE, failed = FALSE;

	for (const struct rung *rung = probe->rungs; rung->name; rung++) {
		g_autoptr(GString) text = g_string_new(NULL);
		enum outcome outcome = check_rung_tries(probe, rung, FALSE, text);

		if (outcome == OUTCOME_OK && !any && g_strv_contains(agents_probes, probe->name)) {
			g_string_append(text, "; as for the agent: ");
			outcome = check_rung_tries(probe, rung, TRUE, text);
		}
		check_print(probe->name, rung->name, outcome, text->str);
		any |= outcome == OUTCOME_OK;
		failed |= outcome == OUTCOME_FAIL;
	}
	return any && !failed;
}

/* ---- kill -9 leaves nothing ---- */

#define VICTIM_FILES 8192 /* a program, a map, a link: each is one */

/* Opens every probe, says so through `ready`, and waits to be killed. */
static void victim_live(int ready)
{
	const struct probe_request request = { .filter = TRUE };
	const struct probe_listener listener = { 0 };
	const struct rlimit files = { VICTIM_FILES, VICTIM_FILES };

	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		_exit(1);
	for (const struct probe *const *probe = probe_registry; *probe; probe++) {
		g_autoptr(GError) error = NULL;

		if ((*probe)->open(&request, &listener, &error))
			continue;
		fprintf(stderr, "%s, beside those before it: %s\n", (*probe)->name, error->message);
		_exit(1);
	}
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static gboolean victim_gone(const GArray *programs)
{
	for (guint i = 0; i < programs->len; i++)
		if (cost_is_loaded(g_array_index(programs, struct cost_program, i).id))
			return FALSE;
	return TRUE;
}

static gboolean check_kill(void)
{
	g_autoptr(GArray) programs = NULL;
	guint64 deadline_ns;
	gboolean gone;
	char letter;
	int ready[2];
	pid_t victim;

	if (pipe2(ready, O_CLOEXEC) != 0)
		return FALSE;
	victim = fork();
	if (victim == 0)
		victim_live(ready[1]);
	close(ready[1]);
	if (read(ready[0], &letter, 1) == 1)
		programs = cost_programs(victim, NULL);
	close(ready[0]);
	child_end(victim);
	if (!programs || programs->len == 0) {
		check_print("all", "kill -9", OUTCOME_FAIL, "the probes could not be opened, or hold no program");
		return FALSE;
	}
	deadline_ns = clock_monotonic_ns() + CHECK_GONE_NS;
	while (!(gone = victim_gone(programs)) && clock_monotonic_ns() < deadline_ns)
		g_usleep(10000); /* programs are freed after a grace period */
	check_print("all", "kill -9", gone ? OUTCOME_OK : OUTCOME_FAIL,
		    gone ? "nothing is left loaded" : "programs are still loaded");
	return gone;
}

/* ---- names of kernel functions ---- */

struct check_symbol {
	guint64 address;
	char *line; /* "address name module" */
};

static void check_symbol_clear(gpointer data)
{
	g_free(((struct check_symbol *)data)->line);
}

static char *symbol_line(guint64 address, const char *name, const char *module)
{
	return g_strdup_printf("%" G_GINT64_MODIFIER "x %s %s", address, name, module);
}

/* The functions /proc/kallsyms lists. */
static GArray *symbols_read(void)
{
	GArray *symbols = g_array_new(FALSE, FALSE, sizeof(struct check_symbol));
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[1024], name[600], module[100], kind;

	g_array_set_clear_func(symbols, check_symbol_clear);
	while (file && fgets(line, sizeof(line), file)) {
		struct check_symbol symbol;
		int words =
			sscanf(line, "%" G_GINT64_MODIFIER "x %c %599s [%99[^]]", &symbol.address, &kind, name, module);

		if (words < 3 || !strchr("tTwW", kind) || g_str_has_prefix(name, "__pfx_") ||
		    (words == 4 && g_str_has_prefix(module, "__builtin__")))
			continue;
		symbol.line = symbol_line(symbol.address, name, words == 4 ? module : "");
		g_array_append_val(symbols, symbol);
	}
	if (file)
		fclose(file);
	return symbols;
}

/* The kernel's own answers are among what /proc/kallsyms lists at that address (several names may share one). */
static gboolean check_kernel_names(void)
{
	g_autoptr(GArray) symbols = symbols_read();
	g_autoptr(GHashTable) listed = g_hash_table_new(g_str_hash, g_str_equal);
	g_autofree char *text = NULL, *wrong = NULL;
	struct kernel_names *names = kernel_names_new();
	guint asked = 0, right = 0;

	for (guint i = 0; i < symbols->len; i++)
		g_hash_table_add(listed, g_array_index(symbols, struct check_symbol, i).line);
	for (guint i = 0; i < symbols->len; i += i < symbols->len - 100 ? CHECK_NAMES_STEP : 1) {
		const struct check_symbol *symbol = &g_array_index(symbols, struct check_symbol, i);
		struct kernel_name name = { .name = "?", .module = "?" }, inside = name;
		g_autofree char *got = NULL, *within = NULL;

		asked++;
		kernel_names_find(names, symbol->address, &name);
		got = symbol_line(symbol->address - name.offset, name.name, name.module);
		kernel_names_find(names, symbol->address + 1, &inside); /* of functions that stay it is remembered */
		within = symbol_line(symbol->address + 1 - inside.offset, inside.name, inside.module);
		right += g_hash_table_contains(listed, got) && name.offset == 0 &&
			 (name.bytes <= 1 || strcmp(within, got) == 0);
		if (!g_hash_table_contains(listed, got) && !wrong)
			wrong = g_strdup_printf("; kallsyms \"%s\", asked \"%s\"", symbol->line, got);
	}
	kernel_names_free(names);
	text = g_strdup_printf("%u of %u names as in /proc/kallsyms%s", right, asked, wrong ? wrong : "");
	check_print("kernel names", "syscall program",
		    asked > 0 && right >= asked - asked / 1000 ? OUTCOME_OK : OUTCOME_FAIL, text);
	return asked > 0 && right >= asked - asked / 1000;
}

/* answers_fn */
static void check_answer(void *user, guint64 cgroup_key, const char *address, const char *name)
{
	guint *told = user;

	*told += cgroup_key != 0 && strcmp(address, "192.0.2.7") == 0 && strcmp(name, "x") == 0;
}

/* Names that DNS tells: each answer once, and none that was not asked for. */
static gboolean check_answers(void)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	guint told = 0;
	struct answers *answers = answers_open(NULL, check_answer, &told, &error);

	if (answers) {
		ask_start();
		answers_drain(answers);
	}
	answers_close(answers);
	text = answers ? g_strdup_printf("%u of %u answers", told, QUESTIONS) : g_strdup(error->message);
	check_print("answers", "cgroup_skb", told == QUESTIONS ? OUTCOME_OK : OUTCOME_FAIL, text);
	return told == QUESTIONS;
}

int main(int argc, char **argv)
{
	gboolean right = TRUE;

	if (argc > 1 && strcmp(argv[1], "--brief") == 0)
		brief_live();

	for (const struct probe *const *probe = probe_registry; *probe; probe++)
		if (argc == 1 || g_strv_contains((const char *const *)argv + 1, (*probe)->name))
			right &= check_probe(*probe);
	if (argc > 1)
		return right ? 0 : 1;
	right &= check_kill();
	right &= check_kernel_names();
	right &= check_answers();
	return right ? 0 : 1;
}
