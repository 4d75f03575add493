/* SPDX-License-Identifier: Apache-2.0 */
/* One question to the kernel over netlink whose answer is a list (NLM_F_DUMP), read through libmnl. */
#pragma once
#include <glib.h>
#include <libmnl/libmnl.h>

#define NETLINK_ERROR (netlink_error_quark())
GQuark netlink_error_quark(void);

/* Sends `request` (its length is in its header) and calls `each` for every message of the answer; MNL_CB_OK goes on,
 * MNL_CB_STOP ends early. The answer is read to its end either way. FALSE and `error` ("`what`: why"). */
gboolean netlink_dump(int fd, struct nlmsghdr *request, mnl_cb_t each, void *user, const char *what, GError **error);
