/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The scheduler's clock where it stands still. A thread that is woken up and takes the CPU at once finds rq->clock where the
 * wake-up left it: the kernel spares itself the second reading (rq_clock_skip_update). Its wait is then measured by the clock we
 * can read; how the two run against each other is noted now and then, when the scheduler's has just moved. For programs on
 * sched_switch, of the CPU they run on. */
#pragma once

#define CLOCK_NOTE_NS 1000000 /* at most so often */
#define CLOCK_RATE_NS 250000000 /* a rate is taken over no less */
#define CLOCK_RATE_RENEW_NS 4000000000ULL
#define CLOCK_NO_RATE_NS 4000000 /* without a rate a note is good for so long */
#define CLOCK_WAIT_MAX_NS 1000000 /* whoever takes the CPU at once has not waited longer */

/* What a CPU's two clocks say, ours and its run queue's. */
struct clock_pair {
	u64 ours, rq;
};

struct clock_note {
	struct clock_pair last, first; /* `first`: since when the rate is taken */
	u64 rate; /* how much they drift apart: 2^-32 */
	u32 slower; /* than ours: the scheduler's */
	u32 known; /* is `rate` */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct clock_note);
} clock_notes SEC(".maps");

static __always_inline void clock_take(struct clock_note *note, u64 now, u64 ours)
{
	u64 d_ours, d_rq;

	note->last.ours = ours;
	note->last.rq = now;
	d_ours = ours - note->first.ours;
	d_rq = now - note->first.rq;
	if (!note->first.ours) {
		note->first = note->last;
	} else if (d_ours >= CLOCK_RATE_NS) {
		note->slower = d_rq < d_ours;
		note->rate = ((note->slower ? d_ours - d_rq : d_rq - d_ours) << 32) / d_ours;
		note->known = 1;
		if (d_ours >= CLOCK_RATE_RENEW_NS)
			note->first = note->last;
	}
}

/* The scheduler's clock, were it read now; `now` when that cannot be said. */
static __always_inline u64 clock_guess(const struct clock_note *note, u64 now, u64 ours)
{
	u64 age, drift, guess;

	if (!note->last.ours)
		return now;
	age = ours - note->last.ours;
	if (!note->known && age > CLOCK_NO_RATE_NS)
		return now;
	drift = age * note->rate >> 32;
	guess = note->last.rq + (note->slower ? age - drift : age + drift);
	return guess > now && guess - now < CLOCK_WAIT_MAX_NS ? guess : now;
}

/* rq->clock as it should be, when somebody queued since `queued` (0: nobody) gets the CPU. `ours` is what our clock says, for who has read it
 * already; 0: it is read where it is needed. */
static __always_inline u64 clock_now(u64 queued, u64 now, u64 ours)
{
	u32 zero = 0;
	struct clock_note *note = bpf_map_lookup_elem(&clock_notes, &zero);

	if (!note)
		return now;
	if (queued && now == queued)
		return clock_guess(note, now, ours ?: bpf_ktime_get_ns());
	if (now - note->last.rq > CLOCK_NOTE_NS)
		clock_take(note, now, ours ?: bpf_ktime_get_ns());
	return now;
}
