/* SPDX-License-Identifier: Apache-2.0 */
#include <bpf/btf.h>
#include <errno.h>
#include <glib.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/histogram.h"
#include "probe/bpf/histogram.h"
#include "probe/allowance.h"
#include "probe/askers.h"
#include "probe/unlooked.h"
#include "probe/pace.h"
#include "probe/parttime.h"
#include "probe/answers.h"
#include "probe/copyplan.h"
#include "probe/bpf/delta.h"
#include "probe/bpf/hash.h"
#include "probe/delta.h"
#include "probe/kernel_btf.h"
#include "probe/kernel_names.h"
#include "probe/keynumbers.h"
#include "probe/ladder.h"
#include "probe/mapview.h"
#include "probe/ringread.h"
#include "probe/searches.h"
#include "probe/sideband_record.h"

#define RECORD_BYTES 512
#define TRAILER_BYTES 16

/* A record under construction, 8-byte aligned like those in a ring. */
struct built {
	guint64 words[RECORD_BYTES / 8];
	gsize bytes;
};

static void built_set_size(struct built *built, guint16 size)
{
	memcpy((char *)built->words + G_STRUCT_OFFSET(struct perf_event_header, size), &size, sizeof(size));
}

static void built_begin(struct built *built, guint32 type, guint16 misc)
{
	struct perf_event_header header = { .type = type, .misc = misc };

	memset(built, 0, sizeof(*built));
	memcpy(built->words, &header, sizeof(header));
	built->bytes = sizeof(header);
}

static void built_add(struct built *built, const void *data, gsize bytes)
{
	memcpy((char *)built->words + built->bytes, data, bytes);
	built->bytes += bytes;
}

static void built_add32(struct built *built, guint32 value)
{
	built_add(built, &value, sizeof(value));
}

static void built_add64(struct built *built, guint64 value)
{
	built_add(built, &value, sizeof(value));
}

static void built_end(struct built *built, guint64 time_ns)
{
	built->bytes = (built->bytes + 7) & ~(gsize)7;
	built_add32(built, 0);
	built_add32(built, 0);
	built_add64(built, time_ns);
	built_set_size(built, built->bytes);
}

static gboolean built_parse(const struct built *built, struct sideband_record *record)
{
	return sideband_parse((const guint8 *)built->words, built->bytes, record);
}

static void built_mmap2(struct built *built, guint16 misc, guint8 build_id_size, guint32 protection, const char *path)
{
	guint8 build_id[24] = { build_id_size, 0, 0, 0, 0xab, 0xcd };

	built_begin(built, PERF_RECORD_MMAP2, misc);
	built_add32(built, 42);
	built_add32(built, 43);
	built_add64(built, 0x400000);
	built_add64(built, 0x1000);
	built_add64(built, 0x2000);
	built_add(built, build_id, sizeof(build_id));
	built_add32(built, protection);
	built_add32(built, 0);
	built_add(built, path, strlen(path) + 1);
	built_end(built, 77);
}

static void test_mapped(void)
{
	struct sideband_record record;
	struct built built;

	built_mmap2(&built, PERF_RECORD_MISC_MMAP_BUILD_ID, 20, PROT_READ | PROT_EXEC, "/bin/x");
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_MAPPED);
	g_assert_cmpuint(record.tgid, ==, 42);
	g_assert_cmpuint(record.time_ns, ==, 77);
	g_assert_cmpuint(record.mapping.start, ==, 0x400000);
	g_assert_cmpuint(record.mapping.length, ==, 0x1000);
	g_assert_cmpuint(record.mapping.file_offset, ==, 0x2000);
	g_assert_cmpuint(record.mapping.build_id_size, ==, 20);
	g_assert_cmphex(record.mapping.build_id[0], ==, 0xab);
	g_assert_cmpstr(record.mapping.path, ==, "/bin/x");

	built_mmap2(&built, 0, 20, PROT_READ | PROT_EXEC, "/bin/x"); /* device and inode instead of a build-id */
	g_assert_true(built_parse(&built, &record));
	g_assert_null(record.mapping.build_id);

	built_mmap2(&built, 0, 0, PROT_READ, "/bin/data");
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_OTHER);
}

static void built_task(struct built *built, guint32 type, guint32 pid, guint32 parent, guint32 tid)
{
	built_begin(built, type, 0);
	built_add32(built, pid);
	built_add32(built, parent);
	built_add32(built, tid);
	built_add32(built, parent);
	built_add64(built, 5);
	built_end(built, 5);
}

static void test_tasks(void)
{
	struct sideband_record record;
	struct built built;

	built_task(&built, PERF_RECORD_FORK, 10, 9, 10);
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_FORKED);
	g_assert_cmpuint(record.tgid, ==, 10);
	g_assert_cmpuint(record.parent_tgid, ==, 9);
	built_task(&built, PERF_RECORD_FORK, 10, 10, 11); /* a thread */
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_OTHER);
	built_task(&built, PERF_RECORD_EXIT, 10, 9, 10);
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_EXITED);
	built_task(&built, PERF_RECORD_EXIT, 10, 10, 11);
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_OTHER);

	built_begin(&built, PERF_RECORD_COMM, PERF_RECORD_MISC_COMM_EXEC);
	built_add32(&built, 12);
	built_add32(&built, 12);
	built_add(&built, "name", 5);
	built_end(&built, 6);
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_EXECED);
	g_assert_cmpuint(record.tgid, ==, 12);

	built_begin(&built, PERF_RECORD_LOST, 0);
	built_add64(&built, 1);
	built_add64(&built, 1234);
	built_end(&built, 7);
	g_assert_true(built_parse(&built, &record));
	g_assert_cmpint(record.kind, ==, SIDEBAND_LOST);
	g_assert_cmpuint(record.lost, ==, 1234);
}

static void test_malformed(void)
{
	struct sideband_record record;
	struct built built;

	built_mmap2(&built, 0, 0, PROT_EXEC, "/bin/x");
	for (gsize cut = 0; cut < built.bytes; cut++) /* less available than the record says */
		g_assert_false(sideband_parse((const guint8 *)built.words, cut, &record));
	for (gsize size = 0; size < built.bytes; size++) { /* a size too small for its kind */
		built_set_size(&built, size);
		g_assert_false(built_parse(&built, &record) && record.kind == SIDEBAND_MAPPED &&
			       strcmp(record.mapping.path, "/bin/x") != 0);
	}
	built_set_size(&built, G_MAXUINT16);
	g_assert_false(built_parse(&built, &record));

	built_mmap2(&built, PERF_RECORD_MISC_MMAP_BUILD_ID, 21, PROT_EXEC, "/bin/x"); /* longer than its field */
	g_assert_false(built_parse(&built, &record));

	built_mmap2(&built, 0, 0, PROT_EXEC, "/bin/abcdefg"); /* a path without an end */
	memset((char *)built.words + 8 + 64, 'a', built.bytes - 8 - 64 - TRAILER_BYTES);
	g_assert_false(built_parse(&built, &record));

	built_mmap2(&built, 0, 0, PROT_EXEC, "/bin/x"); /* a mapping that wraps around */
	built.words[2] = G_MAXUINT64;
	g_assert_false(built_parse(&built, &record));
}

