/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/netstat.h"

#include <string.h>

#include "base/file.h"

#define NETSTAT_BYTES_MAX (256u << 10)

#define FIELD(prefix, name, member)                                                                                    \
	{                                                                                                              \
		prefix, name, G_STRUCT_OFFSET(struct netstat, member)                                                  \
	}

static const struct {
	const char *prefix, *name;
	gsize offset;
} fields[] = {
	FIELD("Tcp:", "ActiveOpens", tcp_active_opens),
	FIELD("Tcp:", "PassiveOpens", tcp_passive_opens),
	FIELD("Tcp:", "AttemptFails", tcp_failed_attempts),
	FIELD("Tcp:", "EstabResets", tcp_resets_received),
	FIELD("Tcp:", "CurrEstab", tcp_established),
	FIELD("Tcp:", "InSegs", tcp_segments_received),
	FIELD("Tcp:", "OutSegs", tcp_segments_sent),
	FIELD("Tcp:", "RetransSegs", tcp_retransmits),
	FIELD("Tcp:", "OutRsts", tcp_resets_sent),
	FIELD("TcpExt:", "TCPDSACKRecv", tcp_spurious),
	FIELD("TcpExt:", "TCPTimeouts", tcp_timeouts),
	FIELD("TcpExt:", "ListenOverflows", tcp_listen_overflows),
	FIELD("TcpExt:", "ListenDrops", tcp_listen_drops),
	FIELD("TcpExt:", "TCPToZeroWindowAdv", tcp_zero_windows),
	FIELD("TcpExt:", "TCPSynRetrans", tcp_syn_retransmits),
	FIELD("TcpExt:", "TCPLossProbes", tcp_loss_probes),
	FIELD("TcpExt:", "TCPReqQFullDrop", tcp_request_drops),
	FIELD("Udp:", "InDatagrams", udp_received),
	FIELD("Udp:", "NoPorts", udp_no_port),
	FIELD("Udp:", "InErrors", udp_errors),
	FIELD("Udp:", "RcvbufErrors", udp_overflows),
	FIELD("Udp:", "InCsumErrors", udp_damaged),
	FIELD("Tcp:", "InCsumErrors", tcp_damaged),
	FIELD("TcpExt:", "TCPBacklogDrop", tcp_backlog_drops),
	FIELD("TcpExt:", "TCPRcvQDrop", tcp_queue_drops),
	FIELD("TcpExt:", "TCPZeroWindowDrop", tcp_zero_window_drops),
	FIELD("Ip:", "InDiscards", ip_in_discards),
	FIELD("Ip:", "OutDiscards", ip_out_discards),
	FIELD("IpExt:", "InNoRoutes", ip_in_no_routes),
	FIELD("Ip:", "OutNoRoutes", ip_out_no_routes),
	FIELD("Ip:", "InAddrErrors", ip_address_errors),
	FIELD("Ip:", "InHdrErrors", ip_header_errors),
	FIELD("TcpExt:", "IPReversePathFilter", ip_reverse_path),
};

static gboolean is_word(const char *word, const char *text, gsize length)
{
	return strncmp(word, text, length) == 0 && word[length] == '\0';
}

static void netstat_value(struct netstat *netstat, const char *prefix, gsize prefix_length, const char *name,
			  gsize length, const char *value)
{
	for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
		if (fields[i].name[0] == name[0] && is_word(fields[i].name, name, length) &&
		    is_word(fields[i].prefix, prefix, prefix_length))
			*(guint64 *)((char *)netstat + fields[i].offset) = g_ascii_strtoull(value, NULL, 10);
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return *line ? line + 1 : line;
}

static const char *next_word(const char *word)
{
	word += strcspn(word, " \n");
	return *word == ' ' ? word + 1 : word;
}

static gboolean is_any_wanted(const char *prefix, gsize length)
{
	for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
		if (is_word(fields[i].prefix, prefix, length))
			return TRUE;
	return FALSE;
}

/* A line of names, then one of values, both beginning with the same word. Many hundreds of words, for each container: so
 * nothing is copied. */
void netstat_parse(const char *text, struct netstat *netstat)
{
	while (*text) {
		const char *values = next_line(text), *name = next_word(text), *value = next_word(values);
		gsize length = strcspn(text, " \n");

		if (!*values || strncmp(text, values, length) != 0 || strcspn(values, " \n") != length) {
			text = values;
			continue;
		}
		while (is_any_wanted(text, length) && *name && *name != '\n' && *value && *value != '\n') {
			netstat_value(netstat, text, length, name, strcspn(name, " \n"), value);
			name = next_word(name);
			value = next_word(value);
		}
		text = next_line(values);
	}
}

gboolean netstat_read(const char *root, guint32 pid, struct netstat *netstat)
{
	static const char *const names[] = { "snmp", "netstat" };
	gboolean found = FALSE;

	memset(netstat, 0xff, sizeof(*netstat)); /* NETSTAT_UNKNOWN */
	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path =
			g_strdup_printf("%s/proc/%u/net/%s", strcmp(root, "/") == 0 ? "" : root, pid, names[i]);
		g_autofree char *text = file_read(path, NETSTAT_BYTES_MAX, NULL, NULL);

		if (!text)
			continue;
		found = TRUE;
		netstat_parse(text, netstat);
	}
	return found;
}
