/* What streams begin with. The rest of them is src/stream's. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "eventkind.h"
#include "handlers.h"
#include "query.h"
#include "str.h"

void qt_begun_done(struct qt_begun *b)
{
	if (b->kind == QT_BEGUN_LOGS) {
		qt_reset_fd(&b->logs.fds[0], -1);
		qt_reset_fd(&b->logs.fds[1], -1);
		json_decref(qt_take(&b->logs.past));
	}
	if (b->kind == QT_BEGUN_EXEC) {
		qt_exec_running_done(&b->exec.run);
		free(qt_take(&b->exec.input));
	}
	if (b->kind == QT_BEGUN_TERMINAL)
		qt_terminal_done(&b->terminal.ends);
	if (b->kind == QT_BEGUN_GUI)
		qt_reset_fd(&b->gui.fd, -1);
	b->kind = QT_BEGUN_NOTHING;
}

int qt_h_events(struct qt_call *c, struct qt_err *e)
{
	const char *after = *c->last_event_id ? c->last_event_id : qt_query_str(c, "last_event_id", NULL);
	struct qt_begun *b = &c->begun;

	if (after && !qt_event_id_parse(&b->events.after, after))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "last_event_id", "the id of an event", "Last-Event-ID is not one that we gave out");
	if (!after && qt_store_events_last(c->life->store, &c->tenant, &b->events.after, e) < 0)
		return -1;
	b->events.tenant = c->tenant;
	(void)qt_copy(b->events.operation, sizeof(b->events.operation), qt_query_str(c, "operation_id", ""));
	(void)qt_copy(b->events.container, sizeof(b->events.container), qt_query_str(c, "container_id", ""));
	(void)qt_copy(b->events.snapshot, sizeof(b->events.snapshot), qt_query_str(c, "snapshot_id", ""));
	for (unsigned i = 0; i < c->n_query; i++) {
		enum qt_event_kind kind;

		if (qt_streq(c->query[i].name, "type") && qt_event_parse(&kind, c->query[i].value))
			b->events.kinds |= qt_event_bit(kind);
	}
	b->type = "text/event-stream";
	b->kind = QT_BEGUN_EVENTS;
	return 0;
}

/* What the pipe takes at once; the rest is for later. */
static int give_input(struct qt_begun *b, const struct qt_exec *x, struct qt_err *e)
{
	ssize_t n = x->stdin_len ? write(b->exec.run.in, x->stdin_data, x->stdin_len) : 0;
	size_t done = n > 0 ? (size_t)n : 0;

	/* A command that does not read is not an error. */
	if (done == x->stdin_len || (n < 0 && errno != EAGAIN)) {
		qt_reset_fd(&b->exec.run.in, -1);
		return 0;
	}
	b->exec.input_len = x->stdin_len - done;
	b->exec.input = malloc(b->exec.input_len);
	if (!b->exec.input)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	memcpy(b->exec.input, x->stdin_data + done, b->exec.input_len);
	return 0;
}

int qt_h_exec_stream(struct qt_call *c, struct qt_err *e)
{
	struct qt_begun *b = &c->begun;
	struct qt_exec x;
	struct qt_ctr k;
	int rc;

	if (((const struct qt_exec_req *)c->req)->detach)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/detach", "false", "a stream cannot be detached");
	qt_h_exec_of(c, &x);
	if (qt_h_container(c, &k, e) < 0)
		return -1;
	b->exec.started_ms = qt_mono_ms();
	b->exec.container = k.id;
	b->exec.timeout_ms = x.timeout_ms;
	rc = qt_life_exec_open(c->life, &k, &x, &b->exec.run, e);
	qt_ctr_done(&k);
	if (rc < 0)
		return -1;
	b->type = "application/x-ndjson";
	b->kind = QT_BEGUN_EXEC;
	if (give_input(b, &x, e) == 0)
		return 0;
	qt_begun_done(b);
	return -1;
}
