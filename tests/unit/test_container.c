/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up machines: every runtime on cgroup v1, v2 and both, and those who pretend to be one. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container/registry.h"
#include "kernel/cgroupfs.h"
#include "tree.h"

#define ID_A "aaaa567890aaaa567890aaaa567890aaaa567890aaaa567890aaaa567890aaaa"
#define ID_B "aaaa123456bbbb123456bbbb123456bbbb123456bbbb123456bbbb123456bbbb"
#define ID_C "cccc123456cccc123456cccc123456cccc123456cccc123456cccc123456cccc"

static const enum tree_mode modes[] = { TREE_MODE_V2, TREE_MODE_V1, TREE_MODE_HYBRID };

struct machine_test {
	char *root;
	enum tree_mode mode;
	struct registry *registry;
};

static void machine_start(struct machine_test *machine, enum tree_mode mode)
{
	*machine = (struct machine_test){ .root = tree_new(), .mode = mode };
	tree_machine(machine->root, mode);
}

static void machine_scan(struct machine_test *machine)
{
	g_autoptr(GError) error = NULL;

	machine->registry = registry_new(machine->root, &error);
	g_assert_no_error(error);
}

static void machine_end(struct machine_test *machine)
{
	registry_free(machine->registry);
	tree_remove(machine->root);
	g_free(machine->root);
}

/* A process in the cgroup `path` of every hierarchy. */
static void add_process(struct machine_test *machine, guint32 pid, guint32 ppid, guint32 inner, const char *comm,
			const char *path)
{
	const struct tree_process process = { .pid = pid,
					      .ppid = ppid,
					      .inner = inner,
					      .comm = comm,
					      .v2 = path,
					      .v1 = path,
					      .start_ticks = pid * 10,
					      .contained = inner != 0 };

	tree_process(machine->root, machine->mode, &process);
}

static void add_monitor(struct machine_test *machine, guint32 pid, const char *comm, const char *cwd,
			const char *const *arguments)
{
	const struct tree_process process = {
		.pid = pid, .ppid = 1, .comm = comm, .cwd = cwd, .arguments = arguments, .start_ticks = pid * 10
	};

	tree_process(machine->root, machine->mode, &process);
}

static guint64 key_of(const struct machine_test *machine, const char *path)
{
	const char *tree = machine->mode == TREE_MODE_V1 ? "/sys/fs/cgroup/memory" : tree_v2(machine->mode);
	g_autofree char *whole = g_build_filename(tree, path, NULL);

	return tree_inode(machine->root, whole) | (machine->mode == TREE_MODE_V1 ? CGROUP_KEY_V1 : 0);
}

static void docker_config(struct machine_test *machine, const char *data_root, const char *id, const char *name,
			  guint32 pid)
{
	g_autofree char *path = g_build_filename(data_root, "containers", id, "config.v2.json", NULL);
	g_autofree char *text =
		g_strdup_printf("{\"ID\":\"%s\",\"Name\":\"/%s\",\"State\":{\"Running\":true,\"Pid\":%u},"
				"\"Config\":{\"Image\":\"nginx:1.25\",\"Labels\":{}}}",
				id, name, pid);

	tree_file(machine->root, path, text);
}

/* ---- every runtime ---- */

struct setup {
	const char *what;
	void (*make)(struct machine_test *machine, const char *cgroup);
	const char *cgroup; /* NULL: not in this world */
	enum container_runtime runtime;
	const char *id, *name, *image, *pod, *pod_namespace;
};

static void make_docker(struct machine_test *machine, const char *cgroup)
{
	docker_config(machine, "/var/lib/docker", ID_A, "web", 100);
	add_process(machine, 100, 1, 1, "nginx", cgroup);
}

static void make_docker_private(struct machine_test *machine, const char *cgroup)
{
	const char *const shim[] = { "/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", ID_A, NULL };

	docker_config(machine, "/srv/private", ID_A, "web", 100);
	tree_file(machine->root, "/run/d/moby/" ID_A "/config.json",
		  "{\"mounts\":[{\"source\":\"proc\"},{\"source\":\"/srv/private/containers/" ID_A "/hostname\"}]}");
	add_monitor(machine, 90, "containerd-shim", "/run/d/moby/" ID_A, shim);
	add_process(machine, 100, 90, 1, "nginx", cgroup);
}

static void make_docker_kubernetes(struct machine_test *machine, const char *cgroup)
{
	tree_file(machine->root, "/var/lib/docker/containers/" ID_A "/config.v2.json",
		  "{\"ID\":\"" ID_A "\",\"Name\":\"/k8s_cart_shop-1_prod_uid_0\",\"State\":{\"Pid\":100},\"Config\":{"
		  "\"Image\":\"cart@sha256:1\",\"Labels\":{\"io.kubernetes.pod.name\":\"shop-1\","
		  "\"io.kubernetes.pod.namespace\":\"prod\",\"io.kubernetes.container.name\":\"cart\"}}}");
	add_process(machine, 100, 1, 1, "cart", cgroup);
}

static void make_containerd(struct machine_test *machine, const char *cgroup)
{
	const char *const shim[] = { "/usr/bin/containerd-shim-runc-v2", "-namespace", "default", "-id", "web", NULL };
	g_autofree char *config = g_strdup_printf("{\"linux\":{\"cgroupsPath\":\"%s\"}}", cgroup);

	tree_file(machine->root, "/srv/state/default/web/config.json", config);
	tree_file(machine->root, "/srv/state/default/web/init.pid", "100");
	add_monitor(machine, 90, "containerd-shim", "/srv/state/default/web", shim);
	add_process(machine, 100, 90, 1, "redis", cgroup);
}

