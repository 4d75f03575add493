/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/budget.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/own.h"
#include "base/units.h"

#define BUDGET_WINDOW_NS (60 * NS_PER_S) /* CPU is judged over so long */
#define BUDGET_REST_NS (300 * NS_PER_S) /* after shedding, before something comes back */
#define BUDGET_MAPS_EVERY_NS (30 * NS_PER_S) /* counting map memory walks all descriptors */
#define BUDGET_ROOM 0.7 /* of each bound must be free of before a part comes back */
#define BUDGET_FILE_BYTES 4096

struct budget {
	struct budget_limits limits;
	struct budget_usage usage;
	guint64 start_ns, start_cpu_ns; /* of the first tick; 0: not yet */
	guint64 window_ns, window_cpu_ns; /* start of the running window */
	guint64 maps_ns, changed_ns;
	guint64 part_cost_ns[LIVE_PARTS]; /* at the window's start */
	double part_cores[LIVE_PARTS]; /* over the last whole window */
	guint64 children_ns;
	guint64 answers_ns, window_answers_ns; /* now, and at the window's start */
	gboolean is_shed[LIVE_PARTS]; /* when it was looked last */
	struct retry {
		guint attempts; /* in vain */
		guint64 due_ns; /* 0: it is not refused */
		guint64 on_ns; /* since when it has been on again */
	} retries[LIVE_PARTS];
	GPtrArray *notes;
};

static guint64 process_cpu_ns(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (guint64)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * NS_PER_S +
	       (guint64)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * NS_PER_US;
}

static guint64 map_bytes(const char *descriptor)
{
	g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%s", descriptor);
	g_autofree char *text = file_read(path, BUDGET_FILE_BYTES, NULL, NULL);
	const char *line = text && strstr(text, "map_type:") ? strstr(text, "memlock:") : NULL;

	return line ? g_ascii_strtoull(line + strlen("memlock:"), NULL, 10) : 0;
}

/* Maps are on the one inode that all descriptors without a file share, as an epoll descriptor is: that is asked before
 * reading about thousands of descriptors of files. */
static void count_maps(struct budget *budget)
{
	g_autoptr(GDir) directory = g_dir_open("/proc/self/fd", 0, NULL);
	int sample = epoll_create1(EPOLL_CLOEXEC);
	struct stat anonymous = { 0 }, stat;
	const char *name;

	if (sample >= 0)
		fstat(sample, &anonymous);
	budget->usage.map_bytes = 0;
	budget->usage.map_count = budget->usage.descriptors = 0;
	while (directory && (name = g_dir_read_name(directory))) {
		int fd = (int)g_ascii_strtoull(name, NULL, 10);
		guint64 bytes;

		budget->usage.descriptors++;
		if (sample >= 0 &&
		    (fstat(fd, &stat) < 0 || stat.st_ino != anonymous.st_ino || stat.st_dev != anonymous.st_dev))
			continue;
		bytes = map_bytes(name);
		budget->usage.map_count += bytes > 0;
		budget->usage.map_bytes += bytes;
	}
	if (sample >= 0)
		close(sample);
}

static void note(struct budget *budget, char *text)
{
	g_autoptr(GDateTime) now = g_date_time_new_now_utc();
	g_autofree char *time = g_date_time_format_iso8601(now);

	if (budget->notes->len >= BUDGET_NOTES_MAX)
		g_ptr_array_remove_index(budget->notes, 0);
	g_ptr_array_add(budget->notes, g_strdup_printf("%s: %s", time, text));
	g_message("%s", text);
	g_free(text);
}

static double watching_cores(const struct budget_usage *usage)
{
	return usage->cpu_cores - usage->answers_cores;
}

/* What is passed, for people; NULL: nothing. Owned by the caller. */
static char *exceeded(const struct budget *budget)
{
	const struct budget_limits *limits = &budget->limits;
	const struct budget_usage *usage = &budget->usage;

	if (limits->cpu_cores > 0 && watching_cores(usage) > limits->cpu_cores)
		return g_strdup_printf("the agent took %.2f %% of a CPU over a minute, of %.2f %% allowed",
				       100 * watching_cores(usage), 100 * limits->cpu_cores);
	if (limits->resident_bytes && usage->resident_bytes > limits->resident_bytes)
		return g_strdup_printf("the agent holds %.1f MiB of memory, of %.1f MiB allowed",
				       (double)usage->resident_bytes / (1 << 20),
				       (double)limits->resident_bytes / (1 << 20));
	if (limits->map_bytes && usage->map_bytes > limits->map_bytes)
		return g_strdup_printf("kernel maps hold %.1f MiB, of %.1f MiB allowed",
				       (double)usage->map_bytes / (1 << 20), (double)limits->map_bytes / (1 << 20));
	return NULL;
}

