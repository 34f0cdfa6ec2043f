#include <string.h>

#include "cleanup.h"
#include "journal.h"

static const struct rt_field rows[] = {
#define R(type, name, max) {#name, RT_F_##type, offsetof(struct rt_entry, name), max}
	R(U32, phase, 0),      R(U32, state, 0),      R(ID, id, 0),	     R(ID, tenant, 0),	  R(STR, hostname, 64),
	R(STR, image, 128),    R(STR, workdir, 512),  R(STR, link, 16),	     R(STR, boot_id, 40), R(U32, memory_mb, 0),
	R(U32, cpu_centi, 0),  R(U32, strict, 0),     R(U32, range, 0),	     R(U32, ip, 0),	  R(U32, pid, 0),
	R(U32, exit_code, 0),  R(U64, start_time, 0), R(U64, created_ms, 0), R(U64, started_ms, 0),
	R(U64, exited_ms, 0),  R(BLOB, record, 16384), R(STRV, volumes, 4096),
	R(STRV, gpus, 2560),
#undef R
};
static const uint8_t n_rows[] = {21, 22, 23};
_Static_assert(sizeof(struct rt_entry) <= RT_KEEP_STRUCT_MAX, "an entry is read into so much");

static bool sane(const void *en_, const char *name)
{
	const struct rt_entry *en = en_;
	struct qt_id id;

	return qt_id_parse(&id, "ctr", name) && strcmp(id.s, en->id.s) == 0 && en->phase < RT_PH_COUNT &&
	       en->state != RT_ST_NONE && en->state < RT_ST_COUNT;
}

static const struct rt_keep_kind kind = {
	.dir = "journal",
	.bad = "journal.bad",
	.lost = "its container is lost, its files are kept",
	.magic = 0x314a5451U, /* "QTJ1" */
	.version = QT_LEN(n_rows),
	.rows = rows,
	.n_rows = n_rows,
	.size = sizeof(struct rt_entry),
	.sane = sane,
};

int rt_journal_open(struct rt_keep *j, int state_fd, struct qt_err *e)
{
	return rt_keep_open(j, &kind, state_fd, e);
}

int rt_journal_put(struct rt_keep *j, const struct rt_entry *en, bool sync, struct qt_err *e)
{
	return rt_keep_put(j, en->id.s, en, sync, e);
}

int rt_journal_drop(struct rt_keep *j, const struct qt_id *id, struct qt_err *e)
{
	return rt_keep_drop(j, id->s, e);
}

struct typed {
	int (*fn)(const struct rt_entry *en, void *arg, struct qt_err *e);
	void *arg;
};

static int call(const void *en, void *arg, struct qt_err *e)
{
	struct typed *t = arg;

	return t->fn(en, t->arg, e);
}

int rt_journal_load(struct rt_keep *j, int (*fn)(const struct rt_entry *en, void *arg, struct qt_err *e), void *arg,
		    struct qt_err *e)
{
	struct typed t = {fn, arg};

	return rt_keep_load(j, call, &t, e);
}
