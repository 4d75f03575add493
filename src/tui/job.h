/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs run beside the screen, one after the other; what the last one says is kept. */
#pragma once
#include <glib.h>

#define JOB_TEXT_BYTES_MAX (256u << 10)

struct job;

/* `commands`: array of char ** (argv, NULL-terminated), taken over. They see neither the keyboard nor the screen. */
struct job *job_start(GPtrArray *commands, GError **error);
/* Kills what still runs. */
void job_free(struct job *job);
/* Readable when there is something to do: then call job_step. -1: nothing to wait for. */
int job_fd(const struct job *job);
/* TRUE when all is done. */
gboolean job_step(struct job *job);
/* What the last program wrote (its complaints, when one failed); raw. */
const char *job_text(const struct job *job);
gboolean job_failed(const struct job *job);