static void shed_one(struct live *live, const char *why)
{
	for (guint i = 0; i < LIVE_GAUGES; i++) {
		if (live_part(live, (enum live_part)i)->state != LIVE_ON)
			continue;
		live_shed(live, (enum live_part)i, TRUE, why);
		return;
	}
}

/* Parts can also stop by themselves, when what they watch is too much. */
static void note_shed(struct budget *budget, const struct live *live)
{
	for (guint i = 0; i < LIVE_GAUGES; i++) {
		const struct live_part_status *part = live_part(live, (enum live_part)i);
		gboolean is_shed = part->state == LIVE_SHED;

		if (is_shed && !budget->is_shed[i]) {
			note(budget, g_strdup_printf("%s is shed: %s", part->name, part->why));
			budget->changed_ns = clock_monotonic_ns();
		}
		budget->is_shed[i] = is_shed;
	}
}

static void restore_one(struct budget *budget, struct live *live)
{
	const struct budget_limits *limits = &budget->limits;

	for (guint i = LIVE_GAUGES; i-- > 0;) {
		if (live_part(live, (enum live_part)i)->state != LIVE_SHED)
			continue;
		if ((limits->cpu_cores > 0 &&
		     watching_cores(&budget->usage) + budget->part_cores[i] > limits->cpu_cores * BUDGET_ROOM) ||
		    (limits->resident_bytes &&
		     (double)budget->usage.resident_bytes > (double)limits->resident_bytes * BUDGET_ROOM) ||
		    (limits->map_bytes && (double)budget->usage.map_bytes > (double)limits->map_bytes * BUDGET_ROOM))
			return;
		live_shed(live, (enum live_part)i, FALSE, NULL);
		if (live_part(live, (enum live_part)i)->state == LIVE_ON) /* else it is refused, and tried again */
			note(budget, g_strdup_printf("%s is watched again: there is room",
						     live_part(live, (enum live_part)i)->name));
		return;
	}
}

/* ---- what was refused ---- */

guint64 budget_retry_wait_ns(guint attempts)
{
	return attempts < 9 ? MIN(BUDGET_RETRY_FIRST_NS << attempts, BUDGET_RETRY_LAST_NS) : BUDGET_RETRY_LAST_NS;
}

static void retry_plan(struct budget *budget, struct live *live, enum live_part part, guint64 now_ns)
{
	const struct live_part_status *status = live_part(live, part);
	struct retry *retry = &budget->retries[part];
	guint64 wait_ns = budget_retry_wait_ns(retry->attempts);

	retry->due_ns = now_ns + wait_ns;
	live_retry_at(live, part, (gint64)((clock_realtime_ns() + wait_ns) / NS_PER_MS));
	note(budget, g_strdup_printf("%s is not watched: %s; it is tried again in %u s", status->name, status->why,
				     (guint)(wait_ns / NS_PER_S)));
}

static void retry_one(struct budget *budget, struct live *live, enum live_part part, guint64 now_ns)
{
	struct retry *retry = &budget->retries[part];

	retry->attempts++;
	live_retry(live, part);
	if (live_part(live, part)->state != LIVE_ON) {
		retry_plan(budget, live, part, now_ns);
		return;
	}
	retry->due_ns = 0;
	retry->on_ns = now_ns;
	note(budget,
	     g_strdup_printf("%s is watched again, at attempt %u", live_part(live, part)->name, retry->attempts));
}

/* What broke off soon after it was on again goes on waiting longer. One attempt a tick: each takes up to a second. What needs
 * a capability that was given up after the start is refused again, and the note says so (of DNS, where no child keeps it:
 * probe/hanger.h). */
static void retry_refused(struct budget *budget, struct live *live, guint64 now_ns)
{
	for (guint i = 0; i < LIVE_GAUGES; i++) {
		struct retry *retry = &budget->retries[i];

		if (live_part(live, (enum live_part)i)->state != LIVE_REFUSED)
			continue;
		if (retry->due_ns && now_ns >= retry->due_ns) {
			retry_one(budget, live, (enum live_part)i, now_ns);
			return;
		}
		if (retry->due_ns)
			continue;
		if (now_ns - retry->on_ns > BUDGET_RETRY_LAST_NS)
			retry->attempts = 0;
		retry_plan(budget, live, (enum live_part)i, now_ns);
	}
}

