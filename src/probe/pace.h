/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel half's programs take, by their own timing of one call in PACE_TIMED (bpf/pace.bpf.h). Asking takes no right and turns
 * nothing on. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/bpf/pace.h"

/* What each CPU counts, of PACE_CPUS. */
struct paces;
/* Of a loaded object, which it may outlive. NULL: it does not time itself, or errno says why that cannot be read. */
struct paces *paces_open(const struct bpf_object *object);
/* The same of a map's descriptor, which stays the caller's. */
struct paces *paces_map(int fd);
void paces_close(struct paces *paces);
/* Of all CPUs; zero for NULL. */
struct pace paces_sum(const struct paces *paces);

/* Between two sums, of all programs. */
struct pace_spent {
	guint64 runs;
	guint64 timed; /* of so many of them; 0 of some: what they took is not known */
	guint64 ns; /* of all of them, by estimate, without what reading the clock takes */
};
struct pace_spent pace_spent(const struct pace *now, const struct pace *before);

/* Of `told_ns` in so many runs, what they take while nobody measures. Pure: for tests. */
guint64 pace_unmeasured_ns(guint64 told_ns, guint64 runs, double measuring_ns);
