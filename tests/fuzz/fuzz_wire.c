/* Messages of the runtime and of quilt-files: what is accepted means what its bytes say, so it is the same when it is written again. The first byte says the
 * table, and request or reply. */
#include "fuzz.h"

#include <stdbool.h>

#include "cleanup.h"
#include "files/proto.h"
#include "msg.h"

static _Alignas(16) char ret[4096];
static char again[RT_MSG_MAX];

static void check(const struct rt_field *fields, size_t n, size_t ret_size, const struct rt_head *head, const char *msg, size_t size)
{
	struct qt_err e = {0};
	void *copy;
	int len;

	FUZZ_MUST(ret_size <= sizeof(ret));
	if (rt_decode(ret, ret_size, fields, n, msg, size, &e) < 0) {
		FUZZ_MUST(e.code == QT_E_BAD_REQUEST);
		return;
	}
	len = rt_encode(again, sizeof(again), head, fields, n, ret, &e);
	FUZZ_MUST(len == (int)size && memcmp(again + sizeof(*head), msg + sizeof(*head), size - sizeof(*head)) == 0);
	copy = rt_dup(fields, n, ret, ret_size);
	FUZZ_MUST(copy);
	len = rt_encode(again, sizeof(again), head, fields, n, copy, &e);
	FUZZ_MUST(len == (int)size && memcmp(again + sizeof(*head), msg + sizeof(*head), size - sizeof(*head)) == 0);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qt_err e = {0}, told = {0};
	struct rt_head head;
	auto_free char *msg = NULL;
	bool reply;

	if (size == 0 || size > RT_MSG_MAX)
		return 0;
	reply = data[0] & 1;
	msg = fuzz_bytes(data + 1, size - 1);
	if (rt_decode_head(&head, msg, size - 1, &e) < 0)
		return 0;
	if (reply && head.code != 0) {
		rt_decode_error(&told, &head, msg, size - 1);
		FUZZ_MUST(told.code != QT_OK && memchr(told.msg, '\0', sizeof(told.msg)));
		return 0;
	}
	if (data[0] & 2 && head.op > 0 && head.op < FT_OP_COUNT) {
		const struct ft_shape *s = &ft_shapes[head.op];

		check(reply ? s->rep : s->req, reply ? s->n_rep : s->n_req, reply ? sizeof(union ft_rep) : sizeof(union ft_req), &head, msg, size - 1);
	} else if (!(data[0] & 2) && head.op > 0 && head.op < RT_OP_COUNT) {
		const struct rt_op_shape *s = &rt_shapes[head.op];

		check(reply ? s->rep : s->req, reply ? s->n_rep : s->n_req, reply ? s->rep_size : s->req_size, &head, msg, size - 1);
	}
	return 0;
}
