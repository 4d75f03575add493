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

static void netstat_value(struct netstat *netstat, const char *prefix, const char *name, guint64 value)
{
	for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
		if (strcmp(fields[i].name, name) == 0 && strcmp(fields[i].prefix, prefix) == 0)
			*(guint64 *)((char *)netstat + fields[i].offset) = value;
}

void netstat_parse(const char *text, struct netstat *netstat)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (guint i = 0; lines[i] && lines[i + 1]; i++) {
		g_auto(GStrv) names = g_strsplit(lines[i], " ", -1);
		g_auto(GStrv) values = g_strsplit(lines[i + 1], " ", -1);

		if (!names[0] || !values[0] || strcmp(names[0], values[0]) != 0)
			continue;
		for (guint j = 1; names[j] && values[j]; j++)
			netstat_value(netstat, names[0], names[j], g_ascii_strtoull(values[j], NULL, 10));
		i++;
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
