/* SPDX-License-Identifier: Apache-2.0 */
/* The format: Documentation/bpf/btf.rst. The kernel made it: it is checked for its outer limits, not for malice. */
#include "probe/kernel_btf.h"

#include "probe/ladder.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_BTF_PATH "/sys/kernel/btf/vmlinux"
#define KERNEL_BTF_BYTES_MAX (64u << 20)
#define KERNEL_BTF_ROOTS 32768 /* expected */
#define KERNEL_BTF_DEPTH_MAX 32 /* how deep types contain each other */
#define ITERATE_BYTES 4096 /* of what an iterator writes for nobody, at a time */

/* The kernel's description, as it is. */
struct kernel_types {
	guint8 *bytes;
	gsize size;
	gboolean mapped;
	const guint8 *types;
	gsize types_bytes;
	const char *strings;
	gsize strings_bytes;
	guint32 *offsets; /* of type n, n from 1, in `types` */
	guint count;
	GArray *roots; /* guint32: numbers of the types that a program can name */
};

struct kernel_btf {
	int fd; /* what libbpf reads; -1: it reads the kernel's own */
	char path[32];
	struct bpf_object_open_opts options;
	struct kernel_types types;
};

/* Of the object being loaded: libbpf's callbacks carry no user pointer. */
static _Thread_local const struct kernel_btf *loading;

/* ---- the bytes ---- */

/* Before Linux 6.16 it cannot be mapped, and a read gives a page at a time. */
static gboolean types_read(struct kernel_types *types)
{
	int fd = open(KERNEL_BTF_PATH, O_RDONLY | O_CLOEXEC);
	gsize got = 0;
	struct stat st;

	if (fd < 0)
		return FALSE;
	if (fstat(fd, &st) != 0 || st.st_size <= (off_t)sizeof(struct btf_header) ||
	    st.st_size > KERNEL_BTF_BYTES_MAX) {
		close(fd);
		return FALSE;
	}
	types->size = (gsize)st.st_size;
	types->bytes = mmap(NULL, types->size, PROT_READ, MAP_PRIVATE, fd, 0);
	types->mapped = types->bytes != MAP_FAILED;
	if (!types->mapped) {
		types->bytes = g_malloc(types->size);
		while (got < types->size) {
			ssize_t n = read(fd, types->bytes + got, types->size - got);

			if (n <= 0 && errno != EINTR)
				break;
			got += n > 0 ? (gsize)n : 0;
		}
	}
	close(fd);
	return types->mapped || got == types->size;
}

static void types_clear(struct kernel_types *types)
{
	if (types->mapped)
		munmap(types->bytes, types->size);
	else
		g_free(types->bytes);
	g_free(types->offsets);
	if (types->roots)
		g_array_unref(types->roots);
	*types = (struct kernel_types){ 0 };
}

static const struct btf_type *type_at(const struct kernel_types *types, guint32 id)
{
	return id > 0 && id <= types->count ? (const void *)(types->types + types->offsets[id]) : NULL;
}

static const char *type_string(const struct kernel_types *types, guint32 at)
{
	return at < types->strings_bytes ? types->strings + at : "";
}

/* Bytes behind the head of a type: of each kind, and for each of its parts. */
static const struct {
	guint8 known, fixed, each;
} kinds[] = {
	[BTF_KIND_INT] = { TRUE, 4, 0 },
	[BTF_KIND_PTR] = { TRUE, 0, 0 },
	[BTF_KIND_ARRAY] = { TRUE, sizeof(struct btf_array), 0 },
	[BTF_KIND_STRUCT] = { TRUE, 0, sizeof(struct btf_member) },
	[BTF_KIND_UNION] = { TRUE, 0, sizeof(struct btf_member) },
	[BTF_KIND_ENUM] = { TRUE, 0, sizeof(struct btf_enum) },
	[BTF_KIND_FWD] = { TRUE, 0, 0 },
	[BTF_KIND_TYPEDEF] = { TRUE, 0, 0 },
	[BTF_KIND_VOLATILE] = { TRUE, 0, 0 },
	[BTF_KIND_CONST] = { TRUE, 0, 0 },
	[BTF_KIND_RESTRICT] = { TRUE, 0, 0 },
	[BTF_KIND_FUNC] = { TRUE, 0, 0 },
	[BTF_KIND_FUNC_PROTO] = { TRUE, 0, sizeof(struct btf_param) },
	[BTF_KIND_VAR] = { TRUE, sizeof(struct btf_var), 0 },
	[BTF_KIND_DATASEC] = { TRUE, 0, sizeof(struct btf_var_secinfo) },
	[BTF_KIND_FLOAT] = { TRUE, 0, 0 },
	[BTF_KIND_DECL_TAG] = { TRUE, sizeof(struct btf_decl_tag), 0 },
	[BTF_KIND_TYPE_TAG] = { TRUE, 0, 0 },
	[BTF_KIND_ENUM64] = { TRUE, 0, sizeof(struct btf_enum64) },
};

