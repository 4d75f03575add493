/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <zlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "serve/mhd.h"

#define HTTP_GZIP_MIN 1024 /* bytes; less is not worth it */
#define HTTP_GZIP_LEVEL 1
#define HTTP_BACKLOG 128
#define HTTP_PEM_BYTES (256u << 10)
#define HTTP_STREAM_KERNEL_BYTES (64 << 10) /* of a stream, not sent yet */
#define HTTP_ROUNDS 8 /* of one listener before the loop's other business gets its turn */

G_DEFINE_QUARK(http - error - quark, http_error)

/* One of MHD's daemons, driven by the loop: its epoll descriptor becomes readable, or it has something left to do. */
struct listener {
	struct http *http;
	struct MHD_Daemon *daemon;
	guint watch, again; /* sources */
};

struct connection {
	struct http *http;
	int fd;
	gboolean is_unix;
	guint32 peer_pid;
	guint64 waiting_since_ns; /* for a request; 0: none is waited for */
	guint64 replying_since_ns; /* 0: not, or a stream */
};

struct http {
	http_answer_fn answer;
	void *user;
	struct listener *listeners[2]; /* TCP, unix; NULL: none */
	char *unix_path;
	guint16 port;
	GHashTable *connections; /* of struct connection */
	GPtrArray *streams; /* of struct http_stream */
	struct http_counts counts;
	guint works; /* begun and not ended */
	guint64 work_since_ns; /* CPU time then */
};

struct http_stream {
	struct http *http; /* NULL: closed */
	struct MHD_Connection *connection;
	GString *waiting;
	gboolean is_suspended;
	guint64 dropped;
};

/* A request on its way in. */
struct incoming {
	gsize body_bytes;
	gboolean is_seen;
};

/* ---- the loop ---- */

void http_work_begin(struct http *http)
{
	if (http->works++ == 0)
		http->work_since_ns = clock_thread_ns();
}

void http_work_end(struct http *http)
{
	if (--http->works == 0)
		http->counts.cpu_ns += clock_thread_ns() - http->work_since_ns;
}

static gboolean listener_run(gpointer data);

static gboolean listener_wants_more(struct listener *listener)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;

	return microhttpd()->get_timeout(listener->daemon, &wait_ms) == MHD_YES && wait_ms == 0;
}

static gboolean listener_again(gpointer data)
{
	struct listener *listener = data;

	listener->again = 0;
	listener_run(listener);
	return G_SOURCE_REMOVE;
}

static gboolean listener_run(gpointer data)
{
	struct listener *listener = data;
	guint rounds = 0;

	http_work_begin(listener->http);
	do
		microhttpd()->run(listener->daemon);
	while (++rounds < HTTP_ROUNDS && listener_wants_more(listener));
	http_work_end(listener->http);
	if (!listener->again && listener_wants_more(listener))
		listener->again = g_idle_add(listener_again, listener);
	return G_SOURCE_CONTINUE;
}

static gboolean listener_ready(gint fd, GIOCondition condition, gpointer data)
{
	(void)fd;
	(void)condition;
	return listener_run(data);
}

static void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	g_source_remove(listener->watch);
	if (listener->again)
		g_source_remove(listener->again);
	microhttpd()->stop_daemon(listener->daemon);
	g_free(listener);
}

static void http_run(struct http *http)
{
	for (guint i = 0; i < G_N_ELEMENTS(http->listeners); i++)
		if (http->listeners[i])
			listener_run(http->listeners[i]);
}

/* ---- connections ---- */

static guint32 peer_pid(int fd)
{
	struct ucred peer = { 0 };
	socklen_t length = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? (guint32)peer.pid : 0;
}

