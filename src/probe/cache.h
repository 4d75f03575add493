/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads of files: how many pages were asked for, and how many had to be brought into the page cache for them. */
#pragma once
#include "bpf/table.h"

enum cache_kind {
	CACHE_ASKED = 0, /* pages of a read */
	CACHE_BROUGHT =
		1, /* pages that entered the page cache while their reader was in a read, those read ahead included */
	CACHE_KINDS = 2,
};

#define CACHE_CALLS 512 /* system calls are told apart up to this number */

#ifndef __bpf__
#include "probe/probe.h"

/* Values of the label "pages". */
#define CACHE_TEXT_ASKED "asked"
#define CACHE_TEXT_BROUGHT "brought"

extern const struct probe probe_cache;
#endif