/* Any bytes whatever: never a read outside, never a mapping without a terminated path. */
static void test_noise(void)
{
	g_autoptr(GRand) rand = g_rand_new_with_seed(1);

	for (guint round = 0; round < 200000; round++) {
		gsize bytes = (gsize)g_rand_int_range(rand, 0, 24) * 8;
		g_autofree guint32 *noise = g_malloc(bytes + 1);
		struct sideband_record record;

		for (gsize i = 0; i < bytes / 4; i++)
			noise[i] = g_rand_int(rand);
		if (bytes >= 8) {
			struct perf_event_header *header = (void *)noise;

			header->type = g_rand_int_range(rand, 0, 12);
			header->size = g_rand_boolean(rand) ? bytes : header->size;
		}
		if (sideband_parse((const guint8 *)noise, bytes, &record) && record.kind == SIDEBAND_MAPPED)
			g_assert_cmpuint(strlen(record.mapping.path), <, bytes);
	}
}

static struct stack_key hash_of(const guint64 *words, gsize count)
{
	struct stack_key key = { { 1, 2 } };

	for (gsize i = 0; i < count; i++)
		stack_hash_word(&key, words[i]);
	return key;
}

/* Stacks that differ in one frame, one bit, or the order of frames must differ in each half of the fingerprint. */
static void test_hash(void)
{
	GHashTable *lanes[2];
	guint64 words[16];

	for (guint lane = 0; lane < 2; lane++)
		lanes[lane] = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
	for (guint path = 0; path < 1 << 16; path++) {
		struct stack_key key;

		for (guint i = 0; i < 16; i++)
			words[i] = 0x401000 + (path >> i & 1) * 16;
		key = hash_of(words, 16);
		for (guint lane = 0; lane < 2; lane++)
			g_assert_true(g_hash_table_add(lanes[lane], g_memdup2(&key.hash[lane], 8)));
	}
	for (guint lane = 0; lane < 2; lane++)
		g_hash_table_destroy(lanes[lane]);
}

static gboolean climb(void *user, const struct rung *rung, GError **error)
{
	if (g_str_equal(rung->name, user))
		return TRUE;
	g_set_error(error, PROBE_ERROR,
		    g_str_equal(rung->name, "forbidden") ? PROBE_ERROR_PERMISSION : PROBE_ERROR_UNSUPPORTED,
		    "%s is not to be had", rung->name);
	return FALSE;
}

static void test_ladder(void)
{
	static const struct rung rungs[] = { { .name = "first" }, { .name = "second" }, { .name = "third" }, { 0 } };
	static const struct rung forbidden[] = { { .name = "forbidden" }, { .name = "second" }, { 0 } };
	g_autoptr(GError) error = NULL;
	g_autofree char *why_not = NULL;

	g_assert_true(ladder_climb(rungs, NULL, climb, (void *)"second", &why_not, &error) == &rungs[1]);
	g_assert_no_error(error);
	g_assert_cmpstr(why_not, ==, "first: first is not to be had");
	g_assert_true(ladder_climb(rungs, "third", climb, (void *)"third", NULL, &error) == &rungs[2]);
	g_assert_null(ladder_climb(rungs, "first", climb, (void *)"third", NULL, &error));
	g_assert_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED);
	g_assert_cmpstr(error->message, ==, "first is not to be had");
	g_clear_error(&error);
	g_assert_null(ladder_climb(rungs, "fourth", climb, (void *)"third", NULL, &error));
	g_assert_error(error, PROBE_ERROR, PROBE_ERROR_UNSUPPORTED);
	g_clear_error(&error);
	g_assert_null(ladder_climb(forbidden, NULL, climb, (void *)"none", NULL, &error));
	g_assert_error(error, PROBE_ERROR, PROBE_ERROR_PERMISSION);
	g_assert_cmpstr(error->message, ==, "forbidden is not to be had");
}

/* ---- names of kernel functions ---- */

static void assert_kernel_name(const char *said, const char *name, const char *module, guint64 offset)
{
	g_autofree char *text = g_strdup(said);
	struct kernel_name got;

	g_assert_true(kernel_name_parse(text, &got));
	g_assert_cmpstr(got.name, ==, name);
	g_assert_cmpstr(got.module, ==, module);
	g_assert_cmpuint(got.offset, ==, offset);
	g_assert_cmpuint(got.bytes, >, offset);
}

static void test_kernel_name(void)
{
	char bare[] = "0xffffffff81000000";

	assert_kernel_name("vfs_read+0x1a/0x2b0", "vfs_read", "", 0x1a);
	assert_kernel_name("foo.isra.0+0x0/0x10 [ext4]", "foo.isra.0", "ext4", 0);
	assert_kernel_name("foo+0x4/0x10 [ext4 0123abcd]", "foo", "ext4", 4);
	assert_kernel_name("bpf_prog_6deef7357e7b4530_dump+0x8/0x94", "bpf_prog_6deef7357e7b4530_dump", "bpf", 8);
	assert_kernel_name("bpf_prog_6deef7357e7b4530+0x8/0x94", "bpf_prog_6deef7357e7b4530", "bpf", 8);
	assert_kernel_name("bpf_prog_load+0x8/0x94", "bpf_prog_load", "", 8);
	assert_kernel_name("bpf_trampoline_6442508809+0x43/0x94", "bpf_trampoline_6442508809", "bpf", 0x43);
	assert_kernel_name("bpf_trampoline_get+0x43/0x94", "bpf_trampoline_get", "", 0x43);
	g_assert_false(kernel_name_parse(bare, &(struct kernel_name){ 0 }));
}

/* ---- how much is copied ---- */

static gboolean need_learn(struct copyplan_need *need, enum stack_end end, gsize used_or_wanted_bytes,
			   gboolean frame_pointers_do)
{
	struct probe_copy copy = { .length = need->bytes };
	struct probe_unwound unwound = { .end = end,
					 .used_bytes = used_or_wanted_bytes,
					 .wanted_bytes = used_or_wanted_bytes,
					 .frame_pointers_do = frame_pointers_do };

	return copyplan_need_learn(need, &copy, &unwound);
}

