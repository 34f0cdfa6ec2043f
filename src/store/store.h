/* store.h - the shared state in Redis. Every change is one Redis function (src/store/lua/), every key name is spelled in keys.c or
 * lua/keys.lua, and docs/redis-schema.md tells both. Programs ignore SIGPIPE. Errors: STORE_UNAVAILABLE when Redis is away (the connection is then remade at the next call), and
 * what each function says. */
#ifndef QT_STORE_H
#define QT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "err.h"
#include "eventkind.h"
#include "model.h"

/* One connection; not for two threads, not across fork() (it refuses). Opened lazily, and anew after any failure; nothing is sent twice. It
 * logs in as redis_secret_file says ("user:password"; "": not at all). */
struct qt_store;
int qt_store_new(struct qt_store **ret, const struct qt_conf *conf, struct qt_err *e);
void qt_store_free(struct qt_store *s);
int qt_store_ping(struct qt_store *s, struct qt_err *e);
/* Wait for the answer to what was posted (by a function of that name), if that is still to come; -1 if it was a refusal. The next call on S does so as well,
 * and can but log it. */
int qt_store_settle(struct qt_store *s, struct qt_err *e);

/* --- tenants and API keys ------------------------------------------------------------------------------ */
struct qt_tenant {
	struct qt_id id;
	char name[64], plan[32];
	int64_t created_ms;
#define QT_QUOTA(name, standard, large, unlimited, doc) uint64_t max_##name;
#include "quotas.def"
#undef QT_QUOTA
};
struct qt_apikey {
	struct qt_id id, tenant;
	char name[64], prefix[16], plan[32];
	char sha256[65];
	int64_t created_ms;
	bool revoked;
};
/* KEY is the text that a client sent; only its SHA-256 goes to Redis. UNAUTHORIZED if there is no such key, or it was revoked. */
int qt_store_auth(struct qt_store *s, const char *key, struct qt_apikey *ret, struct qt_err *e);
/* A token bucket a key (settings rate_per_second, rate_burst), one round trip with the above: RATE_LIMITED, *RETRY_AFTER_S set. */
int qt_store_auth_limited(struct qt_store *s, const char *key, struct qt_apikey *ret, unsigned *retry_after_s, struct qt_err *e);
/* The same by the key's digest, and for several requests at once. */
struct qt_taking {
	unsigned back;	/* of what was taken before, so many were not used */
	unsigned most;	/* at least 1 */
	unsigned taken; /* out: 1 to MOST, as many as there were */
};
int qt_store_auth_sha(struct qt_store *s, const char sha256[65], struct qt_taking *t, struct qt_apikey *ret, unsigned *retry_after_s, struct qt_err *e);
/* Lower-case hexadecimal of the SHA-256 of KEY. UNAUTHORIZED if it is too long for one. */
int qt_store_digest(char out[65], const char *key, struct qt_err *e);
/* The same for who brings something that was signed in the name of the key, and not the key. */
int qt_store_auth_id(struct qt_store *s, const struct qt_id *key, struct qt_apikey *ret, unsigned *retry_after_s, struct qt_err *e);
/* PLAN is one of plans.def; NULL: the first. Names need not be unique. VALIDATION_ERROR. */
int qt_store_tenant_create(struct qt_store *s, const char *name, const char *plan, struct qt_tenant *ret, struct qt_err *e);
int qt_store_tenant_get(struct qt_store *s, const char *id, struct qt_tenant *ret, struct qt_err *e);
/* One quota of a tenant: NAME as in quotas.def. VALIDATION_ERROR, NOT_FOUND. */
int qt_store_tenant_quota(struct qt_store *s, const struct qt_id *tenant, const char *name, uint64_t value, struct qt_err *e);
/* Calls FN for each quota, in the order of quotas.def: what it allows and what is taken (rounded up). */
int qt_store_tenant_quotas(struct qt_store *s, const struct qt_id *tenant,
			   void (*fn)(const char *name, uint64_t limit, uint64_t used, const char *doc, void *arg), void *arg, struct qt_err *e);
