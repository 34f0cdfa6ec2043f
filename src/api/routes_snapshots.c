/* routes_snapshots.c - snapshots, forks, clones, lineage and pins (contract 6). */
#include <stddef.h>

#include "handlers.h"
#include "replies.h"
#include "snap.h"

#define TTL_MAX_S 315360000 /* ten years */

static int check_name(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return qt_check_name(field, value, e);
}

#define AT(member) .off = offsetof(struct qt_copy_req, member), .size = sizeof(((struct qt_copy_req *)0)->member)

/* clang-format off */
#define NAME(text) \
	{.name = "name", .kind = QT_K_STR, .flags = QT_F_NULL, AT(name), .min = 1, .check = check_name, .doc = text}
#define LABELS(text) \
	{.name = "labels", .kind = QT_K_MAP, .flags = QT_F_NULL, .off = offsetof(struct qt_copy_req, labels), .size = 4096, .max = QT_LABELS_MAX, .doc = text}
#define CONSISTENCY \
	{.name = "consistency_mode", .kind = QT_K_ENUM, .flags = QT_F_NULL, AT(consistency), .words = qt_consistency_words, \
	 .doc = "crash-consistent (default): the source does not stand still; app-consistent: its processes do, and what they wrote is on disk"}
#define NETWORK \
	{.name = "network_mode", .kind = QT_K_ENUM, .flags = QT_F_NULL, AT(network), .words = qt_network_words, \
	 .doc = "default reset; the others are done as reset, which the operation's capability_downgrades say"}
#define VOLUMES \
	{.name = "volume_mode", .kind = QT_K_ENUM, .flags = QT_F_NULL, AT(volumes), .words = qt_volume_words, \
	 .doc = "exclude (default): the copy has no volumes; include_named: copies of those that it could write to, the others as they are; include_all_allowed: copies of all"}
#define RESUME \
	{.name = "resume_policy", .kind = QT_K_ENUM, .flags = QT_F_NULL, AT(resume), .words = qt_resume_words, \
	 .doc = "manual (default): it is left in created; immediate: it is started"}
/* What clients of other generations send is taken and left aside. */
#define EXTRAS \
	{.name = "dry_run", .kind = QT_K_BOOL, .flags = QT_F_NULL, AT(dry), .doc = "only check: 200, and nothing is made"}, \
	{.name = "placement_hint", .kind = QT_K_IGNORE}, {.name = "idempotency_key", .kind = QT_K_IGNORE}, {.name = "async_mode", .kind = QT_K_IGNORE}

static const struct qt_field snapshot_body[] = {
	NAME("free; need not be unique"), LABELS("free texts"), CONSISTENCY, NETWORK, VOLUMES,
	{.name = "ttl_seconds", .kind = QT_K_U64, .flags = QT_F_NULL, AT(ttl_s), .min = 1, .max = TTL_MAX_S, .doc = "then it is deleted, unless it is pinned; default: never"},
	{.name = "resume_policy", .kind = QT_K_IGNORE}, EXTRAS, {0},
};
static const struct qt_field fork_body[] = {
	NAME("of the new container; default <source>-fork-<4 hex>"), LABELS("on top of the source's"), CONSISTENCY, NETWORK, VOLUMES, RESUME, EXTRAS, {0},
};
static const struct qt_field clone_body[] = {
	NAME("of the new container; default <source>-clone-<4 hex>"), LABELS("on top of the source's"), RESUME,
	{.name = "consistency_mode", .kind = QT_K_IGNORE}, {.name = "network_mode", .kind = QT_K_IGNORE}, {.name = "volume_mode", .kind = QT_K_IGNORE},
	EXTRAS, {0},
};
static const struct qt_copy_req defaults = {
	.consistency = "crash-consistent", .network = "reset", .volumes = "exclude", .resume = "manual"};
struct no_req { char unused; };
static const struct qt_field empty_body[] = {{.name = "async_mode", .kind = QT_K_IGNORE}, {.name = "idempotency_key", .kind = QT_K_IGNORE}, {0}};

