/* routes_volumes.c - volumes: what containers keep and share. What is in them: routes_files.c. */
#include <stddef.h>
#include <string.h>

#include "handlers.h"
#include "replies.h"

static int check_name(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return qt_check_volume_name(field, value, e);
}

static int check_option(const char *field, const char *name, const char *value, struct qt_err *e)
{
	uint64_t ignored;

	if (strcmp(name, "size") != 0)
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "size", "volumes have no such option");
	return qt_check_size(field, value, &ignored, e);
}

static int check_driver(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return strcmp(value, "local") == 0
		       ? 0
		       : qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "local", "there is no such driver of volumes");
}

#define AT(type, member) .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

/* clang-format off */
static const struct qt_field create_body[] = {
	{.name = "name", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_vol_create_req, name), .min = 1, .check = check_name,
	 .doc = "unique among the tenant's volumes"},
	{.name = "driver", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_vol_create_req, driver), .min = 1, .check = check_driver, .doc = "local"},
	{.name = "labels", .kind = QT_K_MAP, .flags = QT_F_NULL, .off = offsetof(struct qt_vol_create_req, labels), .size = 4096, .max = QT_LABELS_MAX,
	 .doc = "free texts"},
	{.name = "options", .kind = QT_K_MAP, .flags = QT_F_NULL, .off = offsetof(struct qt_vol_create_req, options), .size = 1024, .max = 8,
	 .check = check_option, .example = "{\"size\": \"10G\"}", .doc = "size: what it holds at most, in bytes or with K, M, G or T"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field rename_body[] = {
	{.name = "new_name", .alias = "name", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_vol_rename_req, new_name), .min = 1,
	 .check = check_name, .doc = "the new name"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field delete_body[] = {{.name = "async_mode", .kind = QT_K_IGNORE}, {0}};
struct no_req { char unused; };

#define VOLUME_FIELDS \
	{"id", "string", 0, NULL}, {"name", "string", 0, NULL}, {"tenant_id", "string", 0, NULL}, {"driver", "string", 0, NULL}, \
	{"mount_point", "null", 0, NULL}, {"mountpoint", "null", 0, NULL}, {"labels", "object", 0, NULL}, {"options", "object", 0, NULL}, \
	{"max_bytes", "integer|null", 0, NULL}, {"created_at", "integer", 0, NULL}, {"status", "string", 0, NULL}

static const struct qt_rfield volume_fields[] = {VOLUME_FIELDS, {0}};
static const struct qt_reply volume = {"Volume", volume_fields};
static const struct qt_rfield inspect_fields[] = {
	VOLUME_FIELDS, {"used_by", "array", 0, NULL}, {"size_bytes", "integer", 0, NULL}, {"files", "integer", 0, NULL}, {0}};
static const struct qt_reply inspect = {"VolumeDetail", inspect_fields};
static const struct qt_rfield list_fields[] = {{"volumes", "array", 0, &volume}, {"pagination", "object", 0, &qt_reply_pagination}, {0}};
static const struct qt_reply list = {"VolumeList", list_fields};
static const struct qt_rfield renamed_fields[] = {
	{"success", "boolean", 0, NULL}, {"old_name", "string", 0, NULL}, {"new_name", "string", 0, NULL}, {0}};
static const struct qt_reply renamed = {"VolumeRenamed", renamed_fields};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_UNAVAILABLE, QT_E_TIMEOUT

const struct qt_route qt_routes_volumes[] = {
	{.id = "listVolumes", .method = "GET", .path = "/api/volumes", .summary = "The tenant's volumes, oldest first",
	 .scope = QT_SCOPE_TENANT, .query = qt_query_page, .ok = 200, .reply = &list, .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR},
	 .fn = qt_h_vol_list},
	{.id = "createVolume", .method = "POST", .path = "/api/volumes", .summary = "Make a volume",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .body = create_body, .body_size = sizeof(struct qt_vol_create_req), .ok = 201,
	 .reply = &volume, .budget_ms = 20000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_VOLUME_NAME_CONFLICT, QT_E_QUOTA_EXCEEDED, RUNTIME_ERRORS},
	 .fn = qt_h_vol_create},
	{.id = "getVolume", .method = "GET", .path = "/api/volumes/{name}", .summary = "One volume, by its name or id",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &volume, .budget_ms = 5000, .errors = {QT_E_VOLUME_NOT_FOUND}, .fn = qt_h_vol_get},
	{.id = "inspectVolume", .method = "GET", .path = "/api/volumes/{name}/inspect", .summary = "The same, with who uses it and what it holds",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .ok = 200, .reply = &inspect, .budget_ms = 20000,
	 .errors = {QT_E_VOLUME_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_vol_inspect},
	{.id = "renameVolume", .method = "POST", .path = "/api/volumes/{name}/rename", .summary = "Give one that is not in use another name",
	 .scope = QT_SCOPE_TENANT, .body = rename_body, .body_size = sizeof(struct qt_vol_rename_req), .ok = 200, .reply = &renamed,
	 .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_VOLUME_NOT_FOUND, QT_E_VOLUME_NAME_CONFLICT, QT_E_VOLUME_IN_USE}, .fn = qt_h_vol_rename},
	{.id = "deleteVolume", .method = "DELETE", .path = "/api/volumes/{name}", .summary = "Take one that is not in use away, with all that is in it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_EMPTY_OK, .body = delete_body, .body_size = sizeof(struct no_req),
	 .query = qt_query_execution, .ok = 202, .reply = &qt_reply_receipt, .also_ok = 200, .also_reply = &qt_reply_success, .budget_ms = 30000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_VOLUME_NOT_FOUND, QT_E_VOLUME_IN_USE, RUNTIME_ERRORS}, .fn = qt_h_vol_delete},
	{0},
};
