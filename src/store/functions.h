/* functions.h - the library of Redis functions, src/store/lua/ in one piece. Generated: functions_text.c. */
#ifndef QT_FUNCTIONS_H
#define QT_FUNCTIONS_H

extern const char qt_functions_text[];

/* The mark of that text, which the library carries too: qt_check answers it. */
extern const char qt_functions_version[];

#endif