static const struct qt_qfield list_query[] = {
	{"container_id", QT_Q_STR, 1, 64, NULL, "only of this source: an id, or the name of one that is there"},
	{"label", QT_Q_LABEL, 0, 512, NULL, "key=value that it must have; may be repeated"},
	{"limit", QT_Q_U64, 1, 1000, NULL, "at most so many; default all"},
	{"cursor", QT_Q_STR, 0, 63, NULL, "next_cursor of the page before"}, {0}};

static const struct qt_rfield snapshot_fields[] = {
	{"snapshot_id", "string", 0, NULL}, {"id", "string", 0, NULL}, {"source_container_id", "string", 0, NULL}, {"source_container_name", "string|null", 0, NULL},
	{"container_id", "string", 0, NULL}, {"parent_snapshot_id", "string|null", 0, NULL}, {"tenant_id", "string", 0, NULL}, {"name", "string|null", 0, NULL},
	{"status", "string", 0, NULL}, {"consistency_mode", "string", 0, NULL}, {"network_mode", "string", 0, NULL}, {"volume_mode", "string", 0, NULL},
	{"labels", "object", 0, NULL}, {"pinned", "boolean", 0, NULL}, {"ttl_seconds", "integer|null", 0, NULL}, {"size_bytes", "integer", 0, NULL},
	{"created_at", "integer", 0, NULL}, {"expires_at", "integer|null", 0, NULL}, {"metadata", "object", 0, NULL}, {0}};
static const struct qt_reply snapshot = {"Snapshot", snapshot_fields};
static const struct qt_rfield list_fields[] = {{"snapshots", "array", 0, &snapshot}, {"pagination", "object", 0, &qt_reply_pagination}, {0}};
static const struct qt_reply list = {"SnapshotList", list_fields};
static const struct qt_rfield node_fields[] = {
	{"snapshot_id", "string", 0, NULL}, {"parent_snapshot_id", "string|null", 0, NULL}, {"container_id", "string", 0, NULL},
	{"source_container_id", "string", 0, NULL}, {"source_container_name", "string|null", 0, NULL}, {"created_at", "integer", 0, NULL}, {"depth", "integer", 0, NULL}, {0}};
static const struct qt_reply node = {"LineageNode", node_fields};
static const struct qt_rfield lineage_fields[] = {{"snapshot_id", "string", 0, NULL}, {"nodes", "array", 0, &node}, {0}};
static const struct qt_reply lineage = {"Lineage", lineage_fields};
static const struct qt_rfield taken_fields[] = {
	{"success", "boolean", 0, NULL}, {"operation_id", "string", 0, NULL}, {"status_url", "string", 0, NULL}, {"container_id", "string", 0, NULL},
	{"snapshot_id", "string", 0, NULL}, {"source_container_id", "string", 0, NULL}, {"source_container_name", "string", 0, NULL}, {"status", "string", 0, NULL}, {0}};
static const struct qt_reply taken = {"SnapshotReceipt", taken_fields};
static const struct qt_rfield dry_fields[] = {{"success", "boolean", 0, NULL}, {"dry_run", "boolean", 0, NULL}, {0}};
static const struct qt_reply dry = {"DryRun", dry_fields};
static const struct qt_rfield pinned_fields[] = {{"success", "boolean", 0, NULL}, {"snapshot_id", "string", 0, NULL}, {"pinned", "boolean", 0, NULL}, {0}};
static const struct qt_reply pinned = {"Pinned", pinned_fields};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE
#define COPY_ERRORS \
	QT_E_VALIDATION_ERROR, QT_E_IMAGE_NOT_FOUND, QT_E_VOLUME_NOT_FOUND, QT_E_CONTAINER_NAME_CONFLICT, QT_E_QUOTA_EXCEEDED, \
	RUNTIME_ERRORS

