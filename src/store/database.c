/* SPDX-License-Identifier: Apache-2.0 */
/* Two connections to one file: the writer's, used by its thread only, and the reader's, used by the caller's. What they
 * share are the queue and a few words behind `lock`. */
#include "store/database.h"

#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

#define DATABASE_VERSION 1
#define DATABASE_APPLICATION 0x6661746d /* "fatm": tells our files from others */
#define DATABASE_QUEUE_MAX 600 /* ticks that may wait for a slow disk … */
#define DATABASE_NAMES_MAX 8192 /* … and names: one that is lost is lost for good */
#define DATABASE_RETRY_US (5 * G_USEC_PER_SEC) /* after trouble */
#define DATABASE_PAGE_BYTES 4096
#define DATABASE_WAL_PAGES 256
#define DATABASE_GATHER_US (30 * 1000) /* what comes so soon after another goes with it */
#define DATABASE_BATCH_MAX 64 /* items of one transaction */
#define DATABASE_FORGET_EVERY 32 /* ticks of a table */
#define DATABASE_BEHIND 40 /* items that wait */
#define DATABASE_BEHIND_US (15 * 60 * G_USEC_PER_SEC) /* after something was dropped */
#define DATABASE_TRIM_SHARE 20 /* 1/20 of the ticks go when the budget is used up */
#define DATABASE_BUSY_MS 200

G_DEFINE_QUARK(database - error - quark, database_error)

enum item_kind {
	ITEM_TICK,
	ITEM_RESOURCE,
	ITEM_END,
};

struct item {
	enum item_kind kind;
	enum database_lane lane;
	enum history_resolution resolution;
	gint64 id, time_ms;
	GBytes *tick;
	struct history_resource resource;
};

struct database {
	sqlite3 *reader;
	char *path;
	guint64 budget_bytes;
	GAsyncQueue *queue; /* of struct item */
	GThread *thread;
	/* the writer's own */
	sqlite3 *writer;
	GHashTable *statements; /* SQL → sqlite3_stmt *: there are few, and each is run again and again */
	guint written[DATABASE_LANES][HISTORY_RESOLUTIONS]; /* ticks */
	/* behind `lock` */
	GMutex lock;
	guint64 dropped, bytes;
	gint64 dropped_us; /* when last; 0: never */
	char *trouble;
	char *kept_ids; /* with commas between; NULL: none */
	char *trouble_shown; /* the reader's copy */
};

static const char *const tables[DATABASE_LANES][HISTORY_RESOLUTIONS] = {
	[DATABASE_SERIES] = { "tick_second", "tick_ten", "tick_minute" },
	[DATABASE_SHAPES] = { "shapes_second", "shapes_ten", "shapes_minute" },
	[DATABASE_STACKS] = { "stacks_second", "stacks_ten", "stacks_minute" },
};

static const char resource_schema[] =
	"CREATE TABLE IF NOT EXISTS resource (id INTEGER PRIMARY KEY, cgroup_key INTEGER NOT NULL,"
	" birth_ns INTEGER NOT NULL, name BLOB NOT NULL, cgroup BLOB);"
	"CREATE INDEX IF NOT EXISTS resource_identity ON resource (cgroup_key, birth_ns);";

#define RESOURCE_COLUMNS "SELECT id, cgroup_key, birth_ns, name, cgroup FROM resource "

static int run_sql(sqlite3 *connection, const char *format, ...) G_GNUC_PRINTF(2, 3);
static int run_sql(sqlite3 *connection, const char *format, ...)
{
	g_autofree char *sql = NULL;
	va_list args;

	va_start(args, format);
	sql = g_strdup_vprintf(format, args);
	va_end(args);
	return sqlite3_exec(connection, sql, NULL, NULL, NULL);
}