static gboolean is_unix_socket(int fd)
{
	int domain = 0;
	socklen_t length = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

/* MHD_NotifyConnectionCallback */
static void connection_notify(void *user, struct MHD_Connection *mhd, void **context,
			      enum MHD_ConnectionNotificationCode code)
{
	struct http *http = user;
	struct connection *connection = *context;
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		g_hash_table_remove(http->connections, connection);
		*context = NULL;
		return;
	}
	info = microhttpd()->get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	connection = g_new0(struct connection, 1);
	connection->http = http;
	connection->fd = info ? info->connect_fd : -1;
	connection->is_unix = is_unix_socket(connection->fd);
	connection->peer_pid = connection->is_unix ? peer_pid(connection->fd) : 0;
	connection->waiting_since_ns = clock_monotonic_ns();
	g_hash_table_add(http->connections, connection);
	*context = connection;
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		microhttpd()->get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* MHD_RequestCompletedCallback */
static void request_completed(void *user, struct MHD_Connection *mhd, void **context,
			      enum MHD_RequestTerminationCode code)
{
	struct connection *connection = connection_of(mhd);

	(void)user;
	(void)code;
	g_clear_pointer((struct incoming **)context, g_free);
	if (!connection)
		return;
	connection->waiting_since_ns = clock_monotonic_ns();
	connection->replying_since_ns = 0;
}

void http_sweep(struct http *http)
{
	guint64 now_ns = clock_monotonic_ns();
	GHashTableIter iter;
	gpointer key;

	g_hash_table_iter_init(&iter, http->connections);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		const struct connection *connection = key;

		if ((connection->waiting_since_ns &&
		     now_ns - connection->waiting_since_ns > HTTP_REQUEST_S * NS_PER_S) ||
		    (connection->replying_since_ns &&
		     now_ns - connection->replying_since_ns > HTTP_REPLY_S * NS_PER_S)) {
			http->counts.ended_slow++;
			shutdown(connection->fd, SHUT_RDWR); /* MHD sees its end and closes it */
		}
	}
	http_run(http);
}

/* ---- streams ---- */

struct http_stream *http_stream_new(struct http *http)
{
	struct http_stream *stream;

	if (http->streams->len >= HTTP_STREAMS_MAX)
		return NULL;
	stream = g_new0(struct http_stream, 1);
	stream->http = http;
	stream->waiting = g_string_new(": fathom\n\n"); /* so that the headers leave at once */
	g_ptr_array_add(http->streams, stream);
	return stream;
}

/* MHD_ContentReaderFreeCallback */
static void stream_free(void *data)
{
	struct http_stream *stream = data;

	if (stream->http)
		g_ptr_array_remove_fast(stream->http->streams, stream);
	g_string_free(stream->waiting, TRUE);
	g_free(stream);
}

/* MHD_ContentReaderCallback */
static ssize_t stream_read(void *data, uint64_t position, char *buffer, size_t room)
{
	struct http_stream *stream = data;
	gsize length = MIN(stream->waiting->len, room);

	(void)position;
	if (!stream->http)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (!length) {
		stream->is_suspended = TRUE;
		microhttpd()->suspend_connection(stream->connection);
		return 0;
	}
	memcpy(buffer, stream->waiting->str, length);
	g_string_erase(stream->waiting, 0, (gssize)length);
	return (ssize_t)length;
}

static void stream_wake(struct http_stream *stream)
{
	if (!stream->is_suspended)
		return;
	stream->is_suspended = FALSE;
	microhttpd()->resume_connection(stream->connection);
}

static void stream_send(struct http_stream *stream, const char *name, const char *data)
{
	if (stream->waiting->len && stream->waiting->len + strlen(data) > HTTP_STREAM_BYTES) {
		stream->dropped++;
		stream->http->counts.stream_dropped++;
	} else {
		if (stream->dropped)
			g_string_append_printf(stream->waiting, "event: gap\ndata: %" G_GUINT64_FORMAT "\n\n",
					       stream->dropped);
		stream->dropped = 0;
		g_string_append_printf(stream->waiting, "event: %s\ndata: %s\n\n", name, data);
	}
	stream_wake(stream);
}

void http_streams_send(struct http *http, const char *name, const char *data)
{
	for (guint i = 0; i < http->streams->len; i++)
		stream_send(g_ptr_array_index(http->streams, i), name, data);
	if (http->streams->len)
		http_run(http);
}

/* ---- requests and answers ---- */

