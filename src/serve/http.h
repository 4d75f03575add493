/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP on GLib's main loop: two listeners (TCP and a unix socket), bounded in every direction, and one function that
 * answers. libmicrohttpd reads and writes; nothing here blocks. */
#pragma once
#include <glib.h>

/* Whatever is beyond these is refused. */
#define HTTP_CONNECTIONS_MAX 128
#define HTTP_CONNECTION_BYTES (16u << 10) /* memory of one connection: request line and headers must fit into it */
#define HTTP_IDLE_S 20 /* without a byte */
#define HTTP_REQUEST_S 5 /* from the first byte waited for to the whole request, however slowly it drips */
#define HTTP_REPLY_S 120 /* to take an answer; streams may last */
#define HTTP_BODY_BYTES 1024 /* requests need no body */
#define HTTP_STREAMS_MAX 16
/* Waiting for one slow reader, unless it is one message; beyond it he misses messages, and is told. */
#define HTTP_STREAM_BYTES (256u << 10)

#define HTTP_ERROR (http_error_quark())
GQuark http_error_quark(void);
enum http_error {
	HTTP_ERROR_LISTEN = 1,
};

struct http;
struct http_stream;
struct MHD_Connection;

struct http_request {
	const char *method, *path; /* path: decoded, without the query */
	gboolean is_unix;
	guint32 peer_pid; /* of a unix connection; 0: not known */
	struct MHD_Connection *connection; /* private */
};

struct http_reply {
	guint status;
	const char *type; /* Content-Type; NULL: JSON */
	GBytes *body; /* taken over */
	const char *attachment; /* file name to save it under; NULL: none */
	const char *allow; /* of a 405 */
	gboolean challenge; /* of a 401 */
	gboolean may_cache; /* by the browser, until it closes */
	struct http_stream *stream; /* instead of a body: events until somebody closes */
};

/* NULL when there is none. Owned by the request. */
const char *http_header(const struct http_request *request, const char *name);
/* Value of a parameter of the query, decoded; NULL when absent. Owned by the request. */
const char *http_query(const struct http_request *request, const char *name);
/* What a JSON number can say exactly; a thousand times as much still fits into a gint64. */
#define HTTP_NUMBER_MAX (G_GINT64_CONSTANT(1) << 53)
/* The whole number of that name, `fallback` when it is not there. FALSE: what is there is none, or beyond HTTP_NUMBER_MAX. */
gboolean http_query_number(const struct http_request *request, const char *name, gint64 fallback, gint64 *number);

typedef void (*http_answer_fn)(void *user, const struct http_request *request, struct http_reply *reply);

struct http_options {
	const char *address; /* numeric, IPv4 or IPv6; NULL: no TCP */
	guint16 port; /* 0: any */
	const char *unix_path; /* made with mode 0600; NULL: none */
	const char *tls_certificate, *tls_key; /* PEM, both or neither; of TCP only */
};

struct http *http_new(const struct http_options *options, http_answer_fn answer, void *user, GError **error);
void http_free(struct http *http);
/* Port of the TCP listener; 0 when there is none. */
guint16 http_port(const struct http *http);
/* To be called about once a second: ends connections that took too long. */
void http_sweep(struct http *http);

struct http_counts {
	guint connections, streams; /* now */
	guint64 requests, refused, ended_slow, stream_dropped; /* since the start */
	guint64 cpu_ns; /* for whoever asked, since the start */
};
struct http_counts http_counts(const struct http *http);
/* Around what is done for readers besides answering: its CPU time counts, too. In pairs, which may be nested. */
void http_work_begin(struct http *http);
void http_work_end(struct http *http);
void http_count_refused(struct http *http);

/* A stream of server-sent events for a reply; NULL when there are HTTP_STREAMS_MAX. */
struct http_stream *http_stream_new(struct http *http);
/* Sends `data` (one line) as event `name` to all streams. */
void http_streams_send(struct http *http, const char *name, const char *data);
