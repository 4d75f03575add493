/* SPDX-License-Identifier: Apache-2.0 */
/* What this process itself takes. */
#pragma once
#include <glib.h>

guint64 own_resident_bytes(void); /* memory; 0: not known */
