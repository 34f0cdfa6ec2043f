#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "ctl.h"
#include "str.h"

#define BUDGET_MS 5000
#define COLUMNS	  5 /* that are shown of an image: name, version, digest, kind, size */

static int runtime_of(const struct ctl *c, struct rt_client *rt, struct qt_err *e)
{
	char path[sizeof(rt->path)];

	if (!qt_fmt(path, sizeof(path), "%s/runtime.sock", c->conf.run_dir))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "run_dir is too long for a socket's address");
	return rt_client_init(rt, path, e);
}

/* One line of the table; control characters do not reach the terminal. */
static void print_row(const char *const *v)
{
	static const int width[COLUMNS] = {16, 12, 20, 8, 0};

	for (int i = 0; i < COLUMNS; i++) {
		char cell[160];
		size_t n = 0;

		for (const char *p = v[i]; *p && n < sizeof(cell) - 1; p++)
			cell[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? '?' : *p;
		cell[n] = '\0';
		printf("%-*s%s", width[i], cell, i < COLUMNS - 1 ? "  " : "\n");
	}
}

static int list_images(struct rt_client *rt, struct qt_err *e)
{
	static const char *const heads[COLUMNS] = {"NAME", "VERSION", "DIGEST", "KIND", "BYTES"};
	char after[129] = "";

	for (;;) {
		struct rt_images_req req = {.after = rt_str(after)};
		struct rt_images_rep rep;
		const char *p = NULL, *row[RT_IMAGE_TEXTS];

		if (rt_images(rt, &req, &rep, BUDGET_MS, e) < 0)
			return -1;
		if (after[0] == '\0')
			print_row(heads);
		if (rep.images.n == 0)
			return 0;
		if (rep.images.n % RT_IMAGE_TEXTS != 0)
			return qt_fail(e, QT_E_BAD_GATEWAY, "the runtime's list of images is not whole");
		for (uint32_t i = 0; i < rep.images.n; i += RT_IMAGE_TEXTS) {
			for (int k = 0; k < RT_IMAGE_TEXTS; k++)
				row[k] = p = rt_strv_next(&rep.images, p);
			print_row(row);
		}
		/* A list that does not move on would never end. */
		if (strcmp(row[0], after) <= 0 || !qt_copy(after, sizeof(after), row[0]))
			return qt_fail(e, QT_E_BAD_GATEWAY, "the runtime's list of images is not in order");
	}
}

int ctl_image_list(struct ctl *c, struct qt_err *e)
{
	struct rt_client rt;
	int r;

	if (runtime_of(c, &rt, e) < 0)
		return -1;
	r = list_images(&rt, e);
	rt_client_done(&rt);
	return r;
}

int ctl_config_dump(struct ctl *c, struct qt_err *e)
{
	(void)e;
	qt_conf_dump(&c->conf, stdout, c->opt[CTL_DOC] != NULL);
	return 0;
}

/* --- status ------------------------------------------------------------------------------------------- */

#define SAY_MAX 4096

static int see_redis(struct ctl *c, char *say, struct qt_err *e)
{
	(void)qt_copy(say, SAY_MAX, "answers, with our functions");
	return qt_store_check(c->store, e);
}

static int see_runtime(struct ctl *c, char *say, struct qt_err *e)
{
	struct rt_client rt;
	struct rt_info_req req = {0};
	struct rt_info_rep rep;
	int r;

	if (runtime_of(c, &rt, e) < 0)
		return -1;
	r = rt_info(&rt, &req, &rep, BUDGET_MS, e);
	if (r == 0)
		(void)qt_fmt(say, SAY_MAX, "%" PRIu32 " containers, %" PRIu32 " of them running; pool: %.8s, %" PRIu64 " of %" PRIu64 " MiB free",
			     rep.containers, rep.running, rep.storage_driver.s, rep.pool_free_bytes >> 20, rep.pool_bytes >> 20);
	rt_client_done(&rt);
	return r;
}

/* The agent beats every two seconds; one that starts just now is waited for that long. */
static int see_agent(struct ctl *c, char *say, struct qt_err *e)
{
	int64_t limit_ms = 10000, age_ms = INT64_MAX, deadline = qt_mono_ms() + 3000;
	struct qt_err why = {0};

	while (qt_store_node_age(c->store, c->conf.node, &age_ms, &why) < 0 || age_ms > limit_ms) {
		if (qt_left_ms(deadline) == 0 || (why.code != QT_OK && why.code != QT_E_NOT_FOUND))
			break;
		qt_err_reset(&why);
		(void)poll(NULL, 0, 100);
	}
	if (why.code != QT_OK) {
		*e = why;
		return -1;
	}
	if (age_ms > limit_ms)
		return qt_fail(e, QT_E_UNAVAILABLE, "was last heard of %" PRIi64 " s ago", age_ms / 1000);
	(void)qt_fmt(say, SAY_MAX, "was heard of %" PRIi64 " s ago", age_ms / 1000);
	return 0;
}

static int see_gpus(struct ctl *c, char *say, struct qt_err *e)
{
	json_t *gpus = qt_store_node_gpus_get(c->store, c->conf.node, e), *who;
	unsigned all = 0, taken = 0;
	const char *id;
	size_t len = 0;

	if (!gpus)
		return -1;
	json_object_foreach(gpus, id, who)
		if (json_string_value(who)[0] != '=') {
			all++;
			taken += json_string_value(who)[0] != '\0';
		}
	if (all == 0)
		(void)qt_copy(say, SAY_MAX, "none");
	else
		(void)qt_fmt(say, SAY_MAX, "%u, %u of them taken", all, taken);
	json_object_foreach(gpus, id, who) {
		const char *slash = strchr(json_string_value(who), '/');

		len = strlen(say);
		if (slash && !qt_fmt(say + len, SAY_MAX - len, "; %s: %s", id, slash + 1))
			break; /* what does not fit */
	}
	json_decref(gpus);
	return 0;
}

static int see_sockets(const struct ctl *c, const char *const *names, struct qt_err *e)
{
	for (size_t i = 0; names[i]; i++) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return qt_fail_sys(e, errno, "socket");
		if (!qt_fmt(a.sun_path, sizeof(a.sun_path), "%s/%s", c->conf.run_dir, names[i]))
			return qt_fail(e, QT_E_VALIDATION_ERROR, "run_dir is too long for a socket's address");
		if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
			return qt_fail_sys(e, errno, "%s", names[i]);
	}
	return 0;
}

