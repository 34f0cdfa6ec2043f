/* msg.h - messages of the runtime's protocol: typed, bounded, and consumed to the end. */
#ifndef QT_MSG_H
#define QT_MSG_H

#include "rt.h"

/* Encode head and fields of STRUCT_ (rows FIELDS) into the SIZE bytes at BUF. The length; -1 if a field breaks its bound or the
 * message does not fit: the caller's fault, VALIDATION_ERROR with the field's name. */
int rt_encode(void *buf, size_t size, const struct rt_head *head, const struct rt_field *fields, size_t n,
	      const void *struct_, struct qt_err *e);

/* An error reply: code and text. */
int rt_encode_error(void *buf, size_t size, const struct rt_head *head, const struct qt_err *err);

/* The head of a message of LEN bytes; -1 (BAD_REQUEST) if there is none. */
int rt_decode_head(struct rt_head *ret, const void *buf, size_t len, struct qt_err *e);

/* The fields behind the head into RET, which points into BUF afterwards. Everything is checked: bounds, NUL, ids, no byte left
 * over. -1 (BAD_REQUEST) and RET undefined if anything is off: the peer broke the protocol. */
int rt_decode(void *ret, size_t ret_size, const struct rt_field *fields, size_t n, const void *buf, size_t len,
	      struct qt_err *e);

/* The error in a reply whose head has a code. */
void rt_decode_error(struct qt_err *ret, const struct rt_head *head, const void *buf, size_t len);

/* A copy of STRUCT_ (SIZE bytes, rows FIELDS) and of all that its texts point to, in one block for free(3). NULL: out of memory. */
void *rt_dup(const struct rt_field *fields, size_t n, const void *struct_, size_t size);

#endif