static void test_copyplan_length(void)
{
	struct copyplan_need need;

	copyplan_need_init(&need, FALSE);
	g_assert_cmpuint(need.bytes, ==, 16384);
	g_assert_cmpuint(need.one_in, ==, 1);
	for (int i = 0; i < COPYPLAN_WINDOW - 1; i++)
		g_assert_false(need_learn(&need, STACK_END_FIRST, 900, FALSE));
	g_assert_true(need_learn(&need, STACK_END_FIRST, 900, FALSE));
	g_assert_cmpuint(need.bytes, ==, 2048);
	g_assert_true(need_learn(&need, STACK_END_SHORT, 2100, FALSE));
	g_assert_cmpuint(need.bytes, ==, 4096);
	g_assert_true(need_learn(&need, STACK_END_SHORT, 80000, FALSE));
	g_assert_cmpuint(need.bytes, ==, 131072);
	g_assert_false(need_learn(&need, STACK_END_SHORT, 134000, FALSE)); /* no longer than that */
	g_assert_cmpuint(need.tail, ==, 0);
	g_assert_true(need_learn(&need, STACK_END_SHORT, 1000000, FALSE)); /* but both ends of it */
	g_assert_cmpuint(need.tail, >, 0);
	g_assert_false(need_learn(&need, STACK_END_SHORT, 1000000, FALSE));
	g_assert_cmpuint(need.bytes, ==, 131072);
	for (int i = 0; i < COPYPLAN_WINDOW; i++) /* the window that held a short one does not shrink */
		g_assert_false(need_learn(&need, STACK_END_FIRST, 900, FALSE));
	for (int i = 0; i < COPYPLAN_WINDOW; i++)
		need_learn(&need, STACK_END_FIRST, 7000, FALSE);
	g_assert_cmpuint(need.bytes, ==, 16384); /* 7000 and a quarter more */
}

/* Stacks that are known are copied once: a window without them says nothing of what they need. */
static void test_copyplan_recognised(void)
{
	struct copyplan_need need;

	copyplan_need_init(&need, TRUE);
	g_assert_false(need_learn(&need, STACK_END_FIRST, 2100, FALSE));
	for (int i = 0; i < 4 * COPYPLAN_WINDOW; i++)
		need_learn(&need, STACK_END_FIRST, 900, FALSE);
	g_assert_cmpuint(need.bytes, ==, 4096);
	g_assert_true(need_learn(&need, STACK_END_SHORT, 5000, FALSE));
	for (int i = 0; i < 4 * COPYPLAN_WINDOW; i++)
		need_learn(&need, STACK_END_FIRST, 900, FALSE);
	g_assert_cmpuint(need.bytes, ==, 8192); /* what was too short once stays too short */
	g_assert_true(need_learn(&need, STACK_END_SHORT, 80000, FALSE));
	for (int i = 0; i < 4 * COPYPLAN_WINDOW; i++)
		need_learn(&need, STACK_END_FIRST, 900, FALSE);
	g_assert_cmpuint(need.bytes, ==, STACK_COPY_BYTES_FIRST); /* one deep stack does not make all copies long */
}

/* Both ends of a stack were copied before anything was known, and both were of use. */
static void test_copyplan_tail(void)
{
	struct copyplan_need need;
	struct probe_copy copy = { .length = 2048 };
	struct probe_unwound unwound = { .end = STACK_END_FIRST, .used_bytes = 1000, .used_tail = TRUE };

	copyplan_need_init(&need, FALSE);
	g_assert_true(copyplan_need_learn(&need, &copy, &unwound));
	g_assert_cmpuint(need.tail, >, 0);
	g_assert_false(copyplan_need_learn(&need, &copy, &unwound));
}

/* That it is Go's is told once, whatever else is learned. */
static void test_copyplan_go(void)
{
	struct copyplan_need need;
	struct probe_copy copy = { .length = 16384 };
	struct probe_unwound unwound = {
		.end = STACK_END_FIRST, .used_bytes = 1000, .frame_pointers_do = TRUE, .is_go = TRUE
	};

	copyplan_need_init(&need, FALSE);
	g_assert_false(need.is_go);
	g_assert_true(copyplan_need_learn(&need, &copy, &unwound));
	g_assert_true(need.is_go);
	g_assert_false(copyplan_need_learn(&need, &copy, &unwound));
	unwound.is_go = FALSE; /* C code in it, called by cgo */
	g_assert_false(copyplan_need_learn(&need, &copy, &unwound));
	g_assert_true(need.is_go);
}

/* The kernel half began with another length than we think. */
static void test_copyplan_named(void)
{
	struct copyplan_need need;
	struct probe_copy copy = { .length = 2048 };
	struct probe_unwound unwound = { .end = STACK_END_SHORT, .wanted_bytes = 2500 };

	copyplan_need_init(&need, FALSE);
	g_assert_true(copyplan_need_learn(&need, &copy, &unwound));
	g_assert_cmpuint(need.bytes, ==, 4096);
	g_assert_true(copyplan_need_learn(&need, &copy, &unwound)); /* told again, not made longer */
	g_assert_cmpuint(need.bytes, ==, 4096);
}

/* To another stack: nothing is copied for that, and what was used counts. */
static void test_copyplan_away(void)
{
	struct copyplan_need need;
	struct probe_copy copy = { .length = 16384 };
	struct probe_unwound unwound = {
		.end = STACK_END_SHORT, .used_bytes = 2100, .wanted_bytes = 60000, .frame_pointers_do = TRUE
	};

	copyplan_need_init(&need, FALSE);
	for (int i = 0; i < COPYPLAN_TRUST - 1; i++)
		g_assert_false(copyplan_need_learn(&need, &copy, &unwound));
	g_assert_cmpuint(need.bytes, ==, 16384);
	unwound.wanted_bytes = 1000000;
	copyplan_need_learn(&need, &copy, &unwound);
	g_assert_cmpuint(need.tail, ==, 0);
	unwound.frame_pointers_do = FALSE; /* a table said so: it is a large frame */
	g_assert_true(copyplan_need_learn(&need, &copy, &unwound));
	g_assert_cmpuint(need.tail, >, 0);
}

static void test_copyplan_all(void)
{
	struct copyplan_need need;
	struct probe_copy copy = { .length = 1000, .is_all = TRUE };
	struct probe_unwound unwound = { .end = STACK_END_SHORT, .wanted_bytes = 5000 };

	copyplan_need_init(&need, FALSE);
	g_assert_false(copyplan_need_learn(&need, &copy, &unwound)); /* a longer copy would not help */
	g_assert_cmpuint(need.bytes, ==, 16384);
}

static void test_copyplan_frames(void)
{
	struct copyplan_need need;

	copyplan_need_init(&need, FALSE);
	for (int i = 0; i < COPYPLAN_TRUST - 1; i++)
		need_learn(&need, STACK_END_FIRST, 900, TRUE);
	g_assert_cmpuint(need.one_in, ==, 1);
	g_assert_true(need_learn(&need, STACK_END_FIRST, 900, TRUE));
	g_assert_cmpuint(need.one_in, ==, COPYPLAN_AUDIT);
	need_learn(&need, STACK_END_SHORT, 5000, FALSE); /* says nothing about frame pointers */
	g_assert_cmpuint(need.one_in, ==, COPYPLAN_AUDIT);
	g_assert_true(need_learn(&need, STACK_END_FIRST, 900, FALSE)); /* the audit found one that differs */
	g_assert_cmpuint(need.one_in, ==, 1);
	for (int i = 0; i < COPYPLAN_TRUST * 4 - 1; i++)
		need_learn(&need, STACK_END_FIRST, 900, TRUE);
	g_assert_cmpuint(need.one_in, ==, 1);
	need_learn(&need, STACK_END_FIRST, 900, TRUE);
	g_assert_cmpuint(need.one_in, ==, COPYPLAN_AUDIT);
}

