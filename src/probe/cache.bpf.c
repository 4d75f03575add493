// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What reads of files ask of the page cache, and what it did not have. A read asks for the pages from its position to its end
 * or the file's (Linux 6.11 tells so by a tracepoint; where functions can be watched, what filemap_read gave is
 * counted). A page that enters the cache while its task is in a read had to be brought for it, or ahead of it. Writes
 * and faults bring pages, too: whether it is a read is seen from the number of the system call.
 *
 * The kernel looks a long read up in pieces, each time for all that is left: only the first counts. Of a piece that ends
 * where a page is still on its way it tells nothing; then the length that was asked for says where the read began. */
#define READ_BY_PROBE
#include "bpf/kernel_types.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "cache.h"
#define TABLE_CLASSES CACHE_KINDS
#include "bpf/births.bpf.h"
#include "bpf/budget.bpf.h"
#include "bpf/pace.bpf.h"
#include "bpf/syscall.bpf.h"
#include "bpf/table.bpf.h"

#define CACHE_ORDER_MAX 20
#define USER32_CS 0x23 /* arch/x86/include/asm/segment.h */

const volatile __u32 cache_page_shift = 12;
/* Bit n: system call n reads; of 64-bit programs and of 32-bit ones. */
const volatile __u64 cache_calls[CACHE_CALLS / 64] = { 0 };
const volatile __u64 cache_calls_32[CACHE_CALLS / 64] = { 0 };
/* The third argument is the length. */
const volatile __u64 cache_calls_sized[CACHE_CALLS / 64] = { 0 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct inode___sized {
	s64 i_size;
};

struct address_space {
	struct inode___sized *host;
};

struct kiocb {
	s64 ki_pos;
};

/* A folio begins with its flags; its size has had several names. */
struct folio {
	unsigned int _nr_pages;
};
struct folio___before_6_15 {
	unsigned int _folio_nr_pages;
};
#pragma clang attribute pop

enum pageflags {
	PG_head = 6, /* which it is, the kernel says */
};

struct cache_ask {
	u64 mapping, next, last; /* a lookup from `next` or later to `last` goes on with the same read */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cache_ask);
} cache_asks SEC(".maps");

static __always_inline void cache_count(struct task_struct *task, u32 kind, u64 pages, u32 many)
{
	struct table_key key;
	u32 row;

	table_key_init(&key, task, cgroup_key_current(), 0);
	row = table_row(task, &key);
	if (table_wants(task, row))
		table_add_size_many(row, kind, pages, many);
}

static __always_inline u64 cache_folio_pages(void *folio)
{
	struct folio *now = folio;
	struct folio___before_6_15 *before = folio;
	unsigned long flags = 0;
	u32 pages = 1;

	bpf_probe_read_kernel(&flags, sizeof(flags), folio);
	if (!(flags & (1UL << bpf_core_enum_value(enum pageflags, PG_head))))
		return 1;
	if (bpf_core_field_exists(now->_nr_pages))
		pages = BPF_CORE_READ(now, _nr_pages);
	else if (bpf_core_field_exists(before->_folio_nr_pages))
		pages = BPF_CORE_READ(before, _folio_nr_pages);
	return pages > 0 && pages <= 1U << CACHE_ORDER_MAX ? pages : 1;
}

static __always_inline bool cache_is_one_of(struct pt_regs *regs, const volatile __u64 *calls)
{
	s64 number = syscall_number(regs);
	u32 word = (u32)number / 64;

	return number >= 0 && word < CACHE_CALLS / 64 && calls[word & (CACHE_CALLS / 64 - 1)] >> (number & 63) & 1;
}

static __always_inline bool cache_is_32(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return READ(regs, cs) == USER32_CS;
#else
	return false;
#endif
}

static __always_inline bool cache_is_read(struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	return cache_is_32(regs) ? cache_is_one_of(regs, cache_calls_32) : cache_is_one_of(regs, cache_calls);
}

/* The first page of the read that ends with page `last` and is being looked up from page `first`. */
static __always_inline u64 cache_began(struct task_struct *task, u64 first, u64 last)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	u64 pages;

	if (first == 0 || cache_is_32(regs) || !cache_is_one_of(regs, cache_calls_sized))
		return first;
	pages = (syscall_argument(regs, 2) + (1ULL << cache_page_shift) - 1) >> cache_page_shift;
	return pages <= last && last + 1 - pages < first ? last + 1 - pages : first;
}

static __always_inline int lookup_look(struct address_space *mapping, unsigned long first, unsigned long last)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct inode___sized *inode = BPF_CORE_READ(mapping, host);
	u64 size = (u64)BPF_CORE_READ(inode, i_size), end;
	struct cache_ask *ask;
	bool goes_on;
	u32 many;

	if (filter_on && !filter_wants(task, cgroup_key_current()))
		return 0;
	ask = bpf_task_storage_get(&cache_asks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!ask) {
		loss_add(LOSS_STORAGE, 1, 0);
		return 0;
	}
	goes_on = ask->mapping == (u64)mapping && ask->last == last && first >= ask->next;
	ask->mapping = (u64)mapping;
	ask->next = first + 1;
	ask->last = last;
	end = size ? (size - 1) >> cache_page_shift : 0;
	if (end > last)
		end = last;
	if (goes_on || !size || first > end)
		return 0;
	many = budget_pick();
	if (many)
		cache_count(task, CACHE_ASKED, end - cache_began(task, first, last) + 1, many);
	return 0;
}

SEC("btf_tp/mm_filemap_get_pages")
int BPF_PROG(cache_lookup, struct address_space *mapping, unsigned long first, unsigned long last)
{
	return PACED(0, lookup_look(mapping, first, last));
}

/* ssize_t filemap_read(struct kiocb *, struct iov_iter *, ssize_t already_read), which is in what it returns. */
static __always_inline int read_done_look(u64 *ctx)
{
	struct kiocb *iocb = (struct kiocb *)ctx[0];
	s64 bytes = (s64)ctx[3] - (s64)ctx[2], end = BPF_CORE_READ(iocb, ki_pos);
	u64 first, last;
	u32 many;

	if ((s64)ctx[3] <= 0 || bytes <= 0 || end < bytes)
		return 0;
	first = (u64)(end - bytes) >> cache_page_shift;
	last = (u64)(end - 1) >> cache_page_shift;
	many = budget_pick();
	if (many)
		cache_count(bpf_get_current_task_btf(), CACHE_ASKED, last - first + 1, many);
	return 0;
}

SEC("fexit/filemap_read")
int cache_read_done(u64 *ctx)
{
	return PACED(1, read_done_look(ctx));
}

static __always_inline int add_look(void *folio)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (cache_is_read(task))
		cache_count(task, CACHE_BROUGHT, cache_folio_pages(folio), 1);
	return 0;
}

SEC("btf_tp/mm_filemap_add_to_page_cache")
int BPF_PROG(cache_add, void *folio)
{
	return PACED(2, add_look(folio));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
