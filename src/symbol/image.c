/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol/image.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_NAMES_MAX (4u << 20)
#define NOTES_MAX (64u << 10)
#define SYMBOL_CHUNK 2048 /* symbols read at a time */
#define NAMES_ADOPTED_MAX (4u << 20) /* bytes; of more, most may be names of no functions, or debuggers' */
#define ALIASES_MAX 16 /* names of one function that are looked at */
#define PAGE 4096

#if G_BYTE_ORDER == G_LITTLE_ENDIAN
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

G_DEFINE_QUARK(fathom - image - error - quark, image_error)

/* All of [offset, offset + length) or nothing. */
static gboolean bytes_read(const struct image_bytes *bytes, guint64 offset, gsize length, void *out)
{
	char *to = out;

	if (offset > bytes->size || length > bytes->size - offset)
		return FALSE;
	if (bytes->memory) {
		memcpy(out, bytes->memory + offset, length);
		return TRUE;
	}
	while (length) {
		ssize_t n = pread(bytes->fd, to, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FALSE;
		to += n;
		offset += (guint64)n;
		length -= (gsize)n;
	}
	return TRUE;
}

static gboolean fail(GError **error, enum image_error code, const char *message)
{
	g_set_error_literal(error, IMAGE_ERROR, code, message);
	return FALSE;
}

/* The parts of Elf32_Ehdr and Elf64_Ehdr that we use. */
struct header {
	guint64 segments_at, sections_at;
	guint segment_size, segment_count, section_size, section_count, names_index;
};

static gboolean header_read(struct image *image, struct header *header, GError **error)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr narrow;
		Elf64_Ehdr wide;
	} raw = { { 0 } };

	if (!bytes_read(&image->bytes, 0, sizeof(raw.narrow), &raw) || memcmp(raw.ident, ELFMAG, SELFMAG) != 0)
		return fail(error, IMAGE_ERROR_NOT_ELF, "not an ELF file");
	if (raw.ident[EI_DATA] != NATIVE_DATA)
		return fail(error, IMAGE_ERROR_NOT_ELF, "for a machine of the other byte order");
	image->is_64bit = raw.ident[EI_CLASS] == ELFCLASS64;
	if (image->is_64bit && !bytes_read(&image->bytes, 0, sizeof(raw.wide), &raw))
		return fail(error, IMAGE_ERROR_MALFORMED, "cut off in its header");
#define TAKE(h)                                                                                                        \
	do {                                                                                                           \
		image->machine = (h)->e_machine;                                                                       \
		header->segments_at = (h)->e_phoff;                                                                    \
		header->segment_size = (h)->e_phentsize;                                                               \
		header->segment_count = (h)->e_phnum;                                                                  \
		header->sections_at = (h)->e_shoff;                                                                    \
		header->section_size = (h)->e_shentsize;                                                               \
		header->section_count = (h)->e_shnum;                                                                  \
		header->names_index = (h)->e_shstrndx;                                                                 \
	} while (0)
	if (image->is_64bit)
		TAKE(&raw.wide);
	else
		TAKE(&raw.narrow);
#undef TAKE
	return TRUE;
}

static void notes_find_build_id(struct image *image, guint64 offset, guint64 size)
{
	gsize length = (gsize)MIN(size, (guint64)NOTES_MAX);
	g_autofree guint8 *notes = g_malloc(length + 1);
	gsize at = 0;

	if (image->build_id_size || !bytes_read(&image->bytes, offset, length, notes))
		return;
	while (length - at >= sizeof(Elf64_Nhdr)) { /* the same in both classes */
		Elf64_Nhdr note;
		gsize name, description;

		memcpy(&note, notes + at, sizeof(note));
		at += sizeof(note);
		name = ((gsize)note.n_namesz + 3) & ~(gsize)3;
		description = ((gsize)note.n_descsz + 3) & ~(gsize)3;
		if (name > length - at || description > length - at - name)
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(notes + at, "GNU", 4) == 0 &&
		    note.n_descsz > 0 && note.n_descsz <= IMAGE_BUILD_ID_MAX) {
			memcpy(image->build_id, notes + at + name, note.n_descsz);
			image->build_id_size = note.n_descsz;
			return;
		}
		at += name + description;
	}
}

