/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a BPF ring buffer that is mapped once. libbpf maps its pages twice in a row, so that no record is in two pieces; but all of
 * them are resident from the start, and so is each of them twice. Here the record that is (one in a turn of the ring) is put together.
 * The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, one with the producer's, the data. */
#pragma once
#include <glib.h>

struct ringread;

/* One record: in the ring, or in memory of ours, until it returns. Negative: enough for now. */
typedef int (*ringread_fn)(void *user, void *data, size_t bytes);

/* `map_fd` stays the caller's. NULL and errno. */
struct ringread *ringread_open(int map_fd, ringread_fn take, void *user);
/* NULL is nobody's. */
void ringread_close(struct ringread *ring);
/* Readable while records wait: the map's own. */
int ringread_fd(const struct ringread *ring);
/* Hands over what waits → how many; negative: what `take` returned, whose record is taken. */
int ringread_consume(struct ringread *ring);

/* The same over memory that somebody else owns: `bytes`, a power of two, of data. */
struct ringread *ringread_over(guint64 *consumer, const guint64 *producer, const guint8 *data, gsize bytes,
			       ringread_fn take, void *user);
