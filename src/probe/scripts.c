/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/scripts.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/random.h>

#include "probe/ladder.h"
#include "probe/ringread.h"

struct scripts {
	struct probe_listener listener;
	struct ringread *ring;
	int processes_fd, losses_fd;
	guint untaught; /* processes there was no room for */
	guint malformed;
};

void scripts_seed(guint64 seed[2])
{
	if (getrandom(seed, 16, 0) == 16)
		return;
	seed[0] = ((guint64)g_random_int() << 32) | g_random_int();
	seed[1] = ((guint64)g_random_int() << 32) | g_random_int();
}

static gboolean scripts_take_stack(struct scripts *scripts, const struct script_stack_record *record, size_t bytes)
{
	gsize head = G_STRUCT_OFFSET(struct script_stack_record, words);

	if (bytes < head || record->count > SCRIPT_DEPTH || bytes < head + 8 * (gsize)record->count)
		return FALSE;
	if (scripts->listener.script)
		scripts->listener.script(scripts->listener.user, record);
	return TRUE;
}

static gboolean scripts_take_code(struct scripts *scripts, const struct script_code_record *record, size_t bytes)
{
	gsize head = G_STRUCT_OFFSET(struct script_code_record, lines);

	if (bytes < head || record->lines_bytes > SCRIPT_LINES || bytes < head + record->lines_bytes)
		return FALSE;
	if (scripts->listener.script_code)
		scripts->listener.script_code(scripts->listener.user, record);
	return TRUE;
}

static int scripts_take(void *user, void *data, size_t bytes)
{
	struct scripts *scripts = user;
	const guint32 *kind = data;
	gboolean ok = FALSE;

	if (bytes >= sizeof(*kind) && *kind == SCRIPT_RECORD_STACK)
		ok = scripts_take_stack(scripts, data, bytes);
	else if (bytes >= sizeof(*kind) && *kind == SCRIPT_RECORD_CODE)
		ok = scripts_take_code(scripts, data, bytes);
	if (!ok)
		scripts->malformed++;
	return 0;
}

struct scripts *scripts_open(struct bpf_object *object, const struct probe_listener *listener, GError **error)
{
	struct scripts *scripts = g_new0(struct scripts, 1);

	scripts->listener = *listener;
	scripts->processes_fd = bpf_object__find_map_fd_by_name(object, "python_processes");
	scripts->losses_fd = bpf_object__find_map_fd_by_name(object, "script_losses");
	ladder_log_start();
	scripts->ring = ringread_open(bpf_object__find_map_fd_by_name(object, "script_ring"), scripts_take, scripts);
	if (scripts->ring)
		return scripts;
	ladder_set_error(error, "cannot map the ring of interpreted code", errno);
	scripts_close(scripts);
	return NULL;
}

void scripts_close(struct scripts *scripts)
{
	if (!scripts)
		return;
	ringread_close(scripts->ring);
	g_free(scripts);
}

int scripts_fd(const struct scripts *scripts)
{
	return ringread_fd(scripts->ring);
}

void scripts_drain(struct scripts *scripts)
{
	ringread_consume(scripts->ring);
}

void scripts_teach(struct scripts *scripts, guint32 tgid, const struct python_process *process)
{
	if (!process)
		bpf_map_delete_elem(scripts->processes_fd, &tgid);
	else if (bpf_map_update_elem(scripts->processes_fd, &tgid, process, BPF_ANY) != 0)
		scripts->untaught++;
}

static guint64 scripts_lost(const struct scripts *scripts, guint32 kind)
{
	int cpus = libbpf_num_possible_cpus();
	g_autofree guint64 *each = g_new0(guint64, MAX(cpus, 1));
	guint64 sum = 0;

	if (cpus <= 0 || bpf_map_lookup_elem(scripts->losses_fd, &kind, each) != 0)
		return 0;
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += each[cpu];
	return sum;
}

static const struct {
	enum script_loss kind;
	const char *note;
} scripts_notes[] = {
	{ SCRIPT_LOSS_READ, "samples with a broken chain of Python frames" },
	{ SCRIPT_LOSS_CODE, "Python functions not read at first sight" },
	{ SCRIPT_LOSS_RING, "times the ring of Python frames was full: they are not named" },
};

void scripts_account(const struct scripts *scripts, struct ledger *ledger)
{
	for (gsize i = 0; i < G_N_ELEMENTS(scripts_notes); i++) {
		guint64 lost = scripts_lost(scripts, scripts_notes[i].kind);

		if (lost > 0)
			ledger_note(ledger, g_strdup_printf("%" G_GUINT64_FORMAT " %s", lost, scripts_notes[i].note));
	}
	if (scripts->untaught > 0)
		ledger_note(ledger,
			    g_strdup_printf("%u processes with Python were too many to follow", scripts->untaught));
	if (scripts->malformed > 0)
		ledger_note(ledger,
			    g_strdup_printf("%u records of interpreted code were malformed", scripts->malformed));
}
