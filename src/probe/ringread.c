/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/ringread.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RINGREAD_ALIGN 8

struct ringread {
	ringread_fn take;
	void *user;
	guint64 *consumer;
	const guint64 *producer;
	const guint8 *data;
	gsize bytes; /* of data */
	guint8 *whole; /* room for a record that lies at both ends */
	gsize whole_bytes;
	void *mapped; /* the producer's page and the data; NULL: not ours */
	gsize page;
	int fd;
};

struct ringread *ringread_over(guint64 *consumer, const guint64 *producer, const guint8 *data, gsize bytes,
			       ringread_fn take, void *user)
{
	struct ringread *ring = g_new0(struct ringread, 1);

	ring->take = take;
	ring->user = user;
	ring->consumer = consumer;
	ring->producer = producer;
	ring->data = data;
	ring->bytes = bytes;
	ring->fd = -1;
	return ring;
}

struct ringread *ringread_open(int map_fd, ringread_fn take, void *user)
{
	gsize page = (gsize)sysconf(_SC_PAGESIZE);
	struct bpf_map_info info = { 0 };
	guint32 info_bytes = sizeof(info);
	struct ringread *ring;
	void *consumer, *mapped;

	if (bpf_obj_get_info_by_fd(map_fd, &info, &info_bytes) != 0)
		return NULL;
	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
	if (consumer == MAP_FAILED)
		return NULL;
	mapped = mmap(NULL, page + info.max_entries, PROT_READ, MAP_SHARED, map_fd, (off_t)page);
	if (mapped == MAP_FAILED) {
		int why = errno;

		munmap(consumer, page);
		errno = why;
		return NULL;
	}
	ring = ringread_over(consumer, mapped, (const guint8 *)mapped + page, info.max_entries, take, user);
	ring->mapped = mapped;
	ring->page = page;
	ring->fd = map_fd;
	return ring;
}

void ringread_close(struct ringread *ring)
{
	if (!ring)
		return;
	if (ring->mapped) {
		munmap(ring->consumer, ring->page);
		munmap(ring->mapped, ring->page + ring->bytes);
	}
	g_free(ring->whole);
	g_free(ring);
}

int ringread_fd(const struct ringread *ring)
{
	return ring->fd;
}

/* What begins at `position`, in one piece. */
static void *ringread_at(struct ringread *ring, guint64 position, gsize bytes)
{
	gsize at = position & (ring->bytes - 1), first = ring->bytes - at;

	if (bytes <= first)
		return (void *)(ring->data + at);
	if (ring->whole_bytes < bytes) {
		g_free(ring->whole);
		ring->whole = g_malloc(bytes);
		ring->whole_bytes = bytes;
	}
	memcpy(ring->whole, ring->data + at, first);
	memcpy(ring->whole + first, ring->data, bytes - first);
	return ring->whole;
}

int ringread_consume(struct ringread *ring)
{
	guint64 at = *ring->consumer;
	int count = 0, result = 0;

	while (result >= 0 && at < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) {
		const guint32 *head = (const guint32 *)(const void *)(ring->data + (at & (ring->bytes - 1)));
		guint32 length = __atomic_load_n(head, __ATOMIC_ACQUIRE);
		gsize bytes = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (length & BPF_RINGBUF_BUSY_BIT)
			break; /* still being written */
		if (bytes > ring->bytes - BPF_RINGBUF_HDR_SZ)
			return -EINVAL; /* no ring of the kernel's */
		if (!(length & BPF_RINGBUF_DISCARD_BIT)) {
			result = ring->take(ring->user, ringread_at(ring, at + BPF_RINGBUF_HDR_SZ, bytes), bytes);
			count++;
		}
		at += (bytes + BPF_RINGBUF_HDR_SZ + RINGREAD_ALIGN - 1) / RINGREAD_ALIGN * RINGREAD_ALIGN;
		__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	}
	return result < 0 ? result : count;
}