/* One shim minds the pod: it stands in the sandbox's bundle, a neighbour of the container's. */
static void make_containerd_pod(struct machine_test *machine, const char *cgroup)
{
	const char *const shim[] = { "/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", ID_C, NULL };
	gboolean systemd = g_str_has_suffix(cgroup, ".scope");
	g_autofree char *config = g_strdup_printf(
		"{\"linux\":{\"cgroupsPath\":\"%s\"},\"annotations\":{\"io.kubernetes.cri.container-name\":\"cart\","
		"\"io.kubernetes.cri.container-type\":\"container\",\"io.kubernetes.cri.sandbox-name\":\"shop-1\","
		"\"io.kubernetes.cri.sandbox-namespace\":\"prod\",\"io.kubernetes.cri.image-name\":\"cart:2\"}}",
		systemd ? "kubepods-pod1.slice:cri-containerd:" ID_A : cgroup);

	tree_file(machine->root, "/srv/state/k8s.io/" ID_C "/config.json",
		  "{\"linux\":{\"cgroupsPath\":\"/elsewhere\"}}");
	tree_file(machine->root, "/srv/state/k8s.io/" ID_A "/config.json", config);
	tree_file(machine->root, "/srv/state/k8s.io/" ID_A "/init.pid", "100");
	add_monitor(machine, 90, "containerd-shim", "/srv/state/k8s.io/" ID_C, shim);
	add_process(machine, 100, 90, 1, "cart", cgroup);
}

static void make_containerd_default(struct machine_test *machine, const char *cgroup)
{
	g_autofree char *config = g_strdup_printf("{\"linux\":{\"cgroupsPath\":\"%s\"}}", cgroup);

	tree_file(machine->root, "/run/containerd/io.containerd.runtime.v2.task/default/web/config.json", config);
	tree_file(machine->root, "/run/containerd/io.containerd.runtime.v2.task/default/web/init.pid", "100");
	add_process(machine, 100, 1, 1, "redis", cgroup);
}

static void make_crio(struct machine_test *machine, const char *cgroup)
{
	const char *const conmon[] = { "/usr/bin/conmon",
				       "-b",
				       "/run/s/overlay-containers/" ID_A "/userdata",
				       "-c",
				       ID_A,
				       "-n",
				       "k8s_cart_shop-1_prod_uid_0",
				       NULL };

	tree_file(machine->root, "/run/s/overlay-containers/" ID_A "/userdata/config.json",
		  "{\"annotations\":{\"io.kubernetes.container.name\":\"cart\",\"io.kubernetes.pod.name\":\"shop-1\","
		  "\"io.kubernetes.pod.namespace\":\"prod\",\"io.kubernetes.cri-o.ImageName\":\"cart:3\"}}");
	add_monitor(machine, 90, "conmon", "/", conmon);
	add_process(machine, 100, 90, 1, "cart", cgroup);
}

static void make_podman(struct machine_test *machine, const char *cgroup)
{
	const char *const conmon[] = { "/usr/bin/conmon",
				       "-c",
				       ID_A,
				       "-b",
				       "/srv/s/vfs-containers/" ID_A "/userdata",
				       "-p",
				       "/srv/r/vfs-containers/" ID_A "/userdata/pidfile",
				       "-n",
				       "web",
				       NULL };
	g_autofree char *child = g_build_filename(cgroup, "container", NULL);

	tree_file(machine->root, "/srv/r/vfs-containers/" ID_A "/userdata/pidfile", "100\n");
	tree_file(machine->root, "/srv/s/vfs-containers/containers.json",
		  "[{\"id\":\"" ID_B "\",\"names\":[\"other\"]},{\"id\":\"" ID_A
		  "\",\"names\":[\"web\"],\"metadata\":\"{\\\"image-name\\\":\\\"quay.io/web:1\\\"}\"}]");
	add_monitor(machine, 90, "conmon", "/", conmon);
	add_process(machine, 100, 90, 1, "web", child); /* as crun does */
}

static void make_podman_default(struct machine_test *machine, const char *cgroup)
{
	tree_file(machine->root, "/var/lib/containers/storage/overlay-containers/containers.json",
		  "[{\"id\":\"" ID_A
		  "\",\"names\":[\"web\"],\"metadata\":\"{\\\"image-name\\\":\\\"quay.io/web:1\\\"}\"}]");
	add_process(machine, 100, 1, 1, "web", cgroup);
}

static void make_runc(struct machine_test *machine, const char *cgroup)
{
	const char *mount = machine->mode == TREE_MODE_V2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
	g_autofree char *state =
		g_strdup_printf("{\"id\":\"web\",\"init_process_pid\":100,\"cgroup_paths\":{\"memory\":"
				"\"%s%s\"}}",
				mount, cgroup);

	tree_file(machine->root, "/run/runc/web/state.json", state);
	tree_file(machine->root, "/run/runc/broken/state.json", "{\"id\":");
	add_process(machine, 100, 1, 1, "web", cgroup);
}

/* States in a place that only the process that minds the container tells. */
static void make_runc_told(struct machine_test *machine, const char *cgroup, const char *const *minder)
{
	const char *mount = machine->mode == TREE_MODE_V2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
	g_autofree char *state =
		g_strdup_printf("{\"id\":\"web\",\"init_process_pid\":100,\"cgroup_paths\":{\"memory\":"
				"\"%s%s\"}}",
				mount, cgroup);

	tree_file(machine->root, "/srv/states/web/state.json", state);
	tree_file(machine->root, "/srv/states/other/state.json",
		  "{\"id\":\"other\",\"init_process_pid\":7,\"cgroup_paths\":{\"memory\":\"/mine/other\"}}");
	add_monitor(machine, 90, "runc", "/", minder);
	add_process(machine, 100, 90, 1, "web", cgroup);
}