static void segment_take(struct image *image, const Elf64_Phdr *raw)
{
	if (raw->p_type == PT_LOAD && image->segment_count < IMAGE_SEGMENTS_MAX)
		image->segments[image->segment_count++] = (struct image_segment){
			.offset = raw->p_offset,
			.address = raw->p_vaddr,
			.file_size = raw->p_filesz,
			.executable = (raw->p_flags & PF_X) != 0,
		};
	else if (raw->p_type == PT_NOTE)
		notes_find_build_id(image, raw->p_offset, raw->p_filesz);
}

static gboolean segments_read(struct image *image, const struct header *header, GError **error)
{
	gsize each = image->is_64bit ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	guint count = MIN(header->segment_count, 4u * IMAGE_SEGMENTS_MAX);
	g_autofree guint8 *raw = g_malloc(count * each + 1);

	if (count && header->segment_size != each)
		return fail(error, IMAGE_ERROR_MALFORMED, "its program headers have an unknown size");
	if (!bytes_read(&image->bytes, header->segments_at, count * each, raw))
		return fail(error, IMAGE_ERROR_MALFORMED, "its program headers lie outside the file");
	for (guint i = 0; i < count; i++) {
		Elf64_Phdr wide;
		Elf32_Phdr narrow;

		if (image->is_64bit) {
			memcpy(&wide, raw + i * each, sizeof(wide));
		} else {
			memcpy(&narrow, raw + i * each, sizeof(narrow));
			wide = (Elf64_Phdr){
				.p_type = narrow.p_type,
				.p_flags = narrow.p_flags,
				.p_offset = narrow.p_offset,
				.p_vaddr = narrow.p_vaddr,
				.p_filesz = narrow.p_filesz,
			};
		}
		segment_take(image, &wide);
	}
	return TRUE;
}

#define SECTION(raw)                                                                                                   \
	((struct image_section){                                                                                       \
		.flags = (raw)->sh_flags,                                                                              \
		.address = (raw)->sh_addr,                                                                             \
		.offset = (raw)->sh_offset,                                                                            \
		.size = (raw)->sh_size,                                                                                \
		.entry_size = (raw)->sh_entsize,                                                                       \
		.name = (raw)->sh_name,                                                                                \
		.type = (raw)->sh_type,                                                                                \
		.link = (raw)->sh_link,                                                                                \
	})

/* Section headers [0, count) in one read. */
static struct image_section *sections_take(const struct image *image, const struct header *header, gsize count)
{
	gsize each = image->is_64bit ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	g_autofree guint8 *raw = g_malloc(count * each);
	struct image_section *sections;

	if (!bytes_read(&image->bytes, header->sections_at, count * each, raw))
		return NULL;
	sections = g_new(struct image_section, count);
	for (gsize i = 0; i < count; i++) {
		Elf64_Shdr wide;
		Elf32_Shdr narrow;

		if (image->is_64bit) {
			memcpy(&wide, raw + i * each, sizeof(wide));
			sections[i] = SECTION(&wide);
		} else {
			memcpy(&narrow, raw + i * each, sizeof(narrow));
			sections[i] = SECTION(&narrow);
		}
	}
	return sections;
}

/* A file whose section headers are missing or broken still has segments; it just has no names. */
static void sections_read(struct image *image, const struct header *header)
{
	gsize each = image->is_64bit ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	guint64 count = header->section_count, names_index = header->names_index;
	g_autofree struct image_section *first = NULL;

	if (!header->sections_at || header->section_size != each)
		return;
	if (count == 0 || names_index == SHN_XINDEX) { /* gABI: more than fit into 16 bits */
		first = sections_take(image, header, 1);
		if (!first)
			return;
		count = count ? count : first->size;
		names_index = names_index == SHN_XINDEX ? first->link : names_index;
	}
	count = MIN(count, (guint64)IMAGE_SECTIONS_MAX);
	image->sections = count ? sections_take(image, header, (gsize)count) : NULL;
	image->section_count = image->sections ? (guint)count : 0;
	if (names_index < image->section_count)
		image->section_names = image_read_section(image, &image->sections[names_index], SECTION_NAMES_MAX,
							  &image->section_names_size);
	for (guint i = 0; i < image->section_count && !image->build_id_size; i++)
		if (image->sections[i].type == SHT_NOTE)
			notes_find_build_id(image, image->sections[i].offset, image->sections[i].size);
}

