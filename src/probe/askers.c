/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/askers.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "askers.skel.h"
#include "base/clock.h"
#include "probe/cgroup_root.h"
#include "probe/hanger.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/mapread.h"
#include "probe/ringread.h"

#define ASKERS_HOOKS 4
#define ASKERS_LOOK_NS (100 * NS_PER_MS) /* all packets are looked at for so long … */
#define ASKERS_CALM_NS NS_PER_S /* … while there are few, again and again; … */
#define ASKERS_PAUSE_NS (10 * NS_PER_S) /* … while there are many, with so long in between */
#define HANDLE_KERNFS 0xfe /* FILEID_KERNFS, include/linux/exportfs.h */

static const guint32 asker_types[ASKERS_PROGRAMS] = { BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS };

/* Links to one cgroup; -1: none. */
struct asker_links {
	int fds[ASKERS_PROGRAMS];
};

struct askers {
	double share;
	struct hanger *hanger;
	struct askers_bpf *kernel;
	struct bpf_link *hooks[ASKERS_HOOKS];
	struct ringread *ring;
	int root; /* cgroup */
	guint64 root_key;
	int epoll_fd, timer;
	int programs[ASKERS_PROGRAMS]; /* [0] -1: nothing is to be hung */
	struct asker_links everywhere; /* [0] -1: on single cgroups */
	GHashTable *groups; /* key of cgroup → struct asker_links */
	guint64 passes, since_ns, due_ns; /* CLOCK_MONOTONIC */
	GArray *wanted, *old; /* of guint64, while it is looked who asked */
	gboolean was_eased;
};

gboolean askers_too_many(guint64 passes, guint64 length_ns, guint cpus, double share)
{
	return (double)passes * ASKERS_PASS_NS >= share * (double)length_ns * cpus;
}

/* ---- links ---- */

static void links_clear(struct asker_links *links)
{
	for (guint i = ASKERS_PROGRAMS; i-- > 0;) { /* questions first */
		if (links->fds[i] >= 0)
			close(links->fds[i]);
		links->fds[i] = -1;
	}
}

/* GDestroyNotify */
static void links_free(gpointer data)
{
	links_clear(data);
	g_free(data);
}

/* FALSE: errno says why. */
static gboolean links_make(struct askers *askers, int cgroup, struct asker_links *links)
{
	*links = (struct asker_links){ { -1, -1 } };
	for (guint i = 0; i < ASKERS_PROGRAMS; i++) {
		links->fds[i] = hanger_hang(askers->hanger, askers->programs[i], cgroup, asker_types[i]);
		if (links->fds[i] < 0) {
			int reason = errno;

			links_clear(links);
			errno = reason;
			return FALSE;
		}
	}
	return TRUE;
}