/* First column of the first row; `fallback` when there is none. */
static gint64 query_number(sqlite3 *connection, const char *sql, gint64 fallback)
{
	sqlite3_stmt *statement = NULL;
	gint64 number = fallback;

	if (sqlite3_prepare_v2(connection, sql, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return number;
}

/* ---- the writer ---- */

static void item_free(struct item *item)
{
	if (item->tick)
		g_bytes_unref(item->tick);
	g_free(item->resource.name);
	g_free(item->resource.cgroup);
	g_free(item);
}

/* GDestroyNotify */
static void statement_free(gpointer statement)
{
	sqlite3_finalize(statement);
}

/* Ready to be bound and run; owned by the database. */
static int prepare(struct database *database, const char *sql, sqlite3_stmt **statement)
{
	int status;

	*statement = g_hash_table_lookup(database->statements, sql);
	if (*statement)
		return SQLITE_OK;
	status = sqlite3_prepare_v3(database->writer, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	if (status == SQLITE_OK)
		g_hash_table_insert(database->statements, g_strdup(sql), *statement);
	return status;
}

/* To its end; what was bound is let go. */
static int run_prepared(sqlite3_stmt *statement)
{
	int status = sqlite3_step(statement);

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return status == SQLITE_DONE ? SQLITE_OK : status;
}

static int run_again(struct database *database, const char *sql)
{
	sqlite3_stmt *statement;
	int status = prepare(database, sql, &statement);

	return status == SQLITE_OK ? run_prepared(statement) : status;
}

static int write_resource(struct database *database, const struct history_resource *resource)
{
	sqlite3_stmt *statement;
	int status = prepare(database, "INSERT OR REPLACE INTO resource VALUES (?,?,?,?,?)", &statement);

	if (status != SQLITE_OK)
		return status;
	sqlite3_bind_int64(statement, 1, resource->id);
	sqlite3_bind_int64(statement, 2, (gint64)resource->identity.key);
	sqlite3_bind_int64(statement, 3, (gint64)resource->identity.birth_ns);
	sqlite3_bind_blob(statement, 4, resource->name, (int)strlen(resource->name), SQLITE_STATIC);
	if (resource->cgroup)
		sqlite3_bind_blob(statement, 5, resource->cgroup, (int)strlen(resource->cgroup), SQLITE_STATIC);
	return run_prepared(statement);
}

/* Beyond what is kept of each resolution the oldest go. */
static int forget_ticks(struct database *database, const char *table, enum history_resolution resolution)
{
	g_autofree char *forget = g_strdup_printf("DELETE FROM %s WHERE id <= (SELECT max(id) FROM %s) - %u", table,
						  table, history_ticks_kept[resolution]);

	return run_again(database, forget);
}

static int write_tick(struct database *database, const struct item *item)
{
	const char *table = tables[item->lane][item->resolution];
	g_autofree char *insert = g_strdup_printf("INSERT INTO %s (id, time_ms, data) VALUES (?,?,?)", table);
	sqlite3_stmt *statement;
	int status = prepare(database, insert, &statement);

	if (status != SQLITE_OK)
		return status;
	if (item->id)
		sqlite3_bind_int64(statement, 1, item->id);
	sqlite3_bind_int64(statement, 2, item->time_ms);
	sqlite3_bind_blob(statement, 3, g_bytes_get_data(item->tick, NULL), (int)g_bytes_get_size(item->tick),
			  SQLITE_STATIC);
	status = run_prepared(statement);
	if (status == SQLITE_OK && database->written[item->lane][item->resolution]++ % DATABASE_FORGET_EVERY == 0)
		status = forget_ticks(database, table, item->resolution);
	return status;
}

/* One transaction. */
static int write_items(struct database *database, const GPtrArray *items)
{
	int status = run_again(database, "BEGIN IMMEDIATE");

	if (status != SQLITE_OK)
		return status;
	for (guint i = 0; i < items->len && status == SQLITE_OK; i++) {
		const struct item *item = g_ptr_array_index(items, i);

		status = item->kind == ITEM_TICK ? write_tick(database, item)
						 : write_resource(database, &item->resource);
	}
	if (status == SQLITE_OK)
		status = run_again(database, "COMMIT");
	if (status != SQLITE_OK)
		run_again(database, "ROLLBACK");
	return status;
}

static guint64 file_bytes(const char *path, const char *suffix)
{
	g_autofree char *name = g_strconcat(path, suffix, NULL);
	GStatBuf status;

	return g_stat(name, &status) == 0 ? (guint64)status.st_size : 0;
}

/* The budget is used up: the oldest of all ticks go, and names that no tick can have any more. */
static gboolean trim(struct database *database)
{
	int status = run_sql(database->writer, "BEGIN IMMEDIATE");
	g_autofree char *kept = NULL;

	g_mutex_lock(&database->lock);
	kept = g_strdup(database->kept_ids ? database->kept_ids : "");
	g_mutex_unlock(&database->lock);
	for (guint i = 0; i < DATABASE_LANES * HISTORY_RESOLUTIONS && status == SQLITE_OK; i++) {
		const char *table = tables[i / HISTORY_RESOLUTIONS][i % HISTORY_RESOLUTIONS];

		status = run_sql(
			database->writer,
			"DELETE FROM %s WHERE id <= (SELECT min(id) + max(1, (max(id) - min(id)) / %u) FROM %s)", table,
			DATABASE_TRIM_SHARE, table);
	}
	if (status == SQLITE_OK)
		status = run_sql(
			database->writer,
			"DELETE FROM resource WHERE id <= (SELECT max(id) FROM resource) - %u AND id NOT IN (%s)",
			HISTORY_RESOURCES_MAX, kept);
	if (status == SQLITE_OK)
		status = run_sql(database->writer, "COMMIT");
	if (status != SQLITE_OK)
		run_sql(database->writer, "ROLLBACK");
	return status == SQLITE_OK;
}

/* SQLITE_FULL is both: our own bound, and the disk's. Only the first is helped by trimming. */
static gboolean is_over_budget(struct database *database)
{
	gint64 pages = query_number(database->writer, "PRAGMA page_count", 0);
	gint64 spare = query_number(database->writer, "PRAGMA freelist_count", 0);

	return (guint64)(pages - spare) * DATABASE_PAGE_BYTES > database->budget_bytes / 10 * 9;
}

/* Behind the lock. */
static void note_dropped(struct database *database, guint count)
{
	database->dropped += count;
	database->dropped_us = g_get_monotonic_time();
}

static void note_state(struct database *database, const char *trouble, guint count)
{
	guint64 bytes = file_bytes(database->path, "") + file_bytes(database->path, "-wal");

	g_mutex_lock(&database->lock);
	if (g_strcmp0(trouble, database->trouble) != 0) {
		g_free(database->trouble);
		database->trouble = g_strdup(trouble);
	}
	if (trouble)
		note_dropped(database, count);
	database->bytes = bytes;
	g_mutex_unlock(&database->lock);
}

/* TRUE when written. */
static gboolean take_items(struct database *database, const GPtrArray *items)
{
	int status = write_items(database, items);

	if (status == SQLITE_FULL && is_over_budget(database) && trim(database))
		status = write_items(database, items);
	note_state(database, status == SQLITE_OK ? NULL : sqlite3_errmsg(database->writer), items->len);
	return status == SQLITE_OK;
}

/* What comes together. FALSE: it is the last. */
static gboolean gather(struct database *database, GPtrArray *items)
{
	struct item *item = g_async_queue_pop(database->queue);

	while (item && item->kind != ITEM_END) {
		g_ptr_array_add(items, item);
		item = items->len < DATABASE_BATCH_MAX ? g_async_queue_timeout_pop(database->queue, DATABASE_GATHER_US)
						       : NULL;
	}
	if (!item)
		return TRUE;
	item_free(item);
	return FALSE;
}

/* GThreadFunc */
static gpointer writer_run(gpointer data)
{
	struct database *database = data;
	g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)item_free);
	gboolean goes_on = TRUE;
	gint64 retry_us = 0;

	while (goes_on) {
		g_ptr_array_set_size(items, 0);
		goes_on = gather(database, items);
		if (items->len && g_get_monotonic_time() >= retry_us) {
			gboolean ok = take_items(database, items);

			retry_us = ok ? 0 : g_get_monotonic_time() + DATABASE_RETRY_US;
		} else if (items->len) {
			g_mutex_lock(&database->lock);
			note_dropped(database, items->len);
			g_mutex_unlock(&database->lock);
		}
	}
	return NULL;
}

static void enqueue(struct database *database, struct item *item)
{
	if (g_async_queue_length(database->queue) <
	    (item->kind == ITEM_RESOURCE ? DATABASE_NAMES_MAX : DATABASE_QUEUE_MAX)) {
		g_async_queue_push(database->queue, item);
		return;
	}
	item_free(item);
	g_mutex_lock(&database->lock);
	note_dropped(database, 1);
	g_mutex_unlock(&database->lock);
}

void database_add(struct database *database, enum database_lane lane, enum history_resolution resolution, gint64 id,
		  gint64 time_ms, GBytes *tick)
{
	struct item *item = g_new0(struct item, 1);

	*item = (struct item){
		.kind = ITEM_TICK, .lane = lane, .resolution = resolution, .id = id, .time_ms = time_ms, .tick = tick
	};
	enqueue(database, item);
}

void database_add_resource(struct database *database, const struct history_resource *resource)
{
	struct item *item = g_new0(struct item, 1);

	*item = (struct item){ .kind = ITEM_RESOURCE, .resource = *resource };
	item->resource.name = g_strdup(resource->name);
	item->resource.cgroup = g_strdup(resource->cgroup);
	enqueue(database, item);
}

/* ---- the reader ---- */

void database_read(struct database *database, enum database_lane lane, enum history_resolution resolution,
		   gint64 before_id, gint64 from_ms, gint64 to_ms, guint limit, database_tick_fn each, void *user)
{
	g_autofree char *sql = g_strdup_printf("SELECT time_ms, data FROM %s WHERE time_ms > ? AND time_ms <= ? AND"
					       " id < ? ORDER BY time_ms, id LIMIT ?",
					       tables[lane][resolution]);
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(database->reader, sql, -1, &statement, NULL) != SQLITE_OK)
		return;
	sqlite3_bind_int64(statement, 1, from_ms);
	sqlite3_bind_int64(statement, 2, to_ms);
	sqlite3_bind_int64(statement, 3, before_id);
	sqlite3_bind_int64(statement, 4, limit);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		const guint8 *bytes = sqlite3_column_blob(statement, 1);

		each(user, sqlite3_column_int64(statement, 0), bytes, (gsize)sqlite3_column_bytes(statement, 1));
	}
	sqlite3_finalize(statement);
}