static void make_runc_named(struct machine_test *machine, const char *cgroup)
{
	const char *const minder[] = { "runc", "--root", "/srv/states", "run", "-b", "bundle", "web", NULL };

	make_runc_told(machine, cgroup, minder);
}

static void make_runc_unnamed(struct machine_test *machine, const char *cgroup)
{
	const char *const minder[] = { "runc", "--root=/srv/states", "other", NULL };

	make_runc_told(machine, cgroup, minder);
}

static void make_crun(struct machine_test *machine, const char *cgroup)
{
	g_autofree char *status = g_strdup_printf("{\"pid\":100,\"cgroup-path\":\"%s\"}", cgroup);

	tree_file(machine->root, "/run/crun/web/status", status);
	add_process(machine, 100, 1, 1, "web", cgroup);
}

static void make_lxc(struct machine_test *machine, const char *cgroup)
{
	const char *const monitor[] = { "[lxc monitor] /var/lib/lxc web", NULL };

	add_monitor(machine, 90, "lxc-start", "/", monitor);
	add_process(machine, 100, 90, 1, "init", cgroup);
}

static void make_nspawn(struct machine_test *machine, const char *cgroup)
{
	g_autofree char *payload = g_build_filename(cgroup, "payload", NULL);

	tree_file(machine->root, "/run/systemd/machines/my-box",
		  "NAME=my-box\nCLASS=container\nSERVICE=systemd-nspawn\n");
	add_process(machine, 100, 1, 1, "systemd", payload);
}

static void make_nspawn_bare(struct machine_test *machine, const char *cgroup)
{
	const char *const monitor[] = { "systemd-nspawn", "-D", "/srv/box", NULL };

	add_monitor(machine, 90, "systemd-nspawn", "/", monitor);
	add_process(machine, 100, 90, 1, "init", cgroup);
}

static void make_plain(struct machine_test *machine, const char *cgroup)
{
	add_process(machine, 100, 1, 0, "daemon", cgroup);
}

static void make_contained(struct machine_test *machine, const char *cgroup)
{
	add_process(machine, 100, 1, 1, "app", cgroup);
}

static const struct setup setups[] = {
	{ "docker, cgroupfs", make_docker, "/docker/" ID_A, RUNTIME_DOCKER, ID_A, "web", "nginx:1.25" },
	{ "docker, systemd", make_docker, "/system.slice/docker-" ID_A ".scope", RUNTIME_DOCKER, ID_A, "web",
	  "nginx:1.25" },
	{ "docker, data root", make_docker_private, "/docker/" ID_A, RUNTIME_DOCKER, ID_A, "web", "nginx:1.25" },
	{ "docker, own parent", make_docker_private, "/mine/" ID_A, RUNTIME_DOCKER, ID_A, "web", "nginx:1.25" },
	{ "docker, kubernetes", make_docker_kubernetes, "/kubepods.slice/kubepods-pod1.slice/docker-" ID_A ".scope",
	  RUNTIME_DOCKER, ID_A, "shop-1/cart", "cart@sha256:1", "shop-1", "prod" },
	{ "containerd", make_containerd, "/default/web", RUNTIME_CONTAINERD, "web", "web", NULL },
	{ "containerd, default", make_containerd_default, "/default/web", RUNTIME_CONTAINERD, "web", "web", NULL },
	{ "containerd, pod", make_containerd_pod, "/kubepods/burstable/pod1/" ID_A, RUNTIME_CONTAINERD, ID_A,
	  "shop-1/cart", "cart:2", "shop-1", "prod" },
	{ "containerd, pod, systemd", make_containerd_pod,
	  "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID_A ".scope", RUNTIME_CONTAINERD, ID_A, "shop-1/cart",
	  "cart:2", "shop-1", "prod" },
	{ "cri-o", make_crio, "/kubepods.slice/kubepods-pod1.slice/crio-" ID_A ".scope", RUNTIME_CRIO, ID_A,
	  "shop-1/cart", "cart:3", "shop-1", "prod" },
	{ "podman", make_podman, "/machine.slice/libpod-" ID_A ".scope", RUNTIME_PODMAN, ID_A, "web", "quay.io/web:1" },
	{ "podman, cgroupfs", make_podman, "/libpod_parent/libpod-" ID_A, RUNTIME_PODMAN, ID_A, "web",
	  "quay.io/web:1" },
	{ "podman, default", make_podman_default, "/machine.slice/libpod-" ID_A ".scope", RUNTIME_PODMAN, ID_A, "web",
	  "quay.io/web:1" },
	{ "podman, rootless", make_podman,
	  "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID_A ".scope", RUNTIME_PODMAN, ID_A, "web",
	  "quay.io/web:1" },
	{ "podman, in a service", make_podman, "/system.slice/web.service/libpod-payload-" ID_A, RUNTIME_PODMAN, ID_A,
	  "web", "quay.io/web:1" },
	{ "runc", make_runc, "/mine/web", RUNTIME_RUNC, "web", "web", NULL },
	{ "runc, own states, named", make_runc_named, "/mine/web", RUNTIME_RUNC, "web", "web", NULL },
	{ "runc, own states, not named", make_runc_unnamed, "/mine/web", RUNTIME_RUNC, "web", "web", NULL },
	{ "crun", make_crun, "/mine/web", RUNTIME_CRUN, "web", "web", NULL },
	{ "lxc", make_lxc, "/lxc.payload.web", RUNTIME_LXC, "web", "web", NULL },
	{ "lxc, old", make_lxc, "/lxc/web", RUNTIME_LXC, "web", "web", NULL },
	{ "nspawn", make_nspawn, "/machine.slice/machine-my\\x2dbox.scope", RUNTIME_NSPAWN, "my-box", "my-box", NULL },
	{ "nspawn, bare", make_nspawn_bare, "/payload", RUNTIME_NSPAWN, "box", "box", NULL },
	{ "unit", make_plain, "/system.slice/nginx.service", RUNTIME_SYSTEMD, "nginx.service", "nginx.service", NULL },
	{ "user's unit", make_plain, "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service",
	  RUNTIME_SYSTEMD, "a.service", "a.service", NULL },
	{ "cgroup", make_plain, "/batch/night", RUNTIME_CGROUP, "/batch/night", "/batch/night", NULL },
	{ "unknown runtime", make_contained, "/mine/app", RUNTIME_OTHER, "/mine/app", "app", NULL },
};

