/* SPDX-License-Identifier: Apache-2.0 */
#include "container/runtime.h"

/* Order matters: those who start others (docker, Kubernetes) come before those who are started (runc). */
static const struct runtime *const runtimes[] = {
	&runtime_docker, &runtime_podman, &runtime_crio, &runtime_containerd,
	&runtime_lxc,	 &runtime_nspawn, &runtime_oci,	 &runtime_other,
};

void identity_clear(struct identity *identity)
{
	g_free(identity->id);
	g_free(identity->name);
	g_free(identity->image);
	g_free(identity->pod);
	g_free(identity->pod_namespace);
	*identity = (struct identity){ 0 };
}

void identity_set_pod(struct identity *identity, const char *pod, const char *pod_namespace, const char *container)
{
	if (!pod)
		return;
	identity->pod = g_strdup(pod);
	identity->pod_namespace = g_strdup(pod_namespace);
	if (container) {
		g_free(identity->name);
		identity->name = g_strdup_printf("%s/%s", pod, container);
	}
}

enum verdict runtime_identify(struct evidence *evidence, struct identity *identity)
{
	enum verdict best = VERDICT_NOT_MINE;

	*identity = (struct identity){ 0 };
	for (guint i = 0; i < G_N_ELEMENTS(runtimes); i++) {
		struct identity one = { .runtime = runtimes[i]->kind };
		enum verdict verdict = runtimes[i]->identify(evidence, &one);

		if (verdict > best) {
			identity_clear(identity);
			*identity = one;
			best = verdict;
		} else {
			identity_clear(&one);
		}
		if (best == VERDICT_CONFIRMED)
			break;
	}
	return best;
}