struct image *image_open(const struct image_bytes *bytes, GError **error)
{
	g_autoptr(image_t) image = g_new0(struct image, 1);
	struct header header;

	image->bytes = *bytes;
	if (bytes->size > IMAGE_FILE_MAX) {
		fail(error, IMAGE_ERROR_TOO_LARGE, "larger than 4 GiB");
		return NULL;
	}
	if (!header_read(image, &header, error) || !segments_read(image, &header, error))
		return NULL;
	sections_read(image, &header);
	return g_steal_pointer(&image);
}

struct image *image_open_fd(int fd, GError **error)
{
	struct image_bytes bytes = { .fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		fail(error, IMAGE_ERROR_READ, "not a regular file");
		return NULL;
	}
	bytes.size = (guint64)st.st_size;
	return image_open(&bytes, error);
}

void image_free(struct image *image)
{
	if (!image)
		return;
	g_free(image->sections);
	g_free(image->section_names);
	g_free(image);
}

const struct image_section *image_find_section(const struct image *image, const char *name)
{
	for (guint i = 0; i < image->section_count; i++)
		if (image->sections[i].name < image->section_names_size &&
		    strcmp(image->section_names + image->sections[i].name, name) == 0)
			return &image->sections[i];
	return NULL;
}

char *image_read_section(const struct image *image, const struct image_section *section, gsize limit, gsize *length)
{
	g_autofree char *text = NULL;

	if (section->size == 0 || section->size > limit || section->type == SHT_NOBITS ||
	    section->flags & SHF_COMPRESSED || section->offset > image->bytes.size ||
	    section->size > image->bytes.size - section->offset)
		return NULL;
	text = g_malloc((gsize)section->size + 1);
	if (!bytes_read(&image->bytes, section->offset, (gsize)section->size, text))
		return NULL;
	text[section->size] = '\0';
	*length = (gsize)section->size;
	return g_steal_pointer(&text);
}

gboolean image_read(const struct image *image, guint64 offset, gsize length, void *out)
{
	return bytes_read(&image->bytes, offset, length, out);
}

static const struct image_section *image_find_type(const struct image *image, guint32 type)
{
	for (guint i = 0; i < image->section_count; i++)
		if (image->sections[i].type == type)
			return &image->sections[i];
	return NULL;
}

/* ARM and RISC-V mark data and instruction sets in the text by labels such as $x; they are nobody's function. */
static gboolean name_is_mark(const char *name)
{
	return name[0] == '$' || name[0] == '\0';
}

/* "memcpy@@GLIBC_2.14" → length of "memcpy" */
static gsize name_length(const char *name)
{
	gsize length = strnlen(name, SYMTAB_NAME_MAX);
	const char *at = length > 1 ? memchr(name + 1, '@', length - 1) : NULL;

	return at ? (gsize)(at - name) : length;
}

/* Where a table of symbols lies; NULL when there is none that can be read. */
static const struct image_section *symbols_section(const struct image *image, guint32 type, guint64 *count)
{
	const struct image_section *section = image_find_type(image, type);
	gsize each = image->is_64bit ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);

	if (!section || section->type == SHT_NOBITS || section->link >= image->section_count ||
	    section->entry_size != each || section->offset > image->bytes.size)
		return NULL;
	*count = MIN(section->size, image->bytes.size - section->offset) / each;
	*count = MIN(*count, (guint64)SYMTAB_SYMBOLS_MAX * 4);
	return section;
}

struct symbols {
	const struct image *image;
	const char *names;
	gsize names_size;
	struct symtab_builder *builder; /* NULL: `each` is told instead */
	gboolean is_adopted; /* `names` are the builder's */
	image_function_fn each;
	void *user;
	guint added;
};

