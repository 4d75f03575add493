/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/pace.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/clock.h"

#define PACE_CLOCK_TRIES 5
#define PACE_CLOCK_READS 100
#define PACE_TOLD_PART 4

/* Page after page it lies in the kernel as it is declared (kernel/bpf/arraymap.c). */
struct paces {
	const struct pace *each;
	guint cpus;
};

/* Only of CPUs that there are: what is mapped counts as held. */
struct paces *paces_map(int fd)
{
	int possible = libbpf_num_possible_cpus();
	guint cpus = possible > 0 && possible < PACE_CPUS ? (guint)possible : PACE_CPUS;
	void *each = mmap(NULL, sizeof(struct pace) * cpus, PROT_READ, MAP_SHARED, fd, 0);
	struct paces *paces;

	if (each == MAP_FAILED)
		return NULL;
	paces = g_new0(struct paces, 1);
	paces->each = each;
	paces->cpus = cpus;
	return paces;
}

struct paces *paces_open(const struct bpf_object *object)
{
	int fd = bpf_object__find_map_fd_by_name(object, PACE_MAP);

	return fd < 0 ? NULL : paces_map(fd);
}

void paces_close(struct paces *paces)
{
	int reason = errno;

	if (!paces)
		return;
	munmap((void *)paces->each, sizeof(struct pace) * paces->cpus);
	g_free(paces);
	errno = reason;
}

struct pace paces_sum(const struct paces *paces)
{
	struct pace sum = { 0 };

	for (guint cpu = 0; paces && cpu < paces->cpus; cpu++)
		for (guint i = 0; i < PACE_PROGRAMS; i++) {
			sum.runs[i] += __atomic_load_n(&paces->each[cpu].runs[i], __ATOMIC_RELAXED);
			sum.timed_ns[i] += __atomic_load_n(&paces->each[cpu].timed_ns[i], __ATOMIC_RELAXED);
		}
	return sum;
}

/* What reading the clock takes: one of the two readings is in the time between them. */
static double clock_reading_ns(void)
{
	static gsize known = 0;
	static double least;

	if (g_once_init_enter(&known)) {
		guint64 least_ns = G_MAXUINT64;

		for (guint i = 0; i < PACE_CLOCK_TRIES; i++) {
			guint64 began_ns = clock_monotonic_ns(), ended_ns = began_ns;

			for (guint read = 0; read < PACE_CLOCK_READS; read++)
				ended_ns = clock_monotonic_ns();
			least_ns = MIN(least_ns, ended_ns - began_ns);
		}
		least = (double)least_ns / PACE_CLOCK_READS;
		g_once_init_leave(&known, 1);
	}
	return least;
}

guint64 pace_unmeasured_ns(guint64 told_ns, guint64 runs, double measuring_ns)
{
	double added_ns = (double)runs * measuring_ns;

	/* The estimate may be wrong, a program never takes next to nothing. */
	return MAX((guint64)MAX((double)told_ns - added_ns, 0), told_ns / PACE_TOLD_PART);
}

struct pace_spent pace_spent(const struct pace *now, const struct pace *before)
{
	struct pace_spent spent = { 0 };
	guint64 told_ns = 0;

	for (guint i = 0; i < PACE_PROGRAMS; i++) {
		spent.runs += now->runs[i] - before->runs[i];
		told_ns += now->timed_ns[i] - before->timed_ns[i];
	}
	spent.timed = spent.runs / PACE_TIMED;
	spent.ns = pace_unmeasured_ns(told_ns * PACE_TIMED, spent.timed * PACE_TIMED, clock_reading_ns());
	return spent;
}