static void check_setup(const struct setup *setup, enum tree_mode mode)
{
	g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(guint32));
	const struct container *container;
	struct machine_test machine;

	g_test_message("%s, mode %d", setup->what, mode);
	machine_start(&machine, mode);
	setup->make(&machine, setup->cgroup);
	machine_scan(&machine);
	container = registry_by_path(machine.registry, setup->cgroup);
	g_assert_nonnull(container);
	g_assert_cmpstr(container_runtime_name(container->runtime), ==, container_runtime_name(setup->runtime));
	g_assert_cmpstr(container->id, ==, setup->id);
	g_assert_cmpstr(container->name, ==, setup->name);
	g_assert_cmpstr(container->image, ==, setup->image);
	g_assert_cmpstr(container->pod, ==, setup->pod);
	g_assert_cmpstr(container->pod_namespace, ==, setup->pod_namespace);
	g_assert_cmpstr(container->cgroup, ==, setup->cgroup);
	g_assert_cmpuint(container->cgroup_key, ==, key_of(&machine, setup->cgroup));
	g_assert_true(registry_by_cgroup(machine.registry, container->cgroup_key) == container);
	g_assert_true(registry_by_pid(machine.registry, 100, 1000) == container);
	g_assert_null(registry_by_pid(machine.registry, 100, 999)); /* the pid is another process's now */
	g_assert_true(registry_by_pid(machine.registry, 1, 0) == registry_host(machine.registry));
	if (container_is_container(container)) {
		g_assert_cmpuint(container->init_pid, ==, 100);
		g_assert_cmpuint(container->start_realtime_ns, >, G_GUINT64_CONSTANT(1700000000000000000));
		g_assert_cmpuint(registry_inner_pid(machine.registry, container, 1), ==, 100);
		g_assert_cmpuint(registry_inner_pid(machine.registry, container, 2), ==, 0);
	}
	registry_pids(machine.registry, container, pids);
	g_assert_cmpuint(pids->len, ==, 1);
	machine_end(&machine);
}

static void test_runtimes(void)
{
	for (guint i = 0; i < G_N_ELEMENTS(setups); i++)
		for (guint j = 0; j < G_N_ELEMENTS(modes); j++)
			check_setup(&setups[i], modes[j]);
}

/* ---- pretenders ---- */

/* A cgroup below a container, named like another container whose state exists. */
static void test_nested(void)
{
	struct machine_test machine;
	const struct container *web;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	docker_config(&machine, "/var/lib/docker", ID_B, "bank", 200);
	add_process(&machine, 200, 1, 1, "bank", "/docker/" ID_B);
	add_process(&machine, 101, 100, 2, "evil", "/docker/" ID_A "/system.slice/docker-" ID_B ".scope");
	machine_scan(&machine);
	web = registry_by_path(machine.registry, "/docker/" ID_A);
	g_assert_cmpstr(web->name, ==, "web");
	g_assert_true(registry_by_pid(machine.registry, 101, 0) == web);
	g_assert_cmpstr(registry_by_pid(machine.registry, 200, 0)->name, ==, "bank");
	g_assert_true(registry_by_cgroup(machine.registry, key_of(&machine, "/docker/" ID_A "/system.slice/docker-" ID_B
									    ".scope")) == web);
	machine_end(&machine);
}

/* Docker's naming in a place a user may write to, for the id of a container that runs elsewhere. */
static void test_spoofed(void)
{
	static const char user[] = "/user.slice/user-1000.slice/user@1000.service";
	g_autofree char *fake = g_build_filename(user, "docker-" ID_A ".scope", NULL);
	g_autofree char *directory = NULL;
	const struct container *container;
	struct machine_test machine;

	if (geteuid() != 0) {
		g_test_skip("needs root to make another user's directory");
		return;
	}
	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	add_process(&machine, 300, 1, 1, "evil", fake);
	directory = g_build_filename(machine.root, "/sys/fs/cgroup", user, NULL);
	g_assert_cmpint(chown(directory, 1000, 1000), ==, 0);
	machine_scan(&machine);
	container = registry_by_pid(machine.registry, 300, 0);
	g_assert_false(container_is_container(container));
	g_assert_cmpint(container->runtime, ==, RUNTIME_SYSTEMD);
	g_assert_cmpstr(registry_by_pid(machine.registry, 100, 0)->name, ==, "web");
	machine_end(&machine);
}