static char *column_string(sqlite3_stmt *statement, int column)
{
	const char *bytes = sqlite3_column_blob(statement, column);

	return bytes ? g_strndup(bytes, (gsize)sqlite3_column_bytes(statement, column)) : NULL;
}

/* Runs a statement whose columns are RESOURCE_COLUMNS, and ends it. */
static void each_resource(sqlite3_stmt *statement, database_resource_fn each, void *user)
{
	while (sqlite3_step(statement) == SQLITE_ROW) {
		g_autofree char *name = column_string(statement, 3), *cgroup = column_string(statement, 4);
		struct history_resource resource = {
			.id = (guint32)sqlite3_column_int64(statement, 0),
			.identity.key = (guint64)sqlite3_column_int64(statement, 1),
			.identity.birth_ns = (guint64)sqlite3_column_int64(statement, 2),
			.name = name ? name : "",
			.cgroup = cgroup,
		};

		each(user, &resource);
	}
	sqlite3_finalize(statement);
}

void database_read_resources(struct database *database, guint limit, database_resource_fn each, void *user)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(database->reader, RESOURCE_COLUMNS "ORDER BY id DESC LIMIT ?", -1, &statement, NULL) !=
	    SQLITE_OK)
		return;
	sqlite3_bind_int64(statement, 1, limit);
	each_resource(statement, each, user);
}

