/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/programs.h"

#include <math.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "probe/cost.h"

#define PROGRAMS_SYSCTL "sys/kernel/bpf_stats_enabled"
#define PROGRAMS_FILE_BYTES 64

struct program {
	struct cost_own own; /* the descriptor is the part's */
	guint64 runs, time_ns; /* between the last two readings */
	guint readings; /* since it was loaded: from two on these are of a whole interval */
	gboolean is_timed; /* by itself */
};

/* Where some of a part's programs time themselves. */
struct timing {
	struct paces *paces;
	guint32 id;
	struct pace last; /* at the last reading */
	struct pace_spent all, interval; /* since they were loaded, and between the last two readings */
	guint readings;
};

enum statistics {
	STATISTICS_UNKNOWN = 0,
	STATISTICS_OFF = 1,
	STATISTICS_ON = 2,
};

struct programs {
	char *sysctl;
	GPtrArray *parts; /* of GArray of struct program */
	GPtrArray *timings; /* likewise, of struct timing */
	struct pace_spent *spent; /* by part, since the agent began */
	GHashTable *known; /* ids */
	GHashTable *known_timings; /* ids of maps */
	enum statistics state; /* at the last reading */
	guint64 read_ns; /* of it; 0: none yet */
	guint64 length_ns; /* since the reading before it; 0: there was none */
	gboolean is_counted; /* during all of that statistics were on */
};

static void part_free(gpointer part)
{
	g_array_unref(part);
}

static void timing_clear(gpointer data)
{
	paces_close(((struct timing *)data)->paces);
}

struct programs *programs_new(guint parts, const char *proc)
{
	struct programs *programs = g_new0(struct programs, 1);

	programs->sysctl = g_build_filename(proc ? proc : "/proc", PROGRAMS_SYSCTL, NULL);
	programs->known = g_hash_table_new(NULL, NULL);
	programs->parts = g_ptr_array_new_with_free_func(part_free);
	programs->known_timings = g_hash_table_new(NULL, NULL);
	programs->timings = g_ptr_array_new_with_free_func(part_free);
	programs->spent = g_new0(struct pace_spent, parts);
	for (guint i = 0; i < parts; i++) {
		GArray *timings = g_array_new(FALSE, FALSE, sizeof(struct timing));

		g_array_set_clear_func(timings, timing_clear);
		g_ptr_array_add(programs->timings, timings);
		g_ptr_array_add(programs->parts, g_array_new(FALSE, FALSE, sizeof(struct program)));
	}
	return programs;
}

void programs_free(struct programs *programs)
{
	if (!programs)
		return;
	g_ptr_array_unref(programs->parts);
	g_ptr_array_unref(programs->timings);
	g_hash_table_unref(programs->known);
	g_hash_table_unref(programs->known_timings);
	g_free(programs->sysctl);
	g_free(programs->spent);
	g_free(programs);
}

static void timings_take(struct programs *programs, guint part, const GArray *paces)
{
	for (guint i = 0; i < paces->len; i++) {
		const struct cost_paces *found = &g_array_index(paces, struct cost_paces, i);
		struct timing timing = { .id = found->id };

		if (g_hash_table_contains(programs->known_timings, GUINT_TO_POINTER(found->id)))
			continue;
		timing.paces = paces_map(found->fd);
		if (!timing.paces)
			continue;
		timing.last = paces_sum(timing.paces);
		g_hash_table_add(programs->known_timings, GUINT_TO_POINTER(found->id));
		g_array_append_val(g_ptr_array_index(programs->timings, part), timing);
	}
}

void programs_take(struct programs *programs, guint part)
{
	g_autoptr(GArray) own = cost_own(), paces = cost_own_paces();

	for (guint i = 0; i < own->len; i++) {
		struct program program = { .own = g_array_index(own, struct cost_own, i) };

		if (!g_hash_table_add(programs->known, GUINT_TO_POINTER(program.own.program.id)))
			continue;
		program.is_timed = cost_times_itself(program.own.fd, paces);
		g_array_append_val(g_ptr_array_index(programs->parts, part), program);
	}
	timings_take(programs, part, paces);
}

