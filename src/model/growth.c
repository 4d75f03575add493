/* SPDX-License-Identifier: Apache-2.0 */
#include "model/growth.h"

#include <math.h>

#include "base/units.h"

struct point {
	double seconds, bytes;
};

void growth_init(struct growth *growth)
{
	growth->points = g_array_new(FALSE, FALSE, sizeof(struct point));
}

void growth_clear(struct growth *growth)
{
	if (growth->points)
		g_array_unref(growth->points);
	growth->points = NULL;
}

void growth_add(struct growth *growth, guint64 time_ns, guint64 bytes)
{
	struct point point = { (double)time_ns / (double)NS_PER_S, (double)bytes };

	g_array_append_val(growth->points, point);
}

static const struct point *point_at(const struct growth *growth, guint i)
{
	return &g_array_index(growth->points, struct point, i);
}

/* Least squares, about the means. */
static void fit_line(const struct growth *growth, struct growth_trend *trend)
{
	guint count = growth->points->len;
	double seconds = 0, bytes = 0, tt = 0, tb = 0, bb = 0;

	for (guint i = 0; i < count; i++) {
		seconds += point_at(growth, i)->seconds / count;
		bytes += point_at(growth, i)->bytes / count;
	}
	for (guint i = 0; i < count; i++) {
		double t = point_at(growth, i)->seconds - seconds, b = point_at(growth, i)->bytes - bytes;

		tt += t * t;
		tb += t * b;
		bb += b * b;
	}
	trend->slope_bytes_per_s = tt > 0 ? tb / tt : 0;
	trend->fit = tt > 0 && bb > 0 ? tb * tb / (tt * bb) : 0;
}

struct growth_trend growth_trend_of(const struct growth *growth)
{
	guint count = growth->points->len, up = 0;
	struct growth_trend trend = { .readings = count };
	double first;

	if (count < 2)
		return trend;
	first = point_at(growth, 0)->bytes;
	for (guint i = 1; i < count; i++)
		up += point_at(growth, i)->bytes > point_at(growth, i - 1)->bytes;
	trend.growing_steps = (double)up / (count - 1);
	trend.change_bytes = (gint64)(point_at(growth, count - 1)->bytes - first);
	fit_line(growth, &trend);
	trend.is_suspicious = count >= GROWTH_READINGS_MIN && trend.growing_steps >= GROWTH_STEPS_MIN &&
			      trend.fit >= GROWTH_FIT_MIN &&
			      (double)trend.change_bytes >= MAX(GROWTH_BYTES_MIN, GROWTH_SHARE_MIN * first);
	return trend;
}

double growth_seconds_to(const struct growth_trend *trend, guint64 used_bytes, guint64 limit_bytes)
{
	if (used_bytes >= limit_bytes)
		return 0;
	if (!(trend->slope_bytes_per_s > 0))
		return INFINITY;
	return (double)(limit_bytes - used_bytes) / trend->slope_bytes_per_s;
}