/* Even the tree's owner does not lend a living container's name to another cgroup. */
static void test_borrowed_name(void)
{
	const struct container *container;
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	add_process(&machine, 300, 1, 1, "evil", "/system.slice/docker-" ID_A ".scope");
	machine_scan(&machine);
	container = registry_by_pid(machine.registry, 300, 0);
	g_assert_cmpstr(container->name, !=, "web");
	g_assert_null(container->image);
	machine_end(&machine);
}

static void test_hostile_state(void)
{
	g_autofree char *deep = g_strnfill(100000, '[');
	g_autofree char *huge = g_strnfill(5000, 'n');
	g_autoptr(GString) config = g_string_new(NULL);
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_V2);
	g_string_printf(config,
			"{\"ID\":\"" ID_A "\",\"Name\":\"/%s\",\"State\":{\"Pid\":100},\"Config\":{\"Image\":7}}",
			huge);
	tree_file(machine.root, "/var/lib/docker/containers/" ID_A "/config.v2.json", config->str);
	tree_file(machine.root, "/var/lib/docker/containers/" ID_B "/config.v2.json", deep);
	tree_file(machine.root, "/var/lib/docker/containers/" ID_C "/config.v2.json",
		  "{\"ID\":\"" ID_C
		  "\",\"Name\":\"/a\\u001b[2J\\\"b\\n\",\"State\":{\"Pid\":300},\"Config\":{\"Image\":\"x\"}}");
	add_process(&machine, 100, 1, 1, "x) R 1", "/docker/" ID_A);
	add_process(&machine, 200, 1, 1, "\033[2J\"", "/docker/" ID_B);
	add_process(&machine, 300, 1, 1, "a\nb", "/docker/" ID_C);
	machine_scan(&machine);
	g_assert_cmpstr(registry_by_pid(machine.registry, 100, 1000)->name, ==,
			"aaaa567890aa"); /* too long to be a name */
	g_assert_null(registry_by_pid(machine.registry, 100, 0)->image);
	g_assert_cmpstr(registry_by_pid(machine.registry, 200, 2000)->name, ==, "aaaa123456bb");
	g_assert_cmpstr(registry_by_pid(machine.registry, 300, 3000)->name, ==, "a\033[2J\"b\n"); /* raw inside */
	machine_end(&machine);
}

/* ---- lives ---- */

static void test_death(void)
{
	const struct container *web, *again;
	struct machine_test machine;
	g_autoptr(GPtrArray) list = NULL;
	guint64 key;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	add_process(&machine, 101, 100, 2, "child", "/docker/" ID_A "/sub");
	machine_scan(&machine);
	web = registry_by_path(machine.registry, "/docker/" ID_A);
	key = key_of(&machine, "/docker/" ID_A "/sub");
	tree_remove_cgroup(machine.root, "/sys/fs/cgroup/docker/" ID_A "/sub");
	tree_remove_cgroup(machine.root, "/sys/fs/cgroup/docker/" ID_A);
	tree_directory(machine.root, "/sys/fs/cgroup/unrelated"); /* takes the inode, perhaps */
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_true(web->dead);
	g_assert_cmpuint(web->init_pid, ==, 0);
	g_assert_cmpstr(web->name, ==, "web");
	if (key != key_of(&machine, "/unrelated"))
		g_assert_true(registry_by_cgroup(machine.registry, key) == web);
	list = registry_list(machine.registry);
	g_assert_true(g_ptr_array_index(list, list->len - 1) == web);
	/* docker start: the same id and path, another life. */
	make_docker(&machine, "/docker/" ID_A);
	g_assert_true(registry_refresh(machine.registry, NULL));
	again = registry_by_path(machine.registry, "/docker/" ID_A);
	g_assert_true(again != web);
	g_assert_false(again->dead);
	g_assert_cmpstr(again->name, ==, "web");
	machine_end(&machine);
}

static void test_birth(void)
{
	const struct container *container;
	struct machine_test machine;
	guint64 key;

	machine_start(&machine, TREE_MODE_HYBRID);
	tree_directory(machine.root, "/sys/fs/cgroup/unified/docker");
	machine_scan(&machine);
	/* Never seen: an unknown key is looked for. */
	make_docker(&machine, "/docker/" ID_A);
	key = key_of(&machine, "/docker/" ID_A);
	container = registry_by_cgroup(machine.registry, key);
	g_assert_nonnull(container);
	g_assert_cmpstr(container->name, ==, "web");
	g_assert_null(registry_by_cgroup(machine.registry, 0x7fffffff));
	/* Heard of, and gone before anyone could look; its files are still there. */
	docker_config(&machine, "/var/lib/docker", ID_B, "job", 0);
	registry_note_birth(machine.registry, 0x70000001, "/docker/" ID_B);
	registry_note_death(machine.registry, 0x70000001);
	container = registry_by_cgroup(machine.registry, 0x70000001);
	g_assert_nonnull(container);
	g_assert_true(container->dead);
	g_assert_cmpstr(container->name, ==, "job");
	g_assert_cmpint(container->runtime, ==, RUNTIME_DOCKER);
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_true(registry_by_cgroup(machine.registry, 0x70000001) == container);
	/* The same from a place nobody vouches for. */
	registry_note_birth(machine.registry, 0x70000002, "/unknown/docker-" ID_B ".scope");
	g_assert_cmpstr(registry_by_cgroup(machine.registry, 0x70000002)->name, !=, "job");
	machine_end(&machine);
}

