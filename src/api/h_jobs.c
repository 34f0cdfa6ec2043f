#include <signal.h>
#include <string.h>

#include "cleanup.h"
#include "handlers.h"
#include "num.h"
#include "query.h"
#include "str.h"

int qt_h_job_list(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;
	json_t *jobs;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	jobs = qt_life_jobs(c->life, &k, e);
	qt_ctr_done(&k);
	if (jobs)
		c->reply = json_pack("{s:o}", "jobs", jobs);
	return jobs ? 0 : -1;
}

int qt_h_job_get(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	c->reply = qt_life_job(c->life, &k, c->params[1], qt_streq(qt_query_str(c, "include_output", "true"), "true"), e);
	qt_ctr_done(&k);
	return c->reply ? 0 : -1;
}

int qt_h_process_list(struct qt_call *c, struct qt_err *e)
{
	struct qt_ctr k;
	json_t *list;

	if (qt_h_container(c, &k, e) < 0)
		return -1;
	list = qt_life_processes(c->life, &k, e);
	if (list)
		c->reply = json_pack("{s:s, s:o}", "container_id", k.id.s, "processes", list);
	qt_ctr_done(&k);
	return list ? 0 : -1;
}

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"TERM", SIGTERM}, {"KILL", SIGKILL}, {"INT", SIGINT}, {"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"CONT", SIGCONT}, {"STOP", SIGSTOP},
};

static int find_signal(const char *text)
{
	const char *name = strncmp(text, "SIG", 3) == 0 ? text + 3 : text;

	for (size_t i = 0; i < QT_LEN(signals); i++)
		if (qt_streq(name, signals[i].name))
			return (int)i;
	return -1;
}

int qt_h_process_signal(struct qt_call *c, struct qt_err *e)
{
	const char *text = qt_query_str(c, "signal", "TERM");
	int sig = find_signal(text), rc;
	struct qt_ctr k;
	uint32_t pid;

	if (sig < 0)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "signal", "TERM; KILL; INT; HUP; USR1; USR2; CONT; STOP", "there is no signal \"%.20s\"",
				     text);
	if (!qt_u32(&pid, c->params[1], 1, INT32_MAX))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "pid", "a number above 1", "the pid is not a number");
	if (pid == 1)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "pid", "a number above 1", "process 1 is the container itself: stop or kill the container");
	if (qt_h_container(c, &k, e) < 0)
		return -1;
	rc = qt_life_signal(c->life, &k, pid, signals[sig].number, e);
	qt_ctr_done(&k);
	if (rc == 0)
		c->reply = json_pack("{s:b, s:I, s:s}", "success", 1, "pid", (json_int_t)pid, "signal", signals[sig].name);
	return rc;
}
