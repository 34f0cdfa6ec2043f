#include "cleanup.h"
#include "model.h"
#include "str.h"

static const char *const names[QT_ST_COUNT] = {
	[QT_ST_CREATED] = "created", [QT_ST_STARTING] = "starting", [QT_ST_RUNNING] = "running",
	[QT_ST_EXITED] = "exited",   [QT_ST_ERROR] = "error",
};

const char *qt_state_name(enum qt_state s)
{
	return (unsigned)s < QT_ST_COUNT ? names[s] : "unknown";
}

bool qt_state_parse(enum qt_state *ret, const char *text)
{
	if (qt_streq(text, "stopped"))
		text = names[QT_ST_EXITED];
	for (unsigned i = 0; i < QT_ST_COUNT; i++) {
		if (qt_streq(text, names[i])) {
			*ret = (enum qt_state)i;
			return true;
		}
	}
	return false;
}

bool qt_word_parse(unsigned *ret, const char *const *words, const char *text)
{
	for (unsigned i = 0; words[i]; i++) {
		if (qt_streq(text, words[i])) {
			*ret = i;
			return true;
		}
	}
	return false;
}