/* After an upgrade: quotas that an older version did not know are those of the plan, and what is taken is counted anew. All tenants. */
int qt_store_tenants_mend(struct qt_store *s, struct qt_err *e);
/* KEY_TEXT gets "quilt_sk_" and 32 hexadecimal digits: the only time that it is seen. At least 42 bytes. */
int qt_store_key_create(struct qt_store *s, const struct qt_id *tenant, const char *name, char *key_text, struct qt_apikey *ret,
			struct qt_err *e);
int qt_store_key_revoke(struct qt_store *s, const char *key_id, struct qt_err *e);
/* Calls FN for each key (of TENANT, or of all if NULL), oldest first. */
int qt_store_key_each(struct qt_store *s, const struct qt_id *tenant, void (*fn)(const struct qt_apikey *k, void *arg), void *arg,
		      struct qt_err *e);
int qt_store_tenant_each(struct qt_store *s, void (*fn)(const struct qt_tenant *t, void *arg), void *arg, struct qt_err *e);
/* The agent's copy on disk (tenants, keys), and back after a FLUSHALL. A new reference; restore adds what is missing. */
json_t *qt_store_export(struct qt_store *s, struct qt_err *e);
int qt_store_import(struct qt_store *s, const json_t *copy, struct qt_err *e);

/* --- containers --------------------------------------------------------------------------------------- */

/* Reserve: the name is free, its volumes are there, and the quotas have room -> the record exists in state created, with DEADLINE_MS (wall clock) after which the
 * agent may take it away if the runtime knows nothing of it. From here on its volumes are in use, and it has its GPUs: C->gpu_count of the node's, those of
 * C->gpu_ids or, if that is empty, any; which ones is written there. PLAN_REQUIRED, CONTAINER_NAME_CONFLICT, VOLUME_NOT_FOUND, QUOTA_EXCEEDED with e->quota,
 * CAPACITY_FULL: one of the GPUs is not there, or has been taken. */
int qt_store_ctr_reserve(struct qt_store *s, struct qt_ctr *c, int64_t deadline_ms, struct qt_err *e);

/* All N of one tenant or none, in one step; a name that is taken or there twice, or of a volume that is not there, is in e->received. */
int qt_store_ctr_reserve_all(struct qt_store *s, const struct qt_ctr *v, size_t n, int64_t deadline_ms, struct qt_err *e);

/* FROM is a bit set of states (1 << QT_ST_…). One winner among racing callers: if the state is not in FROM, INVALID_STATE with e->state.
 * The rest of the record's changing fields (pid, ip, times, exit code, error) are taken from C. EVENT is the event's name in the tenant's
 * stream ("started", "stopped", "died" …), USAGE the usage record's event_type or NULL; each written once, in the same step. */
int qt_store_ctr_move(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
		      const char *usage, struct qt_err *e);
/* The same, for who has something else to do until Redis answers, that is its disk: qt_store_settle() says how it went, before any other call on S. */
int qt_store_ctr_move_post(struct qt_store *s, const struct qt_ctr *c, unsigned from, enum qt_state to, const char *event,
			   const char *usage, struct qt_err *e);

/* RET is initialised here on success; CONTAINER_NOT_FOUND (also for another tenant's). WHO is an id or a name; an id wins. */
int qt_store_ctr_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_ctr *ret, struct qt_err *e);
int qt_store_ctr_by_name(struct qt_store *s, const struct qt_id *tenant, const char *name, struct qt_id *ret, struct qt_err *e);

/* Oldest first. STATE < 0: all. LIMIT 0: all. CURSOR "" from the start; RET_CURSOR (64 bytes) is "" at the end. The caller frees
 * with qt_ctr_list_done(). One or two round trips however many there are. */
struct qt_ctr_list {
	struct qt_ctr *v;
	size_t n;
	char cursor[64];
};
int qt_store_ctr_list(struct qt_store *s, const struct qt_id *tenant, int state, unsigned limit, const char *cursor,
		      struct qt_ctr_list *ret, struct qt_err *e);
void qt_ctr_list_done(struct qt_ctr_list *l);

int qt_store_ctr_rename(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *new_name, char *old_name,
			struct qt_err *e); /* OLD_NAME has QT_NAME_MAX + 1 bytes */
/* MERGE: names in ENV are set, null ones removed; otherwise ENV replaces the map. The result stays within QT_ENV_MAX and QT_ARGV_BYTES
 * (VALIDATION_ERROR). *RET is the new record, initialised here: the caller hands it to the runtime too. */