static void program_drop(struct programs *programs, GArray *part, guint i)
{
	const struct program *program = &g_array_index(part, struct program, i);

	g_hash_table_remove(programs->known, GUINT_TO_POINTER(program->own.program.id));
	g_array_remove_index_fast(part, i);
}

void programs_drop(struct programs *programs, guint part)
{
	GArray *programs_of = g_ptr_array_index(programs->parts, part);
	GArray *timings = g_ptr_array_index(programs->timings, part);

	while (programs_of->len)
		program_drop(programs, programs_of, programs_of->len - 1);
	for (guint i = 0; i < timings->len; i++)
		g_hash_table_remove(programs->known_timings,
				    GUINT_TO_POINTER(g_array_index(timings, struct timing, i).id));
	g_array_set_size(timings, 0);
}

/* FALSE: it is gone. */
static gboolean program_read(struct program *program)
{
	const struct cost_program before = program->own.program;

	if (!cost_read_own(program->own.fd, &program->own.program))
		return FALSE;
	program->readings++;
	program->runs = program->own.program.run_count - before.run_count;
	program->time_ns = program->own.program.run_time_ns - before.run_time_ns;
	return TRUE;
}

static void spent_add(struct pace_spent *sum, const struct pace_spent *spent)
{
	sum->runs += spent->runs;
	sum->timed += spent->timed;
	sum->ns += spent->ns;
}

static void timing_read(struct timing *timing, struct pace_spent *spent)
{
	struct pace now = paces_sum(timing->paces);

	timing->interval = pace_spent(&now, &timing->last);
	timing->last = now;
	timing->readings++;
	spent_add(&timing->all, &timing->interval);
	spent_add(spent, &timing->interval);
}

gboolean programs_spent(const struct programs *programs, guint part, struct pace_spent *spent)
{
	if (!programs || !programs->spent[part].timed)
		return FALSE;
	*spent = programs->spent[part];
	return TRUE;
}

static enum statistics statistics_read(const struct programs *programs)
{
	g_autofree char *text = file_read(programs->sysctl, PROGRAMS_FILE_BYTES, NULL, NULL);

	if (!text)
		return STATISTICS_UNKNOWN;
	return text[0] == '0' ? STATISTICS_OFF : STATISTICS_ON;
}

void programs_tick(struct programs *programs, guint64 now_ns)
{
	enum statistics state;

	if (programs->read_ns && now_ns - programs->read_ns < PROGRAMS_EVERY_S * NS_PER_S)
		return;
	state = statistics_read(programs);
	programs->length_ns = programs->read_ns ? now_ns - programs->read_ns : 0;
	programs->is_counted = programs->read_ns && state == STATISTICS_ON && programs->state == STATISTICS_ON;
	programs->state = state;
	programs->read_ns = now_ns;
	for (guint i = 0; i < programs->parts->len; i++) {
		GArray *part = g_ptr_array_index(programs->parts, i),
		       *timings = g_ptr_array_index(programs->timings, i);

		for (guint j = 0; j < timings->len; j++)
			timing_read(&g_array_index(timings, struct timing, j), &programs->spent[i]);
		for (guint j = part->len; j-- > 0;)
			if (!program_read(&g_array_index(part, struct program, j)))
				program_drop(programs, part, j);
	}
}

void programs_write_statistics(struct json_writer *json, const struct programs *programs)
{
	static const char *const states[] = { NULL, "off", "on" };

	json_string(json, "bpf_statistics", programs ? states[programs->state] : NULL);
}

/* NAN: not known. */
struct costs {
	double runs_per_second, ns_per_run, cores;
};

static const struct costs unknown_costs = { NAN, NAN, NAN };

/* By the kernel. Where statistics are off now, what a run takes may still be known of a time when they were on. */
static struct costs counted_costs(const struct programs *programs, const struct program *sum)
{
	double length_ns = sum->readings >= 2 && programs->is_counted ? (double)programs->length_ns : NAN;
	guint64 runs = sum->runs, time_ns = sum->time_ns;

