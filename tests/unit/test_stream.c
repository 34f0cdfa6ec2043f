/* The pure parts of quilt-stream. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "cleanup.h"
#include "fdio.h"
#include "frames.h"
#include "sse.h"
#include "store.h"
#include "str.h"
#include "termmsg.h"

static void sse_frames(void **state)
{
	static const struct {
		const char *event, *id, *data, *frame;
	} cases[] = {
		{"ready", NULL, "{}", "event: ready\ndata: {}\n\n"},
		{"a", "1-2", "x", "event: a\nid: 1-2\ndata: x\n\n"},
		{NULL, NULL, "", "data: \n\n"},
		/* Whatever the data are, no line of theirs begins a field. */
		{"a", NULL, "x\n\nevent: forged\ndata: y", "event: a\ndata: x\ndata: \ndata: event: forged\ndata: data: y\n\n"},
		{"a", NULL, "x\r\ny\rz\n", "event: a\ndata: x\ndata: y\ndata: z\ndata: \n\n"},
	};

	(void)state;
	for (size_t i = 0; i < QT_LEN(cases); i++) {
		auto_buf struct qt_buf b = QT_BUF(4096);
		struct qt_err e = {0};

		assert_int_equal(qt_sse_frame(&b, cases[i].event, cases[i].id, cases[i].data, strlen(cases[i].data), &e), 0);
		assert_string_equal(b.data, cases[i].frame);
	}
}

/* Any bytes, any length: a JSON object on one line, and the same bytes again. */
static void data_frames(void **state)
{
	unsigned char bytes[300], back[400];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		auto_buf struct qt_buf b = QT_BUF(4096);
		struct qt_err e = {0};
		const char *text;
		json_t *j;

		assert_int_equal(qt_frame_data(&b, "stdout", bytes, len, &e), 0);
		assert_ptr_equal(strchr(b.data, '\n'), b.data + b.len - 1);
		j = json_loadb(b.data, b.len, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(j, "type")), "stdout");
		text = json_string_value(json_object_get(j, "data_b64"));
		assert_int_equal(strlen(text), 4 * ((len + 2) / 3));
		assert_true(EVP_DecodeBlock(back, (const unsigned char *)text, (int)strlen(text)) >= (int)len);
		assert_memory_equal(back, bytes, len);
		json_decref(j);
	}
}

static void terminal_messages(void **state)
{
	static const struct {
		const char *text;
		enum qt_term_kind kind;
	} cases[] = {
		{"{\"type\":\"resize\",\"cols\":200,\"rows\":50}", QT_TERM_RESIZE},
		{"{\"type\":\"resize\",\"cols\":200,\"rows\":50,\"more\":1}", QT_TERM_RESIZE},
		{"{\"type\":\"resize\",\"cols\":0,\"rows\":50}", QT_TERM_BAD},
		{"{\"type\":\"resize\",\"cols\":1001,\"rows\":50}", QT_TERM_BAD},
		{"{\"type\":\"resize\",\"cols\":1.5,\"rows\":50}", QT_TERM_BAD},
		{"{\"type\":\"resize\"}", QT_TERM_BAD},
		{"{\"type\":\"ping\",\"ts\":1}", QT_TERM_PING},
		{"{\"type\":\"ping\"}", QT_TERM_PING},
		{"{\"type\":\"ping\",\"ts\":[]}", QT_TERM_BAD},
		{"{\"type\":\"signal\",\"signal\":\"SIGINT\"}", QT_TERM_SIGNAL},
		{"{\"type\":\"signal\",\"signal\":\"SIGKILL\"}", QT_TERM_BAD},
		{"{\"type\":\"signal\",\"signal\":2}", QT_TERM_BAD},
		{"{\"type\":1}", QT_TERM_BAD},
		{"{\"type\":\"output\"}", QT_TERM_BAD},
		{"[]", QT_TERM_BAD},
		{"", QT_TERM_BAD},
		{"{", QT_TERM_BAD},
	};
	struct qt_term_msg m;

	(void)state;
	for (size_t i = 0; i < QT_LEN(cases); i++) {
		qt_term_parse(cases[i].text, strlen(cases[i].text), &m);
		assert_int_equal(m.kind, cases[i].kind);
		assert_true((m.kind == QT_TERM_PING) == (m.ts != NULL));
		json_decref(m.ts);
	}
}

static void event_ids(void **state)
{
	static const char *const bad[] = {"", "-", "1-", "-1", "a", "1-a", "1-1-1", "+1", " 1", "18446744073709551616", "1-18446744073709551616"};
	static const char *const rising[] = {"0-0", "0-1", "1", "1-1", "2-0", "18446744073709551615-18446744073709551615"};
	struct qt_event_id id = {7, 7}, last;
	char text[QT_EVENT_ID_TEXT];

	(void)state;
	for (size_t i = 0; i < QT_LEN(bad); i++)
		assert_false(qt_event_id_parse(&id, bad[i]));
	assert_int_equal(id.ms, 7);
	for (size_t i = 0; i < QT_LEN(rising); i++) {
		assert_true(qt_event_id_parse(&id, rising[i]));
		assert_int_equal(qt_event_id_cmp(&id, &id), 0);
		if (i > 0) {
			assert_true(qt_event_id_cmp(&last, &id) < 0);
			assert_true(qt_event_id_cmp(&id, &last) > 0);
		}
		last = id;
	}
	qt_event_id_text(text, &last);
	assert_string_equal(text, rising[QT_LEN(rising) - 1]);
}

/* The page lists the table, row for row: what comes, and what does not and why. */
static void event_names(void **state)
{
	enum { PAGE = 1 << 16 };
	auto_free char *page = malloc(PAGE);
	struct qt_err e = {0};
	unsigned chosen = 0, rows = 0;

	(void)state;
	assert_true(page && qt_read_file(AT_FDCWD, QT_SRCDIR "/docs/protocol-stream.md", page, PAGE, &e) >= 0);
	for (unsigned k = 0; k < QT_EV_COUNT; k++) {
		bool sent = qt_event_sort(k) == QT_EVS_CHANGE || qt_event_sort(k) == QT_EVS_SAMPLE;
		enum qt_event_kind back;
		char row[1024];

		assert_true(qt_event_parse(&back, qt_event_name(k)) && back == k);
		assert_true(qt_fmt(row, sizeof(row), "\n| `%s` | %s |\n", qt_event_name(k), qt_event_doc(k)));
		if (!strstr(page, row))
			fail_msg("docs/protocol-stream.md lacks this row: %s", row);
		if (sent)
			assert_string_equal(qt_event_choice[chosen++], qt_event_name(k));
	}
	assert_null(qt_event_choice[chosen]);
	assert_false(qt_event_parse(&(enum qt_event_kind){0}, "container"));
	for (const char *p = page; (p = strstr(p, "_update` |")); p++)
		rows++;
	for (unsigned k = 0; k < QT_EV_COUNT; k++)
		rows -= strstr(qt_event_name(k), "_update") != NULL;
	assert_int_equal(rows, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sse_frames),
		cmocka_unit_test(data_frames),
		cmocka_unit_test(terminal_messages),
		cmocka_unit_test(event_ids),
		cmocka_unit_test(event_names),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
