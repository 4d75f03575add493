/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What both halves must agree on. */
#pragma once

/* A name (KSYM_NAME_LEN: 512), its offset and size, a module's name. */
#define KERNEL_NAME_TEXT_BYTES 1024
