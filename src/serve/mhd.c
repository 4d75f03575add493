/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/mhd.h"

#include <dlfcn.h>
#include <glib.h>
#include <string.h>

#define MICROHTTPD_SONAME "libmicrohttpd.so.12" /* the interface of 0.9.x, which microhttpd.h describes */

static gboolean find(void *library, const char *name, void *function)
{
	*(void **)function = dlsym(library, name);
	return *(void **)function != NULL;
}

/* All zero when the library or one of its functions is missing. */
static struct microhttpd *load(void)
{
	void *library = dlopen(MICROHTTPD_SONAME, RTLD_LAZY | RTLD_LOCAL);
	g_autofree struct microhttpd *functions = g_new0(struct microhttpd, 1);
	gboolean ok = library != NULL;

#define MICROHTTPD_FIND(name) ok = ok && find(library, "MHD_" #name, &functions->name);
	MICROHTTPD_FUNCTIONS(MICROHTTPD_FIND)
#undef MICROHTTPD_FIND
	if (!ok)
		memset(functions, 0, sizeof(*functions));
	return g_steal_pointer(&functions);
}

const struct microhttpd *microhttpd(void)
{
	static gsize loaded; /* once, for ever */
	const struct microhttpd *functions;

	if (g_once_init_enter(&loaded))
		g_once_init_leave(&loaded, (gsize)load());
	functions = (const struct microhttpd *)loaded;
	return functions->run ? functions : NULL;
}
