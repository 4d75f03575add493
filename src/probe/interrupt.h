/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Interrupt handlers (irq) and soft interrupts (softirq): keys are numbers of lines and of vectors. */
#pragma once
#include "bpf/table.h"

#ifndef __bpf__
#include "probe/probe.h"

extern const struct probe probe_irq, probe_softirq;
#endif
