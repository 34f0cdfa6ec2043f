/* routes_gui.c - desktops in the browser (contract 12). */
#include "handlers.h"

/* clang-format off */
static const struct qt_rfield url_fields[] = {{"gui_url", "string", 0, NULL}, {"expires_at", "integer", 0, NULL}, {0}};
static const struct qt_reply url = {"GuiUrl", url_fields};
static const char *const files[] = {"text/html", "text/javascript", "text/css", "application/json", "image/svg+xml", "image/png", "image/x-icon", "audio/mpeg",
				    "audio/ogg", "font/woff", "font/ttf", "application/octet-stream", NULL};
static const char *const no_types[] = {NULL};
static const struct qt_qfield pass_query[] = {{"gui_token", QT_Q_STR, 1, QT_GUI_PASS_MAX - 1, NULL, "as gui_url has it; a browser then gets a cookie"}, {0}};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE, QT_E_EXEC_NOT_READY

const struct qt_route qt_routes_gui[] = {
	{.id = "getGuiUrl", .method = "GET", .path = "/api/containers/{id}/gui-url", .summary = "A link to the desktop of a prod-gui container, for a while",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .ok = 200, .reply = &url, .budget_ms = 15000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, QT_E_GUI_NOT_READY, RUNTIME_ERRORS}, .fn = qt_h_gui_url},
	{.id = "guiFile", .method = "GET", .path = "/gui/{id}/{path*}", .summary = "The page with the desktop, and what belongs to it", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_SLOW | QT_R_GUI, .query = pass_query, .ok = 200, .types = files, .budget_ms = 15000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_NOT_FOUND, QT_E_IMAGE_NOT_FOUND, QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE}, .fn = qt_h_gui_file},
	{.id = "guiSocket", .method = "GET", .path = "/gui/{id}/websockify", .summary = "A WebSocket with the desktop on it: RFB, in binary messages",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_STREAM | QT_R_GUI, .query = pass_query, .ok = 101, .types = no_types, .budget_ms = 15000,
	 .errors = {QT_E_BAD_REQUEST, QT_E_VALIDATION_ERROR, QT_E_FORBIDDEN, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, QT_E_GUI_NOT_READY, QT_E_QUOTA_EXCEEDED,
		    RUNTIME_ERRORS},
	 .fn = qt_h_gui_socket},
	{0},
};
