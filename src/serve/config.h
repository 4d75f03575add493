/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's settings: defaults, then a configuration file, then what was given on the command line. The file is
 * GLib's key file format, one group [serve]; an unknown key is an error, so that a slip of the pen is not silence. */
#pragma once
#include <glib.h>

#include "serve/budget.h"
#include "serve/triggers.h"

#define CONFIG_STATE "/var/lib/fathom"
#define CONFIG_SOCKET "/run/fathom.sock"
#define CONFIG_PORT 7070

struct config {
	char *state; /* directory */
	char *listen; /* "127.0.0.1:7070"; "none": no TCP */
	char *socket; /* path; "none": no unix socket */
	GStrv allow_hosts; /* NULL: none besides the loopback's */
	char *tls_certificate, *tls_key; /* NULL: none */
	gboolean no_bpf, names;
	GStrv off; /* parts that are not watched (live_part_find); NULL: none */
	gint profile_seconds; /* length of a window of stacks; 0: none */
	gint offcpu_seconds; /* likewise of blocked threads */
	double offcpu_percent; /* of one core, that these may take on average */
	gint exported_containers; /* with labels of their own in /metrics */
	gint history_mib; /* on disk; 0: none */
	gint memory_minutes; /* of it in memory */
	double cpu_percent; /* of one core; 0: no bound, and so below */
	gint memory_mib, map_mib;
	GStrv triggers; /* of the flight recorder, see triggers_take; later ones win. NULL: as usual */
	/* Not settings of a file: a capture to show in place of this machine, of which from_ms < time ≤ to_ms; NULL: none. */
	char *capture;
	gint64 capture_from_ms, capture_to_ms;
	gint capture_mib; /* of it are held in memory, of each kind: readings, intervals, stacks */
};

#define CONFIG_ERROR (config_error_quark())
GQuark config_error_quark(void);
enum config_error {
	CONFIG_ERROR_FILE = 1,
	CONFIG_ERROR_VALUE = 2,
};

void config_init(struct config *config); /* defaults */
void config_clear(struct config *config);
/* Takes over what the file says. FALSE and `error` when it cannot be read or says what makes no sense. */
gboolean config_load(struct config *config, const char *path, GError **error);
/* FALSE and `error` when a value is out of range. */
gboolean config_check(const struct config *config, GError **error);
/* Splits `listen` into address (owned by the caller; NULL for "none") and port. */
gboolean config_listen(const struct config *config, char **address, guint16 *port, GError **error);
void config_limits(const struct config *config, struct budget_limits *limits);
/* FALSE and `error` when one of them makes no sense; after config_check all do. */
gboolean config_triggers(const struct config *config, struct triggers *triggers, GError **error);