/* ---- the kernel's types ---- */

/* What an object would hold that reads these. */
static struct btf *object_types(void)
{
	struct btf *btf = btf__new_empty();
	int number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);

	btf__add_struct(btf, "task_struct___new", 16);
	btf__add_field(btf, "pid", number, 0, 0);
	btf__add_field(btf, "in_iowait", number, 32, 1);
	btf__add_field(btf, "se", number, 64, 0);
	btf__add_field(btf, "sum_exec_runtime", number, 64, 0);
	btf__add_field(btf, "comm", number, 64, 0);
	btf__add_struct(btf, "iov_iter", 8);
	btf__add_field(btf, "__iov", number, 0, 0); /* inside fields without a name */
	btf__add_enum(btf, "pid_type", 4);
	btf__add_enum_value(btf, "PIDTYPE_SID", 3);
	btf__add_typedef(btf, "atomic_t", number);
	btf__add_struct(btf, "no_such_struct_anywhere", 4);
	return btf;
}

static const struct btf_member *member_find(const struct btf *btf, const struct btf_type *type, const char *name)
{
	for (guint i = 0; type && i < btf_vlen(type); i++)
		if (strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), name) == 0)
			return &btf_members(type)[i];
	return NULL;
}

static const struct btf_type *type_of(const struct btf *btf, const char *name, guint32 kind)
{
	return btf__type_by_id(btf, (guint32)MAX(btf__find_by_name_kind(btf, name, kind), 0));
}

static void assert_same_member(const struct btf *whole, const struct btf *small, const char *name)
{
	const struct btf_type *theirs = type_of(whole, "task_struct", BTF_KIND_STRUCT);
	const struct btf_type *ours = type_of(small, "task_struct", BTF_KIND_STRUCT);
	const struct btf_member *there = member_find(whole, theirs, name), *here = member_find(small, ours, name);

	g_assert_nonnull(there);
	g_assert_nonnull(here);
	g_assert_cmpuint(btf_member_bit_offset(ours, (guint32)(here - btf_members(ours))), ==,
			 btf_member_bit_offset(theirs, (guint32)(there - btf_members(theirs))));
	g_assert_cmpuint(btf_member_bitfield_size(ours, (guint32)(here - btf_members(ours))), ==,
			 btf_member_bitfield_size(theirs, (guint32)(there - btf_members(theirs))));
	g_assert_cmpint(btf__resolve_size(small, here->type), ==, btf__resolve_size(whole, there->type));
}

/* The small description says of what it holds the same as libbpf's reading of the whole. */
static void test_kernel_btf(void)
{
	g_autoptr(kernel_btf_t) kernel = kernel_btf_new();
	struct btf *whole = btf__load_vmlinux_btf(), *object = object_types(), *small;
	const struct btf_type *type;

	if (!whole) {
		g_test_skip("the kernel has no BTF");
		btf__free(object);
		return;
	}
	small = kernel_btf_reduce(kernel, object);
	g_assert_nonnull(small);
	g_assert_cmpuint(btf__type_cnt(small), <, btf__type_cnt(whole) / 100);
	for (guint i = 0; i < 4; i++)
		assert_same_member(whole, small, ((const char *[]){ "pid", "in_iowait", "se", "comm" })[i]);
	type = type_of(small, "task_struct", BTF_KIND_STRUCT);
	g_assert_null(member_find(small, type, "tgid")); /* nobody asked for it */
	g_assert_cmpuint(type->size, ==, type_of(whole, "task_struct", BTF_KIND_STRUCT)->size);
	g_assert_nonnull(member_find(small, type_of(small, "sched_entity", BTF_KIND_STRUCT), "sum_exec_runtime"));
	type = type_of(small, "pid_type", BTF_KIND_ENUM);
	g_assert_cmpuint(btf_vlen(type), ==, 1);
	g_assert_cmpint(btf_enum(type)->val, ==, 3);
	g_assert_cmpint(btf__find_by_name_kind(small, "atomic_t", BTF_KIND_TYPEDEF), >, 0);
	g_assert_cmpint(btf__find_by_name(small, "no_such_struct_anywhere"), <, 0);
	btf__free(small);
	btf__free(object);
	btf__free(whole);
}

/* The kernel half's arithmetic gives the buckets the model means. */
static void test_histogram_cells(void)
{
	guint64 random = 88172645463325252u;

	for (guint i = 0; i < HISTOGRAM_CELLS; i++) {
		guint64 low = histogram_bucket_low(UNIT_NANOSECONDS, i), size = histogram_bucket_low(UNIT_BYTES, i);

		g_assert_cmpuint(histogram_cell_ns(low), ==, i);
		g_assert_cmpuint(histogram_cell_size(size), ==, i);
		if (i > 0) {
			g_assert_cmpuint(histogram_cell_ns(low - 1), ==, i - 1);
			g_assert_cmpuint(histogram_cell_size(size - 1), ==, i - 1);
			g_assert_cmpuint(histogram_ns_low[i], ==, low);
		}
	}
	for (guint i = 0; i < 100000; i++) {
		guint64 value;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		value = random >> (i % 64);
		g_assert_cmpuint(histogram_cell_ns(value), ==, histogram_bucket(UNIT_NANOSECONDS, value));
		g_assert_cmpuint(histogram_cell_size(value), ==, histogram_bucket(UNIT_BYTES, value));
	}
}

static void test_budget(void)
{
	g_assert_cmpuint(allowance_next(1, 0.04, 0.05), ==, 1);
	g_assert_cmpuint(allowance_next(1, 0.2, 0.05), ==, 4);
	g_assert_cmpuint(allowance_next(4, 0.051, 0.05), ==, 5); /* always more when it is too much */
	g_assert_cmpuint(allowance_next(4, 0.03, 0.05), ==, 4); /* twice as many events would be too many again */
	g_assert_cmpuint(allowance_next(4, 0.01, 0.05), ==, 2);
	g_assert_cmpuint(allowance_next(1, 0, 0.05), ==, 1);
	g_assert_cmpuint(allowance_next(ALLOWANCE_ONE_IN_MAX, 1, 0.05), ==, ALLOWANCE_ONE_IN_MAX);
}

