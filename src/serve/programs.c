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
};

enum statistics {
	STATISTICS_UNKNOWN = 0,
	STATISTICS_OFF = 1,
	STATISTICS_ON = 2,
};

struct programs {
	char *sysctl;
	GPtrArray *parts; /* of GArray of struct program */
	GHashTable *known; /* ids */
	enum statistics state; /* at the last reading */
	guint64 read_ns; /* of it; 0: none yet */
	guint64 length_ns; /* since the reading before it, during all of which statistics were on; 0: they were not */
};

static void part_free(gpointer part)
{
	g_array_unref(part);
}

struct programs *programs_new(guint parts, const char *proc)
{
	struct programs *programs = g_new0(struct programs, 1);

	programs->sysctl = g_build_filename(proc ? proc : "/proc", PROGRAMS_SYSCTL, NULL);
	programs->known = g_hash_table_new(NULL, NULL);
	programs->parts = g_ptr_array_new_with_free_func(part_free);
	for (guint i = 0; i < parts; i++)
		g_ptr_array_add(programs->parts, g_array_new(FALSE, FALSE, sizeof(struct program)));
	return programs;
}

void programs_free(struct programs *programs)
{
	if (!programs)
		return;
	g_ptr_array_unref(programs->parts);
	g_hash_table_unref(programs->known);
	g_free(programs->sysctl);
	g_free(programs);
}

void programs_take(struct programs *programs, guint part)
{
	g_autoptr(GArray) own = cost_own();

	for (guint i = 0; i < own->len; i++) {
		const struct program program = { .own = g_array_index(own, struct cost_own, i) };

		if (g_hash_table_add(programs->known, GUINT_TO_POINTER(program.own.program.id)))
			g_array_append_val(g_ptr_array_index(programs->parts, part), program);
	}
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

	while (programs_of->len)
		program_drop(programs, programs_of, programs_of->len - 1);
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
	programs->length_ns = programs->read_ns && state == STATISTICS_ON && programs->state == STATISTICS_ON
				      ? now_ns - programs->read_ns
				      : 0;
	programs->state = state;
	programs->read_ns = now_ns;
	for (guint i = 0; i < programs->parts->len; i++) {
		GArray *part = g_ptr_array_index(programs->parts, i);

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

/* Where statistics are off now, what a run takes may still be known of a time when they were on. */
static void costs_write(struct json_writer *json, const struct programs *programs, const struct program *sum)
{
	double length_ns = sum->readings >= 2 && programs->length_ns ? (double)programs->length_ns : NAN;
	guint64 runs = sum->runs, time_ns = sum->time_ns;

	if (isnan(length_ns)) {
		runs = sum->own.program.run_count;
		time_ns = sum->own.program.run_time_ns;
	}
	json_double(json, "runs_per_second", (double)sum->runs * (double)NS_PER_S / length_ns);
	json_double(json, "ns_per_run", runs ? (double)time_ns / (double)runs : NAN);
	json_double(json, "cores", (double)sum->time_ns / length_ns);
	json_uint(json, "missed", sum->own.program.missed_count);
}

void programs_write(struct json_writer *json, const struct programs *programs, guint part)
{
	const GArray *of = programs ? g_ptr_array_index(programs->parts, part) : NULL;
	struct program sum = { .readings = G_MAXUINT };

	if (!of || !of->len) {
		json_null(json, "kernel");
		return;
	}
	for (guint i = 0; i < of->len; i++) {
		const struct program *program = &g_array_index(of, struct program, i);

		sum.readings = MIN(sum.readings, program->readings);
		sum.runs += program->runs;
		sum.time_ns += program->time_ns;
		sum.own.program.run_count += program->own.program.run_count;
		sum.own.program.run_time_ns += program->own.program.run_time_ns;
		sum.own.program.missed_count += program->own.program.missed_count;
	}
	json_begin_object(json, "kernel");
	costs_write(json, programs, &sum);
	json_begin_array(json, "programs");
	for (guint i = 0; i < of->len; i++) {
		const struct program *program = &g_array_index(of, struct program, i);

		json_begin_object(json, NULL);
		json_string(json, "name", program->own.program.name);
		costs_write(json, programs, program);
		json_end_object(json);
	}
	json_end_array(json);
	json_end_object(json);
}