/* A type that a program can name. */
static gboolean type_is_root(const struct btf_type *type)
{
	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_TYPEDEF:
		return type->name_off > 0;
	default:
		return FALSE;
	}
}

/* One walk through the megabytes: where each type is, and which have a name to be asked for by. */
static gboolean types_index(struct kernel_types *types)
{
	guint room = 1u << 17;
	gsize at = 0;

	types->offsets = g_new(guint32, room + 1);
	types->roots = g_array_sized_new(FALSE, FALSE, sizeof(guint32), KERNEL_BTF_ROOTS);
	while (at + sizeof(struct btf_type) <= types->types_bytes) {
		const struct btf_type *type = (const void *)(types->types + at);
		guint kind = BTF_INFO_KIND(type->info);
		gsize bytes;

		if (kind >= G_N_ELEMENTS(kinds) || !kinds[kind].known)
			return FALSE;
		bytes = sizeof(*type) + kinds[kind].fixed + (gsize)kinds[kind].each * BTF_INFO_VLEN(type->info);
		if (bytes > types->types_bytes - at)
			return FALSE;
		if (types->count == room) {
			room *= 2;
			types->offsets = g_renew(guint32, types->offsets, room + 1);
		}
		types->offsets[++types->count] = (guint32)at;
		if (type_is_root(type))
			g_array_append_val(types->roots, types->count);
		at += bytes;
	}
	return at == types->types_bytes;
}

static gboolean types_open(struct kernel_types *types)
{
	const struct btf_header *header;
	guint64 begin;

	if (!types_read(types))
		return FALSE;
	header = (const void *)types->bytes;
	begin = header->hdr_len;
	if (header->magic != BTF_MAGIC || header->version != BTF_VERSION ||
	    begin + header->type_off + header->type_len > types->size ||
	    begin + header->str_off + header->str_len > types->size || header->str_len == 0)
		return FALSE;
	types->types = types->bytes + begin + header->type_off;
	types->types_bytes = header->type_len;
	types->strings = (const char *)types->bytes + begin + header->str_off;
	types->strings_bytes = header->str_len;
	return types->strings[types->strings_bytes - 1] == '\0' && types_index(types);
}

/* ---- which names are wanted ---- */

#define WANTED_ALIKE 65536

/* A set of names. */
struct wanted {
	GHashTable *names;
	guint8 alike
		[WANTED_ALIKE]; /* is there a name of this length with the same first and last bytes: few others are */
};

static guint wanted_alike(const char *name, gsize length)
{
	guint16 head, tail;

	if (length < 2)
		return (guint8)name[0];
	memcpy(&head, name, 2);
	memcpy(&tail, name + length - 2, 2);
	return (head * 31u + tail * 7919u + (guint)length * 131u) % WANTED_ALIKE;
}

static void wanted_add(struct wanted *wanted, const char *name, gsize length)
{
	if (length == 0)
		return;
	g_hash_table_add(wanted->names, g_strndup(name, length));
	wanted->alike[wanted_alike(name, length)] = 1;
}

/* Every string of the object: names of types, fields and values, and a few that are none. What follows "___" tells apart
 * versions of one type. */
static void wanted_from_object(struct wanted *wanted, const struct btf *object)
{
	const struct btf_header *header;
	const char *at, *end;
	guint32 size;

	header = btf__raw_data(object, &size);
	if (!header)
		return;
	at = (const char *)header + header->hdr_len + header->str_off;
	for (end = at + header->str_len; at < end; at += strlen(at) + 1) {
		const char *flavor = strstr(at, "___");

		wanted_add(wanted, at, flavor && flavor > at ? (gsize)(flavor - at) : strlen(at));
	}
}

static gboolean wanted_is(const struct wanted *wanted, const struct kernel_types *types, guint32 place)
{
	const char *name = type_string(types, place);

	return name[0] && wanted->alike[wanted_alike(name, strlen(name))] && g_hash_table_contains(wanted->names, name);
}

/* ---- the smaller description ---- */

