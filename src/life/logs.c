#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "life.h"
#include "logread.h"
#include "str.h"

#define LOGS_BUDGET_MS	5000
#define LOGS_TEXT_BYTES (4U << 20) /* of all texts in one answer */

json_t *qt_life_logs(struct qt_life *l, const struct qt_ctr *c, unsigned limit, struct qt_err *e)
{
	struct rt_logs_req req = {.id = c->id};
	struct rt_logs_rep rep;
	struct qt_logs logs = {0};
	auto_free char *text = malloc(3 * LOG_TEXT_MAX + 1);
	json_t *list = json_array();
	int fds[2];

	if (!text) {
		(void)qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
		goto fail;
	}
	if (rt_call(&l->rt, RT_LOGS, &req, NULL, &rep, fds, LOGS_BUDGET_MS, e) < 0) {
		/* Reserved, and not yet with the runtime: it has said nothing so far. */
		if (e->code == QT_E_CONTAINER_NOT_FOUND) {
			qt_err_reset(e);
			return list;
		}
		goto fail;
	}
	if (qt_logs_read(fds, limit, LOGS_TEXT_BYTES, &logs, e) < 0) {
		qt_logs_done(&logs);
		qt_close(fds[0]);
		qt_close(fds[1]);
		goto fail;
	}
	for (size_t i = 0; i < logs.n; i++) {
		const struct qt_log_record *r = &logs.records[i];
		char when[32];
		size_t len = qt_utf8_mend(text, r->text, r->len);

		qt_iso8601(when, sizeof(when), (int64_t)r->time_ms);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s%, s:s}", "timestamp", when, "level",
						      qt_log_level_name(r->level), "message", text, len, "stream",
						      qt_log_stream_name(r->stream)));
	}
	qt_logs_done(&logs);
	qt_close(fds[0]);
	qt_close(fds[1]);
	return list;
fail:
	json_decref(list);
	return NULL;
}
