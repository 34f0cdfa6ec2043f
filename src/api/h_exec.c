#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "handlers.h"
#include "log.h"
#include "str.h"

#define TIMEOUT_MAX_MS 600000
#define EXEC_TIMEOUT   (1U << 2) /* the place of timeout_ms in its table */

/* The record of contract 7.2. That it cannot be written is no reason to withhold the result of a command that has run, nor is the time that it takes. It is on
 * its way before the answer is, so whoever has the answer finds it. */
static void keep_job(struct qt_call *c, const struct qt_ctr *k, const struct qt_exec_req *q, const struct qt_exec_result *r,
		     const char *job_id, const char *status, json_t *out, json_t *err)
{
	auto_json json_t *job = json_pack("{s:s, s:s, s:o, s:s, s:i, s:O, s:O, s:I, s:I, s:n}", "job_id", job_id, "container_id",
					  k->id.s, "command", qt_command_text(q->command), "status", status, "exit_code", r->exit_code,
					  "stdout", out, "stderr", err, "started_at", (json_int_t)(r->started_ms / 1000),
					  "completed_at", (json_int_t)((r->started_ms + r->took_ms) / 1000), "error_message");
	struct qt_err e = {0};

	if (qt_store_job_post(c->life->store, &c->tenant, &k->id, job_id, job, &e) < 0)
		qt_log_err(QT_LOG_WARN, &e, "request_id=%s the job's record is lost", c->request_id);
}

static int detach(struct qt_call *c, const struct qt_ctr *k, struct qt_exec *x, const struct qt_id *job, struct qt_err *e)
{
	const struct qt_exec_req *q = c->req;
	auto_json json_t *record = NULL;
	char url[128];

	/* Nobody waits for it: what was not asked to end in time does not. */
	x->timeout_ms = !(c->seen & EXEC_TIMEOUT) ? 0 : q->timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)q->timeout_ms;
	if (qt_life_detach(c->life, k, x, job, &record, e) < 0)
		return -1;
	(void)qt_fmt(url, sizeof(url), "/api/containers/%s/jobs/%s", k->id.s, job->s);
	c->status = 202;
	c->reply = json_pack("{s:b, s:s, s:s, s:O, s:s}", "success", 1, "container_id", k->id.s, "job_id", job->s, "status",
			     json_object_get(record, "status"), "status_url", url);
	return 0;
}

void qt_h_exec_of(const struct qt_call *c, struct qt_exec *ret)
{
	const struct qt_exec_req *q = c->req;

	*ret = (struct qt_exec){.command = q->command,
				.workdir = q->workdir[0] ? q->workdir : NULL,
				.environment = q->environment,
				.stdin_data = json_string_value(q->stdin_data),
				.stdin_len = json_string_length(q->stdin_data),
				.timeout_ms = (uint32_t)(q->timeout_ms > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS : q->timeout_ms),
				.capture = q->capture};
}

int qt_h_exec(struct qt_call *c, struct qt_err *e)
{
	const struct qt_exec_req *q = c->req;
	struct qt_exec x;
	struct qt_exec_result r = {0};
	struct qt_id job = qt_id_new("job");
	const char *status;
	json_t *out, *err;
	struct qt_ctr k;
	char url[128];
	int rc;

	qt_h_exec_of(c, &x);
	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_may(&k, QT_V_EXEC, e);
	if (q->detach) {
		if (rc == 0)
			rc = detach(c, &k, &x, &job, e);
		qt_ctr_done(&k);
		return rc;
	}
	if (rc == 0)
		rc = qt_life_exec(c->life, &k, &x, c->gone, c->gone_arg, &r, e);
	if (rc == 0) {
		status = r.timed_out ? "timed_out" : r.exit_code == 0 ? "completed" : "failed";
		out = qt_text_of(r.out, r.out_len);
		err = qt_text_of(r.err, r.err_len);
		(void)qt_fmt(url, sizeof(url), "/api/containers/%s/jobs/%s", k.id.s, job.s);
		keep_job(c, &k, q, &r, job.s, status, out, err);
		c->reply = json_pack("{s:s, s:i, s:o, s:o, s:I, s:b, s:b, s:b, s:s, s:s, s:s}", "container_id", k.id.s,
				     "exit_code", r.exit_code, "stdout", out, "stderr", err, "execution_time_ms",
				     (json_int_t)r.took_ms, "timed_out", (int)r.timed_out, "output_truncated",
				     (int)(r.out_cut || r.err_cut), "success", r.exit_code == 0 && !r.timed_out, "job_id", job.s,
				     "status", status, "status_url", url);
	}
	qt_exec_result_done(&r);
	qt_ctr_done(&k);
	return rc;
}
