/* SPDX-License-Identifier: Apache-2.0 */
/* pprof's profile.proto, gzipped: a wire-format writer of the few messages it needs. Each frame is one function and
 * one location, each module a mapping; the mappings claim to have names, so that pprof does not look for binaries.
 * Samples of a known rate carry two values, their number and the CPU time they stand for. */
#include <string.h>
#include <zlib.h>

#include "base/text.h"
#include "render/formats.h"
#include "render/heading.h"

#define PPROF_CHUNK_BYTES (64u << 10)
#define PPROF_KERNEL "[kernel.kallsyms]" /* the mapping name pprof itself takes for the kernel */

/* Field numbers of profile.proto. */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_DURATION_NANOS = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_TYPE = 14,
};

struct pprof {
	FILE *out;
	z_stream gzip;
	GByteArray *message; /* what is not yet compressed */
	GByteArray *part, *inner; /* scratch */
	GHashTable *indices; /* string → index + 1 in `strings` */
	GPtrArray *strings; /* raw, owned by `indices` */
	GHashTable *modules; /* name → mapping id */
	const struct calltree *tree;
};

static void put_varint(GByteArray *to, guint64 value)
{
	guint8 bytes[10];
	guint n = 0;

	do {
		bytes[n] = (guint8)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
		n++;
	} while (value);
	g_byte_array_append(to, bytes, n);
}

static void put_uint(GByteArray *to, guint field, guint64 value)
{
	put_varint(to, field << 3);
	put_varint(to, value);
}

static void put_bytes(GByteArray *to, guint field, const void *bytes, gsize length)
{
	put_varint(to, field << 3 | 2);
	put_varint(to, length);
	g_byte_array_append(to, bytes, (guint)length);
}

static void pprof_compress(struct pprof *pprof, int flush)
{
	guint8 chunk[16384];

	pprof->gzip.next_in = pprof->message->data;
	pprof->gzip.avail_in = pprof->message->len;
	do {
		pprof->gzip.next_out = chunk;
		pprof->gzip.avail_out = sizeof(chunk);
		deflate(&pprof->gzip, flush);
		fwrite(chunk, 1, sizeof(chunk) - pprof->gzip.avail_out, pprof->out);
	} while (pprof->gzip.avail_out == 0);
	g_byte_array_set_size(pprof->message, 0);
}

/* Ends the message in `part` as `field` of the profile. */
static void pprof_part(struct pprof *pprof, guint field)
{
	put_bytes(pprof->message, field, pprof->part->data, pprof->part->len);
	g_byte_array_set_size(pprof->part, 0);
	if (pprof->message->len > PPROF_CHUNK_BYTES)
		pprof_compress(pprof, Z_NO_FLUSH);
}

/* The format wants UTF-8: other bytes become U+FFFD. */
static guint64 pprof_string(struct pprof *pprof, const char *text)
{
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	gpointer known = g_hash_table_lookup(pprof->indices, valid);
	char *key;

	if (known)
		return GPOINTER_TO_SIZE(known) - 1;
	key = g_steal_pointer(&valid);
	g_ptr_array_add(pprof->strings, key);
	g_hash_table_insert(pprof->indices, key, GSIZE_TO_POINTER((gsize)pprof->strings->len));
	return pprof->strings->len - 1;
}

static void pprof_value_type(struct pprof *pprof, guint field, const char *type, const char *unit)
{
	put_uint(pprof->part, 1, pprof_string(pprof, type));
	put_uint(pprof->part, 2, pprof_string(pprof, unit));
	pprof_part(pprof, field);
}

static const char *pprof_module(const struct calltree_frame *frame)
{
	/* A kernel module's own name is kept; it, too, is in square brackets. */
	if (frame->kind == FRAME_KERNEL && !(frame->module && frame->module[0] == '['))
		return PPROF_KERNEL;
	return frame->module;
}

static guint64 pprof_mapping(struct pprof *pprof, const char *module)
{
	guint64 id;

	if (!module)
		return 0;
	id = GPOINTER_TO_SIZE(g_hash_table_lookup(pprof->modules, module));
	if (id)
		return id;
	id = g_hash_table_size(pprof->modules) + 1;
	g_hash_table_insert(pprof->modules, g_strdup(module), GSIZE_TO_POINTER(id));
	put_uint(pprof->part, 1, id);
	put_uint(pprof->part, 5, pprof_string(pprof, module));
	for (guint field = 7; field <= 10; field++) /* has functions, file names, line numbers, inlined frames */
		put_uint(pprof->part, field, 1);
	pprof_part(pprof, PROFILE_MAPPING);
	return id;
}

static void pprof_frames(struct pprof *pprof)
{
	for (guint32 i = 0; i < pprof->tree->frame_count; i++) {
		const struct calltree_frame *frame = &pprof->tree->frames[i];
		guint64 name = pprof_string(pprof, frame->name), mapping = pprof_mapping(pprof, pprof_module(frame));

		put_uint(pprof->part, 1, i + 1);
		put_uint(pprof->part, 2, name);
		put_uint(pprof->part, 3, name);
		pprof_part(pprof, PROFILE_FUNCTION);
		put_uint(pprof->part, 1, i + 1);
		if (mapping)
			put_uint(pprof->part, 2, mapping);
		put_uint(pprof->inner, 1, i + 1);
		put_bytes(pprof->part, 4, pprof->inner->data, pprof->inner->len);
		g_byte_array_set_size(pprof->inner, 0);
		pprof_part(pprof, PROFILE_LOCATION);
	}
}