/* Makes a small description out of the kernel's. Pointers lead nowhere in it: an access through one is two accesses. */
struct reducer {
	const struct kernel_types *types;
	const struct wanted *wanted;
	struct btf *out;
	GHashTable *made; /* kernel's number → ours */
	guint depth;
};

/* Our number for the kernel's type `id`, made when it is not there yet; 0 (void) for what no field access looks into. */
static int reduce(struct reducer *reducer, guint32 id);

/* Fields that are asked for, and those without a name, since such a one may be inside. Their types come before the struct. */
static int reduce_struct(struct reducer *reducer, const struct btf_type *type, const char *name)
{
	const struct btf_member *member = (const void *)(type + 1);
	guint count = BTF_INFO_VLEN(type->info);
	gboolean has_bitfields = BTF_INFO_KFLAG(type->info);
	g_autofree int *made_of = g_new0(int, count + 1);
	int made;

	for (guint i = 0; i < count; i++)
		if (member[i].name_off == 0 || wanted_is(reducer->wanted, reducer->types, member[i].name_off))
			made_of[i] = reduce(reducer, member[i].type);
	made = BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT ? btf__add_struct(reducer->out, name, type->size)
							    : btf__add_union(reducer->out, name, type->size);
	for (guint i = 0; made > 0 && i < count; i++) {
		guint32 offset = member[i].offset;

		if (made_of[i] > 0)
			btf__add_field(reducer->out, type_string(reducer->types, member[i].name_off), made_of[i],
				       has_bitfields ? BTF_MEMBER_BIT_OFFSET(offset) : offset,
				       has_bitfields ? BTF_MEMBER_BITFIELD_SIZE(offset) : 0);
	}
	return made;
}

static int reduce_enum(struct reducer *reducer, const struct btf_type *type, const char *name)
{
	const struct btf_enum *value = (const void *)(type + 1);
	int made = btf__add_enum(reducer->out, name, type->size);

	for (guint i = 0; made > 0 && i < BTF_INFO_VLEN(type->info); i++)
		if (wanted_is(reducer->wanted, reducer->types, value[i].name_off))
			btf__add_enum_value(reducer->out, type_string(reducer->types, value[i].name_off), value[i].val);
	return made;
}

static int reduce_enum64(struct reducer *reducer, const struct btf_type *type, const char *name)
{
	const struct btf_enum64 *value = (const void *)(type + 1);
	int made = btf__add_enum64(reducer->out, name, type->size, BTF_INFO_KFLAG(type->info));

	for (guint i = 0; made > 0 && i < BTF_INFO_VLEN(type->info); i++)
		if (wanted_is(reducer->wanted, reducer->types, value[i].name_off))
			btf__add_enum64_value(reducer->out, type_string(reducer->types, value[i].name_off),
					      (guint64)value[i].val_hi32 << 32 | value[i].val_lo32);
	return made;
}

static int reduce_array(struct reducer *reducer, const struct btf_type *type)
{
	const struct btf_array *array = (const void *)(type + 1);
	int index = reduce(reducer, array->index_type), element = reduce(reducer, array->type);

	return index > 0 && element > 0 ? btf__add_array(reducer->out, index, element, (int)array->nelems) : 0;
}

static int reduce_type(struct reducer *reducer, const struct btf_type *type)
{
	const char *name = type_string(reducer->types, type->name_off);
	guint32 encoding;

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
		encoding = *(const guint32 *)(type + 1);
		return btf__add_int(reducer->out, name, type->size, BTF_INT_ENCODING(encoding));
	case BTF_KIND_FLOAT:
		return btf__add_float(reducer->out, name, type->size);
	case BTF_KIND_PTR:
		return btf__add_ptr(reducer->out, 0);
	case BTF_KIND_ARRAY:
		return reduce_array(reducer, type);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return reduce_struct(reducer, type, name);
	case BTF_KIND_ENUM:
		return reduce_enum(reducer, type, name);
	case BTF_KIND_ENUM64:
		return reduce_enum64(reducer, type, name);
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		return reduce(reducer, type->type);
	default:
		return 0;
	}
}

static int reduce(struct reducer *reducer, guint32 id)
{
	const struct btf_type *type = type_at(reducer->types, id);
	gpointer known;
	int made;

	if (!type || reducer->depth == KERNEL_BTF_DEPTH_MAX)
		return 0;
	if (g_hash_table_lookup_extended(reducer->made, GUINT_TO_POINTER(id), NULL, &known))
		return GPOINTER_TO_INT(known);
	reducer->depth++;
	made = reduce_type(reducer, type);
	reducer->depth--;
	g_hash_table_insert(reducer->made, GUINT_TO_POINTER(id), GINT_TO_POINTER(made));
	return made;
}