static void test_pace(void)
{
	static const struct pace before = { .runs = { 64, 0, 7 }, .timed_ns = { 1000, 0, 9 } };
	static const struct pace now = { .runs = { 64 + 64000, 640, 7 }, .timed_ns = { 1000 + 50000000, 10000, 9 } };
	static const struct pace few = { .runs = { 64 + 63, 0, 7 }, .timed_ns = { 1000, 0, 9 } };
	struct pace_spent spent = pace_spent(&now, &before);

	g_assert_cmpuint(pace_unmeasured_ns(10000, 100, 30), ==, 7000); /* without what measuring adds */
	g_assert_cmpuint(pace_unmeasured_ns(10000, 100, 99), ==, 2500); /* but never next to nothing */
	g_assert_cmpuint(pace_unmeasured_ns(0, 0, 30), ==, 0);
	g_assert_cmpuint(spent.runs, ==, 64640);
	g_assert_cmpuint(spent.timed, ==, 1010);
	g_assert_cmpuint(spent.ns, <=,
			 50010000ULL * PACE_TIMED); /* but for reading the clock, whatever that takes here */
	g_assert_cmpuint(spent.ns, >=, 50010000ULL * PACE_TIMED / 4);
	spent = pace_spent(&few, &before);
	g_assert_cmpuint(spent.runs, ==, 63);
	g_assert_cmpuint(spent.timed, ==, 0); /* what they took is not known */
	g_assert_cmpuint(paces_sum(NULL).runs[0], ==, 0);
}

struct shares {
	guint64 ns[4], events[4]; /* by stack; the last: none */
};

/* unlooked_fn */
static void take_share(void *user, const struct probe_task *task, guint32 stack, guint32 waker,
		       const struct interval_sum *sum)
{
	struct shares *shares = user;
	guint at = stack == STACK_NONE ? 3 : stack;

	(void)task;
	g_assert_cmpuint(waker, ==, STACK_NONE);
	shares->ns[at] += sum->weight_ns;
	shares->events[at] += sum->events;
}

/* Who was looked at stands for the same owner's waits that lasted about as long, to the nanosecond. */
static void test_unlooked(void)
{
	const struct probe_task one = { .cgroup_key = 1, .tgid = 10 }, other = { .cgroup_key = 1, .tgid = 11 };
	const struct interval_sum brief = { 1000, 10, 0, 0 }, lasting = { 900000, 2, 0, 0 }, of_other = { 7, 1, 0, 0 };
	const struct interval_sum thrice = { 300, 3, 0, 0 }, once = { 100, 1, 0, 0 }, twice = { 200, 2, 0, 0 };
	struct unlooked *unlooked = unlooked_new();
	struct shares shares = { 0 };

	unlooked_add(unlooked, &one, 4, &brief);
	unlooked_add(unlooked, &one, 9, &lasting);
	unlooked_add(unlooked, &other, 4, &of_other);
	unlooked_add_example(unlooked, &one, 4, 0, STACK_NONE, &thrice);
	unlooked_add_example(unlooked, &one, 4, 1, STACK_NONE, &once);
	unlooked_add_example(unlooked, &one, 4, 2, STACK_NONE, &twice);
	unlooked_share_out(unlooked, take_share, &shares);
	unlooked_free(unlooked);
	g_assert_cmpuint(shares.ns[0], ==, 500);
	g_assert_cmpuint(shares.ns[1], ==, 166);
	g_assert_cmpuint(shares.ns[2], ==, 334);
	g_assert_cmpuint(shares.events[0] + shares.events[1] + shares.events[2], ==, 10);
	g_assert_cmpuint(shares.ns[3], ==, 900007); /* nobody is an example of the long ones, nor of the other's */
	g_assert_cmpuint(shares.events[3], ==, 3);
}

static void test_many_packets(void)
{
	/* A thousandth of two CPUs is 2 ms a second: 20,000 calls. */
	g_assert_false(askers_too_many(0, NS_PER_S, 2, ASKERS_SHARE));
	g_assert_false(askers_too_many(2 * NS_PER_MS / ASKERS_PASS_NS - 1, NS_PER_S, 2, ASKERS_SHARE));
	g_assert_true(askers_too_many(2 * NS_PER_MS / ASKERS_PASS_NS, NS_PER_S, 2, ASKERS_SHARE));
	g_assert_false(askers_too_many(2 * NS_PER_MS / ASKERS_PASS_NS, NS_PER_S, 64, ASKERS_SHARE));
	g_assert_true(askers_too_many(0, NS_PER_S, 64, 0));
}

static void test_parttime(void)
{
	static const struct {
		double share, off, limit, on_s;
		guint cycles;
	} rows[] = {
		{ 0.001, 0, 0.001, 0.05, 0 }, /* it may stay */
		{ 0.01, 0, 0, 0.05, 0 }, /* no limit */
		{ 0.00101, 0, 0.001, 0.9, 1 }, /* a little too much: room is left for who takes the counts */
		{ 0.004, 0, 0.001, 0.25, 1 },
		{ 0.004, 0.0002, 0.001, 0.2, 1 }, /* turning is paid for, too */
		{ 0.004, 0.001, 0.001, 0.25, 2 }, /* it would take all of it: seldomer */
		{ 0.04, 0, 0.001, 0.05, 2 }, /* not for less than that: seldomer */
		{ 0.5, 0, 0.001, 0.05, PARTTIME_CYCLES },
		{ 0.5, 1, 0.001, 0.05, PARTTIME_CYCLES },
	};

	for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
		struct parttime_plan plan = parttime_plan(rows[i].share, rows[i].off, rows[i].limit);

		g_assert_cmpfloat_with_epsilon((double)plan.on_ns / 1e9, rows[i].on_s, 1e-6);
		g_assert_cmpuint(plan.cycles, ==, rows[i].cycles);
	}
}

static void test_parttime_call(void)
{
	static const struct pace before = { .runs = { 64, 128 }, .timed_ns = { 1000, 2000 } };
	static const struct pace now = { .runs = { 64 + 640, 128 + 64 }, .timed_ns = { 1000 + 3000, 2000 + 70 } };
	struct pace few = before;

	few.runs[0] += PACE_TIMED - 1;
	g_assert_cmpfloat(parttime_call_ns(&now, &before, 2), ==, 370); /* 3,000 of ten, and 70 of one */
	g_assert_cmpfloat(parttime_call_ns(&now, &before, 1), ==, 300);
	g_assert_cmpfloat(parttime_call_ns(&few, &before, 2), ==, 0);
}

static void test_searches_name(void)
{
	static const guint8 good[] = "\2Ok\3a.b\4test", endless[] = { 1, 'a', 1, 'b' }, pointer[] = { 0xc0, 12, 0 };
	guint8 longest[600];
	char name[SEARCHES_NAME];

	g_assert_true(searches_name(good, sizeof(good), name));
	g_assert_cmpstr(name, ==, "ok.a\\.b.test");
	g_assert_true(searches_name((const guint8 *)"", 1, name));
	g_assert_cmpstr(name, ==, "");
	g_assert_false(searches_name(endless, sizeof(endless), name));
	g_assert_false(searches_name(pointer, sizeof(pointer), name));
	g_assert_false(searches_name(good, 4, name));
	g_assert_false(searches_name(good, 0, name));
	memset(longest, 1, sizeof(longest));
	g_assert_false(searches_name(longest, sizeof(longest), name));
}

/* answers_address_fn */
static void take_address(void *user, const char *address, const char *name)
{
	g_string_append_printf(user, "%s=%s ", name, address);
}

