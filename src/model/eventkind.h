/* eventkind.h - the names of events, and the sets of them that clients choose. Pure. */
#ifndef QT_EVENTKIND_H
#define QT_EVENTKIND_H

#include <stdbool.h>
#include <stdint.h>

enum qt_event_kind {
#define QT_EVENT(SYM, name, sort, doc) QT_EV_##SYM,
#include "events.def"
#undef QT_EVENT
	QT_EV_COUNT
};

enum qt_event_sort { QT_EVS_FRAME, QT_EVS_CHANGE, QT_EVS_SAMPLE, QT_EVS_ABSENT };

const char *qt_event_name(enum qt_event_kind k);
const char *qt_event_doc(enum qt_event_kind k);
enum qt_event_sort qt_event_sort(enum qt_event_kind k);
bool qt_event_parse(enum qt_event_kind *ret, const char *name);

/* A set of them, a bit each. */
#define QT_EVENT_BIT(SYM) (UINT32_C(1) << QT_EV_##SYM)
static inline uint32_t qt_event_bit(enum qt_event_kind k)
{
	return UINT32_C(1) << k;
}

/* Those that a client can choose (changes and samples), NULL-ended. */
extern const char *const qt_event_choice[];

#endif
