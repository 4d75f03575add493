/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/keynumbers.h"

#include <string.h>

#define KEYNUMBERS_SLOTS_MIN 256
#define KEYNUMBERS_FULL(count, slots) ((guint64)(count)*4 >= (guint64)(slots)*3)

struct keynumbers {
	GArray *keys; /* of struct stack_key, by number */
	guint32 *slots; /* open addressing, numbers + 1, 0 = free */
	guint32 mask;
};

static void keynumbers_index(struct keynumbers *numbers, guint32 slots)
{
	g_free(numbers->slots);
	numbers->mask = slots - 1;
	numbers->slots = g_new0(guint32, slots);
	for (guint32 i = 0; i < numbers->keys->len; i++) {
		guint32 at = (guint32)g_array_index(numbers->keys, struct stack_key, i).hash[0] & numbers->mask;

		while (numbers->slots[at])
			at = (at + 1) & numbers->mask;
		numbers->slots[at] = i + 1;
	}
}

struct keynumbers *keynumbers_new(void)
{
	struct keynumbers *numbers = g_new0(struct keynumbers, 1);

	numbers->keys = g_array_new(FALSE, FALSE, sizeof(struct stack_key));
	keynumbers_index(numbers, KEYNUMBERS_SLOTS_MIN);
	return numbers;
}

void keynumbers_free(struct keynumbers *numbers)
{
	if (!numbers)
		return;
	g_array_unref(numbers->keys);
	g_free(numbers->slots);
	g_free(numbers);
}

guint32 keynumbers_add(struct keynumbers *numbers, const struct stack_key *key)
{
	guint32 at = (guint32)key->hash[0] & numbers->mask, number = numbers->keys->len;

	for (; numbers->slots[at]; at = (at + 1) & numbers->mask)
		if (memcmp(&g_array_index(numbers->keys, struct stack_key, numbers->slots[at] - 1), key,
			   sizeof(*key)) == 0)
			return numbers->slots[at] - 1;
	g_array_append_val(numbers->keys, *key);
	numbers->slots[at] = number + 1;
	if (KEYNUMBERS_FULL(number + 1, numbers->mask + 1))
		keynumbers_index(numbers, (numbers->mask + 1) * 2);
	return number;
}

guint32 keynumbers_count(const struct keynumbers *numbers)
{
	return numbers->keys->len;
}