static void reduce_root(struct reducer *reducer, guint32 id, const struct btf_type *type)
{
	int made = reduce(reducer, id);

	if (BTF_INFO_KIND(type->info) == BTF_KIND_TYPEDEF)
		btf__add_typedef(reducer->out, type_string(reducer->types, type->name_off), made);
}

struct btf *kernel_btf_reduce(const struct kernel_btf *btf, const struct btf *object)
{
	const struct kernel_types *types = &btf->types;
	struct wanted *wanted = g_new0(struct wanted, 1);
	struct reducer reducer = { .types = types, .wanted = wanted, .out = btf__new_empty() };

	wanted->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	wanted_from_object(wanted, object);
	reducer.made = g_hash_table_new(NULL, NULL);
	for (guint i = 0; reducer.out && i < types->roots->len; i++) {
		guint32 id = g_array_index(types->roots, guint32, i);
		const struct btf_type *type = type_at(types, id);

		if (wanted_is(wanted, types, type->name_off))
			reduce_root(&reducer, id, type);
	}
	g_hash_table_unref(reducer.made);
	g_hash_table_unref(wanted->names);
	g_free(wanted);
	return reducer.out;
}

/* ---- what programs attach to ---- */

/* The type that stands for a tracepoint (a typedef) or an iterator (a function); 0 when there is none. */
static guint32 types_find(const struct kernel_types *types, guint kind, const char *name)
{
	for (guint32 id = 1; id <= types->count; id++) {
		const struct btf_type *type = type_at(types, id);

		if (BTF_INFO_KIND(type->info) == kind && strcmp(type_string(types, type->name_off), name) == 0)
			return id;
	}
	return 0;
}

enum section {
	SECTION_TRACEPOINT = 0,
	SECTION_ITERATOR = 1,
	SECTION_ITERATOR_SLEEPABLE = 2,
};

static const struct {
	const char *name; /* as libbpf wants it: "+" stands for "/and more" */
	const char *prefix; /* of the kernel's type */
	guint kind;
	enum bpf_attach_type attach_type;
	guint32 flags;
} sections[] = {
	[SECTION_TRACEPOINT] = { "btf_tp+", "btf_trace_", BTF_KIND_TYPEDEF, BPF_TRACE_RAW_TP, 0 },
	[SECTION_ITERATOR] = { "btf_iter+", "bpf_iter_", BTF_KIND_FUNC, BPF_TRACE_ITER, 0 },
	[SECTION_ITERATOR_SLEEPABLE] = { "btf_iter.s+", "bpf_iter_", BTF_KIND_FUNC, BPF_TRACE_ITER, BPF_F_SLEEPABLE },
};

/* libbpf_prog_prepare_load_fn_t. Until now the program passed for one of a type for which libbpf reads nothing. */
static int section_prepare(struct bpf_program *program, struct bpf_prog_load_opts *options, long cookie)
{
	const char *slash = strchr(bpf_program__section_name(program), '/');
	g_autofree char *name = g_strconcat(sections[cookie].prefix, slash ? slash + 1 : "", NULL);
	int id = 0;

	if (loading && loading->types.count > 0)
		id = (int)types_find(&loading->types, sections[cookie].kind, name);
	if (id <= 0)
		id = libbpf_find_vmlinux_btf_id(slash ? slash + 1 : "", sections[cookie].attach_type);
	if (id <= 0)
		return id < 0 ? id : -ESRCH;
	bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
	options->attach_btf_id = (guint32)id;
	options->expected_attach_type = sections[cookie].attach_type;
	options->prog_flags |= sections[cookie].flags;
	return 0;
}

/* libbpf_prog_attach_fn_t */
static int section_attach(const struct bpf_program *program, long cookie, struct bpf_link **link)
{
	*link = cookie == SECTION_TRACEPOINT ? bpf_program__attach_trace(program)
					     : bpf_program__attach_iter(program, NULL);
	return *link ? 0 : -errno;
}

