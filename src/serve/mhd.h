/* SPDX-License-Identifier: Apache-2.0 */
/* libmicrohttpd, loaded by who serves. It brings a library for TLS with nine of its own, which every other command would load and
 * relocate for nothing: 2 ms of CPU at each start, as much as all other libraries together. */
#pragma once
#include <microhttpd.h>

#define MICROHTTPD_FUNCTIONS(X)                                                                                        \
	X(add_response_header)                                                                                         \
	X(create_response_from_buffer_with_free_callback_cls)                                                          \
	X(create_response_from_callback)                                                                               \
	X(destroy_response)                                                                                            \
	X(get_connection_info)                                                                                         \
	X(get_daemon_info)                                                                                             \
	X(get_timeout)                                                                                                 \
	X(lookup_connection_value)                                                                                     \
	X(queue_response)                                                                                              \
	X(resume_connection)                                                                                           \
	X(run)                                                                                                         \
	X(start_daemon)                                                                                                \
	X(stop_daemon)                                                                                                 \
	X(suspend_connection)

/* MHD_run is microhttpd()->run, and so on. */
struct microhttpd {
#define MICROHTTPD_MEMBER(name) __typeof__(&MHD_##name) name;
	MICROHTTPD_FUNCTIONS(MICROHTTPD_MEMBER)
#undef MICROHTTPD_MEMBER
};

/* Loaded at the first call and kept; NULL when the machine does not have it. */
const struct microhttpd *microhttpd(void);
