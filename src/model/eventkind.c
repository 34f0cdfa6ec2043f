#include "eventkind.h"

#include <assert.h>

#include "cleanup.h"
#include "str.h"

static const struct {
	const char *name, *doc;
	enum qt_event_sort sort;
} events[] = {
#define QT_EVENT(SYM, name, sort, doc) [QT_EV_##SYM] = {name, doc, QT_EVS_##sort},
#include "events.def"
#undef QT_EVENT
};
static_assert(QT_EV_COUNT <= 32, "a set of events is 32 bits");

const char *qt_event_name(enum qt_event_kind k)
{
	return events[k].name;
}

const char *qt_event_doc(enum qt_event_kind k)
{
	return events[k].doc;
}

enum qt_event_sort qt_event_sort(enum qt_event_kind k)
{
	return events[k].sort;
}

bool qt_event_parse(enum qt_event_kind *ret, const char *name)
{
	for (unsigned i = 0; i < QT_LEN(events); i++) {
		if (qt_streq(events[i].name, name)) {
			*ret = (enum qt_event_kind)i;
			return true;
		}
	}
	return false;
}

/* The sorts are the preprocessor's: a table of words must be there before anything runs. */
#define CHOICE_FRAME(name)
#define CHOICE_CHANGE(name) name,
#define CHOICE_SAMPLE(name) name,
#define CHOICE_ABSENT(name)
const char *const qt_event_choice[] = {
#define QT_EVENT(SYM, name, sort, doc) CHOICE_##sort(name)
#include "events.def"
#undef QT_EVENT
	NULL};
