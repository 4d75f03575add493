/* SPDX-License-Identifier: Apache-2.0 */
/* How long TCP takes, as histograms: the times the probe "connections" keeps for each edge. One row is a container, who
 * it talks to and the server's port; `side` says whose view it is. */
#pragma once
#include "probe/probe.h"

extern const struct probe probe_connect, probe_rtt, probe_first_byte, probe_request;