const char *http_header(const struct http_request *request, const char *name)
{
	return microhttpd()->lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *request, const char *name)
{
	return microhttpd()->lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

gboolean http_query_number(const struct http_request *request, const char *name, gint64 fallback, gint64 *number)
{
	const char *text = http_query(request, name);
	char *end = NULL;

	*number = fallback;
	if (!text)
		return TRUE;
	*number = g_ascii_strtoll(text, &end, 10);
	return text[0] && !*end && *number >= -HTTP_NUMBER_MAX && *number <= HTTP_NUMBER_MAX;
}

/* On every answer: nothing is embedded, framed, sniffed or run but our own files. */
static const struct {
	const char *name, *value;
} headers_always[] = {
	{ "Content-Security-Policy",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
	  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "X-Frame-Options", "DENY" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Opener-Policy", "same-origin" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
};

/* The body gzipped, for whoever takes that; FALSE when it stays as it is. */
static gboolean body_gzip(struct MHD_Connection *mhd, struct http_reply *reply)
{
	const char *accepted = microhttpd()->lookup_connection_value(mhd, MHD_HEADER_KIND, "Accept-Encoding");
	gsize length = 0, room;
	const void *data = reply->body ? g_bytes_get_data(reply->body, &length) : NULL;
	z_stream stream = { 0 };
	guint8 *packed;
	gboolean done;

	if (length < HTTP_GZIP_MIN || !accepted || !strstr(accepted, "gzip") || strstr(accepted, "gzip;q=0") ||
	    (reply->type && strcmp(reply->type, "application/octet-stream") == 0) ||
	    deflateInit2(&stream, HTTP_GZIP_LEVEL, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return FALSE;
	room = deflateBound(&stream, length);
	packed = g_malloc(room);
	stream.next_in = (Bytef *)data;
	stream.avail_in = (uInt)length;
	stream.next_out = packed;
	stream.avail_out = (uInt)room;
	done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
	if (done) {
		g_bytes_unref(reply->body);
		reply->body = g_bytes_new_take(packed, stream.total_out);
	} else {
		g_free(packed);
	}
	deflateEnd(&stream);
	return done;
}

static struct MHD_Response *response_of(struct http_reply *reply)
{
	gsize length = 0;
	const void *data;

	if (reply->stream)
		return microhttpd()->create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, stream_read, reply->stream,
								   stream_free);
	if (!reply->body)
		reply->body = g_bytes_new_static("", 0);
	data = g_bytes_get_data(reply->body, &length);
	return microhttpd()->create_response_from_buffer_with_free_callback_cls(
		length, (void *)data, (MHD_ContentReaderFreeCallback)g_bytes_unref, reply->body);
}

static enum MHD_Result reply_send(struct MHD_Connection *mhd, struct http_reply *reply)
{
	static const int stream_kernel_bytes = HTTP_STREAM_KERNEL_BYTES;
	struct connection *connection = connection_of(mhd);
	gboolean is_gzip = !reply->stream && body_gzip(mhd, reply);
	struct MHD_Response *response = response_of(reply);
	enum MHD_Result result;

	for (guint i = 0; i < G_N_ELEMENTS(headers_always); i++)
		microhttpd()->add_response_header(response, headers_always[i].name, headers_always[i].value);
	microhttpd()->add_response_header(response, "Cache-Control", reply->may_cache ? "no-cache" : "no-store");
	microhttpd()->add_response_header(response, "Content-Type",
					  reply->stream ? "text/event-stream"
					  : reply->type ? reply->type
							: "application/json; charset=utf-8");
	if (is_gzip)
		microhttpd()->add_response_header(response, "Content-Encoding", "gzip");
	if (!reply->stream)
		microhttpd()->add_response_header(response, "Vary", "Accept-Encoding");
	if (reply->allow)
		microhttpd()->add_response_header(response, "Allow", reply->allow);
	if (reply->challenge)
		microhttpd()->add_response_header(response, "WWW-Authenticate", "Bearer realm=\"fathom\"");
	if (reply->attachment) {
		g_autofree char *disposition = g_strdup_printf("attachment; filename=\"%s\"", reply->attachment);

		microhttpd()->add_response_header(response, "Content-Disposition", disposition);
	}
	if (connection) {
		connection->waiting_since_ns = 0;
		connection->replying_since_ns = reply->stream ? 0 : clock_monotonic_ns();
	}
	if (reply->stream) {
		reply->stream->connection = mhd;
		/* What the kernel holds for a reader that does not read counts as ours, too: by itself it is megabytes. */
		if (connection)
			setsockopt(connection->fd, SOL_SOCKET, SO_SNDBUF, &stream_kernel_bytes,
				   sizeof(stream_kernel_bytes));
	}
	result = microhttpd()->queue_response(mhd, reply->status, response);
	microhttpd()->destroy_response(response);
	return result;
}

static enum MHD_Result refuse_body(struct http *http, struct MHD_Connection *mhd)
{
	static const char text[] = "{\"error\":\"requests need no body\"}\n";
	struct http_reply reply = { .status = MHD_HTTP_CONTENT_TOO_LARGE,
				    .body = g_bytes_new_static(text, strlen(text)) };

	http->counts.refused++;
	return reply_send(mhd, &reply);
}

static gboolean announces_large_body(struct MHD_Connection *mhd)
{
	const char *length = microhttpd()->lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Length");

	return length && g_ascii_strtoull(length, NULL, 10) > HTTP_BODY_BYTES;
}

/* MHD_AccessHandlerCallback: called with the headers, for each piece of a body, and at the end. */
static enum MHD_Result request_take(void *user, struct MHD_Connection *mhd, const char *url, const char *method,
				    const char *version, const char *upload, size_t *upload_bytes, void **context)
{
	struct connection *connection = connection_of(mhd);
	struct incoming *incoming = *context;
	struct http *http = user;
	struct http_request request = { .method = method, .path = url, .connection = mhd };
	struct http_reply reply = { .status = MHD_HTTP_OK };

	(void)version;
	(void)upload;
	if (!incoming) {
		*context = g_new0(struct incoming, 1);
		return announces_large_body(mhd) ? refuse_body(http, mhd) : MHD_YES;
	}
	if (*upload_bytes) {
		incoming->body_bytes += *upload_bytes;
		*upload_bytes = 0;
		return incoming->body_bytes > HTTP_BODY_BYTES ? MHD_NO : MHD_YES; /* NO: the connection ends */
	}
	http->counts.requests++;
	request.is_unix = connection && connection->is_unix;
	request.peer_pid = connection ? connection->peer_pid : 0;
	http->answer(http->user, &request, &reply);
	return reply_send(mhd, &reply);
}

void http_count_refused(struct http *http)
{
	http->counts.refused++;
}

struct http_counts http_counts(const struct http *http)
{
	struct http_counts counts = http->counts;

	counts.connections = g_hash_table_size(http->connections);
	counts.streams = http->streams->len;
	return counts;
}

guint16 http_port(const struct http *http)
{
	return http->port;
}

/* ---- listening ---- */

static gboolean listen_fail(GError **error, const char *where, int number)
{
	g_set_error(error, HTTP_ERROR, HTTP_ERROR_LISTEN, "cannot listen on %s: %s%s", where, g_strerror(number),
		    number == EADDRINUSE ? " (another agent? choose another with --listen)" : "");
	return FALSE;
}

static gboolean tcp_address(const struct http_options *options, struct sockaddr_storage *address, socklen_t *length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, options->address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(options->port);
		*length = sizeof(*v4);
		return TRUE;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(options->port);
	*length = sizeof(*v6);
	return inet_pton(AF_INET6, options->address, &v6->sin6_addr) == 1;
}

static int tcp_listen(struct http *http, const struct http_options *options, GError **error)
{
	struct sockaddr_storage address;
	socklen_t length;
	int fd, one = 1;

	if (!tcp_address(options, &address, &length)) {
		g_set_error(error, HTTP_ERROR, HTTP_ERROR_LISTEN, "\"%s\" is no numeric address: give 127.0.0.1 or ::1",
			    options->address);
		return -1;
	}
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, HTTP_BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
		g_autofree char *where = g_strdup_printf("%s port %u", options->address, options->port);

		listen_fail(error, where, errno);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	http->port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
							: ((struct sockaddr_in6 *)&address)->sin6_port);
	return fd;
}

/* TRUE when somebody answers there. */
static gboolean unix_is_alive(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	gboolean alive = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

	if (fd >= 0)
		close(fd);
	return alive;
}

static int unix_listen(struct http *http, const struct http_options *options, GError **error)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t before;
	int fd, bound;

	if (g_strlcpy(address.sun_path, options->unix_path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
		listen_fail(error, options->unix_path, ENAMETOOLONG);
		return -1;
	}
	if (unix_is_alive(&address)) {
		listen_fail(error, options->unix_path, EADDRINUSE);
		return -1;
	}
	unlink(options->unix_path); /* of one that was killed */
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	before = umask(0177);
	bound = fd >= 0 ? bind(fd, (struct sockaddr *)&address, sizeof(address)) : -1;
	umask(before);
	if (bound < 0 || listen(fd, HTTP_BACKLOG) < 0) {
		listen_fail(error, options->unix_path, errno);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	http->unix_path = g_strdup(options->unix_path);
	return fd;
}

/* As GnuTLS has them: nothing older than TLS 1.2. */
#define HTTP_TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

static gboolean listener_start(struct http *http, guint which, int fd, const char *key, const char *certificate,
			       GError **error)
{
	const struct MHD_OptionItem tls[] = {
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key },
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)certificate },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)HTTP_TLS_PRIORITIES },
		{ MHD_OPTION_END, 0, NULL },
	};
	const struct MHD_OptionItem plain[] = { { MHD_OPTION_END, 0, NULL } };
	guint flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | (key ? MHD_USE_TLS : 0);
	const union MHD_DaemonInfo *info;
	struct listener *listener;
	struct MHD_Daemon *daemon;

	daemon = microhttpd()->start_daemon(flags, 0, NULL, NULL, request_take, http, MHD_OPTION_LISTEN_SOCKET, fd,
					    MHD_OPTION_CONNECTION_LIMIT, (unsigned int)HTTP_CONNECTIONS_MAX,
					    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)HTTP_IDLE_S,
					    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_BYTES,
					    MHD_OPTION_NOTIFY_CONNECTION, connection_notify, http,
					    MHD_OPTION_NOTIFY_COMPLETED, request_completed, http, MHD_OPTION_ARRAY,
					    key ? tls : plain, MHD_OPTION_END);
	if (!daemon) {
		close(fd);
		g_set_error(error, HTTP_ERROR, HTTP_ERROR_LISTEN, "cannot start the HTTP server%s",
			    key ? ": is the TLS certificate the key's?" : "");
		return FALSE;
	}
	listener = g_new0(struct listener, 1);
	listener->http = http;
	listener->daemon = daemon;
	info = microhttpd()->get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
	listener->watch = g_unix_fd_add(info->epoll_fd, G_IO_IN, listener_ready, listener);
	http->listeners[which] = listener;
	return TRUE;
}