void database_find_resource(struct database *database, const struct history_resource *wanted, database_resource_fn each,
			    void *user)
{
	const char *sql = wanted->id ? RESOURCE_COLUMNS "WHERE id = ?"
				     : RESOURCE_COLUMNS
				  "WHERE cgroup_key = ? AND birth_ns = ? ORDER BY id DESC LIMIT 1";
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(database->reader, sql, -1, &statement, NULL) != SQLITE_OK)
		return;
	sqlite3_bind_int64(statement, 1, wanted->id ? (gint64)wanted->id : (gint64)wanted->identity.key);
	if (!wanted->id)
		sqlite3_bind_int64(statement, 2, (gint64)wanted->identity.birth_ns);
	each_resource(statement, each, user);
}

void database_keep_resources(struct database *database, const guint32 *ids, guint count)
{
	GString *list = g_string_new(NULL);

	for (guint i = 0; i < count; i++)
		g_string_append_printf(list, i ? ",%u" : "%u", ids[i]);
	g_mutex_lock(&database->lock);
	g_free(database->kept_ids);
	database->kept_ids = g_string_free(list, FALSE);
	g_mutex_unlock(&database->lock);
}

gint64 database_last_id(struct database *database, enum database_lane lane, enum history_resolution resolution)
{
	g_autofree char *sql = g_strdup_printf("SELECT max(id) FROM %s", tables[lane][resolution]);

	return query_number(database->reader, sql, 0);
}