/* Nobody asked about it while it lived: its files say who it was. */
static void test_unasked(void)
{
	const struct container *container;
	struct machine_test machine;
	guint64 key;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	tree_directory(machine.root, "/sys/fs/cgroup/docker/" ID_A "/inside");
	machine_scan(&machine);
	key = key_of(&machine, "/docker/" ID_A "/inside");
	registry_note_death(machine.registry, key);
	container = registry_by_cgroup(machine.registry, key);
	g_assert_cmpstr(container->name, ==, "web");
	g_assert_false(container->dead);
	key = key_of(&machine, "/docker/" ID_A);
	registry_note_death(machine.registry, key);
	g_assert_true(container->dead);
	g_assert_true(registry_by_cgroup(machine.registry, key) == container);
	machine_end(&machine);
}

/* The cgroup comes first, the process and the name later. */
static void test_late_name(void)
{
	const struct container *container;
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_V2);
	tree_directory(machine.root, "/sys/fs/cgroup/default/web");
	machine_scan(&machine);
	container = registry_by_path(machine.registry, "/default/web");
	g_assert_cmpint(container->runtime, ==, RUNTIME_CGROUP);
	for (guint i = 0; i < 10; i++)
		g_assert_true(registry_refresh(machine.registry, NULL));
	make_containerd(&machine, "/default/web");
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_cmpint(container->runtime, ==, RUNTIME_CONTAINERD);
	g_assert_cmpstr(container->name, ==, "web");
	machine_end(&machine);
}

/* A container whose runtime is slow to write down who it is: asked often meanwhile, and named when it has. */
static void test_late_state(void)
{
	const char *const shim[] = { "/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", ID_B, NULL };
	g_autofree char *booted = g_strdup_printf("btime %" G_GINT64_FORMAT "\n", g_get_real_time() / G_USEC_PER_SEC);
	const struct container *container;
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_V2);
	tree_file(machine.root, "/proc/stat", booted);
	add_process(&machine, 100, 1, 1, "runc:[2:INIT]", "/docker/" ID_A);
	machine_scan(&machine);
	container = registry_by_path(machine.registry, "/docker/" ID_A);
	g_assert_cmpstr(container->name, !=, "web");
	for (guint i = 0; i < 10; i++)
		g_assert_true(registry_refresh(machine.registry, NULL));
	docker_config(&machine, "/var/lib/docker", ID_A, "web", 0);
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_cmpstr(container->name, ==, "web");
	/* Sure whose it is, by its shim, but not what it is called. */
	add_monitor(&machine, 190, "containerd-shim", "/run/d/moby/" ID_B, shim);
	add_process(&machine, 200, 190, 1, "runc:[2:INIT]", "/docker/" ID_B);
	g_assert_true(registry_refresh(machine.registry, NULL));
	container = registry_by_path(machine.registry, "/docker/" ID_B);
	g_assert_true(g_str_has_prefix(ID_B, container->name));
	docker_config(&machine, "/var/lib/docker", ID_B, "shop", 0);
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_cmpstr(container->name, ==, "shop");
	machine_end(&machine);
}

/* A recording's first intervals know an id, later ones the name. */
static void test_recorded_late(void)
{
	struct registry *registry = registry_new_recorded();
	struct container seen = { .cgroup_key = 77, .runtime = RUNTIME_DOCKER, .id = ID_A, .cgroup = "/docker/" ID_A };
	const char *const names[] = { ID_A, "aaaa567890aa", "web", "web" };

	for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
		seen.name = (char *)names[i];
		registry_record(registry, &seen);
	}
	g_assert_cmpstr(registry_by_cgroup(registry, 77)->name, ==, "web");
	g_assert_cmpuint(g_hash_table_size(registry_renamed(registry)), ==, 2);
	g_assert_cmpstr(g_hash_table_lookup(registry_renamed(registry), ID_A), ==, "web");
	g_assert_cmpstr(g_hash_table_lookup(registry_renamed(registry), "aaaa567890aa"), ==, "web");
	/* Renamed by hand: its old name may be another's by now. */
	seen.name = (char *)"shop";
	registry_record(registry, &seen);
	g_assert_null(g_hash_table_lookup(registry_renamed(registry), "web"));
	registry_free(registry);
}

/* A container that was started anew has two cgroups in a recording: its name means both; two of one name are two. */
static void test_recorded_again(void)
{
	struct registry *registry = registry_new_recorded();
	struct container seen = { .cgroup_key = 77,
				  .runtime = RUNTIME_DOCKER,
				  .id = ID_A,
				  .name = (char *)"web",
				  .cgroup = "/docker/" ID_A };
	g_autoptr(GPtrArray) targets = target_array_new(), none = target_array_new();
	g_autoptr(GError) error = NULL;

	registry_record(registry, &seen);
	seen.cgroup_key = 78;
	registry_record(registry, &seen);
	g_assert_true(target_resolve(registry, "web", targets, &error));
	g_assert_no_error(error);
	g_assert_cmpuint(targets->len, ==, 2);
	seen.cgroup_key = 79;
	seen.id = ID_B;
	registry_record(registry, &seen);
	g_assert_false(target_resolve(registry, "web", none, &error));
	g_assert_error(error, TARGET_ERROR, TARGET_ERROR_AMBIGUOUS);
	registry_free(registry);
}

