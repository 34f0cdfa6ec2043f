/* query.h - the query's parameters, checked against the route's rows before the handler runs. */
#ifndef QT_QUERY_H
#define QT_QUERY_H

#include "route.h"

/* VALIDATION_ERROR: a known parameter twice, or with a value that its row does not take. */
int qt_query_check(const struct qt_call *c, struct qt_err *e);

/* The values, after the check. */
const char *qt_query_str(const struct qt_call *c, const char *name, const char *absent);
uint64_t qt_query_u64(const struct qt_call *c, const char *name, uint64_t absent);

#endif
