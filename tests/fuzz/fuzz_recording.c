/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of capture files, and below its checksums, which a fuzzer seldom finds, that of packed snapshots: accepted
 * once must be accepted again, and come out the same. */
#include "store/capture.h"
#include "store/pack.h"

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size);

/* capture_fn */
static gboolean any_frame(void *user, gint64 time_ms, struct snapshot *snapshot, GError **error)
{
	(void)user;
	(void)time_ms;
	(void)snapshot;
	(void)error;
	return TRUE;
}

int LLVMFuzzerTestOneInput(const guint8 *bytes, gsize size)
{
	g_autoptr(GError) refused = NULL, error = NULL;
	g_autoptr(snapshot_t) snapshot = NULL, back = NULL;
	g_autoptr(GBytes) once = NULL, twice = NULL;
	struct capture capture;
	gsize length;
	const guint8 *packed;

	g_assert(capture_read_bytes(bytes, size, &capture, any_frame, NULL, &refused) == (refused == NULL));
	snapshot = pack_read(bytes, size, NULL);
	if (!snapshot)
		return 0;
	once = pack_snapshot(snapshot);
	packed = g_bytes_get_data(once, &length);
	back = pack_read(packed, length, &error);
	g_assert_no_error(error);
	twice = pack_snapshot(back);
	g_assert(g_bytes_equal(once, twice));
	return 0;
}
