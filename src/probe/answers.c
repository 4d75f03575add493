/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/answers.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "answers.skel.h"
#include "probe/cgroup_root.h"
#include "probe/dns.h"
#include "probe/filter.h"
#include "probe/kernel_btf.h"
#include "probe/ladder.h"
#include "probe/ringread.h"
#include "probe/searches.h"

#define ANSWERS_LINKS 2
#define ANSWERS_RECORDS 64 /* of one message, looked at */

struct answers {
	struct answers_bpf *kernel;
	struct bpf_link *links[ANSWERS_LINKS];
	struct ringread *ring;
	answers_fn told;
	void *user;
	guint64 cgroup_key; /* whose message is being read */
	guint64 malformed;
};

/* ---- messages: RFC 1035, section 4 ---- */

#define QUESTION_TAIL 4 /* type and class */
#define RECORD_FIXED 10 /* type, class, TTL, length of the data */
#define POINTER 0xc0 /* the rest of a name stands elsewhere */
#define CLASS_IN 1

enum record_type {
	TYPE_A = 1,
	TYPE_AAAA = 28,
};

static guint get16(const guint8 *at)
{
	return (guint)at[0] << 8 | at[1];
}

/* Behind the name at `at`; 0: it is cut or malformed. */
static gsize name_end(const guint8 *message, gsize bytes, gsize at)
{
	while (at < bytes) {
		guint8 length = message[at];

		if (length >= POINTER)
			return at + 2 <= bytes ? at + 2 : 0;
		at += 1 + (gsize)length;
		if (length == 0)
			return at;
	}
	return 0;
}

/* Addresses as connections have them: one of IPv4 within IPv6 is one of IPv4. */
static gboolean record_address(guint type, const guint8 *data, gsize length, char text[INET6_ADDRSTRLEN])
{
	static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (type == TYPE_A && length == 4)
		return inet_ntop(AF_INET, data, text, INET6_ADDRSTRLEN) != NULL;
	if (type != TYPE_AAAA || length != 16)
		return FALSE;
	if (memcmp(data, mapped, sizeof(mapped)) == 0)
		return inet_ntop(AF_INET, data + sizeof(mapped), text, INET6_ADDRSTRLEN) != NULL;
	return inet_ntop(AF_INET6, data, text, INET6_ADDRSTRLEN) != NULL;
}

gboolean answers_read(const guint8 *message, gsize bytes, answers_address_fn each, void *user)
{
	char name[SEARCHES_NAME], address[INET6_ADDRSTRLEN];
	gsize at = DNS_HEADER;
	guint count;

	if (bytes < DNS_HEADER || get16(message + 4) != 1 || !searches_name(message + at, bytes - at, name) || !name[0])
		return FALSE;
	at = name_end(message, bytes, at);
	if (!at)
		return FALSE;
	at += QUESTION_TAIL;
	count = MIN(get16(message + 6), ANSWERS_RECORDS);
	for (guint i = 0; i < count; i++) {
		guint length;

		at = name_end(message, bytes, at);
		if (!at || at + RECORD_FIXED > bytes)
			return TRUE; /* cut: what came before holds */
		length = get16(message + at + 8);
		if (at + RECORD_FIXED + length > bytes)
			return TRUE;
		if (get16(message + at + 2) == CLASS_IN &&
		    record_address(get16(message + at), message + at + RECORD_FIXED, length, address))
			each(user, address, name);
		at += RECORD_FIXED + length;
	}
	return TRUE;
}

/* answers_address_fn */
static void answers_tell(void *user, const char *address, const char *name)
{
	struct answers *answers = user;

	answers->told(answers->user, answers->cgroup_key, address, name);
}

/* ringread_fn */
static int answers_take(void *user, void *data, size_t bytes)
{
	struct answers *answers = user;
	const struct answers_record *record = data;

	if (bytes < sizeof(*record) || record->bytes > ANSWERS_MESSAGE) {
		answers->malformed++;
		return 0;
	}
	answers->cgroup_key = record->cgroup_key;
	if (!answers_read(record->message, record->bytes, answers_tell, answers))
		answers->malformed++;
	return 0;
}

/* ---- running ---- */

static gboolean answers_load(struct answers *answers, const char *v1_controller, GError **error)
{
	static const char what[] = "cannot load the program that reads answers of DNS";
	const struct probe_request request = { .v1_controller = v1_controller };
	g_autoptr(kernel_btf_t) btf = kernel_btf_new();
	struct filter_values values;

	answers->kernel = KERNEL_BTF_OPEN(answers, btf, what, error);
	if (!answers->kernel)
		return FALSE;
	filter_values_init(&values, &request);
	answers->kernel->rodata->v1_controller = values.v1_controller;
	return kernel_btf_load(btf, answers->kernel->skeleton, what, error);
}

static gboolean answers_attach(struct answers *answers, GError **error)
{
	/* Answers last: none is looked for whose question was not seen. */
	struct bpf_program *const programs[ANSWERS_LINKS] = { answers->kernel->progs.answers_egress,
							      answers->kernel->progs.answers_ingress };
	int root = cgroup_root_open(error);
	gboolean attached = root >= 0;

	if (root < 0)
		return FALSE;
	ladder_log_start();
	for (guint i = 0; attached && i < ANSWERS_LINKS; i++) {
		answers->links[i] = bpf_program__attach_cgroup(programs[i], root);
		attached = answers->links[i] != NULL;
	}
	if (!attached)
		ladder_set_error(error, "cannot attach to the sockets of the root cgroup", errno);
	close(root);
	return attached;
}

struct answers *answers_open(const char *v1_controller, answers_fn told, void *user, GError **error)
{
	struct answers *answers = g_new0(struct answers, 1);

	answers->told = told;
	answers->user = user;
	if (answers_load(answers, v1_controller, error)) {
		answers->ring = ringread_open(bpf_map__fd(answers->kernel->maps.answers_ring), answers_take, answers);
		if (!answers->ring)
			ladder_set_error(error, "cannot map the ring of answers", errno);
		else if (answers_attach(answers, error))
			return answers;
	}
	answers_close(answers);
	return NULL;
}

void answers_close(struct answers *answers)
{
	if (!answers)
		return;
	for (guint i = 0; i < ANSWERS_LINKS; i++)
		bpf_link__destroy(answers->links[i]);
	ringread_close(answers->ring);
	answers_bpf__destroy(answers->kernel);
	g_free(answers);
}

void answers_drain(struct answers *answers)
{
	ringread_consume(answers->ring);
}

static void answers_note(struct ledger *ledger, guint64 count, const char *what)
{
	if (count)
		ledger_note(ledger, g_strdup_printf("%s: %" G_GUINT64_FORMAT, what, count));
}

void answers_account(const struct answers *answers, struct ledger *ledger)
{
	answers_note(ledger, __atomic_load_n(&answers->kernel->bss->answers_left_out, __ATOMIC_RELAXED),
		     "DNS questions whose answers were not looked for, because their container asked too many");
	answers_note(ledger, __atomic_load_n(&answers->kernel->bss->answers_lost, __ATOMIC_RELAXED),
		     "answers of DNS that were not looked at, because there was no room");
	answers_note(ledger, answers->malformed, "answers of DNS that make no sense");
}
