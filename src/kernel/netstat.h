/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of a network namespace's TCP and UDP, from /proc/PID/net/snmp and netstat (RFC 1213 names, and Linux's own
 * "TcpExt"): a line of names, then one of values. What is not there is NETSTAT_UNKNOWN, never zero. */
#pragma once
#include <glib.h>

#define NETSTAT_UNKNOWN G_MAXUINT64

struct netstat {
	guint64 tcp_active_opens, tcp_passive_opens, tcp_failed_attempts, tcp_resets_received, tcp_established;
	guint64 tcp_segments_received, tcp_segments_sent, tcp_retransmits, tcp_resets_sent;
	guint64 tcp_spurious, tcp_timeouts, tcp_listen_overflows, tcp_listen_drops, tcp_zero_windows;
	guint64 tcp_syn_retransmits; /* SYN and SYN with ACK */
	guint64 tcp_loss_probes, tcp_request_drops;
	guint64 udp_received, udp_no_port, udp_errors, udp_overflows, udp_damaged;
	guint64 tcp_damaged, tcp_backlog_drops, tcp_queue_drops, tcp_zero_window_drops;
	guint64 ip_in_discards, ip_out_discards, ip_in_no_routes, ip_out_no_routes, ip_address_errors, ip_header_errors;
	guint64 ip_reverse_path;
};

/* FALSE when neither file can be read. */
gboolean netstat_read(const char *root, guint32 pid, struct netstat *netstat);
/* One file's text. */
void netstat_parse(const char *text, struct netstat *netstat);
