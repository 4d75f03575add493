/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "render/formats.h"

char *render_csp_hash(const char *content)
{
	g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
	guint8 digest[32];
	gsize length = sizeof(digest);

	g_checksum_update(checksum, (const guchar *)content, (gssize)strlen(content));
	g_checksum_get_digest(checksum, digest, &length);
	return g_base64_encode(digest, length);
}