static gboolean tcp_start(struct http *http, const struct http_options *options, GError **error)
{
	g_autofree char *key = NULL, *certificate = NULL;
	int fd;

	if (options->tls_key) {
		key = file_read(options->tls_key, HTTP_PEM_BYTES, NULL, error);
		certificate = key ? file_read(options->tls_certificate, HTTP_PEM_BYTES, NULL, error) : NULL;
		if (!certificate)
			return FALSE;
	}
	fd = tcp_listen(http, options, error);
	return fd >= 0 && listener_start(http, 0, fd, key, certificate, error);
}

struct http *http_new(const struct http_options *options, http_answer_fn answer, void *user, GError **error)
{
	struct http *http;
	gboolean ok = TRUE;
	int fd;

	if (!microhttpd()) {
		g_set_error(error, HTTP_ERROR, HTTP_ERROR_LISTEN,
			    "cannot serve: libmicrohttpd is missing (Debian: apt install libmicrohttpd12)");
		return NULL;
	}
	http = g_new0(struct http, 1);
	http->answer = answer;
	http->user = user;
	http->connections = g_hash_table_new_full(NULL, NULL, g_free, NULL);
	http->streams = g_ptr_array_new();
	if (options->address)
		ok = tcp_start(http, options, error);
	if (ok && options->unix_path) {
		fd = unix_listen(http, options, error);
		ok = fd >= 0 && listener_start(http, 1, fd, NULL, NULL, error);
	}
	if (ok)
		return http;
	http_free(http);
	return NULL;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	/* Suspended connections must be awake when their daemon stops. */
	for (guint i = 0; i < http->streams->len; i++) {
		struct http_stream *stream = g_ptr_array_index(http->streams, i);

		stream->http = NULL;
		stream_wake(stream);
	}
	http_run(http);
	for (guint i = 0; i < G_N_ELEMENTS(http->listeners); i++)
		listener_free(http->listeners[i]);
	if (http->unix_path)
		unlink(http->unix_path);
	g_free(http->unix_path);
	g_ptr_array_unref(http->streams);
	g_hash_table_unref(http->connections);
	g_free(http);
}