static int see_workers(struct ctl *c, char *say, struct qt_err *e)
{
	(void)qt_copy(say, SAY_MAX, "both pools take connections");
	return see_sockets(c, (const char *const[]){"api.sock", "api-slow.sock", NULL}, e);
}

static int see_stream(struct ctl *c, char *say, struct qt_err *e)
{
	(void)qt_copy(say, SAY_MAX, "takes connections");
	return see_sockets(c, (const char *const[]){"stream.sock", NULL}, e);
}

/* It holds a lock on this file as long as it lives. */
static int see_dns(struct ctl *c, char *say, struct qt_err *e)
{
	auto_close int fd = -1;
	char path[300];

	if (!c->conf.dns) {
		(void)qt_copy(say, SAY_MAX, "none: the setting dns is 0");
		return 0;
	}
	(void)qt_fmt(path, sizeof(path), "%s/dns.ready", c->conf.run_dir);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? qt_fail(e, QT_E_UNAVAILABLE, "does not run, or is not ready") : qt_fail_sys(e, errno, "open dns.ready");
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return qt_fail(e, QT_E_UNAVAILABLE, "has ended");
	if (errno != EWOULDBLOCK)
		return qt_fail_sys(e, errno, "look at the lock of dns.ready");
	(void)qt_copy(say, SAY_MAX, "resolves");
	return 0;
}

int ctl_status(struct ctl *c, struct qt_err *e)
{
	static const struct {
		const char *name;
		int (*see)(struct ctl *c, char *say, struct qt_err *e);
	} parts[] = {{"redis", see_redis}, {"runtime", see_runtime}, {"agent", see_agent}, {"gpus", see_gpus},
		     {"dns", see_dns},	   {"api", see_workers},     {"stream", see_stream}};
	unsigned down = 0;

	for (size_t i = 0; i < QT_LEN(parts); i++) {
		struct qt_err why = {0};
		char say[SAY_MAX] = "";
		bool up = parts[i].see(c, say, &why) == 0;

		down += !up;
		printf("%-8s %-5s %s\n", parts[i].name, up ? "up" : "DOWN", up ? say : why.msg);
	}
	return down == 0 ? 0 : qt_fail(e, QT_E_UNAVAILABLE, "%u of %zu parts are down", down, QT_LEN(parts));
}
