/* SPDX-License-Identifier: Apache-2.0 */
/* symbols FILE < ADDRESSES: names addresses (one a line, as nm counts them) of an ELF file, cold: everything from the
 * open on is done once. Prints "name" lines like the other symbolizers do; with -q only how many have a name. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "symbol/demangle.h"
#include "symbol/source.h"

static const char *name_of(struct symtab *table, guint64 address, GStringChunk *names)
{
	struct symtab_hit hit;
	const char **slot;

	if (!symtab_find(table, address, &hit))
		return "??";
	slot = symtab_slot(table, hit.index);
	if (!*slot) {
		g_autofree char *readable = demangle(hit.name);

		*slot = g_string_chunk_insert(names, readable ? readable : hit.name);
	}
	return *slot;
}

int main(int argc, char **argv)
{
	gboolean quiet = argc == 3 && strcmp(argv[1], "-q") == 0;
	g_autoptr(GError) error = NULL;
	g_autoptr(image_t) image = NULL;
	g_autoptr(symtab_t) table = NULL;
	g_autoptr(GStringChunk) names = g_string_chunk_new(64 << 10);
	gboolean complete;
	guint rest;
	char line[64];
	guint known = 0;
	int fd = argc >= 2 ? open(argv[argc - 1], O_RDONLY | O_CLOEXEC) : -1;

	image = fd >= 0 ? image_open_fd(fd, &error) : NULL;
	if (!image) {
		fprintf(stderr, "usage: symbols [-q] ELF-FILE < ADDRESSES%s%s\n", error ? ": " : "",
			error ? error->message : "");
		return 2;
	}
	table = source_read(&(struct source_file){ .image = image, .path = argv[argc - 1] }, &complete, &rest);
	while (fgets(line, sizeof(line), stdin)) {
		const char *name = name_of(table, g_ascii_strtoull(line, NULL, 16), names);

		known += name[0] != '?';
		if (!quiet)
			puts(name);
	}
	if (quiet)
		printf("%u\n", known);
	close(fd);
	return 0;
}
