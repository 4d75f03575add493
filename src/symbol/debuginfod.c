/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/debuginfod.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "symbol/confined.h"

#define PATH_LENGTH_MAX 4096

struct wanted {
	gpointer owner;
	guint8 build_id[IMAGE_BUILD_ID_MAX];
	gsize size;
	struct confined child; /* pid 0: not started */
	gboolean failed_to_start;
};

struct debuginfod {
	GHashTable *owners; /* asked for already */
	GQueue waiting, running; /* struct wanted */
	guint64 until_ns; /* 0: not yet waited for */
};

gboolean debuginfod_is_configured(void)
{
	const char *urls = g_getenv(DEBUGINFOD_URLS_ENV_VAR);

	return urls && urls[strspn(urls, " ")];
}

struct debuginfod *debuginfod_new(void)
{
	struct debuginfod *debuginfod = g_new0(struct debuginfod, 1);

	debuginfod->owners = g_hash_table_new(NULL, NULL);
	g_queue_init(&debuginfod->waiting);
	g_queue_init(&debuginfod->running);
	return debuginfod;
}

static void wanted_free(gpointer data)
{
	struct wanted *wanted = data;

	confined_clear(&wanted->child);
	g_free(wanted);
}

void debuginfod_free(struct debuginfod *debuginfod)
{
	if (!debuginfod)
		return;
	g_queue_clear_full(&debuginfod->waiting, wanted_free);
	g_queue_clear_full(&debuginfod->running, wanted_free);
	g_hash_table_unref(debuginfod->owners);
	g_free(debuginfod);
}

/* ---- the child ---- */

/* Its answer is the path in the cache, or nothing and an errno as exit status. */
static int fetch(void *user, int out)
{
	const struct wanted *wanted = user;
	void *library = dlopen(DEBUGINFOD_SONAME, RTLD_NOW);
	__typeof__(&debuginfod_begin) begin = library ? dlsym(library, "debuginfod_begin") : NULL;
	__typeof__(&debuginfod_find_debuginfo) find = library ? dlsym(library, "debuginfod_find_debuginfo") : NULL;
	debuginfod_client *client = begin && find ? begin() : NULL;
	char *path = NULL;
	int fd;

	if (!client)
		return ELIBACC;
	fd = find(client, wanted->build_id, (int)wanted->size, &path);
	if (fd < 0)
		return -fd & 0x7f;
	return confined_write(out, path, strlen(path)) ? 0 : EIO;
}

/* ---- outside ---- */

static void start_some(struct debuginfod *debuginfod)
{
	while (debuginfod->waiting.length && debuginfod->running.length < DEBUGINFOD_PARALLEL) {
		struct wanted *wanted = g_queue_pop_head(&debuginfod->waiting);
		struct confined_job job = {
			.work = fetch,
			.user = wanted,
			.answer_max = PATH_LENGTH_MAX,
			.file_max = DEBUGINFOD_FILE_BYTES_MAX,
			.time_max_ns = DEBUGINFOD_FILE_NS,
		};

		wanted->failed_to_start = !confined_start(&wanted->child, &job, NULL);
		g_queue_push_tail(&debuginfod->running, wanted);
	}
}

void debuginfod_want(struct debuginfod *debuginfod, gpointer owner, const guint8 *build_id, gsize size)
{
	struct wanted *wanted;

	if (size == 0 || size > IMAGE_BUILD_ID_MAX || g_hash_table_size(debuginfod->owners) >= DEBUGINFOD_FILES_MAX ||
	    !g_hash_table_add(debuginfod->owners, owner))
		return;
	wanted = g_new0(struct wanted, 1);
	wanted->owner = owner;
	wanted->child.fd = -1;
	wanted->size = size;
	memcpy(wanted->build_id, build_id, size);
	g_queue_push_tail(&debuginfod->waiting, wanted);
	start_some(debuginfod);
}

gboolean debuginfod_take(struct debuginfod *debuginfod, gpointer *owner, int *fd, GError **error)
{
	struct wanted *wanted = g_queue_pop_head(&debuginfod->running);

	*fd = -1;
	if (!wanted)
		return FALSE;
	*owner = wanted->owner;
	if (!debuginfod->until_ns)
		debuginfod->until_ns = clock_monotonic_ns() + DEBUGINFOD_ALL_NS;
	wanted->child.deadline_ns = MIN(wanted->child.deadline_ns, debuginfod->until_ns);
	if (wanted->failed_to_start) {
		g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_START, "no process to fetch it");
	} else if (confined_finish(&wanted->child, error)) {
		g_autofree char *path = g_strndup((const char *)wanted->child.answer->data, wanted->child.answer->len);

		*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (*fd < 0)
			g_set_error(error, CONFINED_ERROR, CONFINED_ERROR_START, "cannot open what was fetched: %s",
				    g_strerror(errno));
	}
	wanted_free(wanted);
	start_some(debuginfod);
	return TRUE;
}