int qt_store_ctr_env(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *env, bool merge,
		     struct qt_ctr *ret, struct qt_err *e);
/* VOLUMES (as the record has them) of a container that is being made; in use from here on. VOLUME_NOT_FOUND, INVALID_STATE. */
int qt_store_ctr_volumes(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const json_t *volumes, struct qt_err *e);
/* NET is one of the container's further routes from now on, or no longer; both idempotent. CONFLICT when there are QT_ROUTES_MAX.
 * *RET is the new record, initialised here. */
int qt_store_ctr_route(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *net, bool remove,
		       struct qt_ctr *ret, struct qt_err *e);
/* The address of one that does not run. INVALID_STATE. */
int qt_store_ctr_address(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *ip, struct qt_err *e);
/* A delete has begun: sets deleting_ms to now (again, if it was set). From then on the container cannot be moved to starting (INVALID_STATE), and the
 * agent finishes the delete if whoever began it died. CONTAINER_NOT_FOUND. */
int qt_store_ctr_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);
/* Take the record away, with event "removed". Idempotent: CONTAINER_NOT_FOUND the second time. */
int qt_store_ctr_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);
/* Put a record back as the runtime has it (after FLUSHALL), if there is none; 0 if there is. One whose name has meanwhile gone to another is
 * found by its id only, until it is renamed. CONTAINER_NOT_FOUND: it was removed less than two minutes ago, and stays away. */
int qt_store_ctr_restore(struct qt_store *s, const struct qt_ctr *c, struct qt_err *e);
/* Every container of NODE, all tenants: for the agent. */
int qt_store_ctr_of_node(struct qt_store *s, const char *node, struct qt_ctr_list *ret, struct qt_err *e);

/* --- volumes ------------------------------------------------------------------------------------------ */
/* A volume is in use while the record of a container names it, in whatever state that is. */

/* Reserve: the name is free and the quotas have room -> the record exists, status "creating", with DEADLINE_MS (wall clock) after which the agent
 * may take it away if the runtime knows nothing of it. VOLUME_NAME_CONFLICT, QUOTA_EXCEEDED with e->quota. */
int qt_store_vol_reserve(struct qt_store *s, const struct qt_vol *v, int64_t deadline_ms, struct qt_err *e);
/* It is made: status "ready"; the event and the usage record, once. VOLUME_NOT_FOUND. */
int qt_store_vol_commit(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);
/* RET is initialised here on success; VOLUME_NOT_FOUND (also for another tenant's). WHO is an id or a name; an id wins. Also one that is being made or
 * deleted: look at qt_vol_status(). */
int qt_store_vol_get(struct qt_store *s, const struct qt_id *tenant, const char *who, struct qt_vol *ret, struct qt_err *e);

/* As of containers. The caller frees with qt_vol_list_done(). */
struct qt_vol_list {
	struct qt_vol *v;
	size_t n;
	char cursor[64];
};
int qt_store_vol_list(struct qt_store *s, const struct qt_id *tenant, unsigned limit, const char *cursor, struct qt_vol_list *ret,
		      struct qt_err *e);
/* Every volume of NODE, all tenants: for the agent. */
int qt_store_vol_of_node(struct qt_store *s, const char *node, struct qt_vol_list *ret, struct qt_err *e);
void qt_vol_list_done(struct qt_vol_list *l);

/* The ids of the containers that have it: an array, a new reference. VOLUME_NOT_FOUND. */
json_t *qt_store_vol_users(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);
/* VOLUME_NOT_FOUND, VOLUME_IN_USE, VOLUME_NAME_CONFLICT. OLD_NAME has QT_VOLNAME_MAX + 1 bytes. */
int qt_store_vol_rename(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, const char *new_name, char *old_name,
			struct qt_err *e);
/* A delete has begun: no container can be made with it any more, and the agent finishes the delete if whoever began it died. VOLUME_NOT_FOUND,
 * VOLUME_IN_USE. */
int qt_store_vol_deleting(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);
/* Take the record away, with event and usage record. VOLUME_NOT_FOUND the second time. */
int qt_store_vol_remove(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *id, struct qt_err *e);
/* As qt_store_ctr_restore(). VOLUME_NOT_FOUND: it was removed less than two minutes ago, and stays away. */
int qt_store_vol_restore(struct qt_store *s, const struct qt_vol *v, struct qt_err *e);