static int group_open(const struct askers *askers, guint64 key)
{
	union {
		struct file_handle handle;
		char space[sizeof(struct file_handle) + sizeof(key)];
	} id = { .handle = { .handle_bytes = sizeof(key), .handle_type = HANDLE_KERNFS } };

	memcpy(id.handle.f_handle, &key, sizeof(key));
	return open_by_handle_at(askers->root, &id.handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* From now on its packets are looked at. FALSE: it is gone, or cannot be. */
static gboolean group_hang(struct askers *askers, guint64 key)
{
	const struct asker asker = { .asked_ns = clock_monotonic_ns(), .is_heard = 1 };
	struct asker_links links;
	gboolean made;
	int cgroup;

	if (g_hash_table_contains(askers->groups, &key))
		return TRUE;
	cgroup = group_open(askers, key);
	if (cgroup < 0)
		return FALSE;
	made = links_make(askers, cgroup, &links);
	close(cgroup);
	if (!made)
		return FALSE;
	g_hash_table_insert(askers->groups, g_memdup2(&key, sizeof(key)), g_memdup2(&links, sizeof(links)));
	bpf_map_update_elem(askers_map(askers), &key, &asker, BPF_EXIST);
	return TRUE;
}

static void group_forget(struct askers *askers, guint64 key)
{
	bpf_map_delete_elem(askers_map(askers), &key);
	g_hash_table_remove(askers->groups, &key);
}

/* ---- everywhere, and where somebody asks ---- */

static void askers_wake(struct askers *askers, guint64 after_ns)
{
	const struct itimerspec when = { .it_value = { (time_t)(after_ns / NS_PER_S), (long)(after_ns % NS_PER_S) } };

	askers->since_ns = clock_monotonic_ns();
	askers->due_ns = askers->since_ns + after_ns;
	timerfd_settime(askers->timer, 0, &when, NULL);
}

static gboolean is_everywhere(const struct askers *askers)
{
	return askers->everywhere.fds[0] >= 0;
}

static void eased_set(struct askers *askers, gboolean eased)
{
	__atomic_store_n(&askers->kernel->bss->askers_eased, eased, __ATOMIC_RELEASE);
	askers->was_eased |= eased;
}

/* mapread_fn */
static void asker_look(void *user, const void *key, const void *value)
{
	struct askers *askers = user;
	const struct asker *asker = value;
	gboolean is_old = clock_monotonic_ns() > asker->asked_ns + ASKERS_MEMORY_NS;

	g_array_append_vals(is_old ? askers->old : askers->wanted, key, 1);
}

/* Who has asked within the last minute is in `wanted`; who did before is forgotten. FALSE: it is not known. */
static gboolean askers_look(struct askers *askers)
{
	g_array_set_size(askers->wanted, 0);
	g_array_set_size(askers->old, 0);
	if (!mapread_each(askers_map(askers), sizeof(guint64), sizeof(struct asker), asker_look, askers, NULL))
		return FALSE;
	for (guint i = 0; i < askers->old->len; i++)
		group_forget(askers, g_array_index(askers->old, guint64, i));
	if (askers->wanted->len < ASKERS_MAX)
		return !__atomic_exchange_n(&askers->kernel->bss->askers_full, false, __ATOMIC_ACQ_REL);
	return FALSE;
}

static gboolean asks_at_root(const struct askers *askers)
{
	for (guint i = 0; i < askers->wanted->len; i++)
		if (g_array_index(askers->wanted, guint64, i) == askers->root_key)
			return TRUE;
	return FALSE;
}

/* FALSE: they must stay everywhere. */
static gboolean askers_ease(struct askers *askers)
{
	if (!askers_look(askers) || askers->wanted->len > ASKERS_GROUPS_MAX || asks_at_root(askers))
		return FALSE;
	for (guint i = 0; i < askers->wanted->len; i++) {
		guint64 key = g_array_index(askers->wanted, guint64, i);

		if (group_hang(askers, key))
			continue;
		if (errno != ESTALE && errno != ENOENT && errno != ENODEV)
			return FALSE;
		group_forget(askers, key); /* it is gone */
	}
	eased_set(askers, TRUE);
	links_clear(&askers->everywhere);
	return TRUE;
}

static gboolean askers_spread(struct askers *askers)
{
	if (!links_make(askers, askers->root, &askers->everywhere))
		return FALSE;
	eased_set(askers, FALSE);
	return TRUE;
}

/* They hang everywhere, since askers->since_ns. */
static void askers_judge(struct askers *askers, guint64 passes, guint64 now_ns)
{
	gboolean too_many = askers_too_many(passes - askers->passes, MAX(now_ns - askers->since_ns, 1),
					    (guint)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1), askers->share);

	askers->passes = passes;
	if (too_many && askers_ease(askers)) {
		askers_wake(askers, ASKERS_PAUSE_NS);
		return;
	}
	g_hash_table_remove_all(askers->groups);
	askers_wake(askers, ASKERS_CALM_NS);
}

/* ringread_fn */
static int asker_heard(void *user, void *data, size_t bytes)
{
	struct askers *askers = user;
	guint64 key;

	if (bytes < sizeof(key) || is_everywhere(askers) || askers->programs[0] < 0)
		return 0;
	memcpy(&key, data, sizeof(key));
	if (key == askers->root_key || g_hash_table_size(askers->groups) >= ASKERS_GROUPS_MAX ||
	    (!group_hang(askers, key) && errno != ESTALE && errno != ENOENT && errno != ENODEV))
		askers->due_ns = 0; /* all packets, then */
	return 0;
}

void askers_step(struct askers *askers, guint64 passes)
{
	guint64 now_ns, expired;

	if (read(askers->timer, &expired, sizeof(expired)) < 0 && errno != EAGAIN)
		return;
	ringread_consume(askers->ring);
	now_ns = clock_monotonic_ns();
	if (askers->programs[0] < 0 || now_ns < askers->due_ns)
		return;
	if (is_everywhere(askers)) {
		askers_judge(askers, passes, now_ns);
		return;
	}
	if (!askers_spread(askers)) {
		askers_wake(askers, ASKERS_PAUSE_NS);
		return;
	}
	askers->passes = passes;
	askers_wake(askers, ASKERS_LOOK_NS);
}

gboolean askers_account(struct askers *askers, guint64 *unheard)
{
	gboolean eased = askers->was_eased;

	*unheard = __atomic_exchange_n(&askers->kernel->bss->askers_unheard, 0, __ATOMIC_ACQ_REL);
	askers->was_eased = askers->programs[0] >= 0 && !is_everywhere(askers);
	return eased;
}

gboolean askers_hang(struct askers *askers, const int programs[ASKERS_PROGRAMS], GError **error)
{
	memcpy(askers->programs, programs, sizeof(askers->programs));
	ladder_log_start();
	if (askers_spread(askers)) {
		askers->passes = 0;
		askers_wake(askers, ASKERS_LOOK_NS);
		return TRUE;
	}
	ladder_set_error(error, "cannot attach to the sockets of the root cgroup", errno);
	askers_take_down(askers);
	return FALSE;
}

void askers_take_down(struct askers *askers)
{
	links_clear(&askers->everywhere);
	g_hash_table_remove_all(askers->groups);
	eased_set(askers, FALSE);
	askers->was_eased = FALSE;
	askers->programs[0] = -1;
}

/* ---- making ---- */

static gboolean askers_load(struct askers *askers, GError **error)
{
	static const char what[] = "cannot load the programs that hear who asks DNS";
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();

	askers->kernel = KERNEL_BTF_OPEN(askers, btf, what, error);
	return askers->kernel && kernel_btf_load(btf, askers->kernel->skeleton, what, error);
}

static gboolean askers_attach(struct askers *askers, GError **error)
{
	struct bpf_program *const programs[ASKERS_HOOKS] = {
		askers->kernel->progs.askers_connect4,
		askers->kernel->progs.askers_connect6,
		askers->kernel->progs.askers_sendmsg4,
		askers->kernel->progs.askers_sendmsg6,
	};
	struct stat root;

	askers->root = cgroup_root_open(error);
	if (askers->root < 0)
		return FALSE;
	ladder_log_start();
	for (guint i = 0; i < ASKERS_HOOKS; i++) {
		askers->hooks[i] = bpf_program__attach_cgroup(programs[i], askers->root);
		if (!askers->hooks[i]) {
			ladder_set_error(error, "cannot hear who asks DNS", errno);
			return FALSE;
		}
	}
	if (fstat(askers->root, &root) == 0)
		askers->root_key = root.st_ino;
	return TRUE;
}

static gboolean askers_wait(struct askers *askers, GError **error)
{
	struct epoll_event event = { .events = EPOLLIN };

	askers->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	askers->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	askers->ring = ringread_open(bpf_map__fd(askers->kernel->maps.askers_ring), asker_heard, askers);
	if (askers->ring && epoll_ctl(askers->epoll_fd, EPOLL_CTL_ADD, askers->timer, &event) == 0 &&
	    epoll_ctl(askers->epoll_fd, EPOLL_CTL_ADD, ringread_fd(askers->ring), &event) == 0)
		return TRUE;
	ladder_set_error(error, "cannot wait for who asks DNS", errno);
	return FALSE;
}

struct askers *askers_new(double share, GError **error)
{
	struct askers *askers = g_new0(struct askers, 1);

	askers->share = share;
	askers->root = askers->epoll_fd = askers->timer = askers->programs[0] = -1;
	askers->everywhere = (struct asker_links){ { -1, -1 } };
	askers->groups = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, links_free);
	askers->wanted = g_array_new(FALSE, FALSE, sizeof(guint64));
	askers->old = g_array_new(FALSE, FALSE, sizeof(guint64));
	askers->hanger = hanger_new(error);
	if (askers->hanger && askers_load(askers, error) && askers_attach(askers, error) && askers_wait(askers, error))
		return askers;
	askers_free(askers);
	return NULL;
}

void askers_free(struct askers *askers)
{
	if (!askers)
		return;
	links_clear(&askers->everywhere);
	g_hash_table_unref(askers->groups);
	for (guint i = 0; i < ASKERS_HOOKS; i++)
		bpf_link__destroy(askers->hooks[i]);
	ringread_close(askers->ring);
	askers_bpf__destroy(askers->kernel);
	hanger_free(askers->hanger);
	if (askers->root >= 0)
		close(askers->root);
	if (askers->timer >= 0)
		close(askers->timer);
	if (askers->epoll_fd >= 0)
		close(askers->epoll_fd);
	g_array_unref(askers->wanted);
	g_array_unref(askers->old);
	g_free(askers);
}

int askers_map(const struct askers *askers)
{
	return bpf_map__fd(askers->kernel->maps.askers);
}

int askers_fd(const struct askers *askers)
{
	return askers->epoll_fd;
}
