/* routes_terminal.c - terminal sessions (contract 11). */
#include <stddef.h>

#include "handlers.h"

static int check_shell(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return value[0] == '/' ? 0 : qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "an absolute path", "the shell is not an absolute path");
}

#define AT(member) .off = offsetof(struct qt_session_req, member), .size = sizeof(((struct qt_session_req *)0)->member)

/* clang-format off */
static const char *const targets[] = {"container", "master", NULL};
static const struct qt_field create_body[] = {
	{.name = "target", .kind = QT_K_ENUM, AT(target), .words = targets, .doc = "container (default)"},
	{.name = "container_id", .alias = "container_identifier", .kind = QT_K_STR, AT(container), .min = 1, .doc = "an id or a name"},
	{.name = "shell", .kind = QT_K_STR, AT(shell), .min = 1, .check = check_shell, .doc = "default /bin/bash, or /bin/sh where that is not there"},
	{.name = "cols", .kind = QT_K_U64, AT(cols), .min = 1, .max = QT_TERMINAL_SIZE, .doc = "default 80"},
	{.name = "rows", .kind = QT_K_U64, AT(rows), .min = 1, .max = QT_TERMINAL_SIZE, .doc = "default 24"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_session_req create_defaults = {.target = "container"};
static const struct qt_field resize_body[] = {
	{.name = "cols", .kind = QT_K_U64, .flags = QT_F_REQUIRED, AT(cols), .min = 1, .max = QT_TERMINAL_SIZE, .doc = "columns"},
	{.name = "rows", .kind = QT_K_U64, .flags = QT_F_REQUIRED, AT(rows), .min = 1, .max = QT_TERMINAL_SIZE, .doc = "rows"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_qfield list_query[] = {{"target", QT_Q_WORD, 0, 0, targets, "only of this target"}, {0}};
static const struct qt_qfield attach_query[] = {
	{"session_id", QT_Q_STR, 1, QT_ID_MAX, NULL, "the session; or"},
	{"container_id", QT_Q_STR, 1, QT_NAME_MAX, NULL, "a container, for a session of its own"},
	{"shell", QT_Q_STR, 1, QT_SHELL_MAX, NULL, "of that; as in createSession"},
	{"cols", QT_Q_U64, 1, QT_TERMINAL_SIZE, NULL, "of that"},
	{"rows", QT_Q_U64, 1, QT_TERMINAL_SIZE, NULL, "of that"},
	{"token", QT_Q_STR, 1, 256, NULL, "the API key, for clients that cannot set headers"}, {0}};

static const struct qt_rfield session_fields[] = {
	{"session_id", "string", 0, NULL}, {"attach_url", "string", 0, NULL}, {"target", "string", 0, NULL}, {"container_id", "string", 0, NULL},
	{"state", "string", 0, NULL}, {"shell", "string", 0, NULL}, {"cols", "integer", 0, NULL}, {"rows", "integer", 0, NULL},
	{"pid", "integer|null", 0, NULL}, {"created_at", "integer", 0, NULL}, {"last_activity_at", "integer", 0, NULL}, {"expires_at", "integer", 0, NULL}, {0}};
static const struct qt_reply session = {"TerminalSession", session_fields};
static const struct qt_rfield sessions_fields[] = {{"sessions", "array", 0, &session}, {0}};
static const struct qt_reply sessions = {"TerminalSessions", sessions_fields};
static const struct qt_rfield success_fields[] = {{"success", "boolean", 0, NULL}, {0}};
static const struct qt_reply success = {"Success", success_fields};
static const char *const no_types[] = {NULL};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE, QT_E_EXEC_NOT_READY

const struct qt_route qt_routes_terminal[] = {
	{.id = "createSession", .method = "POST", .path = "/api/terminal/sessions", .summary = "Start a shell on a terminal", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_SLOW, .body = create_body, .body_size = sizeof(struct qt_session_req), .body_defaults = &create_defaults, .ok = 201,
	 .reply = &session, .budget_ms = 30000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, QT_E_QUOTA_EXCEEDED, QT_E_NOT_IMPLEMENTED, RUNTIME_ERRORS},
	 .fn = qt_h_session_create},
	{.id = "listSessions", .method = "GET", .path = "/api/terminal/sessions", .summary = "The tenant's terminal sessions", .scope = QT_SCOPE_TENANT,
	 .query = list_query, .ok = 200, .reply = &sessions, .budget_ms = 10000, .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_session_list},
	{.id = "getSession", .method = "GET", .path = "/api/terminal/sessions/{id}", .summary = "One of them", .scope = QT_SCOPE_TENANT, .ok = 200,
	 .reply = &session, .budget_ms = 5000, .errors = {QT_E_SESSION_NOT_FOUND}, .fn = qt_h_session_get},
	{.id = "resizeSession", .method = "POST", .path = "/api/terminal/sessions/{id}/resize", .summary = "Change its size", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_SLOW, .body = resize_body, .body_size = sizeof(struct qt_session_req), .ok = 200, .reply = &success, .budget_ms = 15000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_SESSION_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_session_resize},
	{.id = "deleteSession", .method = "DELETE", .path = "/api/terminal/sessions/{id}", .summary = "End it", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_SLOW, .ok = 200, .reply = &success, .budget_ms = 15000, .errors = {QT_E_SESSION_NOT_FOUND, RUNTIME_ERRORS},
	 .fn = qt_h_session_delete},
	{.id = "attachSession", .method = "GET", .path = "/ws/terminal/attach", .summary = "A WebSocket, subprotocol terminal, with the terminal on it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_STREAM | QT_R_TOKEN, .query = attach_query, .ok = 101, .types = no_types, .budget_ms = 30000,
	 .errors = {QT_E_BAD_REQUEST, QT_E_VALIDATION_ERROR, QT_E_FORBIDDEN, QT_E_SESSION_NOT_FOUND, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE,
		    QT_E_QUOTA_EXCEEDED, RUNTIME_ERRORS},
	 .fn = qt_h_session_attach},
	{0},
};