static char *answers_text(const guint8 *message, gsize bytes)
{
	GString *text = g_string_new(NULL);

	if (!answers_read(message, bytes, take_address, text))
		g_string_assign(text, "malformed");
	return g_string_free(text, FALSE);
}

/* A chain of two names, addresses of both kinds, one of them of IPv4 in disguise; then every way to cut it, and every byte changed. */
static void test_answers(void)
{
	static const guint8 message[] = "\x12\x34\x81\x80\0\1\0\4\0\0\0\0" /* one question, four records */
					"\3WWW\4shop\4test\0\0\1\0\1"
					"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\7\4edge\xc0\x10"
					"\xc0\x2b\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7"
					"\xc0\x2b\0\x1c\0\1\0\0\0\x3c\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"
					"\xc0\x2b\0\x1c\0\1\0\0\0\x3c\0\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\x8";
	const gsize bytes = sizeof(message) - 1, question_end = 12 + 15 + 4;
	g_autofree char *whole = answers_text(message, bytes);

	g_assert_cmpstr(whole, ==, "www.shop.test=192.0.2.7 www.shop.test=2001:db8::7 www.shop.test=192.0.2.8 ");
	for (gsize cut = 0; cut < bytes; cut++) {
		g_autofree guint8 *copy = g_memdup2(message, MAX(cut, 1)); /* so that a read behind it is noticed */
		g_autofree char *text = answers_text(copy, cut);

		g_assert_true(cut < question_end - 4 ? g_str_equal(text, "malformed") : g_str_has_prefix(whole, text));
	}
	for (gsize at = 0; at < bytes; at++) {
		for (guint value = 0; value < 256; value++) {
			g_autofree guint8 *copy = g_memdup2(message, bytes);
			g_autofree char *text = NULL;

			copy[at] = (guint8)value;
			text = answers_text(copy, bytes);
			g_assert_cmpuint(strlen(text), <, 4096);
		}
	}
}

#define DELTA_STACK_TOP 0x7ffd12345000ULL
#define DELTA_STACK_BYTES 20000u
#define DELTA_KERNEL_FRAMES 3

/* What the kernel half does (probe/bpf/delta.bpf.h), one thread and one CPU. */
struct delta_sender {
	__u64 pages[STACK_DELTA_PAGES][STACK_DELTA_PAGE_WORDS];
	__u64 nothing[STACK_DELTA_PAGE_WORDS];
	__u64 stack[DELTA_STACK_BYTES / 8 + STACK_DELTA_GROUP]; /* the top of it is at DELTA_STACK_TOP */
	__u64 record[(sizeof(struct stack_record) + sizeof(struct stack_registers) + 2 * DELTA_STACK_BYTES) / 8];
	gsize bytes;
};

/* The copy's last `length` bytes of stack; page `refused` is not guessed from. */
static __u64 *delta_send(struct delta_sender *sender, guint32 tid, guint32 length, guint refused)
{
	guint64 from = (DELTA_STACK_TOP - length) & ~63ULL;
	struct stack_record *record = (struct stack_record *)sender->record;
	guint32 bytes = (guint32)(DELTA_STACK_TOP - from), groups = stack_delta_groups(bytes);
	__u64 *now = sender->stack + (DELTA_STACK_BYTES - bytes) / 8;
	struct stack_registers registers = { .copied_from = from };
	struct stack_delta head = { .tid = tid };
	__u64 *behind = (__u64 *)record->frames + DELTA_KERNEL_FRAMES;
	__u64 *map = behind + (sizeof(registers) + sizeof(head)) / 8;
	__u64 *words = map + stack_delta_map_words(groups);
	guint8 masks[DELTA_STACK_BYTES / STACK_DELTA_GROUP_BYTES + 1];
	guint32 changed = 0, count;

	*record = (struct stack_record){ .flags = STACK_COPIED | STACK_DELTA, .copy_bytes = bytes };
	record->kernel_count = DELTA_KERNEL_FRAMES;
	memcpy(behind, &registers, sizeof(registers));
	memset(map, 0, stack_delta_map_words(groups) * sizeof(*map));
	for (guint32 i = 0; i < groups; i++) {
		guint64 address = from + i * STACK_DELTA_GROUP_BYTES;
		guint page = (guint)((address >> 12) - (from >> 12));
		__u64 *guess = page == refused ? sender->nothing : sender->pages[stack_delta_page_of(tid, address)];

		guess += address % 4096 / 8;
		count = stack_delta_group(now + i * STACK_DELTA_GROUP, guess, words + head.words, masks + changed);
		head.words += count;
		changed += count > 0;
		map[i / 64] |= (__u64)(count > 0) << i % 64;
		if (page != refused) {
			head.known |= 1ULL << page;
			memcpy(guess, now + i * STACK_DELTA_GROUP, STACK_DELTA_GROUP_BYTES);
		}
	}
	memcpy(behind + sizeof(registers) / 8, &head, sizeof(head));
	memcpy(words + head.words, masks, changed);
	sender->bytes = (gsize)((guint8 *)(words + head.words + (changed + 7) / 8) - (guint8 *)record);
	return now;
}

static void delta_expect(struct delta *delta, struct delta_sender *sender, const __u64 *now)
{
	const struct stack_record *sent = (const struct stack_record *)sender->record, *whole;
	static guint8 copy[STACK_COPY_BYTES_MAX];
	struct delta_same same;

	whole = delta_read(delta, sent, sender->bytes, &same);
	g_assert_nonnull(whole);
	g_assert_cmphex(whole->flags, ==, STACK_COPIED);
	delta_copy_out(delta, whole, copy);
	g_assert_cmpmem(copy, whole->copy_bytes, now, sent->copy_bytes);
}

/* Whatever came before, what comes out is what the stack holds; and little is sent when little has changed. */
static void test_delta(void)
{
	struct delta_sender *sender = g_new0(struct delta_sender, 1);
	struct delta *delta = delta_new();
	__u64 *now;

	for (guint round = 0; round < 2000; round++) {
		guint32 length =
			(guint32)g_test_rand_int_range(64, DELTA_STACK_BYTES / 64) * 64 % (DELTA_STACK_BYTES - 64) + 8;

		for (guint i = 0; i < 20; i++)
			sender->stack[g_test_rand_int_range(0, DELTA_STACK_BYTES / 8)] = g_test_rand_int() % 3;
		now = delta_send(sender, 7 + round % 3, length, round % 5);
		delta_expect(delta, sender, now);
	}
	now = delta_send(sender, 7, 16000, G_MAXUINT);
	delta_expect(delta, sender, now);
	now[1] = 0x1234567890abcdefULL;
	now = delta_send(sender, 7, 16000, G_MAXUINT);
	g_assert_cmpuint(sender->bytes, <, 400);
	delta_expect(delta, sender, now);
	memset(now + 100, 0x5a, 4096); /* a buffer filled with the same word */
	now = delta_send(sender, 7, 16000, G_MAXUINT);
	g_assert_cmpuint(sender->bytes, <, 1200);
	delta_expect(delta, sender, now);
	delta_free(delta);
	g_free(sender);
}

