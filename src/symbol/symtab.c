/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/symtab.h"

#include <string.h>

#define NONE G_MAXUINT32
#define RADIX_BITS 11
#define RADIX_SIZE (1u << RADIX_BITS)
#define ENCLOSING_HOPS_MAX 32 /* how deep functions may nest for a lookup */

#define RANK_BOUNDARY 255

struct entry {
	guint64 start;
	guint32 size; /* of a sizeless one: distance to its limit */
	guint32 name; /* offset into the pool */
	guint32 rank;
};

struct symtab_builder {
	struct entry *entries;
	guint count, room;
	char *pool;
	gsize pool_size, pool_room;
	gboolean is_adopted; /* the pool: no tags */
	guint dropped;
	struct symtab_more more;
};

struct symtab {
	guint refs;
	guint count;
	guint64 *starts;
	guint32 *sizes, *names;
	guint32 *enclosing; /* NULL when no function lies inside another */
	char *pool;
	gsize pool_size;
	gboolean is_adopted;
	const char **slots; /* made at first use */
	struct symtab_more more; /* its symbols are numbered behind the table's own */
	struct symtab *rest; /* … and these behind them; NULL: none */
};

struct symtab_builder *symtab_builder_new(void)
{
	return g_new0(struct symtab_builder, 1);
}

void symtab_builder_free(struct symtab_builder *builder)
{
	if (!builder)
		return;
	if (builder->more.free)
		builder->more.free(builder->more.data);
	g_free(builder->entries);
	g_free(builder->pool);
	g_free(builder);
}

void symtab_builder_expect(struct symtab_builder *builder, guint64 symbols, guint64 name_bytes)
{
	guint room = (guint)MIN(builder->count + symbols, (guint64)SYMTAB_SYMBOLS_MAX);
	gsize pool_room = (gsize)MIN(builder->pool_size + name_bytes, (guint64)SYMTAB_POOL_MAX);

	if (room > builder->room) {
		builder->room = room;
		builder->entries = g_renew(struct entry, builder->entries, room);
	}
	if (pool_room > builder->pool_room) {
		builder->pool_room = pool_room;
		builder->pool = g_realloc(builder->pool, pool_room);
	}
}

static struct entry *entry_new(struct symtab_builder *builder)
{
	if (builder->count >= SYMTAB_SYMBOLS_MAX)
		return NULL;
	if (builder->count == builder->room) {
		builder->room = MAX(builder->room * 2, 1024u);
		builder->entries = g_renew(struct entry, builder->entries, builder->room);
	}
	return &builder->entries[builder->count++];
}

static guint32 pool_add(struct symtab_builder *builder, const char *name, gsize length, const char *tag,
			gsize tag_length)
{
	gsize at = builder->pool_size, need = at + length + tag_length + 2;

	if (need > builder->pool_room) {
		builder->pool_room = MAX(need, builder->pool_room * 2);
		builder->pool = g_realloc(builder->pool, builder->pool_room);
	}
	memcpy(builder->pool + at, name, length);
	builder->pool[at + length] = '\0';
	memcpy(builder->pool + at + length + 1, tag, tag_length + 1);
	builder->pool_size = need;
	return (guint32)at;
}

static void entry_set(struct entry *entry, guint64 start, guint64 size, guint64 limit, enum symtab_rank rank)
{
	entry->start = start;
	entry->rank = rank;
	if (size == 0) {
		entry->rank |= SYMTAB_RANK_SIZELESS;
		size = limit > start ? limit - start : 1;
	}
	entry->size = (guint32)MIN(MIN(size, G_MAXUINT64 - start), (guint64)G_MAXUINT32);
}

gboolean symtab_builder_add(struct symtab_builder *builder, guint64 start, guint64 size, guint64 limit,
			    const char *name, gsize length, const char *tag, enum symtab_rank rank)
{
	gsize tag_length = tag && !builder->is_adopted ? strlen(tag) : 0;
	struct entry *entry = NULL;

	length = MIN(length, (gsize)SYMTAB_NAME_MAX);
	if (builder->pool_size + length + tag_length + 2 <= SYMTAB_POOL_MAX)
		entry = entry_new(builder);
	if (!entry) {
		builder->dropped++;
		return FALSE;
	}
	entry_set(entry, start, size, limit, rank);
	entry->name = pool_add(builder, name, length, tag_length ? tag : "", tag_length);
	return TRUE;
}

/* "memcpy@@GLIBC_2.14" becomes "memcpy"; no string stays longer than SYMTAB_NAME_MAX. */
static void names_cut(char *names, gsize size)
{
	char *end = names + size;

	for (char *at = names; (at = memchr(at, '@', (gsize)(end - at))); at++)
		if (at > names && at[-1] != '\0')
			*at = '\0';
	for (char *at = names; end - at > SYMTAB_NAME_MAX;) { /* `at` begins a string */
		char *last = memrchr(at, '\0', SYMTAB_NAME_MAX + 1);

		if (!last)
			at[SYMTAB_NAME_MAX] = '\0';
		at = last ? last + 1 : at + SYMTAB_NAME_MAX + 1;
	}
}

