/* SPDX-License-Identifier: Apache-2.0 */
/* .gnu_debugdata: an xz-compressed ELF file inside the file, with the symbols that .dynsym lacks (Fedora, CentOS). */
#include "symbol/source.h"

#include <lzma.h>

#define PACKED_MAX (16u << 20)
#define UNPACKED_MAX (64u << 20)
#define DECODER_MEMORY_MAX (96u << 20)

static GByteArray *unpack(const char *packed, gsize length)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	lzma_stream stream = LZMA_STREAM_INIT;
	lzma_ret status = LZMA_OK;

	if (lzma_stream_decoder(&stream, DECODER_MEMORY_MAX, 0) != LZMA_OK)
		return NULL;
	stream.next_in = (const uint8_t *)packed;
	stream.avail_in = length;
	while (status == LZMA_OK && out->len < UNPACKED_MAX) {
		guint used = out->len, more = CLAMP(used, 64u << 10, UNPACKED_MAX - used);

		g_byte_array_set_size(out, used + more);
		stream.next_out = out->data + used;
		stream.avail_out = more;
		status = lzma_code(&stream, LZMA_FINISH);
		g_byte_array_set_size(out, (guint)(out->len - stream.avail_out));
	}
	lzma_end(&stream);
	return status == LZMA_STREAM_END ? g_steal_pointer(&out) : NULL;
}

static guint minidebug_add(const struct source_file *file, struct symtab_builder *builder)
{
	const struct image_section *section = image_find_section(file->image, MINIDEBUG_SECTION);
	g_autoptr(GByteArray) unpacked = NULL;
	g_autofree char *packed = NULL;
	g_autoptr(image_t) image = NULL;
	struct image_bytes bytes = { .fd = -1 };
	gsize length;

	packed = section ? image_read_section(file->image, section, PACKED_MAX, &length) : NULL;
	unpacked = packed ? unpack(packed, length) : NULL;
	if (!unpacked || unpacked->len == 0)
		return 0;
	bytes.memory = unpacked->data;
	bytes.size = unpacked->len;
	image = image_open(&bytes, NULL);
	return image ? image_add_symbols(image, SHT_SYMTAB, builder) : 0;
}

const struct source source_minidebug = { .name = MINIDEBUG_SECTION, .is_complete = FALSE, .add = minidebug_add };