static void test_delta_damaged(void)
{
	struct delta_sender *sender = g_new0(struct delta_sender, 1);
	const struct stack_record *record = (const struct stack_record *)sender->record;
	struct delta *delta = delta_new();
	struct delta_same same;

	for (guint i = 0; i < DELTA_STACK_BYTES / 8; i++)
		sender->stack[i] = i;
	delta_send(sender, 7, 4000, G_MAXUINT);
	for (gsize cut = 8; cut < 4000; cut += 97) /* (the last mask is followed by up to 7 bytes of nothing) */
		g_assert_null(delta_read(delta, record, sender->bytes - cut, &same));
	sender->record[sender->bytes / 8 - 8] ^= 1; /* of the masks, behind the words: one word too many came */
	g_assert_null(delta_read(delta, record, sender->bytes, &same));
	delta_free(delta);
	g_free(sender);
}

static struct stack_key key_made(guint64 i)
{
	return (struct stack_key){ { i % 64 == 0 ? 7 : i * 0x9e3779b97f4a7c15ULL, i } }; /* many of one slot, too */
}

static void test_keynumbers(void)
{
	struct keynumbers *numbers = keynumbers_new();

	for (guint turn = 0; turn < 2; turn++)
		for (guint64 i = 0; i < 20000; i++) {
			struct stack_key key = key_made(i);

			g_assert_cmpuint(keynumbers_add(numbers, &key), ==, i);
			g_assert_cmpuint(keynumbers_count(numbers), ==, turn ? 20000 : i + 1);
		}
	keynumbers_free(numbers);
}

#define RING_BYTES (4 * RINGREAD_WINDOW_BYTES)

/* A file that is laid out like a ring of the kernel's, whose data there are twice. */
struct made_ring {
	int fd;
	guint64 *consumer, *producer;
	guint8 *data;
	gsize page;
	struct ringread *reader;
	GString *taken; /* of all records, in order */
	guint left; /* records until no more are wanted */
};

static void ring_put_byte(struct made_ring *ring, guint64 at, guint8 byte)
{
	ring->data[at % RING_BYTES] = ring->data[at % RING_BYTES + RING_BYTES] = byte;
}

static void ring_put(struct made_ring *ring, const char *text, guint32 flags)
{
	guint32 length = (guint32)strlen(text), head[2] = { length | flags, 0 };

	for (guint32 i = 0; i < sizeof(head); i++)
		ring_put_byte(ring, *ring->producer + i, ((const guint8 *)head)[i]);
	for (guint32 i = 0; i < length; i++)
		ring_put_byte(ring, *ring->producer + sizeof(head) + i, (guint8)text[i]);
	*ring->producer += (sizeof(head) + length + 7) / 8 * 8;
}

/* ringread_fn */
static int ring_take(void *user, void *data, size_t bytes)
{
	struct made_ring *ring = user;

	g_string_append_len(ring->taken, data, (gssize)bytes);
	return --ring->left ? 0 : -11;
}

static struct made_ring *ring_make(void)
{
	struct made_ring *ring = g_new0(struct made_ring, 1);
	gsize page = (gsize)sysconf(_SC_PAGESIZE), bytes = 2 * page + 2 * RING_BYTES;
	guint8 *all;

	ring->page = page;
	ring->fd = memfd_create("ring", MFD_CLOEXEC);
	g_assert_cmpint(ftruncate(ring->fd, (off_t)bytes), ==, 0);
	all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	g_assert_true(all != MAP_FAILED);
	ring->consumer = (void *)all;
	ring->producer = (void *)(all + page);
	ring->data = all + 2 * page;
	ring->taken = g_string_new(NULL);
	ring->left = G_MAXUINT;
	ring->reader = ringread_over(ring->fd, RING_BYTES, ring_take, ring);
	g_assert_nonnull(ring->reader);
	return ring;
}

static void ring_free(struct made_ring *ring)
{
	ringread_close(ring->reader);
	munmap(ring->consumer, 2 * ring->page + 2 * RING_BYTES);
	close(ring->fd);
	g_string_free(ring->taken, TRUE);
	g_free(ring);
}

/* Records of all lengths, longer than the window among them, each of which lies at both ends of the ring some time. */
static void test_ringread_turns(void)
{
	static const guint lengths[] = { 1, 97, 4096, 4099, 30011, RINGREAD_WINDOW_BYTES, 100003, RING_BYTES / 2 - 8 };
	struct made_ring *ring = ring_make();
	g_autoptr(GString) sent = g_string_new(NULL);

	for (guint i = 0; i < 600; i++) {
		g_autofree char *text = g_strnfill(i % lengths[i % G_N_ELEMENTS(lengths)], (char)('a' + i % 26)),
				*filling = g_strnfill(lengths[i % G_N_ELEMENTS(lengths)], (char)('A' + i % 26));
		const char *record = i % 3 ? text : filling;

		g_string_append(sent, record);
		ring_put(ring, record, 0);
		if (i % 2 || *ring->producer - *ring->consumer > RING_BYTES / 2 - 8)
			g_assert_cmpint(ringread_consume(ring->reader), >, 0);
	}
	ringread_consume(ring->reader);
	g_assert_cmpstr(ring->taken->str, ==, sent->str);
	g_assert_cmpuint(*ring->consumer, ==, *ring->producer);
	g_assert_cmpuint(*ring->producer, >, 10 * RING_BYTES);
	ring_free(ring);
}

/* Bytes of such a file (memfd_create) that are mapped. */
static gsize mapped_bytes(const char *name)
{
	g_autofree char *wanted = g_strdup_printf("/memfd:%s ", name);
	g_autofree char *maps = NULL;
	gsize bytes = 0;

	g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
	for (char *line = strtok(maps, "\n"); line; line = strtok(NULL, "\n")) {
		char *dash = strchr(line, '-');

		if (strstr(line, wanted))
			bytes += g_ascii_strtoull(dash + 1, NULL, 16) - g_ascii_strtoull(line, NULL, 16);
	}
	return bytes;
}

/* Of a ring a window is mapped, wherever what is read lies; of one that nobody wrote to none. */
static void test_ringread_window(void)
{
	struct made_ring *ring = ring_make();
	gsize ours = 2 * ring->page + 2 * RING_BYTES, ends = 2 * ring->page;
	g_autofree char *text = g_strnfill(1000, 'x');

	g_assert_cmpuint(mapped_bytes("ring"), ==, ours + ends);
	for (guint i = 0; i < 3 * RING_BYTES / 1000; i++) {
		ring_put(ring, text, 0);
		g_assert_cmpint(ringread_consume(ring->reader), ==, 1);
		g_assert_cmpuint(mapped_bytes("ring"), ==, ours + ends + RINGREAD_WINDOW_BYTES);
	}
	ring_free(ring);
}

