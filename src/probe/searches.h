/* SPDX-License-Identifier: Apache-2.0 */
/* Names that were asked for only because of a search list: "db.prod.svc.cluster.local" and "db.svc.cluster.local" do
 * not exist, "db.cluster.local" does, and "db" was meant. Each such question is waste, once a name with the same
 * beginning has an answer. The search list is that of the process's /etc/resolv.conf. */
#pragma once
#include <glib.h>

#define SEARCHES_NAME 256 /* NUL included */

/* The question of a DNS message (behind its header) as text: labels joined by dots, in lower case; dots and backslashes
 * in labels have a backslash before them. FALSE when it is malformed or cut. */
gboolean searches_name(const guint8 *question, gsize bytes, char name[SEARCHES_NAME]);

/* An answered question: whose, and of which counters. */
struct search {
	guint64 cgroup_key;
	guint64 label; /* of the row that counted it */
	guint32 tgid;
	guint64 time_ns;
	const char *name;
};

struct searches;

/* The search list a process uses; NULL when it is not known. Owned by the caller. */
typedef char **(*searches_list_fn)(void *user, const struct search *search);
/* `search` was waste. Its name is valid during the call. */
typedef void (*searches_wasted_fn)(void *user, const struct search *search);

struct searches *searches_new(searches_list_fn list, searches_wasted_fn wasted, void *user);
void searches_free(struct searches *searches);
/* A name does not exist. */
void searches_miss(struct searches *searches, const struct search *search);
/* A name has an answer. */
void searches_hit(struct searches *searches, const struct search *search);
/* Names that do not exist whose search list could not be read, so far. */
guint64 searches_unknown(const struct searches *searches);
