/* SPDX-License-Identifier: Apache-2.0 */
/* What latency (histograms) and blame (edges) share: a probe that counts in tables, targets, intervals, output. */
#pragma once

/* Runs `command` ("latency" or "blame"); returns an exit status. */
int tables_main(const char *command, int argc, char **argv);
