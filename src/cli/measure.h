/* SPDX-License-Identifier: Apache-2.0 */
/* What profile, offcpu and walltime share: options, targets, progress, Ctrl-C, output, exit status. */
#pragma once

/* A descriptor that becomes readable at SIGINT and SIGTERM, which are held back from now on; -1 when there is none. */
int measure_stop_fd(void);
/* Closes it and lets the signals through again. */
void measure_signals_restore(int stop_fd);

/* Runs the probe called `probe` with the command line; returns an exit status. */
int measure_main(const char *probe, int argc, char **argv);