/* ---- ticks ---- */

/* A window is over: what each part took in it. */
static void window_end(struct budget *budget, struct live *live, guint64 now_ns)
{
	double length = (double)(now_ns - budget->window_ns);

	budget->usage.cpu_cores = (double)(budget->usage.cpu_ns - budget->window_cpu_ns) / length;
	budget->usage.answers_cores = (double)(budget->answers_ns - budget->window_answers_ns) / length;
	for (guint i = 0; i < LIVE_PARTS; i++) {
		const struct live_part_status *part = live_part(live, (enum live_part)i);

		if (part->state == LIVE_ON)
			budget->part_cores[i] = (double)(part->cost_ns - budget->part_cost_ns[i]) / length;
		budget->part_cost_ns[i] = part->cost_ns;
	}
	budget->window_ns = now_ns;
	budget->window_cpu_ns = budget->usage.cpu_ns;
	budget->window_answers_ns = budget->answers_ns;
}

/* Until the first window is over: since the start. */
static void usage_first(struct budget *budget)
{
	double length = (double)budget->usage.uptime_ns;

	budget->usage.cpu_cores = (double)(budget->usage.cpu_ns - budget->start_cpu_ns) / length;
	budget->usage.answers_cores = (double)budget->answers_ns / length;
}

void budget_tick(struct budget *budget, struct live *live)
{
	guint64 now_ns = clock_monotonic_ns();
	g_autofree char *why = NULL;
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	budget->usage.cpu_ns = process_cpu_ns() + budget->children_ns;
	if (!budget->start_ns) {
		/* Loading programs is paid once: judged is what running costs. */
		budget->start_ns = budget->window_ns = now_ns;
		budget->start_cpu_ns = budget->window_cpu_ns = budget->usage.cpu_ns;
	}
	budget->usage.resident_bytes = own_resident_bytes();
	budget->usage.resident_peak_bytes = (guint64)used.ru_maxrss << 10;
	budget->usage.uptime_ns = now_ns - budget->start_ns;
	if (!budget->maps_ns || now_ns - budget->maps_ns > BUDGET_MAPS_EVERY_NS) {
		count_maps(budget);
		budget->maps_ns = now_ns;
	}
	note_shed(budget, live);
	retry_refused(budget, live, now_ns);
	if (now_ns - budget->window_ns < BUDGET_WINDOW_NS) {
		if (budget->usage.uptime_ns && budget->usage.uptime_ns < BUDGET_WINDOW_NS)
			usage_first(budget);
		return;
	}
	window_end(budget, live, now_ns);
	why = exceeded(budget);
	if (why) {
		shed_one(live, why);
		note_shed(budget, live);
		budget->changed_ns = now_ns;
		budget->maps_ns = 0;
	} else if (now_ns - budget->changed_ns > BUDGET_REST_NS) {
		restore_one(budget, live);
		budget->changed_ns = now_ns;
		budget->maps_ns = 0;
	}
}

struct budget *budget_new(const struct budget_limits *limits)
{
	struct budget *budget = g_new0(struct budget, 1);

	budget->limits = *limits;
	budget->notes = g_ptr_array_new_with_free_func(g_free);
	return budget;
}

void budget_free(struct budget *budget)
{
	if (!budget)
		return;
	g_ptr_array_unref(budget->notes);
	g_free(budget);
}

void budget_count_answers(struct budget *budget, guint64 cpu_ns)
{
	budget->answers_ns = cpu_ns;
}

void budget_count_children(struct budget *budget, guint64 cpu_ns, guint64 resident_bytes)
{
	budget->children_ns = cpu_ns;
	budget->usage.children_resident_bytes = resident_bytes;
}

void budget_set_limits(struct budget *budget, const struct budget_limits *limits)
{
	budget->limits = *limits;
}

const struct budget_limits *budget_limits(const struct budget *budget)
{
	return &budget->limits;
}

const struct budget_usage *budget_usage(const struct budget *budget)
{
	return &budget->usage;
}

const GPtrArray *budget_notes(const struct budget *budget)
{
	return budget->notes;
}