/* The typedef of a pointer to a function whose first argument is the kernel's own. */
guint kernel_btf_arguments(const struct kernel_btf *btf, const char *tracepoint)
{
	g_autofree char *name = g_strconcat(sections[SECTION_TRACEPOINT].prefix, tracepoint, NULL);
	const struct kernel_types *types = &btf->types;
	const struct btf_type *type = type_at(types, types_find(types, BTF_KIND_TYPEDEF, name));

	for (guint i = 0; type && i < 2; i++)
		type = type_at(types, type->type);
	if (!type || BTF_INFO_KIND(type->info) != BTF_KIND_FUNC_PROTO || BTF_INFO_VLEN(type->info) == 0)
		return 0;
	return BTF_INFO_VLEN(type->info) - 1;
}

static void sections_register(void)
{
	static gsize registered; /* libbpf's table of sections is the process's */

	if (!g_once_init_enter(&registered))
		return;
	for (guint i = 0; i < G_N_ELEMENTS(sections); i++) {
		struct libbpf_prog_handler_opts options = {
			.sz = sizeof(options),
			.cookie = i,
			.prog_prepare_load_fn = section_prepare,
			.prog_attach_fn = section_attach,
		};

		libbpf_register_prog_handler(sections[i].name, BPF_PROG_TYPE_RAW_TRACEPOINT, sections[i].attach_type,
					     &options);
	}
	g_once_init_leave(&registered, 1);
}

struct bpf_link *kernel_btf_attach(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);

	if (g_str_has_prefix(section, "btf_tp/"))
		return bpf_program__attach_trace(program);
	if (g_str_has_prefix(section, "btf_iter"))
		return bpf_program__attach_iter(program, NULL);
	return bpf_program__attach(program);
}

gboolean kernel_btf_iterate(const struct bpf_link *iterator, const char *what, GError **error)
{
	int fd = iterator ? bpf_iter_create(bpf_link__fd(iterator)) : -1;
	char nothing[ITERATE_BYTES];
	gssize got = -1;

	while (fd >= 0 &&
	       ((got = read(fd, nothing, sizeof(nothing))) > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN))))
		;
	if (got < 0)
		ladder_set_error(error, what, errno);
	if (fd >= 0)
		close(fd);
	return got == 0;
}

/* ---- one object ---- */

struct kernel_btf *kernel_btf_new(void)
{
	struct kernel_btf *btf = g_new0(struct kernel_btf, 1);

	sections_register();
	btf->options.sz = sizeof(btf->options);
	btf->fd = types_open(&btf->types) ? memfd_create("kernel-btf", MFD_CLOEXEC) : -1;
	if (btf->fd >= 0) {
		g_snprintf(btf->path, sizeof(btf->path), "/proc/self/fd/%d", btf->fd);
		btf->options.btf_custom_path = btf->path;
	}
	return btf;
}

void kernel_btf_free(struct kernel_btf *btf)
{
	if (!btf)
		return;
	if (loading == btf)
		loading = NULL;
	if (btf->fd >= 0)
		close(btf->fd);
	types_clear(&btf->types);
	g_free(btf);
}

const struct bpf_object_open_opts *kernel_btf_options(const struct kernel_btf *btf)
{
	return &btf->options;
}

static gboolean write_all(int fd, const guint8 *bytes, gsize count)
{
	while (count > 0) {
		ssize_t n = write(fd, bytes, count);

		if (n <= 0)
			return FALSE;
		bytes += n;
		count -= (gsize)n;
	}
	return TRUE;
}

void kernel_btf_supply(struct kernel_btf *btf, const struct bpf_object *object)
{
	struct btf *reduced;
	const void *bytes = NULL;
	guint32 size = 0;

	loading = btf;
	if (btf->fd < 0)
		return;
	reduced = kernel_btf_reduce(btf, bpf_object__btf(object));
	if (reduced)
		bytes = btf__raw_data(reduced, &size);
	if (!bytes || !write_all(btf->fd, bytes, size)) {
		if (ftruncate(btf->fd, 0) == 0 && lseek(btf->fd, 0, SEEK_SET) == 0)
			write_all(btf->fd, btf->types.bytes, btf->types.size);
	}
	btf__free(reduced);
}

void *kernel_btf_opened(void *skeleton, const char *what, GError **error)
{
	if (!skeleton)
		ladder_set_error(error, what, errno);
	return skeleton;
}

gboolean kernel_btf_load(struct kernel_btf *btf, struct bpf_object_skeleton *skeleton, const char *what, GError **error)
{
	int result;

	kernel_btf_supply(btf, *skeleton->obj);
	result = bpf_object__load_skeleton(skeleton);
	if (result != 0)
		ladder_set_error(error, what, -result);
	return result == 0;
}