/* What was given up is passed over, what is being written waited for, and who wants no more is asked no more. */
static void test_ringread_order(void)
{
	struct made_ring *ring = ring_make();
	guint64 busy;

	ring->left = 2;
	ring_put(ring, "one", 0);
	ring_put(ring, "given up", BPF_RINGBUF_DISCARD_BIT);
	ring_put(ring, "two", 0);
	ring_put(ring, "three", 0);
	busy = *ring->producer;
	ring_put(ring, "busy", BPF_RINGBUF_BUSY_BIT);
	g_assert_cmpint(ringread_consume(ring->reader), ==, -11);
	g_assert_cmpstr(ring->taken->str, ==, "onetwo");
	ring->left = G_MAXUINT;
	g_assert_cmpint(ringread_consume(ring->reader), ==, 1);
	g_assert_cmpint(ringread_consume(ring->reader), ==, 0);
	g_assert_cmpstr(ring->taken->str, ==, "onetwothree");
	*ring->producer = busy;
	ring_put(ring, "done", 0);
	g_assert_cmpint(ringread_consume(ring->reader), ==, 1);
	g_assert_cmpstr(ring->taken->str, ==, "onetwothreedone");
	ring_put(ring, "x", 0);
	memset(ring->data + *ring->consumer % RING_BYTES, 0x3f, 4); /* longer than the ring */
	g_assert_cmpint(ringread_consume(ring->reader), <, 0);
	ring_free(ring);
}

/* A window that cannot be mapped is told, and what is in the ring stays there. */
static void test_ringread_refused(void)
{
	struct made_ring *ring = ring_make();
	int closed = dup(ring->fd);
	struct ringread *reader = ringread_over(closed, RING_BYTES, ring_take, ring);

	g_assert_nonnull(reader);
	close(closed);
	ring_put(ring, "kept", 0);
	g_assert_cmpint(ringread_consume(reader), ==, -EBADF);
	g_assert_cmpstr(ring->taken->str, ==, "");
	g_assert_cmpint(ringread_consume(ring->reader), ==, 1);
	g_assert_cmpstr(ring->taken->str, ==, "kept");
	ringread_close(reader);
	ring_free(ring);
}

#define VIEW_BYTES ((5u << 20) + 100)

/* What was come to is mapped, whole, at the same address ever after; the rest is not. */
static void test_mapview(void)
{
	static const gsize places[] = { 0, 3 << 20, 100000, VIEW_BYTES - 8, (3 << 20) + 8 };
	gsize page = (gsize)sysconf(_SC_PAGESIZE), file_bytes = (VIEW_BYTES + page - 1) / page * page;
	int fd = memfd_create("view", MFD_CLOEXEC);
	struct mapview *view;
	guint8 *base;

	g_assert_cmpint(ftruncate(fd, (off_t)file_bytes), ==, 0);
	view = mapview_new(fd, VIEW_BYTES, PROT_READ | PROT_WRITE);
	base = mapview_base(view);
	g_assert_cmpuint(mapped_bytes("view"), ==, 0);
	for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
		guint64 number = 1000 + i, found = 0;

		g_assert_true(mapview_reach(view, places[i], sizeof(number)));
		memcpy(base + places[i], &number, sizeof(number));
		g_assert_cmpint(pread(fd, &found, sizeof(found), (off_t)places[i]), ==, sizeof(found));
		g_assert_cmpuint(found, ==, number);
	}
	g_assert_cmpuint(mapped_bytes("view"), <=, 4 * (16 << 10));
	g_assert_true(mapview_reach(view, 0, VIEW_BYTES));
	g_assert_cmpuint(mapped_bytes("view"), ==, file_bytes);
	g_assert_cmpuint(*(const guint64 *)(const void *)(base + (3 << 20)), ==, 1001);
	g_assert_false(mapview_reach(view, file_bytes, 1));
	g_assert_false(mapview_reach(view, G_MAXSIZE, 2));
	mapview_free(view);
	g_assert_cmpuint(mapped_bytes("view"), ==, 0);
	close(fd);
}

/* Large tables have no more mappings than that, and a file that is gone is an error. */
static void test_mapview_bounds(void)
{
	const gsize bytes = (gsize)MAPVIEW_PIECES_MAX * (64 << 10);
	int fd = memfd_create("view", MFD_CLOEXEC);
	struct mapview *view = mapview_new(fd, bytes, PROT_READ);

	g_assert_cmpint(ftruncate(fd, (off_t)bytes), ==, 0);
	g_assert_true(mapview_reach(view, bytes / 2, 1));
	g_assert_cmpuint(mapped_bytes("view"), <=, 2 * bytes / MAPVIEW_PIECES_MAX);
	close(fd);
	g_assert_false(mapview_reach(view, 0, 1));
	g_assert_cmpint(errno, ==, EBADF);
	mapview_free(view);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/probe/sideband/mapped", test_mapped);
	g_test_add_func("/probe/sideband/tasks", test_tasks);
	g_test_add_func("/probe/sideband/malformed", test_malformed);
	g_test_add_func("/probe/sideband/noise", test_noise);
	g_test_add_func("/probe/stack/hash", test_hash);
	g_test_add_func("/probe/ladder", test_ladder);
	g_test_add_func("/probe/kernel_btf", test_kernel_btf);
	g_test_add_func("/probe/kernel_name", test_kernel_name);
	g_test_add_func("/probe/copyplan/length", test_copyplan_length);
	g_test_add_func("/probe/copyplan/recognised", test_copyplan_recognised);
	g_test_add_func("/probe/copyplan/tail", test_copyplan_tail);
	g_test_add_func("/probe/copyplan/named", test_copyplan_named);
	g_test_add_func("/probe/copyplan/go", test_copyplan_go);
	g_test_add_func("/probe/copyplan/away", test_copyplan_away);
	g_test_add_func("/probe/copyplan/all", test_copyplan_all);
	g_test_add_func("/probe/copyplan/frames", test_copyplan_frames);
	g_test_add_func("/probe/delta/whole", test_delta);
	g_test_add_func("/probe/delta/damaged", test_delta_damaged);
	g_test_add_func("/probe/keynumbers", test_keynumbers);
	g_test_add_func("/probe/mapview/pieces", test_mapview);
	g_test_add_func("/probe/mapview/bounds", test_mapview_bounds);
	g_test_add_func("/probe/ringread/turns", test_ringread_turns);
	g_test_add_func("/probe/ringread/window", test_ringread_window);
	g_test_add_func("/probe/ringread/order", test_ringread_order);
	g_test_add_func("/probe/ringread/refused", test_ringread_refused);
	g_test_add_func("/probe/searches/name", test_searches_name);
	g_test_add_func("/probe/answers", test_answers);
	g_test_add_func("/probe/budget", test_budget);
	g_test_add_func("/probe/pace", test_pace);
	g_test_add_func("/probe/unlooked", test_unlooked);
	g_test_add_func("/probe/parttime", test_parttime);
	g_test_add_func("/probe/parttime-call", test_parttime_call);
	g_test_add_func("/probe/many_packets", test_many_packets);
	g_test_add_func("/probe/histogram-cells", test_histogram_cells);
	return g_test_run();
}
