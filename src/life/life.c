#include <stdio.h>
#include <string.h>

#include "life.h"
#include "str.h"

int qt_life_init(struct qt_life *l, const struct qt_conf *conf, struct qt_err *e)
{
	char path[300];

	memset(l, 0, sizeof(*l));
	l->conf = conf;
	l->rt.fd = -1;
	if (!qt_fmt(path, sizeof(path), "%s/runtime.sock", conf->run_dir) ||
	    rt_client_init(&l->rt, path, e) < 0 || qt_store_new(&l->store, conf, e) < 0) {
		qt_life_done(l);
		return qt_fail(e, QT_E_INTERNAL_ERROR, "run_dir is too long");
	}
	return 0;
}

void qt_life_done(struct qt_life *l)
{
	rt_client_done(&l->rt);
	qt_store_free(l->store);
	l->store = NULL;
}

/* Contract 3.9. A row is a verb; a bit is a state that it may begin in. */
static const struct {
	const char *what;
	unsigned states;
} verbs[] = {
	[QT_V_START] = {"start", 1U << QT_ST_CREATED | 1U << QT_ST_EXITED | 1U << QT_ST_ERROR},
	[QT_V_STOP] = {"stop", 1U << QT_ST_RUNNING},
	[QT_V_KILL] = {"kill", 1U << QT_ST_RUNNING},
	[QT_V_EXEC] = {"exec", 1U << QT_ST_RUNNING},
	[QT_V_DELETE] = {"delete", (1U << QT_ST_COUNT) - 1},
	[QT_V_SNAPSHOT] = {"snapshot", 1U << QT_ST_RUNNING | 1U << QT_ST_EXITED},
	[QT_V_FORK] = {"fork", 1U << QT_ST_RUNNING | 1U << QT_ST_EXITED},
};

int qt_life_may(const struct qt_ctr *c, enum qt_verb v, struct qt_err *e)
{
	size_t n = 0;

	/* A copy that is still being made: whoever makes it starts it, or leaves it to the caller when it is there. */
	if (v == QT_V_START && c->state == QT_ST_CREATED && c->deadline_ms > 0 && c->copied_from.s[0]) {
		(void)qt_copy(e->state, sizeof(e->state), qt_state_name(c->state));
		return qt_fail(e, QT_E_INVALID_STATE, "start is not possible: the container is still being made");
	}
	if (verbs[v].states & 1U << c->state)
		return 0;
	(void)qt_fail(e, QT_E_INVALID_STATE, "%s is not possible: the container is %s", verbs[v].what,
		      c->state == QT_ST_RUNNING ? "already running" : qt_state_name(c->state));
	(void)qt_copy(e->state, sizeof(e->state), qt_state_name(c->state));
	for (unsigned s = 0; s < QT_ST_COUNT; s++)
		if (verbs[v].states & 1U << s)
			n += (size_t)snprintf(e->expected + n, sizeof(e->expected) - n, "%s%s", n ? "; " : "",
					      qt_state_name((enum qt_state)s));
	return -1;
}
