/* routes_files.c - what is in volumes and containers: lists, single files, archives. */
#include <stddef.h>

#include "handlers.h"
#include "replies.h"

#define AT(type, member) .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

/* clang-format off */
static const struct qt_field file_body[] = {
	{.name = "path", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_file_req, path), .min = 1, .doc = "inside the volume; missing directories are made"},
	{.name = "content", .kind = QT_K_TEXT, .flags = QT_F_REQUIRED, .off = offsetof(struct qt_file_req, content), .doc = "base64"},
	{.name = "mode", .kind = QT_K_U64, .flags = QT_F_NULL, AT(qt_file_req, mode), .max = 4095,
	 .doc = "permission bits: decimal digits that are read as octal ones (644), or the number (420); default 644"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_file_req file_defaults = {.mode = 0644};
static const struct qt_field archive_body[] = {
	{.name = "content", .kind = QT_K_TEXT, .flags = QT_F_REQUIRED, .off = offsetof(struct qt_archive_req, content), .doc = "base64 of a tar or tar.gz"},
	{.name = "path", .kind = QT_K_STR, .flags = QT_F_NULL, AT(qt_archive_req, path), .doc = "where to; made if it is missing; default /"},
	{.name = "strip_components", .kind = QT_K_U64, .flags = QT_F_NULL, AT(qt_archive_req, strip), .max = 64,
	 .doc = "so many leading components of each name are left out"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_qfield archive_query[] = {
	{"path", QT_Q_STR, 0, 2047, NULL, "of a raw body: where to; made if it is missing; default /"},
	{"strip_components", QT_Q_U64, 0, 64, NULL, "of a raw body: so many leading components of each name are left out"}, {0}};
static const struct qt_qfield ls_query[] = {
	{"path", QT_Q_STR, 0, 2047, NULL, "a directory of the volume; default /"},
	{"page", QT_Q_U64, 1, 1000000, NULL, "counted from 1"},
	{"page_size", QT_Q_U64, 1, 1000, NULL, "default 100"}, {0}};
static const char *const raw_words[] = {"0", "1", "false", "true", NULL};
static const struct qt_qfield read_query[] = {
	{"raw", QT_Q_WORD, 0, 0, raw_words, "1: the bytes themselves, as with Accept: application/octet-stream"}, {0}};

static const struct qt_rfield item_fields[] = {
	{"name", "string", 0, NULL}, {"path", "string", 0, NULL}, {"type", "string", 0, NULL}, {"size", "integer", 0, NULL}, {"mode", "integer", 0, NULL},
	{"modified", "integer", 0, NULL}, {0}};
static const struct qt_reply item = {"FileEntry", item_fields};
static const struct qt_rfield ls_fields[] = {
	{"path", "string", 0, NULL}, {"files", "array", 0, &item}, {"page", "integer", 0, NULL}, {"page_size", "integer", 0, NULL}, {"total", "integer", 0, NULL}, {0}};
static const struct qt_reply ls = {"FileList", ls_fields};
static const struct qt_rfield written_fields[] = {{"success", "boolean", 0, NULL}, {"path", "string", 0, NULL}, {"size", "integer", 0, NULL}, {0}};
static const struct qt_reply written = {"FileWritten", written_fields};
static const struct qt_rfield file_fields[] = {
	{"path", "string", 0, NULL}, {"content", "string", 0, NULL}, {"size", "integer", 0, NULL}, {"mode", "integer", 0, NULL}, {"modified", "integer", 0, NULL}, {0}};
static const struct qt_reply file = {"File", file_fields};

#define TREE_ERRORS QT_E_VALIDATION_ERROR, QT_E_VOLUME_NOT_FOUND, QT_E_FILE_NOT_FOUND, QT_E_CAPACITY_FULL, QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, \
		    QT_E_UNAVAILABLE
#define ARCHIVE_ERRORS QT_E_VALIDATION_ERROR, QT_E_ARCHIVE_REFUSED, QT_E_UNAVAILABLE

const struct qt_route qt_routes_files[] = {
	{.id = "listFiles", .method = "GET", .path = "/api/volumes/{name}/ls", .summary = "A page of a directory's list, by name",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .query = ls_query, .ok = 200, .reply = &ls, .budget_ms = 30000, .errors = {TREE_ERRORS}, .fn = qt_h_files_ls},
	{.id = "writeFile", .method = "POST", .path = "/api/volumes/{name}/files", .summary = "Make or replace a file",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .body = file_body, .body_size = sizeof(struct qt_file_req), .body_defaults = &file_defaults, .ok = 200,
	 .reply = &written, .budget_ms = 30000, .errors = {TREE_ERRORS}, .fn = qt_h_files_write},
	{.id = "readFile", .method = "GET", .path = "/api/volumes/{name}/files/{path*}", .summary = "A file, as base64 or as it is",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_BYTES_TOO, .query = read_query, .ok = 200, .reply = &file, .budget_ms = 60000,
	 .errors = {TREE_ERRORS, QT_E_CONFLICT, QT_E_PAYLOAD_TOO_LARGE}, .fn = qt_h_files_read},
	{.id = "deleteFile", .method = "DELETE", .path = "/api/volumes/{name}/files/{path*}", .summary = "Take a file, a link or an empty directory away",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .ok = 200, .reply = &qt_reply_success, .budget_ms = 30000, .errors = {TREE_ERRORS, QT_E_CONFLICT},
	 .fn = qt_h_files_delete},
	{.id = "uploadVolumeArchive", .method = "POST", .path = "/api/volumes/{name}/archive", .summary = "Unpack a tar or tar.gz in a volume",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_UPLOAD, .body = archive_body, .body_size = sizeof(struct qt_archive_req), .query = archive_query, .ok = 202,
	 .reply = &qt_reply_receipt, .budget_ms = 60000, .errors = {QT_E_VOLUME_NOT_FOUND, ARCHIVE_ERRORS}, .fn = qt_h_vol_archive},
	{.id = "uploadContainerArchive", .method = "POST", .path = "/api/containers/{id}/archive", .summary = "Unpack a tar or tar.gz in a running container",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_UPLOAD, .body = archive_body, .body_size = sizeof(struct qt_archive_req), .query = archive_query, .ok = 202,
	 .reply = &qt_reply_receipt, .budget_ms = 60000, .errors = {QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, ARCHIVE_ERRORS}, .fn = qt_h_ctr_archive},
	{0},
};