/* --- operations --------------------------------------------------------------------------------------- */

/* The record (status accepted) and the entry in the node's stream, in one step. */
int qt_store_op_submit(struct qt_store *s, const struct qt_op *o, struct qt_err *e);
int qt_store_op_get(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e);

/* Newest first. STATUS < 0: all. LIMIT is at least 1; fewer are not the end: RET's cursor ("" at the end) says where to go on. VALIDATION_ERROR: the
 * cursor is none. qt_op_list_done() frees. */
struct qt_op_list {
	struct qt_op *v;
	size_t n;
	char cursor[64];
};
int qt_store_op_list(struct qt_store *s, const struct qt_id *tenant, int status, unsigned limit, const char *cursor,
		     struct qt_op_list *ret, struct qt_err *e);
void qt_op_list_done(struct qt_op_list *l);
/* A client wants its end. What nobody began is cancelled, with all that was reserved for it; who executes it is asked to. RET, initialised here
 * on success, tells by its status. OPERATION_NOT_FOUND; INVALID_STATE with e->state: it is over. */
int qt_store_op_cancel(struct qt_store *s, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e);

/* The agent's side. Next: waits up to WAIT_MS for an entry of the node's stream (new, or left by a dead consumer for LEASE_MS), 1 and *RET with
 * its stream entry and a fencing token (the claim): running when it begins NOW, else queued; 0 if there is none, or none for us: final, or held by
 * another, or by ourselves: HELD says so of what we have, whose lease may be over (NULL: we have nothing). */
struct qt_op_held {
	bool (*is)(void *arg, const char *op);
	void *arg;
};
struct qt_op_entry {
	struct qt_op op;
	char entry[40];	/* the stream's id */
	uint64_t token; /* of the lease */
	bool begun;
};
int qt_store_op_next(struct qt_store *s, const char *node, const char *consumer, int wait_ms, int lease_ms, bool now, const struct qt_op_held *held,
		     struct qt_op_entry *ret, struct qt_err *e);
/* The node's agent has begun, and knows that it is alone: what an earlier one held is found by the next qt_store_op_next(), whatever is left of its lease. */
int qt_store_op_orphan(struct qt_store *s, const char *node, const char *consumer, struct qt_err *e);
/* A slot is free: X goes to running, and is read anew. CONFLICT: it was cancelled, or its lease was lost. */
int qt_store_op_begin(struct qt_store *s, struct qt_op_entry *x, struct qt_err *e);
int qt_store_op_renew(struct qt_store *s, const struct qt_op_entry *x, int lease_ms, struct qt_err *e);
/* What x->op's executor filled so far (message, percentage, result, items …) into the record, and an event. 1: a client asked for its end; 0: nobody did. CONFLICT if the lease was lost. */
int qt_store_op_progress(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e);
/* The same question, and nothing written. */
int qt_store_op_asked(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e);
/* Final: status, result, error from x->op; acknowledges the entry, writes the event. CONFLICT if the lease was lost. */
int qt_store_op_finish(struct qt_store *s, const struct qt_op_entry *x, struct qt_err *e);
/* Operations that are GRACE_MS past their deadline and nobody's (not begun, or the node's agent was not heard of for GONE_MS) are timed_out; *RET: how
 * many. */
int qt_store_op_overdue(struct qt_store *s, int64_t grace_ms, int64_t gone_ms, unsigned *ret, struct qt_err *e);

/* --- Idempotency-Key ----------------------------------------------------------------------------------- */

/* REQUEST is the lower-case hexadecimal SHA-256 of all that makes the request what it is; KEY the client's text. 0: it is the first, and RET->token
 * holds it for HOLDER, at most LOCK_S seconds; 1: RET has the first one's answer, for qt_idem_answer_done(). IDEMPOTENCY_CONFLICT: the key was used for
 * another request, or the answer was too large to be kept (RET->too_large); IDEMPOTENCY_IN_PROGRESS: RET->holder has it. DEAD is a holder that can be
 * known to be no more ("": none): what it holds is free. */