static void test_churn(void)
{
	g_autoptr(GPtrArray) list = NULL;
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	machine_scan(&machine);
	for (guint i = 0; i < 3 * REGISTRY_DEAD_MAX; i++) {
		g_autofree char *path = g_strdup_printf("/docker/%064x", i);

		registry_note_birth(machine.registry, 0x10000000 + i, path);
		registry_note_death(machine.registry, 0x10000000 + i);
		if (i % 1000 == 0)
			g_assert_true(registry_refresh(machine.registry, NULL));
	}
	g_assert_true(registry_refresh(machine.registry, NULL));
	list = registry_list(machine.registry);
	g_assert_cmpuint(list->len, <, REGISTRY_DEAD_MAX + 16);
	g_assert_nonnull(registry_by_cgroup(machine.registry, 0x10000000 + 3 * REGISTRY_DEAD_MAX - 1));
	g_assert_null(registry_by_cgroup(machine.registry, 0x10000000));
	g_assert_cmpstr(registry_by_pid(machine.registry, 100, 0)->name, ==, "web");
	machine_end(&machine);
}

/* A cgroup died, it was said, while what is below it lives on; then so many others die that it is dropped. */
static void test_churn_above(void)
{
	struct machine_test machine;
	guint64 above;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	machine_scan(&machine);
	above = key_of(&machine, "/docker");
	registry_note_death(machine.registry, above);
	for (guint i = 0; i < 3 * REGISTRY_DEAD_MAX; i++) {
		g_autofree char *path = g_strdup_printf("/docker/%064x", i);

		registry_note_birth(machine.registry, 0x10000000 + i, path);
		registry_note_death(machine.registry, 0x10000000 + i);
	}
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_cmpstr(registry_by_pid(machine.registry, 100, 0)->name, ==, "web");
	g_assert_true(registry_refresh(machine.registry, NULL));
	g_assert_cmpstr(registry_by_pid(machine.registry, 100, 0)->name, ==, "web");
	machine_end(&machine);
}

/* A task in the v2 root belongs to its v1 cgroup. */
static void test_hybrid_v1_only(void)
{
	const struct tree_process process = { .pid = 100,
					      .ppid = 1,
					      .comm = "nginx",
					      .v1 = "/docker/" ID_A,
					      .inner = 1,
					      .start_ticks = 5,
					      .contained = TRUE };
	const struct container *container;
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_HYBRID);
	docker_config(&machine, "/var/lib/docker", ID_A, "web", 100);
	tree_process(machine.root, TREE_MODE_HYBRID, &process);
	machine_scan(&machine);
	g_assert_cmpstr(cgroupfs_v1_controller(registry_cgroupfs(machine.registry)), ==, "memory");
	container = registry_by_pid(machine.registry, 100, 0);
	g_assert_cmpstr(container->name, ==, "web");
	g_assert_cmpuint(container->cgroup_key, ==,
			 tree_inode(machine.root, "/sys/fs/cgroup/memory/docker/" ID_A) | CGROUP_KEY_V1);
	g_assert_true(registry_by_cgroup(machine.registry, 1) == registry_host(machine.registry));
	machine_end(&machine);
}

static void test_cgroups(void)
{
	struct machine_test machine;
	g_autoptr(GArray) cgroups = NULL, of_one = NULL;
	g_autoptr(GPtrArray) owners = g_ptr_array_new();
	guint of_web = 0, of_host = 0, named = 0;

	machine_start(&machine, TREE_MODE_HYBRID);
	make_docker(&machine, "/docker/" ID_A);
	add_process(&machine, 101, 100, 2, "child", "/docker/" ID_A "/sub");
	machine_scan(&machine);
	g_ptr_array_add(owners, (gpointer)registry_by_path(machine.registry, "/docker/" ID_A));
	of_one = registry_cgroups(machine.registry, owners);
	for (guint i = 0; i < of_one->len; i++)
		if (g_array_index(of_one, struct registry_cgroup, i).owner)
			named += g_array_index(of_one, struct registry_cgroup, i).owner == owners->pdata[0];
	g_assert_cmpuint(named, ==, 4);
	cgroups = registry_cgroups(machine.registry, NULL);
	g_assert_cmpuint(cgroups->len, ==, of_one->len); /* those nobody asks about are there, too */
	for (guint i = 0; i < cgroups->len; i++) {
		const struct registry_cgroup *cgroup = &g_array_index(cgroups, struct registry_cgroup, i);

		g_assert_nonnull(cgroup->owner);
		of_web += strcmp(cgroup->owner->name, "web") == 0;
		of_host += cgroup->owner == registry_host(machine.registry);
	}
	g_assert_cmpuint(of_web, ==, 4); /* two cgroups in two hierarchies */
	g_assert_cmpuint(of_host, ==, 3); /* two roots and the number every root has */
	machine_end(&machine);
}

/* ---- targets ---- */

static void resolve(struct machine_test *machine, const char *text, const char *expected)
{
	g_autoptr(GPtrArray) targets = target_array_new();
	g_autoptr(GString) found = g_string_new(NULL);
	g_autoptr(GError) error = NULL;

	if (!target_resolve(machine->registry, text, targets, &error)) {
		g_assert_cmpuint(targets->len, ==, 0);
		g_string_printf(found, "%s: %s", error->code == TARGET_ERROR_AMBIGUOUS ? "ambiguous" : "none",
				error->message);
	}
	for (guint i = 0; i < targets->len; i++) {
		const struct target *target = g_ptr_array_index(targets, i);

		g_assert_cmpstr(target->text, ==, text);
		g_string_append(found, i ? " " : "");
		g_string_append(found, target->kind == TARGET_ALL ? "ALL" : target->container->name);
		if (target->kind == TARGET_PROCESS)
			g_string_append_printf(found, "#%u", target->pid);
	}
	g_assert_cmpstr(found->str, ==, expected);
}