gint64 database_oldest_ms(struct database *database, enum database_lane lane, enum history_resolution resolution)
{
	g_autofree char *sql = g_strdup_printf("SELECT min(time_ms) FROM %s", tables[lane][resolution]);

	return query_number(database->reader, sql, 0);
}

enum history_resolution database_resolution(struct database *database, enum database_lane lane, gint64 from_ms,
					    gint64 to_ms, guint step_ms)
{
	gint64 length_ms = MAX(to_ms - from_ms, 0), oldest_ms[HISTORY_RESOLUTIONS];

	for (guint i = 0; i < HISTORY_RESOLUTIONS; i++)
		oldest_ms[i] = database_oldest_ms(database, lane, (enum history_resolution)i);
	/* It has just begun: the seconds, which are in memory first, are all there is. */
	if (!oldest_ms[HISTORY_TEN_SECONDS] && !oldest_ms[HISTORY_MINUTE])
		return HISTORY_SECOND;
	for (guint i = 0; i + 1 < HISTORY_RESOLUTIONS; i++) {
		gint64 coarse_ms = oldest_ms[i + 1];

		if (length_ms / history_resolution_ms[i] > HISTORY_TICKS_MAX || history_resolution_ms[i + 1] <= step_ms)
			continue;
		/* A coarser one reaches further back only when it has an older tick. */
		if (oldest_ms[i] && (oldest_ms[i] <= from_ms + step_ms + history_resolution_ms[i] || !coarse_ms ||
				     oldest_ms[i] <= coarse_ms))
			return (enum history_resolution)i;
	}
	return HISTORY_MINUTE;
}

gboolean database_is_behind(struct database *database)
{
	gboolean is_behind = g_async_queue_length(database->queue) > DATABASE_BEHIND;

	g_mutex_lock(&database->lock);
	is_behind |= database->trouble ||
		     (database->dropped_us && g_get_monotonic_time() - database->dropped_us < DATABASE_BEHIND_US);
	g_mutex_unlock(&database->lock);
	return is_behind;
}

void database_stats(struct database *database, struct database_stats *stats)
{
	g_mutex_lock(&database->lock);
	g_free(database->trouble_shown);
	database->trouble_shown = g_strdup(database->trouble);
	*stats = (struct database_stats){ .bytes = database->bytes,
					  .budget_bytes = database->budget_bytes,
					  .dropped = database->dropped,
					  .trouble = database->trouble_shown };
	g_mutex_unlock(&database->lock);
}

/* ---- opening ---- */

