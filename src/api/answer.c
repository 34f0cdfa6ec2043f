#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "str.h"

/* "a; b; c" of the error as a list. */
static json_t *words(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		size_t n = strcspn(text, ";");

		json_array_append_new(list, json_stringn(text, n));
		text += n;
		text += strspn(text, "; ");
	}
	return list;
}

static const char *general(int status)
{
	return status == 503 ? "The service is not available just now." : "An internal error; nothing is known to be changed.";
}

/* Messages may quote the client's own bytes, cut anywhere. */
static json_t *text_of(const char *s)
{
	char out[3 * 256 + 1];
	size_t n = qt_utf8_mend(out, s, strnlen(s, 255));

	return json_stringn(out, n);
}

json_t *qt_error_body(const struct qt_err *e, const char *request_id)
{
	const struct qt_err_row *row = qt_err_row(e->code);
	const char *hint = e->hint ? e->hint : row->hint;
	int retry = e->retry_after ? e->retry_after : row->retry_after;
	json_t *details = json_null();

	if (e->field[0] || e->expected[0] || e->received[0] || e->state[0] || e->quota[0]) {
		details = json_object();
		if (e->field[0])
			json_object_set_new(details, "field", text_of(e->field));
		if (e->expected[0])
			json_object_set_new(details, "expected", words(e->expected));
		if (e->received[0])
			json_object_set_new(details, "received", text_of(e->received));
		if (e->example)
			json_object_set_new(details, "example", json_string(e->example));
		if (e->state[0])
			json_object_set_new(details, "state", text_of(e->state));
		if (e->quota[0])
			json_object_update(details, json_pack("{s:s, s:I, s:I}", "quota", e->quota, "limit", (json_int_t)e->quota_limit, "used",
							      (json_int_t)e->quota_used));
	}
	return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "error", text_of(row->show ? e->msg : general(row->status)),
			 "error_code", row->name, "request_id", request_id, "details", details, "retry_after",
			 retry ? json_integer(retry) : json_null(), "hint",
			 *hint ? json_string(hint) : json_null());
}
