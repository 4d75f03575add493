/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/ringread.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#define RINGREAD_ALIGN 8
#define RINGREAD_HEAD_PAGES 2 /* before the data */

struct ringread {
	ringread_fn take;
	void *user;
	guint64 *consumer; /* each a page of its own */
	const guint64 *producer;
	gsize bytes; /* of data */
	guint8 *window; /* NULL: nothing was read yet */
	gsize from, length; /* of the window, in the data; it may reach into the second copy */
	gsize page;
	int fd;
};

static void *page_map(const struct ringread *ring, int protection, gsize number)
{
	void *page = mmap(NULL, ring->page, protection, MAP_SHARED, ring->fd, (off_t)(number * ring->page));

	return page == MAP_FAILED ? NULL : page;
}

struct ringread *ringread_over(int fd, gsize bytes, ringread_fn take, void *user)
{
	struct ringread *ring = g_new0(struct ringread, 1);
	int why;

	ring->take = take;
	ring->user = user;
	ring->bytes = bytes;
	ring->page = (gsize)sysconf(_SC_PAGESIZE);
	ring->fd = fd;
	ring->consumer = page_map(ring, PROT_READ | PROT_WRITE, 0);
	ring->producer = ring->consumer ? page_map(ring, PROT_READ, 1) : NULL;
	if (ring->producer)
		return ring;
	why = errno;
	ringread_close(ring);
	errno = why;
	return NULL;
}

struct ringread *ringread_open(int map_fd, ringread_fn take, void *user)
{
	struct bpf_map_info info = { 0 };
	guint32 info_bytes = sizeof(info);

	if (bpf_obj_get_info_by_fd(map_fd, &info, &info_bytes) != 0)
		return NULL;
	return ringread_over(map_fd, info.max_entries, take, user);
}

static void window_close(struct ringread *ring)
{
	if (ring->window)
		munmap(ring->window, ring->length);
	ring->window = NULL;
	ring->length = 0;
}

void ringread_close(struct ringread *ring)
{
	if (!ring)
		return;
	window_close(ring);
	if (ring->producer)
		munmap((void *)ring->producer, ring->page);
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	g_free(ring);
}

int ringread_fd(const struct ringread *ring)
{
	return ring->fd;
}

/* The window begins at the page of `at`, so that what is read next is in it, too. */
static gboolean window_move(struct ringread *ring, gsize at, gsize bytes)
{
	gsize from = at / ring->page * ring->page;
	gsize needed = (at + bytes - from + ring->page - 1) / ring->page * ring->page;
	gsize length = MAX(needed, MIN(RINGREAD_WINDOW_BYTES, ring->bytes));
	void *window;

	window_close(ring);
	window = mmap(NULL, length, PROT_READ, MAP_SHARED, ring->fd, (off_t)(RINGREAD_HEAD_PAGES * ring->page + from));
	if (window == MAP_FAILED)
		return FALSE;
	ring->window = window;
	ring->from = from;
	ring->length = length;
	return TRUE;
}

/* What begins at `position`, in one piece; NULL and errno. */
static void *ringread_at(struct ringread *ring, guint64 position, gsize bytes)
{
	gsize at = position & (ring->bytes - 1);

	if (at < ring->from || at + bytes > ring->from + ring->length)
		if (!window_move(ring, at, bytes))
			return NULL;
	return ring->window + (at - ring->from);
}

int ringread_consume(struct ringread *ring)
{
	guint64 at = *ring->consumer;
	int count = 0, result = 0;

	while (result >= 0 && at < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) {
		const guint32 *head = ringread_at(ring, at, BPF_RINGBUF_HDR_SZ);
		guint32 length = head ? __atomic_load_n(head, __ATOMIC_ACQUIRE) : 0;
		gsize bytes = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		guint8 *record;

		if (!head)
			return -errno;
		if (length & BPF_RINGBUF_BUSY_BIT)
			break; /* still being written */
		if (bytes > ring->bytes - BPF_RINGBUF_HDR_SZ)
			return -EINVAL; /* no ring of the kernel's */
		if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
			record = ringread_at(ring, at, BPF_RINGBUF_HDR_SZ + bytes);
			if (!record)
				return -errno;
			result = ring->take(ring->user, record + BPF_RINGBUF_HDR_SZ, bytes);
			count++;
		}
		at += (bytes + BPF_RINGBUF_HDR_SZ + RINGREAD_ALIGN - 1) / RINGREAD_ALIGN * RINGREAD_ALIGN;
		__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	}
	return result < 0 ? result : count;
}