static int open_writer(struct database *database)
{
	int status = sqlite3_open_v2(database->path, &database->writer,
				     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, NULL);

	if (status != SQLITE_OK)
		return status;
	sqlite3_busy_timeout(database->writer, DATABASE_BUSY_MS);
	/* What is written must not be trusted to call functions; freed pages are reused, the file has a bound. */
	sqlite3_db_config(database->writer, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(database->writer, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	status = run_sql(database->writer,
			 "PRAGMA page_size=%u; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
			 "PRAGMA wal_autocheckpoint=%u; PRAGMA journal_size_limit=%u; PRAGMA cache_size=-512;"
			 "PRAGMA max_page_count=%" G_GUINT64_FORMAT,
			 DATABASE_PAGE_BYTES, DATABASE_WAL_PAGES, DATABASE_WAL_PAGES * DATABASE_PAGE_BYTES,
			 database->budget_bytes / DATABASE_PAGE_BYTES);
	return status;
}

static int make_tables(struct database *database)
{
	int status = run_sql(database->writer, "PRAGMA application_id=%d; PRAGMA user_version=%d; %s",
			     DATABASE_APPLICATION, DATABASE_VERSION, resource_schema);

	for (guint i = 0; i < DATABASE_LANES * HISTORY_RESOLUTIONS && status == SQLITE_OK; i++) {
		const char *table = tables[i / HISTORY_RESOLUTIONS][i % HISTORY_RESOLUTIONS];

		status = run_sql(database->writer,
				 "CREATE TABLE IF NOT EXISTS %s (id INTEGER PRIMARY KEY AUTOINCREMENT,"
				 " time_ms INTEGER NOT NULL, data BLOB NOT NULL);"
				 "CREATE INDEX IF NOT EXISTS %s_time ON %s (time_ms)",
				 table, table, table);
	}
	return status;
}

/* Is what lies there ours, whole, and of this version? SQLITE_OK, or what is wrong. */
static int check_file(struct database *database, GError **error)
{
	gint64 tables_there = query_number(database->writer, "SELECT count(*) FROM sqlite_master", -1);
	gint64 application, version;

	if (tables_there < 0)
		return SQLITE_CORRUPT;
	application = query_number(database->writer, "PRAGMA application_id", 0);
	version = query_number(database->writer, "PRAGMA user_version", 0);
	if (tables_there > 0 && (application != DATABASE_APPLICATION || version > DATABASE_VERSION)) {
		g_set_error(error, DATABASE_ERROR, DATABASE_ERROR_OPEN,
			    application != DATABASE_APPLICATION
				    ? "%s is no history of fathom's: move it away, or choose another --state"
				    : "%s is of a later fathom: move it away, or choose another --state",
			    database->path);
		return SQLITE_MISUSE;
	}
	if (tables_there > 0) {
		sqlite3_stmt *statement = NULL;
		gboolean whole = sqlite3_prepare_v2(database->writer, "PRAGMA quick_check(1)", -1, &statement, NULL) ==
					 SQLITE_OK &&
				 sqlite3_step(statement) == SQLITE_ROW &&
				 g_strcmp0((const char *)sqlite3_column_text(statement, 0), "ok") == 0;

		sqlite3_finalize(statement);
		if (!whole)
			return SQLITE_CORRUPT;
	}
	return make_tables(database);
}

static void move_aside(const char *path)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };

	for (guint i = 0; i < G_N_ELEMENTS(suffixes); i++) {
		g_autofree char *from = g_strconcat(path, suffixes[i], NULL);
		g_autofree char *to = g_strconcat(path, ".damaged", suffixes[i], NULL);

		g_rename(from, to);
	}
}

static gboolean is_damage(int status)
{
	return status == SQLITE_CORRUPT || status == SQLITE_NOTADB;
}

static gboolean open_file(struct database *database, char **note, GError **error)
{
	int status = open_writer(database);

	if (status == SQLITE_OK)
		status = check_file(database, error);
	if (is_damage(status)) {
		sqlite3_close(g_steal_pointer(&database->writer));
		move_aside(database->path);
		*note = g_strdup_printf("the history was damaged: it is now %s.damaged, and a new one begins",
					database->path);
		status = open_writer(database);
		if (status == SQLITE_OK)
			status = check_file(database, error);
	}
	if (status == SQLITE_OK)
		status = sqlite3_open_v2(database->path, &database->reader, SQLITE_OPEN_READONLY, NULL);
	if (status == SQLITE_OK) {
		sqlite3_busy_timeout(database->reader, DATABASE_BUSY_MS);
		return run_sql(database->reader, "PRAGMA cache_size=-512") == SQLITE_OK;
	}
	if (error && !*error)
		g_set_error(error, DATABASE_ERROR, DATABASE_ERROR_OPEN, "cannot open the history %s: %s",
			    database->path, sqlite3_errstr(status));
	return FALSE;
}

struct database *database_open(const char *path, guint64 budget_bytes, char **note, GError **error)
{
	struct database *database = g_new0(struct database, 1);

	*note = NULL;
	database->path = g_strdup(path);
	database->budget_bytes = MAX(budget_bytes, DATABASE_BUDGET_MIN);
	database->queue = g_async_queue_new();
	database->statements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, statement_free);
	g_mutex_init(&database->lock);
	if (!open_file(database, note, error)) {
		database_close(database);
		return NULL;
	}
	database->bytes = file_bytes(path, "");
	database->thread = g_thread_new("history", writer_run, database);
	return database;
}

void database_close(struct database *database)
{
	if (!database)
		return;
	if (database->thread) {
		struct item *end = g_new0(struct item, 1);

		end->kind = ITEM_END;
		g_async_queue_push(database->queue, end);
		g_thread_join(database->thread);
	}
	sqlite3_close(database->reader);
	g_hash_table_unref(database->statements);
	sqlite3_close(database->writer);
	g_async_queue_unref(database->queue);
	g_mutex_clear(&database->lock);
	g_free(database->trouble);
	g_free(database->kept_ids);
	g_free(database->trouble_shown);
	g_free(database->path);
	g_free(database);
}