#define QT_IDEM_HOLDER_MAX 63
#define QT_IDEM_TEXT_MAX 65536
struct qt_idem {
	char key[65];	    /* SHA-256 of the client's */
	struct qt_id token; /* "" : not held */
	bool too_large;
	bool inherited; /* set by the caller: of a holder that died at it */
	char holder[QT_IDEM_HOLDER_MAX + 1];
	int status;
	char type[64];
	char *text;
	size_t len;
};
int qt_store_idem_begin(struct qt_store *s, const struct qt_id *tenant, const char *key, const char *request, const char *holder,
			const char *dead, unsigned lock_s, struct qt_idem *ret, struct qt_err *e);
/* The first one's answer: kept for operation_keep_s, without its text if that is longer than QT_IDEM_TEXT_MAX. STATUS 0: forgotten. CONFLICT: it took
 * longer than the lock lives, and is not the first any more. */
int qt_store_idem_end(struct qt_store *s, const struct qt_id *tenant, const struct qt_idem *i, int status, const char *type,
		      const char *text, size_t len, struct qt_err *e);
/* Lower-case hexadecimal of the SHA-256 of N pieces, each with its length before it. */
struct qt_piece {
	const void *data;
	size_t len;
};
int qt_sha256(char out[65], const struct qt_piece *v, size_t n, struct qt_err *e);

/* --- jobs: the record of each exec -------------------------------------------------------------------- */
/* RECORD is the contract's job object (7.2); kept operation_keep_s or until the container goes, and the newest 1000 of a tenant. Its
 * texts are cut to what 32 KiB hold, and output_truncated set. Putting it again replaces it. CONTAINER_NOT_FOUND. The second does not wait for
 * Redis' answer, and so not for its disk either; a refusal is told by qt_store_settle(). */
int qt_store_job_post(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, const json_t *record,
		      struct qt_err *e);
int qt_store_job_put(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, const json_t *record,
		     struct qt_err *e);
/* A new reference. JOB_NOT_FOUND. */
json_t *qt_store_job_get(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, const char *job_id, struct qt_err *e);
/* An array, the newest first, at most 1000; RUNNING: only those whose record says so. A new reference. */
json_t *qt_store_job_list(struct qt_store *s, const struct qt_id *tenant, const struct qt_id *ctr, bool running, struct qt_err *e);

/* --- usage -------------------------------------------------------------------------------------------- */
/* A record container_runtime for each container of NODE that runs and has none yet in this period of PERIOD_S, by Redis's clock. */
int qt_store_usage_sample(struct qt_store *s, const char *node, unsigned period_s, struct qt_err *e);

/* A record. Of the stop and the samples of a container FROM_MS to UNTIL_MS is when it ran; of the end of a volume, when it was there; else both are
 * when it was written. A sample lies within the stop that follows it: who sums takes the union of a subject's times. */
struct qt_usage {
	char event_type[32];
	char subject[QT_ID_MAX + 1]; /* the container or the volume */
	int64_t from_ms, until_ms;
	uint64_t memory_mb, max_bytes;
	double cpu_percent;
};
/* Calls FN for each record of TENANT that was written at FROM_MS or later, in the order in which they were. *RET_WHOLE: the stream still has everything
 * since then. As the administrator. */
int qt_store_usage_each(struct qt_store *s, const struct qt_id *tenant, int64_t from_ms, void (*fn)(const struct qt_usage *u, void *arg),
			void *arg, bool *ret_whole, struct qt_err *e);

/* --- nodes -------------------------------------------------------------------------------------------- */
/* FACTS is an object; its members become fields of the node's hash. */
int qt_store_node_beat(struct qt_store *s, const char *node, const json_t *facts, struct qt_err *e);
/* GPUS is a list of pairs of texts: each GPU of the node, and who has it as the runtime says: "" nobody, "tenant/container", or "=ID", another name of that
 * one. What records say of who has it counts more. Frees those whose container is gone. */
int qt_store_node_gpus(struct qt_store *s, const char *node, const json_t *gpus, struct qt_err *e);
/* The same as an object: id to who. A new reference. */
json_t *qt_store_node_gpus_get(struct qt_store *s, const char *node, struct qt_err *e);
/* Milliseconds since its last beat, by Redis's clock. NOT_FOUND: none yet. */
int qt_store_node_age(struct qt_store *s, const char *node, int64_t *ret_ms, struct qt_err *e);

