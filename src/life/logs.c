#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "life.h"
#include "logread.h"
#include "str.h"

#define LOGS_BUDGET_MS	5000
#define LOGS_TEXT_BYTES (4U << 20) /* of all texts in one answer */

static json_t *view(const struct qt_log_record *r)
{
	auto_free char *text = malloc(3 * (size_t)r->len + 1);
	char when[32];

	if (!text)
		return NULL;
	qt_iso8601(when, sizeof(when), (int64_t)r->time_ms);
	return json_pack("{s:s, s:s, s:s%, s:s}", "timestamp", when, "level", qt_log_level_name(r->level), "message", text,
			 qt_utf8_mend(text, r->text, r->len), "stream", qt_log_stream_name(r->stream));
}

char *qt_life_log_line(const struct qt_log_record *r)
{
	json_t *j = view(r);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	return text;
}

/* SEQ first: what comes after it is for whoever follows. */
static int read_files(const int fds[2], const struct qt_logs_want *want, uint64_t *seq, json_t *list, struct qt_err *e)
{
	struct qt_logs newest = {0}, logs = {0};
	int r = 0;

	if (seq) {
		r = qt_logs_read(fds, 1, LOGS_TEXT_BYTES, &newest, e);
		*seq = r == 0 && newest.n ? newest.records[0].seq : 0;
		qt_logs_done(&newest);
	}
	if (r == 0)
		r = qt_logs_find(fds, want, &logs, e);
	for (size_t i = 0; r == 0 && i < logs.n; i++)
		if (!seq || logs.records[i].seq <= *seq)
			json_array_append_new(list, view(&logs.records[i]));
	qt_logs_done(&logs);
	return r;
}

json_t *qt_life_logs(struct qt_life *l, const struct qt_ctr *c, const struct qt_logs_want *want, uint64_t *seq, int fds[2], struct qt_err *e)
{
	struct qt_logs_want bounded = *want;
	struct rt_logs_req req = {.id = c->id};
	struct rt_logs_rep rep;
	json_t *list = json_array();
	int files[2] = {-1, -1}, r;

	bounded.max_bytes = LOGS_TEXT_BYTES;
	r = rt_call(&l->rt, RT_LOGS, &req, NULL, &rep, files, LOGS_BUDGET_MS, e);
	/* Reserved, and not yet with the runtime: it has said nothing so far. */
	if (r < 0 && e->code == QT_E_CONTAINER_NOT_FOUND && !fds) {
		qt_err_reset(e);
		return list;
	}
	if (r == 0)
		r = read_files(files, &bounded, seq, list, e);
	if (r == 0 && fds) {
		fds[0] = qt_take_fd(&files[0]);
		fds[1] = qt_take_fd(&files[1]);
	}
	qt_close(files[0]);
	qt_close(files[1]);
	if (r == 0)
		return list;
	json_decref(list);
	return NULL;
}
