#include <stdio.h>
#include <string.h>

#include "conn.h"
#include "str.h"

/* Every error that a function of ours, or Redis itself, may answer with: its first word. "%s" in MSG is what follows the word. */
static const struct {
	const char *word;
	enum qt_code code;
	const char *msg;
} rows[] = {
	{"QT_NO_CTR", QT_E_CONTAINER_NOT_FOUND, "there is no such container"},
	{"QT_NO_SESSION", QT_E_SESSION_NOT_FOUND, "there is no such terminal session"},
	{"QT_SESSIONS", QT_E_QUOTA_EXCEEDED, "the tenant has all the terminal sessions that it may have (%s)"},
	{"QT_NO_OP", QT_E_OPERATION_NOT_FOUND, "there is no such operation"},
	{"QT_NO_JOB", QT_E_JOB_NOT_FOUND, "there is no such job"},
	{"QT_NO_KEY", QT_E_UNAUTHORIZED, "the API key is not valid"},
	{"QT_NO_NODE", QT_E_NOT_FOUND, "has never been heard of"},
	{"QT_NO_KEY_ID", QT_E_NOT_FOUND, "there is no such key"},
	{"QT_NO_TENANT", QT_E_NOT_FOUND, "there is no such tenant"},
	{"QT_NAME_TAKEN", QT_E_CONTAINER_NAME_CONFLICT, "a container named \"%s\" exists already"},
	{"QT_NO_SNAP", QT_E_SNAPSHOT_NOT_FOUND, "there is no such snapshot"},
	{"QT_SNAP_PINNED", QT_E_SNAPSHOT_PINNED, "the snapshot is pinned"},
	{"QT_SNAP_USED", QT_E_SNAPSHOT_IN_USE, "the snapshot is being made, or a container is being made of it"},
	{"QT_VOL_NAME", QT_E_VOLUME_NAME_CONFLICT, "a volume named \"%s\" exists already"},
	{"QT_VOL_IN_USE", QT_E_VOLUME_IN_USE, "container %s has the volume"},
	{"QT_NO_VOL", QT_E_VOLUME_NOT_FOUND, "there is no such volume"},
	{"QT_NO_IMG", QT_E_IMAGE_NOT_FOUND, "there is no such image"},
	{"QT_PLAN", QT_E_PLAN_REQUIRED, "the plan \"%s\" has no GPUs"},
	{"QT_GPUS", QT_E_CAPACITY_FULL, "not enough GPUs are free"},
	{"QT_QUOTA", QT_E_QUOTA_EXCEEDED, "the quota of the tenant has no room for this"},
	{"QT_STATE", QT_E_INVALID_STATE, "the container is in state %s"},
	{"QT_EXISTS", QT_E_CONFLICT, "the record of %s exists already"},
	{"QT_ROUTES_FULL", QT_E_CONFLICT, "the container has its %s routes"},
	{"QT_ENV_TOO_LARGE", QT_E_VALIDATION_ERROR, "the environment has too many variables or bytes"},
	{"QT_CURSOR", QT_E_VALIDATION_ERROR, "the cursor is not one that a list gave out"},
	{"QT_RATE", QT_E_RATE_LIMITED, "too many requests with this API key"},
	{"QT_LEASE", QT_E_CONFLICT, "operation %s is in other hands"},
	{"QT_OP_OVER", QT_E_CONFLICT, "operation %s is over"},
	{"QT_OP_FINAL", QT_E_INVALID_STATE, "the operation is over: %s"},
	{"QT_IDEM_OTHER", QT_E_IDEMPOTENCY_CONFLICT, "this Idempotency-Key was used for another request"},
	{"QT_IDEM_OPEN", QT_E_IDEMPOTENCY_IN_PROGRESS, "the first request with this Idempotency-Key is still under way"},
	{"QT_IDEM_LARGE", QT_E_IDEMPOTENCY_CONFLICT, "the request was carried out, and its answer was too large to be kept"},
	{"QT_EMPTY", QT_E_STORE_UNAVAILABLE, "the store is empty: it was not set up, or waits for the agent's copy"},
	{"OOM", QT_E_INSUFFICIENT_STORAGE, "the state store is full"},
	{"MISCONF", QT_E_INSUFFICIENT_STORAGE, "the state store cannot write to its disk"},
	{"WRONGTYPE", QT_E_INTERNAL_ERROR, "a key of the store has the wrong type"},
	{"LOADING", QT_E_STORE_UNAVAILABLE, "Redis is loading its data"},
	{"NOAUTH", QT_E_STORE_UNAVAILABLE, "Redis wants a user and a password"},
	{"WRONGPASS", QT_E_STORE_UNAVAILABLE, "Redis does not take the password"},
	{"NOPERM", QT_E_STORE_UNAVAILABLE, "Redis does not let this user do that: %s"},
	{"READONLY", QT_E_STORE_UNAVAILABLE, "Redis is a replica"},
	{"MASTERDOWN", QT_E_STORE_UNAVAILABLE, "Redis is a replica without its master"},
	{"BUSY", QT_E_STORE_UNAVAILABLE, "Redis is busy with a function"},
	{"UNBLOCKED", QT_E_STORE_UNAVAILABLE, "a stream of the store went away"},
	{"NOGROUP", QT_E_STORE_UNAVAILABLE, "a stream of the store has no consumer group"},
};

