/* SPDX-License-Identifier: Apache-2.0 */
/* What flows from the kernel while a probe runs, joined: distinct stacks (bpf/stack.bpf.h), mappings, forks, execs and
 * exits (sideband.h), births and deaths of cgroups (births.h). Handed to the listener in the order of time, so that a
 * stack is seen with the mappings its process had then, even when it has exec'ed or ended since. */
#pragma once
#include <bpf/libbpf.h>
#include <glib.h>

#include "probe/probe.h"

struct intake;
struct stack_key;

/* Opened before the probe attaches, so that nothing is missed. `object`: the loaded kernel half, made with stack.bpf.h
 * and births.bpf.h. Without permission for the side-band or births the probe still works: intake_account notes what
 * is missing. */
struct intake *intake_open(struct bpf_object *object, const struct probe_request *request,
			   const struct probe_listener *listener, GError **error);
void intake_close(struct intake *intake);

int intake_fd(const struct intake *intake);
/* Only processes asked for by number are watched, and for a while nothing happened to them but samples. */
gboolean intake_is_calm(const struct intake *intake);
/* Hands what waits to the listener, for a bounded time: a flood may come faster than it is taken. */
gboolean intake_drain(struct intake *intake, GError **error);
/* Everything that waits, however long that takes: for when nothing more can come. */
gboolean intake_drain_rest(struct intake *intake, GError **error);
/* Makes room in the kernel's rings: what waits there is kept and handed out by the next intake_drain. */
gboolean intake_hoard(struct intake *intake, GError **error);

/* The id handed to the listener for the kernel half's stack id; PROBE_NO_STACK when its record never came. */
guint32 intake_stack(const struct intake *intake, guint32 kernel_id);
/* Whose that stack is (`id` as handed to the listener); owned by the intake. NULL for PROBE_NO_STACK. */
const struct probe_task *intake_task(const struct intake *intake, guint32 id);

/* From now on, what walks depend on is told to the kernel half's map `user_paths` (userpath.h). */
void intake_learn_paths(struct intake *intake, int map_fd, const struct stack_key *seed);

/* How well the kernel half recognised user stacks it did not copy: checks by copying all the same. */
struct intake_audit {
	guint64 checked, wrong;
};
struct intake_audit intake_audit(const struct intake *intake);

typedef void (*intake_copied_fn)(void *user, guint32 stack, guint64 events, guint64 weight);
/* Hands out what each stack weighs that the kernel half sent without counting it (STACK_NO_ID, STACK_EACH), since the last
 * time. */
void intake_take_copied(struct intake *intake, intake_copied_fn each, void *user);
/* Hands the moments of stacks to the listener, in order, where the request asked for them. */
void intake_tell_moments(struct intake *intake);
/* See probe.h. */
void intake_teach(struct intake *intake, guint32 tgid, const struct python_process *process);
/* Adds notes on what could not be heard. */
void intake_account(struct intake *intake, struct ledger *ledger);
