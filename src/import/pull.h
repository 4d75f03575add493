/* SPDX-License-Identifier: Apache-2.0 */
/* JSON read piece by piece, for captures: a library that builds the whole document would need some 50 bytes for each
 * number of a capture, and there are millions. The caller knows what it expects and asks for it. */
#pragma once
#include "import/input.h"

#define PULL_STRING_BYTES_MAX (1u << 20)
#define PULL_DEPTH_MAX 32

struct pull {
	struct input *input; /* not owned */
	GString *text; /* the last string or key read, raw bytes */
	gboolean first; /* no comma is due before the next member */
};

void pull_init(struct pull *pull, struct input *input);
void pull_clear(struct pull *pull);

/* All return FALSE and `error` with the position when the input is something else. */
gboolean pull_begin(struct pull *pull, char bracket, GError **error);
/* 1: there is one more element (for objects: its key is in pull->text); 0: the bracket closed; -1: `error`. */
int pull_element(struct pull *pull, GError **error);
int pull_member(struct pull *pull, GError **error);
/* A whole array or object: `each` reads an element, or the value of the member whose key is in pull->text. */
typedef gboolean (*pull_each_fn)(struct pull *pull, void *user, GError **error);
gboolean pull_array(struct pull *pull, pull_each_fn each, void *user, GError **error);
gboolean pull_object(struct pull *pull, pull_each_fn each, void *user, GError **error);
gboolean pull_uint(struct pull *pull, guint64 *value, GError **error);
/* A string, or null (then *is_null). The text is in pull->text. */
gboolean pull_string(struct pull *pull, gboolean *is_null, GError **error);
/* Any value. */
gboolean pull_skip(struct pull *pull, GError **error);
/* The next byte that is not white space, without consuming it; 0 at the end; -1: `error`. */
int pull_next(struct pull *pull, GError **error);
gboolean pull_fail(const struct pull *pull, GError **error, const char *what);
