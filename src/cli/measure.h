/* SPDX-License-Identifier: Apache-2.0 */
/* What profile, offcpu and walltime share: options, targets, progress, Ctrl-C, output, exit status. */
#pragma once

/* Runs the probe called `probe` with the command line; returns an exit status. */
int measure_main(const char *probe, int argc, char **argv);
