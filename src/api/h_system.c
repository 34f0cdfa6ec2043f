#include <stdio.h>
#include <sys/utsname.h>
#include <time.h>

#include "clock.h"
#include "handlers.h"

#define INFO_BUDGET_MS 2000

static int64_t began_s; /* of CLOCK_BOOTTIME, which goes on while the machine sleeps */

static int64_t now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec;
}

void qt_system_begin(void)
{
	began_s = now_s();
}

static int64_t uptime_s(void)
{
	return now_s() - began_s;
}

/* Public: says only that the API answers, and which version it is. */
int qt_h_health(struct qt_call *c, struct qt_err *e)
{
	(void)e;
	c->reply = json_pack("{s:s, s:s, s:I}", "status", "ok", "version", PACKAGE_VERSION, "uptime_seconds",
			     (json_int_t)uptime_s());
	return 0;
}

int qt_h_system_info(struct qt_call *c, struct qt_err *e)
{
	const struct qt_conf *conf = c->life->conf;
	struct rt_info_req q = {0};
	struct rt_info_rep i;
	uint64_t started_ms;
	char when[32], runtime[64];
	struct utsname u;

	if (rt_info(&c->life->rt, &q, &i, INFO_BUDGET_MS, e) < 0)
		return -1;
	started_ms = (uint64_t)(qt_now_ms() - uptime_s() * 1000);
	qt_iso8601(when, sizeof(when), (int64_t)started_ms);
	(void)uname(&u);
	(void)snprintf(runtime, sizeof(runtime), "linux/%.40s", u.machine[0] == 'x' ? "amd64" : u.machine);
	c->reply = json_pack("{s:s, s:s, s:s, s:s, s:{s:b, s:b, s:b, s:b}, s:{s:I, s:I, s:I, s:I, s:I, s:I}}", "version",
			     PACKAGE_VERSION, "runtime", runtime, "start_time", when, "node", conf->node, "features", "exec", 1,
			     "volumes", 1, "gpu", i.gpus > 0, "oci", 1, "limits", "containers", (json_int_t)conf->max_containers,
			     "cpus", (json_int_t)i.cpus, "gpus", (json_int_t)i.gpus, "memory_bytes", (json_int_t)i.memory_bytes, "max_body_bytes",
			     (json_int_t)conf->max_body_bytes, "exec_output_bytes", (json_int_t)conf->exec_output_bytes);
	return 0;
}