	if (isnan(length_ns)) {
		runs = sum->own.program.run_count;
		time_ns = sum->own.program.run_time_ns;
	}
	return (struct costs){ .runs_per_second = (double)sum->runs * (double)NS_PER_S / length_ns,
			       .ns_per_run = runs ? (double)time_ns / (double)runs : NAN,
			       .cores = (double)sum->time_ns / length_ns };
}

/* By the programs themselves. Of few calls none may have been timed in an interval: then they took what those before did. */
static struct costs timed_costs(const struct programs *programs, const GArray *timings)
{
	double length_ns = (double)programs->length_ns, ns = 0;
	struct pace_spent all = { 0 }, interval = { 0 };
	gboolean is_whole = timings->len > 0 && programs->length_ns > 0;

	for (guint i = 0; i < timings->len; i++) {
		const struct timing *timing = &g_array_index(timings, struct timing, i);

		is_whole &= timing->readings >= 2;
		spent_add(&all, &timing->all);
		spent_add(&interval, &timing->interval);
	}
	if (!is_whole || (interval.runs && !all.timed))
		return unknown_costs;
	if (interval.runs)
		ns = interval.timed ? (double)interval.ns : (double)all.ns / (double)all.runs * (double)interval.runs;
	return (struct costs){ .runs_per_second = (double)interval.runs * (double)NS_PER_S / length_ns,
			       .ns_per_run = interval.runs ? ns / (double)interval.runs
					     : all.timed   ? (double)all.ns / (double)all.runs
							   : NAN,
			       .cores = ns / length_ns };
}

static void costs_write(struct json_writer *json, struct costs costs, guint64 missed)
{
	json_double(json, "runs_per_second", costs.runs_per_second);
	json_double(json, "ns_per_run", costs.ns_per_run);
	json_double(json, "cores", costs.cores);
	json_uint(json, "missed", missed);
}

/* All of the part's together, and how many do not time themselves. */
static struct program part_sum(const GArray *of, guint *untimed)
{
	struct program sum = { .readings = G_MAXUINT };

	*untimed = 0;
	for (guint i = 0; i < of->len; i++) {
		const struct program *program = &g_array_index(of, struct program, i);

		*untimed += !program->is_timed;
		sum.readings = MIN(sum.readings, program->readings);
		sum.runs += program->runs;
		sum.time_ns += program->time_ns;
		sum.own.program.run_count += program->own.program.run_count;
		sum.own.program.run_time_ns += program->own.program.run_time_ns;
		sum.own.program.missed_count += program->own.program.missed_count;
	}
	return sum;
}

void programs_write(struct json_writer *json, const struct programs *programs, guint part)
{
	const GArray *of = programs ? g_ptr_array_index(programs->parts, part) : NULL;
	const char *measured_by = "kernel";
	struct costs costs;
	struct program sum;
	guint untimed;

	if (!of || !of->len) {
		json_null(json, "kernel");
		return;
	}
	sum = part_sum(of, &untimed);
	costs = counted_costs(programs, &sum);
	if (isnan(costs.cores) && untimed < of->len) {
		measured_by = "itself";
		costs = timed_costs(programs, g_ptr_array_index(programs->timings, part));
	}
	json_begin_object(json, "kernel");
	json_string(json, "measured_by", isnan(costs.ns_per_run) ? NULL : measured_by);
	json_uint(json, "untimed", untimed);
	costs_write(json, costs, sum.own.program.missed_count);
	json_begin_array(json, "programs");
	for (guint i = 0; i < of->len; i++) {
		const struct program *program = &g_array_index(of, struct program, i);

		json_begin_object(json, NULL);
		json_string(json, "name", program->own.program.name);
		costs_write(json, counted_costs(programs, program), program->own.program.missed_count);
		json_end_object(json);
	}
	json_end_array(json);
	json_end_object(json);
}