gboolean symtab_builder_adopt(struct symtab_builder *builder, char *names, gsize size)
{
	if (builder->pool || builder->count || size >= SYMTAB_POOL_MAX)
		return FALSE;
	names_cut(names, size);
	builder->pool = names;
	builder->pool_size = builder->pool_room = size + 1;
	builder->is_adopted = TRUE;
	return TRUE;
}

gboolean symtab_builder_add_at(struct symtab_builder *builder, guint64 start, guint64 size, guint64 limit, guint32 name,
			       enum symtab_rank rank)
{
	struct entry *entry = entry_new(builder);

	if (!entry) {
		builder->dropped++;
		return FALSE;
	}
	entry_set(entry, start, size, limit, rank);
	entry->name = name;
	return TRUE;
}

void symtab_builder_add_boundary(struct symtab_builder *builder, guint64 start)
{
	struct entry *entry = entry_new(builder);

	if (entry)
		*entry = (struct entry){ .start = start, .rank = RANK_BOUNDARY };
}

void symtab_builder_set_more(struct symtab_builder *builder, const struct symtab_more *more)
{
	g_return_if_fail(!builder->more.find);
	builder->more = *more;
}

guint symtab_builder_count(const struct symtab_builder *builder)
{
	return builder->count;
}

guint symtab_builder_dropped(const struct symtab_builder *builder)
{
	return builder->dropped;
}