static int fail_by_row(size_t i, const char *rest, struct qt_err *e)
{
	const char *gap = strstr(rows[i].msg, "%s");

	if (gap)
		return qt_fail(e, rows[i].code, "%.*s%s%s", (int)(gap - rows[i].msg), rows[i].msg, rest, gap + 2);
	return qt_fail(e, rows[i].code, "%s", rows[i].msg);
}

/* "containers 10 10": which quota, what it allows, what is taken. */
static void read_quota(const char *rest, struct qt_err *e)
{
	if (sscanf(rest, "%23s %llu %llu", e->quota, &e->quota_limit, &e->quota_used) == 3)
		(void)qt_fmt(e->msg, sizeof(e->msg), "the tenant's quota has no room for this: of %s, %llu of %llu are taken", e->quota,
			     e->quota_used, e->quota_limit);
}

/* "1 8": how many are free, and how many there are. */
static void read_gpus(const char *rest, struct qt_err *e)
{
	unsigned free_now, all;

	if (sscanf(rest, "%u %u", &free_now, &all) != 2)
		return;
	e->hint = all > 0 ? "Ask for fewer GPUs, leave gpu_ids out, or retry when a container that has one was deleted."
			  : "This node has no GPUs: leave gpu_count out.";
	if (all > 0)
		(void)qt_fmt(e->msg, sizeof(e->msg), "the GPUs that were asked for are not free: of %u, %u are", all, free_now);
	else
		(void)qt_fmt(e->msg, sizeof(e->msg), "this node has no GPUs");
}

int qt_reply_error(struct qt_store *s, const char *text, size_t len, struct qt_err *e)
{
	char line[128];
	bool more;
	size_t word;

	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	memcpy(line, text, len);
	line[len] = '\0';
	len = qt_utf8_span(line, strcspn(line, "\r\n"));
	line[len] = '\0';
	word = strcspn(line, " ");
	more = line[word] == ' ';
	s->word[0] = s->rest[0] = '\0';
	if (more)
		(void)qt_fmt(s->rest, sizeof(s->rest), "%.*s", (int)sizeof(s->rest) - 1, line + word + 1);
	line[word] = '\0';
	(void)qt_copy(s->word, sizeof(s->word), line);
	for (size_t i = 0; i < QT_LEN(rows); i++) {
		if (!qt_streq(rows[i].word, line))
			continue;
		(void)fail_by_row(i, s->rest, e);
		if (e->code == QT_E_INVALID_STATE)
			(void)qt_copy(e->state, sizeof(e->state), s->rest);
		if (e->code == QT_E_QUOTA_EXCEEDED)
			read_quota(s->rest, e);
		if (qt_streq(rows[i].word, "QT_GPUS"))
			read_gpus(s->rest, e);
		return -1;
	}
	if (more)
		line[word] = ' ';
	if (strstr(line, "Function not found"))
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis lacks our functions: quiltctl store init");
	return qt_fail(e, QT_E_INTERNAL_ERROR, "Redis: %s", line);
}
