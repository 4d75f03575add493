/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/netns.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/netlink.h"
#include "kernel/procfs.h"

#define NETNS_OWN "/proc/thread-self/ns/net"

GArray *netns_list(void)
{
	GArray *list = g_array_new(FALSE, FALSE, sizeof(struct netns));
	g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
	DIR *proc = opendir("/proc");

	/* Numbers come in order: the first of a namespace is its smallest. */
	for (struct dirent *entry; proc && list->len < NETNS_MAX && (entry = readdir(proc));) {
		struct netns netns = { .pid = (guint32)g_ascii_strtoull(entry->d_name, NULL, 10) };

		if (!netns.pid)
			continue;
		netns.inode = (guint32)procfs_namespace("/", netns.pid, NAMESPACE_NET);
		if (netns.inode && g_hash_table_add(seen, GUINT_TO_POINTER(netns.inode)))
			g_array_append_val(list, netns);
	}
	if (proc)
		closedir(proc);
	return list;
}

guint32 netns_own(void)
{
	struct stat stat;

	return fstatat(AT_FDCWD, NETNS_OWN, &stat, 0) == 0 ? (guint32)stat.st_ino : 0;
}

static int netns_fail(const struct netns *netns, GError **error)
{
	int reason = errno;

	g_set_error(error, NETLINK_ERROR, reason, "cannot look into the network namespace of process %u: %s",
		    netns->pid, g_strerror(reason));
	return -1;
}

/* A descriptor of the namespace itself. */
static int netns_open(const struct netns *netns, GError **error)
{
	g_autofree char *path = g_strdup_printf("/proc/%u/ns/net", netns->pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat stat;

	if (fd < 0)
		return netns_fail(netns, error);
	if (fstat(fd, &stat) == 0 && (guint32)stat.st_ino == netns->inode)
		return fd;
	close(fd);
	errno = ESRCH; /* the number is another process's, or it has moved */
	return netns_fail(netns, error);
}

int netns_socket(const struct netns *netns, int domain, int type, int protocol, GError **error)
{
	int there, here, fd, reason;

	if (netns->inode == netns_own()) {
		fd = socket(domain, type | SOCK_CLOEXEC, protocol);
		if (fd < 0)
			return netns_fail(netns, error);
		return fd;
	}
	there = netns_open(netns, error);
	if (there < 0)
		return -1;
	here = open(NETNS_OWN, O_RDONLY | O_CLOEXEC);
	if (here < 0 || setns(there, CLONE_NEWNET) != 0) {
		netns_fail(netns, error);
		if (here >= 0)
			close(here);
		close(there);
		return -1;
	}
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	reason = errno;
	if (setns(here, CLONE_NEWNET) != 0) /* nothing may go on in a stranger's network */
		g_error("cannot return to the own network namespace: %s", g_strerror(errno));
	close(here);
	close(there);
	errno = reason;
	if (fd < 0)
		return netns_fail(netns, error);
	return fd;
}

/* mnl_cb_t */
static int address_take(const struct nlmsghdr *message, void *user)
{
	const struct ifaddrmsg *head = mnl_nlmsg_get_payload(message);
	guint size = head->ifa_family == AF_INET ? 4 : 16;
	const struct nlattr *attribute, *local = NULL;
	struct netns_address address = { .family = head->ifa_family };
	GArray *list = user;

	if ((head->ifa_family != AF_INET && head->ifa_family != AF_INET6) || head->ifa_scope >= RT_SCOPE_LINK ||
	    list->len >= NETNS_ADDRESSES_MAX)
		return MNL_CB_OK;
	mnl_attr_for_each(attribute, message, sizeof(*head))
	{
		guint16 type = mnl_attr_get_type(attribute);

		/* Of a point-to-point link the other end's is in IFA_ADDRESS, its own in IFA_LOCAL. */
		if (type == IFA_LOCAL || (type == IFA_ADDRESS && !local))
			local = attribute;
	}
	if (!local || mnl_attr_get_payload_len(local) < size)
		return MNL_CB_OK;
	memcpy(address.bytes, mnl_attr_get_payload(local), size);
	g_array_append_val(list, address);
	return MNL_CB_OK;
}

GArray *netns_addresses(const struct netns *netns, GError **error)
{
	char buffer[MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct ifaddrmsg))];
	int fd = netns_socket(netns, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, error);
	struct nlmsghdr *request;
	GArray *list;

	if (fd < 0)
		return NULL;
	memset(buffer, 0, sizeof(buffer));
	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = RTM_GETADDR;
	mnl_nlmsg_put_extra_header(request, sizeof(struct ifaddrmsg));
	list = g_array_new(FALSE, FALSE, sizeof(struct netns_address));
	if (!netlink_dump(fd, request, address_take, list, "cannot read the addresses of a network namespace", error))
		g_clear_pointer(&list, g_array_unref);
	close(fd);
	return list;
}
