/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/uprobes.h"

#include <errno.h>
#include <link.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/ladder.h"

#define UPROBES_PATH_BYTES 32

/* include/uapi/linux/bpf.h of Linux 6.6, which Debian 12's headers are too old for. */
#define UPROBES_ATTACH_MULTI 48 /* BPF_TRACE_UPROBE_MULTI */
#define UPROBES_RETURN 1 /* BPF_F_UPROBE_MULTI_RETURN */
struct uprobes_create {
	guint32 prog_fd, target_fd, attach_type, flags;
	guint64 path, offsets, reference_offsets, cookies; /* addresses */
	guint32 count, multi_flags, pid, pad;
};

struct uprobes {
	gboolean multi;
	GPtrArray *links; /* of struct bpf_link *: one a site */
	GArray *fds; /* of int: one a file */
};

static void uprobes_link_free(gpointer link)
{
	bpf_link__destroy(link);
}

struct uprobes *uprobes_new(gboolean multi)
{
	struct uprobes *uprobes = g_new0(struct uprobes, 1);

	uprobes->multi = multi;
	uprobes->links = g_ptr_array_new_with_free_func(uprobes_link_free);
	uprobes->fds = g_array_new(FALSE, FALSE, sizeof(int));
	return uprobes;
}

void uprobes_detach(struct uprobes *uprobes)
{
	g_ptr_array_set_size(uprobes->links, 0);
	for (guint i = 0; i < uprobes->fds->len; i++)
		close(g_array_index(uprobes->fds, int, i));
	g_array_set_size(uprobes->fds, 0);
}

void uprobes_free(struct uprobes *uprobes)
{
	if (!uprobes)
		return;
	uprobes_detach(uprobes);
	g_ptr_array_unref(uprobes->links);
	g_array_unref(uprobes->fds);
	g_free(uprobes);
}

void uprobes_prepare(const struct uprobes *uprobes, struct bpf_program *program)
{
	if (uprobes->multi)
		bpf_program__set_expected_attach_type(program, UPROBES_ATTACH_MULTI);
}

static gboolean uprobes_attach_site(struct uprobes *uprobes, struct bpf_program *program, gboolean at_return,
				    const struct probe_site *site, GError **error)
{
	LIBBPF_OPTS(bpf_uprobe_opts, options, .retprobe = at_return, .bpf_cookie = site->call);
	char path[UPROBES_PATH_BYTES];
	struct bpf_link *link;

	g_snprintf(path, sizeof(path), "/proc/self/fd/%d", site->fd);
	link = bpf_program__attach_uprobe_opts(program, -1, path, site->file_offset, &options);
	if (!link) {
		ladder_set_error(error, "cannot set a breakpoint (uprobe)", errno);
		return FALSE;
	}
	g_ptr_array_add(uprobes->links, link);
	return TRUE;
}

static gboolean uprobes_attach_file(struct uprobes *uprobes, struct bpf_program *program, gboolean at_return, int file,
				    const GArray *offsets, const GArray *cookies, GError **error)
{
	char path[UPROBES_PATH_BYTES];
	struct uprobes_create create = {
		.prog_fd = (guint32)bpf_program__fd(program),
		.attach_type = UPROBES_ATTACH_MULTI,
		.path = (guintptr)path,
		.offsets = (guintptr)offsets->data,
		.cookies = (guintptr)cookies->data,
		.count = offsets->len,
		.multi_flags = at_return ? UPROBES_RETURN : 0,
	};
	int fd;

	g_snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &create, sizeof(create));
	if (fd < 0) {
		ladder_set_error(error, "cannot set breakpoints (uprobe multi)", errno);
		return FALSE;
	}
	g_array_append_val(uprobes->fds, fd);
	return TRUE;
}

gboolean uprobes_attach(struct uprobes *uprobes, struct bpf_program *program, gboolean at_return,
			const struct probe_site *sites, gsize count, gboolean (*wanted)(guint32 call), GError **error)
{
	g_autoptr(GArray) offsets = g_array_new(FALSE, FALSE, sizeof(guint64));
	g_autoptr(GArray) cookies = g_array_new(FALSE, FALSE, sizeof(guint64));

	for (gsize i = 0; i < count; i++) {
		guint64 cookie = sites[i].call;
		gboolean is_last = i + 1 == count || sites[i + 1].fd != sites[i].fd; /* those of a file are together */

		if (wanted(sites[i].call) && !uprobes->multi &&
		    !uprobes_attach_site(uprobes, program, at_return, &sites[i], error))
			return FALSE;
		if (wanted(sites[i].call) && uprobes->multi) {
			g_array_append_val(offsets, sites[i].file_offset);
			g_array_append_val(cookies, cookie);
		}
		if (!is_last || offsets->len == 0)
			continue;
		if (!uprobes_attach_file(uprobes, program, at_return, sites[i].fd, offsets, cookies, error))
			return FALSE;
		g_array_set_size(offsets, 0);
		g_array_set_size(cookies, 0);
	}
	return TRUE;
}

/* ---- our own code ---- */

struct own_code {
	guint64 address, file_offset;
};

static int own_find(struct dl_phdr_info *info, size_t size, void *user)
{
	struct own_code *code = user;

	(void)size;
	for (guint i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		guint64 within = code->address - (info->dlpi_addr + segment->p_vaddr);

		if (segment->p_type == PT_LOAD && within < segment->p_filesz) {
			code->file_offset = segment->p_offset + within;
			return 1;
		}
	}
	return 0;
}

gboolean uprobes_find_own(guintptr function, guint64 *file_offset)
{
	struct own_code code = { .address = function };

	if (dl_iterate_phdr(own_find, &code) == 0)
		return FALSE;
	*file_offset = code.file_offset;
	return TRUE;
}
