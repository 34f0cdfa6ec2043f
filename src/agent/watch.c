/* Hearing the runtime: what ends by itself is seen when it does. */
#include <poll.h>
#include <string.h>

#include "agent.h"
#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "fdpass.h"
#include "log.h"
#include "msg.h"
#include "str.h"

#define ASK_BUDGET_MS 5000
#define LOOK_MS	      500
#define AWAY_GAP_MS   500
/* Who stopped a container has its record to change as well, knows better what to call it, and is told of its end at the same moment: let him
 * go first. */
#define EXIT_LOOK_MS 300

static void on_event(struct agent *a, const struct rt_event_rep *ev)
{
	switch ((enum rt_event)ev->kind) {
	case RT_EV_EXITED:
		agent_due(a, &ev->id, AGENT_DUE_LOOK, EXIT_LOOK_MS);
		break;
	case RT_EV_OOM:
		agent_due(a, &ev->id, AGENT_DUE_OOM, 0);
		break;
	case RT_EV_CREATED:
	case RT_EV_STARTED:
	case RT_EV_DELETED:
		/* Always somebody's request, who records it; and if he cannot any more, the next comparison of all does. */
		break;
	}
}

/* Until the runtime closes, or the agent stops. */
static int hear(struct agent *a, struct rt_client *rt, struct qt_err *e)
{
	while (!atomic_load(&a->stopping)) {
		struct pollfd p = {.fd = rt->fd, .events = POLLIN};
		int fds[QT_FDS_MAX];
		struct rt_event_rep ev;
		struct rt_head head;
		size_t n_fds = 0;
		ssize_t len;

		if (poll(&p, 1, LOOK_MS) <= 0)
			continue;
		len = qt_recv_fds(rt->fd, rt->buf, RT_MSG_MAX, fds, &n_fds, e);
		while (n_fds > 0)
			qt_close(fds[--n_fds]);
		if (len <= 0)
			return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime closed the connection");
		if (rt_decode_head(&head, rt->buf, (size_t)len, e) < 0)
			return -1;
		if (head.op != RT_EVENT || rt_decode(&ev, sizeof(ev), rt_shapes[RT_EVENT].rep, rt_shapes[RT_EVENT].n_rep, rt->buf,
						     (size_t)len, e) < 0)
			return qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the runtime's event is not one");
		on_event(a, &ev);
	}
	return 0;
}

void *agent_watch_main(void *arg)
{
	struct agent *a = arg;
	struct agent_trouble away = {.what = "the runtime cannot be heard"};
	struct qt_err e = {0};
	struct rt_client rt = {.fd = -1};
	char path[300];

	if (!qt_fmt(path, sizeof(path), "%s/runtime.sock", a->conf.run_dir) || rt_client_init(&rt, path, &e) < 0) {
		qt_log_err(QT_LOG_ERROR, &e, "the runtime cannot be heard");
		return NULL; /* the periodic comparison remains */
	}
	while (!atomic_load(&a->stopping)) {
		struct rt_watch_req req = {0};
		struct rt_watch_rep rep;

		qt_err_reset(&e);
		if (rt_watch(&rt, &req, &rep, ASK_BUDGET_MS, &e) == 0) {
			agent_well(&away);
			/* What happened before we listened. */
			agent_all_due(a);
			if (hear(a, &rt, &e) == 0)
				break;
		}
		qt_reset_fd(&rt.fd, -1);
		agent_trouble(&away, &e);
		agent_pause(a, AWAY_GAP_MS);
	}
	rt_client_done(&rt);
	return NULL;
}
