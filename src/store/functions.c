#include "conn.h"
#include "functions.h"

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
