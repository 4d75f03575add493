/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a BPF ring buffer of which a window is mapped. libbpf maps all of a ring, twice in a row, so that no record is in two pieces: each of
 * its pages is resident from the start, twice, whether it is ever written to or not. Here the window moves along with the records.
 * The layout is the kernel's (kernel/bpf/ringbuf.c): a page with the consumer's position, one with the producer's, the data, the data again. */
#pragma once
#include <glib.h>

#define RINGREAD_WINDOW_BYTES (64 << 10) /* of the data, mapped at a time; more for a longer record */

struct ringread;

/* One record, in the ring until it returns. Negative: enough for now. */
typedef int (*ringread_fn)(void *user, void *data, size_t bytes);

/* `map_fd` stays the caller's. NULL and errno. */
struct ringread *ringread_open(int map_fd, ringread_fn take, void *user);
/* NULL is nobody's. */
void ringread_close(struct ringread *ring);
/* Readable while records wait: the map's own. */
int ringread_fd(const struct ringread *ring);
/* Hands over what waits → how many; negative: what `take` returned, whose record is taken, or an error (-errno) of mapping what comes next, which
 * stays in the ring. */
int ringread_consume(struct ringread *ring);

/* The same over any file that is laid out like a ring of `bytes`, a power of two and of whole pages, of data. */
struct ringread *ringread_over(int fd, gsize bytes, ringread_fn take, void *user);
