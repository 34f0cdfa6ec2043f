/* answer.h - what goes out: the contract's JSON, and its error body (2.1). */
#ifndef QT_ANSWER_H
#define QT_ANSWER_H

#include "call.h"

/* The error object of E for the request REQUEST_ID. A new reference. What the client may not see is replaced by a general sentence. */
json_t *qt_error_body(const struct qt_err *e, const char *request_id);

#endif