/* The running containers of NODE, all tenants: address and name of each, for the resolver. *VERSION is what was read before (0: nothing). 1 when
 * something has changed since (or may have): FN got all of them, *VERSION is new. 0: nothing has. */
struct qt_name {
	struct qt_id tenant;
	const char *ip, *name;
};
int qt_store_names(struct qt_store *s, const char *node, uint64_t *version, void (*fn)(const struct qt_name *n, void *arg), void *arg,
		   struct qt_err *e);

/* An event without a change of state (oom). */
int qt_store_event(struct qt_store *s, const struct qt_id *tenant, const char *kind, const json_t *data, struct qt_err *e);

/* --- what steps of an operation wrote -------------------------------------------------------------------- */

/* TEXT, valid UTF-8, goes behind what is there of O; the oldest go when there are 2,000. STEP: 0 for none. OPERATION_NOT_FOUND. */
int qt_store_op_log(struct qt_store *s, const struct qt_op *o, const char *stream, unsigned step, const char *text, struct qt_err *e);
/* At most MOST of what stands behind AFTER ("" from the first on): an array of objects cursor, timestamp_ms, stream, step, message; a new reference. */
int qt_store_op_log_read(struct qt_store *s, const struct qt_id *tenant, const char *id, const char *after, unsigned most, enum qt_op_status *ret_status,
			 json_t **ret, struct qt_err *e);

/* --- reading events ------------------------------------------------------------------------------------ */

/* The id of an event: a place in its tenant's stream. */
struct qt_event_id {
	uint64_t ms, seq;
};
#define QT_EVENT_ID_TEXT 42 /* bytes of the longest, with its NUL */
bool qt_event_id_parse(struct qt_event_id *ret, const char *text); /* "ms-seq", or "ms" for the first of that millisecond */
void qt_event_id_text(char out[QT_EVENT_ID_TEXT], const struct qt_event_id *id);
int qt_event_id_cmp(const struct qt_event_id *a, const struct qt_event_id *b); /* < 0, 0, > 0 */

struct qt_heard {
	struct qt_event_id id;
	char kind[32];	  /* "container_update" … */
	const char *data; /* JSON; NUL-terminated, in memory of whoever gave it */
	size_t len;
};

/* The newest id of TENANT's stream, 0-0 if it is empty. */
int qt_store_events_last(struct qt_store *s, const struct qt_id *tenant, struct qt_event_id *ret, struct qt_err *e);

/* Calls FN with at most COUNT events after AFTER, oldest first, and no further one when they have BYTES together; *RET_OLDEST is the oldest that the
 * stream still has (0-0: none). 1: there are more; 0; -1. */
int qt_store_events_after(struct qt_store *s, const struct qt_id *tenant, const struct qt_event_id *after, unsigned count, size_t bytes,
			  void (*fn)(const struct qt_heard *ev, void *arg), void *arg, struct qt_event_id *ret_oldest, struct qt_err *e);

/* From here on S gets every event of all tenants as it happens, and nothing else may be asked of it. */
int qt_store_listen(struct qt_store *s, struct qt_err *e);

/* Calls FN with the next; waits up to WAIT_MS. 1; 0: none came; -1: the connection is lost, and so may be events. */
int qt_store_hear(struct qt_store *s, int wait_ms, void (*fn)(const struct qt_id *tenant, const struct qt_heard *ev, void *arg), void *arg,
		  struct qt_err *e);

/* The tenant's newest events of KIND, the newest first, at most MOST. FN gets each, with texts that last for the call; DATA is an object. */
struct qt_event {
	const char *id;
	const json_t *data;
	int64_t at_ms;
};
int qt_store_events(struct qt_store *s, const struct qt_id *tenant, unsigned most, enum qt_event_kind kind,
		    void (*fn)(const struct qt_event *ev, void *arg), void *arg, struct qt_err *e);

/* `quiltctl store init`: load the function library; as the administrator. */
int qt_store_load_functions(struct qt_store *s, struct qt_err *e);
/* Redis answers, has the functions of this very version, and is set up. */
int qt_store_check(struct qt_store *s, struct qt_err *e);

#endif