/* Leaf first. `period_ns` 0: one value a sample. */
static void pprof_sample(struct pprof *pprof, guint32 node, guint64 period_ns)
{
	guint64 weight = pprof->tree->self[node];

	for (guint32 at = node; at != CALLTREE_ROOT; at = pprof->tree->parent[at])
		put_varint(pprof->inner, pprof->tree->frame[at] + 1);
	put_bytes(pprof->part, 1, pprof->inner->data, pprof->inner->len);
	g_byte_array_set_size(pprof->inner, 0);
	put_varint(pprof->inner, weight);
	if (period_ns)
		put_varint(pprof->inner, weight * period_ns);
	put_bytes(pprof->part, 2, pprof->inner->data, pprof->inner->len);
	g_byte_array_set_size(pprof->inner, 0);
	pprof_part(pprof, PROFILE_SAMPLE);
}

static void pprof_types(struct pprof *pprof, const struct shape *shape, guint64 period_ns)
{
	const char *probe = shape->probe ? shape->probe : "stacks";

	switch (shape->unit) {
	case UNIT_NANOSECONDS:
		pprof_value_type(pprof, PROFILE_SAMPLE_TYPE, probe, "nanoseconds");
		break;
	case UNIT_BYTES:
		pprof_value_type(pprof, PROFILE_SAMPLE_TYPE, probe, "bytes");
		break;
	case UNIT_COUNT:
	default:
		pprof_value_type(pprof, PROFILE_SAMPLE_TYPE, "samples", "count");
		if (period_ns) {
			pprof_value_type(pprof, PROFILE_SAMPLE_TYPE, "cpu", "nanoseconds");
			pprof_value_type(pprof, PROFILE_PERIOD_TYPE, "cpu", "nanoseconds");
			put_uint(pprof->message, PROFILE_PERIOD, period_ns);
		}
	}
}

/* The heading and the ledger travel as comments (`go tool pprof -comments`). */
static void pprof_comments(struct pprof *pprof, const struct snapshot *snapshot, const struct render_options *options,
			   const struct shape *shape)
{
	g_autoptr(GPtrArray) phrases = heading_ledger(shape);
	g_autofree char *warning = heading_warning(shape);
	const GPtrArray *notes = shape->ledger.notes;

	put_uint(pprof->message, PROFILE_COMMENT, pprof_string(pprof, render_title(snapshot, options)));
	for (guint i = 0; i < phrases->len; i++)
		put_uint(pprof->message, PROFILE_COMMENT, pprof_string(pprof, g_ptr_array_index(phrases, i)));
	for (guint i = 0; notes && i < notes->len; i++)
		put_uint(pprof->message, PROFILE_COMMENT, pprof_string(pprof, g_ptr_array_index(notes, i)));
	if (warning)
		put_uint(pprof->message, PROFILE_COMMENT, pprof_string(pprof, warning));
}

static void pprof_write(struct pprof *pprof, const struct snapshot *snapshot, const struct render_options *options,
			const struct shape *shape)
{
	guint64 period_ns = shape->unit == UNIT_COUNT && snapshot->frequency_hz ? NS_PER_S / snapshot->frequency_hz : 0;

	pprof_string(pprof, ""); /* index 0 by definition */
	pprof_types(pprof, shape, period_ns);
	pprof_frames(pprof);
	for (guint32 node = 0; node < pprof->tree->node_count; node++)
		if (pprof->tree->self[node])
			pprof_sample(pprof, node, period_ns);
	if (snapshot->start_realtime_ns)
		put_uint(pprof->message, PROFILE_TIME_NANOS, snapshot->start_realtime_ns);
	if (snapshot->duration_ns)
		put_uint(pprof->message, PROFILE_DURATION_NANOS,
			 snapshot->looked_ns ? snapshot->looked_ns : snapshot->duration_ns); /* what shares are of */
	pprof_comments(pprof, snapshot, options, shape);
	for (guint i = 0; i < pprof->strings->len; i++) {
		const char *text = g_ptr_array_index(pprof->strings, i);

		g_byte_array_append(pprof->part, (const guint8 *)text, (guint)strlen(text));
		pprof_part(pprof, PROFILE_STRING);
	}
	pprof_compress(pprof, Z_FINISH);
}

gboolean render_pprof(const struct snapshot *snapshot, const struct render_options *options, FILE *out, GError **error)
{
	struct shape *shape = render_calltree(snapshot, error);
	struct pprof pprof = { .out = out };

	if (!shape)
		return FALSE;
	if (deflateInit2(&pprof.gzip, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		g_set_error(error, RENDER_ERROR, RENDER_ERROR_OUTPUT, "cannot compress: no memory");
		return FALSE;
	}
	pprof.tree = shape->calltree;
	pprof.message = g_byte_array_new();
	pprof.part = g_byte_array_new();
	pprof.inner = g_byte_array_new();
	pprof.indices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	pprof.strings = g_ptr_array_new();
	pprof.modules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	pprof_write(&pprof, snapshot, options, shape);
	deflateEnd(&pprof.gzip);
	g_byte_array_unref(pprof.message);
	g_byte_array_unref(pprof.part);
	g_byte_array_unref(pprof.inner);
	g_ptr_array_unref(pprof.strings);
	g_hash_table_unref(pprof.indices);
	g_hash_table_unref(pprof.modules);
	return TRUE;
}
