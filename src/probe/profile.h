/* SPDX-License-Identifier: Apache-2.0 */
/* On-CPU sampling; weight = samples. */
#pragma once
#include "probe/probe.h"

#define PROFILE_FREQUENCY_HZ 99 /* when the request says 0 */

extern const struct probe probe_profile;
