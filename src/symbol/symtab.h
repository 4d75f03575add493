/* SPDX-License-Identifier: Apache-2.0 */
/* A finished symbol table: function names by address, compact and searched by bisection.
 *
 * Starts are sorted and distinct. Sizes are respected: an address behind the end of a function belongs to nobody, unless
 * an enclosing function (one that starts earlier and ends later) holds it. A symbol without a size reaches to the next
 * symbol or to the limit its adder named, whichever comes first, and loses against any symbol with a size.
 * Names live in one pool; a name may carry a tag (the kernel module), kept right behind it, where the pool was not adopted. */
#pragma once
#include <glib.h>

#define SYMTAB_SYMBOLS_MAX (4u << 20)
#define SYMTAB_POOL_MAX (256u << 20) /* bytes of names */
#define SYMTAB_NAME_MAX 16384 /* longer names are cut */

/* Of symbols at one address the lowest rank is shown; then fewer leading underscores, then the shorter name, then byte
 * order, so that the choice does not depend on the order of the file. */
enum symtab_rank {
	SYMTAB_RANK_GLOBAL = 0,
	SYMTAB_RANK_LOCAL = 1,
	SYMTAB_RANK_LABEL = 2, /* not marked as a function */
	SYMTAB_RANK_SIZELESS = 4, /* added to the above */
};

struct symtab_builder;
struct symtab;

struct symtab_hit {
	const char *name; /* in the table's pool; of a symtab_more's: valid until the next search */
	const char *tag; /* "" when none */
	guint64 start;
	guint32 index; /* dense: below symtab_count */
};

/* Names that are looked up where they are instead of being read in advance: asked before the table's own. */
struct symtab_more {
	void *data;
	/* FALSE when no function of its holds the address. `index` is below `count`. */
	gboolean (*find)(void *data, guint64 address, struct symtab_hit *hit);
	/* Where the source has the address; NULL: not known. `file` is valid until the next search. */
	gboolean (*line)(void *data, guint64 address, const char **file, guint32 *line);
	void (*free)(void *data);
	guint count;
	gsize bytes; /* held at most */
};

struct symtab_builder *symtab_builder_new(void);
void symtab_builder_free(struct symtab_builder *builder);
/* Makes room for that much more, so that arrays do not have to grow; a hint. */
void symtab_builder_expect(struct symtab_builder *builder, guint64 symbols, guint64 name_bytes);
/* Adds [start, start + size). Size 0: up to the next symbol, at most `limit` (an address; 0: nowhere). `tag` may be NULL. FALSE when
 * a limit above is reached: the symbol is not added and symtab_builder_dropped counts it. */
gboolean symtab_builder_add(struct symtab_builder *builder, guint64 start, guint64 size, guint64 limit,
			    const char *name, gsize length, const char *tag, enum symtab_rank rank);
/* Takes over `names`, `size` bytes and a NUL behind them (strings as ELF keeps them, which need not be copied one by one), where nothing
 * was added yet; what follows an "@" in a name is cut off. FALSE when something was: they stay the caller's. */
gboolean symtab_builder_adopt(struct symtab_builder *builder, char *names, gsize size);
/* As symtab_builder_add, by the place of the name in what was adopted, below its size. */
gboolean symtab_builder_add_at(struct symtab_builder *builder, guint64 start, guint64 size, guint64 limit, guint32 name,
			       enum symtab_rank rank);
/* An address where something that is not a function begins: ends symbols without a size. */
void symtab_builder_add_boundary(struct symtab_builder *builder, guint64 start);
/* At most one; it belongs to the builder, and then to the table. */
void symtab_builder_set_more(struct symtab_builder *builder, const struct symtab_more *more);
guint symtab_builder_count(const struct symtab_builder *builder);
guint symtab_builder_dropped(const struct symtab_builder *builder);
/* Sorts, removes aliases; frees the builder. Never NULL; may be empty. */
struct symtab *symtab_builder_finish(struct symtab_builder *builder);

struct symtab *symtab_ref(struct symtab *table);
void symtab_free(struct symtab *table); /* gives back one reference */
guint symtab_count(const struct symtab *table);
gsize symtab_bytes(const struct symtab *table); /* memory held, slots included */
gboolean symtab_find(const struct symtab *table, guint64 address, struct symtab_hit *hit);
/* File and line of the source, of tables that know (Go's own); `file` is valid until the next search. */
gboolean symtab_line(const struct symtab *table, guint64 address, const char **file, guint32 *line);
/* TRUE when both are known to answer every question alike. */
gboolean symtab_equal(const struct symtab *a, const struct symtab *b);
/* Adds another's symbols, which are asked when `table` has none; takes over `rest`, which must be no other's. Indexes stay as they are. */
void symtab_append(struct symtab *table, struct symtab *rest);
/* A slot per symbol for the caller (the name as shown, once made); NULL at first. */
const char **symtab_slot(struct symtab *table, guint32 index);

typedef struct symtab_builder symtab_builder_t; /* for g_autoptr */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(symtab_builder_t, symtab_builder_free)
typedef struct symtab symtab_t;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(symtab_t, symtab_free)
