#include <stdlib.h>
#include <string.h>

#include "inner.h"

#define PS_BUDGET_MS 5000
#define TEXTS	     6 /* of each process in the list (ops.def) */

static json_t *number(const char *text)
{
	return json_integer((json_int_t)strtoull(text, NULL, 10));
}

/* The processes of one answer into LIST; the last one's pid, 0 if there was none. */
static uint32_t add(json_t *list, const struct rt_strv *v)
{
	const char *t[TEXTS], *p = NULL;
	uint32_t last = 0;
	size_t n = 0;

	while ((p = rt_strv_next(v, p))) {
		t[n++] = p;
		if (n < TEXTS)
			continue;
		n = 0;
		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:s, s:o, s:o}", "pid", number(t[0]), "ppid", number(t[1]), "command",
						      qt_text_of(t[5], strlen(t[5])), "state", t[2], "memory_kb", number(t[3]),
						      "started_at", number(t[4])));
		last = (uint32_t)strtoul(t[0], NULL, 10);
	}
	return last;
}

json_t *qt_life_processes(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e)
{
	json_t *list = json_array();
	uint32_t last = 0;

	if (qt_life_may(c, QT_V_EXEC, e) < 0) {
		json_decref(list);
		return NULL;
	}
	do {
		struct rt_ps_req req = {.id = c->id, .after = last};
		struct rt_ps_rep rep;

		if (rt_ps(&l->rt, &req, &rep, PS_BUDGET_MS, e) < 0) {
			json_decref(list);
			return NULL;
		}
		last = add(list, &rep.processes);
	} while (last > 0);
	return list;
}

int qt_life_signal(struct qt_life *l, const struct qt_ctr *c, uint32_t pid, int sig, struct qt_err *e)
{
	struct rt_signal_req req = {.id = c->id, .pid = pid, .signal = (uint32_t)sig};
	struct rt_signal_rep rep;

	return qt_life_may(c, QT_V_EXEC, e) < 0 ? -1 : rt_signal(&l->rt, &req, &rep, PS_BUDGET_MS, e);
}