static void test_targets(void)
{
	struct machine_test machine;

	machine_start(&machine, TREE_MODE_V2);
	make_docker(&machine, "/docker/" ID_A);
	docker_config(&machine, "/var/lib/docker", ID_B, "bad\\u001b[2J", 200);
	add_process(&machine, 200, 1, 1, "app", "/docker/" ID_B);
	add_process(&machine, 201, 200, 7, "app", "/docker/" ID_B);
	docker_config(&machine, "/var/lib/docker", ID_C, "job", 300);
	add_process(&machine, 300, 1, 1, "job", "/docker/" ID_C);
	add_process(&machine, 400, 1, 0, "nginx", "/system.slice/nginx.service");
	tree_file(
		machine.root, "/run/containerd/io.containerd.runtime.v2.task/k8s.io/p1/config.json",
		"{\"linux\":{\"cgroupsPath\":\"/kubepods/pod1/p1\"},\"annotations\":{\"io.kubernetes.cri.container-name\":"
		"\"cart\",\"io.kubernetes.cri.sandbox-name\":\"shop-1\",\"io.kubernetes.cri.sandbox-namespace\":\"prod\"}}");
	tree_file(
		machine.root, "/run/containerd/io.containerd.runtime.v2.task/k8s.io/p2/config.json",
		"{\"linux\":{\"cgroupsPath\":\"/kubepods/pod1/p2\"},\"annotations\":{\"io.kubernetes.cri.container-type\":"
		"\"sandbox\",\"io.kubernetes.cri.sandbox-name\":\"shop-1\",\"io.kubernetes.cri.sandbox-namespace\":\"prod\"}}");
	add_process(&machine, 500, 1, 1, "cart", "/kubepods/pod1/p1");
	add_process(&machine, 600, 1, 1, "pause", "/kubepods/pod1/p2");
	machine_scan(&machine);

	resolve(&machine, "all", "ALL");
	resolve(&machine, "host", "host");
	resolve(&machine, "web", "web");
	resolve(&machine, ID_A, "web");
	resolve(&machine, "aaaa5", "web");
	resolve(&machine, "ccc", "job");
	resolve(&machine, "cc", "none: no container \"cc\" (fathom ps lists them)");
	resolve(&machine, "aaaa",
		"ambiguous: \"aaaa\" is ambiguous, it may be bad\\x1b[2J (docker aaaa123456bb), "
		"web (docker aaaa567890aa)");
	resolve(&machine, "wbe", "none: no container \"wbe\"; did you mean web (docker aaaa567890aa)?");
	resolve(&machine, "bd\033[2J",
		"none: no container \"bd\\x1b[2J\"; did you mean bad\\x1b[2J (docker aaaa123456bb)?");
	resolve(&machine, "100", "web#100");
	resolve(&machine, "web:1", "web#100");
	resolve(&machine, "aaaa1:7", "bad\033[2J#201");
	resolve(&machine, "web:9", "none: no process 9 in container web");
	resolve(&machine, "99999", "none: no process 99999");
	resolve(&machine, "400", "nginx.service#400");
	resolve(&machine, "nginx", "nginx.service");
	resolve(&machine, "nginx.service", "nginx.service");
	resolve(&machine, "shop-1", "shop-1/cart shop-1/pause");
	resolve(&machine, "prod/shop-1", "shop-1/cart shop-1/pause");
	resolve(&machine, "shop-1:1", "shop-1/cart#500"); /* not the one that holds the pod's namespaces */
	resolve(&machine, "prod/shop-1:1", "shop-1/cart#500");
	resolve(&machine, "shop-1:9", "none: \"shop-1:9\": no container of that pod has a process 9");
	resolve(&machine, "cart", "shop-1/cart");
	resolve(&machine, "shop-1/cart", "shop-1/cart");
	resolve(&machine, "/docker/" ID_A "/", "web");
	resolve(&machine, "/nowhere", "none: no cgroup /nowhere");
	resolve(&machine, "", "none: no container \"\" (fathom ps lists them)");

	tree_remove_cgroup(machine.root, "/sys/fs/cgroup/docker/" ID_C);
	g_assert_true(registry_refresh(machine.registry, NULL));
	resolve(&machine, "job", "none: container \"job\" has ended");
	machine_end(&machine);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/container/runtimes", test_runtimes);
	g_test_add_func("/container/nested", test_nested);
	g_test_add_func("/container/spoofed", test_spoofed);
	g_test_add_func("/container/borrowed-name", test_borrowed_name);
	g_test_add_func("/container/hostile-state", test_hostile_state);
	g_test_add_func("/container/death", test_death);
	g_test_add_func("/container/birth", test_birth);
	g_test_add_func("/container/unasked", test_unasked);
	g_test_add_func("/container/late-name", test_late_name);
	g_test_add_func("/container/late-state", test_late_state);
	g_test_add_func("/container/recorded-late", test_recorded_late);
	g_test_add_func("/container/recorded-again", test_recorded_again);
	g_test_add_func("/container/churn", test_churn);
	g_test_add_func("/container/churn-above", test_churn_above);
	g_test_add_func("/container/hybrid-v1-only", test_hybrid_v1_only);
	g_test_add_func("/container/cgroups", test_cgroups);
	g_test_add_func("/container/targets", test_targets);
	return g_test_run();
}
