/* SPDX-License-Identifier: Apache-2.0 */
/* Growth of memory by page faults; weight = bytes. */
#pragma once
#include "probe/probe.h"

#define MEMORY_EVERY 16 /* faults an event stands for when the request says 0 */

extern const struct probe probe_memory;
