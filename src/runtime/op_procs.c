/* The requests about a container's processes. Privileges: see the rows in ops.c. */
#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "ops.h"
#include "procs.h"

#define TEXTS_MAX 40960 /* the maximum of the list in ops.def */

static bool add(struct rt_strv *v, char *buf, const struct rt_proc *p)
{
	char state[2] = {p->state, '\0'}, number[24];
	const uint64_t before[] = {p->pid, p->ppid}, after[] = {p->memory_kb, p->started_s};

	for (size_t i = 0; i < QT_LEN(before); i++) {
		(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)before[i]);
		if (!rt_strv_add(v, buf, TEXTS_MAX, number))
			return false;
	}
	if (!rt_strv_add(v, buf, TEXTS_MAX, state))
		return false;
	for (size_t i = 0; i < QT_LEN(after); i++) {
		(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)after[i]);
		if (!rt_strv_add(v, buf, TEXTS_MAX, number))
			return false;
	}
	return rt_strv_add(v, buf, TEXTS_MAX, p->command);
}

int rt_op_ps(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_ps_req *req = req_;
	struct rt_ps_rep *rep = a->rep;
	struct rt_procs t;

	if (rt_procs_read(&t, rt->cgroups, &c->id, c->pid, e) < 0)
		return -1;
	rep->processes.s = a->scratch;
	for (uint32_t i = 0; i < t.n; i++) {
		struct rt_strv before = rep->processes;

		if (t.v[i].pid <= req->after)
			continue;
		if (!add(&rep->processes, a->scratch, &t.v[i])) {
			rep->processes = before; /* six texts or none */
			break;
		}
	}
	free(t.v);
	return 0;
}

int rt_op_signal(struct rt *rt, struct rt_ctr *c, const void *req_, struct rt_answer *a, struct qt_err *e)
{
	const struct rt_signal_req *req = req_;

	(void)a;
	if (req->pid < 2 || req->signal < 1 || req->signal > 64)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "signal: the init, or no signal");
	return rt_procs_signal(rt->cgroups, &c->id, c->pid, req->pid, (int)req->signal, e);
}
