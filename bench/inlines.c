/* SPDX-License-Identifier: Apache-2.0 */
/* inlines FILE < ADDRESSES: functions inlined at addresses (one a line, as nm counts them) of an ELF file, cold. Prints as
 * llvm-symbolizer does: function and file:line for each frame, innermost first, and an empty line. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "symbol/lines.h"

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	g_autoptr(GArray) addresses = g_array_new(FALSE, FALSE, sizeof(guint64));
	g_autoptr(image_t) image = fd >= 0 ? image_open_fd(fd, NULL) : NULL;
	g_autoptr(lines_t) lines = NULL;
	struct debug_fds fds;
	char line[64];

	if (!image || !debug_file_dwarf(&(struct source_file){ .image = image, .path = argv[1] }, fd, &fds)) {
		fprintf(stderr, "usage: inlines FILE-WITH-DEBUG-INFORMATION < ADDRESSES\n");
		return 2;
	}
	while (fgets(line, sizeof(line), stdin)) {
		guint64 address = g_ascii_strtoull(line, NULL, 16);

		g_array_append_val(addresses, address);
	}
	lines = lines_look_up(&fds, (const guint64 *)addresses->data, addresses->len,
			      60 * G_GUINT64_CONSTANT(1000000000));
	for (guint i = 0; i < lines->count; i++) {
		for (guint j = 0; j < lines->places[i].count; j++)
			printf("%s\n%s:%u\n", lines->places[i].frames[j].name, lines->places[i].frames[j].file,
			       lines->places[i].frames[j].line);
		putchar('\n');
	}
	return lines->looked_up == lines->count ? 0 : 1;
}
