/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/eventring.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/units.h"
#include "probe/births.h"
#include "probe/losses.h"
#include "probe/mapread.h"
#include "probe/ringread.h"

G_STATIC_ASSERT(sizeof(struct stack_task) == sizeof(struct probe_task));

struct eventring {
	struct bpf_object *object;
	struct probe_listener listener;
	struct ringread *ring;
	struct births *births; /* NULL when refused */
	eventring_decode_fn decode;
	void *user;
	char *births_error;
	guint malformed;
	int epoll_fd;
};

guint64 eventring_interval_ns(const struct probe_request *request)
{
	return NS_PER_S / (request->event_rate > 0 ? request->event_rate : EVENTRING_RATE);
}

static int eventring_take(void *user, void *data, size_t bytes)
{
	struct eventring *ring = user;
	const struct event_head *head = data;

	if (bytes < sizeof(*head) || !ring->decode(ring->user, ring, head, bytes))
		ring->malformed++;
	return 0;
}

static gboolean eventring_poll(struct eventring *ring, int fd, GError **error)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(ring->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot wait for the kernel's news: %s", g_strerror(errno));
	return FALSE;
}

struct eventring *eventring_open(struct bpf_object *object, const struct probe_listener *listener,
				 eventring_decode_fn decode, void *user, GError **error)
{
	struct eventring *ring = g_new0(struct eventring, 1);
	g_autoptr(GError) births_error = NULL;

	ring->object = object;
	ring->listener = *listener;
	ring->decode = decode;
	ring->user = user;
	ring->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	ring->births = births_open(object, listener, &births_error);
	if (!ring->births)
		ring->births_error = g_strdup(births_error->message);
	ring->ring = ringread_open(bpf_object__find_map_fd_by_name(object, "event_ring"), eventring_take, ring);
	if (!ring->ring)
		g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot map the ring of events: %s",
			    g_strerror(errno));
	if (!ring->ring || !eventring_poll(ring, ringread_fd(ring->ring), error) ||
	    (ring->births && births_fd(ring->births) >= 0 && !eventring_poll(ring, births_fd(ring->births), error))) {
		eventring_close(ring);
		return NULL;
	}
	return ring;
}

void eventring_close(struct eventring *ring)
{
	if (!ring)
		return;
	if (ring->epoll_fd >= 0)
		close(ring->epoll_fd);
	ringread_close(ring->ring);
	births_close(ring->births);
	g_free(ring->births_error);
	g_free(ring);
}

int eventring_fd(const struct eventring *ring)
{
	return ring->epoll_fd;
}

gboolean eventring_drain(struct eventring *ring, GError **error)
{
	int result;

	if (ring->births)
		births_drain(ring->births);
	result = ringread_consume(ring->ring);
	if (result >= 0)
		return TRUE;
	g_set_error(error, PROBE_ERROR, PROBE_ERROR_FAILED, "cannot read the ring of events: %s", g_strerror(-result));
	return FALSE;
}

void eventring_tell(struct eventring *ring, const struct event_head *head, const char *kind,
		    const struct probe_field *fields, guint count)
{
	struct probe_task task;
	const struct probe_event event = {
		.time_ns = head->time_ns,
		.task = &task,
		.inner_pid = head->inner_pid,
		.kind = kind,
		.fields = fields,
		.field_count = count,
	};

	memcpy(&task, &head->task, sizeof(task));
	task.comm[PROBE_COMM - 1] = '\0';
	task.thread_comm[PROBE_COMM - 1] = '\0';
	if (ring->listener.event)
		ring->listener.event(ring->listener.user, &event);
}

/* mapread_fn */
static void eventring_flood(void *user, const void *key, const void *value)
{
	const struct eventring *ring = user;
	const struct event_bucket *bucket = value;
	guint64 cgroup_key;

	memcpy(&cgroup_key, key, sizeof(cgroup_key));
	if (bucket->left_out > 0 && ring->listener.flood)
		ring->listener.flood(ring->listener.user, cgroup_key, bucket->left_out);
}

gboolean eventring_account(struct eventring *ring, struct ledger *ledger, GError **error)
{
	int buckets = bpf_object__find_map_fd_by_name(ring->object, "event_buckets");
	int losses = bpf_object__find_map_fd_by_name(ring->object, "losses");

	if (!mapread_each(buckets, sizeof(guint64), sizeof(struct event_bucket), eventring_flood, ring, error) ||
	    !losses_read(losses, ledger, error))
		return FALSE;
	if (ring->births_error)
		ledger_note(ledger,
			    g_strdup_printf("containers born meanwhile may lack their names: %s", ring->births_error));
	if (ring->malformed > 0) {
		ledger_add(ledger, LEDGER_LOST_RING, ring->malformed, ring->malformed);
		ledger_note(ledger, g_strdup_printf("%u records of events were malformed", ring->malformed));
	}
	return TRUE;
}

char *eventring_path(const struct path_text *path, gsize text_bytes)
{
	g_autoptr(GPtrArray) names = g_ptr_array_new();
	gsize bytes = MIN(MIN(path->bytes, sizeof(path->text)), text_bytes);
	GString *text;

	if (!(path->flags & (PATH_COMPLETE | PATH_OUTSIDE | PATH_CUT)))
		return NULL;
	for (gsize at = 0; at < bytes;) {
		const char *name = path->text + at;
		gsize length = strnlen(name, bytes - at);

		if (length == bytes - at)
			break; /* no end: damaged */
		g_ptr_array_add(names, (gpointer)name);
		at += length + 1;
	}
	text = g_string_new(path->flags & PATH_OUTSIDE ? "(outside its root) " : path->flags & PATH_CUT ? "…" : "");
	if (names->len == 0)
		g_string_append_c(text, '/');
	for (guint i = names->len; i-- > 0;) {
		g_string_append_c(text, '/');
		g_string_append(text, g_ptr_array_index(names, i));
	}
	return g_string_free(text, FALSE);
}