/* Least-significant-digit radix sort by start: linear, and stable. */
static void entries_sort(struct entry *entries, guint n)
{
	struct entry *from = entries, *spare, *to;
	guint64 low = G_MAXUINT64, high = 0;
	gboolean sorted = TRUE;

	for (guint i = 0; i < n; i++) {
		low = MIN(low, from[i].start);
		high = MAX(high, from[i].start);
		sorted = sorted && (i == 0 || from[i - 1].start <= from[i].start);
	}
	if (sorted)
		return;
	to = spare = g_new(struct entry, n);
	for (guint shift = 0; shift < 64 && (high - low) >> shift; shift += RADIX_BITS) {
		guint32 places[RADIX_SIZE] = { 0 };
		guint32 place = 0;
		struct entry *swap = from;

		for (guint i = 0; i < n; i++)
			places[((from[i].start - low) >> shift) & (RADIX_SIZE - 1)]++;
		for (guint digit = 0; digit < RADIX_SIZE; digit++) {
			guint32 here = places[digit];

			places[digit] = place;
			place += here;
		}
		for (guint i = 0; i < n; i++)
			to[places[((from[i].start - low) >> shift) & (RADIX_SIZE - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	if (from == spare)
		memcpy(entries, spare, n * sizeof(*spare));
	g_free(spare);
}

static gsize underscores(const char *name)
{
	return strspn(name, "_");
}

static gboolean entry_is_better(const struct entry *a, const struct entry *b, const char *pool)
{
	const char *name_a, *name_b;
	gsize length_a, length_b;

	if (a->rank != b->rank)
		return a->rank < b->rank;
	if (a->rank == RANK_BOUNDARY)
		return FALSE;
	name_a = pool + a->name;
	name_b = pool + b->name;
	if (underscores(name_a) != underscores(name_b))
		return underscores(name_a) < underscores(name_b);
	length_a = strlen(name_a);
	length_b = strlen(name_b);
	if (length_a != length_b)
		return length_a < length_b;
	return strcmp(name_a, name_b) < 0;
}

/* One entry per address: the best; a boundary gives way to any symbol. */
static guint entries_unify(struct entry *entries, guint n, const char *pool)
{
	guint kept = 0;

	for (guint i = 0; i < n; i++) {
		if (kept && entries[kept - 1].start == entries[i].start) {
			if (entry_is_better(&entries[i], &entries[kept - 1], pool))
				entries[kept - 1] = entries[i];
		} else {
			entries[kept++] = entries[i];
		}
	}
	return kept;
}

static guint64 entry_end(const struct symtab *table, guint32 index)
{
	return table->starts[index] + table->sizes[index];
}

/* Fills the arrays from sorted, distinct entries, cutting symbols without a size at their neighbour and dropping those
 * that lie inside a symbol with one (labels in assembly). */
static void table_fill(struct symtab *table, const struct entry *entries, guint n)
{
	gboolean nested = FALSE;
	guint32 outer = NONE;

	for (guint i = 0; i < n; i++) {
		const struct entry *entry = &entries[i];
		gboolean sizeless = entry->rank & SYMTAB_RANK_SIZELESS;
		guint32 size = entry->size;

		if (entry->rank == RANK_BOUNDARY)
			continue;
		while (outer != NONE && entry_end(table, outer) <= entry->start)
			outer = table->enclosing[outer];
		if (sizeless && outer != NONE)
			continue;
		if (sizeless && i + 1 < n)
			size = (guint32)MIN((guint64)size, entries[i + 1].start - entry->start);
		table->starts[table->count] = entry->start;
		table->sizes[table->count] = size;
		table->names[table->count] = entry->name;
		table->enclosing[table->count] = outer;
		nested = nested || outer != NONE;
		outer = table->count++;
	}
	if (!nested)
		g_clear_pointer(&table->enclosing, g_free);
}

struct symtab *symtab_builder_finish(struct symtab_builder *builder)
{
	struct symtab *table = g_new0(struct symtab, 1);
	guint n;

	table->refs = 1;
	entries_sort(builder->entries, builder->count);
	n = entries_unify(builder->entries, builder->count, builder->pool);
	table->starts = g_new(guint64, n);
	table->sizes = g_new(guint32, n);
	table->names = g_new(guint32, n);
	table->enclosing = g_new(guint32, n);
	table_fill(table, builder->entries, n);
	table->pool_size = builder->pool_size;
	table->pool = g_realloc(g_steal_pointer(&builder->pool), table->pool_size);
	table->is_adopted = builder->is_adopted;
	table->more = builder->more;
	builder->more = (struct symtab_more){ 0 };
	symtab_builder_free(builder);
	return table;
}

struct symtab *symtab_ref(struct symtab *table)
{
	table->refs++;
	return table;
}

void symtab_free(struct symtab *table)
{
	if (!table || --table->refs)
		return;
	if (table->more.free)
		table->more.free(table->more.data);
	symtab_free(table->rest);
	g_free(table->starts);
	g_free(table->sizes);
	g_free(table->names);
	g_free(table->enclosing);
	g_free(table->pool);
	g_free(table->slots);
	g_free(table);
}

guint symtab_count(const struct symtab *table)
{
	return table->count + table->more.count + (table->rest ? symtab_count(table->rest) : 0);
}

gsize symtab_bytes(const struct symtab *table)
{
	gsize each = sizeof(*table->starts) + sizeof(*table->sizes) + sizeof(*table->names) + sizeof(*table->slots);
	gsize rest = 0;

	if (table->enclosing)
		each += sizeof(*table->enclosing);
	if (table->rest)
		rest = symtab_bytes(table->rest);
	return sizeof(*table) + table->count * each + table->pool_size + table->more.bytes +
	       table->more.count * sizeof(*table->slots) + rest;
}

static gboolean own_find(const struct symtab *table, guint64 address, struct symtab_hit *hit)
{
	guint low = 0, high = table->count;
	guint32 index;

	while (low < high) { /* the first start behind the address */
		guint middle = low + (high - low) / 2;

		if (table->starts[middle] <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return FALSE;
	index = low - 1;
	for (guint hops = 0; address - table->starts[index] >= table->sizes[index]; hops++) {
		if (!table->enclosing || hops == ENCLOSING_HOPS_MAX || table->enclosing[index] == NONE)
			return FALSE;
		index = table->enclosing[index];
	}
	hit->name = table->pool + table->names[index];
	hit->tag = table->is_adopted ? "" : hit->name + strlen(hit->name) + 1;
	hit->start = table->starts[index];
	hit->index = index;
	return TRUE;
}

gboolean symtab_find(const struct symtab *table, guint64 address, struct symtab_hit *hit)
{
	if (table->more.find && table->more.find(table->more.data, address, hit)) {
		hit->index += table->count;
		return TRUE;
	}
	if (own_find(table, address, hit))
		return TRUE;
	if (!table->rest || !symtab_find(table->rest, address, hit))
		return FALSE;
	hit->index += table->count + table->more.count;
	return TRUE;
}

gboolean symtab_line(const struct symtab *table, guint64 address, const char **file, guint32 *line)
{
	for (; table; table = table->rest)
		if (table->more.line && table->more.line(table->more.data, address, file, line))
			return TRUE;
	return FALSE;
}

void symtab_append(struct symtab *table, struct symtab *rest)
{
	struct symtab *last = table;

	while (last->rest)
		last = last->rest;
	last->rest = rest;
	g_clear_pointer(&table->slots, g_free); /* made anew, with room for all */
}

gboolean symtab_equal(const struct symtab *a, const struct symtab *b)
{
	gsize n = a->count;

	if (a->more.find || b->more.find || a->rest || b->rest)
		return a == b;
	if (n != b->count || a->pool_size != b->pool_size || !a->enclosing != !b->enclosing)
		return FALSE;
	return n == 0 || (memcmp(a->starts, b->starts, n * sizeof(*a->starts)) == 0 &&
			  memcmp(a->sizes, b->sizes, n * sizeof(*a->sizes)) == 0 &&
			  memcmp(a->names, b->names, n * sizeof(*a->names)) == 0 &&
			  (!a->enclosing || memcmp(a->enclosing, b->enclosing, n * sizeof(*a->enclosing)) == 0) &&
			  memcmp(a->pool, b->pool, a->pool_size) == 0);
}

const char **symtab_slot(struct symtab *table, guint32 index)
{
	if (!table->slots)
		table->slots = g_new0(const char *, symtab_count(table));
	return &table->slots[index];
}
