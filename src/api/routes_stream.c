/* routes_stream.c - what is watched and typed into: served by quilt-stream. */
#include "eventkind.h"
#include "handlers.h"

/* clang-format off */
static const char *const sse[] = {"text/event-stream", NULL};

static const struct qt_qfield events_query[] = {
	{"operation_id", QT_Q_STR, 1, QT_ID_MAX, NULL, "only events of this operation"},
	{"container_id", QT_Q_STR, 1, QT_ID_MAX, NULL, "only events of this container"},
	{"snapshot_id", QT_Q_STR, 1, QT_ID_MAX, NULL, "only events of this snapshot"},
	{"type", QT_Q_WORDS, 0, 0, qt_event_choice, "only events of this name; several times: of these"},
	{"last_event_id", QT_Q_STR, 1, 41, NULL, "go on behind this one; the header Last-Event-ID says the same, and wins"},
	{"token", QT_Q_STR, 1, 256, NULL, "the API key, for clients that cannot set headers"}, {0}};

const struct qt_route qt_routes_stream[] = {
	{.id = "events", .method = "GET", .path = "/api/events", .summary = "The tenant's events, as they happen", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_STREAM | QT_R_TOKEN, .query = events_query, .ok = 200, .types = sse, .budget_ms = 5000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_QUOTA_EXCEEDED}, .fn = qt_h_events},
	{0},
};
