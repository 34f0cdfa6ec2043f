#include "conn.h"
#include "functions.h"
#include "str.h"

int qt_store_load_functions(struct qt_store *s, struct qt_err *e)
{
	auto_words struct qt_words load = {0}, mark = {0};

	qt_word(&load, "FUNCTION");
	qt_word(&load, "LOAD");
	qt_word(&load, "REPLACE");
	qt_word(&load, qt_functions_text);
	if (qt_call_ok(s, &load, e) < 0)
		return -1;
	qt_fcall(&mark, "qt_schema", false, "");
	return qt_call_ok(s, &mark, e);
}

int qt_store_check(struct qt_store *s, struct qt_err *e)
{
	auto_words struct qt_words w = {0};
	auto_reply redisReply *r = NULL;
	char version[32];

	qt_fcall(&w, "qt_check", true, "");
	r = qt_call(s, &w, 0, e);
	if (!r || qt_reply_text(r, version, sizeof(version), e) < 0)
		return -1;
	if (!qt_streq(version, qt_functions_version))
		return qt_fail(e, QT_E_STORE_UNAVAILABLE, "Redis has our functions of another version: quiltctl store init");
	return 0;
}
