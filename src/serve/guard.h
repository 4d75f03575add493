/* SPDX-License-Identifier: Apache-2.0 */
/* Who may ask: pure decisions over what a request carries, so that every rule has a unit test. */
#pragma once
#include <glib.h>

#define GUARD_TOKEN_CHARACTERS 43 /* 256 bits in base64url, without padding */

/* A new random token, owned by the caller; NULL and `error` when the kernel has no randomness. */
char *guard_token_new(GError **error);
/* Compares without telling by its time how much is right. FALSE when either is NULL or empty. */
gboolean guard_token_equal(const char *given, const char *token);
/* The password of "Basic …" (whoever the user is), owned by the caller; NULL when it is no such thing: for programs that
 * know no other way, such as go tool pprof http://x:TOKEN@127.0.0.1:7070/… */
char *guard_basic(const char *authorization);
/* The token of an Authorization header ("Bearer TOKEN"), a part of it; NULL when it holds none. */
const char *guard_bearer(const char *authorization);

/* Is `host` (a Host header, with or without port) one of ours: an address or name of this machine's loopback, or one of
 * `more` (may be NULL)? Against names that somebody else's name server points at 127.0.0.1. NULL is not. */
gboolean guard_host(const char *host, const char *const *more);
/* May a page of `origin` (an Origin header) ask what `host` serves? NULL may: then it is no page, or our own. */
gboolean guard_origin(const char *origin, const char *host);