const struct qt_route qt_routes_snapshots[] = {
	{.id = "snapshotContainer", .method = "POST", .path = "/api/containers/{id}/snapshot", .summary = "Take a snapshot of it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = snapshot_body, .body_size = sizeof(struct qt_copy_req), .body_defaults = &defaults,
	 .ok = 202, .reply = &taken, .also_ok = 200, .also_reply = &dry, .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_VOLUME_NOT_FOUND, QT_E_INVALID_STATE, QT_E_QUOTA_EXCEEDED},
	 .fn = qt_h_snap_create},
	{.id = "forkContainer", .method = "POST", .path = "/api/containers/{id}/fork", .summary = "Make a container with a copy of its data",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = fork_body, .body_size = sizeof(struct qt_copy_req), .body_defaults = &defaults,
	 .query = qt_query_execution, .ok = 202, .reply = &qt_reply_receipt, .also_ok = 200, .also_reply = &dry, .budget_ms = 10000,
	 .errors = {QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, COPY_ERRORS}, .fn = qt_h_ctr_fork},
	{.id = "cloneSnapshot", .method = "POST", .path = "/api/snapshots/{id}/clone", .summary = "Make a container of it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = clone_body, .body_size = sizeof(struct qt_copy_req), .body_defaults = &defaults,
	 .query = qt_query_execution, .ok = 202, .reply = &qt_reply_receipt, .also_ok = 200, .also_reply = &dry, .budget_ms = 10000,
	 .errors = {QT_E_SNAPSHOT_NOT_FOUND, COPY_ERRORS}, .fn = qt_h_snap_clone},
	{.id = "listSnapshots", .method = "GET", .path = "/api/snapshots", .summary = "List the tenant's snapshots", .scope = QT_SCOPE_TENANT,
	 .query = list_query, .ok = 200, .reply = &list, .budget_ms = 10000, .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_snap_list},
	{.id = "getSnapshot", .method = "GET", .path = "/api/snapshots/{id}", .summary = "The record of a snapshot", .scope = QT_SCOPE_TENANT,
	 .ok = 200, .reply = &snapshot, .budget_ms = 5000, .errors = {QT_E_SNAPSHOT_NOT_FOUND}, .fn = qt_h_snap_get},
	{.id = "getSnapshotLineage", .method = "GET", .path = "/api/snapshots/{id}/lineage", .summary = "The snapshots that it comes from",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &lineage, .budget_ms = 5000, .errors = {QT_E_SNAPSHOT_NOT_FOUND}, .fn = qt_h_snap_lineage},
	{.id = "pinSnapshot", .method = "POST", .path = "/api/snapshots/{id}/pin", .summary = "Keep it: neither its time nor a delete ends it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = empty_body, .body_size = sizeof(struct no_req), .ok = 200, .reply = &pinned,
	 .budget_ms = 10000, .errors = {QT_E_SNAPSHOT_NOT_FOUND}, .fn = qt_h_snap_pin},
	{.id = "unpinSnapshot", .method = "POST", .path = "/api/snapshots/{id}/unpin", .summary = "Do not keep it any more",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = empty_body, .body_size = sizeof(struct no_req), .ok = 200, .reply = &pinned,
	 .budget_ms = 10000, .errors = {QT_E_SNAPSHOT_NOT_FOUND}, .fn = qt_h_snap_unpin},
	{.id = "deleteSnapshot", .method = "DELETE", .path = "/api/snapshots/{id}", .summary = "Delete it; what was cloned of it stays",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_EMPTY_OK, .body = empty_body, .body_size = sizeof(struct no_req), .ok = 200,
	 .reply = &qt_reply_success, .budget_ms = 45000,
	 .errors = {QT_E_SNAPSHOT_NOT_FOUND, QT_E_SNAPSHOT_PINNED, QT_E_SNAPSHOT_IN_USE, RUNTIME_ERRORS}, .fn = qt_h_snap_delete},
	{0},
};