static void symbol_add(struct symbols *symbols, const Elf64_Sym *symbol)
{
	const struct image *image = symbols->image;
	const struct image_section *section = NULL;
	guint type = ELF64_ST_TYPE(symbol->st_info);
	gboolean is_function = type == STT_FUNC || type == STT_GNU_IFUNC;
	enum symtab_rank rank = SYMTAB_RANK_GLOBAL;
	guint64 start = symbol->st_value, limit;
	const char *name;

	if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS || symbol->st_shndx == SHN_COMMON ||
	    symbol->st_name >= symbols->names_size)
		return;
	if (symbol->st_shndx < image->section_count)
		section = &image->sections[symbol->st_shndx];
	if (!is_function && !(type == STT_NOTYPE && section && section->flags & SHF_EXECINSTR))
		return;
	name = symbols->names + symbol->st_name;
	if (name_is_mark(name))
		return;
	if (image->machine == EM_ARM)
		start &= ~(guint64)1; /* marks Thumb code */
	if (symbols->each) {
		if (type == STT_FUNC)
			symbols->each(symbols->user, name, name_length(name), start);
		return;
	}
	if (ELF64_ST_BIND(symbol->st_info) == STB_LOCAL)
		rank = SYMTAB_RANK_LOCAL;
	if (!is_function)
		rank = SYMTAB_RANK_LABEL;
	limit = section && section->size <= G_MAXUINT64 - section->address ? section->address + section->size : 0;
	if (symbols->is_adopted
		    ? symtab_builder_add_at(symbols->builder, start, symbol->st_size, limit, symbol->st_name, rank)
		    : symtab_builder_add(symbols->builder, start, symbol->st_size, limit, name, name_length(name), NULL,
					 rank))
		symbols->added++;
}

static void symbols_read_wide(struct symbols *symbols, guint64 offset, guint64 count)
{
	g_autofree Elf64_Sym *chunk = g_new0(Elf64_Sym, SYMBOL_CHUNK);

	for (guint64 done = 0; done < count; done += SYMBOL_CHUNK) {
		gsize n = (gsize)MIN(count - done, (guint64)SYMBOL_CHUNK);

		if (!bytes_read(&symbols->image->bytes, offset + done * sizeof(*chunk), n * sizeof(*chunk), chunk))
			return;
		for (gsize i = 0; i < n; i++)
			symbol_add(symbols, &chunk[i]);
	}
}

static void symbols_read_narrow(struct symbols *symbols, guint64 offset, guint64 count)
{
	g_autofree Elf32_Sym *chunk = g_new0(Elf32_Sym, SYMBOL_CHUNK);

	for (guint64 done = 0; done < count; done += SYMBOL_CHUNK) {
		gsize n = (gsize)MIN(count - done, (guint64)SYMBOL_CHUNK);

		if (!bytes_read(&symbols->image->bytes, offset + done * sizeof(*chunk), n * sizeof(*chunk), chunk))
			return;
		for (gsize i = 0; i < n; i++) {
			Elf64_Sym wide = {
				.st_name = chunk[i].st_name,
				.st_info = chunk[i].st_info,
				.st_shndx = chunk[i].st_shndx,
				.st_value = chunk[i].st_value,
				.st_size = chunk[i].st_size,
			};

			symbol_add(symbols, &wide);
		}
	}
}

static guint symbols_read(struct symbols *symbols, guint32 type)
{
	const struct image *image = symbols->image;
	guint64 count = 0;
	const struct image_section *section = symbols_section(image, type, &count);
	g_autofree char *names = NULL;

	if (!section)
		return 0;
	names = image_read_section(image, &image->sections[section->link], IMAGE_SECTION_BYTES_MAX,
				   &symbols->names_size);
	if (!names)
		return 0;
	symbols->names = names;
	symbols->is_adopted = symbols->builder && symbols->names_size <= NAMES_ADOPTED_MAX &&
			      symtab_builder_adopt(symbols->builder, names, symbols->names_size);
	if (symbols->is_adopted)
		names = NULL;
	if (symbols->builder) /* a tag's NUL each */
		symtab_builder_expect(symbols->builder, count, symbols->is_adopted ? 0 : symbols->names_size + count);
	if (image->is_64bit)
		symbols_read_wide(symbols, section->offset, count);
	else
		symbols_read_narrow(symbols, section->offset, count);
	return symbols->added;
}

guint image_add_symbols(const struct image *image, guint32 type, struct symtab_builder *builder)
{
	struct symbols symbols = { .image = image, .builder = builder };

	return symbols_read(&symbols, type);
}

void image_each_function(const struct image *image, guint32 type, image_function_fn each, void *user)
{
	struct symbols symbols = { .image = image, .each = each, .user = user };

	symbols_read(&symbols, type);
}

guint64 image_count_symbols(const struct image *image, guint32 type)
{
	guint64 count = 0;

	return symbols_section(image, type, &count) ? count : 0;
}

struct holders { /* of one address: the innermost function's names */
	guint64 address;
	Elf64_Sym found[ALIASES_MAX];
	guint count; /* more than fit: too many */
};

static void holder_look(struct holders *holders, const Elf64_Sym *symbol)
{
	guint64 within = holders->address - symbol->st_value;
	guint type = ELF64_ST_TYPE(symbol->st_info);

	if (within >= symbol->st_size || symbol->st_value > holders->address ||
	    (type != STT_FUNC && type != STT_GNU_IFUNC))
		return;
	if (holders->count && symbol->st_value < holders->found[0].st_value)
		return;
	if (holders->count && symbol->st_value > holders->found[0].st_value)
		holders->count = 0;
	if (holders->count < ALIASES_MAX)
		holders->found[holders->count] = *symbol;
	holders->count++;
}

static gboolean holders_seek(struct holders *holders, const struct image *image, guint64 offset, guint64 count)
{
	g_autofree Elf64_Sym *chunk = g_new0(Elf64_Sym, SYMBOL_CHUNK);

	for (guint64 done = 0; done < count; done += SYMBOL_CHUNK) {
		gsize n = (gsize)MIN(count - done, (guint64)SYMBOL_CHUNK);

		if (!bytes_read(&image->bytes, offset + done * sizeof(*chunk), n * sizeof(*chunk), chunk))
			return FALSE;
		for (gsize i = 0; i < n; i++)
			holder_look(holders, &chunk[i]);
	}
	return holders->count && holders->count <= ALIASES_MAX;
}

/* One symbol into the builder, its name read for it alone. */
static void holder_add(const struct image *image, const struct image_section *names, Elf64_Sym symbol,
		       struct symtab_builder *builder)
{
	char name[SYMTAB_NAME_MAX + 1] = "";
	struct symbols symbols = { .image = image, .names = name, .names_size = sizeof(name), .builder = builder };
	gsize room;

	if (names->type == SHT_NOBITS || names->offset > image->bytes.size || symbol.st_name >= names->size ||
	    symbol.st_name >= image->bytes.size - names->offset)
		return;
	room = (gsize)MIN(names->size - symbol.st_name, image->bytes.size - names->offset - symbol.st_name);
	if (!bytes_read(&image->bytes, names->offset + symbol.st_name, MIN(room, sizeof(name) - 1), name))
		return;
	symbol.st_name = 0;
	symbol_add(&symbols, &symbol);
}

struct symtab *image_find_function(const struct image *image, guint32 type, guint64 address)
{
	struct holders holders = { .address = address };
	guint64 count = 0;
	const struct image_section *section = symbols_section(image, type, &count);
	g_autoptr(symtab_builder_t) builder = symtab_builder_new();

	if (!section || !image->is_64bit || !holders_seek(&holders, image, section->offset, count))
		return NULL;
	for (guint i = 0; i < holders.count; i++)
		holder_add(image, &image->sections[section->link], holders.found[i], builder);
	return symtab_builder_count(builder) ? symtab_builder_finish(g_steal_pointer(&builder)) : NULL;
}

gboolean image_offset(const struct image_segment *segments, guint count, guint64 address, guint64 *file_offset)
{
	for (guint i = 0; i < count; i++) {
		guint64 within = address - segments[i].address;

		if (segments[i].executable && address >= segments[i].address && within < segments[i].file_size) {
			*file_offset = segments[i].offset + within;
			return TRUE;
		}
	}
	return FALSE;
}

gboolean image_address(const struct image_segment *segments, guint count, guint64 file_offset, guint64 *address)
{
	/* Segments are mapped in whole pages: what lies around one within its pages is mapped with it, but an exact
	 * match goes first, since two segments may share a page of the file. */
	for (guint slack = 0; slack <= PAGE - 1; slack += PAGE - 1)
		for (guint i = 0; i < count; i++) {
			const struct image_segment *segment = &segments[i];
			guint64 first = segment->offset & ~(guint64)slack;
			guint64 length = segment->file_size + (segment->offset - first) + slack;

			if (segment->executable && file_offset >= first && file_offset - first < length) {
				*address = file_offset - segment->offset + segment->address;
				return TRUE;
			}
		}
	return FALSE;
}
